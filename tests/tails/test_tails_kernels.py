"""Sums over cells against plain numpy, exact elementary symmetric polynomials and differences."""

import itertools

import numba
import numpy as np
import pytest

from programde.tails import bernoulli_kernels as kernels
from programde.tails import permutation_kernels as strata
from programde.tails.exact import bernoulli_cumulants, stratified_cumulants
from programde.tails.roots import EXPONENT, N_COLUMNS, ROOT


@numba.njit(error_model="numpy")
def over(function, x):
    out = np.empty_like(x)
    for i in range(x.size):
        out[i] = function(x[i])
    return out


@pytest.mark.slow
@pytest.mark.brief
def test_exponential_and_logarithm_are_right_to_the_last_digits():
    x = np.linspace(-229.9, 699.9, 20_001)
    np.testing.assert_allclose(over(kernels.exponential, x), np.exp(x), rtol=4e-16)
    y = np.exp(np.linspace(-600, 600, 20_001))
    np.testing.assert_allclose(over(kernels.logarithm, y), np.log(y), rtol=4e-16, atol=4e-16)
    near = 1.0 + np.linspace(-1e-3, 1e-3, 2001)
    np.testing.assert_allclose(over(kernels.logarithm, near), np.log(near), rtol=1e-14, atol=1e-18)
    assert over(kernels.exponential, np.array([1e6]))[0] == pytest.approx(np.exp(700.0))
    assert over(kernels.exponential, np.array([-1e6]))[0] == pytest.approx(np.exp(-230.0))


def tilted(a, p, l):
    e = p * np.exp(l * a)
    return e / (1 - p + e)


def test_bernoulli_cumulants_equal_matrix_products():
    rng = np.random.default_rng(0)
    n, K, U = 2500, 7, 3  # more cells than a tile, programs not a multiple of four
    W = rng.standard_normal((n, K))
    p = rng.random((U, n)) * 0.5
    v = 1 - p
    tau = rng.standard_normal((U, K))
    found = bernoulli_cumulants(W, tau, v, p)
    for u in range(U):
        a = W - v[u][:, None] * tau[u]
        q = p[u] * (1 - p[u])
        plain = [p[u] @ a, q @ a**2, (q * (1 - 2 * p[u])) @ a**3, (q * (1 - 6 * q)) @ a**4]
        np.testing.assert_allclose(found[u], np.transpose(plain), rtol=1e-11, atol=1e-9)


def test_tilted_sums_equal_plain_numpy():
    rng = np.random.default_rng(1)
    a, p = rng.standard_normal(999), rng.random(999) * 0.4
    for l in (0.0, 0.7, 5.0):
        t = tilted(a, p, l)
        q = t * (1 - t)
        plain = [
            np.log(1 - p + p * np.exp(l * a)).sum(),
            t @ a,
            q @ a**2,
            (q * (1 - 2 * t)) @ a**3,
            (q * (1 - 6 * q)) @ a**4,
            q @ a**4,
            ((t - p) ** 2).sum(),
        ]
        np.testing.assert_allclose(kernels.tilted_sums(a, p, l), plain, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(kernels.tilted_slopes(a, p, l), plain[1:4], rtol=1e-12)


@pytest.mark.parametrize("outlier", [0.0, 30.0, 3000.0])
def test_the_root_is_a_root(outlier):
    rng = np.random.default_rng(2)
    p = np.full(400, 0.05)
    a = rng.standard_normal(400)
    a[0] += outlier
    a /= np.sqrt((p * (1 - p)) @ a**2)
    for z in (0.05, 1.0, 4.0, 9.0):
        s = p @ a + z
        out = np.full(N_COLUMNS, np.nan)
        passes = kernels.bernoulli_root(a, p, s, z, out)
        if s > a[a > 0].sum():
            assert passes < 0
            continue
        assert passes > 0
        l = out[ROOT]
        t = tilted(a, p, l)
        spread = np.sqrt((t * (1 - t)) @ a**2)
        assert abs(t @ a - s) < 1e-3 * spread
        exponent = l * s - np.log1p(p * np.expm1(l * a)).sum()
        assert out[EXPONENT] == pytest.approx(exponent, rel=1e-6, abs=1e-9)


def test_no_root_beyond_the_support():
    a = np.array([1.0, 0.5, -0.2])
    assert kernels.bernoulli_root(a, np.full(3, 0.3), 1.6, 1.0, np.full(N_COLUMNS, np.nan)) < 0


def enumerated(order, starts, totals, W):
    """All sums (n draws, K) over draws of totals[s] cells from each stratum."""
    sums = np.zeros((1, W.shape[1]))
    for s, m in enumerate(totals):
        cells = order[starts[s] : starts[s + 1]]
        part = [W[list(drawn)].sum(axis=0) for drawn in itertools.combinations(cells, int(m))]
        sums = (sums[:, None, :] + np.array(part)[None]).reshape(-1, W.shape[1])
    return sums


@pytest.mark.parametrize(
    ("sizes", "totals"),
    [([9], [4]), ([2, 3], [1, 1]), ([4, 5, 1, 3], [3, 2, 1, 0]), ([7, 6], [1, 5]), ([8], [8])],
)
def test_stratified_cumulants_equal_enumeration(sizes, totals):
    rng = np.random.default_rng(3)
    n = sum(sizes)
    order, starts = rng.permutation(n), np.concatenate([[0], np.cumsum(sizes)])
    W = rng.standard_normal((n, 3)) + 5.0
    v, tau = rng.random(n), rng.standard_normal(3)
    sums = enumerated(order, starts, totals, W - v[:, None] * tau)
    d = sums - sums.mean(axis=0)
    second = (d**2).mean(axis=0)
    plain = [sums.mean(axis=0), second, (d**3).mean(axis=0), (d**4).mean(axis=0) - 3 * second**2]
    found = stratified_cumulants(W, tau, v, order, starts, np.array(totals))
    np.testing.assert_allclose(found, np.transpose(plain), rtol=1e-9, atol=1e-9)


def log_symmetric(w, m):
    """log e_m(w) by the recurrence over cells."""
    e = np.zeros(m + 1)
    e[0] = 1.0
    for x in w:
        e[1:] = e[1:] + x * e[:-1]
    return np.log(e[m])


@pytest.mark.parametrize(("n", "m"), [(40, 1), (60, 2), (60, 7), (30, 15)])
def test_stratum_generating_function_and_its_derivatives(n, m):
    rng = np.random.default_rng(n + m)
    a = rng.standard_normal(n)
    a -= a.mean()
    first, total = np.array([0, n]), np.array([m])

    def tilt(l):
        return np.array(strata.strata_tilt(a, first, total, l, np.zeros(1), np.empty(n)))

    for l in (0.2, 0.8):
        found = tilt(l)
        exact = log_symmetric(np.exp(l * a), m) - log_symmetric(np.ones(n), m)
        # Laplace's error cancels between l and 0 but for terms of order 1 / m^2
        assert found[0] == pytest.approx(exact, rel=5e-3)
        h = 1e-4
        up, down = tilt(l + h), tilt(l - h)
        assert found[1] == pytest.approx((up[0] - down[0]) / (2 * h), rel=1e-6)
        assert found[2] == pytest.approx((up[1] - down[1]) / (2 * h), rel=1e-6)
        # the third and fourth leave out the derivatives of log(Q) / 2
        assert found[3] == pytest.approx((up[2] - down[2]) / (2 * h), abs=0.06 * found[2] ** 1.5)
