"""Null laws given covariates, as the engine brings them, against the laws themselves."""

from dataclasses import fields, replace

import numpy as np
import pytest

from programde.analysis.calibrate import calibrate
from programde.analysis.ntc_groups import run_ntc_groups
from programde.analysis.tables import results_table
from programde.analysis.targets import run_targets
from programde.crt.control_group import ControlGroup, choose_control
from programde.crt.engine import PreparedPopulation, RunOptions, run_tasks
from programde.crt.plan import plan
from programde.crt.population import PER_COLUMN, PER_CURVED, population_of
from programde.crt.samplers import Bernoulli, StratifiedPermutation
from programde.crt.statistics import OLS, UTest
from programde.errors import ProgramDEWarning
from programde.streams import stream_key
from programde.tails.conditional import ConditionalLaw
from programde.tails.formulas import BRANCHES, CONDITIONAL, FIRST_ORDER, SEPARATED
from programde.tails.log_tails import LogTails
from tests.crt.small import draw_matrix, screen_of

COMPLEMENT = ControlGroup("complement", "", None)
STATISTICS = pytest.mark.parametrize("statistic", [OLS(), UTest()], ids=lambda s: s.name)


def options(statistic=None, sampler=None, **changes):
    defaults = {"n_resamples": 0, "progress": False, "min_treated": 2}
    return RunOptions(statistic or OLS(), sampler or Bernoulli(), **{**defaults, **changes})


def run(screen, opts, units=None, control=COMPLEMENT, **how):
    units = screen.target_units() if units is None else units
    names = [unit.name for unit in units]
    return run_tasks(plan(screen, units, control, **how), names, screen.program_names, opts)


def same(a, b, rtol=0.0):
    for item in fields(LogTails):
        np.testing.assert_allclose(getattr(a, item.name), getattr(b, item.name), rtol=rtol)


def residual_of(statistic, people):
    values = people.outcome
    if statistic.name == "utest":
        import pandas as pd

        values = pd.DataFrame(values).rank().to_numpy()
    fit = np.linalg.lstsq(people.covariates, values, rcond=None)[0]
    return values - people.covariates @ fit


@STATISTICS
def test_tails_of_a_run_are_those_of_the_conditional_law(statistic):
    screen = screen_of(n=500, k=6, n_targets=6, n_batches=3, confounding=0.6)
    found = run(screen, options(statistic)).tails
    people = population_of(screen)
    S = np.ascontiguousarray(residual_of(statistic, people).T)
    law = ConditionalLaw(S, people.covariates)
    for row, unit in enumerate(screen.target_units()):
        expected = law.tails([screen.treated_cells(unit)])[0]
        np.testing.assert_allclose(found.log_left[row], expected.log_left, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(found.log_right[row], expected.log_right, rtol=1e-5, atol=1e-5)
        assert np.isin(found.branch[row], (FIRST_ORDER, CONDITIONAL)).all()


@pytest.mark.parametrize("by_level", [False, True])
def test_units_with_cells_of_their_own(by_level):
    screen = screen_of(n=700, k=3, n_targets=4, n_ntc=5, n_batches=3, one_guide=True)
    control = choose_control(screen, "nt_cells", ["NTC"])
    units = [u for u in screen.target_units() if u.name != "NTC"]
    cells = np.arange(700) % 3 > 0 if by_level else None
    found = run(screen, options(), units, control, cells=cells, drop_empty_batches=True).tails
    for row, unit in enumerate(units):
        mask = control.cells.copy()
        mask[screen.treated_cells(unit)] = True
        people = population_of(screen, np.flatnonzero(mask if cells is None else mask & cells))
        law = ConditionalLaw(residual_of(OLS(), people).T, people.covariates)
        expected = law.tails([people.locate(screen.treated_cells(unit))])[0]
        # the unit's own residual here, the controls' there: third cumulants differ a little
        np.testing.assert_allclose(found.log_left[row], expected.log_left, rtol=1e-3, atol=1e-3)


@STATISTICS
def test_draws_lose_what_a_refit_would_take_up(statistic):
    screen = screen_of(n=300, k=4, n_targets=3, n_batches=2, confounding=0.6)
    opts = options(statistic, n_resamples=60)
    people = population_of(screen)
    prepared = PreparedPopulation(people, opts)
    result = run(screen, opts)
    C, S = people.covariates, residual_of(statistic, people)
    for row, unit in enumerate(screen.target_units()):
        treated = screen.treated_cells(unit)
        law, _ = next(iter(prepared.laws([treated])))
        w = (law.p * (1 - law.p))[:, None]
        gamma = np.linalg.solve(C.T @ (w * C), C.T @ (w * S))
        A = S - C @ gamma
        draws = draw_matrix(law, 60, stream_key(opts.seed, "crt", unit.name), 300)
        observed = np.zeros(300)
        observed[treated] = 1.0
        if statistic.name == "ols":
            d = np.linalg.lstsq(C, observed, rcond=None)[0]
            scale = 1.0 / (observed @ (observed - C @ d))
        else:
            scale = 2.0 / (treated.size * (300 - treated.size))
        T = result.effect[row] + scale * (draws - observed) @ A
        np.testing.assert_allclose(result.null.mean[row], T.mean(axis=0), atol=1e-6)
        np.testing.assert_allclose(result.null.sd[row], T.std(axis=0), rtol=1e-4)
        np.testing.assert_array_equal(result.null.n_ge[row], (result.effect[row] <= T).sum(axis=0))


@STATISTICS
def test_tails_depend_on_nothing_but_the_unit(statistic):
    screen = screen_of(n=400, k=5, n_targets=9, n_batches=2, confounding=0.5, zeros=0.3)
    units = screen.target_units()
    reference = run(screen, options(statistic)).tails
    same(run(screen, options(statistic, n_jobs=2)).tails, reference)
    same(run(screen, options(statistic, n_resamples=19, seed=7)).tails, reference)
    some = np.array([7, 2, 3])
    same(run(screen, options(statistic), [units[i] for i in some]).tails, reference.rows(some))


def test_the_stratified_sampler_has_one_law():
    screen = screen_of(n=300, k=4, n_targets=4, n_batches=2)
    sampler = StratifiedPermutation(n_bins=3)
    results = [
        run(screen, options(sampler=sampler, n_resamples=29, given=given))
        for given in ("covariates", "propensity")
    ]
    same(results[0].tails, results[1].tails)
    np.testing.assert_array_equal(results[0].null.mean, results[1].null.mean)


def test_given_the_propensity_tails_are_those_of_its_own_law():
    screen = screen_of(n=300, k=4, n_targets=4, n_batches=2)
    result = run(screen, options(given="propensity"))
    names = set(result.tails.branch_names().ravel())
    assert names <= {"moments", "saddlepoint", "inversion"}
    # the fitted propensity taken for the true one makes the law too wide, and p too large
    covariates = run(screen, options())
    p, q = (np.log(each.tails.p_value()) for each in (result, covariates))
    assert p[p < -1].mean() > q[p < -1].mean()


def tiered(n_targets=6, **more):
    """Eleven straight columns, eight curved ones and twenty interactions."""
    screen = screen_of(n=900, k=3, p=38, n_targets=n_targets, confounding=0.4, **more)
    tiers = np.repeat([0, 1, 2], [11, 8, 20]).astype(np.int8)
    # in no particular order: every rung takes its own
    order = np.random.default_rng(3).permutation(39)
    return replace(
        screen,
        covariates=screen.covariates[:, order],
        covariate_names=[screen.covariate_names[j] for j in order],
        covariate_tiers=tiers[order],
    )


@STATISTICS
def test_small_units_condition_on_few_columns_and_are_adjusted_for_all(statistic):
    screen = tiered()
    presence = screen.guides.toarray()
    rng = np.random.default_rng(1)
    for target, size in enumerate((20, 45, 58, 100, 118, 300)):
        presence[:, 2 * target : 2 * target + 2] = 0
        presence[rng.choice(900, size, replace=False), 2 * target] = 1
    screen = replace(screen, guides=type(screen.guides)(presence))
    opts = options(statistic, n_resamples=19)
    result = run(screen, opts)
    people = population_of(screen)
    assert [rung.size for rung in people.rungs] == [39, 19, 11]
    expected = [19, 19, 19, 19, 39, 39]
    assert (PER_COLUMN, PER_CURVED) == (3, 1)
    if statistic.name == "utest":  # one cell per column: its ranks are not freed by adjusting
        expected = [19, 39, 39, 39, 39, 39]
    np.testing.assert_array_equal(result.probability.n_columns, expected)
    np.testing.assert_array_equal(result.probability.n_covariates, 39)
    S = np.ascontiguousarray(residual_of(statistic, people).T)
    for row, unit in enumerate(screen.target_units()):
        columns = np.flatnonzero(screen.covariate_tiers <= {11: 0, 19: 1, 39: 2}[expected[row]])
        law = ConditionalLaw(S, screen.covariates[:, columns])
        tails = law.tails([screen.treated_cells(unit)])[0]
        np.testing.assert_allclose(result.tails.log_left[row], tails.log_left, rtol=1e-5, atol=1e-5)
    # one small unit does not make the others' propensities poorer
    some = np.array([0, 5, 2])
    alone = run(screen, opts, [screen.target_units()[i] for i in some])
    same(alone.tails, result.tails.rows(some))
    np.testing.assert_allclose(alone.null.sd, result.null.sd[some], rtol=1e-6)


def test_columns_that_leave_a_population_leave_the_lowest_tier_last():
    screen = tiered(n_batches=3)
    # a curved column and an interaction that are the straight one in these cells
    C = screen.covariates.copy()
    straight, curved = (np.flatnonzero(screen.covariate_tiers == t)[0] for t in (0, 1))
    cells = np.arange(0, 900, 2)
    C[cells, curved] = C[cells, straight]
    people = population_of(replace(screen, covariates=C), cells)
    assert people.covariate_names.count(screen.covariate_names[straight]) == 1
    assert screen.covariate_names[curved] not in people.covariate_names
    for columns in people.rungs:
        own = people.covariates[:, columns]
        Q = people.basis[:, : columns.size]
        np.testing.assert_allclose(Q @ (Q.T @ own), own, atol=1e-9)


def test_a_separated_unit_says_so():
    screen = screen_of(n=400, k=4, n_targets=2, p=2)
    presence = screen.guides.toarray()
    presence[:, :2] = 0
    presence[np.argsort(screen.covariates[:, 1])[-25:], 0] = 1
    screen = replace(screen, guides=type(screen.guides)(presence))
    result = run(screen, options(n_resamples=19))
    assert (result.tails.branch[0] == SEPARATED).all()
    calibrated = calibrate(result, "saddlepoint")
    assert np.isfinite(calibrated.p_value).all()
    table = results_table(result, calibrated)
    separated = table["target"] == "T0"
    assert (table.loc[separated, "branch"] == "separated").all()
    assert table.loc[separated, "fallback"].str.startswith("first order: ").all()
    others = table[~separated]
    assert others["branch"].isin(["first order", "conditional"]).all()
    assert others["fallback"].isin(["", "rough: few cells decide, the tail may be off by more "
                                        "than a tenth"]).all()  # fmt: skip


def test_rough_tails_are_named():
    tails = LogTails.empty(1, 3)
    tails.branch[:] = [[CONDITIONAL, SEPARATED, CONDITIONAL]]
    tails.rough[:] = [[True, True, False]]
    words = tails.fallback()[0]
    assert words[0].startswith("rough: ")
    assert words[1].startswith("first order: ")
    assert words[2] == ""
    assert list(tails.branch_names()[0]) == ["conditional", "separated", "conditional"]
    assert len(set(BRANCHES)) == len(BRANCHES)


@pytest.mark.parametrize("n1", [1, 2, 3, 5, 8])
def test_small_units_have_a_number_or_a_reason(n1):
    screen = screen_of(n=300, k=4, n_targets=4, n_batches=2)
    presence = np.zeros(screen.guides.shape, dtype=np.int8)
    rng = np.random.default_rng(n1)
    for target in range(4):
        presence[rng.choice(300, n1, replace=False), 2 * target] = 1
    screen = replace(screen, guides=type(screen.guides)(presence))
    for statistic in (OLS(), UTest()):
        result = run(screen, options(statistic, min_treated=1, n_resamples=19))
        tested = np.array([status == "" for status in result.status])
        assert np.isfinite(result.tails.log_left[tested]).all()
        assert np.isfinite(result.null.sd[tested]).all()


def test_covariates_without_a_constant_are_not_conditioned_on():
    screen = screen_of(n=300, k=4, n_targets=3)
    bare = replace(
        screen, covariates=screen.covariates[:, 1:], covariate_names=screen.covariate_names[1:]
    )
    how = {"control": "complement"}
    with pytest.warns(ProgramDEWarning, match="given=covariates needs a constant"):
        result = run_targets(bare, options(), **how)
    expected = run_targets(bare, options(given="propensity"), **how)
    same(result.tails, expected.tails)
    # dummies of all levels hold one
    levels = (np.arange(300) % 3)[:, None] == np.arange(3)
    full = replace(
        screen, covariates=np.column_stack([levels, screen.covariates[:, 1]]).astype(float),
        covariate_names=["a", "b", "c", "z"],
    )  # fmt: skip
    found = run_targets(full, options(), **how)
    assert np.isin(found.tails.branch, (FIRST_ORDER, CONDITIONAL)).all()


def test_groups_of_controls_and_conditions_are_tested_given_covariates():
    screen = screen_of(n=900, k=3, n_targets=3, n_ntc=8, n_batches=2, one_guide=True)
    screen = replace(screen, condition=np.where(np.arange(900) % 2, "late", "early"))
    groups = run_ntc_groups(
        screen, options(), ntc_labels="NTC", control="nt_cells", group_size=2, by_condition=True
    )
    known = [BRANCHES[code] for code in np.unique(groups.result.tails.branch)]
    assert set(known) <= {"first order", "conditional"}
    assert np.isfinite(calibrate(groups.result, "saddlepoint").p_moments).all()
