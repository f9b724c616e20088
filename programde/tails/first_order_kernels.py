"""Compiled sums of the first-order form, for all programs of several units in one reading.

With w = p (1 - p), H = C'WC, h = c'H^-1 c the leverages: C'W s, the cumulants of sum x s under
independent x ~ Bernoulli(p), and sum w (1 - 2p) h (s, c), from which follow Gamma = H^-1 C'W s, the
variance of sum x A, A = s - C Gamma, and its mean given C'x to second order,

    E[A'x | C'x] ~ A'p - 1/2 sum w (1 - 2p) h A.

The columns and the factors of H are those of `covariate_strata` and `conditional_kernels`.
"""

from __future__ import annotations

import numpy as np

from programde.compiled import njit

from .arrow_kernels import solve_arrow
from .bernoulli_kernels import FAST

_TILE = 512


@njit(nogil=True, cache=True, error_model="numpy")
def own_rows(k, k_max, n_global):
    """Rows of the columns that a stratum of k local ones has."""
    rows = np.empty(k + n_global, dtype=np.int64)
    for j in range(k):
        rows[j] = j
    for j in range(n_global):
        rows[k + j] = k_max + j
    return rows


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _inverse_factor(L, V, Lg, skip_l, skip_g, k, n_global, T):
    """Fill T (m, m), lower, with the inverse of the factor [[L, 0], [V', Lg]]; skipped rows 0."""
    m = k + n_global
    for c in range(m):
        for i in range(m):
            if i < c:
                T[i, c] = 0.0
                continue
            h = 1.0 if i == c else 0.0
            for l in range(c, i):
                if i < k:
                    h -= L[i, l] * T[l, c]
                elif l < k:
                    h -= V[l, i - k] * T[l, c]
                else:
                    h -= Lg[i - k, l - k] * T[l, c]
            T[i, c] = h / (L[i, i] if i < k else Lg[i - k, i - k])
            if (i < k and skip_l[i]) or (i >= k and skip_g[i - k]):
                T[i, c] = 0.0


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _weights(X, rows, lo, p, T, c, h, y):
    """Fill c (m + 5, tile) float32 for cells lo .. lo + p.size: w times each column, w (1 - 2p) h
    of leverages h = ||T c||^2, then p, w, w (1 - 2p), w (1 - 6w). X, T, h and y are float32."""
    m = rows.size
    n = p.size
    zero = np.float32(0.0)
    for i in range(n):
        h[i] = zero
    for r in range(m):
        for i in range(n):
            y[i] = zero
        for j in range(0, r - r % 2 + 1, 2):
            # the row's own entry is the last; T is zero beyond it
            t0 = T[r, j]
            t1 = T[r, j + 1]
            c0 = X[rows[j], lo : lo + n]
            c1 = X[rows[min(j + 1, m - 1)], lo : lo + n]
            for i in range(n):
                y[i] += t0 * c0[i] + t1 * c1[i]
        for i in range(n):
            h[i] += y[i] * y[i]
    for i in range(n):
        q = p[i] * (1.0 - p[i])
        y[i] = np.float32(q)
        c[m, i] = np.float32(q * (1.0 - 2.0 * p[i]) * h[i])
        c[m + 1, i] = np.float32(p[i])
        c[m + 2, i] = np.float32(q)
        c[m + 3, i] = np.float32(q * (1.0 - 2.0 * p[i]))
        c[m + 4, i] = np.float32(q * (1.0 - 6.0 * q))
    for j in range(m):
        c0 = X[rows[j], lo : lo + n]
        o = c[j]
        for i in range(n):
            o[i] = y[i] * c0[i]


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _dot_products(S, lo, n, c, m, out):
    """Add to out (K, m + 5) the sums over cells of s c (the first m + 2 columns), then of s^2 c,
    s^3 c, s^4 c of the others: float32 within a tile, K a multiple of 4, m + 2 made even."""
    zero = np.float32(0.0)
    columns = m + 2
    for k in range(0, S.shape[0], 4):
        r0 = S[k, lo : lo + n]
        r1 = S[k + 1, lo : lo + n]
        r2 = S[k + 2, lo : lo + n]
        r3 = S[k + 3, lo : lo + n]
        for j in range(0, columns - 1, 2):
            c0 = c[j]
            c1 = c[j + 1]
            a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = zero
            for i in range(n):
                x = c0[i]
                y = c1[i]
                a0 += r0[i] * x
                b0 += r0[i] * y
                a1 += r1[i] * x
                b1 += r1[i] * y
                a2 += r2[i] * x
                b2 += r2[i] * y
                a3 += r3[i] * x
                b3 += r3[i] * y
            out[k, j] += a0
            out[k + 1, j] += a1
            out[k + 2, j] += a2
            out[k + 3, j] += a3
            out[k, j + 1] += b0
            out[k + 1, j + 1] += b1
            out[k + 2, j + 1] += b2
            out[k + 3, j + 1] += b3
        if columns % 2:
            c0 = c[columns - 1]
            a0 = a1 = a2 = a3 = zero
            for i in range(n):
                x = c0[i]
                a0 += r0[i] * x
                a1 += r1[i] * x
                a2 += r2[i] * x
                a3 += r3[i] * x
            out[k, columns - 1] += a0
            out[k + 1, columns - 1] += a1
            out[k + 2, columns - 1] += a2
            out[k + 3, columns - 1] += a3
        c2 = c[m + 2]
        c3 = c[m + 3]
        c4 = c[m + 4]
        for pair in range(2):
            ra = r0 if pair == 0 else r2
            rb = r1 if pair == 0 else r3
            a2 = a3 = a4 = b2 = b3 = b4 = zero
            for i in range(n):
                x = ra[i]
                y = x * x
                a2 += c2[i] * y
                a3 += c3[i] * (y * x)
                a4 += c4[i] * (y * y)
                x = rb[i]
                y = x * x
                b2 += c2[i] * y
                b3 += c3[i] * (y * x)
                b4 += c4[i] * (y * y)
            out[k + 2 * pair, m + 2] += a2
            out[k + 2 * pair, m + 3] += a3
            out[k + 2 * pair, m + 4] += a4
            out[k + 2 * pair + 1, m + 2] += b2
            out[k + 2 * pair + 1, m + 3] += b3
            out[k + 2 * pair + 1, m + 4] += b4


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def first_order_sums(
    S, X, n_local, first, live, p, Ll, V, skip_l, Lg, skip_g, local, shared, bend, lost_l, lost_g,
    cumulants,
):  # fmt: skip
    """What the first-order tests of U units need, in one reading of the summands.

    S (K, n) and X float32, S of about unit scale, K a multiple of 4, cells in the strata's order;
    of each unit u: live (U, B), p (U, n), and the factors. Fills local (U, K, B, k) and shared
    (U, K, g) with C'W S, bend (U, K) with sum w (1 - 2p) h s, lost_l (U, B, k) and lost_g (U, g)
    with the same sums for the columns of C, and cumulants (U, K, 4) of sum x s. Good to 1e-6 of a
    standard deviation; no unit's numbers depend on which others are there.
    """
    U = p.shape[0]
    K = S.shape[0]
    n_global = shared.shape[2]
    k_max = local.shape[3]
    h = np.empty(_TILE, dtype=np.float32)
    y = np.empty(_TILE, dtype=np.float32)
    c = np.empty((k_max + n_global + 5, _TILE), dtype=np.float32)
    cumulants[:] = 0.0
    shared[:] = 0.0
    bend[:] = 0.0
    lost_g[:] = 0.0
    for g in range(n_local.size):
        k = n_local[g]
        m = k + n_global
        rows = own_rows(k, k_max, n_global)
        T = np.zeros((U, m, m + 1), dtype=np.float32)
        inverse = np.zeros((m, m + 1))
        for u in range(U):
            if live[u, g]:
                _inverse_factor(
                    Ll[u, g], V[u, g], Lg[u], skip_l[u, g], skip_g[u], k, n_global, inverse
                )  # fmt: skip
                T[u] = inverse
        out = np.zeros((U, K, m + 5))
        lost = np.zeros((U, m))
        for lo in range(first[g], first[g + 1], _TILE):
            n = min(_TILE, first[g + 1] - lo)
            for u in range(U):
                if not live[u, g]:
                    continue
                _weights(X, rows, lo, p[u, lo : lo + n], T[u], c, h, y)
                _dot_products(S, lo, n, c, m, out[u])
                for j in range(m):
                    c0 = X[rows[j], lo : lo + n]
                    total = np.float32(0.0)
                    for i in range(n):
                        total += c[m, i] * c0[i]
                    lost[u, j] += total
        for u in range(U):
            for j in range(k_max):
                lost_l[u, g, j] = lost[u, j] if j < k else 0.0
            for j in range(n_global):
                lost_g[u, j] += lost[u, k + j]
            for i in range(K):
                for j in range(k_max):
                    local[u, i, g, j] = out[u, i, j] if j < k else 0.0
                for j in range(n_global):
                    shared[u, i, j] += out[u, i, k + j]
                bend[u, i] += out[u, i, m]
                for j in range(4):
                    cumulants[u, i, j] += out[u, i, m + 1 + j]


@njit(nogil=True, cache=True, error_model="numpy")
def project(n_local, live, Ll, V, skip_l, Lg, skip_g, Cs_l, Cs_g, Gamma_l, Gamma_g, square):
    """Gamma = H^-1 C'Ws and its length Gamma'H Gamma for all programs.

    Cs_l (K, B, k), Cs_g (K, g); Gamma alike; square (K,).
    """
    n_global = Cs_g.shape[1]
    for k in range(Cs_g.shape[0]):
        Gamma_l[k] = Cs_l[k]
        Gamma_g[k] = Cs_g[k]
        square[k] = solve_arrow(
            n_local, live, Ll, V, skip_l, Lg, skip_g, n_global, Gamma_l[k], Gamma_g[k]
        )


@njit(nogil=True, cache=True, error_model="numpy")
def sums_of_treated(St, treated, centre, factor, out):
    """out (K,) = sum over treated cells of (s - centre) factor, St (K, n) by program."""
    for k in range(St.shape[0]):
        row = St[k]
        total = 0.0
        for i in treated:
            total += row[i] - centre[k]
        out[k] = total * factor[k]


@njit(nogil=True, cache=True, error_model="numpy")
def standardise(St, order, centre, factor, reach, out):
    """Mean, inverse standard deviation (0 of constants) and largest absolute standardised value of
    each row of St (K, n); the rows standardised and in `order` as float32, where `out` has rows."""
    K, n = St.shape
    for k in range(K):
        row = St[k]
        total = big = 0.0
        for i in range(n):
            total += row[i]
            big = max(big, abs(row[i]))
        mean = total / n
        square = far = 0.0
        for i in range(n):
            d = row[i] - mean
            square += d * d
            far = max(far, abs(d))
        sd = np.sqrt(square / n)
        centre[k] = mean
        factor[k] = 1.0 / sd if sd > 1e-13 * big else 0.0
        reach[k] = far * factor[k]
        if out.shape[0] > 0:
            for i in range(n):
                out[k, i] = np.float32((row[order[i]] - mean) * factor[k])
