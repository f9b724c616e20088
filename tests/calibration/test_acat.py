"""The truncated Cauchy combination against its law by quadrature, at its ends, and under nulls."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import binomtest, norm

from programde.calibration.acat import acat
from programde.errors import InputError


def tail_of_two(x, w=0.5):
    """P(w Y1 + (1 - w) Y2 > x), Y = max(0, cot(pi U)), by quadrature over the first."""

    def one(y):
        return np.arctan2(1.0, y) / np.pi if y > 0 else 0.5 if y == 0 else 1.0

    def integrand(y):
        return one((x - w * y) / (1 - w)) / (np.pi * (1 + y * y))

    below = quad(integrand, 0, x / w, epsabs=1e-13, epsrel=1e-12, limit=200)[0]
    return 0.5 * one(x / (1 - w)) + below + np.arctan2(1.0, x / w) / np.pi


@pytest.mark.parametrize("p", [(0.4, 0.45), (0.2, 0.3), (0.05, 0.4), (0.01, 0.02), (0.3, 0.9)])
@pytest.mark.parametrize("w", [0.5, 0.2])
def test_two_p_values_against_quadrature(p, w):
    x = sum(v * max(0.0, 1 / np.tan(np.pi * q)) for v, q in zip((w, 1 - w), p, strict=True))
    combined = acat(np.array([p]), weights=np.array([w, 1 - w]))
    np.testing.assert_allclose(combined, tail_of_two(x, w), rtol=1e-8)


def test_equal_weights_are_no_weights():
    p = np.random.default_rng(1).random((50, 9))
    np.testing.assert_allclose(acat(p, weights=np.full(9, 3.0)), acat(p), rtol=1e-12)
    np.testing.assert_allclose(acat(p.T, axis=0), acat(p), rtol=1e-14)
    nearly = acat(p, weights=1 + 1e-9 * np.arange(9))  # the way for any weights, the same law
    np.testing.assert_allclose(nearly, acat(p), rtol=1e-6)


@pytest.mark.slow
@pytest.mark.brief
def test_both_inversions_meet():
    # p falls along x without a step where one inversion hands over to the other, for every K
    for k in (2, 3, 15, 60, 300, 1000):
        p = np.full((1000, k), 0.7)
        p[:, : k // 2] = np.linspace(0.499, 0.05, 1000)[:, None]
        combined = acat(p)
        assert (np.diff(combined) <= 1e-9).all()
        assert (np.diff(combined) > -0.02).all()


def test_tiny_p_values_keep_their_digits():
    for p in (1e-17, 1e-100, 1e-300):
        np.testing.assert_allclose(acat(np.full((1, 70), p)), p, rtol=1e-12)
        one = np.full((1, 70), 0.5)
        one[0, 4] = p
        np.testing.assert_allclose(acat(one), 70 * p, rtol=1e-12)
    assert 0 < acat(np.array([[0.0, 0.3]]))[0] < 1e-300


def test_a_single_p_value_comes_back():
    p = np.array([[0.3], [1.0], [0.7], [1e-20]])
    np.testing.assert_array_equal(acat(p), p[:, 0])


def test_p_values_near_one_do_not_silence_the_others():
    p = np.full((5, 15), 0.6)
    p[:, 0] = 0.01
    for i, high in enumerate((0.6, 0.9, 1 - 1 / 15, 1 - 1e-12, 1.0)):
        p[i, 1:8] = high
    combined = acat(p)
    np.testing.assert_array_equal(combined, combined[0])
    assert 0.15 < combined[0] < 0.25  # 15 x 0.01, times the stated factor at most
    assert acat(np.ones((1, 7))) == 1


@pytest.mark.parametrize(
    ("k", "factor"), [(2, 1.09), (5, 1.28), (15, 1.67), (60, 2.45), (200, 3.31), (1000, 4.62)]
)
def test_never_above_the_stated_multiple_of_bonferroni(k, factor):
    p = np.ones((400, k))
    p[:, 0] = np.geomspace(1e-12, 0.5, 400)
    p[:, 1:] = np.random.default_rng(k).uniform(0.5, 1.0, (400, k - 1))
    combined = acat(p)
    assert (combined <= np.minimum(1, factor * k * p[:, 0])).all()
    # nor below what one p-value so small among K is worth: a sum is at least its largest summand
    assert (combined >= -np.expm1(k * np.log1p(-p[:, 0])) * (1 - 1e-9)).all()
    assert factor < 1 + np.log(k)


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


@pytest.mark.slow
@pytest.mark.parametrize("weighted", [False, True])
def test_uniform_under_independence(weighted):
    # exact law for independent uniforms; two-sided binomial tests, false-alarm rate 1e-3 each
    p = np.random.default_rng(2).random((2_000 if weighted else 20_000, 10))
    weights = np.arange(1.0, 11) if weighted else None
    combined = acat(p, weights=weights)
    for level in (0.5, 0.05, 0.01, 0.001):
        assert binomtest(int((combined <= level).sum()), len(p), level).pvalue > 1e-3, level


@pytest.mark.slow
@pytest.mark.parametrize("k", [15, 60])
@pytest.mark.parametrize("kind", ["correlated", "centred"])
def test_dependence_stays_within_the_stated_tolerance(k, kind):
    """Equicorrelated z at 0.5, and centred ones as log-ratios are: at most 1.35 x nominal.

    100,000 units a kind; a true rate at the tolerance is exceeded with probability 1e-4.
    """
    rng = np.random.default_rng(3)
    z = rng.normal(size=(100_000, k))
    if kind == "correlated":
        z = np.sqrt(0.5) * (z + rng.normal(size=(100_000, 1)))
    else:
        z = (z - z.mean(axis=1, keepdims=True)) / np.sqrt(1 - 1 / k)
    p = 2 * norm.sf(np.abs(z))
    summed = np.where(p < 0.5, 1 / np.tan(np.pi * p), 0.0).mean(axis=1)
    combined = acat(p[summed > 6])  # P(X0 > 6) is above 0.05 whatever K, and acat falls with X0
    assert acat(p[np.argsort(summed)[np.searchsorted(np.sort(summed), 6)]][None]) > 0.05
    for level in (0.05, 0.01, 1e-3, 1e-4):
        hits = int((combined <= level).sum())
        bound = 1.35 if kind == "correlated" else 1.05
        assert binomtest(hits, 100_000, bound * level, alternative="greater").pvalue > 1e-4
        assert binomtest(hits, 100_000, 0.8 * level, alternative="less").pvalue > 1e-4
