"""What comparing units with NTC guides gives: the shape that both forms of the null share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from programde.calibration.combine import fisher
from programde.controls.guide_summaries import Batch, Sums
from programde.controls.options import ControlUnitOptions


@dataclass(frozen=True)
class Comparison:
    """Results of U units in S batches, and over all batches as entry S of the first axis.

    Attributes
    ----------
    p : (S + 1, U, K) float64
        Two-sided p-values against the NTC; NaN where not tested.
    p_t : (S + 1, U, K) float64
        Two-sided p-values of the t form, which has no floor; NaN where not offered.
    unit_p : (S + 1, U) float64
        P-values of a unit's largest effect over programs.
    effect : (S + 1, U, K) float64
        Least-squares effects of the union indicator; over batches their information-weighted mean.
    n_treated : (S + 1, U) int64
        Treated cells; over batches their sum.
    n_matched, radius : (S + 1, U) int64
        NTC units compared with, and the Manhattan radius of bins that took; 0 and -1 where none.
    fallback : (S + 1, U) object
        "" or "all": fewer units exist than asked for, so all are used.
    floor : (S + 1, U) float64
        The smallest p-value that was possible.
    tested : (S, U) bool
        Batches in which the unit takes part.
    ntc_mean : (S, K) float64
        Mean effect of the NTC guides, weighted by information.
    reason : (U,) object
        Why a unit was not tested at all, or "".
    """

    p: np.ndarray
    p_t: np.ndarray
    unit_p: np.ndarray
    effect: np.ndarray
    n_treated: np.ndarray
    n_matched: np.ndarray
    radius: np.ndarray
    fallback: np.ndarray
    floor: np.ndarray
    tested: np.ndarray
    ntc_mean: np.ndarray
    reason: np.ndarray

    @classmethod
    def start(
        cls,
        batches: Sequence[Batch],
        rows: np.ndarray,
        ntc: np.ndarray,
        options: ControlUnitOptions,
    ) -> Comparison:
        """Effects, treated cells and testability; p-values to be filled in.

        Parameters
        ----------
        batches
            Summaries by batch, or of all cells.
        rows : (U,) int
            The units' rows in `Batch.units`.
        ntc : (M,) int
            Columns of the NTC guides.
        options
            `min_treated` and `min_control` decide what is tested.
        """
        n_s, n_u, n_k = len(batches), len(rows), batches[0].variance.size
        effect = np.full((n_s + 1, n_u, n_k), np.nan)
        n_treated = np.zeros((n_s + 1, n_u), dtype=np.int64)
        tested = np.zeros((n_s, n_u), dtype=bool)
        ntc_mean = np.full((n_s, n_k), np.nan)
        numerator, denominator = np.zeros((n_u, n_k)), np.zeros((n_u, n_k))
        for s, batch in enumerate(batches):
            n1, d = batch.units.n1[rows], batch.units.d[rows]
            n_treated[s] = n1
            control = batch.n_cells - n1
            tested[s] = (
                (n1 >= max(options.min_treated, 1))
                & (control >= max(options.min_control, 1))
                & (d > 0)
            )
            usable = tested[s]
            effect[s, usable] = batch.units.score[rows[usable]] / d[usable, None]
            precision = inverse_variance(batch)
            numerator[usable] += batch.units.score[rows[usable]] * precision
            denominator[usable] += d[usable, None] * precision
            information = batch.guides.d[ntc].sum()
            if information > 0:
                ntc_mean[s] = batch.guides.score[ntc].sum(axis=0) / information
        n_treated[n_s] = n_treated[:n_s].sum(axis=0)
        np.divide(numerator, denominator, out=effect[n_s], where=denominator > 0)
        reason = np.full(n_u, "", dtype=object)
        for u in np.flatnonzero(~tested.any(axis=0)).tolist():
            reason[u] = _reason(batches, int(rows[u]), options)
        return cls(
            p=np.full((n_s + 1, n_u, n_k), np.nan),
            p_t=np.full((n_s + 1, n_u, n_k), np.nan),
            unit_p=np.full((n_s + 1, n_u), np.nan),
            effect=effect,
            n_treated=n_treated,
            n_matched=np.zeros((n_s + 1, n_u), dtype=np.int64),
            radius=np.full((n_s + 1, n_u), -1, dtype=np.int64),
            fallback=np.full((n_s + 1, n_u), "", dtype=object),
            floor=np.full((n_s + 1, n_u), np.nan),
            tested=tested,
            ntc_mean=ntc_mean,
            reason=reason,
        )

    def combine_by_fisher(self, discrete: bool) -> None:
        """Fill the entries over all batches from the batches's p-values, in place.

        `discrete` takes account of empirical p-values being multiples of their floor.
        """
        n_s = len(self.tested)
        step = self.floor[:n_s] if discrete else None
        self.p[n_s] = fisher(self.p[:n_s], step=None if step is None else step[:, :, None])
        self.p_t[n_s] = fisher(self.p_t[:n_s])
        self.unit_p[n_s] = fisher(self.unit_p[:n_s], step=step)
        self.floor[n_s] = fisher(self.floor[:n_s], step=step)
        self.summarise_matching()

    def summarise_matching(self) -> None:
        """Over all batches: the fewest units, the largest radius, any fallback, in place."""
        n_s = len(self.tested)
        for u in np.flatnonzero(self.tested.any(axis=0)).tolist():
            s = np.flatnonzero(self.tested[:, u])
            self.n_matched[n_s, u] = self.n_matched[s, u].min()
            self.radius[n_s, u] = self.radius[s, u].max()
            self.fallback[n_s, u] = "all" if (self.fallback[s, u] == "all").any() else ""

    def explain(self) -> Comparison:
        """Give a reason to each unit that was to be tested but met no NTC unit; returns itself."""
        alone = self.tested.any(axis=0) & (self.n_matched.max(axis=0) == 0) & (self.reason == "")
        self.reason[alone] = "no NTC unit has enough treated and control cells"
        return self


def _reason(batches: Sequence[Batch], row: int, options: ControlUnitOptions) -> str:
    treated = [int(s.units.n1[row]) for s in batches]
    where = "" if len(batches) == 1 else " in any batch"
    if max(treated) < max(options.min_treated, 1):
        return f"fewer than min_treated={options.min_treated} treated cells{where}"
    if all(s.n_cells - n < options.min_control for s, n in zip(batches, treated, strict=True)):
        return f"fewer than min_control={options.min_control} control cells{where}"
    return f"too few treated or control cells, or collinear with the covariates{where}"


def inverse_variance(batch: Batch) -> np.ndarray:
    """(K,) one over the residual variance, 0 for a program that is constant in the batch."""
    variance = batch.variance
    return np.divide(1.0, variance, out=np.zeros_like(variance), where=variance > 0)


def log_sum_exp(values: np.ndarray, axis: int) -> np.ndarray:
    """log of the sum of exponentials along `axis`."""
    top = values.max(axis=axis, keepdims=True)
    return np.log(np.exp(values - top).sum(axis=axis)) + top.squeeze(axis)


class Counts(NamedTuple):
    """What units are matched on: treated cells, information and, where asked, mean log odds."""

    n1: np.ndarray
    d: np.ndarray
    pbar: np.ndarray | None


def counts_of(sums: Sums) -> Counts:
    """The counts of guides or units in one batch."""
    return Counts(sums.n1, sums.d, sums.pbar)


def counts_over_batches(batches: Sequence[Batch], which: str) -> Counts:
    """Counts of "guides" or "units" over batches: sums, and the mean log odds over all cells."""
    sums: list[Sums] = [getattr(s, which) for s in batches]
    n1 = np.sum([s.n1 for s in sums], axis=0)
    d = np.sum([s.d for s in sums], axis=0)
    odds = [s.pbar for s in sums if s.pbar is not None]
    if len(odds) < len(sums):
        return Counts(n1, d, None)
    return Counts(n1, d, np.average(odds, axis=0, weights=[s.n_cells for s in batches]))


def counts_of_sets(guides: Counts, sets: Sequence[np.ndarray]) -> Counts:
    """Counts of sets of guides, as sums over their guides (p of a union is near the sum of p)."""
    pbar = None
    if guides.pbar is not None:
        pbar = np.array([log_sum_exp(guides.pbar[s], 0) for s in sets])
    n1 = np.array([guides.n1[s].sum() for s in sets])
    return Counts(n1, np.array([guides.d[s].sum() for s in sets]), pbar)
