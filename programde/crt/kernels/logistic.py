"""Ridge-penalised logistic regression of many units on one covariate matrix, compiled.

Minimises  sum_i log(1 + exp(eta_i)) - x_i eta_i + (ridge / 2) ||theta||^2,  eta = C theta, the
penalty sparing the intercept, by Newton's method. The step is halved while the directional
derivative grows in size (the objective is convex, so that alone marks overshooting), and the
Hessian is kept once steps are small. Cells are taken in chunks that stay in the L1 cache, and each
unit's arithmetic is the same whatever block it comes in, so that results cannot depend on blocks.
"""

from __future__ import annotations

import numpy as np

from programde.compiled import njit
from programde.tails.conditional_kernels import products
from programde.tails.tile_products import ROWS, blocks, n_sums, squares

CHUNK = 512
LOG2E = 1.4426950408889634
LN2_HIGH = 6.93145751953125e-1
LN2_LOW = 1.42860682030941723212e-6
#: Added to a double to round it to an integer held in the low mantissa bits.
ROUNDER = 6755399441055744.0
ROUNDER_BITS = np.int64(0x4338000000000000)
S52 = np.int64(52)
FAST = {"contract", "reassoc", "arcp", "nsz"}


@njit(nogil=True, cache=True, error_model="numpy", fastmath=FAST, forceinline=True)
def sigmoid_chunk(eta, scratch, n):  # pragma: no cover - compiled
    """Replace eta[:n] by 1 / (1 + exp(-eta)); relative error below 1e-15 for |eta| < 40."""
    for k in range(n):
        eta[k] = min(max(-eta[k], -40.0), 40.0)
    rounded = scratch.view(np.int64)
    for k in range(n):
        scratch[k] = eta[k] * LOG2E + ROUNDER
    for k in range(n):
        # the magic sum must not be simplified away, so the integer is read from its bits
        power = rounded[k] - ROUNDER_BITS
        whole = np.float64(power)
        r = (eta[k] - whole * LN2_HIGH) - whole * LN2_LOW
        e = 1.0 / 39916800.0 + r * (1.0 / 479001600.0 + r * (1.0 / 6227020800.0))
        e = 1.0 / 362880.0 + r * (1.0 / 3628800.0 + r * e)
        e = 1.0 / 5040.0 + r * (1.0 / 40320.0 + r * e)
        e = 1.0 / 120.0 + r * (1.0 / 720.0 + r * e)
        e = 1.0 / 6.0 + r * (1.0 / 24.0 + r * e)
        eta[k] = 1.0 + r * (1.0 + r * (0.5 + r * e))
        rounded[k] = (power + np.int64(1023)) << S52
    for k in range(n):
        eta[k] = 1.0 / (1.0 + eta[k] * scratch[k])


@njit(nogil=True, cache=True, error_model="numpy", fastmath=FAST, forceinline=True)
def linear_predictor(columns, theta, first, n, eta):  # pragma: no cover - compiled
    """eta[:n] = C[first : first + n] @ theta, with `columns` = C' (p, N)."""
    for k in range(n):
        eta[k] = 0.0
    whole = theta.size - theta.size % 4
    for j in range(0, whole, 4):  # four columns a visit
        t0, t1, t2, t3 = theta[j], theta[j + 1], theta[j + 2], theta[j + 3]
        c0 = columns[j, first : first + n]
        c1 = columns[j + 1, first : first + n]
        c2 = columns[j + 2, first : first + n]
        c3 = columns[j + 3, first : first + n]
        for k in range(n):
            eta[k] += (t0 * c0[k] + t1 * c1[k]) + (t2 * c2[k] + t3 * c3[k])
    for j in range(whole, theta.size):
        t = theta[j]
        column = columns[j, first : first + n]
        for k in range(n):
            eta[k] += t * column[k]


@njit(nogil=True, cache=True, error_model="numpy", fastmath=FAST, forceinline=True)
def gradient_and_hessian(
    columns, theta, score, penalty, want_hessian, eta, scratch, gradient, hessian
):  # pragma: no cover - compiled
    """Fill `gradient` (p,) and, if asked, the lower triangle of `hessian` (p, p)."""
    p, n_cells = columns.shape
    rows, none = np.arange(p), columns[0]
    weights = np.empty(CHUNK)
    scaled, sums = np.zeros((ROWS * blocks(p), CHUNK)), np.zeros(n_sums(p))
    for j in range(p):
        gradient[j] = penalty[j] * theta[j] - score[j]
    if want_hessian:
        hessian[:] = 0.0
        for j in range(p):
            hessian[j, j] = penalty[j]
    for first in range(0, n_cells, CHUNK):
        n = min(CHUNK, n_cells - first)
        linear_predictor(columns, theta, first, n, eta)
        sigmoid_chunk(eta, scratch, n)
        if want_hessian:
            for k in range(n):
                weights[k] = eta[k] * (1.0 - eta[k])
            products(
                columns, rows, none, False, first, eta[:n], weights[:n], gradient, scaled,
                scratch, sums,
            )  # fmt: skip
            continue
        for j in range(p):
            column = columns[j, first : first + n]
            total = 0.0
            for k in range(n):
                total += column[k] * eta[k]
            gradient[j] += total
    if want_hessian:
        squares(sums, p, hessian)


@njit(nogil=True, cache=True, error_model="numpy")
def cholesky(a, out):  # pragma: no cover - compiled
    """Lower Cholesky factor of the lower triangle of `a`; False where it is not positive."""
    p = a.shape[0]
    for j in range(p):
        d = a[j, j]
        for k in range(j):
            d -= out[j, k] * out[j, k]
        if not d > 1e-14 * a[j, j]:
            return False
        out[j, j] = np.sqrt(d)
        for i in range(j + 1, p):
            t = a[i, j]
            for k in range(j):
                t -= out[i, k] * out[j, k]
            out[i, j] = t / out[j, j]
    return True


@njit(nogil=True, cache=True, error_model="numpy")
def cholesky_solve(factor, b, x):  # pragma: no cover - compiled
    """Solve L L' x = b."""
    p = b.size
    for i in range(p):
        t = b[i]
        for k in range(i):
            t -= factor[i, k] * x[k]
        x[i] = t / factor[i, i]
    for i in range(p - 1, -1, -1):
        t = x[i]
        for k in range(i + 1, p):
            t -= factor[k, i] * x[k]
        x[i] = t / factor[i, i]


@njit(nogil=True, cache=True, error_model="numpy")
def fit_block(
    columns,
    gram,
    scores,
    start,
    warm,
    information,
    penalty,
    reach,
    tolerance,
    max_steps,
    theta,
    steps,
):  # pragma: no cover - compiled
    """Fit a block of units.

    `columns` (p, N) = C'; `gram` (p + 1, p) = C'C and below it the columns' sums; `scores` (G, p)
    = x'C; `start` (G,) first value of theta[0], the first column being the intercept, else zeros,
    where `warm` (G,) does not say that theta holds a first guess, and `information` (G, p, p) about
    C'WC there; `reach` (p,) = max |C_j|, so that
    sum_j |step_j| reach_j bounds the change of any linear predictor; `theta` (G, p) is filled;
    `steps` (G,) gets the number of Newton steps, negative where `tolerance` was not reached in
    `max_steps`.
    """
    p = columns.shape[0]
    eta = np.empty(CHUNK)
    scratch = np.empty(CHUNK)
    gradient = np.empty(p)
    trial_gradient = np.empty(p)
    hessian = np.empty((p, p))
    factor = np.zeros((p, p))
    step = np.empty(p)
    trial = np.empty(p)
    for g in range(scores.shape[0]):
        current = theta[g]
        score = scores[g]
        if warm[g]:
            gradient_and_hessian(
                columns, current, score, penalty, False, eta, scratch, gradient, hessian
            )
            for j in range(p):
                for i in range(j + 1):
                    hessian[j, i] = information[g, j, i]
                hessian[j, j] += penalty[j]
        else:
            current[:] = 0.0
            current[0] = start[g]
            # at the start all cells have one probability, so no pass over the cells is needed
            share = 1.0 / (1.0 + np.exp(-start[g]))
            for j in range(p):
                gradient[j] = penalty[j] * current[j] - score[j] + share * gram[p, j]
                for i in range(j + 1):
                    hessian[j, i] = share * (1.0 - share) * gram[j, i]
                hessian[j, j] += penalty[j]
        steps[g] = -max_steps
        if not cholesky(hessian, factor):
            continue
        for it in range(1, max_steps + 1):
            cholesky_solve(factor, gradient, step)
            slope = 0.0
            change = 0.0
            for j in range(p):
                slope += step[j] * gradient[j]
                change += abs(step[j]) * reach[j]
            size = 1.0
            if change > 30.0:
                size = 30.0 / change
            # near the solution the last Hessian serves; farther away each step needs its own
            again = change > 0.05
            for _ in range(40):
                for j in range(p):
                    trial[j] = current[j] - size * step[j]
                if change * size <= tolerance:
                    break
                gradient_and_hessian(
                    columns, trial, score, penalty, again, eta, scratch, trial_gradient, hessian
                )
                new_slope = 0.0
                for j in range(p):
                    new_slope += step[j] * trial_gradient[j]
                if abs(new_slope) <= abs(slope) or change * size < 1e-6:
                    break
                size *= 0.5
            current[:] = trial
            if change * size <= tolerance:
                steps[g] = it
                break
            gradient[:] = trial_gradient
            if again and not cholesky(hessian, factor):
                break


@njit(nogil=True, cache=True, error_model="numpy")
def probabilities(columns, theta, low, high, out):  # pragma: no cover - compiled
    """out (N,) = sigmoid(C theta), clipped to [low, high]."""
    eta = np.empty(CHUNK)
    scratch = np.empty(CHUNK)
    n_cells = columns.shape[1]
    for first in range(0, n_cells, CHUNK):
        n = min(CHUNK, n_cells - first)
        linear_predictor(columns, theta, first, n, eta)
        sigmoid_chunk(eta, scratch, n)
        for k in range(n):
            out[first + k] = min(max(eta[k], low), high)
