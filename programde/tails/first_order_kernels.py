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
from .tile_products import BLOCK, ROWS, STEP, TOGETHER, add_block, add_lengths, blocks, steps

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


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy", forceinline=True)
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


@njit(nogil=True, cache=True, error_model="numpy")
def _leverages(X, rows, lo, n, T, h):
    """Fill h (n,) with ||T c||^2 of cells lo .. lo + n, T (8 b, 8 b) lower, zeros beyond m rows."""
    m = rows.size
    flat, width = X.reshape(X.size), X.shape[1]
    factors, stride = T.reshape(T.size), T.shape[1]
    h[:n] = np.float32(0.0)
    whole = n - n % TOGETHER
    for i in range(0, whole, TOGETHER):
        for r in range(0, m, 8):
            count = min(r + 8, m)
            add_lengths(factors, r * stride, stride, count, flat, rows, width, lo + i, h, i)
    for i in range(whole, n):
        for r in range(m):
            y = np.float32(0.0)
            for j in range(r + 1):
                y += T[r, j] * X[rows[j], lo + i]
            h[i] += y * y


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy", forceinline=True)
def _weights(X, rows, lo, p, h, c, powers):
    """Fill c (4 b, tile) for cells lo .. lo + p.size: w times each column, w (1 - 2p) h, p, and
    zeros to a multiple of `STEP`; powers (3, tile): w, w (1 - 2p), w (1 - 6w). float32 but p."""
    m = rows.size
    n = p.size
    zero = np.float32(0.0)
    for i in range(n):
        q = p[i] * (1.0 - p[i])
        c[m, i] = np.float32(q * (1.0 - 2.0 * p[i]) * h[i])
        c[m + 1, i] = np.float32(p[i])
        powers[0, i] = np.float32(q)
        powers[1, i] = np.float32(q * (1.0 - 2.0 * p[i]))
        powers[2, i] = np.float32(q * (1.0 - 6.0 * q))
    y = powers[0]
    for j in range(m):
        c0 = X[rows[j], lo : lo + n]
        o = c[j]
        for i in range(n):
            o[i] = y[i] * c0[i]
    for j in range(m + 2):
        for i in range(n, steps(n)):
            c[j, i] = zero


@njit(nogil=True, cache=True, error_model="numpy")
def _dot_products(S, lo, n, c, sums, rest):
    """Add to sums (K / 4, b, `BLOCK`) those over cells lo .. lo + n of s c, c (4 b, tile); rest
    (4, `STEP`) scratch."""
    flat, width = S.reshape(S.size), S.shape[1]
    columns, tile = c.reshape(c.size), c.shape[1]
    own, short = sums.reshape(sums.size), rest.reshape(rest.size)
    whole = n - n % STEP
    at = 0
    for k in range(0, S.shape[0], ROWS):
        if whole < n:
            # reading on would leave the row, and at the last one the array
            for r in range(ROWS):
                for i in range(n - whole):
                    rest[r, i] = S[k + r, lo + whole + i]
        for j in range(0, c.shape[0], ROWS):
            if whole > 0:
                add_block(flat, k * width + lo, width, columns, j * tile, tile, whole, own, at)
            if whole < n:
                add_block(short, 0, STEP, columns, j * tile + whole, tile, STEP, own, at)
            at += BLOCK


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy", forceinline=True)
def _power_sums(S, lo, n, powers, out):
    """Add to out (K, 3) the sums over cells of s^2, s^3 and s^4 times the rows of powers: float32
    within a tile, K even."""
    zero = np.float32(0.0)
    c2 = powers[0]
    c3 = powers[1]
    c4 = powers[2]
    for k in range(0, S.shape[0], 2):
        ra = S[k, lo : lo + n]
        rb = S[k + 1, lo : lo + n]
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
        out[k, 0] += a2
        out[k, 1] += a3
        out[k, 2] += a4
        out[k + 1, 0] += b2
        out[k + 1, 1] += b3
        out[k + 1, 2] += b4


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
    every_c = np.empty((ROWS * blocks(k_max + n_global + 2), _TILE), dtype=np.float32)
    powers = np.empty((3, _TILE), dtype=np.float32)
    rest = np.zeros((ROWS, STEP), dtype=np.float32)
    cumulants[:] = 0.0
    shared[:] = 0.0
    bend[:] = 0.0
    lost_g[:] = 0.0
    for g in range(n_local.size):
        k = n_local[g]
        m = k + n_global
        rows = own_rows(k, k_max, n_global)
        T = np.zeros((U, (m + 7) // 8 * 8, (m + 7) // 8 * 8), dtype=np.float32)
        inverse = np.zeros((m, m))
        for u in range(U):
            if live[u, g]:
                _inverse_factor(
                    Ll[u, g], V[u, g], Lg[u], skip_l[u, g], skip_g[u], k, n_global, inverse
                )  # fmt: skip
                T[u, :m, :m] = inverse
        b = blocks(m + 2)
        c = every_c[: ROWS * b]
        c[m + 2 :] = np.float32(0.0)
        sums = np.zeros((U, K // ROWS, b, BLOCK))
        lost = np.zeros((U, m))
        higher = np.zeros((U, K, 3))
        for lo in range(first[g], first[g + 1], _TILE):
            n = min(_TILE, first[g + 1] - lo)
            for u in range(U):
                if not live[u, g]:
                    continue
                _leverages(X, rows, lo, n, T[u], h)
                _weights(X, rows, lo, p[u, lo : lo + n], h, c, powers)
                _dot_products(S, lo, n, c, sums[u], rest)
                _power_sums(S, lo, n, powers, higher[u])
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
                own = sums[u, i // ROWS, :, ROWS * (i % ROWS) : ROWS * (i % ROWS + 1)]
                for j in range(k_max):
                    local[u, i, g, j] = own[j // ROWS, j % ROWS] if j < k else 0.0
                for j in range(k, m):
                    shared[u, i, j - k] += own[j // ROWS, j % ROWS]
                bend[u, i] += own[m // ROWS, m % ROWS]
                cumulants[u, i, 0] += own[(m + 1) // ROWS, (m + 1) % ROWS]
                for j in range(3):
                    cumulants[u, i, 1 + j] += higher[u, i, j]


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def weighted_sums(S, X, n_local, first, p, local, shared):
    """C'W S of one unit, w = p (1 - p): local (K, B, k), shared (K, g); all else as in
    `first_order_sums`, all strata live, p (n,) in the strata's order."""
    n_global = shared.shape[1]
    k_max = local.shape[2]
    every_c = np.empty((ROWS * blocks(k_max + n_global), _TILE), dtype=np.float32)
    rest = np.zeros((ROWS, STEP), dtype=np.float32)
    w = np.empty(_TILE, dtype=np.float32)
    shared[:] = 0.0
    for g in range(n_local.size):
        k = n_local[g]
        rows = own_rows(k, k_max, n_global)
        b = blocks(rows.size)
        c = every_c[: ROWS * b]
        c[rows.size :] = np.float32(0.0)
        sums = np.zeros((S.shape[0] // ROWS, b, BLOCK))
        for lo in range(first[g], first[g + 1], _TILE):
            n = min(_TILE, first[g + 1] - lo)
            for i in range(n):
                w[i] = np.float32(p[lo + i] * (1.0 - p[lo + i]))
            for j in range(rows.size):
                c0 = X[rows[j], lo : lo + n]
                o = c[j]
                for i in range(n):
                    o[i] = w[i] * c0[i]
                for i in range(n, steps(n)):
                    o[i] = np.float32(0.0)
            _dot_products(S, lo, n, c, sums, rest)
        for i in range(S.shape[0]):
            own = sums[i // ROWS, :, ROWS * (i % ROWS) : ROWS * (i % ROWS + 1)]
            for j in range(k_max):
                local[i, g, j] = own[j // ROWS, j % ROWS] if j < k else 0.0
            for j in range(n_global):
                shared[i, j] += own[(k + j) // ROWS, (k + j) % ROWS]


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
