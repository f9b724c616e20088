"""q-values against scipy and statsmodels, against counting by hand, and their error rate."""

import numpy as np
import pytest
from scipy.stats import false_discovery_control, norm
from statsmodels.stats.multitest import multipletests

from programde.calibration.fdr import (
    LAMBDAS,
    benjamini_hochberg,
    is_bh_adjusted_like,
    storey,
    storey_pi0,
)
from programde.errors import InputError, OptionError


def mixture(rng, size, share, shift=3.0):
    """P-values of which `share` come from shifted normals; and which they are."""
    changed = rng.random(size) < share
    return 2 * norm.sf(np.abs(rng.normal(size=size) + shift * changed)), changed


@pytest.mark.parametrize("lattice", [False, True])
def test_bh_equals_scipy_and_statsmodels(lattice):
    p, _ = mixture(np.random.default_rng(1), 700, 0.2)
    if lattice:
        p = np.ceil(p * 128) / 128
    q = benjamini_hochberg(p)
    np.testing.assert_allclose(q, false_discovery_control(p), rtol=1e-13)
    np.testing.assert_allclose(q, multipletests(p, method="fdr_bh")[1], rtol=1e-13)


def test_bh_by_hand():
    np.testing.assert_allclose(
        benjamini_hochberg(np.array([0.03, 0.01, 0.9, 0.02])), [0.04, 0.04, 0.9, 0.04]
    )
    assert benjamini_hochberg(np.array([1e-300]))[0] == 1e-300
    assert benjamini_hochberg(np.empty(0)).shape == (0,)


@pytest.mark.parametrize("adjust", [benjamini_hochberg, storey])
def test_nan_and_left_out_tests_do_not_count(adjust):
    p, _ = mixture(np.random.default_rng(2), (30, 8), 0.2)
    p[3, 4] = p[9, 1] = np.nan
    include = np.ones((30, 1), dtype=bool)
    include[[5, 6]] = False
    q = adjust(p, include=include)
    assert q.shape == p.shape
    taken = ~np.isnan(p) & include
    assert np.isnan(q[~taken]).all()
    np.testing.assert_allclose(q[taken], adjust(p[taken]), rtol=1e-14)
    assert np.isnan(adjust(np.full((2, 2), np.nan))).all()


@pytest.mark.parametrize("adjust", [benjamini_hochberg, storey])
def test_values_that_are_no_p_values_are_refused(adjust):
    with pytest.raises(InputError, match="2 p-values lie outside"):
        adjust(np.array([0.1, 1.5, -1.0]))
    # what is left out is not looked at
    adjust(np.array([0.1, 1.5]), include=np.array([True, False]))


def test_storey_at_one_lambda_equals_its_formula():
    p, _ = mixture(np.random.default_rng(3), 500, 0.4)
    pi0 = min(1, (1 + np.sum(p > 0.5)) / (500 * 0.5))
    assert storey_pi0(p, 0.5) == pytest.approx(pi0)
    np.testing.assert_allclose(storey(p, 0.5), pi0 * false_discovery_control(p), rtol=1e-13)
    np.testing.assert_array_equal(storey(p, 0.0), benjamini_hochberg(p))


def test_storey_stops_at_the_first_lambda_where_the_estimate_no_longer_falls():
    for seed in range(20):
        p, _ = mixture(np.random.default_rng(seed), 300, 0.3)
        chosen, last = None, np.inf
        for level in LAMBDAS:
            estimate = min(1, (1 + np.sum(p > level)) / (300 * (1 - level)))
            chosen = estimate
            if estimate >= last:
                break
            last = estimate
        assert storey_pi0(p) == pytest.approx(chosen)
        assert storey_pi0(p, LAMBDAS[::-1]) == storey_pi0(p)


def test_storey_recovers_the_share_of_nulls_from_above():
    # 200 sets of 2,000, whose mean has a standard error of 0.002: never below the truth by more
    # than four of them; above it by the changed tests of large p (0.003 to 0.02 at this shift)
    rng = np.random.default_rng(5)
    for share in (0.0, 0.3, 0.7):
        estimates = [storey_pi0(mixture(rng, 2000, share)[0]) for _ in range(200)]
        assert -0.008 < np.mean(estimates) - (1 - share) < 0.03


def test_storey_bad_lambdas():
    for bad in (1.0, -0.1, [], [0.2, np.nan]):
        with pytest.raises(OptionError, match="lambdas"):
            storey(np.array([0.5]), bad)
    assert np.isnan(storey_pi0(np.array([np.nan])))


@pytest.mark.slow
@pytest.mark.brief
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_false_discovery_rate_at_ten_percent(share):
    # mean false discovery proportion over 2,000 sets of 200 tests, within four standard errors:
    # exactly 0.1 (1 - share) for BH, at most 0.1 for Storey
    rng = np.random.default_rng(6)
    proportions = np.zeros((2000, 2))
    for i in range(2000):
        p, changed = mixture(rng, 200, share)
        for j, adjust in enumerate((benjamini_hochberg, storey)):
            found = adjust(p) <= 0.1
            proportions[i, j] = (found & ~changed).sum() / max(found.sum(), 1)
    mean, error = proportions.mean(axis=0), proportions.std(axis=0) / np.sqrt(2000)
    assert abs(mean[0] - 0.1 * (1 - share)) < 4 * error[0]
    assert mean[1] < 0.1 + 4 * error[1]
    assert mean[1] >= mean[0]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 0.6])
@pytest.mark.parametrize("n_draws", [None, 1023, 127])
def test_adjusted_values_are_recognised_and_p_values_are_not(share, n_draws):
    rng = np.random.default_rng(7)
    for size in (350, 4000):
        p, _ = mixture(rng, size, share)
        if n_draws:
            p = np.ceil(p * (n_draws + 1)) / (n_draws + 1)
        assert not is_bh_adjusted_like(p)
        assert is_bh_adjusted_like(benjamini_hochberg(p))


def test_recognition_at_its_edges():
    rng = np.random.default_rng(8)
    p = rng.random(400)
    # tests that could not be made, or two-sided p-values capped at 1
    p[:200] = 1.0
    p[200:210] = np.nan
    assert not is_bh_adjusted_like(p)
    # smooth p-values of which half fell back to counted ones
    p = rng.random(4000)
    p[::2] = np.ceil(p[::2] * 1024) / 1024
    assert not is_bh_adjusted_like(p)
    assert not is_bh_adjusted_like(np.full(10, 0.5))
    assert not is_bh_adjusted_like(np.empty(0))
