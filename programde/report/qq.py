"""Arrays behind a QQ plot of p-values: expected quantiles, bands, envelopes.

A QQ plot shows the i-th smallest of m p-values against its expected quantile, both as -log10.
The plotting position is (i - 1/2) / m (Hazen): on the logarithmic axis it lies next to the mean of
the i-th smallest uniform value (for i = 1, exp(E log p) is 0.561 / m, against 0.5 / m here and
1 / (m + 1) for the other common choice).

The i-th smallest of m independent uniform values is Beta(i, m - i + 1) distributed; its 2.5 % and
97.5 % quantiles make the pointwise 95 % band. The band belongs to *m independent* p-values, so it
must be drawn with the m of the curve that it judges. P-values of the programs of one unit are
dependent (the cells are the same and centred log-ratios sum to zero): with m = units x programs the
honest band is wider, in the extreme that of m = units. Where curves are to be judged strictly, use
the envelope: `bootstrap_qq_envelope` given a table resamples whole units.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import special

from programde.report.checked_tables import as_labels, as_p_table, as_p_vector
from programde.report.metrics import bootstrap_weights

from ..errors import InputError, OptionError

SMALLEST = float(np.finfo(np.float64).tiny)


def neg_log10(p_values: ArrayLike) -> np.ndarray:
    """-log10 of p-values, those below 2.2e-308 taken as 2.2e-308; NaN stays NaN."""
    return -np.log10(np.maximum(np.asarray(p_values, dtype=np.float64), SMALLEST)) + 0.0


def expected_quantiles(m: int) -> np.ndarray:
    """Expected quantiles (i - 1/2) / m of m sorted uniform p-values, i = 1..m.

    Raises
    ------
    OptionError
        `m` is negative.
    """
    if m < 0:
        raise OptionError(f"m={m}: the number of p-values cannot be negative")
    return (np.arange(1, int(m) + 1) - 0.5) / max(1, int(m))


def qq_expected_grid(m: int, n_points: int = 200) -> np.ndarray:
    """A grid of probabilities from 1 - 1/(2m) down to 1/(2m), even on the -log10 axis.

    Curves of different m are brought onto one grid to be averaged or to draw a band.

    Returns
    -------
    np.ndarray, shape (min(n_points, m),)
        Falling probabilities, so -log10 of them rises.
    """
    if m < 1 or n_points < 1:
        raise OptionError(f"m={m} and n_points={n_points} must be at least 1")
    if m == 1 or n_points == 1:
        return np.array([0.5 / m])
    ends = -np.log10(1.0 - 0.5 / m), -np.log10(0.5 / m)
    return 10.0 ** -np.linspace(*ends, min(int(n_points), int(m)))


def qq_coords(p_values: object, max_points: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Points of a QQ curve.

    Parameters
    ----------
    p_values
        Any array or table; NaN is left out and does not count towards m.
    max_points
        Thin to about this many points. The smallest quarter of them is kept whole, the others are
        spread evenly along the expected axis, so that no extreme is lost.

    Returns
    -------
    expected, observed : (n,) each
        -log10, from the smallest p-value to the largest. Empty where no p-value is left.

    Raises
    ------
    InputError
        A p-value outside 0 to 1.
    """
    p = np.sort(as_p_vector(p_values, "QQ curve"))
    expected, observed = -np.log10(expected_quantiles(p.size)), neg_log10(p)
    keep = thin(p.size, max_points)
    return expected[keep], observed[keep]


def thin(m: int, max_points: int | None) -> np.ndarray:
    """Indices 0..m-1 (0 = smallest p-value) that a thinned QQ curve keeps, ascending."""
    if max_points is None or m <= max_points:
        return np.arange(m)
    if max_points < 4:
        raise OptionError(f"max_points={max_points} must be at least 4")
    whole = max_points // 4
    target = -np.log10(qq_expected_grid(m, max_points - whole))
    rank = np.rint(m * 10.0**-target - 0.5).astype(np.intp)
    return np.unique(np.concatenate([np.arange(whole), np.clip(rank, 0, m - 1), [m - 1]]))


def beta_band(
    m: int, level: float = 0.95, n_points: int = 200
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pointwise band of m independent uniform p-values, see the module's head.

    What dependence does: for the tests of K programs on each of J units the p-values of one unit
    move together, so that a calibrated curve leaves this band more often than 1 - `level`. The
    band of m = J is an upper bound of what dependence can do.

    Returns
    -------
    expected, low, high : (n,) each
        -log10; `low` <= `high`.
    """
    if not 0.0 < level < 1.0:
        raise OptionError(f"level={level} must lie between 0 and 1")
    grid = qq_expected_grid(m, n_points)
    rank = m * grid + 0.5  # not an integer between points; the beta law interpolates smoothly
    high = special.betaincinv(rank, m - rank + 1, (1 - level) / 2)
    low = special.betaincinv(rank, m - rank + 1, (1 + level) / 2)
    return -np.log10(grid), neg_log10(low), neg_log10(high)


def on_grid(p_values: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """-log10 of the quantiles of p-values at `grid`, linear between points on the log axes.

    Outside 1/(2m) .. 1 - 1/(2m), where m p-values say nothing, NaN.
    """
    expected, observed = qq_coords(p_values)
    if expected.size == 0:
        return np.full(len(grid), np.nan)
    at = -np.log10(grid)
    slack = 1e-9
    inside = (at >= expected[-1] - slack) & (at <= expected[0] + slack)
    return np.where(inside, np.interp(at, expected[::-1], observed[::-1]), np.nan)


def replicate_envelope(
    curves: Sequence[object], n_points: int = 200
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Median and interquartile range over replicate QQ curves (say, partitions of the controls).

    Parameters
    ----------
    curves
        One array or table of p-values per replicate; empty ones are left out.

    Returns
    -------
    expected, median, lower, upper : (n,) each
        -log10, on the grid of the median number of p-values, where at least half of the
        replicates reach. `lower` and `upper` are the quartiles.

    Raises
    ------
    InputError
        No replicate holds a p-value.
    """
    vectors = [as_p_vector(curve, "replicate") for curve in curves]
    vectors = [v for v in vectors if v.size]
    if not vectors:
        raise InputError("no replicate holds a p-value; an envelope needs at least one")
    grid = qq_expected_grid(int(np.median([v.size for v in vectors])), n_points)
    heights = np.stack([on_grid(v, grid) for v in vectors])
    reached = (~np.isnan(heights)).mean(axis=0) >= 0.5
    quartiles = np.nanpercentile(heights[:, reached], [50, 25, 75], axis=0)
    return -np.log10(grid[reached]), quartiles[0], quartiles[1], quartiles[2]


def bootstrap_qq_envelope(
    p_values: object,
    n_boot: int = 200,
    seed: int = 0,
    *,
    level: float = 0.95,
    n_points: int = 200,
    cluster: Sequence[object] | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pointwise bootstrap envelope of a QQ curve.

    Parameters
    ----------
    p_values
        A vector: single p-values are resampled. A table of units x programs: whole units are, so
        the dependence between programs of a unit is kept.
    n_boot, seed
        Replicates, and the seed they depend on.
    level
        Pointwise coverage.
    cluster : (units,) labels, optional
        Units with the same label are resampled together.

    Returns
    -------
    expected, low, high : (n,) each
        -log10, on `qq_expected_grid` of the number of p-values.

    Raises
    ------
    InputError
        There is no p-value, or one lies outside 0 to 1.
    OptionError
        `n_boot` below 2 or `level` outside 0 to 1.
    """
    if n_boot < 2 or not 0.0 < level < 1.0:
        raise OptionError(f"n_boot={n_boot} must be at least 2 and level={level} between 0 and 1")
    if isinstance(p_values, pd.DataFrame):
        table = as_p_table(p_values, "QQ envelope")
    else:
        table = as_p_table(np.asarray(p_values, dtype=np.float64), "QQ envelope")
    values = table.to_numpy()
    tested = ~np.isnan(values)
    if not tested.any():
        raise InputError("QQ envelope: there is no p-value to resample")
    codes = as_labels(cluster, len(table), "cluster")
    codes = np.arange(len(table)) if codes is None else codes
    p, unit = values[tested], np.broadcast_to(codes[:, None], values.shape)[tested]
    unit = np.unique(unit, return_inverse=True)[1]
    order = np.argsort(p, kind="stable")
    ordered, unit = neg_log10(p[order]), unit[order]
    n_units = int(unit.max()) + 1
    grid = qq_expected_grid(p.size, n_points)
    heights = np.empty((n_boot, grid.size))
    for b, weight in enumerate(bootstrap_weights(n_units, n_units, n_boot, seed)):
        reach = np.cumsum(weight[unit])
        wanted = np.maximum(1, np.rint(grid * reach[-1] + 0.5))
        heights[b] = ordered[np.searchsorted(reach, np.minimum(wanted, reach[-1]))]
    low, high = np.quantile(heights, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return -np.log10(grid), low, high
