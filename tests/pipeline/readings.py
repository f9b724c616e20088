"""What stage prepare makes of a source, by what is said of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from programde.errors import InputError

from .source_files import write_sources
from .wiring import Run, first_run, run_again

Check = Callable[[Run, Run], None]
Prepared = Callable[[str], tuple[Run, tuple[str, ...], Path]]
FILES = ("h5ad", "h5mu", "perturbnmf", "cnmf", "guide_tables")
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
    folder = tmp_path_factory.mktemp("wiring_data")
    sources = write_sources(folder)
    made: dict[str, Run] = {}

    def run(source: str) -> tuple[Run, tuple[str, ...], Path]:
        if source not in made:
            words = (*sources[source], *ALSO)
            made[source] = first_run(folder / source, words, ["prepare"])
        return made[source], (*sources[source], *ALSO), folder

    return run


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
