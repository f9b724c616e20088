"""The words of a command line: a screen and ``key=value``, as the pipeline takes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from programde.errors import InputError, OptionError, absent

#: Suffix of a screen's file -> the source that reads it.
SOURCES = {".h5ad": "h5ad", ".zarr": "h5ad", ".h5mu": "h5mu"}

#: Keys whose value is a path.
PATHS = (
    "analysis.pairs",
    "report.gene_sets",
    *(f"data.{key}" for key in (
        "assignments", "covariates", "folder", "guide_metadata", "guides_path", "out_dir", "path",
        "positive_controls", "program_names", "screen", "spectra", "usage",
    )),
)  # fmt: skip


def take_apart(arguments: Sequence[str]) -> tuple[Path | None, list[str]]:
    """The screen of a command line, if it names one, and its words ``key=value``.

    Raises
    ------
    InputError, OptionError
        A screen that is not there or of no known kind; two of them; a screen beside ``data=``.
    """
    screens = [word for word in arguments if "=" not in word and not word.startswith(("~", "-"))]
    words = [word for word in arguments if word not in screens]
    if len(screens) > 1:
        raise OptionError(f"{screens[1]} is a second screen, or lacks its =: write key=value")
    words = [_from_here(word) for word in words]
    if not screens:
        return None, words
    screen = Path(screens[0]).expanduser()
    if not screen.exists():
        nowhere = "does not exist; give a file, or words key=value"
        raise InputError(f"{screens[0]} {absent(screens[0], nowhere)}")
    kind = SOURCES.get(screen.suffix)
    if kind is None:
        raise InputError(
            f"{screen}: a screen is an .h5ad, .h5mu or .zarr file; other sources are named by "
            "words: data=cnmf data.folder=..., data=perturbnmf ..., data=guide_tables ..."
        )
    if told := next((w for w in words if w.startswith(("data=", "data.path="))), None):
        raise OptionError(f"{told} beside {screen}: name the screen in one of the two ways")
    return screen, [f"data={kind}", f"data.path={quoted(str(screen.resolve()))}", *words]


def quoted(path: str) -> str:
    """A path as Hydra reads it: in quotes where it holds a sign with a meaning."""
    plain = path.translate(str.maketrans("", "", "/._-+%@~:\\")).isalnum()
    return path if plain and path.isascii() else "'" + path.replace("'", "\\'") + "'"


def _from_here(word: str) -> str:
    """A word whose value is a path, made absolute: the project lies elsewhere."""
    key, _, value = word.partition("=")
    if key.lstrip("+") not in PATHS or value[:1] in ("'", '"', "[") or value == "null":
        return word
    files = [Path(one).expanduser() for one in value.split(",")]
    if not all(file.exists() for file in files):
        return word  # the pipeline says what is wrong with it
    return f"{key}=" + ",".join(quoted(str(file.resolve())) for file in files)


def folder_name(screen: Path | None, words: Sequence[str]) -> str:
    """What the project of a screen is called."""
    if screen is None:
        values = dict(word.split("=", 1) for word in words if "=" in word)
        named = (values.get(f"data.{key}") for key in ("path", "screen", "run_name", "usage"))
        where = next(filter(None, named), None) or values.get("data", "project")
        screen = Path(where.strip("'\""))
    return f"{screen.stem}_programde"
