"""Words of a command line as people type them, made into what Hydra reads.

    data.path=/data/screen (1), #2.h5ad     a path is what stands there, whatever signs it holds
    data.covar_columns=batch,pct mito       a list needs no brackets
    data.ntc_labels=7                       nor does one entry; a list of texts holds texts

What can be meant in two ways is left to Hydra: with -m, or an experiment, commas are a sweep. So is
whatever is in quotes or brackets already.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from pipeline.config.schema import KINDS, SECTIONS, Section
from pipeline.upstream import parse_override
from programde.option_fields import Spec

#: How a value begins that is written for Hydra or OmegaConf.
WRITTEN = ("'", '"', "[", "{", "${")


def as_typed(words: Sequence[str]) -> list[str]:
    """The words with paths in quotes and lists in brackets where Hydra needs them."""
    several = any(w in ("-m", "--multirun") or w.startswith("experiment=") for w in words)
    return [_as_typed(word, several) for word in words]


def in_quotes(text: str) -> str:
    """A text as Hydra and OmegaConf read it, whatever it holds."""
    # a backslash has a meaning only before a quote, and before OmegaConf's ${
    escaped = re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + ("\\'" if found[2] else ""), text)
    return "'" + escaped.replace("${", "\\${") + "'"


def _as_typed(word: str, several: bool) -> str:
    key, sign, value = word.partition("=")
    spec = specs_of_keys().get(key.lstrip("+"))
    if not sign or spec is None or value in ("", "null"):
        return word
    names_file = "path" in spec.limits or (spec.items and str in spec.kinds)
    if names_file and _is_there(value):
        return f"{key}={_text(value)}"
    if value.startswith(WRITTEN):
        return word
    files = value.split(",")
    if names_file and len(files) > 1 and all(map(_is_there, files)):
        return f"{key}={','.join(map(_text, files))}"  # a sweep
    override = parse_override(word)
    swept = override is not None and override.is_sweep_override()
    if spec.items:
        if several or (swept and "(" in value):
            return word
        if str in spec.kinds and not swept and override is not None:
            return word
        plain = [one.strip() for one in value.split(",")]
        texts = map(_text, plain) if str in spec.items else plain
        return f"{key}=[{','.join(texts)}]"
    if "path" in spec.limits and not (swept and (several or "(" in value)):
        return f"{key}={_text(value)}"
    return word


def _text(value: str) -> str:
    """A text as it is where Hydra reads the same, else in quotes."""
    override = parse_override(f"key=[{value}]")
    same = override is not None and override.value() == [value]
    return value if same and "${" not in value else in_quotes(value)


def _is_there(path: str) -> bool:
    try:
        return Path(path).expanduser().exists()
    except (OSError, RuntimeError, ValueError):  # too long; no such user; not for this system
        return False


@cache
def specs_of_keys() -> Mapping[str, Spec]:
    """What each key may hold; where kinds of a section differ, a path or a list before others."""
    found: dict[str, Spec] = {}
    for name, section in SECTIONS.items():
        found |= dict(_specs(f"{name}.", section))
    for name, kinds in KINDS.items():
        for section in kinds.values():
            for key, spec in _specs(f"{name}.", section):
                if key not in found or "path" in spec.limits or spec.items:
                    found[key] = spec
    return found


def _specs(prefix: str, section: Section) -> Iterator[tuple[str, Spec]]:
    for key, spec in section.keys.items():
        if isinstance(spec, Section):
            yield from _specs(f"{prefix}{key}.", spec)
        else:
            yield prefix + key, spec
