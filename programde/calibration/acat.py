"""One p-value per unit from its p-values over programs, without draws: the Cauchy combination.

ACAT (Liu and Xie 2020, J. Am. Stat. Assoc. 115:393): with weights w_k that sum to 1,

    X = sum over k of w_k cot(pi p_k),      p = arccot(X) / pi

Each cot(pi p_k) is standard Cauchy for a uniform p_k, and so is X for independent ones; under any
of a wide class of dependences the tail of X is still Cauchy, so small p hold without knowing the
dependence. Near p = 0.05 strong dependence makes it mildly conservative or liberal; the max
statistic from draws (`programde.crt.max_statistic`) has no such limit.

Written with cotangents nothing is subtracted from 1 or from 1/2, so 1e-300 in gives the right
answer out. p_k = 1 has cot = -infinity and would silence every other program; counted p-values
and two-sided ones capped at 1 reach it. As Liu and Xie advise it is taken as 1 - 1/K.
"""

from __future__ import annotations

import numpy as np

from programde.errors import InputError

_SMALLEST_P = np.finfo(np.float64).tiny


def acat(p: np.ndarray, axis: int = 1, weights: np.ndarray | None = None) -> np.ndarray:
    """Cauchy combination of p-values along an axis.

    Parameters
    ----------
    p : (G, K), or any shape that has `axis`
        P-values in [0, 1]. NaN are left out; their weight goes to the others. 0 is taken as
        2.2e-308.
    axis
        Axis over which to combine.
    weights
        Non-negative, broadcastable to `p`; equal where not given.

    Returns
    -------
    np.ndarray
        Shape of `p` without `axis`; NaN where no p-value is known or no weight is positive.

    Raises
    ------
    InputError
        If a p-value lies outside [0, 1] or a weight is negative or not finite.
    """
    p = np.asarray(p, dtype=np.float64)
    known = ~np.isnan(p)
    outside = int(np.count_nonzero(known & ~((p >= 0) & (p <= 1))))
    if outside:
        raise InputError(f"{outside} p-values lie outside [0, 1]; give p-values or NaN")
    weight = np.broadcast_to(1.0 if weights is None else np.asarray(weights, np.float64), p.shape)
    bad = int(np.count_nonzero(~((weight >= 0) & np.isfinite(weight))))
    if bad:
        raise InputError(f"{bad} weights are negative or not finite; give weights >= 0")
    weight = np.where(known, weight, 0.0)
    n_known = np.maximum(known.sum(axis=axis, keepdims=True), 2)
    # for a single p-value of 1 this gives 1/2 and not 1 as K = 1 would; repaired at the end
    inner = np.where(p >= 1.0, 1.0 - 1.0 / n_known, np.maximum(p, _SMALLEST_P))
    with np.errstate(invalid="ignore", divide="ignore"):
        share = weight / weight.sum(axis=axis, keepdims=True)
        cotangent = 1.0 / np.tan(np.pi * np.where(known, inner, 0.5))
        combined = np.arctan2(1.0, (share * cotangent).sum(axis=axis)) / np.pi
    all_one = np.where(known & (weight > 0), p, 1.0).min(axis=axis) >= 1.0
    combined = np.where(all_one & ~np.isnan(combined), 1.0, combined)
    return np.maximum(combined, _SMALLEST_P)
