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


@njit(nogil=True, cache=True, error_model="numpy")
def standardise(draws, mean, scale, out):  # pragma: no cover - compiled
    """out (K, B) float32 = (draws (B, K) - mean) / scale, transposed a few columns at a time."""
    n_draws, n_programs = draws.shape
    for first in range(0, n_programs, 16):
        last = min(first + 16, n_programs)
        for b in range(n_draws):
            for k in range(first, last):
                out[k, b] = np.float32((draws[b, k] - mean[k]) / scale[k])


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"nnan", "nsz"})
def largest_standardised(draws, mean, inverse_sd, out):  # pragma: no cover - compiled
    """out (B,) = max over k of abs(draws[b, k] - mean[k]) * inverse_sd[k], all finite."""
    for b in range(draws.shape[0]):
        row = draws[b]
        largest = 0.0
        for k in range(mean.size):
            largest = max(largest, abs(row[k] - mean[k]) * inverse_sd[k])
        out[b] = largest


@njit(nogil=True, cache=True, error_model="numpy")
def moments_with_one_more(draws, one, mean, variance):  # pragma: no cover - compiled
    """Mean and variance (K,) of `draws` (B, K) and `one` (K,) taken together, dividing by B + 1."""
    n_draws, n_programs = draws.shape
    for k in range(n_programs):
        mean[k] = one[k]
    for b in range(n_draws):
        for k in range(n_programs):
            mean[k] += draws[b, k]
    for k in range(n_programs):
        mean[k] /= n_draws + 1
        variance[k] = (one[k] - mean[k]) ** 2
    for b in range(n_draws):
        for k in range(n_programs):
            d = draws[b, k] - mean[k]
            variance[k] += d * d
    for k in range(n_programs):
        variance[k] /= n_draws + 1


@njit(nogil=True, cache=True, error_model="numpy")
def scale_rows(sums, factor, out):  # pragma: no cover - compiled
    """out (B, K) float64 = the first K columns of `sums` (B, D) float32 times `factor` (B,)."""
    for b in range(out.shape[0]):
        for k in range(out.shape[1]):
            out[b, k] = np.float64(sums[b, k]) * factor[b]


@njit(nogil=True, cache=True, error_model="numpy")
def sum_rows(values, places, out):  # pragma: no cover - compiled
    """out (K,) += values[i] for i in `places`; `values` (n, K) may be memory-mapped."""
    for j in range(places.size):
        i = places[j]
        for k in range(out.size):
            out[k] += values[i, k]
