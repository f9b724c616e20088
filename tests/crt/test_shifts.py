"""Effects as log-ratios and in usage points, beside what is tested, against least squares."""

from dataclasses import replace

import numpy as np
import pytest
import statsmodels.api as sm

from programde.crt.control_group import ControlGroup
from programde.crt.engine import RunOptions, run_tasks
from programde.crt.plan import plan
from programde.crt.population import population_of
from programde.crt.present_shifts import FEWEST_CELLS
from programde.crt.samplers import Bernoulli
from programde.crt.statistics import OLS, UTest
from programde.screen.composition import transformed
from tests.crt.small import screen_of

#: Closing lifts the floor of `screen_of`, whose usages do not sum to 1 before.
FLOOR = 1.5e-4


@pytest.fixture(scope="module")
def screen():
    made = screen_of(n=400, k=6, p=2, n_targets=5, n_batches=2, confounding=0.5, zeros=0.3, n_ntc=4)
    return replace(made, floor=FLOOR)


def result_of(screen, statistic, kind="complement", controls=None):
    units = screen.target_units()
    tasks = plan(screen, units, ControlGroup(kind, "", controls))
    options = RunOptions(statistic, Bernoulli(), n_resamples=0, progress=False)
    return run_tasks(tasks, [u.name for u in units], screen.program_names, options), units


@pytest.mark.parametrize("statistic", [OLS(), UTest(), UTest(use="usage")], ids=str)
def test_shifts_are_least_squares_whatever_is_tested(screen, statistic):
    result, units = result_of(screen, statistic)
    for g, unit in enumerate(units[:3]):
        x = np.zeros(screen.n_cells)
        x[screen.treated_cells(unit)] = 1.0
        design = np.column_stack([x, screen.covariates])
        for k in range(screen.n_programs):
            fit = sm.OLS(screen.clr[:, k], design).fit(cov_type="HC3")
            assert result.shifts.log_ratio[g, k] == pytest.approx(fit.params[0], abs=1e-10)
            assert result.shifts.log_ratio_se[g, k] == pytest.approx(fit.bse[0], rel=1e-8)
            points = np.linalg.lstsq(design, screen.usage[:, k])[0][0]
            assert result.shifts.usage[g, k] == pytest.approx(points, abs=1e-12)
    above = (screen.usage > screen.floor * (1 + 1e-9)).mean(axis=0)
    np.testing.assert_allclose(result.shifts.above_floor, np.tile(above, (len(units), 1)))
    assert above.max() < 0.95
    if isinstance(statistic, OLS):
        np.testing.assert_array_equal(result.shifts.log_ratio, result.effect)
        np.testing.assert_array_equal(result.shifts.log_ratio_se, result.effect_se)


def test_another_scale_of_the_outcome_has_log_ratio_effects_all_the_same(screen):
    roots = replace(screen, clr=transformed(screen.usage, "hellinger"), transform="hellinger")
    found, plain = result_of(roots, OLS())[0], result_of(screen, OLS())[0]
    np.testing.assert_allclose(found.shifts.log_ratio, plain.effect, atol=1e-12)
    np.testing.assert_allclose(found.shifts.log_ratio_se, plain.effect_se, rtol=1e-9)
    assert not np.allclose(found.effect, plain.effect)


def test_without_a_floor_there_is_no_logarithm(screen):
    usage = np.where(screen.usage <= screen.floor, 0.0, screen.usage)
    bare = replace(
        screen, usage=usage, clr=np.sqrt(usage), floor=0.0, transform="hellinger", unfloored=None
    )
    shifts = result_of(bare, OLS())[0].shifts
    assert np.isnan(shifts.log_ratio).all()
    assert np.isfinite(shifts.usage).all()
    np.testing.assert_allclose(shifts.above_floor[0], (usage > 0).mean(axis=0))


def test_each_unit_has_the_shifts_of_its_own_cells(screen):
    people = population_of(screen, np.arange(0, 400, 2))
    assert people.floor == screen.floor
    assert people.transform == "clr"


def test_present_shifts_are_least_squares_in_the_cells_where_a_program_is_present():
    screen = screen_of(n=900, k=4, p=2, n_targets=3, n_batches=2, confounding=0.5, zeros=0.3)
    screen = replace(screen, floor=FLOOR)
    result, units = result_of(screen, OLS())
    checked = 0
    for g, unit in enumerate(units):
        x = np.zeros(screen.n_cells)
        x[screen.treated_cells(unit)] = 1.0
        for k in range(screen.n_programs):
            here = screen.usage[:, k] > screen.floor * (1 + 1e-9)
            cells = int(x[here].sum())
            assert result.shifts.present_cells[g, k] == cells
            if cells < FEWEST_CELLS:
                assert np.isnan(result.shifts.present[g, k])
                continue
            design = np.column_stack([x, screen.covariates])[here]
            fit = sm.OLS(np.log(screen.usage[here, k]), design).fit(cov_type="HC3")
            assert result.shifts.present[g, k] == pytest.approx(fit.params[0], abs=1e-10)
            # the many cells that are not treated have one variance there
            assert result.shifts.present_se[g, k] == pytest.approx(fit.bse[0], rel=0.1)
            checked += 1
    assert checked > 6


@pytest.mark.parametrize("statistic", [OLS(), UTest()], ids=str)
def test_present_shifts_against_shared_control_cells_are_those_of_the_units_own(statistic):
    from tests.crt.test_pooled import options, runs, same, small, without

    screen = replace(small(n=1500, zeros=0.3), floor=FLOOR)
    # one target is absent from a batch
    gone = np.flatnonzero(np.asarray(screen.guides[:, :2].todense()).any(axis=1))
    screen = without(screen, gone[screen.batch[gone] == "B1"])
    shared, plain = runs(screen, options(statistic), drop_empty_batches=True)
    assert np.isfinite(plain.shifts.present).sum() > 6
    same(shared, plain)
