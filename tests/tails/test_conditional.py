"""The conditional law against enumeration, exact counts, permutation and its own formula."""

from dataclasses import fields
from itertools import combinations
from math import comb

import numpy as np
import pytest
from scipy.stats import hypergeom

from programde.tails.conditional import ConditionalLaw, conditional_tails, lattice_spans
from programde.tails.exact import stratified_tails
from programde.tails.formulas import (
    BRANCHES,
    CONDITIONAL,
    FIRST_ORDER,
    PERMUTATION,
    SEPARATED,
    UNTESTABLE,
)


def screen(seed=0, n=1500, K=6, n1=60, slopes=False):
    """S (K, n), C with batches and two covariates, and one unit's treated cells, confounded."""
    rng = np.random.default_rng(seed)
    batch = rng.integers(0, 4, n)
    x = rng.standard_normal((n, 2))
    dummies = [(batch == b).astype(float) for b in (1, 2, 3)]
    columns = [np.ones(n), *dummies, *x.T]
    if slopes:
        columns += [d * x[:, 0] for d in dummies]
    C = np.column_stack(columns)
    odds = np.exp(0.4 * x[:, 0] - 0.5 * x[:, 1] + 0.3 * batch)
    treated = np.sort(rng.choice(n, n1, replace=False, p=odds / odds.sum()))
    S = rng.standard_normal((K, n)) + 0.4 * x[:, 0]
    S[:4, treated] += np.array([0.0, 0.3, -0.6, 1.5])[:K, None]
    return S, C, treated, batch


def logistic(X, x):
    """Least negative log likelihood, log det of the information and coefficients, by Newton."""
    beta = np.zeros(X.shape[1])
    for _ in range(60):
        p = 1.0 / (1.0 + np.exp(-X @ beta))
        information = (X * (p * (1.0 - p))[:, None]).T @ X
        step = np.linalg.solve(information, X.T @ (x - p))
        beta += step * min(1.0, 5.0 / np.abs(X @ step).max())
    d = X @ beta
    return np.logaddexp(0.0, d).sum() - x @ d, np.linalg.slogdet(information)[1], beta


def r_star(s, C, treated):
    """The formula of the module, from two plain fits."""
    x = np.zeros(s.size)
    x[treated] = 1.0
    f0, det0, _ = logistic(C, x)
    f1, det1, beta = logistic(np.column_stack([C, s]), x)
    z = np.sign(beta[-1]) * np.sqrt(2.0 * (f0 - f1))
    return z + np.log(beta[-1] * np.exp(0.5 * (det1 - det0)) / z) / z


@pytest.mark.slow
@pytest.mark.brief
@pytest.mark.parametrize("slopes", [False, True])
@pytest.mark.parametrize("n1", [20, 60, 300])
def test_tails_are_those_of_two_plain_logistic_fits(n1, slopes):
    from scipy.special import log_ndtr

    S, C, treated, _ = screen(n1=n1, slopes=slopes)
    law = ConditionalLaw(S, C, screened=False)
    found = law.tails([treated])[0]
    assert (found.branch == CONDITIONAL).all()
    r = np.array([r_star(s, C, treated) for s in S])
    # Newton's method ends early, which shows in p: by 1 %, or by 5e-4 of its logarithm
    np.testing.assert_allclose(found.log_right, log_ndtr(-r), rtol=5e-4, atol=0.01)
    np.testing.assert_allclose(found.log_left, log_ndtr(r), rtol=5e-4, atol=0.01)


def exact_counts(level, y, n1):
    """Number of subsets of n1 cells by (sum of level, sum of y): integers, exactly in float64
    logarithms; an array (sum of level, sum of y)."""
    pairs, sizes = np.unique(np.column_stack([level, y]), axis=0, return_counts=True)
    top_level, top_y = int(level.max()) * n1 + 1, int(y.max()) * n1 + 1
    table = np.zeros((n1 + 1, top_level, top_y))
    table[0, 0, 0] = 1.0
    for (a, b), size in zip(pairs.astype(int), sizes, strict=True):
        new = np.zeros_like(table)
        for m in range(min(size, n1) + 1):
            part = table[: n1 + 1 - m, : top_level - a * m, : top_y - b * m]
            new[m:, a * m :, b * m :] += float(comb(int(size), m)) * part
        table = new / new.max()
    return table[n1]


@pytest.mark.slow
@pytest.mark.brief
@pytest.mark.parametrize("n1", [6, 12, 25])
@pytest.mark.parametrize("values", [2, 4])
def test_integer_outcomes_against_exact_counts(n1, values):
    """All sets of n1 cells with the observed sum of a covariate, counted; lattice outcomes."""
    rng = np.random.default_rng(10 * n1 + values)
    n = 240
    level = rng.integers(0, 4, n).astype(float)
    C = np.column_stack([np.ones(n), level])
    y = np.minimum(rng.poisson(0.8, n), values - 1).astype(float)
    assert lattice_spans(y[:, None])[0] == 1.0
    law = ConditionalLaw(y[None], C, spans=np.array([1.0]), screened=False)
    checked = 0
    for lean in np.linspace(-1.5, 2.5, 9):
        odds = np.exp(lean * y + 0.3 * level)
        treated = rng.choice(n, n1, replace=False, p=odds / odds.sum())
        counts = exact_counts(level, y, n1)[int(level[treated].sum())]
        counts /= counts.sum()
        t = int(y[treated].sum())
        right, left = counts[t:].sum(), counts[: t + 1].sum()
        found = law.tails([treated])[0]
        if found.branch[0] != CONDITIONAL:
            assert t in (0, np.flatnonzero(counts).max(), np.flatnonzero(counts).min())
            continue
        for log_p, exact in ((found.log_right[0], right), (found.log_left[0], left)):
            if 1e-12 < exact < 0.9:
                checked += 1
                assert abs(log_p - np.log(exact)) < (0.12 if n1 < 10 else 0.05)
    assert checked >= 6


def test_smooth_outcome_against_enumeration():
    """All sets of 7 of 20 cells with the observed sum of an integer covariate."""
    rng = np.random.default_rng(3)
    n, n1 = 20, 7
    level = np.tile([0.0, 1.0, 2.0, 3.0], 5)
    C = np.column_stack([np.ones(n), level])
    S = rng.standard_normal((3, n))
    sets = np.array(list(combinations(range(n), n1)))
    sums = S[:, sets].sum(axis=2)
    levels = level[sets].sum(axis=1)
    law = ConditionalLaw(S, C, screened=False)
    errors = []
    for treated in sets[rng.choice(len(sets), 40, replace=False)]:
        same = levels == level[treated].sum()
        here = S[:, treated].sum(axis=1)
        # a law of single points: half of the point itself belongs to either tail of a smooth one
        right = (sums[:, same] > here[:, None] + 1e-9).mean(axis=1) + 0.5 / same.sum()
        found = law.tails([treated])[0]
        # where few sets have that sum, their law is a few points
        ok = (right > 0.02) & (right < 0.98) & (same.sum() > 2000)
        errors += list((found.log_right - np.log(right))[ok])
        errors += list((found.log_left - np.log1p(-right))[ok])
    assert len(errors) > 160
    assert np.abs(errors).max() < 0.2
    assert np.sqrt(np.mean(np.square(errors))) < 0.05


def test_one_factor_is_the_permutation_within_its_levels():
    S, _, treated, batch = screen(n1=24)
    C = np.column_stack([np.ones(batch.size), *(batch == b for b in (1, 2, 3))]).astype(float)
    found = conditional_tails(S, C, treated)
    order = np.argsort(batch, kind="stable")
    starts = np.searchsorted(batch[order], np.arange(5))
    totals = np.bincount(batch[treated], minlength=4)
    zeros, ones = np.zeros(len(S)), np.ones(batch.size)
    exact = stratified_tails(S.T, zeros, ones, S[:, treated].sum(axis=1), order, starts, totals)
    assert (found.branch == PERMUTATION).all()
    np.testing.assert_allclose(found.log_left, exact.log_left, rtol=1e-9)
    np.testing.assert_allclose(found.log_right, exact.log_right, rtol=1e-9)


def test_two_factors_with_interaction_are_saturated_and_without_it_are_not():
    S, _, treated, batch = screen(n1=40)
    other = np.arange(batch.size) % 2
    dummies = [(batch == b).astype(float) for b in (1, 2, 3)]
    both = [d * other for d in dummies]
    additive = np.column_stack([np.ones(batch.size), *dummies, other])
    assert (conditional_tails(S, additive, treated).branch != PERMUTATION).all()
    crossed = conditional_tails(S, np.column_stack([additive, *both]), treated)
    assert (crossed.branch == PERMUTATION).all()


def test_binary_outcome_without_covariates_is_hypergeometric():
    rng = np.random.default_rng(4)
    n, n1 = 300, 20
    y = (rng.random(n) < 0.2).astype(float)
    treated = np.concatenate([np.flatnonzero(y)[:9], np.flatnonzero(y == 0)[:11]])
    found = conditional_tails(y[None], np.ones((n, 1)), treated)
    law = hypergeom(n, int(y.sum()), n1)
    np.testing.assert_allclose(found.log_right, [law.logsf(8)], rtol=0.02)
    np.testing.assert_allclose(found.log_left, [law.logcdf(9)], atol=0.02)


def test_saddlepoint_agrees_with_permutation_where_both_are_known():
    """The same law by its general way: 30 treated cells, p down to 1e-9."""
    from dataclasses import replace

    from programde.tails.covariate_strata import strata_of

    rng = np.random.default_rng(5)
    n, n1 = 3000, 30
    batch = np.repeat([0.0, 1.0], n // 2)
    C = np.column_stack([np.ones(n), batch])
    S = np.stack([rng.standard_normal(n), rng.exponential(size=n)])
    general = ConditionalLaw(S, C, strata=replace(strata_of(C), saturated=False), screened=False)
    exact = ConditionalLaw(S, C)
    for lean in (-1.2, -0.6, 0.0, 0.5, 1.0):
        for k in range(2):
            w = np.exp(lean * S[k] - np.max(lean * S[k]))
            treated = rng.choice(n, n1, replace=False, p=w / w.sum())
            here, there = (law.tails([treated])[0] for law in (general, exact))
            assert (here.branch == CONDITIONAL).all()
            assert (there.branch == PERMUTATION).all()
            np.testing.assert_allclose(here.log_right, there.log_right, atol=0.03)
            np.testing.assert_allclose(here.log_left, there.log_left, atol=0.03)


def test_what_lies_in_the_span_of_the_covariates_changes_nothing():
    S, C, treated, _ = screen(n1=40)
    law = ConditionalLaw(S, C, screened=False)
    plain = law.tails([treated])[0]
    rng = np.random.default_rng(6)
    moved = S * 1e-6 + (C @ rng.standard_normal((C.shape[1], len(S)))).T * 1e-6
    turned = C @ (rng.standard_normal((6, 6)) + 3.0 * np.eye(6))
    for S2, C2 in ((moved, C), (S, turned)):
        other = ConditionalLaw(S2, C2, screened=False).tails([treated])[0]
        # both end within Newton's tolerance of the same root
        np.testing.assert_allclose(other.log_left, plain.log_left, rtol=2e-3, atol=2e-3)
        np.testing.assert_allclose(other.log_right, plain.log_right, rtol=2e-3, atol=2e-3)


def test_mirrored_outcomes_swap_the_tails():
    S, C, treated, _ = screen(n1=40)
    here = ConditionalLaw(S, C).tails([treated])[0]
    there = ConditionalLaw(-S, C).tails([treated])[0]
    np.testing.assert_allclose(here.log_left, there.log_right, rtol=1e-4)
    np.testing.assert_allclose(here.log_right, there.log_left, rtol=1e-4)


def test_no_unit_depends_on_its_company_and_no_result_on_the_order_of_cells():
    S, C, treated, _ = screen(n1=40)
    others = [np.arange(i, 1500, 37) for i in range(5)]
    law = ConditionalLaw(S, C)
    alone = law.tails([treated])[0]
    for among in (law.tails([*others, treated])[-1], law.tails([treated, *others])[0]):
        for item in fields(alone):
            np.testing.assert_array_equal(getattr(alone, item.name), getattr(among, item.name))
    shuffled = np.random.default_rng(7).permutation(1500)
    back = np.argsort(shuffled)
    moved = ConditionalLaw(S[:, shuffled], C[shuffled]).tails([back[treated]])[0]
    np.testing.assert_allclose(moved.log_left, alone.log_left, rtol=1e-4, atol=1e-4)


def test_batches_without_treated_or_without_control_cells_are_left_out():
    """So are they level by level for a factor that is no stratum: the law is that of the rest."""
    S, C, treated, batch = screen(n1=80)
    donor = (np.arange(1500) // 7) % 3
    C = np.column_stack([C, donor == 1, donor == 2]).astype(float)
    kept = treated[(batch[treated] != 2) & (donor[treated] != 0)]
    rest = (batch != 2) & (donor != 0)
    whole = ConditionalLaw(S, C, screened=False).tails([kept])[0]
    places = np.cumsum(rest) - 1
    columns = C[rest][:, [0, 1, 3, 4, 5, 7]]
    part = ConditionalLaw(S[:, rest], columns, screened=False).tails([places[kept]])[0]
    assert (whole.branch == CONDITIONAL).all()
    np.testing.assert_allclose(whole.log_left, part.log_left, rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(whole.log_right, part.log_right, rtol=2e-3, atol=2e-3)
    # batch 2 treated from end to end says as little
    full = np.union1d(kept, np.flatnonzero(batch == 2))
    full = full[donor[full] != 0]
    filled = ConditionalLaw(S, C, screened=False).tails([full])[0]
    np.testing.assert_allclose(filled.log_left, part.log_left, rtol=2e-3, atol=2e-3)


def test_treated_cells_that_a_covariate_separates_fall_back_and_say_so():
    S, C, _, _ = screen()
    treated = np.argsort(C[:, 4])[-12:]
    without = conditional_tails(S, C, treated)
    assert (without.branch == SEPARATED).all()
    assert np.isnan(without.log_left).all()
    share = np.full(1500, 12 / 1500)
    found = conditional_tails(S, C, treated, p=share)
    assert (found.branch == SEPARATED).all()
    assert np.isfinite(found.log_left).all()


@pytest.mark.parametrize("n1", [1, 2, 3, 4, 6, 9])
def test_every_number_of_treated_cells_has_a_number_or_a_reason(n1):
    S, C, _, _ = screen()
    rng = np.random.default_rng(n1)
    share = np.full(1500, n1 / 1500)
    law = ConditionalLaw(S, C)
    for found in law.tails(
        [rng.choice(1500, n1, replace=False) for _ in range(12)], lambda _: share
    ):
        named = np.isin(found.branch, (FIRST_ORDER, CONDITIONAL, SEPARATED))
        assert named.all(), [BRANCHES[code] for code in found.branch]
        assert np.isfinite(found.log_left).all()
        assert np.isfinite(found.log_right).all()
        assert (np.maximum(found.log_left, found.log_right) > np.log(0.3)).all()


def test_nothing_to_test_is_nan_and_untestable():
    S, C, treated, _ = screen()
    S[0] = 3.0
    S[1] = C @ np.arange(6.0)
    found = conditional_tails(S, C, treated)
    assert (found.branch[:2] == UNTESTABLE).all()
    assert np.isnan(found.log_left[:2]).all()
    assert np.isfinite(found.log_left[2:]).all()
    everyone = conditional_tails(S, C, np.arange(1500))
    assert (everyone.branch == UNTESTABLE).all()
    assert np.isnan(everyone.log_right).all()


def test_tails_reach_1e_300_on_either_side():
    S, C, treated, _ = screen(n1=700)
    S = S[:2].copy()
    S[:, treated] += np.array([2.6, -2.6])[:, None]
    found = conditional_tails(S, C, treated)
    assert (found.branch == CONDITIONAL).all()
    smallest = np.array([found.log_right[0], found.log_left[1]])
    assert (smallest < -300.0).all()
    assert (smallest >= np.log(1e-300)).all()
    np.testing.assert_allclose([found.log_left[0], found.log_right[1]], 0.0, atol=1e-12)


def test_tails_are_smooth_across_the_mean():
    """No step where log(u / z) / z becomes 0 / 0."""
    S, C, treated, _ = screen(K=1, n1=15)
    x = np.zeros(1500)
    x[treated] = 1.0
    f = np.linspace(-0.15, 0.15, 61)
    base = S[0] - np.linalg.lstsq(C, S[0], rcond=None)[0] @ C.T
    base -= x * base[treated].mean()
    found = conditional_tails(base + f[:, None] * x, C, treated)
    steps = np.diff(found.log_right)
    assert (steps < 0.0).all()
    assert np.abs(np.diff(steps, 2)).max() < 0.01 * np.abs(steps).max()


def test_few_cells_of_a_lumpy_outcome_are_marked_and_many_or_smooth_ones_are_not():
    rng = np.random.default_rng(8)
    S, C, _, _ = screen(K=2)
    S[1] = np.where(rng.random(1500) < 0.05, -13.0, rng.standard_normal(1500))
    few = rng.choice(1500, 8, replace=False)
    many = rng.choice(1500, 200, replace=False)
    law = ConditionalLaw(S, C, screened=False)
    few, many = law.tails([few, many])
    np.testing.assert_array_equal(few.rough, [False, True])
    assert not many.rough.any()


@pytest.mark.slow
@pytest.mark.brief
def test_null_p_values_are_uniform_under_confounding():
    """240 units x 40 programs of no effect, n1 = 60: 9,600 tests. Programs are independent given C,
    so the count below .05 is binomial: false alarm 1e-4 for each of the bounds."""
    from scipy.stats import binom

    rng = np.random.default_rng(9)
    n, K, units = 2000, 40, 240
    x = rng.standard_normal((n, 2))
    batch = rng.integers(0, 3, n)
    C = np.column_stack([np.ones(n), batch == 1, batch == 2, x]).astype(float)
    treated, S = [], rng.standard_t(5, (K, n)) + 0.7 * x[:, 0] + 0.5 * batch
    odds = np.exp(-3.6 + 0.6 * x[:, 0] - 0.4 * x[:, 1] + 0.3 * batch)
    treated = [np.flatnonzero(rng.random(n) < odds / (1 + odds)) for _ in range(units)]
    found = ConditionalLaw(S, C).tails(treated)
    p = np.exp([np.minimum(f.log_left, f.log_right) + np.log(2.0) for f in found])
    for level in (0.5, 0.05, 0.01):
        low, high = binom(p.size, level).ppf([5e-5, 1 - 5e-5])
        assert low <= np.count_nonzero(p < level) <= high


def test_a_fit_tells_coefficients_and_information_of_the_covariates():
    from programde.tails.conditional_fit import UnitFit

    S, C, treated, _ = screen(n=1200, n1=90, slopes=True)
    law = ConditionalLaw(S, C)
    root = UnitFit(law.strata, treated).at_root(law.strata)
    x = np.zeros(1200)
    x[treated] = 1.0
    _, _, theta = logistic(C, x)
    np.testing.assert_allclose(root.theta, theta, atol=1e-3)
    p = 1.0 / (1.0 + np.exp(-C @ theta))
    information = (C * (p * (1.0 - p))[:, None]).T @ C
    np.testing.assert_allclose(root.information, information, rtol=0.02, atol=0.1)
