"""The conditional law (`tails.conditional`) of units against one pool of control cells.

The summands are the pool's residual outcome: given the sums of the covariates over treated cells it
is as good as the unit's own, which differs by a combination of covariates. Where a unit's
propensity has fewer columns than its covariates, what the others take off is taken off first. Ranks
are the unit's own, and so are their residuals.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from programde.crt.pooled.control_pool import ControlPool, PoolOutcome
from programde.crt.pooled.pool_ranks import PoolRanks, UnitRanks
from programde.crt.pooled.pooled_strata import PooledStrata
from programde.crt.pooled.pooled_unit import PooledUnit, Summed
from programde.crt.pooled.spare import Spare
from programde.tails.conditional import ConditionalLaw, lattice_spans
from programde.tails.covariate_strata import CovariateStrata
from programde.tails.first_order_kernels import standardise
from programde.tails.formulas import SEPARATED
from programde.tails.log_tails import LogTails

#: More distinct values than this are no lattice (`lattice_spans`).
_MOST_VALUES = 64
#: Cells that are standardised at a time.
_CELLS = 2048


class PooledConditional:
    """Conditional laws of units of one pool whose propensities have the same columns.

    Parameters
    ----------
    pool, source
        The control cells and what is tested.
    columns : (q,) int
        Columns of the propensity, independent among the controls, by tier.
    """

    def __init__(self, pool: ControlPool, source: PoolOutcome | PoolRanks, columns: np.ndarray):
        self._pool, self._source = pool, source
        if isinstance(source, PoolRanks):
            spread = source.spread
            inverse = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 0)
            self._scale = (np.zeros(spread.size), inverse, np.zeros(spread.size))
        else:
            K = source.residual.shape[0]
            self._scale = (np.empty(K), np.empty(K), np.empty(K))
            none = np.empty((0, 0), dtype=np.float32)
            standardise(source.residual, np.arange(pool.n_cells), *self._scale, none)
        self._few = _programs_of_few_values(pool, source)
        first = _Scratch(PooledStrata(pool, columns))
        self.saturated = first.strata.saturated
        #: Of control cells, with room for a unit's own; each thread takes one.
        self._scratch = Spare(lambda: _Scratch(PooledStrata(pool, columns)), [first])

    @property
    def constant(self) -> bool:
        """Whether a program is constant among the controls."""
        return bool((self._scale[1] == 0.0).any())

    def tails(
        self,
        unit: PooledUnit,
        found: Summed | UnitRanks,
        probabilities: Callable[[np.ndarray], None],
    ) -> LogTails | None:
        """Both tails (K,) of a unit's tests; None where it needs a population of its own.

        `probabilities` is called with those of treatment (n,) of the cells of its test.
        """
        with self._scratch.one() as scratch:
            own = scratch.strata.of(unit)
            if own is None:
                return None
            strata, places = own
            centre, factor, reach = self._scale
            spans = np.zeros(centre.size)
            if isinstance(found, UnitRanks):
                reach = scratch.fill_ranks(unit, found, places, factor, self._few, spans)
            else:
                assert isinstance(self._source, PoolOutcome)
                scratch.fill(self._source, unit, found, places, centre, factor)
                far = np.abs(scratch.summands[:, places] - centre[:, None]).max(axis=1) * factor
                reach = np.maximum(reach, far)
                if self._few.size:
                    values = self._source.read(_cells_of(unit))[:, self._few]
                    spans[self._few] = lattice_spans(values)
            if unit.rung:
                spans[:] = 0.0
            law = _Law(scratch, strata, centre, factor, reach, spans)
            seen: list[np.ndarray] = []
            tails = law.tails([places], probabilities=lambda _, mean: seen.append(mean))[0]
            if not seen or (tails.branch == SEPARATED).any():
                return None
            present = np.ones(seen[0].size, dtype=bool)
            present[strata.absent] = False
            probabilities(seen[0][present])
            return tails


class _Scratch:
    """Strata, and summands (K, places) of the control cells in their order, with room."""

    def __init__(self, strata: PooledStrata):
        self.strata = strata
        self.summands = np.empty((0, 0))
        self.sorted = np.empty((0, 0), dtype=np.float32)
        self._scaled = np.empty((0, 0), dtype=np.float32)
        self._filled = False
        #: Batches whose ranks' residuals are in place, these of groups within the pool; with what
        #: `UnitRanks.fill_residuals` returned.
        self._ranks_of: tuple[bytes | None, np.ndarray, np.ndarray] | None = None

    def _allot(self, K: int) -> None:
        n = self.strata.n_places
        if self.summands.shape != (K, n):
            self.summands = np.zeros((K, n))  # only those of treated cells are asked for
            self.sorted = np.zeros((-4 * (-K // 4), n), dtype=np.float32)
            self._filled, self._ranks_of = False, None

    def _at(self, lo: int, hi: int) -> slice | np.ndarray:
        """Places of slots lo .. hi of the pool, as a slice where they follow each other."""
        at = self.strata.place[lo:hi]
        return slice(at[0], at[-1] + 1) if at[-1] - at[0] == hi - lo - 1 else at

    def fill(
        self,
        outcome: PoolOutcome,
        unit: PooledUnit,
        found: Summed,
        places: np.ndarray,
        centre: np.ndarray,
        factor: np.ndarray,
    ) -> None:
        """Put the pool's residuals in place, and those of a unit's treated cells."""
        K = outcome.residual.shape[0]
        self._allot(K)
        own, rest = found.own, slice(unit.rung_columns.size, None)
        lean = unit.rung > 0
        if lean:
            own = own - unit.q[:, rest] @ found.H[rest]
        if lean or not self._filled:
            for b, (first, last) in enumerate(unit.pool.segments):
                along = unit.M[b][:, rest] @ found.H[rest]
                for lo in range(first, last, _CELLS):
                    hi = min(lo + _CELLS, last)
                    residual = outcome.residual[:, lo:hi]
                    if lean:
                        residual = residual - along.T @ unit.pool.features[:, lo:hi]
                    at = self._at(lo, hi)
                    self.sorted[:K, at] = (residual - centre[:, None]) * factor[:, None]
            self._filled = not lean
        self.summands[:, places] = own.T
        if unit.added.size:  # cells of the pool have theirs, as all others do
            self.sorted[:K, places] = ((own - centre) * factor).T

    def fill_ranks(
        self,
        unit: PooledUnit,
        ranks: UnitRanks,
        places: np.ndarray,
        factor: np.ndarray,
        few: np.ndarray,
        spans: np.ndarray,
    ) -> np.ndarray:
        """Put the residuals of a unit's ranks in place; returns the largest (K,), scaled, and sets
        the lattice spans of programs `few`."""
        K = ranks.own.shape[1]
        self._allot(K)
        if self._scaled.shape != ranks.ranks.shape:
            self._scaled = np.empty_like(ranks.ranks)
        if few.size:
            spans[few] = lattice_spans(ranks.written(few).T)
        batches = unit.live.tobytes() if unit.own.within else None
        if batches is None or self._ranks_of is None or self._ranks_of[0] != batches:
            to = (factor, self._scaled, self.strata.place, self.sorted)
            self._ranks_of = (batches, *ranks.fill_residuals(*to))
        _, H, reach = self._ranks_of
        own = (ranks.own - unit.q @ H) * factor
        if unit.added.size:
            self.sorted[:K, places] = own.T
        self.summands[:, places] = (own / factor).T
        return np.maximum(np.abs(own).max(axis=0), reach)


class _Law(ConditionalLaw):
    """The conditional law with its sorted and standardised summands at hand."""

    def __init__(
        self,
        scratch: _Scratch,
        strata: CovariateStrata,
        centre: np.ndarray,
        factor: np.ndarray,
        reach: np.ndarray,
        spans: np.ndarray,
    ):
        self.S_t, self.strata = scratch.summands, strata
        self.n_programs = centre.size
        self.screened = True
        self._centre, self._factor, self._reach = centre, factor, reach
        self._sorted = scratch.sorted
        self._constant = factor == 0.0
        self._half_span = 0.5 * spans * factor


def _cells_of(unit: PooledUnit) -> np.ndarray:
    """Cells of the screen that take part in a unit's test."""
    member = np.repeat(unit.live, unit.pool.sizes)
    return np.concatenate([unit.pool.slots[member], unit.added])


def _programs_of_few_values(pool: ControlPool, source: PoolOutcome | PoolRanks) -> np.ndarray:
    """Programs that may lie on a lattice in some of the batches."""
    many: list[np.ndarray] = []
    for lo, hi in pool.segments:
        if hi > lo:
            values = np.sort(source.read(pool.slots[lo : min(hi, lo + 500)]), axis=0)
            many.append((np.diff(values, axis=0) > 0).sum(axis=0) + 1 > _MOST_VALUES)
    return np.flatnonzero(~np.all(many, axis=0))
