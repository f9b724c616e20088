"""How programs go together under the null, from the cells: against the draws of the tests."""

from dataclasses import replace

import numpy as np
import pytest

from programde.crt.control_group import choose_control
from programde.crt.engine import RunOptions
from programde.crt.population import population_of
from programde.crt.prepared import PreparedPopulation
from programde.crt.program_correlation import program_correlation
from programde.crt.samplers import Bernoulli
from programde.crt.statistics import OLS, UTest
from tests.crt.small import screen_of


@pytest.fixture(scope="module")
def screen():
    return screen_of(n=600, k=5, n_targets=3, n_ntc=2)


def options(statistic):
    return RunOptions(statistic, Bernoulli(), n_resamples=4000, seed=3, progress=False)


@pytest.mark.parametrize("statistic", [OLS(), UTest(), UTest(use="usage")])
def test_it_is_that_of_null_draws(screen, statistic):
    """4,000 draws know a correlation to 0.016; four of that, and what the propensity weighs."""
    how = options(statistic)
    found = program_correlation(screen, choose_control(screen, "complement", ["NTC"]), how)
    assert list(found.index) == list(found.columns) == screen.program_names
    prepared = PreparedPopulation(population_of(screen), how)
    treated = screen.treated_cells(screen.unit("t", screen.guide_names[:1]))
    draws = prepared.draws(*_law(prepared, treated), "t")
    np.testing.assert_allclose(found, np.corrcoef(draws, rowvar=False), atol=0.1)


def _law(prepared, treated):
    law, _ = next(iter(prepared.laws([treated])))
    return law, treated, prepared.statistic.observed(treated)


def test_control_cells_are_looked_at_where_there_are_some(screen):
    control = choose_control(screen, "nt_cells", ["NTC"])
    only = replace(control, cells=control.cells & (np.arange(screen.n_cells) % 2 == 0))
    how = options(OLS())
    assert not program_correlation(screen, control, how).equals(
        program_correlation(screen, only, how)
    )
    few = replace(control, cells=np.arange(screen.n_cells) < 24)
    assert program_correlation(screen, few, how) is None


def test_shifts_between_levels_are_none_of_it(screen):
    """A shift of one level along one direction makes no correlation there."""
    levels = np.resize(np.array(["a", "b"]), screen.n_cells)
    shift = 9.0 * (levels == "a")[:, None] * np.array([1, 1, -2, 0, 0])
    shifted = replace(screen, clr=screen.clr + shift)
    control = choose_control(screen, "complement", ["NTC"])
    how = options(OLS())
    found = program_correlation(shifted, control, how, levels)
    np.testing.assert_allclose(found, program_correlation(screen, control, how, levels), atol=1e-9)
    assert program_correlation(shifted, control, how).iloc[0, 1] > 0.9
