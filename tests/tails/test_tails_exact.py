"""Tails against the enumeration of every draw of small screens."""

import itertools

import numpy as np
import pytest
from scipy.stats import rankdata

from programde.crt.samplers import BernoulliLaw, StratifiedLaw
from programde.crt.statistics import OLS, UTest
from programde.tails.bernoulli import BernoulliSums
from programde.tails.exact import (
    BRANCHES,
    bernoulli_tails,
    program_major,
    stratified_tails,
)
from programde.tails.inversion import enumerate_draws
from tests.crt.small import population
from tests.tails.test_tails_kernels import enumerated

OUTCOMES = ("normal", "heavy", "ranks", "tied", "zeros")


def outcomes(rng, n):
    """(n, 5): normal, heavy-tailed, ranks, ranks with half of the cells tied, sparse counts."""
    normal = rng.standard_normal(n)
    heavy = np.where(rng.random(n) < 0.2, -13.0, 0.0) + rng.standard_normal(n)
    tied = rankdata(np.maximum(normal, 0.0))
    counts = rng.poisson(0.7, n).astype(float)
    return np.column_stack([normal, heavy, rankdata(normal), tied, counts])


def tails_of_sums(sums, probability, t):
    """Exact p-values (tests,) by side."""
    slack = 1e-9 * np.abs(sums).max(axis=0)
    upper = probability @ (sums >= t - slack)
    lower = probability @ (sums <= t + slack)
    both = np.minimum(1.0, 2.0 * np.minimum(upper, lower))
    return {"both": both, "right": upper, "left": lower}


def all_draws(p):
    """Every draw (2^n, n) and its probability."""
    n = p.size
    x = (np.arange(2**n)[:, None] >> np.arange(n) & 1).astype(np.int8)
    probability = np.exp(x @ np.log(p) + (1 - x) @ np.log1p(-p))
    return x, probability


PROPENSITIES = {
    "flat": lambda rng, n: np.full(n, 0.3),
    "mixed": lambda rng, n: rng.random(n) * 0.8 + 0.02,
    "rare": lambda rng, n: rng.random(n) * 0.03 + 1e-4,
    "separated": lambda rng, n: np.where(rng.random(n) < 0.5, 1e-6, 1 - 1e-6),
}


def bernoulli_screen(n, propensity):
    """W (n, 5), p (n,), every draw's probability (2^n,) and sums (2^n, 5)."""
    rng = np.random.default_rng([n, len(propensity)])
    W = outcomes(rng, n)
    p = PROPENSITIES[propensity](rng, n)
    x, probability = all_draws(p)
    sums = x @ W
    sums[-1] = 0.0  # by definition, as that of no cell
    return W, p, probability, sums


@pytest.mark.parametrize("n", [9, pytest.param(19, marks=pytest.mark.slow)])
@pytest.mark.parametrize("propensity", PROPENSITIES)
def test_bernoulli_tails_equal_enumeration(propensity, n):
    # n = 9 goes through the library's own enumeration, n = 19 through the contour
    W, p, probability, sums = bernoulli_screen(n, propensity)
    # what is observed has treated cells and others
    seen = probability[1:-1] / probability[1:-1].sum()
    for drawn in np.random.default_rng(0).choice(seen.size, size=4, p=seen) + 1:
        t = sums[drawn]
        found = bernoulli_tails(W, np.zeros(5), np.ones(n), t, p)
        for side, exact in tails_of_sums(sums, probability, t).items():
            ratio = found.p_value(side) / exact
            assert np.all(np.abs(np.log(ratio)) < (1e-6 if n == 9 else 0.12)), (side, ratio, exact)


@pytest.mark.slow
@pytest.mark.brief
@pytest.mark.parametrize(
    ("sizes", "totals"), [([16], [5]), ([9, 9], [3, 4]), ([4, 6, 6], [1, 3, 4]), ([18], [9])]
)
@pytest.mark.parametrize("listed", [True, False])
def test_stratified_tails_equal_enumeration(sizes, totals, listed, monkeypatch):
    if not listed:  # by saddlepoint and contour, as where draws are too many to be listed
        monkeypatch.setattr("programde.tails.permutation.FEW", 0)
    rng = np.random.default_rng(len(sizes))
    n = sum(sizes)
    W = outcomes(rng, n)
    order, starts = rng.permutation(n), np.concatenate([[0], np.cumsum(sizes)])
    sums = enumerated(order, starts, totals, W)
    probability = np.full(len(sums), 1.0 / len(sums))
    for quantile in (0.001, 0.01, 0.1, 0.8):
        for side in ("left", "right"):
            q = quantile if side == "left" else 1 - quantile
            t = np.quantile(sums, q, axis=0, method="nearest")
            exact = tails_of_sums(sums, probability, t)[side]
            found = stratified_tails(W, np.zeros(5), np.ones(n), t, order, starts, np.array(totals))
            ratio = found.p_value(side) / exact
            assert not listed or np.abs(np.log(ratio)).max() < 1e-9
            # lattices (ranks, counts) to rounding, atoms of continuous outcomes to a few percent
            np.testing.assert_allclose(ratio[2:], 1.0, atol=0.02)
            np.testing.assert_allclose(ratio[:2], 1.0, atol=0.05)


def test_observed_value_counts_in_full_and_not_by_half():
    # ten cells, one drawn: the largest is one in ten, the mid-p value would be one in twenty
    W = np.arange(10.0)[:, None]
    at = {"order": np.arange(10), "starts": np.array([0, 10]), "totals": np.array([1])}
    for rank in range(10):
        tail = stratified_tails(W, np.zeros(1), np.ones(10), np.array([rank]), *at.values())
        assert tail.p_value("right")[0] == pytest.approx((10 - rank) / 10)


def laws_of(n):
    """Bernoulli and permutation laws of n cells, with every draw and its probability."""
    people = population(n=n, k=4, p=1, zeros=0.3)
    p = 1 / (1 + np.exp(1.0 - 0.7 * people.covariates[:, 1]))
    order, starts = np.argsort(-p, kind="stable"), np.array([0, n // 2, n])
    totals = np.array([n // 4, n // 6 + 1])
    yield people, BernoulliLaw(p), *all_draws(p)
    drawn = enumerated(order, starts, totals, np.eye(n))
    yield people, StratifiedLaw(order, starts, totals), drawn, np.full(len(drawn), 1 / len(drawn))


@pytest.mark.slow
@pytest.mark.brief
@pytest.mark.parametrize("statistic", [OLS(), UTest()], ids=lambda s: s.name)
@pytest.mark.parametrize("n", [12, 14])
def test_statistics_on_small_screens_are_exact(n, statistic):
    # every draw of the statistic itself, by the library's own linearisation of it
    for people, law, x, probability in laws_of(n):
        prepared = statistic.prepare(people)
        T = np.nan_to_num([prepared.observed(np.flatnonzero(row)) for row in x])
        T[x.sum(axis=1) == n] = 0.0
        for level in (0.003, 0.05, 0.5, 0.95, 0.997):
            t = np.quantile(T, level, axis=0, method="nearest")
            event = prepared.linearise(t, law)
            line = (prepared.summands, event.tau, event.weights, event.threshold)
            curved = {"basis": event.basis, "curvature": event.curvature}
            if isinstance(law, BernoulliLaw):
                found = bernoulli_tails(*line, law.p, **curved)
            else:
                found = stratified_tails(*line, law.order, law.starts, law.totals, **curved)
            assert set(found.branch_names()) == {"enumeration"}
            for side, exact in tails_of_sums(T, probability, t).items():
                np.testing.assert_allclose(found.p_value(side), exact, rtol=1e-9)


def ols_problem(rng, n):
    C = np.column_stack([np.ones(n), rng.standard_normal(n)])
    Q = np.linalg.qr(C)[0]
    Y = outcomes(rng, n)[:, :2]
    p = 1 / (1 + np.exp(0.6 - 0.8 * C[:, 1]))
    return Q, Y - Q @ (Q.T @ Y), p


def ols_event(Q, R, p, t):
    """The linearised event of {beta >= t} with its curvature, written out."""
    m = Q.T @ p
    constant = m @ m - ((p * (1 - p))[:, None] * Q**2).sum()
    return R, t, 1 - 2 * Q @ m, t * constant


def ols_statistics(Q, R, x):
    sums = x @ R
    d = x.sum(axis=1) - ((x @ Q) ** 2).sum(axis=1)
    defined = d > 1e-9
    return np.where(defined[:, None], sums / np.where(defined, d, 1.0)[:, None], 0.0)


def test_curvature_makes_the_ols_event_exact():
    # 2^12 draws, the statistic itself and the event with its curvature
    rng = np.random.default_rng(5)
    Q, R, p = ols_problem(rng, 12)
    x, probability = all_draws(p)
    beta = ols_statistics(Q, R, x)
    for t in (np.quantile(beta, 0.99, axis=0), np.quantile(beta, 0.9, axis=0)):
        W, tau, v, threshold = ols_event(Q, R, p, t)
        sums = BernoulliSums(program_major(W), tau, v, threshold, p, Q, t)
        a = W - v[:, None] * tau
        for k in range(2):
            exact = probability[1:-1] @ (beta[1:-1, k] >= t[k] - 1e-12)
            flipped = p > 0.5
            sign = np.where(flipped, -1.0, 1.0)
            s = threshold[k] - a[flipped, k].sum() - 1e-9
            found = enumerate_draws(
                sign * a[:, k], np.where(flipped, 1 - p, p), s, flipped,
                sums.curvature.g[k], *sums.curvature.shared,
            )  # fmt: skip
            assert found == pytest.approx(exact, rel=1e-9)


def ols_ratios(rng, n, levels):
    """|log ratio| of computed to enumerated tails, with and without curvature: (2, tests)."""
    Q, R, p = ols_problem(rng, n)
    x, probability = all_draws(p)
    beta = ols_statistics(Q, R, x)
    ratios = []
    for level in levels:
        for side in ("right", "left"):
            t = np.quantile(beta, 1 - level if side == "right" else level, axis=0)
            exact = tails_of_sums(beta, probability, t)[side]
            event = ols_event(Q, R, p, t)
            curved = bernoulli_tails(*event, p, basis=Q, curvature=t).p_value(side) / exact
            straight = bernoulli_tails(*event, p).p_value(side) / exact
            ratios.append((curved, straight))
    return np.abs(np.log(ratios)).transpose(1, 0, 2).reshape(2, -1)


def test_ols_tails_on_thirteen_cells_are_exact():
    curved, _ = ols_ratios(np.random.default_rng(6), 13, (0.1, 0.01, 0.003))
    assert curved.max() < 1e-6


@pytest.mark.slow
@pytest.mark.brief
def test_ols_tails_on_nineteen_cells():
    # far from the large screens for which it is made: the denominator varies by half of itself
    curved, straight = ols_ratios(np.random.default_rng(7), 19, (0.1, 0.03, 0.01))
    assert np.median(curved) < 0.1
    assert curved.max() < 0.4
    assert curved.mean() < straight.mean()


def test_beyond_the_support_is_said_and_is_the_most_extreme_draw():
    W = np.array([[3.0], [1.0], [-1.0], *[[0.1]] * 30])
    p = np.full(33, 0.01)
    found = bernoulli_tails(W, np.zeros(1), np.ones(33), np.array([50.0]), p)
    assert BRANCHES[found.branch[0]] == "end"
    exact = np.sum(np.where(W[:, 0] > 0, np.log(p), np.log1p(-p)))
    assert found.log_right[0] == pytest.approx(exact)
    order, starts, totals = np.arange(33), np.array([0, 33]), np.array([2])
    found = stratified_tails(W, np.zeros(1), np.ones(33), np.array([50.0]), order, starts, totals)
    assert BRANCHES[found.branch[0]] == "end"
    assert found.p_value("right")[0] == pytest.approx(1 / (33 * 32 / 2))
    pairs = np.array([W[i, 0] + W[j, 0] for i, j in itertools.combinations(range(33), 2)])
    found = stratified_tails(W, np.zeros(1), np.ones(33), np.array([3.1]), order, starts, totals)
    assert found.p_value("right")[0] == pytest.approx((pairs >= 3.1 - 1e-9).mean(), rel=0.02)


@pytest.mark.parametrize(
    ("top", "largest", "probability"),
    [
        # seven cells tied at the top, five drawn: any five of them
        ([3.0] * 7, 15.0, 21 / 5_461_512),
        # three above, of which all are drawn, and two of the four tied below them
        ([5.0] * 3 + [3.0] * 4, 21.0, 6 / 5_461_512),
        # no ties: one draw
        ([9.0, 8.0, 7.0, 6.0, 5.0], 35.0, 1 / 5_461_512),
    ],
)
def test_end_of_a_stratum_counts_the_draws_that_reach_it(top, largest, probability):
    # sixty cells, five drawn (5,461,512 draws: too many to be listed)
    rest = np.linspace(-1.0, 0.5, 60 - len(top))
    W = np.random.default_rng(3).permutation(np.concatenate([top, rest]))[:, None]
    at = (np.arange(60), np.array([0, 60]), np.array([5]))
    for side, sign in (("right", 1.0), ("left", -1.0)):
        reached, beyond = (
            stratified_tails(sign * W, np.zeros(1), np.ones(60), np.array([sign * t]), *at)
            for t in (largest, largest + 4.0)
        )
        assert reached.p_value(side)[0] == pytest.approx(probability, rel=0.02)
        assert BRANCHES[beyond.branch[0]] == "end"
        assert beyond.p_value(side)[0] == pytest.approx(probability)


def test_end_where_every_cell_lowers_the_sum_is_the_best_single_one():
    # the draw of no cell has no statistic; the nearest one to reach the threshold holds one cell
    W = -np.linspace(1.0, 3.0, 30)[::-1, None]
    p = np.linspace(0.005, 0.02, 30)
    for side, sign in (("right", 1.0), ("left", -1.0)):
        found = bernoulli_tails(sign * W, np.zeros(1), np.ones(30), np.array([sign * 0.5]), p)
        assert BRANCHES[found.branch[0]] == "end"
        best = int(np.argmax(W[:, 0]))
        alone = np.prod(1 - p) * p[best] / (1 - p[best])
        assert found.p_value(side)[0] == pytest.approx(alone, rel=1e-9)
