"""Compiled sums over cells for the Bernoulli null law: exact cumulants and tilted sums.

Under the null law x_i ~ Bernoulli(p_i), independent over the n cells of a population. For one
program let a_i be the linearised summand, so that the event is {sum_i x_i a_i >= s}.

Cumulants of the sum (mean, variance, third, fourth), with q = p (1 - p):
    k1 = sum p a,  k2 = sum q a^2,  k3 = sum q (1 - 2p) a^3,  k4 = sum q (1 - 6q) a^4.
Cumulant generating function and its tilted probabilities:
    K(l) = sum log(1 - p + p e^(l a)),  p~ = p e^(l a) / (1 - p + p e^(l a)),
and K', K'', K''', K'''' are the cumulants above with p~ in the place of p.
Saddlepoint: the root of K'(l) = s (Daniels 1987, International Statistical Review 55:37).

`exponential` and `logarithm` are branch-free, so that LLVM turns the loops over cells into vector
instructions without a vector mathematics library; both are right to about one unit in the last
place. Summation order inside a loop is free (`reassoc`), never across programs or units.
"""

from __future__ import annotations

import numpy as np

from programde.compiled import njit
from programde.tails.roots import EXPONENT, FOURTH, K2, K3, K4, MOVED, PASSES, RESIDUAL, ROOT

FAST = {"reassoc", "contract", "nsz", "arcp"}
# 1.5 * 2^52: adding it rounds to the nearest integer, whose bits are then the low bits of the sum
_ROUND = 6755399441055744.0
_TILE = 1024


@njit(fastmath={"contract"}, forceinline=True, error_model="numpy")
def exponential(x):
    """exp(x) for -230 <= x <= 700, clipped there: a degree-12 series after removing powers of 2.

    e^-230 = 1e-100 counts as nothing beside 1, and products of such numbers are not denormal,
    which would cost a hundred cycles each.
    """
    x = x if x < 700.0 else 700.0
    x = x if x > -230.0 else -230.0
    t = x * 1.4426950408889634 + _ROUND
    k = t - _ROUND
    r = x - k * 0.693147180369123816490
    r = r - k * 1.90821492927058770002e-10
    y = 1.0 / 479001600.0
    y = y * r + 1.0 / 39916800.0
    y = y * r + 1.0 / 3628800.0
    y = y * r + 1.0 / 362880.0
    y = y * r + 1.0 / 40320.0
    y = y * r + 1.0 / 5040.0
    y = y * r + 1.0 / 720.0
    y = y * r + 1.0 / 120.0
    y = y * r + 1.0 / 24.0
    y = y * r + 1.0 / 6.0
    y = y * r + 0.5
    y = y * r + 1.0
    y = y * r + 1.0
    bits = (np.float64(t).view(np.int64) + np.int64(1023)) << np.int64(52)
    return y * np.int64(bits).view(np.float64)


# the same in float32: 1.5 * 2^23, log 2 in two parts, and a minimax polynomial of e^r - 1 - r
_SINGLE = tuple(
    np.float32(value)
    for value in (
        12582912.0, 1.44269504, 0.693359375, -2.12194440e-4, 1.98756915e-4, 1.39819995e-3,
        8.33345191e-3, 4.16657959e-2, 1.66666655e-1, 0.5, 1.0, 80.0, -60.0,
    )
)  # fmt: skip


@njit(fastmath={"contract"}, forceinline=True, error_model="numpy")
def growth_single(x):
    """exp(x) - 1 in float32 for -60 <= x <= 80, clipped there; near 0 without cancellation.

    e^-60 times a probability is no denormal number, nor is e^80 times one infinite.
    """
    rounder, log2e, high, low, c6, c5, c4, c3, c2, half, one, most, least = _SINGLE
    x = x if x < most else most
    x = x if x > least else least
    t = x * log2e + rounder
    k = t - rounder
    r = x - k * high
    r = r - k * low
    y = c6 * r + c5
    y = y * r + c4
    y = y * r + c3
    y = y * r + c2
    y = y * r + half
    y = y * (r * r) + r
    bits = (np.int64(np.float32(t).view(np.int32)) + np.int64(127)) << np.int64(23)
    scale = np.int32(bits).view(np.float32)
    return scale * y + (scale - one)


@njit(fastmath={"contract"}, forceinline=True, error_model="numpy")
def logarithm(x):
    """log(x) for normal x > 0: 2 artanh((m - 1) / (m + 1)) of the mantissa m in [0.7, 1.41)."""
    bits = np.float64(x).view(np.int64)
    # shift the exponent's boundary from 1 to sqrt(1/2), so that m is centred on 1
    moved = bits - np.int64(0x3FE6A09E667F3BCD)
    k = moved >> np.int64(52)
    m = np.int64(bits - (k << np.int64(52))).view(np.float64)
    exponent = np.int64(k + np.int64(0x4338000000000000)).view(np.float64) - _ROUND
    f = (m - 1.0) / (m + 1.0)
    g = f * f
    y = 2.0 / 21.0
    y = y * g + 2.0 / 19.0
    y = y * g + 2.0 / 17.0
    y = y * g + 2.0 / 15.0
    y = y * g + 2.0 / 13.0
    y = y * g + 2.0 / 11.0
    y = y * g + 2.0 / 9.0
    y = y * g + 2.0 / 7.0
    y = y * g + 2.0 / 5.0
    y = y * g + 2.0 / 3.0
    y = y * g + 2.0
    return y * f + exponent * 0.6931471805599453


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy", forceinline=True)
def _four_programs(Wt, k, start, size, tau, v, p, c2, c3, c4, out):
    """Cumulant sums of programs k .. k+3 over one tile of cells, added to out (K, 4)."""
    r0 = Wt[k, start : start + size]
    r1 = Wt[k + 1, start : start + size]
    r2 = Wt[k + 2, start : start + size]
    r3 = Wt[k + 3, start : start + size]
    t0, t1, t2, t3 = tau[k], tau[k + 1], tau[k + 2], tau[k + 3]
    s01 = s02 = s03 = s04 = 0.0
    s11 = s12 = s13 = s14 = 0.0
    s21 = s22 = s23 = s24 = 0.0
    s31 = s32 = s33 = s34 = 0.0
    for i in range(size):
        vi, pi, x2, x3, x4 = v[i], p[i], c2[i], c3[i], c4[i]
        a = r0[i] - t0 * vi
        b = a * a
        s01 += pi * a
        s02 += x2 * b
        s03 += x3 * (b * a)
        s04 += x4 * (b * b)
        a = r1[i] - t1 * vi
        b = a * a
        s11 += pi * a
        s12 += x2 * b
        s13 += x3 * (b * a)
        s14 += x4 * (b * b)
        a = r2[i] - t2 * vi
        b = a * a
        s21 += pi * a
        s22 += x2 * b
        s23 += x3 * (b * a)
        s24 += x4 * (b * b)
        a = r3[i] - t3 * vi
        b = a * a
        s31 += pi * a
        s32 += x2 * b
        s33 += x3 * (b * a)
        s34 += x4 * (b * b)
    sums = (
        (s01, s02, s03, s04),
        (s11, s12, s13, s14),
        (s21, s22, s23, s24),
        (s31, s32, s33, s34),
    )
    for j in range(4):
        for c in range(4):
            out[k + j, c] += sums[j][c]


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy", forceinline=True)
def _one_program(Wt, k, start, size, tau, v, p, c2, c3, c4, out):
    """Cumulant sums of program k over one tile of cells, added to out (K, 4)."""
    row = Wt[k, start : start + size]
    shift = tau[k]
    s1 = s2 = s3 = s4 = 0.0
    for i in range(size):
        a = row[i] - shift * v[i]
        b = a * a
        s1 += p[i] * a
        s2 += c2[i] * b
        s3 += c3[i] * (b * a)
        s4 += c4[i] * (b * b)
    out[k, 0] += s1
    out[k, 1] += s2
    out[k, 2] += s3
    out[k, 3] += s4


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def bernoulli_cumulants_kernel(Wt, tau, v, p, out):
    """First four cumulants of sum_i x_i (W_ik - tau_k v_i) for a block of units.

    Wt (K, n); tau (U, K); v (U, n); p (U, n); out (U, K, 4) is overwritten. Cells are taken in
    tiles that stay in the nearest caches, so that Wt is read from memory once for all units, and
    programs in fours, so that the weights of a tile are read once for four of them.
    """
    K, n = Wt.shape
    for u in range(p.shape[0]):
        for k in range(K):
            for j in range(4):
                out[u, k, j] = 0.0
    c2 = np.empty(_TILE)
    c3 = np.empty(_TILE)
    c4 = np.empty(_TILE)
    for start in range(0, n, _TILE):
        size = min(_TILE, n - start)
        for u in range(p.shape[0]):
            pu = p[u, start : start + size]
            vu = v[u, start : start + size]
            for i in range(size):
                q = pu[i] * (1.0 - pu[i])
                c2[i] = q
                c3[i] = q * (1.0 - 2.0 * pu[i])
                c4[i] = q * (1.0 - 6.0 * q)
            fours = K - K % 4
            for k in range(0, fours, 4):
                _four_programs(Wt, k, start, size, tau[u], vu, pu, c2, c3, c4, out[u])
            for k in range(fours, K):
                _one_program(Wt, k, start, size, tau[u], vu, pu, c2, c3, c4, out[u])


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy", forceinline=True)
def tilted_slopes(a, p, l):
    """K'(l), K''(l), K'''(l): what a step towards the root needs."""
    s1 = 0.0
    s2 = 0.0
    s3 = 0.0
    for i in range(a.size):
        x = a[i]
        e = p[i] * exponential(l * x)
        t = e / (1.0 - p[i] + e)
        q = t * (1.0 - t)
        s1 += x * t
        s2 += x * x * q
        s3 += x * x * x * q * (1.0 - 2.0 * t)
    return s1, s2, s3


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy", forceinline=True)
def tilted_sums(a, p, l):
    """K, K', K'', K''', K'''' at l, sum q a^4 and sum (p~ - p)^2: all a tail needs."""
    s0 = 0.0
    s1 = 0.0
    s2 = 0.0
    s3 = 0.0
    s4 = 0.0
    fourth = 0.0
    moved = 0.0
    for i in range(a.size):
        x = a[i]
        e = p[i] * exponential(l * x)
        total = 1.0 - p[i] + e
        t = e / total
        q = t * (1.0 - t)
        xq = x * x * q
        s0 += logarithm(total)
        s1 += x * t
        s2 += xq
        s3 += xq * x * (1.0 - 2.0 * t)
        s4 += xq * x * x * (1.0 - 6.0 * q)
        fourth += xq * x * x
        moved += (t - p[i]) * (t - p[i])
    return s0, s1, s2, s3, s4, fourth, moved


@njit(nogil=True, cache=True, error_model="numpy")
def step_to_root(l, low, high, residual, k2, k3):
    """Next l towards K'(l) = s by Halley's rule, kept inside the bracket (low, high)."""
    step = residual / k2
    # Halley's rule divides by 1 + turn; a large turn says that its parabola does not hold here
    turn = 0.5 * step * k3 / k2
    if abs(turn) < 0.5:
        step /= 1.0 + turn
    new = l + step
    if np.isinf(high):
        new = min(new, 3.0 * l + 3.0)
    if not (low < new < high):
        new = 0.5 * (low + high) if np.isfinite(high) else 2.0 * l + 1.0
    return new


@njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
def bernoulli_root(a, p, s, l, out):
    """Solve K'(l) = s for s above the mean, starting at l > 0.

    a (n,) in units of the sum's standard deviation. out (N_COLUMNS,), see `roots`: l, l s - K(l),
    the derivatives of K (all five moved to second order to the root itself), sum q a^4, residual
    (s - K') / sqrt(K''), passes over the cells, and sum (p~ - p)^2 as MOVED.
    Returns the passes, negative where no root was reached.
    """
    low = 0.0
    high = np.inf
    for passes in range(1, 80):
        k1, k2, k3 = tilted_slopes(a, p, l)
        out[ROOT] = l
        if not k2 > 1e-60:
            # saturated: every cell is tilted to 0 or 1
            if k1 < s:
                return -passes
            high = l
            l = 0.5 * (low + high)
            continue
        residual = s - k1
        if residual > 0.0:
            low = l
        else:
            high = l
        near = abs(residual) < 0.05 * np.sqrt(k2)
        l = step_to_root(l, low, high, residual, k2, k3)
        if not near:
            if np.isfinite(high) and high - low <= 1e-14 * high:
                return -passes
            continue
        k0, k1, k2, k3, k4, fourth, moved = tilted_sums(a, p, l)
        residual = s - k1
        scaled = residual / np.sqrt(k2)
        if abs(scaled) < 1e-2:
            step = step_to_root(l, 0.0, np.inf, residual, k2, k3) - l
            out[ROOT] = l + step
            # sup_l (l s - K) lies residual^2 / (2 K'') above the value at a near-root
            out[EXPONENT] = l * s - k0 + 0.5 * residual * residual / k2
            out[K2] = k2 + step * k3 + 0.5 * step * step * k4
            out[K3] = k3 + step * k4
            out[K4] = k4
            out[FOURTH] = fourth
            out[RESIDUAL] = scaled
            out[PASSES] = passes + 1
            out[MOVED] = moved
            return passes + 1 if np.isfinite(out[EXPONENT]) else -passes
    return -80
