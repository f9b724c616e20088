"""A fixed-size summary of the null draws of each test: all that calibration needs of them.

With B draws of a statistic T for each of G x K tests, keeping the draws would take B*G*K numbers.
The moments, the extremes, the median, 19 quantiles in either tail and the counts beyond the
observed value are enough for raw p-values, for the skew-normal fit with its checks, and for
recalibrating later without drawing again.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

#: Tail probabilities at which the null's quantiles are kept, in either tail.
TAIL_LEVELS = np.round(np.arange(0.02, 0.2001, 0.01), 2)


@dataclass(frozen=True)
class NullSummary:
    """What is kept of the null draws of G x K tests, on the scale of the statistic.

    Attributes
    ----------
    n_draws
        Number B of draws behind each test (0 where none were made).
    mean, sd, skewness : (G, K) float64
        Moments over the draws; the standard deviation divides by B.
    minimum, maximum, median : (G, K) float64
    lower : (G, K, 19) float64
        Quantiles at `TAIL_LEVELS`.
    upper : (G, K, 19) float64
        Quantiles at 1 - `TAIL_LEVELS`.
    n_ge, n_le, n_abs_ge : (G, K) int32
        Number of draws T_b >= T, T_b <= T, abs(T_b) >= abs(T), T being the observed statistic.
    """

    n_draws: int
    mean: np.ndarray
    sd: np.ndarray
    skewness: np.ndarray
    minimum: np.ndarray
    maximum: np.ndarray
    median: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    n_ge: np.ndarray
    n_le: np.ndarray
    n_abs_ge: np.ndarray

    @classmethod
    def empty(cls, n_units: int, n_programs: int, n_draws: int) -> NullSummary:
        """A summary to be filled unit by unit: NaN in the moments, -1 in the counts."""
        shape = (n_units, n_programs)
        arrays: dict[str, np.ndarray] = {}
        for item in fields(cls):
            if item.name == "n_draws":
                continue
            if item.name.startswith("n_"):
                arrays[item.name] = np.full(shape, -1, dtype=np.int32)
            elif item.name in ("lower", "upper"):
                arrays[item.name] = np.full((*shape, TAIL_LEVELS.size), np.nan)
            else:
                arrays[item.name] = np.full(shape, np.nan)
        return cls(n_draws=n_draws, **arrays)

    def rows(self, index: np.ndarray | slice) -> NullSummary:
        """The summary of some of the units."""
        chosen = {f.name: getattr(self, f.name)[index] for f in fields(self) if f.name != "n_draws"}
        return NullSummary(n_draws=self.n_draws, **chosen)


def summarise(draws: np.ndarray, observed: np.ndarray) -> NullSummary:
    """The summary of explicit draws: the plain definition that kernels must equal.

    Parameters
    ----------
    draws : (B, K)
        Null draws of the statistic.
    observed : (K,)
        Observed statistic.

    Returns
    -------
    NullSummary
        With one unit: arrays of shape (1, K). Quantiles interpolate linearly (Hyndman and Fan's
        type 7). Counts take two values as tied when they differ by less than 1e-6 standard
        deviations, so that rounding never decides a tie.
    """
    draws = np.asarray(draws, dtype=np.float64)
    mean = draws.mean(axis=0)
    centred = draws - mean
    sd = np.sqrt((centred**2).mean(axis=0))
    with np.errstate(invalid="ignore", divide="ignore"):
        skewness = (centred**3).mean(axis=0) / sd**3
    quantiles = np.quantile(draws, np.concatenate([TAIL_LEVELS, [0.5], 1 - TAIL_LEVELS]), axis=0)
    n_tail = TAIL_LEVELS.size
    tie = 1e-6 * sd
    return NullSummary(
        n_draws=draws.shape[0],
        mean=mean[None],
        sd=sd[None],
        skewness=skewness[None],
        minimum=draws.min(axis=0)[None],
        maximum=draws.max(axis=0)[None],
        median=quantiles[n_tail][None],
        lower=quantiles[:n_tail].T[None],
        upper=quantiles[n_tail + 1 :].T[None],
        n_ge=(draws >= observed - tie).sum(axis=0, dtype=np.int32)[None],
        n_le=(draws <= observed + tie).sum(axis=0, dtype=np.int32)[None],
        n_abs_ge=(np.abs(draws) >= np.abs(observed) - tie).sum(axis=0, dtype=np.int32)[None],
    )
