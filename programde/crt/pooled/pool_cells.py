"""Which cells a unit is tested in, told by the control cells that it shares with others.

A unit that is tested against control cells has a population of its own: its treated cells and the
controls, less those of batches that it is absent from. Told so, and not by a mask over the screen,
thousands of units take next to no memory, and what belongs to the controls is seen to be shared.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from programde.screen.screen import Screen


@dataclass(frozen=True, eq=False)
class PoolCells:
    """Control cells of a screen.

    Attributes
    ----------
    screen
        The screen.
    cells : (n0,) int
        The control cells, ascending.
    batch : (N,) int or None
        Batch of each cell of the screen, from 0; None where batches are not told apart.
    """

    screen: Screen
    cells: np.ndarray
    batch: np.ndarray | None


@dataclass(frozen=True, eq=False)
class OwnCells:
    """The cells of one unit's test: its treated cells, and control cells of a pool.

    Attributes
    ----------
    pool
        The control cells.
    treated : (n1,) int
        The unit's treated cells that take part, ascending; all of them cells of the pool, or none.
    removed : (m,) int
        Cells of the pool that are in neither group of this unit's test, ascending.
    live : (B,) bool or None
        Batches that take part; None for all.
    within
        Whether the treated cells are cells of the pool, compared with the rest of it.
    """

    pool: PoolCells
    treated: np.ndarray
    removed: np.ndarray
    live: np.ndarray | None
    within: bool = False

    @cached_property
    def added(self) -> np.ndarray:
        """Treated cells (m,) beyond the pool, ascending."""
        return self.treated[:0] if self.within else self.treated

    @cached_property
    def cells(self) -> np.ndarray:
        """All cells of the test, ascending."""
        controls = self.pool.cells
        if self.removed.size:
            controls = np.setdiff1d(controls, self.removed, assume_unique=True)
        if self.live is not None:
            assert self.pool.batch is not None
            controls = controls[self.live[self.pool.batch[controls]]]
        return np.sort(np.concatenate([controls, self.added]))
