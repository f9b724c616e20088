"""The summary of null draws against numpy's and scipy's own definitions."""

import warnings

import numpy as np
import pytest
from scipy import stats

from programde.crt.null_summary import TAIL_LEVELS, TIE, NullSummary, summarise


def skewness(draws):
    with warnings.catch_warnings():
        # scipy warns of columns that are all equal
        warnings.simplefilter("ignore", RuntimeWarning)
        return stats.skew(draws, axis=0)


def naive(draws, observed):
    """One value at a time, ties within TIE standard deviations."""
    draws = np.asarray(draws, dtype=np.float64)
    sd = draws.std(axis=0)
    tie = TIE * sd
    return {
        "mean": draws.mean(axis=0),
        "sd": sd,
        "skewness": skewness(draws),
        "minimum": draws.min(axis=0),
        "maximum": draws.max(axis=0),
        "median": np.median(draws, axis=0),
        "lower": np.quantile(draws, TAIL_LEVELS, axis=0).T,
        "upper": np.quantile(draws, 1 - TAIL_LEVELS, axis=0).T,
        "n_ge": (draws >= observed - tie).sum(axis=0),
        "n_le": (draws <= observed + tie).sum(axis=0),
        "n_abs_ge": (np.abs(draws) >= np.abs(observed) - tie).sum(axis=0),
    }


def draws_of(kind, b, k, rng):
    if kind == "normal":
        return rng.normal(size=(b, k))
    if kind == "skewed":
        return rng.gamma(0.7, size=(b, k)) - 5
    if kind == "tiny spread about a large mean":
        return 1e3 + 1e-4 * rng.normal(size=(b, k))
    return rng.integers(-3, 4, size=(b, k)).astype(float)  # tied


@pytest.mark.parametrize("b", [1, 2, 7, 50, 1023])
@pytest.mark.parametrize("kind", ["normal", "skewed", "tiny spread about a large mean", "tied"])
def test_summary_equals_the_naive_one(kind, b):
    rng = np.random.default_rng(b)
    draws = draws_of(kind, b, 6, rng)
    observed = draws[rng.integers(b)].copy()
    summary = summarise(draws, observed)
    assert summary.n_draws == b
    for name, expected in naive(draws, observed).items():
        found = getattr(summary, name)
        assert found.shape[:2] == (1, 6)
        if name in ("median", "lower", "upper"):
            # z-scores are sorted in float32; by Chebyshev's inequality none of these exceeds 7.1
            error = found[0].T - expected.T
            assert np.abs(error).max() <= 7.1 * 2.0**-24 * summary.sd[0].max() + 1e-15
        elif name == "skewness":
            np.testing.assert_allclose(found[0], expected, rtol=1e-6, atol=1e-6)
        elif name.startswith("n_"):
            np.testing.assert_array_equal(found[0], expected)
        else:
            np.testing.assert_allclose(found[0], expected, rtol=1e-9, atol=1e-12)


def test_input_in_float32_and_not_contiguous():
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(40, 12)).astype(np.float32)
    part = draws[:, ::3]
    observed = part[3].astype(np.float64)
    before = draws.copy()
    summary = summarise(part, observed)
    for name, expected in naive(part, observed).items():
        np.testing.assert_allclose(getattr(summary, name)[0], expected, rtol=1e-6)
    np.testing.assert_array_equal(draws, before)
    assert summary.mean.dtype == np.float64


def test_values_within_rounding_are_ties_and_others_are_not():
    draws = np.array([[-2.0], [-1.0], [0.0], [1.0], [2.0]])
    sd = draws.std()
    for shift, ties in ((0.0, True), (0.5 * TIE * sd, True), (2 * TIE * sd, False)):
        for sign in (1.0, -1.0):
            summary = summarise(draws, np.array([1.0 + sign * shift]))
            above = 2 if ties or sign < 0 else 1
            below = 4 if ties or sign > 0 else 3
            assert summary.n_ge[0, 0] == above
            assert summary.n_le[0, 0] == below
            assert summary.n_abs_ge[0, 0] == (4 if above == 2 else 2)


def test_draws_that_are_all_equal_tie_with_the_same_observed():
    summary = summarise(np.full((30, 2), 0.25), np.array([0.25, 1.0]))
    np.testing.assert_array_equal(summary.n_ge[0], [30, 0])
    np.testing.assert_array_equal(summary.n_le[0], [30, 30])
    np.testing.assert_array_equal(summary.sd[0], 0.0)
    assert np.isnan(summary.skewness).all()


def test_an_observed_value_that_is_not_a_number_counts_nothing():
    summary = summarise(np.random.default_rng(0).normal(size=(20, 2)), np.array([np.nan, 0.0]))
    assert summary.n_ge[0, 0] == summary.n_le[0, 0] == summary.n_abs_ge[0, 0] == 0
    assert summary.n_ge[0, 1] + summary.n_le[0, 1] == 20


def test_empty_summary_says_that_nothing_was_counted():
    empty = NullSummary.empty(3, 2, 100)
    assert np.isnan(empty.mean).all()
    assert (empty.n_ge == -1).all()
    assert empty.lower.shape == (3, 2, TAIL_LEVELS.size)
    part = empty.rows(np.array([2, 0]))
    assert part.mean.shape == (2, 2)
    assert part.n_draws == 100


def test_tail_levels_are_two_to_twenty_per_cent():
    np.testing.assert_allclose(TAIL_LEVELS, np.arange(2, 21) / 100, atol=0)
