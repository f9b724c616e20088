"""Compiled sums and fits for the conditional law: logistic models with block-arrow Hessians.

Cells lie stratum after stratum. A model has coefficients a_b of the columns that are zero outside
stratum b (*local*: its intercept, its slopes), b of the columns that all strata share (*global*)
and, last, lambda of the outcome s. With a base p0 (n,), the tilt d_i = c_i'(a, b) + lambda s_i and

    t_i = p0 e^d / (1 - p0 + p0 e^d),
    f(a, b, lambda) = sum_i log(1 - p0 + p0 e^d) - (a, b)'C'x - lambda S'x   (convex),

one pass over the cells gives f, its gradient and its Hessian. No two strata share a local column,
so the local blocks are eliminated stratum by stratum (`arrow_kernels`), and what is left to solve
has the size of the global columns.

A cell with p0 = 0 takes no part: so cells are left out whose treatment is fixed by C'x.

Columns in float32 are summed in float32 within a tile of cells and in float64 across tiles, at half
the cost of float64. That leaves log determinants good to about 1e-7 over the least part of a
column that is independent of those before it, which is told (`LEAST`): where it is small, take
columns in float64.
"""

from __future__ import annotations

import numpy as np

from programde.compiled import njit

from .arrow_kernels import factor, solve_arrow
from .bernoulli_kernels import FAST, exponential, growth_single, logarithm
from .tile_products import ROWS, add_squares, blocks, n_sums, squares, steps

_TILE = 512
_ONE = np.float32(1.0)
#: No step moves a linear predictor by more than this.
_FARTHEST = 12.0
#: Results of a fit: f at the root, log det of the Hessian at the last pass, Newton decrement there,
#: passes (negative: no root was reached), the last coefficient's move since that pass, and the
#: least share of a column's length that is independent of the columns before it.
F, LOG_DET, DECREMENT, PASSES, MOVED, LEAST = range(6)
N_FOUND = 6


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy", forceinline=True)
def products(X, rows, s, use_s, lo, t, q, G, Z, root, sums):
    """Add to G the sums of t c over cells lo .. lo + q.size, c the rows of X and, with use_s, s;
    and those of q c c' to sums, as `tile_products.squares` takes them. Scratch: Z (4 b, tile), with
    zeros beyond the rows, and root (tile,)."""
    m = rows.size
    n = q.size
    whole = steps(n)
    zero = X.dtype.type(0.0)
    for k in range(n):
        root[k] = np.sqrt(q[k])
    for j in range(m + 1 if use_s else m):
        c = X[rows[j], lo : lo + n] if j < m else s[lo : lo + n]
        z = Z[j]
        g = zero
        for k in range(n):
            z[k] = root[k] * c[k]
            g += t[k] * c[k]
        G[j] += g
        for k in range(n, whole):
            z[k] = zero
    add_squares(Z, whole, sums)


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy", forceinline=True)
def _predictor(X, rows, s, lo, coefficients, t):
    """Fill t with the tilts d of cells lo .. lo + t.size; coefficients (m + 1,): rows', and s's."""
    m = rows.size
    n = t.size
    hi = lo + n
    last = coefficients[m]
    if last != 0.0:
        ss = s[lo:hi]
        for k in range(n):
            t[k] = last * ss[k]
    else:
        t[:] = 0.0
    for j in range(0, m - 3, 4):
        b0 = coefficients[j]
        b1 = coefficients[j + 1]
        b2 = coefficients[j + 2]
        b3 = coefficients[j + 3]
        c0 = X[rows[j], lo:hi]
        c1 = X[rows[j + 1], lo:hi]
        c2 = X[rows[j + 2], lo:hi]
        c3 = X[rows[j + 3], lo:hi]
        for k in range(n):
            t[k] += (b0 * c0[k] + b1 * c1[k]) + (b2 * c2[k] + b3 * c3[k])
    for j in range(m - m % 4, m):
        b0 = coefficients[j]
        c0 = X[rows[j], lo:hi]
        for k in range(n):
            t[k] += b0 * c0[k]


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy", forceinline=True)
def _tilted(p0, lo, t, q, u):
    """Replace the tilts t of cells lo .. lo + t.size by probabilities, and fill q = t (1 - t);
    returns the sum of log(1 - p0 + p0 e^d). u: scratch."""
    n = t.size
    total = 0.0
    for k in range(n):
        p = p0[lo + k]
        e = p * exponential(t[k])
        rest = 1.0 - p
        u[k] = rest + e
        inverse = 1.0 / u[k]
        t[k] = e * inverse
        q[k] = t[k] * rest * inverse
    # one logarithm for the product of four: they are far from the ends of their range
    part = n // 4
    for k in range(part):
        total += logarithm((u[k] * u[k + part]) * (u[k + 2 * part] * u[k + 3 * part]))
    for k in range(4 * part, n):
        total += logarithm(u[k])
    return total


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy", forceinline=True)
def _tilted_single(p0, lo, t, q, u):
    """`_tilted` in float32 but for the logarithms."""
    n = t.size
    total = 0.0
    for k in range(n):
        p = p0[lo + k]
        grown = growth_single(t[k])
        u[k] = p * grown
        inverse = _ONE / (_ONE + u[k])
        t[k] = (p + u[k]) * inverse
        q[k] = t[k] * ((_ONE - p) * inverse)
    part = n // 4
    for k in range(part):
        a = (1.0 + u[k]) * (1.0 + u[k + part])
        total += logarithm(a * ((1.0 + u[k + 2 * part]) * (1.0 + u[k + 3 * part])))
    for k in range(4 * part, n):
        total += logarithm(1.0 + u[k])
    return total


@njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
def one_pass(
    X, rows, n_local, first, live, s, use_s, p0, a, b, store, Gl, Gg, Ll, V, skip_l, Hg, whole,
    decide,
):  # fmt: skip
    """f without its linear part, its gradient (Gl (B, k), Gg (g + 1,)) and the parts of its
    Hessian: Ll, V, and what the elimination of the local columns leaves, Hg (g + 1, g + 1), of a
    diagonal that was `whole` (g + 1,) before.

    X (k + g, n) and p0 (n,) both float64 or both float32; rows (k + g,) places in X; store (n,)
    receives t where it has that size. Returns (sum of logarithms, log det of the local blocks; NaN
    where one is singular, `LEAST` of the local columns).
    """
    n_global = b.size - 1
    k_max = a.shape[1]
    extra = 1 if use_s else 0
    total = 0.0
    log_det = 0.0
    least = 1.0
    Gg[:] = 0.0
    Hg[:] = 0.0
    whole[:] = 0.0
    keep = store.size > 0
    t = np.empty(_TILE, dtype=X.dtype)
    q = np.empty(_TILE, dtype=X.dtype)
    u = np.empty(_TILE, dtype=X.dtype)
    Z = np.empty((ROWS * blocks(k_max + n_global + extra), _TILE), dtype=X.dtype)
    for g in range(n_local.size):
        if not live[g]:
            continue
        k = n_local[g]
        m = k + n_global
        own = np.empty(m, dtype=np.int64)
        coefficients = np.empty(m + 1, dtype=X.dtype)
        for j in range(k):
            own[j] = j
            coefficients[j] = a[g, j]
        for j in range(n_global):
            own[k + j] = k_max + j
            coefficients[k + j] = b[j]
        coefficients[m] = b[n_global] if use_s else 0.0
        G = np.zeros(m + 1)
        H = np.zeros((m + 1, m + 1))
        own_z = Z[: ROWS * blocks(m + extra)]
        own_z[m + extra :] = 0.0
        sums = np.zeros(n_sums(m + extra))
        for lo in range(first[g], first[g + 1], _TILE):
            n = min(_TILE, first[g + 1] - lo)
            _predictor(X, own, s, lo, coefficients, t[:n])
            if X.itemsize == 4:
                total += _tilted_single(p0, lo, t[:n], q[:n], u)
            else:
                total += _tilted(p0, lo, t[:n], q[:n], u)
            products(X, own, s, use_s, lo, t[:n], q[:n], G, own_z, u, sums)
            if keep:
                store[lo : lo + n] = t[:n]
        squares(sums, m + extra, H)
        d = factor(H, Ll[g], k, skip_l[g], decide)
        if not np.isfinite(d):
            return total, np.nan, 0.0
        log_det += d
        for j in range(k):
            Gl[g, j] = G[j]
            # what float32 finds dependent may not be
            share = 0.0 if skip_l[g, j] else Ll[g, j, j] * Ll[g, j, j] / H[j, j]
            least = min(least, share)
        for i in range(n_global + extra):
            Gg[i] += G[k + i]
            whole[i] += H[k + i, k + i]
            for j in range(k):
                h = 0.0
                if not skip_l[g, j]:
                    h = H[k + i, j]
                    for l in range(j):
                        h -= Ll[g, j, l] * V[g, l, i]
                    h /= Ll[g, j, j]
                V[g, j, i] = h
            for j in range(i + 1):
                h = H[k + i, k + j]
                for l in range(k):
                    h -= V[g, l, i] * V[g, l, j]
                Hg[i, j] += h
    return total, log_det, least


@njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
def fit(
    X, rows, n_local, first, live, s, use_s, p0, target_l, target_g, reach_l, reach_g,
    tolerance, max_passes, a, b, store, rest_l, rest_g, Ll, V, skip_l, Lg, skip_g, out,
):  # fmt: skip
    """Minimise f from (a, b) by Newton's method with a bounded step and backtracking.

    target_l (B, k), target_g (g + 1,): C'x and, last, S'x. reach: the largest |c| of each column.
    Ends where the decrement g'H^-1 g is below the tolerance, f being moved to the root to second
    order and (a, b) by the last step; the factors are those before that step, and so are t in
    store (n,), where it has that size, and what is left of the targets, rest_l and rest_g.
    out (N_FOUND,) as F, LOG_DET, DECREMENT, PASSES, MOVED, LEAST.
    """
    n_global = b.size - 1
    m = n_global + (1 if use_s else 0)
    Gl = np.zeros(a.shape)
    Gg = np.zeros(n_global + 1)
    Hg = np.zeros((n_global + 1, n_global + 1))
    whole = np.zeros(n_global + 1)
    step_l = np.zeros(a.shape)
    step_g = np.zeros(n_global + 1)
    trial_a = a.copy()
    trial_b = b.copy()
    passes = 0
    f = np.inf
    size = 1.0
    decrement = 0.0
    skip = np.zeros(n_global + 1, dtype=np.bool_)
    while True:
        decide = not use_s
        value, log_det, least = one_pass(
            X, rows, n_local, first, live, s, use_s, p0, trial_a, trial_b, store,
            Gl, Gg, Ll, V, skip_l, Hg, whole, decide,
        )  # fmt: skip
        passes += 1
        for g in range(n_local.size):
            if live[g]:
                for j in range(n_local[g]):
                    value -= trial_a[g, j] * target_l[g, j]
        for j in range(m):
            value -= trial_b[j] * target_g[j]
        if (
            passes == 1
            or value <= f - 1e-4 * size * decrement
            or size * decrement < 1e-9 * (1.0 + abs(value))
        ):
            a[:] = trial_a
            b[:m] = trial_b[:m]
            f = value
            for j in range(n_global):
                skip[j] = skip_g[j]
            skip[n_global] = False
            if np.isfinite(log_det):
                log_det += factor(Hg, Lg, m, skip, decide)
            if not (np.isfinite(log_det) and np.isfinite(f)):
                out[PASSES] = -passes
                return
            for j in range(n_global):
                skip_g[j] = skip[j]
            change = 0.0
            largest = 0.0
            for g in range(n_local.size):
                if live[g]:
                    for j in range(n_local[g]):
                        step_l[g, j] = Gl[g, j] - target_l[g, j]
                        rest_l[g, j] = -step_l[g, j]
            for j in range(m):
                step_g[j] = Gg[j] - target_g[j]
                rest_g[j] = -step_g[j]
                share = 0.0 if skip[j] else Lg[j, j] * Lg[j, j] / whole[j]
                least = min(least, share)
            out[LEAST] = least
            decrement = solve_arrow(
                n_local, live, Ll, V, skip_l, Lg, skip, m, step_l, step_g
            )  # fmt: skip
            for g in range(n_local.size):
                if live[g]:
                    own = 0.0
                    for j in range(n_local[g]):
                        own += abs(step_l[g, j]) * reach_l[g, j]
                    largest = max(largest, own)
            for j in range(m):
                change += abs(step_g[j]) * reach_g[j]
            change += largest
            if decrement < tolerance:
                for g in range(n_local.size):
                    for j in range(n_local[g]):
                        a[g, j] -= step_l[g, j]
                for j in range(m):
                    b[j] -= step_g[j]
                out[F] = f - 0.5 * decrement
                out[LOG_DET] = log_det
                out[DECREMENT] = decrement
                out[PASSES] = passes
                out[MOVED] = -step_g[m - 1] if use_s else 0.0
                return
            size = 1.0 if change < _FARTHEST else _FARTHEST / change
        else:
            size *= 0.4
        if passes >= max_passes or not decrement >= 0.0:
            out[PASSES] = -passes
            out[DECREMENT] = decrement
            return
        for g in range(n_local.size):
            for j in range(n_local[g]):
                trial_a[g, j] = a[g, j] - size * step_l[g, j]
        for j in range(m):
            trial_b[j] = b[j] - size * step_g[j]
