"""Exact cumulants of sums over control cells for a block of units, in one reading, compiled.

A unit's summands are a_ik = R_ik - u_i'zeta_k - tau_k with R the pool's residual outcome, u_i the
features of the cell's batch (see `by_batch`). Cells are taken in tiles that stay in the nearest
caches, so that R is read from memory once for all units, and programs in fours, so that features
and weights of a tile are read once for four of them.
"""

from __future__ import annotations

import numpy as np

from programde.compiled import njit
from programde.crt.kernels.logistic import FAST

_TILE = 512


@njit(nogil=True, cache=True, error_model="numpy", fastmath=FAST, forceinline=True)
def _summands(residual, features, zeta, tau, r, k, lo, n, out):  # pragma: no cover - compiled
    """out (n,) = summands of program k in cells lo .. lo + n."""
    row = residual[k, lo : lo + n]
    t = tau[k]
    m = 0
    if r >= 4:
        u0 = features[0, lo : lo + n]
        u1 = features[1, lo : lo + n]
        u2 = features[2, lo : lo + n]
        u3 = features[3, lo : lo + n]
        y0, y1, y2, y3 = zeta[0, k], zeta[1, k], zeta[2, k], zeta[3, k]
        for i in range(n):
            out[i] = row[i] - t - y0 * u0[i] - y1 * u1[i] - y2 * u2[i] - y3 * u3[i]
        m = 4
    else:
        for i in range(n):
            out[i] = row[i] - t
    while m + 1 < r:
        u0 = features[m, lo : lo + n]
        u1 = features[m + 1, lo : lo + n]
        y0, y1 = zeta[m, k], zeta[m + 1, k]
        for i in range(n):
            out[i] -= y0 * u0[i] + y1 * u1[i]
        m += 2
    if m < r:
        u0 = features[m, lo : lo + n]
        y0 = zeta[m, k]
        for i in range(n):
            out[i] -= y0 * u0[i]


@njit(nogil=True, cache=True, error_model="numpy", fastmath=FAST, forceinline=True)
def powers_of_four(a, n, p, c2, c3, c4, out):  # pragma: no cover - compiled
    """out (4, 4) = sums over n cells of p a, c2 a^2, c3 a^3, c4 a^4 for each of four rows a."""
    r0, r1, r2, r3 = a[0], a[1], a[2], a[3]
    s01 = s02 = s03 = s04 = 0.0
    s11 = s12 = s13 = s14 = 0.0
    s21 = s22 = s23 = s24 = 0.0
    s31 = s32 = s33 = s34 = 0.0
    for i in range(n):
        q, x2, x3, x4 = p[i], c2[i], c3[i], c4[i]
        x = r0[i]
        y = x * x
        s01 += q * x
        s02 += x2 * y
        s03 += x3 * (y * x)
        s04 += x4 * (y * y)
        x = r1[i]
        y = x * x
        s11 += q * x
        s12 += x2 * y
        s13 += x3 * (y * x)
        s14 += x4 * (y * y)
        x = r2[i]
        y = x * x
        s21 += q * x
        s22 += x2 * y
        s23 += x3 * (y * x)
        s24 += x4 * (y * y)
        x = r3[i]
        y = x * x
        s31 += q * x
        s32 += x2 * y
        s33 += x3 * (y * x)
        s34 += x4 * (y * y)
    sums = (
        (s01, s02, s03, s04),
        (s11, s12, s13, s14),
        (s21, s22, s23, s24),
        (s31, s32, s33, s34),
    )
    for j in range(4):
        for c in range(4):
            out[j, c] = sums[j][c]


@njit(nogil=True, cache=True, error_model="numpy", fastmath=FAST, forceinline=True)
def weights_of(p, lo, n, c2, c3, c4):  # pragma: no cover - compiled
    """Weights of second, third and fourth powers in the cumulants, for cells lo .. lo + n."""
    for i in range(n):
        q = p[lo + i] * (1.0 - p[lo + i])
        c2[i] = q
        c3[i] = q * (1.0 - 2.0 * p[lo + i])
        c4[i] = q * (1.0 - 6.0 * q)


@njit(nogil=True, cache=True, error_model="numpy", fastmath=FAST)
def pooled_cumulants(
    residual, features, first, ranks, live, zeta, tau, p, out
):  # pragma: no cover - compiled
    """Add to out (U, K, 4) the first four cumulants of sum_i x_i a_ik over live control cells.

    residual (K, n), features (r, n), first (B + 1,), ranks (B,), live (U, B), zeta (U, B, r, K),
    tau (U, K), p (U, n or more) inside (0, 1).
    """
    K = residual.shape[0]
    a = np.zeros((4, _TILE))
    c2 = np.empty(_TILE)
    c3 = np.empty(_TILE)
    c4 = np.empty(_TILE)
    found = np.empty((4, 4))
    for b in range(ranks.size):
        for lo in range(first[b], first[b + 1], _TILE):
            n = min(_TILE, first[b + 1] - lo)
            for u in range(p.shape[0]):
                if not live[u, b]:
                    continue
                weights_of(p[u], lo, n, c2, c3, c4)
                some = p[u, lo : lo + n]
                for k in range(0, K, 4):
                    together = min(4, K - k)
                    for j in range(together):
                        _summands(
                            residual, features, zeta[u, b], tau[u], ranks[b], k + j, lo, n, a[j]
                        )
                    powers_of_four(a, n, some, c2, c3, c4, found)
                    for j in range(together):
                        for c in range(4):
                            out[u, k + j, c] += found[j, c]
