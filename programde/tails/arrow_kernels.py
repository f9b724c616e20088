"""Compiled solution of linear systems whose matrix has the shape of an arrow.

    H = [[diag(H_1 .. H_B), F'], [F, G]]

with a block for the columns that each stratum has to itself and a border for those that all share.
With H_b = L_b L_b' and V_b = L_b^-1 F_b', what is left of G is G - sum V_b'V_b = L_g L_g' (Golub
and Van Loan, Matrix Computations, 4th ed., section 4.5). A column that depends on those before it
says nothing new and is skipped.
"""

from __future__ import annotations

import math

import numpy as np

from programde.compiled import njit


@njit(nogil=True, cache=True, error_model="numpy")
def factor(A, L, m, skip, decide):
    """Cholesky factor L of the leading (m, m) of A (lower); returns the log determinant, or NaN.

    A column that depends on those before it is skipped (its row of L is that of the identity):
    `decide` marks it in skip (m,); otherwise skip says which, and another is a failure.
    """
    log_det = 0.0
    for j in range(m):
        d = A[j, j]
        for k in range(j):
            d -= L[j, k] * L[j, k]
        good = d > 1e-10 * A[j, j] and A[j, j] > 1e-200
        if decide:
            skip[j] = not good
        elif not skip[j] and not (d > 1e-13 * A[j, j] and A[j, j] > 1e-250):
            return np.nan
        if skip[j]:
            for k in range(j):
                L[j, k] = 0.0
            L[j, j] = 1.0
            for i in range(j + 1, m):
                L[i, j] = 0.0
            continue
        L[j, j] = math.sqrt(d)
        log_det += math.log(d)
        for i in range(j + 1, m):
            h = A[i, j]
            for k in range(j):
                h -= L[i, k] * L[j, k]
            L[i, j] = h / L[j, j]
    return log_det


@njit(nogil=True, cache=True, error_model="numpy")
def _forward(L, x, m):
    for i in range(m):
        h = x[i]
        for k in range(i):
            h -= L[i, k] * x[k]
        x[i] = h / L[i, i]


@njit(nogil=True, cache=True, error_model="numpy")
def _backward(L, x, m):
    for i in range(m - 1, -1, -1):
        h = x[i]
        for k in range(i + 1, m):
            h -= L[k, i] * x[k]
        x[i] = h / L[i, i]


@njit(nogil=True, cache=True, error_model="numpy")
def solve_arrow(n_local, live, Ll, V, skip_l, Lg, skip_g, n_global, xl, xg):
    """Solve H (ya, yb) = (xl, xg) in place; returns the squared length of the whitened vector.

    Ll (B, k, k) factors of the local blocks, V (B, k, n_global) = Ll^-1 H_lg, Lg of what is left.
    """
    square = 0.0
    for b in range(n_local.size):
        if not live[b]:
            continue
        k = n_local[b]
        for j in range(k):
            if skip_l[b, j]:
                xl[b, j] = 0.0
        _forward(Ll[b], xl[b], k)
        for j in range(k):
            if skip_l[b, j]:
                continue
            square += xl[b, j] * xl[b, j]
            for i in range(n_global):
                xg[i] -= V[b, j, i] * xl[b, j]
    for i in range(n_global):
        if skip_g[i]:
            xg[i] = 0.0
    _forward(Lg, xg, n_global)
    for i in range(n_global):
        square += xg[i] * xg[i]
    _backward(Lg, xg, n_global)
    for b in range(n_local.size):
        if not live[b]:
            continue
        k = n_local[b]
        for j in range(k):
            if skip_l[b, j]:
                continue
            for i in range(n_global):
                xl[b, j] -= V[b, j, i] * xg[i]
        _backward(Ll[b], xl[b], k)
        for j in range(k):
            if skip_l[b, j]:
                xl[b, j] = 0.0
    return square
