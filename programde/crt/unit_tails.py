"""Exact tails of units while they are tested, a few units at a time.

The exact cumulants of a unit's null law read the summands of all programs in all cells, which costs
more than computing with them; units of one population therefore wait for each other and share that
reading. No result depends on which units share it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from programde.crt.prepared import PreparedPopulation
from programde.crt.protocols import ExactLaw, Law
from programde.tails.linearised import Linearised
from programde.tails.log_tails import LogTails

#: Units that share a reading of the summands.
TOGETHER = 4


def no_tails(law: Law) -> str:
    """Why a law has no exact tails, in a few words; empty where it has."""
    if isinstance(law, ExactLaw):
        return ""
    return f"the law {type(law).__name__} has none"


class UnitTails:
    """Tails of the units of one population, computed a few units at a time.

    Parameters
    ----------
    population
        In which the units are tested.
    store
        Called with (row, tails (K,)) of each unit once they are computed.
    """

    def __init__(
        self, population: PreparedPopulation, store: Callable[[int, LogTails], None]
    ) -> None:
        self._population = population
        self._store = store
        self._waiting: list[tuple[int, ExactLaw, Linearised]] = []

    def add(self, row: int, law: ExactLaw, effect: np.ndarray) -> None:
        """Compute the tails of a unit with effects (K,), or let it wait for others."""
        if self._waiting and type(self._waiting[0][1]) is not type(law):
            self.finish()
        self._waiting.append((row, law, self._population.statistic.linearise(effect, law)))
        if len(self._waiting) == TOGETHER:
            self.finish()

    def finish(self) -> None:
        """Compute what is waiting."""
        if not self._waiting:
            return
        rows, laws, events = zip(*self._waiting, strict=True)
        found = laws[0].exact_tails(self._population.summands_by_program, laws, events)
        for row, tails in zip(rows, found, strict=True):
            self._store(row, tails)
        self._waiting.clear()


def tails_of(population: PreparedPopulation, law: ExactLaw, effect: np.ndarray) -> LogTails:
    """Exact tails (K,) of one unit's effects (K,) under its law."""
    found: list[LogTails] = []
    alone = UnitTails(population, lambda _, tails: found.append(tails))
    alone.add(0, law, effect)
    alone.finish()
    return found[0]
