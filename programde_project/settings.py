"""All settings with their default and meaning, read from conf/ and the option classes."""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

#: ``key: value  # meaning``, and a line that goes on with the meaning of the one above.
_LINE = re.compile(r"^( *)(\w+):(?: +([^#]*?))? *(?:# ?(.*))?$")
_MORE = re.compile(r"^ {20,}# ?(.*)$")


def parse_yaml(text: str) -> Any:
    """YAML as plain data, by libyaml where it is there (as in `pipeline`, not in a wheel)."""
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


@dataclass(frozen=True)
class Setting:
    """One key.

    Attributes
    ----------
    key
        As on a command line.
    default
        As YAML writes it; ``???`` where it must be given.
    meaning
        What it does, in a sentence or less.
    allowed
        Type or range, where it says more than the default does.
    choice
        The word under which the key exists: ``sampler=stratified``; empty: always.
    """

    key: str
    default: str
    meaning: str
    allowed: str = ""
    choice: str = ""


def meanings(file: Path) -> dict[str, str]:
    """What the comments of a YAML file say of its keys, nested ones as ``a.b``."""
    found: dict[str, str] = {}
    path: list[tuple[int, str]] = []
    last = ""
    for line in file.read_text(encoding="utf-8").splitlines():
        if (more := _MORE.match(line)) and last in found:
            found[last] += " " + more[1].strip()
        elif key := _LINE.match(line):
            indent = len(key[1])
            path = [one for one in path if one[0] < indent] + [(indent, key[2])]
            last = ".".join(name for _, name in path)
            if key[4]:
                found[last] = key[4].strip()
        else:
            last = ""
    return found


def choices(conf: Path) -> dict[str, list[str]]:
    """The folders of conf/ and what can be picked of each."""
    return {
        folder.name: sorted(file.stem for file in folder.glob("*.yaml"))
        for folder in sorted(conf.iterdir())
        if folder.is_dir() and folder.name != "hydra"
    }


def picked(conf: Path) -> dict[str, str]:
    """What conf/config.yaml picks of each folder."""
    listed = parse_yaml((conf / "config.yaml").read_text(encoding="utf-8"))["defaults"]
    pairs = [next(iter(one.items())) for one in listed if isinstance(one, dict)]
    return {str(key): str(value) for key, value in pairs if not str(key).startswith("override")}


def headline(file: Path) -> str:
    """The comment at the head of a file of conf/, as one line."""
    lines = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.startswith("# "):
            break
        if not line.startswith("# @"):
            lines.append(line[2:])
    return " ".join(lines)


def settings(root: Path) -> Iterator[Setting]:
    """All settings of the project at `root`, in the order of conf/config.yaml and its folders."""
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    from pipeline.config.schema import KINDS, ROOT, SECTIONS
    from programde.crt.options import RunOptions

    conf = root / "conf"
    chosen, said = picked(conf), meanings(conf / "config.yaml")
    base = parse_yaml((conf / "config.yaml").read_text(encoding="utf-8"))
    for group, names in choices(conf).items():
        default = chosen.get(group, "None").replace("None", "null")
        lines = [f"{name}: {headline(conf / group / f'{name}.yaml')}" for name in names]
        yield Setting(group, default, "\n".join(lines))
    for name, spec in ROOT.items():
        documented = _documented(RunOptions.__doc__ or "").get(name, "")
        yield _setting(name, spec, base, said.get(name, ""), docs=documented)
    for name, section in SECTIONS.items():
        file = conf / name / f"{chosen.get(name)}.yaml"
        own = _loaded(file) if file.is_file() else base.get(name) or {}
        comments = meanings(file) if file.is_file() else {}
        for key, spec, value in _flat(section, own):
            meaning = said.get(f"{name}.{key}", "") or comments.get(key, "")
            yield _setting(f"{name}.{key}", spec, value, meaning, docs=_doc(section, key))
    for group, kinds in KINDS.items():
        for name in choices(conf)[group]:
            file = conf / group / f"{name}.yaml"
            section = kinds[_kind(file)]
            comments = _with_parents(file)
            for key, spec, value in _flat(section, _loaded(file)):
                yield _setting(
                    f"{group}.{key}", spec, value, comments.get(key, ""),
                    docs=_doc(section, key), choice=f"{group}={name}",
                )  # fmt: skip


def _flat(section: Any, values: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Keys of a section, nested ones dotted, each with its spec and the values that hold it."""
    for key, spec in section.keys.items():
        if hasattr(spec, "keys"):
            for inner, one, value in _flat(spec, values.get(key) or {}):
                yield f"{key}.{inner}", one, value
        else:
            yield key, spec, values


def _setting(
    key: str, spec: Any, values: Mapping[str, Any], meaning: str, docs: str = "", choice: str = ""
) -> Setting:
    from programde.option_fields import REQUIRED

    last = key.split(".")[-1]
    default = values.get(last, spec.default)
    shown = "???" if default is REQUIRED or default == "???" else _yaml(default)
    return Setting(key, shown, meaning or docs, _allowed(spec), choice)


def _yaml(value: Any) -> str:
    if isinstance(value, tuple):
        value = list(value)
    text = yaml.safe_dump(value, default_flow_style=True, width=1000, allow_unicode=True)
    return text.replace("\n...", "").strip()


def _allowed(spec: Any) -> str:
    if "choices" in spec.limits:
        return "one of " + ", ".join(map(str, spec.limits["choices"]))
    signs = {"minimum": ">=", "above": ">", "maximum": "<=", "below": "<"}
    said = [f"{sign} {spec.limits[name]:g}" for name, sign in signs.items() if name in spec.limits]
    return " and ".join(said)


def _kind(file: Path) -> str:
    """The kind of a section that a file of conf/ sets, through the file that it begins with."""
    first = parse_yaml(file.read_text(encoding="utf-8"))["defaults"][0]
    if str(first).startswith("/options/"):
        return str(first).split("/")[3].split("@")[0]
    return _kind(file.with_name(f"{first}.yaml"))


def _parent(file: Path) -> Path | None:
    first = str(parse_yaml(file.read_text(encoding="utf-8"))["defaults"][0])
    return None if first.startswith("/") else file.with_name(f"{first}.yaml")


def _loaded(file: Path) -> dict[str, Any]:
    """The values of a file of conf/, on top of those of the file that it begins with."""
    own = parse_yaml(file.read_text(encoding="utf-8"))
    parent = _parent(file) if "defaults" in own else None
    return {**(_loaded(parent) if parent else {}), **own}


def _with_parents(file: Path) -> dict[str, str]:
    parent = _parent(file)
    return {**(_with_parents(parent) if parent else {}), **meanings(file)}


def _doc(section: Any, key: str) -> str:
    """What the docstring of an option class, or of one that it comes from, says of a field."""
    inner = section
    *outer, last = key.split(".")
    for name in outer:
        inner = inner.keys[name]
    for cls in getattr(inner.target, "__mro__", ()):
        if found := _documented(cls.__doc__ or "").get(last):
            return found
    return ""


def _documented(doc: str) -> dict[str, str]:
    """Name -> description, of a docstring in numpy's form."""
    found: dict[str, str] = {}
    names: list[str] = []
    for line in textwrap.dedent("    " + doc).splitlines():
        if re.fullmatch(r"[\w, ]+", line.strip()) and line[:4].strip():
            names = [name.strip() for name in line.split(",")]
        elif line.startswith("    " * 2) or (names and line.startswith("    ") and line.strip()):
            for name in names:
                found[name] = (found.get(name, "") + " " + line.strip()).strip()
        else:
            names = []
    return found
