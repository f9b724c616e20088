"""Tests handed to an executor: the bytes of threads, and one clear line where something fails."""

from __future__ import annotations

from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from programde.analysis.ntc_groups import run_ntc_groups
from programde.analysis.spiked_controls import run_spikes
from programde.analysis.targets import run_targets
from programde.controls.options import SpikeOptions
from programde.crt import engine
from programde.crt.checkpoint import Checkpoint
from programde.crt.options import RunOptions
from programde.crt.samplers import Bernoulli, StratifiedPermutation
from programde.crt.statistics import OLS, UTest
from programde.errors import InputError, OptionError, ProgramDEError
from programde.io.anndata import read_h5ad
from programde.progress import Progress
from programde.screen.chosen import is_stored
from programde.screen.screen import Screen
from programde.screen.store import load_screen, save_screen
from programde.screen.synthetic import make_sceptre_style_synth
from tests.crt.same_bytes import assert_same_bytes
from tests.crt.small import screen_of

NTC = {"ntc_labels": "NTC"}


def one_guide(**changes) -> Screen:
    how = {"n": 700, "k": 5, "n_targets": 9, "n_ntc": 24, "n_batches": 3, "one_guide": True}
    return screen_of(**{**how, "zeros": 0.1, "confounding": 0.4, **changes})


def options(statistic=None, sampler=None, **changes) -> RunOptions:
    how = {"n_resamples": 49, "progress": False, "min_treated": 2}
    return RunOptions(statistic or OLS(), sampler or Bernoulli(), **{**how, **changes})


@pytest.fixture(scope="module")
def threads():
    """An executor in this process: what workers do, without their start."""
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.mark.slow
@pytest.mark.brief
@pytest.mark.parametrize("control", ["nt_cells", "complement"])
@pytest.mark.parametrize(
    ("statistic", "sampler"), [(OLS(), Bernoulli()), (UTest(), StratifiedPermutation(n_bins=3))]
)
def test_the_same_bytes(threads, control, statistic, sampler):
    screen, how = one_guide(), options(statistic, sampler)
    here = run_targets(screen, how, control=control, **NTC)
    there = run_targets(screen, how, control=control, executor=threads, **NTC)
    assert not any(here.status)
    assert_same_bytes(there, here)
    several = run_targets(screen, replace(how, n_jobs=3), control=control, **NTC)
    assert_same_bytes(several, here)


@pytest.mark.slow
@pytest.mark.brief
def test_the_same_bytes_by_condition_and_of_groups_from_a_stored_screen(threads, tmp_path):
    screen = one_guide()
    half = np.array(["early", "late"], dtype=object)[np.arange(screen.n_cells) % 2]
    save_screen(replace(screen, condition=half), tmp_path / "screen")
    screen, how = load_screen(tmp_path / "screen"), options(n_resamples=0)
    by = {"by_condition": True, **NTC}
    here = run_targets(screen, how, **by)
    kept = tmp_path / "kept"
    there = run_targets(screen, how, executor=threads, checkpoint=kept, **by)
    assert_same_bytes(there, here)
    assert not kept.exists()
    groups = [run_ntc_groups(screen, how, n_partitions=2, group_size=2, executor=executor, **by)
              for executor in (None, threads)]  # fmt: skip
    assert_same_bytes(groups[0].result, groups[1].result)


def test_known_effects_have_the_same_bytes(threads, tmp_path):
    screen, how = one_guide(), options(n_resamples=0)
    sizes = SpikeOptions(n_sets=2, n_unspiked_sets=3, fold_changes=(1.5, 2.0), most_programs=2)
    here = run_spikes(screen, how, sizes, control="nt_cells", **NTC)
    kept = tmp_path / "kept"
    where = {"executor": threads, "checkpoint": kept}
    there = run_spikes(screen, how, sizes, control="nt_cells", **where, **NTC)
    for of in ("spiked", "unspiked"):
        assert_same_bytes(getattr(there, of), getattr(here, of))
        assert not any(getattr(here, of).status)
    assert not kept.exists()


def no_propensity(C, x):
    return np.full(len(C), x.mean())


def test_what_cannot_be_handed_over_is_named_before_anything_runs(threads):
    screen = one_guide()
    with pytest.raises(OptionError, match=r"n_jobs=2 counts threads.*leave one of them away"):
        run_targets(screen, options(n_jobs=2), executor=threads, **NTC)
    own = options(propensity=lambda C, x: no_propensity(C, x), given="propensity")
    with pytest.raises(OptionError, match=r"cannot be handed to other processes.*lambda"):
        run_targets(screen, own, executor=threads, **NTC)
    own = options(propensity=no_propensity, given="propensity")
    assert run_targets(screen, own, executor=threads, **NTC).units


def refuses(C, x):
    raise InputError("no propensity today")


def fails(C, x):
    raise ZeroDivisionError("a slip")


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_failed_block_names_its_targets(threads, elsewhere):
    executor, screen = threads if elsewhere else None, one_guide()
    own = options(propensity=refuses, given="propensity")
    with pytest.raises(InputError, match=r"no propensity today \(while testing T\d"):
        run_targets(screen, own, executor=executor, **NTC)
    with pytest.raises(ZeroDivisionError, match="a slip") as caught:
        run_targets(screen, replace(own, propensity=fails), executor=executor, **NTC)
    assert "while testing T" in caught.value.__notes__[0]


class Recording(Executor):
    """Runs some calls at once, and then keeps the rest waiting, or breaks."""

    _max_workers = 2

    def __init__(self, n_done: int, breaks: BaseException | None = None):
        self.futures: list[Future] = []
        self._n_done, self._breaks = n_done, breaks

    def submit(self, call, /, *args, **kwargs):
        future: Future = Future()
        self.futures.append(future)
        if len(self.futures) <= self._n_done:
            future.set_result(call(*args, **kwargs))
        elif self._breaks is not None:
            future.set_exception(self._breaks)
        return future


def many_blocks() -> Screen:
    return one_guide(n=1500, n_targets=90, n_ntc=30)


def test_an_interrupt_cancels_what_is_asked_for(monkeypatch):
    def interrupt(self, done=1):
        raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "advance", interrupt)
    executor = Recording(1)
    with pytest.raises(KeyboardInterrupt):
        run_targets(many_blocks(), options(n_resamples=0), executor=executor, **NTC)
    assert len(executor.futures) == 6  # two ahead of each worker, and two
    assert all(future.cancelled() for future in executor.futures[1:])


@pytest.mark.slow
@pytest.mark.brief
def test_progress_is_told_per_unit(monkeypatch, threads):
    told = []
    monkeypatch.setattr(Progress, "advance", lambda self, done=1: told.append(done))
    run_targets(many_blocks(), options(n_resamples=0), executor=threads, **NTC)
    assert sum(told) == 90
    assert len(told) == 6


@pytest.mark.slow
@pytest.mark.brief
@pytest.mark.parametrize(
    ("error", "line"),
    [
        (BrokenExecutor("a process died"), "a process of the executor was killed"),
        (RuntimeError("cannot schedule new futures after shutdown"), "was shut down"),
        (ModuleNotFoundError("No module named 'programde'"), "a worker lacks what is installed"),
    ],
)
def test_an_executor_that_is_gone_says_what_was_done_and_how_to_go_on(tmp_path, error, line):
    screen, how = many_blocks(), options(n_resamples=0)
    with pytest.raises(ProgramDEError, match=line) as caught:
        run_targets(screen, how, executor=Recording(2, error), **NTC)
    assert "32 of 90 units were done and are lost; with checkpoint=FOLDER" in str(caught.value)
    with pytest.raises(ProgramDEError, match="run the same again, and it goes on from there"):
        run_targets(screen, how, executor=Recording(2, error), checkpoint=tmp_path, **NTC)
    executor = Recording(99)
    with pytest.warns(UserWarning, match="32 of 90 targets were tested by a run that was stopped"):
        result = run_targets(screen, how, executor=executor, checkpoint=tmp_path, **NTC)
    assert len(executor.futures) == 4
    assert_same_bytes(result, run_targets(screen, how, **NTC))


def test_a_submit_that_fails_says_so_too():
    class Gone(Recording):
        def submit(self, call, /, *args, **kwargs):
            raise RuntimeError("cannot schedule new futures after shutdown")

    with pytest.raises(ProgramDEError, match="the executor was shut down; 0 of 9 units"):
        run_targets(one_guide(), options(), executor=Gone(0), **NTC)


def test_the_engine_hands_out_what_was_not_done(monkeypatch):
    """Nothing large is made for blocks that are tested elsewhere."""
    monkeypatch.setattr(engine, "_tested", None)
    result = run_targets(one_guide(), options(n_resamples=0), executor=Recording(9), **NTC)
    assert not any(result.status)


@pytest.mark.slow
@pytest.mark.brief
@pytest.mark.filterwarnings("ignore::programde.errors.ProgramDEWarning")
def test_a_screen_that_stays_in_its_file(threads, tmp_path):
    """Workers read the rows that they need; what is kept is known by the file and its state."""
    adata = make_sceptre_style_synth(N=900, K=4, n_target_genes=30, seed=3)
    held = np.random.default_rng(0).integers(0, adata.obsm["guide_assignment"].shape[1], 900)
    alone = held[:, None] == np.arange(adata.obsm["guide_assignment"].shape[1])
    adata.obsm["guide_assignment"] = alone.astype(np.int8)
    adata.write_h5ad(tmp_path / "s.h5ad")
    stored = read_h5ad(tmp_path / "s.h5ad", usage_key="usage", memory=1.0)
    assert is_stored(stored)
    how = options(n_resamples=0, memory="1GB")
    against = {
        "control": "nt_cells",
        "cells_with_other_targets": "keep",
        "ntc_labels": "non-targeting",
    }
    here = run_targets(stored, how, **against)
    assert np.isfinite(here.effect).any()
    there = run_targets(stored, how, executor=threads, **against)
    assert_same_bytes(there, here)
    kept = Checkpoint(tmp_path / "kept", every=0)
    run_targets(stored, how, checkpoint=kept, **against)
    with pytest.warns(UserWarning, match="30 of 30 targets were tested by a run that was stopped"):
        again = run_targets(stored, how, checkpoint=kept, **against)
    assert_same_bytes(again, here)
