"""A project: a folder with conf/, pipeline/ and dvc.yaml, pinned to a version of the library.

    conf/              what can be chosen, for Hydra
    pipeline/          the stages, thin
    dvc.yaml           what is computed from what, for DVC
    requirements.txt   the version of the library; every stage depends on it
    params.yaml        conf/ resolved, written by the first stage

In the checkout stages depend on the files of the library that they import. In a project the library
is an installed package: there `requirements.txt` stands for it, so that a new version reruns the
stages, and only a new version does.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from programde import __version__
from programde.errors import InputError

PIN = "requirements.txt"
#: What was laid out, by name and hash: tells what has been edited since.
RECORD = ".programde.json"
TREES = ("conf", "pipeline")

_PIN_TEXT = """\
# The version that this project's results are of: every stage depends on this file.
programde[pipeline]=={version}
"""
_IGNORE = """\
/data/
/reports/*
!/reports/.gitkeep
/sweeps/
/mlflow.db*
/mlruns/
/mlartifacts/
/outputs/
/multirun/
/.venv/
__pycache__/
*.tmp
"""
_ABOUT = """\
# A programDE project

| | |
|---|---|
| `conf/` | what can be chosen; `programde keys` explains every key |
| `conf/run.yaml` | the words of the last `programde run`, on top of `conf/config.yaml` |
| `pipeline/` | the stages, yours to change |
| `dvc.yaml`, `dvc.lock` | what is computed from what, and what was |
| `requirements.txt` | the version of programDE; another one reruns the stages |
| `reports/index.html` | the report; the tables lie beside it |

`programde run` (or `dvc repro`) computes what changed, `programde open` shows the report,
`programde sweep -m sampler=bernoulli,stratified` compares settings, `programde ui` shows the record
of sweeps. `programde init .` brings the project up to the version that is installed.
"""
_DVC_IGNORED = "/config.local\n/tmp\n/cache\n"
_DVC_CONFIG = "[core]\n    analytics = false\n    check_update = false\n    autostage = false\n"


@dataclass
class Changes:
    """What laying out a project did to its folder.

    Attributes
    ----------
    written, kept, beside, removed
        Files that were written; edited ones that were left as they are; edited ones of which a new
        form lies beside as FILE.new; files that are gone from the template.
    before
        The version that the project was of; empty for a new one.
    """

    written: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    beside: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    before: str = ""


def template() -> Path:
    """The folder that holds conf/, pipeline/ and dvc.yaml as they are laid out."""
    here = Path(__file__).parent
    inside = here / "template"
    return inside if inside.is_dir() else here.parent


def is_project(folder: Path) -> bool:
    """Whether a folder is a project, or the checkout."""
    needed = ("dvc.yaml", "conf/config.yaml", "pipeline/stages/compose.py")
    return all((folder / name).is_file() for name in needed)


def is_checkout(folder: Path) -> bool:
    """Whether a folder holds the library itself, whose files its stages depend on."""
    return is_project(folder) and (folder / "programde" / "__init__.py").is_file()


def dvc_yaml(text: str) -> str:
    """The checkout's dvc.yaml for a project, where the library is a package of one version."""
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("      - programde/"):
            continue
        lines.append(line.replace("# code: make deps", "# code, and the library's version"))
        if line.strip() == "# code: make deps":
            lines.append(f"      - {PIN}")
    return "\n".join(lines) + "\n"


def contents() -> dict[str, bytes]:
    """All files of a project by name."""
    source = template()
    found = {}
    for tree in TREES:
        for file in sorted((source / tree).rglob("*")):
            parts = file.relative_to(source)
            compiled = "__pycache__" in parts.parts or file.suffix in (".pyc", ".tmp")
            if file.is_file() and not compiled and str(parts) != "conf/run.yaml":
                found[parts.as_posix()] = file.read_bytes()
    whole = (source / "dvc.yaml").read_text(encoding="utf-8")
    texts = {
        "dvc.yaml": dvc_yaml(whole),
        PIN: _PIN_TEXT.format(version=__version__),
        "README.md": _ABOUT,
        ".gitignore": _IGNORE,
        ".dvcignore": (source / ".dvcignore").read_text(encoding="utf-8"),
        ".dvc/.gitignore": _DVC_IGNORED,
        "reports/.gitkeep": "",
    }
    return found | {name: text.encode() for name, text in texts.items()}


def pinned(folder: Path) -> str:
    """The version that a project is of; empty where it says none."""
    file = folder / PIN
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    found = re.search(r"^programde(?:\[[\w,]*\])?==(\S+)", text, re.MULTILINE)
    return found[1] if found else ""


def is_current(folder: Path) -> bool:
    """Whether a project is of the installed version and form."""
    about = _record(folder)
    return pinned(folder) == __version__ and about.get("form") == _form(contents())


def lay_out(folder: Path) -> Changes:
    """Write a project into a folder, or bring one up to the installed version.

    A file that has been edited since it was laid out is left alone; where its new form differs,
    that lies beside it as FILE.new.

    Raises
    ------
    InputError
        The folder is the checkout, or holds other things.
    """
    if is_checkout(folder):
        raise InputError(f"{folder} is the checkout of programDE, a project already: make run")
    if folder.is_dir() and not is_project(folder) and any(folder.iterdir()):
        raise InputError(f"{folder} is no project and not empty: name a new folder")
    before, new = _record(folder), contents()
    old: dict[str, str] = before.get("files", {})
    changes = Changes(before=pinned(folder))
    for name, content in new.items():
        file = folder / name
        now = _hash(file.read_bytes()) if file.is_file() else None
        if now == _hash(content):
            continue
        if now is None or now == old.get(name) or name == PIN:
            _write(file, content)
            changes.written.append(name)
        elif old.get(name) == _hash(content):
            changes.kept.append(name)
        else:
            _write(file.with_name(file.name + ".new"), content)
            changes.beside.append(name)
    for name, hashed in old.items():
        file = folder / name
        if name not in new and file.is_file() and _hash(file.read_bytes()) == hashed:
            file.unlink()
            changes.removed.append(name)
    if not (folder / ".dvc" / "config").is_file():
        alone = "" if _in_git(folder) else "    no_scm = true\n"
        _write(folder / ".dvc" / "config", (_DVC_CONFIG + alone).encode())
    hashes = {name: _hash(content) for name, content in new.items()}
    record = {"version": __version__, "form": _form(new), "files": hashes}
    _write(folder / RECORD, (json.dumps(record, indent=1) + "\n").encode())
    return changes


def _record(folder: Path) -> dict[str, Any]:
    try:
        about = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return about if isinstance(about, dict) else {}


def _form(files: dict[str, bytes]) -> str:
    return _hash(b"".join(name.encode() + b"\0" + files[name] for name in sorted(files)))


def _hash(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}-{secrets.token_hex(4)}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


def _in_git(folder: Path) -> bool:
    """Whether the folder lies in a git repository, which DVC then works with."""
    try:
        asked = subprocess.run(
            ["git", "-C", str(folder), "rev-parse", "--is-inside-work-tree"], capture_output=True
        )
    except OSError:
        return False
    return asked.returncode == 0
