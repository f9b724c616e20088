"""Bins of cells: by the values of a covariate or a propensity, and merging those too small."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from programde.errors import InputError, OptionError, check_choice

BIN_METHODS = ("quantile", "uniform")


def compute_bins(
    values: np.ndarray,
    n_bins: int,
    method: str = "quantile",
    clip_quantiles: tuple[float, float] = (0.0, 1.0),
) -> tuple[np.ndarray, int, np.ndarray]:
    """Cut values into bins.

    Parameters
    ----------
    values : (n,) float
        Finite values.
    n_bins
        Number of bins asked for; ties may leave fewer.
    method
        ``"quantile"``: bins of equal count; ``"uniform"``: bins of equal width.
    clip_quantiles
        Values beyond these quantiles are taken as the quantiles, before binning.

    Returns
    -------
    bin_id : (n,) int64
        From 0, without gaps.
    n_bins_effective : int
        Number of bins.
    edges : (n_bins_effective + 1,) float64
        Bin j holds edges[j] <= value < edges[j + 1], the last bin its upper edge too.

    Raises
    ------
    OptionError
        If n_bins < 1, the method is unknown or the quantiles are not 0 <= low < high <= 1.
    InputError
        If a value is not finite.

    Examples
    --------
    >>> import numpy as np, programde as pde
    >>> bins, n_bins, edges = pde.compute_bins(np.array([0.1, 0.2, 0.3, 0.9]), 2)
    >>> bins.tolist(), n_bins, edges.round(2).tolist()
    ([0, 0, 1, 1], 2, [0.1, 0.25, 0.9])
    """
    check_choice("method", method, BIN_METHODS)
    if int(n_bins) < 1:
        raise OptionError(f"n_bins={n_bins} must be at least 1")
    low, high = clip_quantiles
    if not 0.0 <= low < high <= 1.0:
        raise OptionError(f"clip_quantiles={clip_quantiles} must be 0 <= low < high <= 1")
    values = np.asarray(values, dtype=np.float64)
    if not np.isfinite(values).all():
        raise InputError(f"{int((~np.isfinite(values)).sum())} values to be binned are not finite")
    if values.size == 0:
        return np.empty(0, dtype=np.int64), 0, np.empty(0)
    if (low, high) != (0.0, 1.0):
        values = np.clip(values, *np.quantile(values, [low, high]))
    if method == "quantile":
        edges = np.quantile(values, np.linspace(0.0, 1.0, int(n_bins) + 1))
    else:
        edges = np.linspace(values.min(), values.max(), int(n_bins) + 1)
    inner = np.unique(edges[1:-1])
    raw = np.searchsorted(inner, values, side="right")
    used, bin_id = np.unique(raw, return_inverse=True)
    bounds = np.concatenate([[values.min()], inner[used[1:] - 1], [values.max()]])
    return bin_id.astype(np.int64).reshape(-1), int(used.size), bounds


def quantiles(values: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Quantiles (type 7, linear interpolation) of positive values at ascending levels."""
    from programde.crt.kernels.strata import order_statistics

    if levels.size == 0 or values.size == 0:
        return np.empty(0)
    place = levels * (values.size - 1)
    below = np.floor(place).astype(np.int64)
    ranks = np.unique(np.concatenate([below, np.minimum(below + 1, values.size - 1)]))
    found = np.empty(ranks.size)
    order_statistics(np.ascontiguousarray(values), ranks, found)
    low = found[np.searchsorted(ranks, below)]
    high = found[np.searchsorted(ranks, np.minimum(below + 1, values.size - 1))]
    return low + (high - low) * (place - below)


def merge_small(
    sizes: np.ndarray, parents: np.ndarray, smallest: int | Sequence[float]
) -> np.ndarray:
    """Which strata are merged so that each holds at least `smallest` cells.

    A stratum that is too small takes in the next one of its parent, and so on; a last one that
    stays too small joins the group before it. Nothing is merged across parents, so a parent that
    is too small as a whole stays one small stratum.

    Parameters
    ----------
    sizes : (S,) int or (S, m) float
        Cells of each stratum, neighbours being neighbouring bins; or m counts of it.
    parents : (S,) int
        Parent (batch) of each stratum, ascending.
    smallest
        Smallest number of cells wanted, or m such numbers, all of which are to be reached.

    Returns
    -------
    group : (S,) int64
        Group of each stratum, from 0 without gaps, in order; strata without cells share their
        neighbour's group.
    """
    counts = np.asarray(sizes, dtype=np.float64).reshape(len(parents), -1)
    wanted = np.atleast_1d(np.asarray(smallest, dtype=np.float64))
    group = np.zeros(len(parents), dtype=np.int64)
    current, held, parent = -1, np.zeros_like(wanted), -1
    first_of_parent = 0
    for s in range(len(parents)):
        if parents[s] != parent:
            if current > first_of_parent and (held < wanted).any():
                group[:s][group[:s] == current] -= 1
                current -= 1
            parent, held = parents[s], np.zeros_like(wanted)
            current += 1
            first_of_parent = current
        elif (held >= wanted).all():
            current, held = current + 1, np.zeros_like(wanted)
        group[s] = current
        held += counts[s]
    if current > first_of_parent and (held < wanted).any():
        group[group == current] -= 1
    return group
