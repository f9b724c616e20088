"""Saddlepoint p-values of units while they are tested, a few units at a time.

The exact cumulants of a unit's null law read the summands of all programs in all cells, which costs
more than computing with them; units of one population therefore wait for each other and share that
reading. No result depends on which units share it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from programde.crt.engine import Bench
from programde.crt.samplers import BernoulliLaw, StratifiedLaw
from programde.crt.statistics import Linearised
from programde.errors import OptionError

if TYPE_CHECKING:
    from programde.tails.exact import Tails

#: Units that share a reading of the summands.
TOGETHER = 4


class NoExactTails(OptionError):
    """A sampler's law whose tails no one has computed yet."""


@dataclass(frozen=True)
class Waiting:
    """A unit's law, and the events of its tests; `row` is its place in the result."""

    row: int
    law: Any
    event: Linearised


def _bernoulli(bench: Bench, units: Sequence[Waiting], side: str) -> list[Tails]:
    from programde.tails.exact import bernoulli_cumulants, bernoulli_tails

    W = bench.columns.T
    cumulants = bernoulli_cumulants(
        W,
        np.stack([unit.event.tau for unit in units]),
        np.stack([unit.event.weights for unit in units]),
        np.stack([unit.law.p for unit in units]),
    )
    return [
        bernoulli_tails(
            W, e.tau, e.weights, e.threshold, unit.law.p, side,
            basis=e.basis, bend=e.bend, cumulants=own,
        )
        for unit, own in zip(units, cumulants, strict=True)
        for e in (unit.event,)
    ]  # fmt: skip


def _stratified(bench: Bench, units: Sequence[Waiting], side: str) -> list[Tails]:
    from programde.tails.exact import stratified_tails

    return [
        stratified_tails(
            bench.columns.T, e.tau, e.weights, e.threshold,
            unit.law.order, unit.law.starts, unit.law.totals, side, basis=e.basis, bend=e.bend,
        )
        for unit in units
        for e in (unit.event,)
    ]  # fmt: skip


#: Exact tails of some units of one population by the kind of their law. A law that is not here has
#: none, and a sampler may do without: its screens are calibrated by draws.
EXACT_TAILS: dict[type, Callable[[Bench, Sequence[Waiting], str], list[Tails]]] = {
    BernoulliLaw: _bernoulli,
    StratifiedLaw: _stratified,
}


def tails_of(bench: Bench, law: Any, effect: np.ndarray, side: str) -> Tails:
    """Saddlepoint p-values of one unit's effects (K,) under its law.

    Raises
    ------
    NoExactTails
        If `EXACT_TAILS` does not know such a law.
    """
    return _known(law)(bench, [Waiting(0, law, bench.statistic.linearise(effect, law))], side)[0]


def _known(law: Any) -> Callable[[Bench, Sequence[Waiting], str], list[Tails]]:
    compute = EXACT_TAILS.get(type(law))
    if compute is None:
        raise NoExactTails(
            f"calibrate=saddlepoint does not know the law {type(law).__name__}; "
            "take calibrate=skew_normal"
        )
    return compute


class ExactTails:
    """Saddlepoint p-values of units as they are tested: a visitor of `crt.engine.run_tasks`.

    Parameters
    ----------
    shape : (G, K)
    side
        ``"both"``, ``"left"`` or ``"right"``.
    """

    def __init__(self, shape: tuple[int, int], side: str):
        self.p_value = np.full(shape, np.nan)
        self.branch = np.full(shape, -1, dtype=np.int64)
        self.side = side
        self._cumulants = np.full((*shape, 4), np.nan)
        self._threshold = np.full(shape, np.nan)
        # by thread, each of which touches its own alone
        self._waiting: dict[int, tuple[Bench, list[Waiting]]] = {}

    def __call__(self, row: int, bench: Bench, law: Any, effect: np.ndarray) -> None:
        """Compute the tails of one unit, or let it wait for others of its population."""
        _known(law)
        thread = threading.get_ident()
        before, units = self._waiting.get(thread, (bench, []))
        if units and (before is not bench or type(units[0].law) is not type(law)):
            self._compute(before, units)
            units = []
        units.append(Waiting(row, law, bench.statistic.linearise(effect, law)))
        # cells of its own mean that no other unit may come, and a population kept in memory
        if len(units) == TOGETHER or bench.population.cells is not None:
            self._compute(bench, units)
            units = []
        self._waiting[thread] = (bench, units)

    def _compute(self, bench: Bench, units: list[Waiting]) -> None:
        found = _known(units[0].law)(bench, units, self.side)
        for unit, tails in zip(units, found, strict=True):
            row = unit.row
            self.p_value[row], self.branch[row] = tails.p_value, tails.branch
            self._cumulants[row], self._threshold[row] = tails.cumulants, tails.threshold

    def found(self) -> dict[str, np.ndarray]:
        """p_value, fallback, branch and p_moments (G, K), once all units were tested; NaN and empty
        where a unit was not."""
        from programde.tails.exact import BRANCHES, FALLBACK, moment_skew_normal

        for bench, units in self._waiting.values():
            if units:
                self._compute(bench, units)
        self._waiting.clear()
        names = np.array([*BRANCHES, ""], dtype=object)  # branch -1, the last: not tested
        why = np.array([*FALLBACK, ""], dtype=object)
        return {
            "p_value": self.p_value,
            "fallback": why[self.branch],
            "branch": names[self.branch],
            "p_moments": moment_skew_normal(self._cumulants, self._threshold, self.side),
        }
