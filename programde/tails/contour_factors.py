"""Factors of the contour's integrand, group by group (formulas in `contour`).

With b_i = o_i e^(i y a_i): power sums over terms of small odds, products over single cells, the
coefficient of z^m in prod (1 + z b_i) for a group of fixed total m, and its Laplace approximation.
"""

from __future__ import annotations

import numpy as np

from programde.compiled import njit
from programde.tails.bernoulli_kernels import FAST


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy", forceinline=True)
def power_sums(cos_now, sin_now, cos_step, sin_step, weights, first, last, out):
    """Turn the unit vectors of the small terms by one step; out (8,): Re, Im of F_1 .. F_4."""
    f1 = g1 = f2 = g2 = f3 = g3 = f4 = g4 = 0.0
    for i in range(first, last):
        c = cos_now[i] * cos_step[i] - sin_now[i] * sin_step[i]
        s = cos_now[i] * sin_step[i] + sin_now[i] * cos_step[i]
        cos_now[i] = c
        sin_now[i] = s
        c2 = c * c - s * s
        s2 = 2.0 * c * s
        f1 += weights[0, i] * c
        g1 += weights[0, i] * s
        f2 += weights[1, i] * c2
        g2 += weights[1, i] * s2
        f3 += weights[2, i] * (c2 * c - s2 * s)
        g3 += weights[2, i] * (c2 * s + s2 * c)
        f4 += weights[3, i] * (c2 * c2 - s2 * s2)
        g4 += weights[3, i] * (2.0 * c2 * s2)
    out[0] = complex(f1, g1)
    out[1] = complex(f2, g2)
    out[2] = complex(f3, g3)
    out[3] = complex(f4, g4)


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy", forceinline=True)
def turn_by_step(now, turn):
    """Turn the unit vectors of single cells by one step."""
    for i in range(now.size):
        now[i] = complex(
            now[i].real * turn[i].real - now[i].imag * turn[i].imag,
            now[i].real * turn[i].imag + now[i].imag * turn[i].real,
        )


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy", forceinline=True)
def single_product(now, tilted, first, last):
    """prod (1 - t_i + t_i now_i), t the tilted probabilities; two chains hide its latency."""
    x0 = x1 = 1.0
    y0 = y1 = 0.0
    for i in range(first, last - 1, 2):
        u = 1.0 + tilted[i] * (now[i].real - 1.0)
        v = tilted[i] * now[i].imag
        x0, y0 = x0 * u - y0 * v, x0 * v + y0 * u
        u = 1.0 + tilted[i + 1] * (now[i + 1].real - 1.0)
        v = tilted[i + 1] * now[i + 1].imag
        x1, y1 = x1 * u - y1 * v, x1 * v + y1 * u
    if (last - first) % 2:
        u = 1.0 + tilted[last - 1] * (now[last - 1].real - 1.0)
        v = tilted[last - 1] * now[last - 1].imag
        x1, y1 = x1 * u - y1 * v, x1 * v + y1 * u
    return complex(x0 * x1 - y0 * y1, x0 * y1 + y0 * x1)


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy", forceinline=True)
def single_sum(now, odds, first, last):
    """sum of b_i over single cells."""
    x = 0.0
    y = 0.0
    for i in range(first, last):
        x += odds[i] * now[i].real
        y += odds[i] * now[i].imag
    return complex(x, y)


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy", forceinline=True)
def series_coefficient(f, start, now, tilted, first, last, m, e):
    """Coefficient of z^m in start exp(z F_1 - z^2 F_2 / 2 + ...) prod (1 - t + t z now).

    The first factor by g' = g (F_1 - z F_2 + ...); the product over single cells, t their tilted
    probabilities. With start = `series_start` it is of the size of a probability. e (m + 1,) is
    scratch.
    """
    e[0] = start
    for k in range(1, m + 1):
        term = f[0] * e[k - 1]
        if k > 1:
            term -= f[1] * e[k - 2]
        if k > 2:
            term += f[2] * e[k - 3]
        if k > 3:
            term -= f[3] * e[k - 4]
        e[k] = term / k
    for i in range(first, last):
        stay = 1.0 - tilted[i]
        x = tilted[i] * now[i].real
        y = tilted[i] * now[i].imag
        for k in range(m, 0, -1):
            low = e[k - 1]
            e[k] = complex(
                stay * e[k].real + x * low.real - y * low.imag,
                stay * e[k].imag + x * low.imag + y * low.real,
            )
        e[0] *= stay
    return e[m]


@njit(nogil=True, cache=True, error_model="numpy")
def series_start(f0, m):
    """exp(-(F_1 - F_2 / 2 + ...)) at y = 0, the probability of no cell of small odds; 1 for
    m <= 4, where all cells count as such and the odds are of any size."""
    if m <= 4:
        return 1.0
    return np.exp(-(f0[0] - f0[1] / 2.0 + f0[2] / 3.0 - f0[3] / 4.0).real)


@njit(nogil=True, cache=True, error_model="numpy")
def laplace_total(f, now, odds, first, last, m, z):
    """Inner saddlepoint of a group of fixed total: (z, sum log-part, product, Q, ok)."""
    q = 0.0j
    for _ in range(60):
        z2 = z * z
        total = z * f[0] - z2 * f[1] + z2 * z * f[2] - z2 * z2 * f[3]
        q = z * f[0] - 2.0 * z2 * f[1] + 3.0 * z2 * z * f[2] - 4.0 * z2 * z2 * f[3]
        for i in range(first, last):
            t = z * odds[i] * now[i]
            t = t / (1.0 + t)
            total += t
            q += t * (1.0 - t)
        gap = (m - total) / q
        size = abs(gap)
        if not size < 1e9:
            return z, 0.0j, q, False
        z = z * np.exp(gap if size < 0.5 else gap * (0.5 / size))
        if size < 1e-7:
            break
    else:
        return z, 0.0j, q, False
    z2 = z * z
    product = np.exp(z * f[0] - z2 * f[1] / 2.0 + z2 * z * f[2] / 3.0 - z2 * z2 * f[3] / 4.0)
    for i in range(first, last):
        product *= (1.0 + z * odds[i] * now[i]) / (1.0 + odds[i])
    return z, product, q, True


@njit(nogil=True, cache=True, error_model="numpy")
def small_sums(weights, first, last, out):
    """F_1 .. F_4 at y = 0 into out (4,)."""
    for j in range(4):
        total = 0.0
        for i in range(first, last):
            total += weights[j, i]
        out[j] = total
