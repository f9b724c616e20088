"""Observed effects, their standard errors and closing formulas against other libraries."""

from dataclasses import replace

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.stats import mannwhitneyu

from programde.crt.null_summary import TIE
from programde.crt.population import population_of
from programde.crt.propensity import PropensitySolver
from programde.crt.samplers import Bernoulli, StratifiedPermutation
from programde.crt.statistics import OLS, STATISTICS, UTest, make_statistic
from programde.errors import OptionError
from programde.streams import stream_key
from tests.crt.small import draw_matrix, population, screen_of

SIZES = (2, 3, 15, 150)


def units(n, sizes=SIZES, seed=0):
    rng = np.random.default_rng(seed)
    return [np.sort(rng.choice(n, m, replace=False)) for m in sizes]


def indicator(treated, n):
    x = np.zeros(n)
    x[treated] = 1.0
    return x


def test_ols_effect_and_hc3_error_equal_statsmodels():
    people = population(n=400, k=6, p=3, n_batches=3, confounding=0.7, zeros=0.3)
    prepared = OLS().prepare(people)
    treated_of = units(400, (3, 15, 150, 390))
    effects = np.stack([prepared.observed(treated) for treated in treated_of])
    errors = prepared.standard_errors(treated_of, effects)
    for treated, effect, error in zip(treated_of, effects, errors, strict=True):
        design = np.column_stack([indicator(treated, 400), people.covariates])
        for k in range(6):
            fit = sm.OLS(people.outcome[:, k], design).fit(cov_type="HC3")
            assert effect[k] == pytest.approx(fit.params[0], abs=1e-10)
            assert error[k] == pytest.approx(fit.bse[0], rel=1e-8)


def test_ols_does_not_depend_on_the_units_of_covariates():
    screen = screen_of(n=300, p=3)
    scaled = replace(screen, covariates=screen.covariates * [1, 1e6, 1e-6, 1])
    treated = units(300)[2]
    plain = OLS().prepare(population_of(screen)).observed(treated)
    np.testing.assert_allclose(
        OLS().prepare(population_of(scaled)).observed(treated), plain, rtol=1e-9, atol=1e-12
    )


def test_ols_without_covariates_is_the_mean_of_the_treated():
    people = population(n=80, p=0)
    bare = replace(
        people, covariates=np.empty((80, 0)), covariate_names=[], basis=np.empty((80, 0))
    )
    treated = units(80, (9,))[0]
    prepared = OLS().prepare(bare)
    np.testing.assert_allclose(prepared.observed(treated), bare.outcome[treated].mean(axis=0))
    effect = prepared.observed(treated)
    error = prepared.standard_errors([treated], effect[None])[0]
    fit = sm.OLS(bare.outcome[:, 0], indicator(treated, 80)).fit(cov_type="HC3")
    assert error[0] == pytest.approx(fit.bse[0], rel=1e-8)


def test_a_standard_error_is_missing_where_a_cell_has_leverage_one():
    people = population(n=60)
    prepared = OLS().prepare(people)
    treated = [np.array([7])]
    effects = prepared.observed(treated[0])[None]
    assert np.isfinite(effects).all()
    error = prepared.standard_errors(treated, effects)
    assert not np.isfinite(error).any() or (error[np.isfinite(error)] > 1e3).all()


def test_a_cell_alone_at_its_level_of_a_covariate_leaves_standard_errors_as_they_are():
    screen = screen_of(n=200, p=3)
    alone = replace(
        screen,
        covariates=np.column_stack([screen.covariates, np.arange(200) == 5]),
        covariate_names=[*screen.covariate_names, "level_5"],
    )
    rest = population_of(screen, np.flatnonzero(np.arange(200) != 5))
    for treated in (np.arange(3, 40), np.array([1, 6, 80, 150, 199])):  # with and without cell 5
        prepared = OLS().prepare(population_of(alone))
        effect = prepared.observed(treated)
        error = prepared.standard_errors([treated], effect[None])[0]
        others = rest.locate(treated)
        without = OLS().prepare(rest)
        expected = without.observed(others)
        np.testing.assert_allclose(effect, expected, atol=1e-12)
        same = without.standard_errors([others], expected[None])[0]
        np.testing.assert_allclose(error, same, rtol=1e-10)


def test_standard_errors_do_not_depend_on_the_block_of_units_or_cells(monkeypatch):
    from programde.crt.statistics import ols

    people = population(n=500, k=4)
    prepared = OLS().prepare(people)
    treated_of = units(500)
    effects = np.stack([prepared.observed(t) for t in treated_of])
    together = prepared.standard_errors(treated_of, effects)
    alone = [
        prepared.standard_errors([t], e[None])[0] for t, e in zip(treated_of, effects, strict=True)
    ]
    np.testing.assert_allclose(together, alone, rtol=1e-12)
    monkeypatch.setattr(ols, "_CELLS", 77)
    np.testing.assert_allclose(prepared.standard_errors(treated_of, effects), together, rtol=1e-12)


def test_ols_says_which_unit_is_collinear_with_the_covariates():
    people = population(n=90, n_batches=3)
    prepared = OLS().prepare(people)
    whole_batch = np.flatnonzero(people.batch == "B1")
    assert prepared.why_untestable(whole_batch) == "collinear with the covariates"
    assert np.isnan(prepared.observed(whole_batch)).all()
    assert prepared.why_untestable(whole_batch[:-1]) == ""
    assert np.isfinite(prepared.observed(whole_batch[:-1])).all()


@pytest.mark.parametrize("use", ["clr", "usage"])
def test_utest_equals_scipy_with_ties(use):
    people = population(n=300, k=4, zeros=0.4)
    people = replace(people, usage=np.round(people.usage, 1), outcome=np.round(people.outcome))
    values = people.outcome if use == "clr" else people.usage
    assert np.unique(values[:, 0]).size < 20
    prepared = UTest(use=use).prepare(people)
    for treated in units(300, (1, 2, 15, 150, 299)):
        effect = prepared.observed(treated)
        control = np.setdiff1d(np.arange(300), treated)
        pairs = treated.size * control.size
        for k in range(4):
            u = mannwhitneyu(values[treated, k], values[control, k], method="asymptotic").statistic
            assert effect[k] == pytest.approx(2 * u / pairs - 1, abs=1e-12)
    assert prepared.why_untestable(np.array([1])) == ""
    assert np.isnan(prepared.observed(np.arange(0))).all()
    assert np.isnan(prepared.observed(np.arange(300))).all()
    assert np.isnan(prepared.standard_errors([treated], effect[None])).all()


LAWS = [Bernoulli(), StratifiedPermutation(n_bins=5)]


@pytest.mark.parametrize("sampler", LAWS, ids=lambda s: s.name)
@pytest.mark.parametrize("statistic", [OLS(), UTest()], ids=lambda s: s.name)
def test_finished_sums_are_the_observed_statistic_of_each_draw(statistic, sampler):
    n, n_draws = 600, 60
    people = population(n=n, k=7, p=3, n_batches=2, confounding=0.8, zeros=0.3)
    prepared = statistic.prepare(people)
    treated = units(n, (40,))[0]
    solver = PropensitySolver(people.covariates, people.intercept)
    p = solver.probabilities(solver.fit([treated]).theta[0])
    law, key = sampler.prepare(people).law(p, treated), stream_key(1, statistic.name)
    sums, counts = law.sums(prepared.rows, n_draws, key)
    null = prepared.finish(sums, counts)
    assert null.shape == (n_draws, 7)
    assert null.dtype == np.float64
    x = draw_matrix(law, n_draws, key, n)
    direct = np.stack([prepared.observed(np.flatnonzero(row)) for row in x])
    assert np.abs((null - direct) / direct.std(axis=0)).max() < TIE


@pytest.mark.parametrize("statistic", [OLS(), UTest()], ids=lambda s: s.name)
def test_float32_costs_less_than_2e5_standard_deviations(statistic):
    # a screen of ordinary size: 20,000 cells, about 1,000 treated, 30 % exact zeros
    n, n_draws, k = 20_000, 200, 8
    people = population(n=n, k=k, p=4, n_batches=3, confounding=0.5, zeros=0.3)
    prepared = statistic.prepare(people)
    treated = np.flatnonzero(np.random.default_rng(0).random(n) < 0.05)
    solver = PropensitySolver(people.covariates, people.intercept)
    p = solver.probabilities(solver.fit([treated]).theta[0])
    law, key = Bernoulli().law(p, treated), stream_key(2, "float32")
    null = prepared.finish(*law.sums(prepared.rows, n_draws, key))
    indptr, indices = law.indices(n_draws, key)
    direct = np.stack(
        [prepared.observed(indices[indptr[b] : indptr[b + 1]]) for b in range(n_draws)]
    )
    assert np.abs((null - direct) / direct.std(axis=0)).max() < 2e-5


def test_rows_are_padded_with_zeros_on_whole_cache_lines():
    people = population(n=50, k=5, p=3)
    for statistic, used in ((OLS(), 5 + 4), (UTest(), 5)):
        rows = statistic.prepare(people).rows
        assert rows.shape == (50, 16)
        assert rows.dtype == np.float32
        assert rows.flags.c_contiguous
        assert rows.ctypes.data % 64 == 0
        assert not rows[:, used:].any()
        assert rows[:, :used].any(axis=0).all()


def test_draws_that_cannot_be_finished_are_zero():
    people = population(n=90, n_batches=3)
    prepared = OLS().prepare(people)
    whole = (people.batch == "B1").astype(np.float64)
    x = np.stack([np.zeros(90), whole, np.ones(90), (np.arange(90) < 20) * 1.0])
    sums = (x @ prepared.rows.astype(np.float64)).astype(np.float32)
    null = prepared.finish(sums, x.sum(axis=1).astype(np.int64))
    np.testing.assert_array_equal(null[:3], 0.0)
    assert (null[3] != 0).all()
    prepared = UTest().prepare(people)
    sums = (x @ prepared.rows).astype(np.float32)
    null = prepared.finish(sums, x.sum(axis=1).astype(np.int64))
    np.testing.assert_array_equal(null[[0, 2]], 0.0)
    assert (null[[1, 3]] != 0).any()


def test_statistics_by_name():
    assert set(STATISTICS) == {"ols", "utest"}
    assert make_statistic("utest", use="usage").use == "usage"
    with pytest.raises(OptionError, match="did you mean 'utest'"):
        make_statistic("u_test")
    with pytest.raises(OptionError, match="no option 'used'"):
        make_statistic("utest", used="clr")
    with pytest.raises(OptionError, match="use=rank is not known"):
        UTest(use="rank")
    with pytest.raises(OptionError, match="rank_method=min is not known"):
        UTest(rank_method="min")
