"""Tails of the statistics themselves against draws, on screens of thousands of cells.

The whole grid is a command, ``python -m benchmarks.saddlepoint.accuracy``; here are a few of its
points. The truth comes from importance draws: draws from a law tilted towards the threshold, each
weighted with its exact likelihood ratio, of the statistic itself and not of its linearisation.
"""

import numpy as np
import pytest

from benchmarks.saddlepoint import accuracy
from benchmarks.saddlepoint.problem import STATISTICS, linearise, make_problem, only, tails
from programde.calibration.moments import moment_skew_normal
from programde.crt.samplers import BernoulliLaw, StratifiedLaw
from programde.crt.statistics.ols import PreparedOLS
from programde.crt.statistics.utest import PreparedUTest
from programde.tails.exact import BRANCHES, bernoulli_tails

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("sampler", accuracy.SAMPLERS)
@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize(("n1", "confounded"), [(15, False), (15, True), (60, True), (300, False)])
def test_deep_tails_of_sparse_and_heavy_tailed_tests(n1, confounded, statistic, sampler):
    # About 2 x 2 x 2 tests in 16 cells: each ratio within 5 % plus five standard errors of the
    # truth, which are met by chance with probability 1 - 1e-4 for all together.
    problem = make_problem(n1, confounded, None, n=4000)
    pilot = accuracy.explicit(problem, sampler, 300, seed=1)
    for k in range(2):
        one = only(problem, k)
        column = pilot[:, k + 2 * STATISTICS.index(statistic)]
        for side, sign in (("right", 1.0), ("left", -1.0)):
            t = float(column.mean() + sign * 3.5 * column.std())
            found = tails(one, statistic, sampler, np.array([t]))
            truth, error = accuracy.importance(one, statistic, sampler, t, side, 8000, seed=7)
            if not truth > 4 * error:
                continue  # beyond the reach of the rank statistic
            ratio = found.p_value(side)[0] / truth
            slack = 0.05 + 5.0 * error / truth
            assert 1 - slack < ratio < 1 + slack, (k, side, found, truth, error)


@pytest.mark.parametrize("sampler", accuracy.SAMPLERS)
def test_the_grid_tests_the_events_that_the_library_tests(sampler):
    problem = make_problem(15, True, None, n=500)
    strata = (problem.order, problem.starts, problem.totals)
    law = BernoulliLaw(problem.p) if sampler == "bernoulli" else StratifiedLaw(*strata)
    t = np.array([0.3, -0.2])
    prepared = {
        "ols": PreparedOLS(problem.R, problem.Q, problem.R),
        "utest": PreparedUTest(problem.ranks, problem.Q),
    }
    for statistic in STATISTICS:
        ours, written_out = (
            prepared[statistic].linearise(t, law),
            linearise(problem, statistic, sampler, t),
        )
        np.testing.assert_allclose(ours.tau, written_out.tau, rtol=1e-10)
        np.testing.assert_allclose(ours.weights, written_out.v, rtol=1e-10)
        np.testing.assert_allclose(ours.threshold, written_out.threshold, rtol=1e-10)
        if (statistic, sampler) != ("utest", "stratified_perm"):  # exact: no curvature
            np.testing.assert_allclose(ours.basis, written_out.basis)
            np.testing.assert_allclose(ours.curvature, written_out.curvature)


def test_plain_and_importance_draws_agree():
    # two ways to the truth that share only the statistic; 3e5 plain draws, p near 2e-3
    problem = make_problem(15, True, None, n=2000)
    pilot = accuracy.explicit(problem, "bernoulli", 300, seed=1)
    upper = (pilot.mean(axis=0) + 3.0 * pilot.std(axis=0))[:, None]
    lower = np.full_like(upper, -np.inf)
    for sampler in accuracy.SAMPLERS:
        hits, _ = accuracy.plain(problem, sampler, 300_000, 3, upper, lower)
        for j in range(4):
            one = only(problem, j % 2)
            truth, error = accuracy.importance(
                one, STATISTICS[j // 2], sampler, float(upper[j, 0]), "right", 20_000, seed=5
            )
            share = hits[0, j, 0] / 300_000
            both = np.hypot(error, np.sqrt(truth / 300_000))
            # three draws more, for counts too small to be normal; by chance once in 1e5
            assert abs(share - truth) < 5.0 * both + 3.0 / 300_000


def test_screened_p_values_equal_computed_ones():
    # the branch "moments" against the same tests computed in full
    worst = 0.0
    for n1, confounded in ((30, True), (150, False), (300, True)):
        problem = make_problem(n1, confounded, None, n=3000)
        pilot = accuracy.explicit(problem, "bernoulli", 200, seed=2)
        for sampler in accuracy.SAMPLERS:
            for statistic in STATISTICS:
                columns = pilot[:, 2 * STATISTICS.index(statistic) :][:, :2]
                for z in (-2.5, -1.5, -0.5, 0.2, 1.0, 2.0):
                    t = columns.mean(axis=0) + z * columns.std(axis=0)
                    quick = tails(problem, statistic, sampler, t)
                    full = tails(problem, statistic, sampler, t, screen_level=1.0)
                    screened = quick.branch == BRANCHES.index("moments")
                    error = np.abs(quick.p_value() / full.p_value() - 1)[screened]
                    worst = max(worst, error.max(initial=0.0))
    assert 0.0 < worst < 0.03


def test_skew_normal_from_exact_moments_is_near_in_the_bulk_and_off_in_the_tail():
    problem = make_problem(30, False, None, n=4000)
    t = accuracy.explicit(problem, "bernoulli", 400, seed=3)[:, :2]
    centre, spread = t.mean(axis=0), t.std(axis=0)
    for z, low, high in ((0.7, 0.0, 0.1), (5.5, 0.7, np.inf)):
        at = centre - z * spread
        found = tails(problem, "ols", "bernoulli", at)
        ratio = moment_skew_normal(found, "left") / found.p_value("left")
        assert low < np.abs(np.log(ratio[0])) < high


@pytest.mark.parametrize("outcome", [0, 1])
def test_null_p_values_are_uniform(outcome):
    # 20,000 units drawn from the null law itself (n1 about 20, confounded). Counts of p < level are
    # binomial: five standard errors are left by chance once in 3e5 for all eight together.
    problem = only(make_problem(20, True, None, n=600), outcome)
    rng = np.random.default_rng(11)
    n_units = 20_000
    R = np.repeat(problem.R, 40, axis=1)  # forty units at a time share one pass over the cells
    Q, p = problem.Q, problem.p
    m = Q.T @ p
    constant = m @ m - ((p * (1 - p))[:, None] * Q**2).sum()
    v = 1 - 2 * Q @ m
    found = []
    for _ in range(n_units // 40):
        x = rng.random((40, p.size)) < p
        d = x.sum(axis=1) - ((x @ Q) ** 2).sum(axis=1)
        beta = (x @ problem.R)[:, 0] / d
        found.append(
            bernoulli_tails(
                np.asfortranarray(R), beta, v, beta * constant, p, basis=Q, curvature=beta
            ).p_value()
        )
    found = np.concatenate(found)
    for level in (0.3, 0.1, 0.01, 0.001):
        expected = level * n_units
        assert abs((found < level).sum() - expected) < 5 * np.sqrt(expected) + 1
