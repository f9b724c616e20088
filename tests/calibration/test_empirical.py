"""Counted p-values against counting by hand, against exact enumeration, and their null law."""

from itertools import permutations

import numpy as np
import pytest
from scipy.stats import kstest

from programde.calibration.empirical import (
    compute_empirical_p_value,
    compute_null_pvals_from_null_stats,
    crt_null_pvals_from_null_stats_fast,
    empirical_p,
    leave_one_out_p,
    side_from_code,
)
from programde.crt.null_summary import NullSummary, summarise
from programde.errors import InputError, OptionError

CODES = {"both": 0, "left": -1, "right": 1}


def far(side, values, value):
    """Which values are at least as far out as `value`: the definition, without tolerance."""
    return {
        "both": np.abs(values) >= np.abs(value),
        "left": values <= value,
        "right": values >= value,
    }[side]


def leave_one_out_by_hand(draws, side):
    out = np.empty(draws.shape)
    for b in range(len(draws)):
        others = np.delete(draws, b, axis=0)
        out[b] = (1 + far(side, others, draws[b]).sum(axis=0)) / len(draws)
    return out


@pytest.mark.parametrize("side", CODES)
@pytest.mark.parametrize("tied", [False, True])
def test_leave_one_out_equals_counting_by_hand(side, tied):
    rng = np.random.default_rng(1)
    draws = rng.normal(0.3, 1, size=(61, 5))
    if tied:
        draws = np.round(draws, 1)
    expected = leave_one_out_by_hand(draws, side)
    np.testing.assert_allclose(leave_one_out_p(draws, side), expected, rtol=1e-14)
    by_code = compute_null_pvals_from_null_stats(draws, side_code=CODES[side])
    np.testing.assert_array_equal(by_code, leave_one_out_p(draws, side))
    np.testing.assert_allclose(leave_one_out_p(draws[:, 2], side), expected[:, 2], rtol=1e-14)


def test_the_fast_name_is_two_sided_or_right_sided():
    draws = np.random.default_rng(2).normal(size=(30, 3))
    both, right = leave_one_out_p(draws, "both"), leave_one_out_p(draws, "right")
    np.testing.assert_array_equal(crt_null_pvals_from_null_stats_fast(draws), both)
    np.testing.assert_array_equal(crt_null_pvals_from_null_stats_fast(draws, False), right)


def test_leave_one_out_without_ties_is_exactly_uniform():
    # distances from 0 are all different, by far more than the tie's width
    rng = np.random.default_rng(3)
    sizes = rng.permuted(np.tile(np.arange(1.0, 1024), (4, 1)), axis=1).T
    draws = sizes * rng.choice([-1, 1], size=(1023, 4))
    grid = np.arange(1, 1024) / 1023
    for k in range(4):
        np.testing.assert_allclose(np.sort(leave_one_out_p(draws)[:, k]), grid, rtol=1e-14)


def test_rounding_does_not_decide_a_tie():
    draws = np.array([1.0, 1.0 + 1e-12, -1.0 - 1e-13, 0.2, 3.0])
    np.testing.assert_allclose(leave_one_out_p(draws)[:3], 4 / 5)


def test_leave_one_out_leaves_nan_alone():
    draws = np.random.default_rng(4).normal(size=(20, 2))
    holed = draws.copy()
    holed[[3, 7], 0] = np.nan
    out = leave_one_out_p(holed)
    assert np.isnan(out[[3, 7], 0]).all()
    kept = np.delete(np.arange(20), [3, 7])
    np.testing.assert_array_equal(out[kept, 0], leave_one_out_p(draws[kept, 0]))
    np.testing.assert_array_equal(out[:, 1], leave_one_out_p(draws[:, 1]))
    assert np.isnan(leave_one_out_p(np.full((5, 1), np.nan))).all()


@pytest.mark.parametrize("side", CODES)
def test_empirical_p_equals_counting_by_hand(side):
    rng = np.random.default_rng(5)
    draws = np.round(rng.normal(size=(99, 6)), 1)
    observed = np.round(rng.normal(size=6), 1)
    expected = (1 + far(side, draws, observed).sum(axis=0)) / 100
    np.testing.assert_allclose(empirical_p(summarise(draws, observed), side)[0], expected)
    by_code = compute_empirical_p_value(draws, observed, CODES[side])
    np.testing.assert_allclose(by_code, expected)
    single = compute_empirical_p_value(draws[:, 0], observed[0], CODES[side])
    assert isinstance(single, float)
    assert single == pytest.approx(expected[0])


def test_all_permutations_give_the_permutation_test():
    # 6 cells, 3 treated: draws are all 720 orders, so the p-value is that of full enumeration
    outcome = np.array([0.1, 2.0, -1.3, 0.7, 4.1, -0.2])
    draws = np.array([outcome[list(order)][:3].mean() for order in permutations(range(6))])
    observed = outcome[[1, 3, 4]].mean()
    at_least = np.sum(draws >= observed - 1e-12)
    assert at_least == 36
    assert compute_empirical_p_value(draws, observed, 1) == pytest.approx((1 + 36) / 721)


def test_nan_never_becomes_a_p_value():
    draws = np.random.default_rng(6).normal(size=(50, 3))
    observed = np.array([0.5, np.nan, 0.1])
    p = empirical_p(summarise(draws, observed))
    assert np.isnan(p[0, 1])
    assert np.isfinite(p[0, [0, 2]]).all()
    draws[4, 2] = np.nan
    assert np.isnan(empirical_p(summarise(draws, np.zeros(3)))[0, 2])
    for n_draws in (0, 50):
        assert np.isnan(empirical_p(NullSummary.empty(2, 3, n_draws))).all()


def test_p_values_are_uniform_under_the_null():
    # false-alarm rate 1e-3 for each side; p is discrete on a grid of 1/512, which KS barely sees
    rng = np.random.default_rng(7)
    draws = rng.gamma(3, size=(511, 2000))
    observed = rng.gamma(3, size=2000)
    null = summarise(draws, observed)
    for side in CODES:
        p = empirical_p(null, side)[0] - rng.random(2000) / 512
        assert kstest(p, "uniform").pvalue > 1e-3


def test_bad_calls_say_what_to_do():
    with pytest.raises(InputError, match="at least one draw"):
        leave_one_out_p(np.empty((0, 3)))
    with pytest.raises(InputError, match="one observed value per column"):
        compute_empirical_p_value(np.zeros((4, 2)), 1.0)
    with pytest.raises(OptionError, match="left"):
        leave_one_out_p(np.zeros((4, 2)), "lower")
    with pytest.raises(OptionError, match="side_code=2"):
        side_from_code(2)
    assert [side_from_code(c) for c in (0, -1, 1, "right")] == ["both", "left", "right", "right"]
