"""Which units are tested in which population, as told to the engine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from programde.crt.pooled.pooled_block import PooledTest
from programde.crt.population import Population

T = TypeVar("T")


class Once(Generic[T]):
    """Something large that several threads need, made by the first that asks.

    Parameters
    ----------
    make
        Makes it.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: list[T] = []
        self._making = threading.Lock()

    def __call__(self) -> T:
        with self._making:
            if not self._made:
                self._made.append(self._make())
            return self._made[0]

    def forget(self) -> None:
        """Let it go; it is made again where it is asked for again."""
        self._made = []


@dataclass(frozen=True)
class Task:
    """Units that are tested in one population.

    Attributes
    ----------
    population
        The cells.
    names
        Units' names, from which their random streams are derived.
    treated
        For each unit the places in the population of its treated cells, ascending.
    places
        For each unit its row in the result.
    without
        For each unit the places of cells that it leaves out of the population, ascending; empty
        where none does. Only for effects alone (`leaving_out.effects_alone`).
    alone
        Makes the i-th unit's task in a population of its own.
    """

    population: Population
    names: Sequence[str]
    treated: Sequence[np.ndarray]
    places: Sequence[int]
    without: Sequence[np.ndarray] = ()
    alone: Callable[[int], Task] | None = None


@dataclass(frozen=True)
class Later:
    """Units that are tested in one population, which is made when the first of them is due.

    Attributes
    ----------
    build
        Makes the task.
    places
        Its `Task.places`.
    """

    build: Callable[[], Task]
    places: Sequence[int]


@dataclass(frozen=True)
class Deferred:
    """One unit with a population of its own, made in the thread that tests it.

    Attributes
    ----------
    build
        Makes the population.
    place
        The unit's row in the result.
    pooled
        The unit as one of those that share their control cells; where this is told, the population
        is made only where sharing them does not do (`pooled.prepared_pool`).
    """

    build: Callable[[], Task]
    place: int
    pooled: PooledTest | None = None


#: What the engine takes.
AnyTask = Task | Later | Deferred
