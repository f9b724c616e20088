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

_TILE = 256


@njit(nogil=True, cache=True, error_model="numpy", fastmath=FAST)
def _summands(
    residual, features, zeta, tau, r, k, last, lo, n, a0, a1, a2, a3
):  # pragma: no cover - compiled
    """a0 .. a3 (n,) = summands of programs k .. k + 3, the last one again where they end."""
    k1, k2, k3 = min(k + 1, last), min(k + 2, last), min(k + 3, last)
    r0 = residual[k, lo : lo + n]
    r1 = residual[k1, lo : lo + n]
    r2 = residual[k2, lo : lo + n]
    r3 = residual[k3, lo : lo + n]
    t0, t1, t2, t3 = tau[k], tau[k1], tau[k2], tau[k3]
    for i in range(n):
        a0[i] = r0[i] - t0
        a1[i] = r1[i] - t1
        a2[i] = r2[i] - t2
        a3[i] = r3[i] - t3
    m = 0
    while m + 1 < r:
        u = features[m, lo : lo + n]
        w = features[m + 1, lo : lo + n]
        y0, y1, y2, y3 = zeta[m, k], zeta[m, k1], zeta[m, k2], zeta[m, k3]
        z0, z1, z2, z3 = zeta[m + 1, k], zeta[m + 1, k1], zeta[m + 1, k2], zeta[m + 1, k3]
        for i in range(n):
            x = u[i]
            y = w[i]
            a0[i] -= y0 * x + z0 * y
            a1[i] -= y1 * x + z1 * y
            a2[i] -= y2 * x + z2 * y
            a3[i] -= y3 * x + z3 * y
        m += 2
    if m < r:
        u = features[m, lo : lo + n]
        y0, y1, y2, y3 = zeta[m, k], zeta[m, k1], zeta[m, k2], zeta[m, k3]
        for i in range(n):
            x = u[i]
            a0[i] -= y0 * x
            a1[i] -= y1 * x
            a2[i] -= y2 * x
            a3[i] -= y3 * x


@njit(nogil=True, cache=True, error_model="numpy", fastmath=FAST)
def powers_of_two(a, b, p, c2, c3, c4, out_a, out_b):  # pragma: no cover - compiled
    """Add to out_a and out_b (4,) the sums of p a, c2 a^2, c3 a^3, c4 a^4, and those of b."""
    s1 = s2 = s3 = s4 = 0.0
    t1 = t2 = t3 = t4 = 0.0
    for i in range(a.size):
        q, w2, w3, w4 = p[i], c2[i], c3[i], c4[i]
        x = a[i]
        y = x * x
        s1 += q * x
        s2 += w2 * y
        s3 += w3 * (y * x)
        s4 += w4 * (y * y)
        x = b[i]
        y = x * x
        t1 += q * x
        t2 += w2 * y
        t3 += w3 * (y * x)
        t4 += w4 * (y * y)
    out_a[0] += s1
    out_a[1] += s2
    out_a[2] += s3
    out_a[3] += s4
    out_b[0] += t1
    out_b[1] += t2
    out_b[2] += t3
    out_b[3] += t4


@njit(nogil=True, cache=True, error_model="numpy", fastmath=FAST)
def pooled_cumulants(
    residual, features, first, ranks, live, zeta, tau, p, out
):  # pragma: no cover - compiled
    """Add to out (U, K, 4) the first four cumulants of sum_i x_i a_ik over live control cells.

    residual (K, n), features (r, n), first (B + 1,), ranks (B,), live (U, B), zeta (U, B, r, K),
    tau (U, K), p (U, n or more) inside (0, 1).
    """
    K = residual.shape[0]
    a0 = np.empty(_TILE)
    a1 = np.empty(_TILE)
    a2 = np.empty(_TILE)
    a3 = np.empty(_TILE)
    c2 = np.empty(_TILE)
    c3 = np.empty(_TILE)
    c4 = np.empty(_TILE)
    spare = np.zeros(4)
    for b in range(ranks.size):
        for lo in range(first[b], first[b + 1], _TILE):
            n = min(_TILE, first[b + 1] - lo)
            for u in range(p.shape[0]):
                if not live[u, b]:
                    continue
                pu = p[u, lo : lo + n]
                for i in range(n):
                    q = pu[i] * (1.0 - pu[i])
                    c2[i] = q
                    c3[i] = q * (1.0 - 2.0 * pu[i])
                    c4[i] = q * (1.0 - 6.0 * q)
                w2, w3, w4 = c2[:n], c3[:n], c4[:n]
                for k in range(0, K, 4):
                    _summands(
                        residual, features, zeta[u, b], tau[u], ranks[b], k, K - 1, lo, n,
                        a0, a1, a2, a3,
                    )  # fmt: skip
                    o1 = out[u, k + 1] if k + 1 < K else spare
                    o2 = out[u, k + 2] if k + 2 < K else spare
                    o3 = out[u, k + 3] if k + 3 < K else spare
                    powers_of_two(a0[:n], a1[:n], pu, w2, w3, w4, out[u, k], o1)
                    powers_of_two(a2[:n], a3[:n], pu, w2, w3, w4, o2, o3)
