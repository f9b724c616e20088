"""Screens that stay on disk, brought into memory target by target.

Against control cells a target needs its own cells and the controls, no others. So targets are taken
in groups, as many as fit into the memory that may be used, and each group's cells are a screen of
their own, whose rows come in by one pass over the file. Cells keep their order and units their
names: effects, draws and p-values are those of the whole screen.

Bytes, for targets of n1 cells, n0 control cells, K programs in s bytes each:

    all the while   250 MB + covariates, labels and guides of all cells, uncompressed
    each group      (n0 + sum of n1) (s K + the same for these cells + 48), twice: the next one
                    comes in while the last tests of one are made
    tests           as `crt.memory_need` has it
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from programde.crt.control_group import ControlGroup
from programde.crt.memory_need import fitting_cells, memory_need
from programde.crt.options import RunOptions
from programde.crt.pooled.pooled_block import TOGETHER
from programde.crt.population import of_full_rank
from programde.errors import InputError, tell
from programde.memory import budget
from programde.screen.chosen import (
    AT_ONCE,
    brought_in,
    chosen_cells,
    held_bytes,
    is_stored,
    row_bytes,
)
from programde.screen.screen import Screen, Unit
from programde.threads import worker_count


@dataclass(frozen=True, eq=False)
class Group:
    """Units that are tested together, and their cells.

    Attributes
    ----------
    screen, control
        The cells that they need, and which of these are controls.
    first
        Number of the first unit.
    units
        The units.
    """

    screen: Screen
    control: ControlGroup
    first: int
    units: Sequence[Unit]


def groups_of(
    screen: Screen, units: Sequence[Unit], control: ControlGroup, room: float, n_jobs: int = 1
) -> Iterator[Group]:
    """Units against control cells, in groups that fit.

    Parameters
    ----------
    screen, units, control
        What is tested; the control group has cells.
    room
        Bytes for the cells of one group.
    n_jobs
        Threads; each has a block of units of the same group.

    Raises
    ------
    InputError
        The control cells and the cells of a block of units per thread do not fit; gives the
        figures.
    """
    assert control.cells is not None
    most, step = room / row_bytes(screen), TOGETHER * worker_count(n_jobs)
    first, needed = 0, control.cells.copy()
    for begin in range(0, len(units), step):
        some = units[begin : begin + step]
        with_these = needed.copy()
        for unit in some:
            with_these[screen.treated_cells(unit)] = True
        if int(with_these.sum()) > most and begin > first:
            yield _group(screen, units[first:begin], control, first, needed)
            first, with_these = begin, control.cells.copy()
            for unit in some:
                with_these[screen.treated_cells(unit)] = True
        needed = with_these
        if int(needed.sum()) > most:
            raise InputError(
                f"{int(control.cells.sum()):,} control cells and {len(some)} targets are "
                f"{int(needed.sum()):,} cells at once, {needed.sum() * row_bytes(screen) / 1e9:.2f}"
                f" GB, and {max(room, 0) / 1e9:.2f} GB are left for them; give more memory, or "
                "fewer threads (n_jobs)"
            )
    if len(units) > first:
        yield _group(screen, units[first:], control, first, needed)


def _group(
    screen: Screen, units: Sequence[Unit], control: ControlGroup, first: int, needed: np.ndarray
) -> Group:
    cells = np.flatnonzero(needed)
    assert control.cells is not None
    own = replace(control, cells=control.cells[cells])
    return Group(chosen_cells(screen, cells), own, first, units)


def own_cells(screen: Screen, units: Sequence[Unit], control: ControlGroup) -> int | None:
    """Cells of a typical unit and its controls; None where all units share all cells."""
    if control.cells is None:
        return None
    treated = np.median([screen.treated_cells(unit).size for unit in units]) if units else 0
    return int(control.cells.sum()) + int(treated)


def group_room(
    screen: Screen,
    units: Sequence[Unit],
    control: ControlGroup,
    options: RunOptions,
    n_rows: int,
    memory: float | None,
) -> float:
    """Bytes that the cells of one group of units may take.

    Parameters
    ----------
    screen, units, control, options
        What is tested, and how.
    n_rows
        Rows of the result.
    memory
        Bytes that may be used; None for no limit.
    """
    if memory is None or not is_stored(screen):
        return np.inf
    sizes = (screen.n_programs, screen.covariates.shape[1], n_rows, options.n_resamples)
    need = memory_need(0, *sizes, own_cells=own_cells(screen, units, control))
    tests = need.total(worker_count(options.n_jobs))
    return (memory - held_bytes(screen) - tests) / AT_ONCE


def with_fitting_threads(
    screen: Screen,
    units: Sequence[Unit],
    control: ControlGroup,
    options: RunOptions,
    n_rows: int,
    memory: float | None,
) -> RunOptions:
    """The options with as many threads as leave room for a block of units for each.

    Parameters
    ----------
    screen, units, control, options, n_rows, memory
        As of `group_room`.
    """
    asked = fitting = worker_count(options.n_jobs)
    if not is_stored(screen) or control.cells is None or not units:
        return options
    n_controls = int(control.cells.sum())
    sizes = np.array([screen.treated_cells(unit).size for unit in units])

    def fits(threads: int) -> bool:
        blocks = np.add.reduceat(sizes, np.arange(0, sizes.size, TOGETHER * threads))
        most = n_controls + int(blocks.max())
        how = replace(options, n_jobs=threads)
        room = group_room(screen, units, control, how, n_rows, memory)
        return most * row_bytes(screen) <= room

    while fitting > 1 and not fits(fitting):
        fitting -= 1
    if fitting < asked:
        tell(f"n_jobs reduced from {asked} to {fitting}, which is what fits into memory")
    return replace(options, n_jobs=fitting) if fitting < asked else options


def passes(
    screen: Screen, units: Sequence[Unit], control: ControlGroup, options: RunOptions, n_rows: int
) -> int:
    """About how many groups units against control cells make: 1 for a screen in memory."""
    if not is_stored(screen) or control.cells is None:
        return 1
    room = group_room(screen, units, control, options, n_rows, budget(options.memory))
    treated = float(sum(screen.treated_cells(unit).size for unit in units))
    most = room / row_bytes(screen) - float(control.cells.sum())
    return max(1, int(np.ceil(treated / most))) if most > 0 else 1


def as_tested(
    screen: Screen,
    control: ControlGroup,
    are_controls: bool,
    n_rows: int,
    n_resamples: int,
    memory: float | None,
) -> tuple[Screen, ControlGroup]:
    """The screen and its control group as units are tested in it.

    A stored screen stays so for targets against control cells. Groups of control guides need the
    control cells alone, which are brought into memory; the complement needs all cells.

    Raises
    ------
    InputError
        The complement of so many cells does not fit; gives the figures.
    """
    if not is_stored(screen) or (control.cells is not None and not are_controls):
        return screen, control
    if control.cells is not None:
        needed = control.cells.copy()
        # one more: some numbers are told of tests in all cells of a screen alone
        needed[np.flatnonzero(~needed)[:1]] = True
        cells = np.flatnonzero(needed)
        some = of_full_rank(brought_in(chosen_cells(screen, cells)))
        return some, replace(control, cells=control.cells[cells])
    sizes = (screen.n_programs, screen.covariates.shape[1], n_rows, n_resamples)
    need = memory_need(screen.n_cells, *sizes)
    if memory is not None and need.total(1) > memory:
        most = fitting_cells(memory, *sizes)
        raise InputError(
            f"control=complement compares with all {screen.n_cells:,} cells, which takes "
            f"{need.total(1) / 1e9:,.1f} GB, and {memory / 1e9:,.1f} GB may be used: about "
            f"{most:,} cells fit. Compare with cells of non-targeting guides (control=nt_cells), "
            "which takes no more than these and the targets' own, or give more memory"
        )
    return brought_in(screen), control
