"""Compiled sums for draws without replacement within strata: cumulants, tilted law, root.

Within stratum s exactly m of n cells are drawn. Strata with m = 0 or m = n are constant and left
out; where m > n / 2 the n - m cells that are not drawn are followed instead (a -> -a), so that
m <= n / 2 everywhere; and a is centred within each stratum, which totals allow. Then S = sum x a
has mean 0.

Cumulants (Cochran 1977, Sampling Techniques; the fourth from Sukhatme 1944), S_j = sum a^j:
    k2 = m (n-m) / (n (n-1)) S_2,   k3 = m (n-m) (n-2m) / (n (n-1) (n-2)) S_3,
    m4 = m (n-m) / (n (n-1) (n-2) (n-3)) [ (n (n+1) - 6 m (n-m)) S_4 + 3 (m-1) (n-m-1) S_2^2 ].

Cumulant generating function: K(l) = sum_s log [ e_m(e^(l a)) / e_m(1) ], e_m the elementary
symmetric polynomial. For m = 1 it is log(mean e^(l a)); otherwise e_m is taken at the saddlepoint
of Cauchy's formula, z with sum t = m for t_i = z e^(l a_i) / (1 + z e^(l a_i)):
    log e_m ~ sum log(1 + z e^(l a)) - m log z - log(Q) / 2,   Q = sum t (1 - t),
its constant relative error cancelling between l and 0. Derivatives of K in l follow by
d log z / dl = -mean(a), the mean being weighted with q = t (1 - t). That is the sequential form of
the double saddlepoint approximation (Skovgaard 1987, Journal of Applied Probability 24:875;
Fraser, Reid & Wong 1991, Canadian Journal of Statistics 19:317).
"""

from __future__ import annotations

import numpy as np

from programde.compiled import njit
from programde.tails.bernoulli_kernels import FAST, exponential, logarithm, step_to_root
from programde.tails.roots import EXPONENT, FOURTH, K2, K3, K4, PASSES, RESIDUAL, ROOT


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy", forceinline=True)
def _gather(row, tau, v, cells, factor, a):
    """a = factor (row[cells] - tau v), v being in the order of cells already."""
    for i in range(cells.size):
        a[i] = factor * (row[cells[i]] - tau * v[i])


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy", forceinline=True)
def _centre(a, lo, hi, flip):
    """Centre a[lo:hi], times flip; returns the mean it had."""
    mean = 0.0
    for i in range(lo, hi):
        mean += a[i]
    mean /= hi - lo
    for i in range(lo, hi):
        a[i] = flip * (a[i] - mean)
    return mean


@njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
def fill_strata(row, tau, v, cells, first, total, flip, factor, a):
    """Centred summands of one program for the cells of varying strata.

    row (n,) by cell; v (n_active,) in the order of cells; a (n_active,) = flip factor (row - tau v
    - stratum's mean). Returns the mean of the sum over these strata, on the scale of factor.
    """
    _gather(row, tau, v, cells, factor, a)
    mean = 0.0
    for g in range(total.size):
        lo, hi = first[g], first[g + 1]
        drawn = total[g] if flip[g] > 0.0 else hi - lo - total[g]
        mean += drawn * _centre(a, lo, hi, flip[g])
    return mean


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy", forceinline=True)
def _summands(row, other, tau, other_tau, v, near):
    """row - tau v of two programs side by side, for all cells in their own order: brings the rows
    near before they are visited in another, and one visit then serves both."""
    for i in range(v.size):
        near[2 * i] = row[i] - tau * v[i]
        near[2 * i + 1] = other[i] - other_tau * v[i]


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy", forceinline=True)
def _central_sums(near, cells, lo, hi, a):
    """Means of a stratum's summands in two programs, and their sums of squares, cubes and fourth
    powers about them: (mean, S_2, S_3, S_4) twice.

    a is scratch that stays in the nearest cache.
    """
    n = hi - lo
    for i in range(n):
        place = np.uint32(2) * cells[lo + i]
        a[2 * i] = near[place]
        a[2 * i + 1] = near[place + np.uint32(1)]
    m = o = 0.0
    for i in range(n):
        m += a[2 * i]
        o += a[2 * i + 1]
    m /= n
    o /= n
    s2 = s3 = s4 = t2 = t3 = t4 = 0.0
    for i in range(n):
        d = a[2 * i] - m
        b = d * d
        s2 += b
        s3 += b * d
        s4 += b * b
        d = a[2 * i + 1] - o
        b = d * d
        t2 += b
        t3 += b * d
        t4 += b * b
    return (m, s2, s3, s4), (o, t2, t3, t4)


@njit(nogil=True, cache=True, error_model="numpy")
def stratum_cumulants(n, m, s2, s3, s4):
    """Variance, third and fourth cumulant of one stratum's sum, m <= n / 2, from its central
    power sums."""
    if m == 1.0:
        return s2 / n, s3 / n, s4 / n - 3.0 * (s2 / n) ** 2
    base = m * (n - m) / (n * (n - 1.0))
    variance = base * s2
    fourth = (n * (n + 1.0) - 6.0 * m * (n - m)) * s4
    fourth += 3.0 * (m - 1.0) * (n - m - 1.0) * s2 * s2
    fourth *= base / ((n - 2.0) * (n - 3.0))
    return variance, base * (n - 2.0 * m) / (n - 2.0) * s3, fourth - 3.0 * variance * variance


@njit(nogil=True, cache=True, error_model="numpy")
def cumulants_of_strata(Wt, tau, v, cells, first, total, flip, out):
    """Mean, variance, third and fourth cumulant (K, 4) over the strata that vary.

    Wt (K, n), v (n,) in the cells' own order; cells unsigned 32-bit.
    """
    K, n_cells = Wt.shape
    near = np.empty(2 * n_cells)
    a = np.empty(2 * cells.size)
    out[:] = 0.0
    for k in range(0, K, 2):
        other = min(k + 1, K - 1)
        _summands(Wt[k], Wt[other], tau[k], tau[other], v, near)
        for g in range(total.size):
            n = float(first[g + 1] - first[g])
            m = float(total[g])
            drawn = m if flip[g] > 0.0 else n - m
            one, two = _central_sums(near, cells, first[g], first[g + 1], a)
            _add_stratum(out[k], n, m, drawn, flip[g], one)
            if other > k:
                _add_stratum(out[other], n, m, drawn, flip[g], two)


@njit(nogil=True, cache=True, error_model="numpy")
def _add_stratum(out, n, m, drawn, flip, sums):
    """Add one stratum's cumulants to those of a program, out (4,)."""
    mean, s2, s3, s4 = sums
    variance, third, fourth = stratum_cumulants(n, m, s2, flip * s3, s4)
    out[0] += drawn * mean
    out[1] += variance
    out[2] += third
    out[3] += fourth


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy", forceinline=True)
def _weights(a, w, lo, hi, l):
    """w = e^(l a) over one stratum; returns the sum."""
    total = 0.0
    for i in range(lo, hi):
        w[i] = exponential(l * a[i])
        total += w[i]
    return total


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy", forceinline=True)
def _count(w, lo, hi, z):
    """Expected number drawn and its variance when each cell has odds z w."""
    count = 0.0
    q = 0.0
    for i in range(lo, hi):
        e = z * w[i]
        t = e / (1.0 + e)
        count += t
        q += t * (1.0 - t)
    return count, q


@njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
def inner_root(w, lo, hi, m, z, total):
    """z with sum z w / (1 + z w) = m, by Newton steps in log z inside a bracket; w > 0."""
    low = m / total
    high = np.inf
    if not z > low:
        z = low
    for _ in range(200):
        count, q = _count(w, lo, hi, z)
        gap = m - count
        if abs(gap) <= 1e-11 * m:
            break
        if gap > 0.0:
            low = z
        else:
            high = z
        step = gap / q if q > 1e-200 else np.sign(gap) * 2.0
        new = z * np.exp(min(max(step, -2.0), 2.0))
        if not (low < new < high):
            new = np.sqrt(low * high) if np.isfinite(high) else 2.0 * z
        if abs(new - z) <= 1e-15 * z:
            break
        z = new
    return z


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy", forceinline=True)
def _tilted_stratum(a, w, lo, hi, z):
    """Sums over one stratum: log part, a t, then q, r, h each with powers 0, 1, 2 of a.

    t = z w / (1 + z w), q = t (1 - t), r = q (1 - 2 t), h = q (1 - 6 q).
    """
    log_part = 0.0
    at = 0.0
    q0 = q1 = q2 = 0.0
    r0 = r1 = r2 = 0.0
    h0 = h1 = h2 = 0.0
    for i in range(lo, hi):
        x = a[i]
        e = z * w[i]
        t = e / (1.0 + e)
        q = t * (1.0 - t)
        r = q * (1.0 - 2.0 * t)
        h = q * (1.0 - 6.0 * q)
        log_part += logarithm(1.0 + e)
        at += x * t
        q0 += q
        q1 += q * x
        q2 += q * x * x
        r0 += r
        r1 += r * x
        r2 += r * x * x
        h0 += h
        h1 += h * x
        h2 += h * x * x
    return log_part, at, q0, q1, q2, r0, r1, r2, h0, h1, h2


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy", forceinline=True)
def _tilted_central(a, w, lo, hi, z, mean):
    """sum r d^3, sum h d^4 and sum q d^4, d = a - mean."""
    third = 0.0
    fourth = 0.0
    plain = 0.0
    for i in range(lo, hi):
        d = a[i] - mean
        e = z * w[i]
        t = e / (1.0 + e)
        q = t * (1.0 - t)
        third += q * (1.0 - 2.0 * t) * d * d * d
        fourth += q * (1.0 - 6.0 * q) * d * d * d * d
        plain += q * d * d * d * d
    return third, fourth, plain


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy", forceinline=True)
def _single_moments(a, w, lo, hi, total):
    """Mean and central moments of a under weights w / total: the tilted draw of one cell."""
    mean = 0.0
    for i in range(lo, hi):
        mean += w[i] * a[i]
    mean /= total
    s2 = 0.0
    s3 = 0.0
    s4 = 0.0
    for i in range(lo, hi):
        d = a[i] - mean
        b = w[i] * d * d
        s2 += b
        s3 += b * d
        s4 += b * d * d
    return mean, s2 / total, s3 / total, s4 / total


@njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
def strata_tilt(a, first, total, l, z, w):
    """K, K', K'', K''', K'''' at l, and sum q d^4, d being a less its stratum's mean.

    a centred within strata; z (G,) are guesses of the inner roots and are replaced by them
    (1 / sum w for strata of one draw); w (n,) is scratch and ends as e^(l a). In K''' and K'''' the
    derivatives of log(Q) / 2, of relative order 1 / m^2, are left out.
    """
    k0 = k1 = k2 = k3 = k4 = raw = 0.0
    for g in range(total.size):
        lo, hi = first[g], first[g + 1]
        n = float(hi - lo)
        m = float(total[g])
        weight = _weights(a, w, lo, hi, l)
        if total[g] == 1:
            z[g] = 1.0 / weight
            mean, s2, s3, s4 = _single_moments(a, w, lo, hi, weight)
            k0 += np.log(weight / n)
            k1 += mean
            k2 += s2
            k3 += s3
            k4 += s4 - 3.0 * s2 * s2
            raw += s4
            continue
        z[g] = inner_root(w, lo, hi, m, z[g], weight)
        log_part, at, q0, q1, q2, r0, r1, r2, h0, h1, h2 = _tilted_stratum(a, w, lo, hi, z[g])
        if not q0 > 0.0:
            return k0, k1, 0.0, 0.0, 0.0, 0.0
        mean = q1 / q0
        third, fourth, plain = _tilted_central(a, w, lo, hi, z[g], mean)
        variance = q2 - mean * q1
        rate = r1 - mean * r0  # dQ / dl
        skewed = r2 - 2.0 * mean * r1 + mean * mean * r0
        curve = h2 - 2.0 * mean * h1 + mean * mean * h0 - r0 * skewed / q0  # d2Q / dl2
        start = m / (n - m)
        k0 += log_part - m * np.log(z[g]) - 0.5 * np.log(q0)
        k0 -= n * np.log1p(start) - m * np.log(start) - 0.5 * np.log(m * (n - m) / n)
        k1 += at - 0.5 * rate / q0
        k2 += variance - 0.5 * (curve / q0 - (rate / q0) ** 2)
        k3 += third
        k4 += fourth - 3.0 * skewed * skewed / q0
        raw += plain
    return k0, k1, k2, k3, k4, raw


@njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
def strata_root(a, first, total, s, l, z, w, out):
    """Solve K'(l) = s for s > 0, starting at l > 0; out and result as `bernoulli_root`."""
    low = 0.0
    high = np.inf
    for passes in range(1, 60):
        k0, k1, k2, k3, k4, raw = strata_tilt(a, first, total, l, z, w)
        if not (k2 > 1e-60 and np.isfinite(k0)):
            high = l
            l = 0.5 * (low + high)
            if np.isfinite(high) and high - low <= 1e-12 * high:
                return -passes
            continue
        residual = s - k1
        scaled = residual / np.sqrt(k2)
        out[ROOT] = l
        if abs(scaled) < 1e-3:
            step = residual / k2
            out[ROOT] = l + step
            out[EXPONENT] = l * s - k0 + 0.5 * residual * residual / k2
            out[K2] = k2 + step * k3
            out[K3] = k3 + step * k4
            out[K4] = k4
            out[FOURTH] = raw
            out[RESIDUAL] = scaled
            out[PASSES] = passes
            return passes
        if residual > 0.0:
            low = l
        else:
            high = l
        if np.isfinite(high) and high - low <= 1e-13 * high:
            break
        l = step_to_root(l, low, high, residual, k2, k3)
    return -passes
