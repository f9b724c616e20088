"""Finished blocks are kept: a run that was killed goes on from them, with the same bytes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from programde.analysis.targets import run_targets
from programde.crt.checkpoint import ABOUT, Checkpoint
from programde.crt.options import RunOptions
from programde.crt.samplers import Bernoulli
from programde.crt.statistics import OLS
from programde.errors import InputError, OptionError
from programde.progress import Progress
from programde.screen.store import load_screen, save_screen
from tests.crt.same_bytes import assert_same_bytes
from tests.crt.small import screen_of

NTC = {"ntc_labels": "NTC"}
OPTIONS = RunOptions(OLS(), Bernoulli(), n_resamples=29, progress=False, min_treated=2)
ROOT = Path(__file__).parents[2]


def screen(seed=0):
    return screen_of(n=900, k=4, n_targets=40, n_ntc=20, n_batches=2, one_guide=True, seed=seed)


@pytest.fixture
def stopped(monkeypatch):
    """Stops a run after some blocks, as a user would."""

    def after(n_blocks: int) -> None:
        told = []

        def advance(self, done=1):
            told.append(done)
            if len(told) > n_blocks:
                raise KeyboardInterrupt

        monkeypatch.setattr(Progress, "advance", advance)

    return after


KILLED = """
import os, signal
from pathlib import Path
from programde.analysis.targets import run_targets
from programde.crt.checkpoint import Checkpoint
from programde.progress import Progress
from programde.screen.store import load_screen
from tests.analysis.test_checkpoint import NTC, OPTIONS

def advance(self, done=1, told=[]):
    told.append(done)
    if len(told) == 2:  # the first block is on disk, the second is not
        os.kill(os.getpid(), signal.SIGKILL)

Progress.advance = advance
run_targets(load_screen("screen"), OPTIONS, checkpoint=Checkpoint("kept", every=0), **NTC)
"""


@pytest.mark.slow
def test_the_same_bytes_after_a_kill(tmp_path):
    save_screen(screen(), tmp_path / "screen")
    done = subprocess.run(
        [sys.executable, "-c", KILLED], cwd=tmp_path, timeout=300, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL
    (kept,) = (tmp_path / "kept").iterdir()
    assert json.loads((kept / ABOUT).read_text()) == {"what": "targets", "units": 40, "programs": 4}
    stored = load_screen(tmp_path / "screen")
    with pytest.warns(UserWarning, match="16 of 40 targets were tested by a run that was stopped"):
        result = run_targets(stored, OPTIONS, checkpoint=tmp_path / "kept", **NTC)
    assert_same_bytes(result, run_targets(stored, OPTIONS, **NTC))
    assert not (tmp_path / "kept").exists()


def kept_rows(folder: Path) -> int:
    """Rows that lie in a folder."""
    return sum(np.load(file)["rows"].size for file in folder.rglob("*.npz"))


@pytest.mark.slow
@pytest.mark.brief
def test_an_interrupt_loses_no_finished_block(tmp_path, stopped, monkeypatch):
    stopped(2)
    with pytest.raises(KeyboardInterrupt):
        run_targets(screen(), OPTIONS, checkpoint=tmp_path, **NTC)
    # the third block was being told of when the interrupt came
    assert kept_rows(tmp_path) == 32
    monkeypatch.undo()
    with pytest.warns(UserWarning, match="32 of 40"):
        result = run_targets(screen(), replace(OPTIONS, n_jobs=2), checkpoint=tmp_path, **NTC)
    assert_same_bytes(result, run_targets(screen(), OPTIONS, **NTC))
    assert not tmp_path.exists()


@pytest.mark.slow
@pytest.mark.brief
@pytest.mark.parametrize(
    "other",
    ["seed", "n_resamples", "screen", "targets", "statistic", "control"],
)
def test_another_run_takes_nothing_and_deletes_nothing(tmp_path, stopped, monkeypatch, other):
    stopped(1)
    with pytest.raises(KeyboardInterrupt):
        run_targets(screen(), OPTIONS, checkpoint=tmp_path, **NTC)
    before = kept_rows(tmp_path)
    assert before
    monkeypatch.undo()
    changed = {
        "seed": replace(OPTIONS, seed=OPTIONS.seed + 1),
        "n_resamples": replace(OPTIONS, n_resamples=19),
        "statistic": replace(OPTIONS, statistic=Mine()),
    }.get(other, OPTIONS)
    how = {"targets": [f"T{i}" for i in range(39)]} if other == "targets" else {}
    how |= {"control": "complement"} if other == "control" else {}
    again = screen(seed=1 if other == "screen" else 0)
    result = run_targets(again, changed, checkpoint=tmp_path, **how, **NTC)
    assert_same_bytes(result, run_targets(again, changed, **how, **NTC))
    assert kept_rows(tmp_path) == before


class Mine(OLS):
    """A statistic of one's own."""


@pytest.mark.slow
@pytest.mark.brief
def test_a_file_that_cannot_be_read_is_as_if_it_were_not_there(tmp_path, stopped, monkeypatch):
    stopped(2)
    with pytest.raises(KeyboardInterrupt):
        run_targets(screen(), OPTIONS, checkpoint=Checkpoint(tmp_path, every=0), **NTC)
    monkeypatch.undo()
    first, *_ = sorted(tmp_path.rglob("*.npz"))
    first.write_bytes(first.read_bytes()[:1000])
    with pytest.warns(UserWarning, match="16 of 40"):
        result = run_targets(screen(), OPTIONS, checkpoint=tmp_path, **NTC)
    assert_same_bytes(result, run_targets(screen(), OPTIONS, **NTC))


@pytest.mark.slow
@pytest.mark.brief
def test_several_runs_keep_until_all_are_done(tmp_path):
    with Checkpoint(tmp_path / "kept", every=0) as kept:
        first = run_targets(screen(), OPTIONS, checkpoint=kept, **NTC)
        assert kept_rows(kept.folder) == 40
        with pytest.warns(UserWarning, match="40 of 40"):
            again = run_targets(screen(), OPTIONS, checkpoint=kept, **NTC)
        assert_same_bytes(again, first)
    assert not kept.folder.exists()
    kept = Checkpoint(tmp_path / "kept", every=0)
    run_targets(screen(), OPTIONS, checkpoint=kept, **NTC)
    kept.__exit__(ZeroDivisionError, None, None)
    assert kept_rows(kept.folder) == 40


def test_a_short_run_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "mkdir", None)
    run_targets(screen(), OPTIONS, checkpoint=tmp_path / "kept", **NTC)
    assert not (tmp_path / "kept").exists()


def test_what_cannot_be_kept_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file; name a folder"):
        run_targets(screen(), OPTIONS, checkpoint=tmp_path / "file", **NTC)
    tmp_path.joinpath("kept").mkdir()
    own = replace(OPTIONS, propensity=np.vectorize(abs), given="propensity")
    with pytest.raises(OptionError, match=r"cannot be told by what it holds.*leave checkpoint="):
        run_targets(screen(), own, checkpoint=tmp_path / "kept", **NTC)
