"""Both tails of tests under their exact null laws: what of a law is kept once it is gone."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from programde.tails.formulas import BRANCHES, FALLBACK, ROUGH, combine_sides

#: Branch of a test whose tails were not computed.
NOT_COMPUTED = -1


@dataclass(frozen=True, eq=False)
class LogTails:
    """Exact tails of tests, all arrays of one shape: (K,) for a unit, (G, K) for many.

    T is the statistic, t its observed value. The event T >= t is that a linear sum over cells
    reaches a threshold; the sum's null cumulants are kept beside the tails.

    Attributes
    ----------
    log_left, log_right : float64
        Natural logarithms of P(T <= t) and P(T >= t); NaN where the null law has no spread, an
        input is not finite, or the test was not done.
    branch : int8
        How they were computed: index into `formulas.BRANCHES`, or `NOT_COMPUTED`.
    mean, variance, third, fourth : float64
        Null cumulants of the linearised sum; given covariates, of the first-order one, on the
        scale on which its variance is 1.
    threshold : float64
        What the linearised sum is compared with.
    rough : bool
        The tail may be off by more than a tenth.
    """

    log_left: np.ndarray
    log_right: np.ndarray
    branch: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    third: np.ndarray
    fourth: np.ndarray
    threshold: np.ndarray
    rough: np.ndarray

    @classmethod
    def empty(cls, *shape: int) -> LogTails:
        """Tails to be filled unit by unit: NaN, and `NOT_COMPUTED`."""
        arrays = {item.name: np.full(shape, np.nan) for item in fields(cls)}
        arrays["branch"] = np.full(shape, NOT_COMPUTED, dtype=np.int8)
        arrays["rough"] = np.zeros(shape, dtype=bool)
        return cls(**arrays)

    def put(self, row: int | np.ndarray, unit: LogTails) -> None:
        """Store the tails of one unit in a row, or those of some tests in their places."""
        for item in fields(self):
            getattr(self, item.name)[row] = getattr(unit, item.name)

    def rows(self, index: np.ndarray | slice) -> LogTails:
        """The tails of some of the units."""
        return LogTails(**{item.name: getattr(self, item.name)[index] for item in fields(self)})

    def p_value(self, side: str = "both") -> np.ndarray:
        """P-values in [1e-300, 1]; two-sided is twice the smaller tail. NaN stays NaN."""
        return combine_sides(self.log_right, self.log_left, side)

    def branch_names(self) -> np.ndarray:
        """Names of the branches (object); empty where nothing was computed."""
        return np.array([*BRANCHES, ""], dtype=object)[self.branch]

    def fallback(self) -> np.ndarray:
        """What was reported in a tail's place, or is to be known of it, in words (object); empty
        where it is the tail."""
        words = np.array([*FALLBACK, ""], dtype=object)[self.branch]
        return np.where(self.rough & (words == ""), ROUGH, words)
