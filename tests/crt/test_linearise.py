"""Events of the statistics as linear inequalities: exact where n1 is fixed, close elsewhere."""

import numpy as np
import pytest

from programde.crt.propensity import PropensitySolver
from programde.crt.samplers import Bernoulli, StratifiedPermutation
from programde.crt.statistics import OLS, UTest
from programde.streams import stream_key
from tests.crt.small import draw_matrix, population


def null_draws(statistic, sampler, n_draws=4000, n=500, n1=25, **options):
    people = population(n=n, k=4, p=2, n_batches=2, confounding=0.8, **options)
    prepared = statistic.prepare(people)
    first = people.covariates[:, 1]
    rng = np.random.default_rng(0)
    treated = np.sort(np.argsort(first + rng.gumbel(size=n))[-n1:])
    solver = PropensitySolver(people.covariates, people.intercept)
    p = solver.probabilities(solver.fit([treated]).theta[0])
    law = sampler.prepare(people).law(p, treated)
    x = draw_matrix(law, n_draws, stream_key(3, "linear"), n)
    T = np.stack([prepared.observed(np.flatnonzero(row)) for row in x])
    return prepared, law, x, T


def events(prepared, law, x, t):
    linear = prepared.linearise(t, law)
    a = prepared.summands - linear.weights[:, None] * linear.tau
    return x @ a - linear.threshold


def test_rank_event_is_exact_under_permutation():
    prepared, law, x, T = null_draws(UTest(), StratifiedPermutation(n_bins=5), n_draws=1000)
    for t in (T[0], np.quantile(T, 0.01, axis=0), np.zeros(4), np.full(4, 0.5)):
        margin = events(prepared, law, x, t)
        np.testing.assert_array_equal(margin >= -1e-6, t - 1e-9 <= T)


def test_ols_event_is_exact_where_no_covariate_varies_within_strata():
    # with the intercept alone d = n1 - n1^2/n is a constant under permutation
    people = population(n=200, k=3, p=0)
    prepared = OLS().prepare(people)
    treated = np.arange(0, 200, 9)
    law = StratifiedPermutation().prepare(people).law(np.full(200, 0.1), treated)
    x = draw_matrix(law, 500, stream_key(4, "linear"), 200)
    T = np.stack([prepared.observed(np.flatnonzero(row)) for row in x])
    t = np.quantile(T, 0.9, axis=0)
    margin = events(prepared, law, x, t)
    d = treated.size - treated.size**2 / 200
    np.testing.assert_allclose(margin, (T - t) * d, atol=1e-9)


@pytest.mark.slow
@pytest.mark.brief
@pytest.mark.parametrize("sampler", [Bernoulli(), StratifiedPermutation()], ids=lambda s: s.name)
@pytest.mark.parametrize("statistic", [OLS(), UTest()], ids=lambda s: s.name)
@pytest.mark.parametrize("level", [0.01, 0.05, 0.95, 0.99])
def test_probability_of_the_event_is_that_of_the_statistic(statistic, sampler, level):
    # The same draws decide both events, so the difference is the error of the linearisation, not
    # Monte Carlo noise: below a tenth of the tail, plus three of the 4,000 draws.
    prepared, law, x, T = null_draws(statistic, sampler, zeros=0.3)
    t = np.quantile(T, level, axis=0)
    linear = (events(prepared, law, x, t) >= 0).sum(axis=0)
    exact = (t <= T).sum(axis=0)
    tail = np.minimum(exact, len(x) - exact)
    assert (np.abs(linear - exact) <= 0.1 * tail + 3).all()


def test_the_linear_form_of_ols_is_the_denominator_to_second_order():
    # sum_i x_i w_i + c has the mean of d, and follows it closely
    prepared, law, x, _ = null_draws(OLS(), Bernoulli(), n1=60)
    linear = prepared.linearise(np.ones(4), law)
    d = x.sum(axis=1) - ((x @ prepared.basis) ** 2).sum(axis=1)
    approximate = x @ linear.weights + linear.threshold[0]
    assert abs((approximate - d).mean()) < 4 * (approximate - d).std() / np.sqrt(len(x))
    assert (approximate - d).std() < 0.1 * d.std()


@pytest.mark.slow
@pytest.mark.brief
def test_draws_of_the_second_order_term_for_ranks():
    # f(n1) is a parabola: linearised about its mean with the variance's share added, means agree
    prepared, law, x, _ = null_draws(UTest(), Bernoulli(), n_draws=20_000)
    n, t = 500, 0.3
    linear = prepared.linearise(np.full(4, t), law)
    n1 = x.sum(axis=1)
    exact = 0.5 * t * n1 * (n - n1)
    approximate = linear.threshold[0] + linear.tau[0] * n1
    error = (approximate - exact).mean()
    assert abs(error) < 4 * (approximate - exact).std() / np.sqrt(len(x))
