"""The Cauchy combination against its definition, at its ends, and its null law."""

import numpy as np
import pytest
from scipy.stats import binomtest, cauchy, norm

from programde.calibration.acat import acat
from programde.errors import InputError


def test_equals_the_definition_where_that_is_accurate():
    p = np.random.default_rng(1).random((50, 9))
    statistic = np.tan((0.5 - p) * np.pi).mean(axis=1)
    np.testing.assert_allclose(acat(p), cauchy.sf(statistic), rtol=1e-10)
    np.testing.assert_allclose(acat(p.T, axis=0), acat(p), rtol=1e-14)
    weights = np.arange(1.0, 10)
    weighted = (np.tan((0.5 - p) * np.pi) * weights).sum(axis=1) / weights.sum()
    np.testing.assert_allclose(acat(p, weights=weights), cauchy.sf(weighted), rtol=1e-10)


def test_equal_p_values_combine_to_themselves_down_to_1e_300():
    for p in (0.9, 0.5, 0.05, 1e-10, 1e-17, 1e-100, 1e-300):
        np.testing.assert_allclose(acat(np.full((1, 70), p)), p, rtol=1e-12)


def test_one_small_p_value_gives_about_k_times_itself():
    p = np.full((1, 70), 0.5)
    p[0, 4] = 1e-300
    np.testing.assert_allclose(acat(p), 70e-300, rtol=1e-12)


def test_p_of_one_does_not_silence_the_others():
    p = np.array([[1.0, 1e-12, 0.5, 1.0]])
    np.testing.assert_allclose(acat(p), 4e-12, rtol=1e-9)
    assert acat(np.ones((1, 7))) == 1
    assert acat(np.ones((1, 1))) == 1
    assert 0 < acat(np.array([[0.0, 0.3]]))[0] < 1e-300


def test_nan_is_left_out_and_stays_nan():
    p = np.array([[0.01, np.nan, 0.2], [np.nan, np.nan, np.nan], [0.01, 0.2, 0.2]])
    out = acat(p)
    np.testing.assert_allclose(out[0], acat(np.array([[0.01, 0.2]]))[0], rtol=1e-14)
    assert np.isnan(out[1])
    assert np.isfinite(out[2])
    assert np.isnan(acat(p[2:], weights=np.zeros(3)))[0]


def test_values_that_are_no_p_values_are_refused():
    with pytest.raises(InputError, match="2 p-values lie outside"):
        acat(np.array([[-0.1, 0.5, 1.2]]))
    with pytest.raises(InputError, match="1 weights are negative"):
        acat(np.array([[0.1, 0.5]]), weights=np.array([1.0, -1.0]))


@pytest.mark.parametrize("level", [0.05, 0.01, 0.001])
def test_uniform_under_independence(level):
    # exact law for independent uniforms; two-sided binomial test, false-alarm rate 1e-3 per level
    p = np.random.default_rng(2).random((100_000, 20))
    hits = int((acat(p) <= level).sum())
    assert binomtest(hits, 100_000, level).pvalue > 1e-3


def test_small_levels_hold_under_strong_dependence():
    # equicorrelated normals, rho = 0.7, K = 20, level 1e-3: known to approach the level from the
    # theory of heavy tails; within 0.8 to 1.25 of it, four standard errors of 200,000 being 13 %
    rng = np.random.default_rng(3)
    z = np.sqrt(0.7) * rng.normal(size=(200_000, 1)) + np.sqrt(0.3) * rng.normal(size=(200_000, 20))
    rate = (acat(2 * norm.sf(np.abs(z))) <= 1e-3).mean()
    assert 0.8e-3 < rate < 1.25e-3
