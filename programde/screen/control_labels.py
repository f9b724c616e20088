"""Who is a control: the labels that are listed, and those that only look like it.

A list of labels is taken letter for letter (or as patterns with ``*`` and ``?``). A guide whose
label is spelled differently is then a target like any other: its cells are compared with the
controls, and lost to them. So labels that look like controls and are not listed are told.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

from programde.errors import InputError, nearest, some, tell
from programde.screen.names import text

#: Usual labels of negative controls, without blanks, hyphens and numbers at the end.
CONTROL_WORDS = frozenset(
    {"nt", "ntc", "nontarget", "safe", "neg", "control", "ctrl", "scramble", "scrambled"}
)
CONTROL_STARTS = (
    "nontarget", "safetarget", "safeharbor", "safeharbour", "negcontrol", "negativecontrol",
)  # fmt: skip
#: What is often used as a control and may be a target as well: told, never assumed.
PERHAPS_WORDS = frozenset(
    {"negctrl", "negativectrl", "ntctrl", "ntcontrol", "intergenic", "aavs", "rosa", "luciferase",
     "gfp", "egfp", "lacz", "negative", "scr", "scrbl", "safetargeting", "nosite", "nulltarget",
     "olfactory", "unperturbed", "nosgrna", "emptyvector"}
)  # fmt: skip
PERHAPS_STARTS = ("scramble", "intergenic", "nontarget", "onenongene", "nongene", "safecut")
#: Genes of olfactory receptors, OR2A4 and the like, which many libraries use as controls.
OLFACTORY = re.compile(r"OR\d{1,2}[A-Z]{1,2}\d{1,3}P?")
PATTERN_SIGNS = "*?["


def check_ntc_labels(
    guide_to_target: Mapping[str, str],
    labels: str | Sequence[str] | None,
    purpose: str = "a comparison with control guides, groups of them, and a verdict on calibration",
    notes: list[str] | None = None,
) -> list[str]:
    """Those targets that the given control labels name.

    Parameters
    ----------
    guide_to_target
        Target of each guide.
    labels
        One label of non-targeting controls, or several of which some may be absent. A label may
        be a pattern (``"NTC_*"``) for all targets of that form.
    purpose
        What is impossible without controls, for the message.
    notes
        Where to keep what is warned of.

    Returns
    -------
    list of str
        Targets in the order of the labels, unique, not empty.

    Raises
    ------
    InputError
        No label is given, or none of them occurs; the labels that exist are listed.

    Warns
    -----
    ProgramDEWarning
        Targets that are named like controls and not listed.
    """
    exist = list(dict.fromkeys(str(t) for t in guide_to_target.values()))
    asked = asked_labels(labels)
    if not asked:
        raise InputError(
            f"ntc_labels names no control (none given): {purpose} are impossible then"
            f"{_likely(exist)}; name at least one target, ntc_labels=[...]"
        )
    found = matching(exist, asked)
    if not found:
        raise InputError(
            f"no guide has a control label {some([repr(a) for a in asked])}{_likely(exist)}"
            f"{nearest(asked[0], exist)}"
        )
    warn_unlisted(exist, found, asked, notes)
    return found


def ntc_labels_if_any(
    guide_to_target: Mapping[str, str], labels: str | Sequence[str] | None
) -> list[str]:
    """`check_ntc_labels` for a step that can do without controls: no label, no controls.

    Targets that are named like controls are told all the same.
    """
    if asked_labels(labels):
        return check_ntc_labels(guide_to_target, labels)
    warn_unlisted(list(dict.fromkeys(str(t) for t in guide_to_target.values())), [])
    return []


def asked_labels(labels: str | bytes | Iterable[str] | None) -> list[str]:
    """Labels as a list of text without repeats."""
    given = [labels] if isinstance(labels, str | bytes) else labels
    return list(dict.fromkeys(text(label) for label in (() if given is None else given)))


def matching(targets: Sequence[str], labels: Sequence[str]) -> list[str]:
    """Targets that are one of the labels, or match one that is a pattern; in the labels' order."""
    known = set(targets)
    found: dict[str, None] = {}
    for label in labels:
        if label in known:
            found[label] = None
        elif any(sign in label for sign in PATTERN_SIGNS):
            found.update(dict.fromkeys(t for t in targets if fnmatchcase(t, label)))
    return list(found)


def resolved(targets: Sequence[str], labels: str | bytes | Iterable[str] | None) -> list[str]:
    """Labels with patterns resolved; as they were given where none of them occurs."""
    asked = asked_labels(labels)
    return matching(targets, asked) or asked


def warn_unlisted(
    targets: Sequence[str],
    found: Sequence[str],
    asked: Sequence[str] | None = None,
    notes: list[str] | None = None,
) -> None:
    """Tell of targets that are named like controls and are not among those found."""
    near = unlisted_controls(targets, found, found if asked is None else asked)
    if not near:
        return
    listed = [*(found if asked is None else asked), *patterns_for(near)]
    tell(
        f"{len(near)} target(s) are named like controls and are not in ntc_labels: {some(near)}; "
        "they are tested as targets, and their cells are not among the controls; if they are "
        f"controls, list them: ntc_labels=[{', '.join(repr(label) for label in listed)}]",
        notes,
    )


def unlisted_controls(
    targets: Sequence[str], found: Sequence[str], asked: Sequence[str] = ()
) -> list[str]:
    """Targets whose names are those of controls, or a listed label spelled differently."""
    listed = set(found)
    spelled = {_letters(label) for label in [*found, *asked]} - {""}
    return [
        target
        for target in targets
        if target not in listed
        and (
            not spelled.isdisjoint((_letters(target), _plain(target)))
            or looks_like_control(target)
            or _perhaps(target)
        )
    ]


def patterns_for(names: Sequence[str]) -> list[str]:
    """The names, those of one form with different numbers as one pattern."""
    forms: dict[str, list[str]] = {}
    for name in names:
        forms.setdefault(re.sub(r"\d+$", "*", name), []).append(name)
    few = [
        form if len(members) > 1 and len(form) > 2 else member
        for form, members in forms.items()
        for member in (members[:1] if len(members) > 1 and len(form) > 2 else members)
    ]
    return few if len(few) <= 6 else [*few[:6], "..."]


def looks_like_control(target: str) -> bool:
    """Whether a target's name is a usual label of negative controls.

    Case, blanks, hyphens and a number after a separator make no difference: ``Non-Targeting``,
    ``NTC_4``.
    """
    plain = _plain(target)
    return plain in CONTROL_WORDS or plain.startswith(CONTROL_STARTS)


def _perhaps(target: str) -> bool:
    """Whether a target may well be a control: told to the user, who knows."""
    letters = re.sub(r"\d+$", "", _letters(target))
    return (
        letters in PERHAPS_WORDS | CONTROL_WORDS
        or letters.startswith(PERHAPS_STARTS)
        or OLFACTORY.fullmatch(target) is not None
    )


def _plain(target: str) -> str:
    """Letters and digits in lower case, without a number that a separator sets apart."""
    return _letters(re.sub(r"[\s_.:#\-]+\d+$", "", target.strip()))


def _letters(label: str) -> str:
    """Letters and digits in lower case."""
    return "".join(ch for ch in label.lower() if ch.isalnum())


def _likely(targets: Sequence[str]) -> str:
    likely = [t for t in targets if looks_like_control(t) or _perhaps(t)]
    return f"; these look like controls: {some(likely)}" if likely else ""
