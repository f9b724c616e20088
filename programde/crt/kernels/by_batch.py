"""Sums over control cells whose covariates are told batch by batch, compiled.

Within a batch b many covariates are constant or repeat each other (indicators of batches, slopes
by batch), so that the rows of C have few dimensions there: C_b = U_b'T_b with U_b (r_b, n_b) of
orthonormal rows and T_b (r_b, p). Whatever is a sum over cells of products of covariates is then
one over r_b features per cell, brought together by T_b: gradient and Hessian of a logistic
regression, leverages, quadratic forms.

`features` (r, n) holds the U_b side by side, cells batch after batch, `first` (B + 1,) where each
begins, `ranks` (B,) the r_b, `live` (B,) which take part.
"""

from __future__ import annotations

import numpy as np

from programde.compiled import njit
from programde.crt.kernels.logistic import (
    CHUNK,
    FAST,
    cholesky,
    cholesky_solve,
    linear_predictor,
    sigmoid_chunk,
)

#: A leverage above 1 - LEAST counts as 1.
LEAST = 1e-9


@njit(nogil=True, cache=True, error_model="numpy", fastmath=FAST, forceinline=True)
def _weighted(features, lo, n, r, w, scratch, out):  # pragma: no cover - compiled
    """out (r, r), lower, += sum over cells lo .. lo + n of w u u'."""
    for j in range(r):
        column = features[j, lo : lo + n]
        for k in range(n):
            scratch[k] = column[k] * w[k]
        i = 0
        while i + 1 <= j:
            c0 = features[i, lo : lo + n]
            c1 = features[i + 1, lo : lo + n]
            t0 = t1 = 0.0
            for k in range(n):
                t0 += scratch[k] * c0[k]
                t1 += scratch[k] * c1[k]
            out[j, i] += t0
            out[j, i + 1] += t1
            i += 2
        if i == j:
            total = 0.0
            for k in range(n):
                total += scratch[k] * column[k]
            out[j, j] += total


@njit(nogil=True, cache=True, error_model="numpy", fastmath=FAST, forceinline=True)
def _predict(features, a, r, lo, n, eta):  # pragma: no cover - compiled
    for k in range(n):
        eta[k] = 0.0
    for j in range(r):
        t = a[j]
        column = features[j, lo : lo + n]
        for k in range(n):
            eta[k] += t * column[k]


@njit(nogil=True, cache=True, error_model="numpy", fastmath=FAST, forceinline=True)
def _dots(features, r, lo, n, p, out):  # pragma: no cover - compiled
    for j in range(r):
        column = features[j, lo : lo + n]
        total = 0.0
        for k in range(n):
            total += column[k] * p[k]
        out[j] += total


@njit(nogil=True, cache=True, error_model="numpy", fastmath=FAST, forceinline=True)
def _gather(T, b, r, G, S, want_hessian, gradient, hessian, scratch):  # pragma: no cover - compiled
    """gradient += T_b'G, hessian (lower) += T_b'S T_b; S (r, r) lower."""
    q = gradient.size
    for m in range(r):
        for j in range(q):
            gradient[j] += T[b, m, j] * G[m]
    if not want_hessian:
        return
    for m in range(r):
        for j in range(q):
            scratch[j] = 0.0
        for l in range(r):
            s = S[m, l] if l <= m else S[l, m]
            for j in range(q):
                scratch[j] += s * T[b, l, j]
        for j in range(q):
            t = T[b, m, j]
            if t != 0.0:
                for i in range(j + 1):
                    hessian[j, i] += t * scratch[i]


@njit(nogil=True, cache=True, error_model="numpy", fastmath=FAST, forceinline=True)
def _pass(
    features, first, ranks, live, T, tail, theta, want_hessian, eta, scratch, gradient, hessian
):  # pragma: no cover - compiled
    """Add C'p and C'WC over the cells of live batches and those of `tail` (q, n1)."""
    q = theta.size
    r_most = features.shape[0]
    G = np.empty(r_most)
    S = np.empty((r_most, r_most))
    a = np.empty(r_most)
    row = np.empty(q)
    for b in range(ranks.size):
        if not live[b]:
            continue
        r = ranks[b]
        for m in range(r):
            total = 0.0
            for j in range(q):
                total += T[b, m, j] * theta[j]
            a[m] = total
            G[m] = 0.0
            for l in range(r):
                S[m, l] = 0.0
        for lo in range(first[b], first[b + 1], CHUNK):
            n = min(CHUNK, first[b + 1] - lo)
            _predict(features, a, r, lo, n, eta)
            sigmoid_chunk(eta, scratch, n)
            _dots(features, r, lo, n, eta, G)
            if want_hessian:
                for k in range(n):
                    eta[k] *= 1.0 - eta[k]
                _weighted(features, lo, n, r, eta, scratch, S)
        _gather(T, b, r, G, S, want_hessian, gradient, hessian, row)
    for lo in range(0, tail.shape[1], CHUNK):
        n = min(CHUNK, tail.shape[1] - lo)
        linear_predictor(tail, theta, lo, n, eta)
        sigmoid_chunk(eta, scratch, n)
        _dots(tail, q, lo, n, eta, gradient)
        if want_hessian:
            for k in range(n):
                eta[k] *= 1.0 - eta[k]
            _weighted(tail, lo, n, q, eta, scratch, hessian)


@njit(nogil=True, cache=True, error_model="numpy")
def fit_by_batch(
    features, first, ranks, live, T, tail, gram, score, start, penalty, reach, tolerance, max_steps,
    theta,
):  # fmt: skip  # pragma: no cover - compiled
    """`logistic.fit_block` for one unit whose cells are those of live batches and of `tail`.

    T (B, r, q) the batches' coefficients of the q columns, tail (q, n1) the columns of further
    cells; the rest as there. Returns the steps, negative where the tolerance was not reached.
    """
    q = theta.size
    eta = np.empty(CHUNK)
    scratch = np.empty(CHUNK)
    gradient = np.empty(q)
    trial_gradient = np.empty(q)
    hessian = np.empty((q, q))
    factor = np.zeros((q, q))
    step = np.empty(q)
    trial = np.empty(q)
    theta[:] = 0.0
    theta[0] = start
    share = 1.0 / (1.0 + np.exp(-start))
    for j in range(q):
        gradient[j] = penalty[j] * theta[j] - score[j] + share * gram[q, j]
        for i in range(j + 1):
            hessian[j, i] = share * (1.0 - share) * gram[j, i]
        hessian[j, j] += penalty[j]
    if not cholesky(hessian, factor):
        return -max_steps
    for it in range(1, max_steps + 1):
        cholesky_solve(factor, gradient, step)
        slope = 0.0
        change = 0.0
        for j in range(q):
            slope += step[j] * gradient[j]
            change += abs(step[j]) * reach[j]
        size = 1.0
        if change > 30.0:
            size = 30.0 / change
        again = change > 0.05
        for _ in range(40):
            for j in range(q):
                trial[j] = theta[j] - size * step[j]
            if change * size <= tolerance:
                break
            for j in range(q):
                trial_gradient[j] = penalty[j] * trial[j] - score[j]
            if again:
                hessian[:] = 0.0
                for j in range(q):
                    hessian[j, j] = penalty[j]
            _pass(
                features, first, ranks, live, T, tail, trial, again, eta, scratch, trial_gradient,
                hessian,
            )  # fmt: skip
            new_slope = 0.0
            for j in range(q):
                new_slope += step[j] * trial_gradient[j]
            if abs(new_slope) <= abs(slope) or change * size < 1e-6:
                break
            size *= 0.5
        theta[:] = trial
        if change * size <= tolerance:
            return it
        gradient[:] = trial_gradient
        if again and not cholesky(hessian, factor):
            break
    return -max_steps


@njit(nogil=True, cache=True, error_model="numpy", fastmath=FAST)
def probabilities_by_batch(
    features, first, ranks, live, T, tail, theta, low, high, p
):  # pragma: no cover - compiled
    """p (n + n1,) = sigmoid(C theta), clipped to [low, high]; 0 in batches that are left out."""
    eta = np.empty(CHUNK)
    scratch = np.empty(CHUNK)
    a = np.empty(features.shape[0])
    for b in range(ranks.size):
        if not live[b]:
            for i in range(first[b], first[b + 1]):
                p[i] = 0.0
            continue
        r = ranks[b]
        for m in range(r):
            total = 0.0
            for j in range(theta.size):
                total += T[b, m, j] * theta[j]
            a[m] = total
        for lo in range(first[b], first[b + 1], CHUNK):
            n = min(CHUNK, first[b + 1] - lo)
            _predict(features, a, r, lo, n, eta)
            sigmoid_chunk(eta, scratch, n)
            for k in range(n):
                p[lo + k] = min(max(eta[k], low), high)
    end = first[first.size - 1]
    for lo in range(0, tail.shape[1], CHUNK):
        n = min(CHUNK, tail.shape[1] - lo)
        linear_predictor(tail, theta, lo, n, eta)
        sigmoid_chunk(eta, scratch, n)
        for k in range(n):
            p[end + lo + k] = min(max(eta[k], low), high)


@njit(nogil=True, cache=True, error_model="numpy", fastmath=FAST)
def weighted_products(features, first, ranks, live, p, sums, products):  # pragma: no cover
    """sums (B, r) = U_b p and products (B, r, r) = U_b W U_b', w = p (1 - p); 0 where not live."""
    w = np.empty(CHUNK)
    scratch = np.empty(CHUNK)
    sums[:] = 0.0
    products[:] = 0.0
    for b in range(ranks.size):
        if not live[b]:
            continue
        r = ranks[b]
        for lo in range(first[b], first[b + 1], CHUNK):
            n = min(CHUNK, first[b + 1] - lo)
            _dots(features, r, lo, n, p[lo : lo + n], sums[b])
            for k in range(n):
                w[k] = p[lo + k] * (1.0 - p[lo + k])
            _weighted(features, lo, n, r, w, scratch, products[b])
        for j in range(r):
            for i in range(j):
                products[b, i, j] = products[b, j, i]


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "reassoc"})
def hc3_features(
    features, lo, n, r, A, g, inverse_d, own, own_first, w_out, wu_out, products
):  # pragma: no cover - compiled
    """HC3 weights of control cells lo .. lo + n for G units, and their products with features.

    x~ = -g'u and leverage u'A u + x~^2 / d, A (G, r, r), g (G, r), inverse_d (G,): w_out (G, n) =
    (x~ / (1 - leverage))^2, wu_out (G, r, n) = w u, products (G, r, r) += w u u' (lower). A cell of
    leverage 1 under the covariates alone has w = 0; one of leverage 1 by its treatment NaN.
    Treated cells among them, own[own_first[g] : own_first[g + 1]] of unit g, have w = 0.
    """
    x = np.empty(n)
    h = np.empty(n)
    t = np.empty(n)
    for u in range(g.shape[0]):
        for k in range(n):
            x[k] = 0.0
            h[k] = 0.0
        for j in range(r):
            column = features[j, lo : lo + n]
            gj = g[u, j]
            half = 0.5 * A[u, j, j]
            for k in range(n):
                x[k] -= gj * column[k]
                t[k] = half * column[k]
            for i in range(j):
                other = features[i, lo : lo + n]
                v = A[u, j, i]
                for k in range(n):
                    t[k] += v * other[k]
            for k in range(n):
                h[k] += 2.0 * t[k] * column[k]
        scale = inverse_d[u]
        row = w_out[u]
        for k in range(n):
            square = x[k] * x[k]
            left = 1.0 - h[k] - square * scale
            weight = square / (left * left) if left > LEAST else np.nan
            row[k] = weight if h[k] <= 1.0 - LEAST else 0.0
        for at in range(own_first[u], own_first[u + 1]):
            if lo <= own[at] < lo + n:
                row[own[at] - lo] = 0.0
        for j in range(r):
            column = features[j, lo : lo + n]
            out = wu_out[u, j]
            for k in range(n):
                out[k] = row[k] * column[k]
            for i in range(j + 1):
                other = features[i, lo : lo + n]
                total = 0.0
                for k in range(n):
                    total += out[k] * other[k]
                products[u, j, i] += total
