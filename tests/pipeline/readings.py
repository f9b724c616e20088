"""What stage prepare makes of a source, by what is said of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml

from pipeline.files import parse_yaml
from programde.errors import InputError
from tests.sharing import made_once, shared_folder

from .source_files import write_sources
from .wiring import Run, first_run, run_again

Check = Callable[[Run, Run], None]
Prepared = Callable[[str], tuple[Run, tuple[str, ...], Path]]
FILES = ("h5ad", "h5mu", "perturbnmf", "cnmf", "folder", "guide_tables")
ALSO = ("covariates.formula=linear", "compute=serial")


@dataclass(frozen=True)
class Reading:
    """A key, what is said in its place, and what the screen then is.

    Attributes
    ----------
    key
        As `wiring.keys_of_conf` names it.
    source
        Form of the screen.
    words
        The change; ``{f}`` stands for the folder of the files.
    check
        Given the runs before and after.
    refused
        The words but the last, which give an error.
    """

    key: str
    source: str
    words: tuple[str, ...]
    check: Check
    refused: bool = False


def name_of(reading: Reading) -> str:
    """The id of its test."""
    return " ".join([reading.source, *reading.words]).replace("{f}/", "")


def floored(usage: np.ndarray) -> np.ndarray:
    """Usages with the default floor under them."""
    raised = np.maximum(usage, np.quantile(usage, 1e-4))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Of a source the screen as its words say, those words, and the folder of its files."""
    folder = shared_folder(tmp_path_factory, "wiring_data")
    words_of = made_once(folder / "words.yaml", lambda: write_words(folder))
    sources = parse_yaml(words_of.read_text())
    made: dict[str, Run] = {}

    def run(source: str) -> tuple[Run, tuple[str, ...], Path]:
        words, place = (*sources[source], *ALSO), folder / source
        if source not in made:
            made_once(place, lambda: first_run(place, words, ["prepare"]))
            made[source] = Run(place)
        return made[source], words, folder

    return run


def write_words(folder: Path) -> None:
    """Every source, and the words that name it."""
    sources = {name: list(words) for name, words in write_sources(folder).items()}
    (folder / "words.yaml").write_text(yaml.safe_dump(sources))


def judge(reading: Reading, prepared: Prepared, place: Path) -> None:
    """Run stage prepare with the words, and check the screen."""
    before, base, folder = prepared(reading.source)
    words = tuple(word.replace("{f}", str(folder)) for word in reading.words)
    if "copy.h5mu" in words[-1]:
        (folder / "copy.h5mu").write_bytes((folder / "screen.h5mu").read_bytes())
    names_a_file = any("{f}" in word or "usage=" in word for word in reading.words)
    how = {"compose_all": base if names_a_file else ()}
    if reading.refused:
        with pytest.raises(InputError):
            run_again(before.folder, place / "refused", words[:-1], **how)
    after, _ = run_again(before.folder, place / "run", words, **how)
    reading.check(before, after)
