"""Compiled tests of one unit under its conditional law.

After the fit of x on C alone the fitted probabilities p are the base of all that follows. With
w = p (1 - p), H = C'WC and a test's outcome s,

    Gamma = H^-1 C'W s,   A = s - C Gamma,
    lambda ~ root of  gap = l k2 + l^2 k3 / 2 + l^3 k4* / 6,   gap = s'x - s'p,
    coefficients of C ~ -lambda Gamma - lambda^2 / 2 H^-1 C'(w (1 - 2p) A^2),

k2, k3 the cumulants of sum x A and k4* its fourth less 3 v'H^-1 v, v = C'(w (1 - 2p) A^2): where
the fit of x on (C, s) starts. From its root

    z = sign(lambda) sqrt(2 (f0 - f1)),   u = lambda sqrt(det J1 / det J0),
    r* = z + log(u / z) / z,   P(s'x >= observed | C'x) = Phi(-r*)

(Skovgaard 1987, Journal of Applied Probability 24:875; Davison 1988, Journal of the Royal
Statistical Society B 50:445). On a lattice of span d the threshold lies half a span nearer to the
mean and u has (2 / d) sinh(lambda d / 2) in the place of lambda.
"""

from __future__ import annotations

import math

import numpy as np

from programde.compiled import njit

from .arrow_kernels import solve_arrow
from .bernoulli_kernels import FAST, exponential
from .conditional_kernels import LOG_DET, MOVED, N_FOUND, PASSES, F, fit

_TILE = 512
#: Nearer to the mean than this, log(u / z) / z is taken from here.
_NEAR = 0.05
#: Columns of a test's results.
RIGHT, LEFT, Z, LOG_RATIO, TEST_PASSES, SMOOTHNESS = range(6)
N_RESULTS = 6
#: Laws in which no cell can have more than this share of the variance are smooth.
_DOMINATED = 0.04


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy", forceinline=True)
def residual_sums(X, n_local, first, live, s, p, Gl, Gg, vl, vg, sums):
    """With A = s - C Gamma: vl, vg = C'(w (1 - 2p) A^2); sums (6,) = sum p A, the second, third and
    fourth cumulant of sum x A, sum w A^4 and the largest A^2 among cells that may be treated.

    X, p and s float64 or float32, in which the cells of a tile are summed."""
    n_global = Gg.size
    k_max = X.shape[0] - n_global
    zero = X.dtype.type(0.0)
    one = X.dtype.type(1.0)
    two = X.dtype.type(2.0)
    six = X.dtype.type(6.0)
    A = np.empty(_TILE, dtype=X.dtype)
    own = np.empty(k_max + n_global, dtype=X.dtype)
    for j in range(n_global):
        own[k_max + j] = Gg[j]
    vl[:] = 0.0
    vg[:] = 0.0
    sums[:] = 0.0
    for g in range(n_local.size):
        if not live[g]:
            continue
        k = n_local[g]
        for j in range(k):
            own[j] = Gl[g, j]
        for lo in range(first[g], first[g + 1], _TILE):
            n = min(_TILE, first[g + 1] - lo)
            ss = s[lo : lo + n]
            q = p[lo : lo + n]
            for i in range(n):
                A[i] = ss[i]
            m = k + n_global
            for j in range(0, m - 3, 4):
                r0 = j if j < k else k_max + j - k
                r1 = j + 1 if j + 1 < k else k_max + j + 1 - k
                r2 = j + 2 if j + 2 < k else k_max + j + 2 - k
                r3 = j + 3 if j + 3 < k else k_max + j + 3 - k
                c0 = X[r0, lo : lo + n]
                c1 = X[r1, lo : lo + n]
                c2 = X[r2, lo : lo + n]
                c3 = X[r3, lo : lo + n]
                h0, h1, h2, h3 = own[r0], own[r1], own[r2], own[r3]
                for i in range(n):
                    A[i] -= (h0 * c0[i] + h1 * c1[i]) + (h2 * c2[i] + h3 * c3[i])
            for j in range(m - m % 4, m):
                row = j if j < k else k_max + j - k
                c0 = X[row, lo : lo + n]
                h0 = own[row]
                for i in range(n):
                    A[i] -= h0 * c0[i]
            s1 = s2 = s3 = s4 = raw = big = zero
            for i in range(n):
                a = A[i]
                w = q[i] * (one - q[i])
                b = w * a * a
                y = b * (one - two * q[i])
                s1 += q[i] * a
                s2 += b
                s3 += y * a
                s4 += b * (one - six * w) * a * a
                raw += b * a * a
                big = max(big, a * a if q[i] > zero else zero)
                A[i] = y
            sums[0] += s1
            sums[1] += s2
            sums[2] += s3
            sums[3] += s4
            sums[4] += raw
            sums[5] = max(sums[5], big)
            for j in range(k + n_global):
                c = X[j if j < k else k_max + j - k, lo : lo + n]
                h = zero
                for i in range(n):
                    h += A[i] * c[i]
                if j < k:
                    vl[g, j] += h
                else:
                    vg[j - k] += h


@njit(nogil=True, cache=True, error_model="numpy")
def start_of(gap, k2, k3, k4):
    """lambda with gap = l k2 + l^2 k3 / 2 + l^3 k4 / 6, by Newton steps; see the module."""
    l = gap / k2
    bend = 0.5 * l * k3 / k2
    l = l / (1.0 + bend) if abs(bend) < 0.4 else 0.6 * l
    for _ in range(6):
        slope = k2 + l * k3 + 0.5 * l * l * k4
        if slope < 0.3 * k2 or slope > 3.0 * k2:
            break
        step = (gap - l * k2 - 0.5 * l * l * k3 - l * l * l * k4 / 6.0) / slope
        if abs(step) > 0.5 * abs(l):
            break
        l += step
    return l


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy", forceinline=True)
def smoothness(X, n_local, first, live, s, p, a, b, Ll, V, skip_l, Lg, skip_g):
    """Spread within lumps over the distance between them, squared, of the law tilted by (a, b).

    A sum of n summands from two lumps a distance d apart, each of variance v, has a rippled law:
    its ripples are of size exp(-2 pi^2 n v / d^2). With q = t (1 - t), n = sum q, skewness g and
    kurtosis k of A weighted by q, lumps have (g^2 + 1) / k ~ 1 - v (1 + 3 / k) / variance and
    d^2 ~ variance (k + 3), so that n v / d^2 ~ (1 - (g^2 + 1) / k) n k / (k + 3)^2: .28 for five
    cells of a normal outcome. The factors are those of the fit with s, whence its own Gamma.
    """
    n_global = b.size - 1
    k_max = a.shape[1]
    shared = np.empty(n_global)
    for j in range(n_global - 1, -1, -1):
        h = Lg[n_global, j]
        for i in range(j + 1, n_global):
            h -= Lg[i, j] * shared[i]
        shared[j] = 0.0 if skip_g[j] else h / Lg[j, j]
    weight = second = third = fourth = 0.0
    d = np.empty(_TILE)
    A = np.empty(_TILE)
    own = np.empty(k_max)
    for g in range(n_local.size):
        if not live[g]:
            continue
        k = n_local[g]
        for j in range(k - 1, -1, -1):
            h = V[g, j, n_global]
            for i in range(n_global):
                h -= V[g, j, i] * shared[i]
            for i in range(j + 1, k):
                h -= Ll[g, i, j] * own[i]
            own[j] = 0.0 if skip_l[g, j] else h / Ll[g, j, j]
        for lo in range(first[g], first[g + 1], _TILE):
            n = min(_TILE, first[g + 1] - lo)
            ss = s[lo : lo + n]
            for i in range(n):
                A[i] = ss[i]
                d[i] = b[n_global] * ss[i]
            for j in range(k + n_global):
                c = X[j if j < k else k_max + j - k, lo : lo + n]
                h = own[j] if j < k else shared[j - k]
                y = a[g, j] if j < k else b[j - k]
                for i in range(n):
                    A[i] -= h * c[i]
                    d[i] += y * c[i]
            for i in range(n):
                e = p[lo + i] * exponential(d[i])
                t = e / (1.0 - p[lo + i] + e)
                weight += t * (1.0 - t)
                y = t * (1.0 - t) * A[i] * A[i]
                second += y
                third += y * A[i]
                fourth += y * A[i] * A[i]
    kurtosis = fourth * weight / (second * second)
    lumps = (third * third * weight / second**3 + 1.0) / kurtosis
    return (1.0 - lumps) * weight * kurtosis / (kurtosis + 3.0) ** 2


@njit(nogil=True, cache=True, error_model="numpy")
def tests(
    S, at, which, half_span, sums_of_treated, X, rows, n_local, first, live, p, f0, log_det0,
    Ll, V, skip_l, Lg, skip_g, target_l, target_g, step_l, step_g, reach_l, reach_g, reach_s,
    Gamma_l, Gamma_g, tolerance, max_passes, out,
):  # fmt: skip
    """Conditional tails of the programs `which` (J,) of one unit.

    S[at] (J, n) are their summands, cells in the strata's order, standardised; half_span and
    sums_of_treated (K,) on that scale. S, X and p are float64 or float32. p, the factors, log_det0,
    f0, the least f, and step_l, step_g, the step that leads there, are those of the fit on C;
    reach_s (K,) the largest |s|. out (J, 6): r* of the upper tail and of the lower one, z,
    log(u / z), passes (negative: no fit), and `smoothness` (inf where it is beyond doubt).
    """
    n_global = Gamma_g.shape[1]
    a = np.empty(target_l.shape)
    b = np.empty(n_global + 1)
    own_l = np.empty(Ll.shape)
    own_v = np.empty(V.shape)
    own_g = np.empty(Lg.shape)
    vl = np.empty(target_l.shape)
    vg = np.empty(n_global)
    dl = np.empty(target_l.shape)
    dg = np.empty(n_global)
    sums = np.empty(6)
    target = np.empty(n_global + 1)
    reach = np.empty(n_global + 1)
    target[:n_global] = target_g
    reach[:n_global] = reach_g
    found = np.empty(N_FOUND)
    nothing = np.empty(0)
    rest_l = np.empty(target_l.shape)
    rest_g = np.empty(n_global + 1)
    for j in range(which.size):
        k = which[j]
        s = S[at[j]]
        residual_sums(
            X, n_local, first, live, s, p, Gamma_l[k], Gamma_g[k], vl, vg, sums
        )  # fmt: skip
        mean = 0.0
        for g in range(n_local.size):
            if live[g]:
                for i in range(n_local[g]):
                    mean += Gamma_l[k, g, i] * target_l[g, i]
        for i in range(n_global):
            mean += Gamma_g[k, i] * target_g[i]
        mean += sums[0]
        dl[:] = vl
        dg[:] = vg
        square = solve_arrow(n_local, live, Ll, V, skip_l, Lg, skip_g, n_global, dl, dg)
        reach[n_global] = reach_s[k]
        sd = math.sqrt(sums[1])
        log_variance = math.log(sums[1])
        out[j, SMOOTHNESS] = np.inf
        out[j, Z] = 0.0
        total = 0
        lost = False
        sides = 2 if half_span[k] > 0.0 else 1
        for side in range(sides):
            shift = 0.0 if sides == 1 else (-half_span[k] if side == 0 else half_span[k])
            gap = sums_of_treated[k] + shift - mean
            asked = gap / sd
            near = abs(asked) < _NEAR
            if near:
                gap = _NEAR * sd if asked >= 0.0 else -_NEAR * sd
            l = start_of(gap, sums[1], sums[2], sums[3] - 3.0 * square)
            for g in range(n_local.size):
                for i in range(n_local[g]):
                    a[g, i] = step_l[g, i] - l * Gamma_l[k, g, i] - 0.5 * l * l * dl[g, i]
            for i in range(n_global):
                b[i] = step_g[i] - l * Gamma_g[k, i] - 0.5 * l * l * dg[i]
            b[n_global] = l
            target[n_global] = mean + gap
            fit(
                X, rows, n_local, first, live, s, True, p, target_l, target, reach_l, reach,
                tolerance, max_passes, a, b, nothing, rest_l, rest_g,
                own_l, own_v, skip_l, own_g, skip_g, found,
            )  # fmt: skip
            total += int(abs(found[PASSES]))
            if not found[PASSES] > 0 or not found[F] < f0:
                out[j, RIGHT + side] = np.nan
                lost = True
                continue
            l = b[n_global]
            z = math.copysign(math.sqrt(2.0 * (f0 - found[F])), l)
            u = abs(l)
            if half_span[k] > 0.0:
                u = math.sinh(min(half_span[k] * u, 700.0)) / half_span[k]
            # to first order the determinant is moved from the last pass to the root
            bend = found[LOG_DET] - log_det0 - log_variance
            bend *= 1.0 + found[MOVED] / (l - found[MOVED])
            ratio = math.log(u) + 0.5 * (log_variance + bend) - math.log(abs(z))
            r = (asked if near else z) + ratio / z
            out[j, RIGHT + side] = r
            if side == 0 or abs(z) > abs(out[j, Z]):
                out[j, Z] = z
                out[j, LOG_RATIO] = ratio
            # no cell has more of the variance than this: settles it for most
            spread = own_g[n_global, n_global]
            bound = sums[5] / (spread * spread)
            if bound > _DOMINATED:
                found_smooth = smoothness(
                    X, n_local, first, live, s, p, a, b, own_l, own_v, skip_l, own_g, skip_g
                )
                out[j, SMOOTHNESS] = min(out[j, SMOOTHNESS], found_smooth)
        out[j, TEST_PASSES] = -total if lost else total
        if sides == 1:
            out[j, LEFT] = out[j, RIGHT]


@njit(nogil=True, cache=True, error_model="numpy")
def residual_cumulants(S, which, X, n_local, first, live, p, Gamma_l, Gamma_g, out):
    """Third and fourth cumulant (J, 2) of sum x A for the programs `which` (J,)."""
    vl = np.empty((n_local.size, Gamma_l.shape[2]))
    vg = np.empty(Gamma_g.shape[1])
    sums = np.empty(6)
    for j in range(which.size):
        k = which[j]
        residual_sums(X, n_local, first, live, S[k], p, Gamma_l[k], Gamma_g[k], vl, vg, sums)
        out[j, 0] = sums[2]
        out[j, 1] = sums[3]
