"""QQ arrays against the beta law, and coverage of bands and envelopes."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from programde.errors import InputError, OptionError
from programde.report.qq import (
    beta_band,
    bootstrap_qq_envelope,
    expected_quantiles,
    neg_log10,
    on_grid,
    qq_coords,
    qq_expected_grid,
    replicate_envelope,
)


def test_expected_quantiles_are_hazen_positions():
    np.testing.assert_allclose(expected_quantiles(4), [0.125, 0.375, 0.625, 0.875])
    assert expected_quantiles(0).size == 0
    with pytest.raises(OptionError, match="m=-1"):
        expected_quantiles(-1)


def test_first_position_lies_next_to_the_mean_on_the_log_axis():
    mean_log = -np.sum(1.0 / np.arange(1, 1001))  # E log of the smallest of 1000 uniforms
    assert abs(np.log(expected_quantiles(1000)[0]) - mean_log) < 0.12


def test_coords_sort_and_skip_nan():
    expected, observed = qq_coords([0.5, np.nan, 0.01, 1.0])
    np.testing.assert_allclose(expected, -np.log10([1 / 6, 3 / 6, 5 / 6]))
    np.testing.assert_allclose(observed, [2.0, -np.log10(0.5), 0.0])
    assert not np.signbit(observed).any()
    assert qq_coords([])[0].size == 0


def test_coords_take_tables_and_extremes():
    expected, observed = qq_coords(pd.DataFrame({"a": [1e-300, 0.2], "b": [0.0, np.nan]}))
    assert expected.shape == (3,)
    assert observed[0] == pytest.approx(307.65, abs=0.01)
    assert observed[1] == pytest.approx(300)


def test_thinning_keeps_the_extremes_and_lies_on_the_curve():
    p = np.random.default_rng(0).uniform(size=200_000)
    expected, observed = qq_coords(p)
    few_e, few_o = qq_coords(p, max_points=1000)
    assert 500 < few_e.size <= 1001
    np.testing.assert_array_equal(few_o[:250], observed[:250])
    assert few_o[-1] == observed[-1]
    assert set(zip(few_e, few_o, strict=True)) <= set(zip(expected, observed, strict=True))
    assert np.diff(few_e).max() < 0
    assert np.abs(np.diff(few_e[250:])).max() < 0.01  # no visible gap


def test_grid_is_even_on_the_log_axis():
    grid = qq_expected_grid(1000, 50)
    steps = np.diff(-np.log10(grid))
    np.testing.assert_allclose(steps, steps[0])
    assert (grid[0], grid[-1]) == (pytest.approx(0.9995), pytest.approx(0.0005))
    assert qq_expected_grid(3, 50).size == 3
    assert qq_expected_grid(1).tolist() == [0.5]


@pytest.mark.parametrize("m", [1, 7, 1000])
def test_band_equals_the_beta_law_of_order_statistics(m):
    expected, low, high = beta_band(m, n_points=2)
    i = np.round(10.0**-expected * m + 0.5)
    np.testing.assert_allclose(high, -np.log10(stats.beta(i, m - i + 1).ppf(0.025)))
    np.testing.assert_allclose(low, -np.log10(stats.beta(i, m - i + 1).ppf(0.975)), atol=1e-12)


def test_band_covers_uniform_p_values_pointwise():
    """500 runs; each end of the band is crossed in 2.5 %; false alarm 1e-4 per point."""
    rng = np.random.default_rng(5)
    expected, low, high = beta_band(200, n_points=12)
    outside = np.zeros(12)
    for _ in range(500):
        height = on_grid(rng.uniform(size=200), 10.0**-expected)
        outside += (height > high) | (height < low)
    assert outside.max() <= stats.binom.isf(1e-4, 500, 0.05)
    assert outside.min() >= stats.binom.ppf(1e-4, 500, 0.05) - 10  # interpolation narrows a little


def test_band_is_wider_for_fewer_p_values():
    width = [np.ptp(np.array(beta_band(m, n_points=1)[1:])) for m in (10, 1000)]
    assert all(w > 0 for w in width)
    few, many = beta_band(10), beta_band(1000)
    at = 0.5
    spread = [np.interp(at, b[0], b[2]) - np.interp(at, b[0], b[1]) for b in (few, many)]
    assert spread[0] > 5 * spread[1]


def test_on_grid_says_nothing_beyond_its_p_values():
    grid = np.array([0.5, 0.001])
    heights = on_grid(np.array([0.1, 0.6, 0.9]), grid)
    assert heights[0] == pytest.approx(-np.log10(0.6))
    assert np.isnan(heights[1])


def test_replicate_envelope_of_equal_curves_has_no_width():
    p = np.random.default_rng(1).uniform(size=300)
    expected, median, lower, upper = replicate_envelope([p, p, []], n_points=40)
    np.testing.assert_allclose(median, on_grid(p, 10.0**-expected))
    np.testing.assert_allclose(lower, upper)


def test_replicate_envelope_quartiles():
    curves = [np.array([10.0**-k]) for k in (1, 2, 3, 4, 5)]
    _, median, lower, upper = replicate_envelope(curves)
    assert (median[0], lower[0], upper[0]) == (3.0, 2.0, 4.0)
    with pytest.raises(InputError, match="no replicate"):
        replicate_envelope([[], [np.nan]])


def test_bootstrap_envelope_equals_resampling_by_hand():
    """Same law as sorting resampled vectors: quantiles of 2000 replicates within 0.1."""
    rng = np.random.default_rng(3)
    p = rng.uniform(size=60)
    expected, low, high = bootstrap_qq_envelope(p, n_boot=2000, n_points=8)
    rank = np.rint(10.0**-expected * 60 + 0.5).astype(int)
    by_hand = np.sort(rng.choice(p, size=(2000, 60)), axis=1)[:, rank - 1]
    lower, upper = np.quantile(-np.log10(by_hand), [0.025, 0.975], axis=0)
    np.testing.assert_allclose(low, lower, atol=0.1)
    np.testing.assert_allclose(high, upper, atol=0.1)


def test_resampling_units_widens_the_envelope_of_dependent_tests():
    rng = np.random.default_rng(4)
    column = rng.uniform(size=(30, 1))
    table = pd.DataFrame(np.repeat(column, 20, axis=1))  # programs of a unit are copies
    units = bootstrap_qq_envelope(table, n_points=9)
    single = bootstrap_qq_envelope(table.to_numpy().ravel(), n_points=9)
    at = np.argmin(np.abs(units[0] - 0.4))  # well inside 30 distinct values
    assert (units[2] - units[1])[at] > 2 * (single[2] - single[1])[at]


def test_bootstrap_envelope_depends_on_its_seed_only():
    p = np.random.default_rng(8).uniform(size=100)
    first, again = (bootstrap_qq_envelope(p, 50, 3) for _ in range(2))
    np.testing.assert_array_equal(first[2], again[2])
    assert (bootstrap_qq_envelope(p, 50, 4)[2] != first[2]).any()
    with pytest.raises(InputError, match="no p-value"):
        bootstrap_qq_envelope([np.nan])
    with pytest.raises(OptionError, match="n_boot=1"):
        bootstrap_qq_envelope(p, n_boot=1)


def test_neg_log10_keeps_nan():
    assert np.isnan(neg_log10(np.array([np.nan]))[0])
