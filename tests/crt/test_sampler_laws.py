"""The samplers' laws: every frequency that can be enumerated, and the moments they report.

Chi-square tests have a false-alarm rate of 1e-4 each; seeds are fixed, so none is a lottery.
"""

from itertools import combinations, product

import numpy as np
import pytest
from scipy import stats

from programde.crt.samplers import SAMPLERS, Bernoulli, StratifiedPermutation, make_sampler
from programde.crt.samplers.bernoulli import BernoulliLaw
from programde.crt.samplers.stratified import StratifiedLaw
from programde.errors import OptionError
from programde.streams import stream_key
from tests.crt.small import draw_matrix, population

RATE = 1e-4


def subset_codes(x):
    return (x @ 2 ** np.arange(x.shape[1])).astype(np.int64)


def test_bernoulli_gives_every_assignment_its_probability():
    p = np.array([0.02, 0.3, 0.5, 0.93])
    x = draw_matrix(BernoulliLaw(p), 200_000, stream_key(1, "exact"), 4)
    assignments = np.array(list(product([0.0, 1.0], repeat=4)))
    expected = np.prod(np.where(assignments == 1, p, 1 - p), axis=1)
    seen = np.bincount(subset_codes(x), minlength=16)[subset_codes(assignments)]
    assert stats.chisquare(seen, expected * len(x)).pvalue > RATE


def test_bernoulli_inclusions_are_independent_over_draws():
    # a draw must not know of the one before it: the two-by-two table of neighbours
    x = draw_matrix(BernoulliLaw(np.array([0.3])), 100_000, stream_key(2, "pairs"), 1)[:, 0]
    table = np.bincount((2 * x[:-1] + x[1:]).astype(int)[::2], minlength=4)
    expected = np.outer([0.7, 0.3], [0.7, 0.3]).ravel()
    assert stats.chisquare(table, expected * table.sum()).pvalue > RATE


def test_bernoulli_inclusion_counts_are_binomial():
    n, n_draws = 4000, 500
    p = np.random.default_rng(0).choice([0.002, 0.05, 0.3, 0.8], n)
    counts = draw_matrix(BernoulliLaw(p), n_draws, stream_key(3, "counts"), n).sum(axis=0)
    for value in np.unique(p):
        held = counts[p == value].astype(int)
        law = stats.binom(n_draws, value)
        # about ten classes of equal probability
        cuts = np.unique(law.ppf(np.linspace(0.1, 0.9, 9)).astype(int))
        expected = np.diff(np.concatenate([[0.0], law.cdf(cuts), [1.0]]))
        seen = np.bincount(np.searchsorted(cuts, held), minlength=expected.size)
        keep = expected > 1e-3
        assert seen[~keep].sum() == 0
        expected = expected[keep] / expected[keep].sum()
        assert stats.chisquare(seen[keep], expected * held.size).pvalue > RATE


def test_bernoulli_pairs_of_cells_are_uncorrelated():
    n, n_draws = 60, 20_000
    p = np.random.default_rng(1).uniform(0.05, 0.6, n)
    x = draw_matrix(BernoulliLaw(p), n_draws, stream_key(4, "pairs"), n)
    z = (x - p) / np.sqrt(p * (1 - p))
    r = (z.T @ z / n_draws)[np.triu_indices(n, 1)]
    # sum of squared correlations: chi-square with one degree of freedom per pair
    assert stats.chi2.sf(n_draws * (r**2).sum(), r.size) > RATE


def test_clipped_probabilities_are_kept():
    # 10,000 cells at 1e-6 over 10,000 draws: 100 inclusions expected
    law = BernoulliLaw(np.full(10_000, 1e-6))
    indptr, _ = law.indices(10_000, stream_key(5, "clip"))
    low, high = stats.poisson(100).interval(1 - RATE)
    assert low <= indptr[-1] <= high
    full = BernoulliLaw(np.full(100, 1 - 1e-6))
    assert full.indices(1000, stream_key(5, "clip"))[0][-1] >= 100_000 - 6


@pytest.mark.parametrize("m", [1, 2, 3, 4, 5])
def test_permutation_gives_every_subset_of_a_stratum_the_same_probability(m):
    law = StratifiedLaw(np.array([3, 0, 4, 1, 2]), np.array([0, 5]), np.array([m]))
    x = draw_matrix(law, 40_000, stream_key(6, "subsets"), 5)
    seen = np.bincount(subset_codes(x), minlength=32)
    possible = [sum(2**i for i in subset) for subset in combinations(range(5), m)]
    assert seen[possible].sum() == len(x)
    if m < 5:
        assert stats.chisquare(seen[possible]).pvalue > RATE


def test_strata_are_drawn_independently_with_fixed_totals():
    order, starts, totals = np.arange(9), np.array([0, 4, 6, 9]), np.array([2, 1, 1])
    law = StratifiedLaw(order, starts, totals)
    x = draw_matrix(law, 60_000, stream_key(7, "strata"), 9)
    for s in range(3):
        np.testing.assert_array_equal(x[:, starts[s] : starts[s + 1]].sum(axis=1), totals[s])
    codes, seen = np.unique(subset_codes(x), return_counts=True)
    assert codes.size == 6 * 2 * 3
    assert stats.chisquare(seen).pvalue > RATE
    # neighbouring draws go on from one another's shuffle, yet know nothing of each other
    table = np.zeros((9, 9))
    np.add.at(table, (x[:-1:2, 6:].argmax(axis=1), x[1::2, 6:].argmax(axis=1)), 1)
    assert stats.chisquare(table[:3, :3].ravel()).pvalue > RATE


LAWS = {
    "bernoulli": BernoulliLaw(np.array([0.1, 0.5, 0.25, 0.9, 0.4, 0.05])),
    "stratified": StratifiedLaw(
        np.array([5, 0, 2, 1, 3, 4]), np.array([0, 3, 5, 6]), np.array([1, 1, 1])
    ),
}


def enumerated(law):
    """All assignments of six cells and their probabilities."""
    x = np.array(list(product([0.0, 1.0], repeat=6)))
    if isinstance(law, BernoulliLaw):
        return x, np.prod(np.where(x == 1, law.p, 1 - law.p), axis=1)
    ordered = x[:, law.order]
    sums = np.add.reduceat(ordered, law.starts[:-1], axis=1)
    allowed = (sums == law.totals).all(axis=1)
    return x, allowed / allowed.sum()


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_moments_equal_the_enumerated_ones(law):
    x, probability = enumerated(law)
    mean = probability @ x
    covariance = (x - mean).T @ (probability[:, None] * (x - mean))
    np.testing.assert_allclose(law.mean(), mean, atol=1e-12)
    count = x.sum(axis=1)
    expected, variance = law.count_moments()
    assert expected == pytest.approx(probability @ count)
    assert variance == pytest.approx(probability @ (count - expected) ** 2, abs=1e-12)
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 3)))[0]
    trace = np.trace(basis.T @ covariance @ basis)
    assert law.covariance_trace(basis) == pytest.approx(trace, abs=1e-12)
    assert law.covariance_trace(np.empty((6, 0))) == 0.0


def test_bernoulli_law_is_the_propensity():
    p = np.random.default_rng(0).uniform(0.01, 0.5, 30)
    law = Bernoulli().prepare(population(n=30)).law(p, np.array([3, 4]))
    np.testing.assert_array_equal(law.p, p)


def test_treated_totals_per_stratum_are_those_observed():
    people = population(n=300, n_batches=2)
    rng = np.random.default_rng(0)
    p, treated = rng.uniform(0.01, 0.5, 300), np.sort(rng.choice(300, 40, replace=False))
    law = StratifiedPermutation(n_bins=4).prepare(people).law(p, treated)
    x = draw_matrix(law, 50, stream_key(1, "totals"), 300)
    x0 = np.zeros(300)
    x0[treated] = 1
    for s in range(law.totals.size):
        cells = law.order[law.starts[s] : law.starts[s + 1]]
        assert x0[cells].sum() == law.totals[s]
        np.testing.assert_array_equal(x[:, cells].sum(axis=1), law.totals[s])


def test_samplers_by_name():
    assert set(SAMPLERS) == {"bernoulli_index", "stratified_perm"}
    assert make_sampler("stratified_perm", n_bins=3).n_bins == 3
    with pytest.raises(OptionError, match="bernoulli_index"):
        make_sampler("bernoulli")
    with pytest.raises(OptionError, match=r"n_bin'.*n_bins"):
        make_sampler("stratified_perm", n_bin=3)
    with pytest.raises(OptionError, match="no option 'n_bins'"):
        make_sampler("bernoulli_index", n_bins=3)
