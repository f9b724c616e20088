"""Skew-normal tails against numeric integration of the density, and moments against formulas."""

import numpy as np
import pytest
from scipy.special import log_ndtr
from scipy.stats import skewnorm

from programde.calibration.skew_normal_law import (
    CAPPED_SKEWNESS,
    MAX_SKEWNESS,
    parameters_from_moments,
    upper_tail,
    upper_tail_bulk,
)

NODES, WEIGHTS = np.polynomial.legendre.leggauss(40)


def log_density(t, alpha):
    return np.log(2) - 0.5 * t * t - 0.5 * np.log(2 * np.pi) + log_ndtr(alpha * t)


def log_tail_by_integration(u, alpha):
    """Log of the integral of the density from u, by panels far finer than its scale.

    It works on the density itself, in log space, and shares no formula with the code under test.
    The panels end where the density is e^-60 of its value at u or at its mode.
    """
    steepest = max(1.0, abs(u), abs(alpha), abs(alpha * alpha * u) if alpha * u < 0 else 0.0)
    edges, step = [u], 0.25 / steepest
    while edges[-1] < u + 50:
        edges.append(edges[-1] + step)
        step *= 1.02
        step = min(step, 0.25)
        if edges[-1] > 0 and log_density(edges[-1], alpha) < log_density(u, alpha) - 60:
            break
    edges = np.array(edges)
    half = np.diff(edges) / 2
    values = log_density((edges[1:] - half)[:, None] + half[:, None] * NODES, alpha)
    top = values.max()
    return top + np.log((np.exp(values - top) * WEIGHTS * half[:, None]).sum())


@pytest.mark.parametrize("size", [0.0, 0.01, 0.3, 1.0, 3.0, 8.0, 30.0, 100.0])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_tail_keeps_its_relative_accuracy_down_to_1e_300(size, sign):
    alpha = sign * size
    grid = np.concatenate([np.linspace(-6, 37, 20), np.linspace(-3, 37, 21) / np.hypot(1, alpha)])
    deepest = 0.0
    for u in grid:
        expected = log_tail_by_integration(u, alpha)
        if expected < np.log(1e-300):
            continue
        assert abs(np.log(upper_tail(u, alpha)) - expected) < 1e-11
        deepest = min(deepest, expected)
    assert deepest < np.log(1e-200)


def test_tail_agrees_with_scipy_in_the_bulk():
    u, alpha = np.meshgrid(np.linspace(-3, 3, 61), [-20, -5, -1, -0.1, 0, 0.1, 1, 5, 20])
    expected = 1 - skewnorm.cdf(u, alpha)
    np.testing.assert_allclose(upper_tail(u, alpha), expected, atol=2e-12)
    np.testing.assert_allclose(upper_tail_bulk(u, alpha), expected, atol=2e-12)


def test_tails_add_up_to_one_and_fall():
    u, alpha = np.meshgrid(np.linspace(-9, 9, 721), [-60, -3, -0.5, 0, 0.5, 3, 60])
    upper, lower = upper_tail(u, alpha), upper_tail(-u, -alpha)
    np.testing.assert_allclose(upper + lower, 1, rtol=1e-13)
    # over the change from difference to quadrature as anywhere else
    seen = (upper[:, :-1] < 0.999) & (upper[:, :-1] > 0)
    assert seen.sum() > 2000
    assert (np.diff(upper, axis=1)[seen] < 0).all()


def test_tail_at_zero_is_known_exactly():
    alpha = np.array([-1e4, -50, -1, 0, 1, 50, 1e4])
    np.testing.assert_allclose(upper_tail(0, alpha), 0.5 + np.arctan(alpha) / np.pi, rtol=1e-11)


def test_ends_and_nan():
    assert upper_tail(np.inf, 2.0) == 0
    assert upper_tail(-np.inf, -2.0) == 1
    assert upper_tail(60.0, -1.0) == 0
    assert np.isnan(upper_tail([np.nan, 1.0], [1.0, np.nan])).all()
    assert upper_tail(np.empty(0), np.empty(0)).shape == (0,)


def test_a_tail_does_not_depend_on_its_company():
    rng = np.random.default_rng(8)
    u, alpha = rng.normal(3, 4, 501), rng.normal(0, 3, 501)
    together = upper_tail(u, alpha)
    alone = np.array([float(upper_tail(a, b)) for a, b in zip(u, alpha, strict=True)])
    np.testing.assert_allclose(together, alone, rtol=1e-14)


@pytest.mark.parametrize("skewness", [-0.995, -0.7, -1e-3, 0.0, 1e-9, 0.2, 0.9, 0.995])
def test_parameters_reproduce_the_moments(skewness):
    xi, omega, alpha = parameters_from_moments(3.0, 0.5, skewness)
    mean, variance, skew = skewnorm.stats(alpha, loc=xi, scale=omega, moments="mvs")
    np.testing.assert_allclose([mean, np.sqrt(variance)], [3.0, 0.5], rtol=1e-12)
    np.testing.assert_allclose(skew, skewness, rtol=1e-9, atol=1e-12)


def test_skewness_beyond_the_largest_is_capped():
    for sign in (1, -1):
        beyond = parameters_from_moments(0.0, 1.0, sign * 1.7)
        capped = parameters_from_moments(0.0, 1.0, sign * CAPPED_SKEWNESS)
        np.testing.assert_array_equal(beyond, capped)
    assert MAX_SKEWNESS == 0.995
    assert pytest.approx(0.8955) == CAPPED_SKEWNESS
    assert all(np.isnan(parameters_from_moments(0.0, 1.0, np.nan)))
