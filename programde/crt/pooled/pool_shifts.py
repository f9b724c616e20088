"""Effects on other scales (see `crt.shifts`) of units against one pool of control cells."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from programde.crt.pooled.control_pool import ControlPool, PoolOutcome
from programde.crt.pooled.pooled_errors import pooled_errors
from programde.crt.pooled.pooled_unit import PooledUnit, unit_outcome
from programde.crt.present_shifts import PresentSums, SharedPresentShifts
from programde.crt.shifts import Shifts

#: Cells that are copied at a time.
_CELLS = 4096


class PoolShifts:
    """Shifts of units against one pool.

    Parameters
    ----------
    pool
        The control cells.
    tested
        What is tested by least squares; None where something else is.
    """

    def __init__(self, pool: ControlPool, tested: PoolOutcome | None):
        screen = pool.screen
        self._pool, self._screen = pool, screen
        self._tested = tested is not None and screen.transform == "clr"
        self._floor = screen.floor * (1 + 1e-9)
        shape = (pool.n_batches, screen.n_programs)
        self._usage = np.zeros((pool.n_batches, pool.features.shape[0], screen.n_programs))
        self._above = np.zeros(shape, dtype=np.int64)
        empty = PresentSums.none(screen.n_programs, pool.features.shape[0])
        present = [empty] * pool.n_batches
        positive = True
        for b, (lo, hi) in enumerate(pool.segments):
            for begin in range(lo, hi, _CELLS):
                some = slice(begin, min(begin + _CELLS, hi))
                usage = screen.usage[pool.slots[some]]
                self._usage[b] += pool.features[:, some] @ usage
                self._above[b] += (usage > self._floor).sum(axis=0)
                positive = positive and bool((usage > 0).all())
                if screen.floor > 0.0:
                    present[b] += PresentSums.of(usage, pool.features[:, some].T, self._floor)
        self._present: SharedPresentShifts | None = None
        if screen.floor > 0.0:
            self._present = SharedPresentShifts(present, screen.floor)
        self._outcome: PoolOutcome | None = None
        if self._tested or screen.transform == "none":
            return
        if screen.transform == "clr":
            self._outcome = PoolOutcome(pool, lambda cells: screen.clr[cells])
        elif positive:
            self._outcome = PoolOutcome(pool, lambda cells: _log_ratios(screen.usage[cells]))

    def of(self, units: Sequence[PooledUnit], effects: np.ndarray, errors: np.ndarray) -> Shifts:
        """Shifts of G units; `effects`, `errors` (G, K) are those of the statistic."""
        found = Shifts.empty(len(units), effects.shape[1])
        if self._tested:
            found.log_ratio[:], found.log_ratio_se[:] = effects, errors
        elif self._outcome is not None:
            self._log_ratios(units, found)
        for g, unit in enumerate(units):
            usage = self._screen.usage[unit.treated]
            if not unit.collinear:
                adjust = unit.along(self._usage, usage)
                found.usage[g] = (usage.sum(axis=0) - unit.P @ adjust) / unit.d
            more = usage[: unit.added.size] > self._floor
            above = self._above[unit.live].sum(axis=0) + more.sum(axis=0)
            found.above_floor[g] = above / unit.n_cells
            if self._present is not None:
                own = self._present.of(unit.live, unit.M, usage, unit.q, unit.added.size)
                found.present[g], found.present_se[g], found.present_cells[g] = own
        return found

    def _log_ratios(self, units: Sequence[PooledUnit], found: Shifts) -> None:
        assert self._outcome is not None
        which = [
            g
            for g, unit in enumerate(units)
            if self._screen.transform == "clr" or (self._screen.usage[unit.treated] > 0).all()
        ]
        if not which:
            return
        some = [units[g] for g in which]
        of = [unit_outcome(unit, self._outcome) for unit in some]
        found.log_ratio[which] = np.stack([one.effect for one in of])
        found.log_ratio_se[which] = pooled_errors(self._pool, self._outcome, some, of)


def _log_ratios(usage: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        logs = np.log(usage)
    return np.asarray(logs - logs.mean(axis=1, keepdims=True))
