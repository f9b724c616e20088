"""Which cells each unit is tested in: units and their populations.

Against the complement all units share one population, all cells. Against control cells (see
`control_group`) a target has its own: its treated cells and the control cells; a group of
non-targeting guides is tested among the control cells alone. Cells that are in neither group of a
unit's test (`control_group.Membership`) are left out of its population. Targets against control
cells are told as such (`pooled.pool_cells`), so that what they share is made but once; so are
groups of non-targeting guides that are absent from some batches.

Batches in which a unit has no treated cell tell nothing about it, and a logistic propensity
separates there; they are left out of that unit's population (`drop_empty_batches`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from programde.crt.control_group import ControlGroup, Membership
from programde.crt.pooled.pool_cells import OwnCells, PoolCells
from programde.crt.pooled.pooled_block import PooledTest
from programde.crt.population import MOST_MISSING, Population, population_of
from programde.crt.tasks import Deferred, Later, Once, Task
from programde.screen.screen import Screen, Unit


def plan(
    screen: Screen,
    units: Sequence[Unit],
    control: ControlGroup,
    *,
    cells: np.ndarray | None = None,
    drop_empty_batches: bool = False,
    are_controls: bool = False,
    first_row: int = 0,
    suffix: str = "",
    sharing: bool = False,
) -> Iterator[Later | Deferred]:
    """Units with their populations, which are made when they are due.

    Parameters
    ----------
    screen
        The screen.
    units
        Units to test; row i of the result belongs to unit i.
    control
        The control group.
    cells : (N,) bool, optional
        Cells to consider at all (a condition, say); None for all.
    drop_empty_batches
        Leave the batches without a treated cell out of a unit's population.
    are_controls
        Whether the units are groups of non-targeting guides, tested among control cells.
    first_row
        Row of the first unit in the result.
    suffix
        Appended to units' names, from which their random streams derive.
    sharing
        Whether units that leave cells out of a population share it (`leaving_out`), rather than
        have each their own.
    """
    treated_all = [screen.treated_cells(unit) for unit in units]
    base = np.ones(screen.n_cells, dtype=bool) if cells is None else cells.copy()
    codes = None
    if drop_empty_batches and screen.batch is not None:
        codes = batch_codes(screen)
    if control.cells is not None and not are_controls:
        yield from _own(screen, units, treated_all, control, base, codes, first_row, suffix)
        return
    if control.cells is not None:
        base &= control.cells
    membership = None if are_controls else Membership(screen, control)

    whole = Once(lambda: population_of(screen))

    neither = [treated[:0] for treated in treated_all]
    if membership is not None:
        neither = [membership.unclear(*pair) for pair in zip(units, treated_all, strict=True)]

    def task(packed: bytes, rows: Sequence[int], out: Sequence[np.ndarray] = ()) -> Task:
        chosen = np.unpackbits(np.frombuffer(packed, np.uint8), count=screen.n_cells).astype(bool)
        for cells in out:
            chosen[cells] = False
        population = _population(screen, chosen, whole)
        return Task(
            population=population,
            names=[units[row].name + suffix for row in rows],
            treated=[population.locate(treated_all[row]) for row in rows],
            places=[row + first_row for row in rows],
            without=[population.locate(neither[row]) for row in rows] if sharing else (),
            alone=lambda i: task(packed, rows[i : i + 1], [neither[rows[i]]]),
        )

    pool = None
    if control.cells is not None and codes is not None:
        pool = PoolCells(screen, np.flatnonzero(base), codes)
    pooled: list[Deferred] = []
    # units that are tested in the same cells share a population
    shared: dict[bytes, list[int]] = {}
    for row, treated in enumerate(treated_all):
        mask = base
        if neither[row].size and not sharing:
            mask = mask.copy()
            mask[neither[row]] = False
        if codes is not None:
            inside = treated[mask[treated]]
            present = np.zeros(codes.max() + 1, dtype=bool)
            present[codes[inside]] = True
            if not present.all() and present.any():
                if pool is not None:
                    own = OwnCells(pool, inside, inside[:0], present, within=True)
                    pooled.append(_deferred(units[row].name + suffix, row + first_row, own))
                    continue
                mask = mask & present[codes]
        shared.setdefault(np.packbits(mask).tobytes(), []).append(row)
    for key, rows in shared.items():
        yield Later(partial(task, key, rows), [row + first_row for row in rows])
    # those of the same batches one after another: what belongs to the batches is made once
    yield from sorted(pooled, key=_batches)


def _population(screen: Screen, chosen: np.ndarray, whole: Once[Population]) -> Population:
    """The population of the chosen cells (N,) bool; that of all is made where it serves."""
    if chosen.all():
        return whole()
    few = np.count_nonzero(chosen) < (1.0 - MOST_MISSING) * chosen.size
    return population_of(screen, np.flatnonzero(chosen), None if few else whole())


def _batches(unit: Deferred) -> bytes:
    assert unit.pooled is not None
    assert unit.pooled.own.live is not None
    return unit.pooled.own.live.tobytes()


def _deferred(name: str, row: int, own: OwnCells) -> Deferred:
    """A unit told by the control cells that it shares with others, else with its own population."""

    def alone() -> Task:
        screen = own.pool.screen
        population = population_of(screen, None if own.cells.size == screen.n_cells else own.cells)
        return Task(population, [name], [population.locate(own.treated)], [row])

    return Deferred(alone, row, PooledTest(name, row, own))


def batch_codes(screen: Screen) -> np.ndarray:
    """Batch of each cell (N,) as a number from 0."""
    assert screen.batch is not None
    return np.unique(screen.batch.astype(str), return_inverse=True)[1].reshape(-1)


def _own(
    screen: Screen,
    units: Sequence[Unit],
    treated_all: Sequence[np.ndarray],
    control: ControlGroup,
    base: np.ndarray,
    codes: np.ndarray | None,
    first_row: int,
    suffix: str,
) -> Iterator[Deferred]:
    """Units that each have their treated cells and the control cells."""
    assert control.cells is not None
    controls = base & control.cells
    membership = Membership(screen, control)
    batch = codes
    if batch is None and screen.batch is not None:
        batch = batch_codes(screen)
    pool = PoolCells(screen, np.flatnonzero(controls), batch)

    for row, treated in enumerate(treated_all):
        others = membership.of_other_targets(units[row], treated)
        inside = treated[base[treated]]
        if others.size:
            inside = np.setdiff1d(inside, others, assume_unique=True)
        neither = np.concatenate([membership.unclear(units[row], treated), others])
        # control cells that are treated by this unit are no control cells of it
        removed = np.concatenate([neither[controls[neither]], treated[controls[treated]]])
        live = None
        if codes is not None:
            present = np.zeros(codes.max() + 1, dtype=bool)
            present[codes[inside]] = True
            if not present.all() and present.any():
                live = present
        own = OwnCells(pool, inside, np.unique(removed), live)
        yield _deferred(units[row].name + suffix, row + first_row, own)
