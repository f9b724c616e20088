"""Which guide targets what: from anything dict-like, with guides that target two genes settled."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from programde.errors import InputError, check_choice, some, tell
from programde.screen.control_labels import looks_like_control
from programde.screen.matrices import flat_table
from programde.screen.names import (
    NO_NAME,
    is_flat_list,
    is_missing,
    name_list,
    refuse_missing,
    text,
)

#: What to do with a guide of several targets: refuse, count it for each, or take the set as one.
MULTI_TARGET = ("error", "both", "whole")
SEPARATORS = re.compile(r"\s*[|;,]\s*")

Targets = dict[str, tuple[str, ...]]


def guide_map(mapping: Any, guide_names: Sequence[str] | None = None) -> dict[str, str]:
    """Guide -> target from anything dict-like, one target each.

    Parameters
    ----------
    mapping, guide_names
        See `guide_targets`.

    Returns
    -------
    dict
        Guides without a target (None, NaN, empty text) are left out.

    Raises
    ------
    InputError
        As `guide_targets`; a guide has several targets.
    """
    targets = guide_targets(mapping, guide_names)
    several = {guide: names for guide, names in targets.items() if len(names) > 1}
    if several:
        raise _refused(several)
    return {guide: names[0] for guide, names in targets.items()}


def guide_targets(mapping: Any, guide_names: Sequence[str] | None = None) -> Targets:
    """Guide -> its targets from anything dict-like.

    Parameters
    ----------
    mapping
        A mapping (also with nested mappings, which is how a name with a slash comes back from
        HDF5), a Series indexed by guide, a DataFrame with guides as index and one column, or,
        with `guide_names`, a sequence of targets parallel to them. A target may be a list of
        texts: a guide of several targets.
    guide_names
        Names of the guides, for a parallel sequence.

    Returns
    -------
    dict
        Guide -> one target or more, text; guides without a target (None, NaN, empty text) are
        left out.

    Raises
    ------
    InputError
        Something else, a sequence of the wrong length, or a target "nan".
    """
    pairs: Iterable[tuple[object, object]]
    if isinstance(mapping, pd.DataFrame):
        if flat_table(mapping, "guide -> target table").shape[1] != 1:
            raise InputError(
                f"guide -> target table has {mapping.shape[1]} columns; it needs guides as its "
                "index and one column of targets"
            )
        mapping = mapping.iloc[:, 0]
    if isinstance(mapping, pd.Series):
        if isinstance(mapping.index, pd.MultiIndex):
            flat_table(mapping.to_frame(), "guide -> target map")
        if mapping.index.has_duplicates:
            twice = mapping.index[mapping.index.duplicated()]
            raise InputError(f"guide -> target map names guides twice: {some(twice)}")
        name_list("guides of the guide -> target map", mapping.index)
        pairs = zip(mapping.index, mapping.to_numpy(), strict=True)
    elif isinstance(mapping, Mapping):
        pairs = _flat(mapping)
    elif is_flat_list(mapping) or (
        isinstance(mapping, list | tuple)
        and all(isinstance(v, str | list | tuple) for v in mapping)
    ):
        if guide_names is None or len(mapping) != len(guide_names):
            raise InputError(
                f"{len(mapping)} guide targets for "
                f"{'unnamed' if guide_names is None else len(guide_names)} guides"
            )
        pairs = zip(guide_names, mapping, strict=True)
    else:
        raise InputError(
            f"guide -> target map is a {type(mapping).__name__}, neither dict-like nor a list "
            "parallel to the guide names"
        )
    return _as_text({text(guide): target for guide, target in pairs})


def _as_text(raw: Mapping[str, object]) -> Targets:
    """Targets as tuples of text; those that were missing values before are refused."""
    out: Targets = {}
    for guide, target in raw.items():
        given = _several(target)
        if given is None:
            raise InputError(
                f"the target of guide {guide!r} is a {type(target).__name__}, neither text nor a "
                "list of texts"
            )
        names = dict.fromkeys(text(t).strip() for t in given if not _missing(t))
        if names:
            out[guide] = tuple(names)
    first = [names[0] for names in out.values()]
    refuse_missing("targets of guides", first, NO_NAME, list(out))
    return out


def _several(target: object) -> list[object] | None:
    """A target as a list of one or more; None where it is no label at all."""
    if isinstance(target, np.ndarray) and target.size == 1:
        target = target.reshape(-1)[0]
    if isinstance(target, list | tuple | np.ndarray):
        inner = [v for v in target if not isinstance(v, list | tuple | set | dict | np.ndarray)]
        return inner if len(inner) == len(target) else None
    if isinstance(target, set | frozenset | dict | pd.Series | pd.DataFrame):
        return None
    return [target]


def _flat(mapping: Mapping[Any, Any], prefix: str = "") -> Iterable[tuple[str, object]]:
    for key, value in mapping.items():
        name = f"{prefix}{text(key)}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}/")
        else:
            yield name, value


def _missing(target: object) -> bool:
    return is_missing(target) or text(target).strip() == ""


def settle_targets(
    targets: Targets, choice: str, notes: list[str]
) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    """One target per guide, and the further ones of guides that target several.

    A target like ``A|B``, ``A;B`` or ``A,B`` is a set where one of its parts is the target of
    another guide.

    Parameters
    ----------
    targets
        From `guide_targets`.
    choice
        ``"error"``: such guides are refused; ``"both"``: a guide counts for each of its targets (a
        control label beside a target is none); ``"whole"``: the set is one target, ``A|B``.
    notes
        Gets a sentence on what was done.

    Returns
    -------
    first : dict
        Guide -> target.
    further : dict
        Guide -> its other targets; guides of one target are absent.

    Raises
    ------
    InputError
        There are such guides, and they are to be refused.
    OptionError
        An unknown choice.
    """
    check_choice("multi_target_guides", choice, MULTI_TARGET)
    alone = {names[0] for names in targets.values() if len(names) == 1}
    alone -= {name for name in alone if SEPARATORS.search(name)}
    split: Targets = {}
    for guide, names in targets.items():
        parts = tuple(dict.fromkeys(p for n in names for p in SEPARATORS.split(n) if p))
        if len(names) > 1 or (len(parts) > 1 and not alone.isdisjoint(parts)):
            split[guide] = parts
    if split and choice == "error":
        raise _refused(split)
    first = {guide: names[0] for guide, names in targets.items()}
    further: dict[str, tuple[str, ...]] = {}
    for guide, parts in split.items():
        if choice == "whole":
            first[guide] = "|".join(parts)
            continue
        real = [p for p in parts if not looks_like_control(p)] or [parts[0]]
        first[guide] = real[0]
        if len(real) > 1:
            further[guide] = tuple(real[1:])
    if split:
        how = "count for each of them" if choice == "both" else "are of one target, the whole set"
        tell(f"{len(split)} guides of several targets {how}: {_shown(split)}", notes)
    return first, further


def _refused(several: Targets) -> InputError:
    return InputError(
        f"{len(several)} guide(s) have several targets: {_shown(several)}; set "
        "multi_target_guides=both to count such a guide for each of its targets, or whole to take "
        "the set as a target of its own"
    )


def _shown(several: Targets) -> str:
    return some([f"{guide} ({', '.join(names)})" for guide, names in several.items()], 3)
