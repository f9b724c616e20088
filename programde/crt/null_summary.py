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

#: Values of the statistic closer than this many null standard deviations count as tied: ten times
#: the rounding of float32 sums over some thousand cells, and too little to move a p-value by 1e-5.
TIE = 1e-5


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
    """The summary of one unit's draws.

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
        type 7), exact to 5e-7 standard deviations. Counts take two values as tied when they differ
        by less than `TIE` standard deviations, so that float32 rounding never decides a tie.
    """
    from programde.crt.kernels.summary import moments_and_counts, standardise

    draws = np.ascontiguousarray(draws, dtype=np.float64)
    n_draws, n_programs = draws.shape
    moments = np.empty((5, n_programs))
    counts = np.empty((3, n_programs), dtype=np.int32)
    moments_and_counts(draws, np.asarray(observed, dtype=np.float64), TIE, moments, counts)
    mean, sd, skewness, smallest, largest = moments
    # sorted as float32 z-scores: twice as fast, and exact to 1e-7 standard deviations
    scale = np.where(sd > 0, sd, 1.0)
    z = np.empty((n_programs, n_draws), dtype=np.float32)
    standardise(draws, mean, scale, z)
    z.sort(axis=1)
    n_tail = TAIL_LEVELS.size
    quantiles = _quantiles(z, np.concatenate([TAIL_LEVELS, [0.5], 1 - TAIL_LEVELS]))
    quantiles = mean[:, None] + scale[:, None] * quantiles
    return NullSummary(
        n_draws=n_draws,
        mean=mean[None],
        sd=sd[None],
        skewness=skewness[None],
        minimum=smallest[None],
        maximum=largest[None],
        median=quantiles[None, :, n_tail],
        lower=quantiles[None, :, :n_tail],
        upper=quantiles[None, :, n_tail + 1 :],
        n_ge=counts[None, 0],
        n_le=counts[None, 1],
        n_abs_ge=counts[None, 2],
    )


def _quantiles(ordered: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Type-7 quantiles (K, L) of rows that are sorted (K, B)."""
    place = levels * (ordered.shape[1] - 1)
    below = np.floor(place).astype(np.int64)
    above = np.minimum(below + 1, ordered.shape[1] - 1)
    share = place - below
    return ordered[:, below] * (1 - share) + ordered[:, above] * share
