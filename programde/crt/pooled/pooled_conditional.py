"""The conditional law (`tails.conditional`) of units against one pool of control cells.

The summands are the pool's residual outcome: given the sums of the covariates over treated cells it
is as good as the unit's own, which differs by a combination of covariates. Where a unit's
propensity has fewer columns than its covariates, what the others take off is taken off first.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np

from programde.crt.pooled.control_pool import ControlPool, PoolOutcome
from programde.crt.pooled.pooled_strata import PooledStrata
from programde.crt.pooled.pooled_unit import PooledUnit, UnitOutcome
from programde.tails.conditional import ConditionalLaw, lattice_spans
from programde.tails.covariate_strata import CovariateStrata
from programde.tails.first_order_kernels import standardise
from programde.tails.formulas import SEPARATED
from programde.tails.log_tails import LogTails

#: More distinct values than this are no lattice (`lattice_spans`).
_MOST_VALUES = 64


class PooledConditional:
    """Conditional laws of units of one pool whose propensities have the same columns.

    Parameters
    ----------
    pool, outcome
        The control cells and what is tested.
    columns : (q,) int
        Columns of the propensity, independent among the controls, by tier.
    """

    def __init__(self, pool: ControlPool, outcome: PoolOutcome, columns: np.ndarray):
        self._pool, self._outcome = pool, outcome
        self._strata_of = lambda: PooledStrata(pool, columns)
        K = outcome.residual.shape[0]
        self._scale = (np.empty(K), np.empty(K), np.empty(K))
        standardise(
            outcome.residual, np.arange(pool.n_cells), *self._scale, np.empty((0, 0), np.float32)
        )
        self._few = _programs_of_few_values(pool, outcome)
        first = self._strata_of()
        self.saturated = first.saturated
        #: Of control cells, with room for a unit's own; each thread takes one.
        self._spare = [_Scratch(first, outcome)]
        self._taking = threading.Lock()

    @property
    def constant(self) -> bool:
        """Whether a program is constant among the controls."""
        return bool((self._scale[1] == 0.0).any())

    def tails(
        self,
        unit: PooledUnit,
        found: UnitOutcome,
        probabilities: Callable[[np.ndarray], None],
    ) -> LogTails | None:
        """Both tails (K,) of a unit's tests; None where it needs a population of its own.

        `probabilities` is called with those of treatment (n,) of the cells of its test.
        """
        with self._taking:
            scratch = self._spare.pop() if self._spare else None
        if scratch is None:
            scratch = _Scratch(self._strata_of(), self._outcome)
        try:
            return self._tails(scratch, unit, found, probabilities)
        finally:
            with self._taking:
                self._spare.append(scratch)

    def _tails(
        self,
        scratch: _Scratch,
        unit: PooledUnit,
        found: UnitOutcome,
        probabilities: Callable[[np.ndarray], None],
    ) -> LogTails | None:
        own = scratch.strata.of(unit)
        if own is None:
            return None
        strata, places = own
        centre, factor, reach = self._scale
        scratch.fill(unit, found, places, centre, factor)
        spans = self._spans(unit) if unit.rung == 0 else None
        far = np.abs(scratch.summands[:, places] - centre[:, None]).max(axis=1) * factor
        law = _Law(scratch, strata, centre, factor, np.maximum(reach, far), spans)
        seen: list[np.ndarray] = []
        tails = law.tails([places], probabilities=lambda _, mean: seen.append(mean))[0]
        if not seen or (tails.branch == SEPARATED).any():
            return None
        present = np.ones(seen[0].size, dtype=bool)
        present[strata.absent] = False
        probabilities(seen[0][present])
        return tails

    def _spans(self, unit: PooledUnit) -> np.ndarray:
        """Lattice spans (K,) of the outcome in the cells of the unit's test."""
        spans = np.zeros(self._outcome.residual.shape[0])
        if self._few.size:
            member = np.repeat(unit.live, self._pool.sizes)
            cells = np.concatenate([self._pool.slots[member], unit.treated])
            spans[self._few] = lattice_spans(self._outcome.read(cells)[:, self._few])
        return spans


class _Scratch:
    """Strata, and summands (K, places) of the control cells in their order, with room."""

    def __init__(self, strata: PooledStrata, outcome: PoolOutcome):
        self.strata, self._outcome = strata, outcome
        self.summands = np.empty((0, 0))
        self.sorted = np.empty((0, 0), dtype=np.float32)
        self._filled = False

    def fill(
        self,
        unit: PooledUnit,
        found: UnitOutcome,
        places: np.ndarray,
        centre: np.ndarray,
        factor: np.ndarray,
    ) -> None:
        """Put the summands of a unit's cells in place."""
        K, n = self._outcome.residual.shape[0], self.strata.n_places
        if self.summands.shape != (K, n):
            self.summands = np.zeros((K, n))
            self.sorted = np.zeros((-4 * (-K // 4), n), dtype=np.float32)
            self._filled = False
        own = found.own
        rest = slice(unit.rung_columns.size, None)
        lean = unit.rung > 0
        if lean:
            own = own - unit.q[:, rest] @ found.H[rest]
        if lean or not self._filled:
            for b, (lo, hi) in enumerate(unit.pool.segments):
                residual = self._outcome.residual[:, lo:hi]
                if lean:
                    along = unit.M[b][:, rest] @ found.H[rest]
                    residual = residual - along.T @ unit.pool.features[:, lo:hi]
                at = self.strata.place[lo:hi]
                one = slice(at[0], at[-1] + 1) if hi > lo and (np.diff(at) == 1).all() else at
                self.summands[:, one] = residual
                self.sorted[:K, one] = (residual - centre[:, None]) * factor[:, None]
            self._filled = not lean
        self.summands[:, places] = own.T
        self.sorted[:K, places] = ((own - centre) * factor).T


class _Law(ConditionalLaw):
    """The conditional law with its sorted and standardised summands at hand."""

    def __init__(
        self,
        scratch: _Scratch,
        strata: CovariateStrata,
        centre: np.ndarray,
        factor: np.ndarray,
        reach: np.ndarray,
        spans: np.ndarray | None,
    ):
        self.S_t, self.strata = scratch.summands, strata
        self.n_programs = centre.size
        self.screened = True
        self._centre, self._factor, self._reach = centre, factor, reach
        self._sorted = scratch.sorted
        self._constant = factor == 0.0
        self._half_span = np.zeros(centre.size) if spans is None else 0.5 * spans * factor


def _programs_of_few_values(pool: ControlPool, outcome: PoolOutcome) -> np.ndarray:
    """Programs that may lie on a lattice in some of the batches."""
    few = np.ones(outcome.residual.shape[0], dtype=bool)
    many = np.zeros((pool.n_batches, few.size), dtype=bool)
    for b, (lo, hi) in enumerate(pool.segments):
        if hi > lo:
            values = np.sort(outcome.read(pool.slots[lo : min(hi, lo + 500)]), axis=0)
            many[b] = (np.diff(values, axis=0) > 0).sum(axis=0) + 1 > _MOST_VALUES
    filled = pool.sizes > 0
    return np.flatnonzero(~many[filled].all(axis=0))
