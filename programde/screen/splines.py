"""Natural cubic splines of one covariate, as columns beyond its straight line.

A natural cubic spline is cubic between its knots, straight beyond the outer two, and has two
continuous derivatives. With knots k_1 < ... < k_m its space is spanned by 1, x and

    d_j(x) - d_(m-1)(x),   d_j(x) = [(x - k_j)_+^3 - (x - k_m)_+^3] / (k_m - k_j),   j < m - 1.

Source: T. Hastie, R. Tibshirani and J. Friedman, "The Elements of Statistical Learning", 2nd ed.,
section 5.2.1, equations 5.4 and 5.5.
"""

from __future__ import annotations

import numpy as np

from programde.screen.columns import beyond, z_score

#: The outer knots, as quantiles: what few cells lie beyond is followed straight, so that no cell
#: weighs more than it would in a straight line.
OUTER = 0.002
#: With fewer knots a spline is a straight line.
LEAST_KNOTS = 3


def quantile_knots(x: np.ndarray, df: int) -> np.ndarray:
    """At most df + 1 knots: the outer ones near the ends of x, the others at its quantiles.

    Where values tie (a covariate that is 0 in most cells), the quantiles are those of the distinct
    values.
    """
    levels = np.linspace(0, 1, df + 1)
    levels[0], levels[-1] = OUTER, 1 - OUTER
    knots = np.unique(np.quantile(x, levels))
    if len(knots) <= df:
        knots = np.unique(np.quantile(np.unique(x), levels))
    return knots


def natural_spline(x: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """The columns d_j - d_(m-1) of the basis, (N, m - 2) float64, x scaled to the outer knots."""
    low, width = knots[0], knots[-1] - knots[0]
    t, k = (x - low) / width, (knots - low) / width

    m = len(k)
    last = _cubes(t - k[-1])
    d = [(_cubes(t - k[j]) - last) / (k[-1] - k[j]) for j in range(m - 1)]
    columns = [d[j] - d[m - 2] for j in range(m - 2)]
    return np.column_stack(columns) if columns else np.empty((len(x), 0))


def _cubes(t: np.ndarray) -> np.ndarray:
    """(t)_+^3."""
    positive = np.maximum(t, 0)
    return np.asarray(positive * positive * positive)


def curved_columns(x: np.ndarray, df: int) -> np.ndarray:
    """What a natural spline of `df` degrees of freedom adds to 1 and x.

    Parameters
    ----------
    x : (N,) float64
        Finite, not constant.
    df
        Columns of the spline beyond the intercept, the straight one among them; fewer where x has
        fewer distinct values.

    Returns
    -------
    (N, r) float64, r <= df - 1
        Uncorrelated with x and each other, mean 0, mean square 1.
    """
    z = z_score(x)
    knots = quantile_knots(z, df)
    if len(knots) < LEAST_KNOTS:
        return np.empty((len(x), 0))
    straight = np.column_stack([np.ones(len(z)), z])
    return beyond(straight, natural_spline(z, knots))[0]
