"""Groups of control guides against the remaining control cells, which they share, each from the
batches that it is found in; against one population for each (the plain twin)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from programde.crt.control_group import choose_control
from programde.crt.engine import Deferred, run_tasks
from programde.crt.plan import plan
from programde.crt.pooled import pooled_block
from programde.crt.samplers import Bernoulli, StratifiedPermutation
from programde.crt.statistics import OLS, UTest
from tests.crt.test_pooled import UNREMARKABLE, close, options, same, small, without


def groups_screen(**changes):
    """Some 750 control cells of 24 guides in five batches; six guides lack one or two batches."""
    screen = small(n=820, n_batches=5, **changes)
    ntc = [j for j, g in enumerate(screen.guide_names) if screen.guide_to_target[g] == "NTC"]
    gone = []
    for number, j in enumerate(ntc[:6]):
        held = screen.guides[:, [j]].toarray().ravel() > 0
        lacking = [f"B{number % 3}", f"B{number % 2 + 2}"][: 1 + number % 2]
        gone.append(np.flatnonzero(held & np.isin(screen.batch, lacking)))
    return without(screen, np.concatenate(gone))


def units_of(screen):
    """Two groups of two guides that lack a batch, five guides alone, one of which has all."""
    ntc = [g for g in screen.guide_names if screen.guide_to_target[g] == "NTC"]
    pairs = [screen.unit(f"{a} + {b}", [a, b]) for a, b in ((ntc[0], ntc[3]), (ntc[1], ntc[5]))]
    return pairs + [screen.unit(g, [g]) for g in (*ntc[1:5], ntc[9])]


def runs(screen, how, **kind):
    """(shared, plain) results of groups."""
    control, units = choose_control(screen, "nt_cells", ["NTC"]), units_of(screen)

    def found(shared):
        tasks = list(
            plan(screen, units, control, are_controls=True, drop_empty_batches=True, **kind)
        )
        assert sum(isinstance(task, Deferred) for task in tasks) >= 5
        if not shared:
            tasks = [replace(t, pooled=None) if isinstance(t, Deferred) else t for t in tasks]
        return run_tasks(tasks, [u.name for u in units], screen.program_names, how)

    return found(True), found(False)


@pytest.fixture
def all_shared(monkeypatch):
    """No unit falls back on a population of its own."""
    run = pooled_block.run_pooled

    def watched(*args):
        left = run(*args)
        assert not left
        return left

    monkeypatch.setattr("programde.crt.unit_blocks.run_pooled", watched)


@pytest.mark.usefixtures("all_shared")
@pytest.mark.parametrize("statistic", [OLS(), UTest()], ids=["ols", "utest"])
class TestWays:
    """Statistics and samplers, draws and tails."""

    @pytest.mark.parametrize("sampler", [Bernoulli(), StratifiedPermutation()], ids=["b", "s"])
    def test_given_the_propensity(self, statistic, sampler):
        how = options(statistic, sampler, n_resamples=99, tails=True, given="propensity")
        shared, plain = runs(groups_screen(), how)
        same(shared, plain)
        assert len(np.unique(plain.n_treated + plain.n_control)) > 3

    def test_given_covariates(self, statistic):
        how = options(statistic, n_resamples=99, tails=True)
        same(*runs(groups_screen(), how), tails=UNREMARKABLE)


@pytest.mark.usefixtures("all_shared")
@pytest.mark.parametrize("transform", ["hellinger", "none"])
def test_other_scales(transform):
    screen = groups_screen()
    screen = replace(screen, transform=transform, clr=np.sqrt(screen.usage))
    same(*runs(screen, options(shifts=True)))


@pytest.mark.usefixtures("all_shared")
def test_in_some_cells_with_covariates_of_some_batches():
    """A condition; slopes in the batches, which are columns of zeros where a batch is left out, and
    give way in small units; a cell that has a column to itself."""
    screen = groups_screen()
    C = screen.covariates
    dummies = (screen.batch[:, None] == np.array(["B1", "B2", "B3"])).astype(float)
    slopes = np.column_stack([dummies * C[:, [j]] for j in (1, 2)])
    control = np.flatnonzero(choose_control(screen, "nt_cells", ["NTC"]).cells)
    alone = np.zeros(screen.n_cells)
    alone[control[screen.batch[control] == "B4"][0]] = 1.0
    more = np.column_stack([slopes, alone])
    screen = replace(
        screen,
        covariates=np.column_stack([C, more]),
        covariate_names=[*screen.covariate_names, *(f"m{j}" for j in range(more.shape[1]))],
        covariate_tiers=np.array([0] * C.shape[1] + [2] * more.shape[1], dtype=np.int8),
    )
    cells = np.arange(screen.n_cells) % 4 > 0
    how = options(n_resamples=49, tails=True)
    shared, plain = runs(screen, how, cells=cells, suffix=" in some")
    same(shared, plain, tails=UNREMARKABLE)
    columns = plain.probability
    assert (columns.n_columns < columns.n_covariates).any()
    assert len(np.unique(columns.n_covariates)) > 1


@pytest.mark.slow
@pytest.mark.brief
def test_neither_threads_nor_company_matter(monkeypatch):
    screen = groups_screen()
    control, units = choose_control(screen, "nt_cells", ["NTC"]), units_of(screen)

    def found(units, statistic, n_jobs):
        how = options(statistic, n_resamples=49, tails=True, n_jobs=n_jobs)
        tasks = plan(screen, units, control, are_controls=True, drop_empty_batches=True)
        return run_tasks(tasks, [u.name for u in units], screen.program_names, how)

    every = [found(units, statistic, 1) for statistic in (OLS(), UTest())]
    monkeypatch.setattr("programde.crt.unit_blocks.TOGETHER", 2)
    for statistic, first in zip((OLS(), UTest()), every, strict=True):
        for order, n_jobs in (([6, 5, 4, 3, 2, 1, 0], 2), ([2], 1)):
            other = found([units[i] for i in order], statistic, n_jobs)
            np.testing.assert_array_equal(other.effect, first.effect[order])
            close(other.effect_se, first.effect_se[order])
            np.testing.assert_array_equal(other.null.n_ge, first.null.n_ge[order])
            np.testing.assert_allclose(
                other.tails.log_left, first.tails.log_left[order], rtol=1e-12
            )
