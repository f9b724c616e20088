"""The weights of heteroscedasticity-robust standard errors, compiled."""

from __future__ import annotations

import numpy as np

from programde.compiled import njit

#: A leverage above 1 - LEAST counts as 1.
LEAST = 1e-9


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "reassoc"})
def hc3_weights(x, leverage, inverse_d, cubic, fourth):  # pragma: no cover - compiled
    """Turn residual indicators into HC3 weights, for a block of G units and c cells.

    `x` (G, c) holds x~ and becomes w = x~^2 / (1 - h)^2 with h = leverage (c,) + x~^2 inverse_d
    (G,); `cubic` (G, c) becomes w x~; sum_i w x~^2 is added to `fourth` (G,). A cell that leaves
    less than `LEAST` of itself unexplained gives NaN.
    """
    for g in range(x.shape[0]):
        row, third, scale = x[g], cubic[g], inverse_d[g]
        total = 0.0
        for i in range(leverage.size):
            value = row[i]
            square = value * value
            left = 1.0 - leverage[i] - square * scale
            weight = square / (left * left) if left > LEAST else np.nan
            row[i] = weight
            third[i] = weight * value
            total += weight * square
        fourth[g] += total


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "reassoc"})
def hc3_weights_by_unit(x, leverage, inverse_d, cubic, fourth):  # pragma: no cover - compiled
    """`hc3_weights` where the covariates' leverages (G, c) differ from unit to unit.

    A cell with x~ = 0, or of leverage 1 under the covariates alone, has no weight.
    """
    for g in range(x.shape[0]):
        row, base, third, scale = x[g], leverage[g], cubic[g], inverse_d[g]
        total = 0.0
        for i in range(row.size):
            value = 0.0 if base[i] > 1.0 - LEAST else row[i]
            square = value * value
            left = 1.0 - base[i] - square * scale
            weight = 0.0
            if value != 0.0:
                weight = square / (left * left) if left > LEAST else np.nan
            row[i] = weight
            third[i] = weight * value
            total += weight * square
        fourth[g] += total


@njit(nogil=True, cache=True, error_model="numpy")
def squares(values, out):  # pragma: no cover - compiled
    """out = values ** 2, both (c, K); `values` may be memory-mapped."""
    for i in range(values.shape[0]):
        for k in range(values.shape[1]):
            out[i, k] = values[i, k] * values[i, k]
