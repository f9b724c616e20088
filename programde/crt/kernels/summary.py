"""Moments, extremes and tail counts of the null draws of all programs of a unit, compiled."""

from __future__ import annotations

import numpy as np

from programde.compiled import njit


@njit(nogil=True, cache=True, error_model="numpy")
def moments_and_counts(draws, observed, tie, moments, counts):  # pragma: no cover - compiled
    """Fill `moments` (5, K) and `counts` (3, K) from `draws` (B, K) and `observed` (K,).

    Moments: mean, standard deviation (dividing by B), third central moment over its cube,
    smallest, largest. Counts: draws >= observed, <= observed, at least as large in absolute
    value; values closer than `tie` standard deviations count as equal.
    """
    n_draws, n_programs = draws.shape
    mean, sd, skewness, smallest, largest = (
        moments[0],
        moments[1],
        moments[2],
        moments[3],
        moments[4],
    )
    for k in range(n_programs):
        mean[k] = 0.0
        sd[k] = 0.0
        skewness[k] = 0.0
        smallest[k] = np.inf
        largest[k] = -np.inf
    for b in range(n_draws):
        row = draws[b]
        for k in range(n_programs):
            mean[k] += row[k]
            smallest[k] = min(smallest[k], row[k])
            largest[k] = max(largest[k], row[k])
    for k in range(n_programs):
        mean[k] /= n_draws
    for b in range(n_draws):
        row = draws[b]
        for k in range(n_programs):
            d = row[k] - mean[k]
            sd[k] += d * d
            skewness[k] += d * d * d
    high = np.empty(n_programs)
    low = np.empty(n_programs)
    far = np.empty(n_programs)
    for k in range(n_programs):
        sd[k] = np.sqrt(sd[k] / n_draws)
        skewness[k] = skewness[k] / n_draws / sd[k] ** 3 if sd[k] > 0 else np.nan
        high[k] = observed[k] - tie * sd[k]
        low[k] = observed[k] + tie * sd[k]
        far[k] = abs(observed[k]) - tie * sd[k]
    ge, le, absolute = counts[0], counts[1], counts[2]
    for k in range(n_programs):
        ge[k] = 0
        le[k] = 0
        absolute[k] = 0
    for b in range(n_draws):
        row = draws[b]
        for k in range(n_programs):
            ge[k] += np.int32(row[k] >= high[k])
            le[k] += np.int32(row[k] <= low[k])
            absolute[k] += np.int32(abs(row[k]) >= far[k])
