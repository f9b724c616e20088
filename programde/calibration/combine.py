"""Combining one test's results over batches.

Fisher: X = -2 sum_b log p_b is chi-squared with 2B degrees of freedom if the p_b are independent
and uniform (R. A. Fisher, Statistical Methods for Research Workers, 1932). On two-sided p-values
it is blind to direction: effects of +3 and -3 standard errors combine to 9e-5. Empirical p-values
take the values f, 2f, ..., 1 only, which makes -log p too small on average (with f = 1/51 and
eight batches, 2.2 % of true nulls come out below 0.05). Lancaster's mean value puts that right:
-log p is replaced by its mean over (p - f, p] (H. O. Lancaster, Biometrika 1949, 36:370).

Stouffer, signed and weighted: Z = sum_b w_b z_b / sqrt(sum_b w_b^2) with z_b the signed normal
score of p_b (Stouffer et al., The American Soldier, 1949; weights: Lipták 1958). With w_b the
square root of the information in batch b (1 / standard error), Z is the test of the
information-weighted mean effect, and effects of opposite sign cancel: the combination to use.
"""

from __future__ import annotations

import numpy as np
from scipy import special


def fisher(p: np.ndarray, axis: int = 0, step: np.ndarray | None = None) -> np.ndarray:
    """Fisher's combination; use `stouffer` unless direction is of no interest.

    Parameters
    ----------
    p : array
        P-values of independent tests; NaN where a batch takes no part.
    axis
        The axis of the batches.
    step : array that broadcasts to `p`, optional
        Spacing of the values that each p-value can take (its floor), for Lancaster's mean value.

    Returns
    -------
    array
        Combined p-values; NaN where no batch takes part. With one batch, its p-value.

    Notes
    -----
    Two-sided p-values carry no direction: an effect of +3 in one batch and -3 in another count as
    evidence for each other.
    """
    p = np.asarray(p, dtype=np.float64)
    used = np.isfinite(p)
    value = np.where(used, p, 1.0)
    if step is None:
        score = -np.log(value)
    else:
        width = np.where(used, np.broadcast_to(step, p.shape), 1.0)
        below = np.maximum(value - width, 0.0)
        score = 1.0 - (special.xlogy(value, value) - special.xlogy(below, below)) / width
    count = used.sum(axis=axis)
    statistic = 2.0 * np.where(used, score, 0.0).sum(axis=axis)
    combined = special.chdtrc(2 * np.maximum(count, 1), statistic)
    alone = np.where(used, p, 0.0).sum(axis=axis)
    combined = np.where(count == 1, alone, combined)
    return np.where(count > 0, combined, np.nan)


def stouffer(
    p: np.ndarray, sign: np.ndarray, weight: np.ndarray | None = None, axis: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Signed, weighted Stouffer combination of two-sided p-values.

    Parameters
    ----------
    p : array
        Two-sided p-values of independent tests; NaN where a batch takes no part.
    sign : array, same shape
        Sign of each effect (or the effect itself).
    weight : array, same shape, optional
        Weights >= 0, best the square root of the information (1 / standard error); default equal.
    axis
        The axis of the batches.

    Returns
    -------
    p : array
        Combined two-sided p-values; NaN where no batch has weight.
    z : array
        Combined signed normal scores.
    """
    p = np.asarray(p, dtype=np.float64)
    weight = np.ones_like(p) if weight is None else np.broadcast_to(weight, p.shape)
    used = np.isfinite(p) & (weight > 0) & np.isfinite(weight)
    z = -np.sign(sign) * special.ndtri(np.where(used, p, 1.0) / 2)
    w = np.where(used, weight, 0.0)
    length = np.sqrt((w**2).sum(axis=axis))
    with np.errstate(invalid="ignore", divide="ignore"):
        combined = np.where(
            length > 0, (w * np.where(used, z, 0.0)).sum(axis=axis) / length, np.nan
        )
    return 2 * special.ndtr(-np.abs(combined)), combined
