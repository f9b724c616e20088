"""How the mean usage of hits changed: by cells that switch on or off, or by more in each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from programde.controls.spike_results import OFF
from programde.crt.control_group import ControlGroup
from programde.screen.chosen import in_parts, is_stored
from programde.screen.screen import Screen, Unit

#: Cells of a screen that is not in memory by which the level is found below which a cell is off.
LOOKED_AT = 100_000


def switching(
    screen: Screen,
    units: Mapping[str, Unit],
    hits: Iterable[tuple[str, str]],
    control: ControlGroup,
    memory: float | str | None = None,
) -> pd.DataFrame:
    """For each hit, the log fold change of the mean usage and the part that came by switching.

    Parameters
    ----------
    screen
        The screen; its usages before the floor are read.
    units
        What was tested, by name.
    hits
        Pairs of unit and program.
    control
        The control group: its cells, or all others.
    memory
        What may be used where the screen is not in memory, see `memory.budget`.

    Returns
    -------
    DataFrame
        unit, program, changed (log of the ratio of means) and switched (log of the ratio of the
        shares of cells that are on, with the sign of `changed` at most as large as it, 0 where it
        goes the other way). A cell is off below a tenth of the program's median positive usage;
        of a screen that is not in memory, the median of so many cells, evenly spaced.
    """
    hits = list(hits)
    if is_stored(screen):
        levels = _levels(screen)
        held = {unit: screen.treated_cells(units[unit]) for unit, _ in hits}
        rows = []
        for part, names, cells in in_parts(screen, held, control.cells, memory):
            of_part = set(names)
            rows += _switched(
                part, units, [hit for hit in hits if hit[0] in of_part],
                None if control.cells is None else control.cells[cells], levels,
            )  # fmt: skip
        place = {hit: number for number, hit in enumerate(hits)}
        rows.sort(key=lambda row: place[row[0], row[1]])
    else:
        rows = _switched(screen, units, hits, control.cells, None)
    return pd.DataFrame(rows, columns=["unit", "program", "changed", "switched"])


def _levels(screen: Screen) -> np.ndarray:
    """The usage (K,) below which a cell is off."""
    usage = screen.usage if screen.unfloored is None else screen.unfloored
    few = min(screen.n_cells, LOOKED_AT)
    some = usage[np.linspace(0, screen.n_cells - 1, few).round().astype(np.int64)]
    return np.array([_level(of_program) for of_program in some.T])


def _level(usage: np.ndarray) -> float:
    positive = usage[usage > 0]
    return OFF * float(np.median(positive)) if positive.size else 0.0


def _switched(
    screen: Screen,
    units: Mapping[str, Unit],
    hits: Iterable[tuple[str, str]],
    controls: np.ndarray | None,
    levels: np.ndarray | None,
) -> list[tuple[str, str, float, float]]:
    usage = screen.usage if screen.unfloored is None else screen.unfloored
    column = {name: k for k, name in enumerate(screen.program_names)}
    rows = []
    for unit, program in hits:
        treated = np.zeros(screen.n_cells, dtype=bool)
        treated[screen.treated_cells(units[unit])] = True
        others = ~treated if controls is None else controls & ~treated
        of_program = np.asarray(usage[:, column[program]])
        level = _level(of_program) if levels is None else levels[column[program]]
        means = [of_program[cells].mean() for cells in (treated, others) if cells.any()]
        on = [(of_program[cells] >= level).mean() for cells in (treated, others) if cells.any()]
        if len(means) < 2 or min(*means, *on) <= 0:
            continue
        changed, switched = np.log(means[0] / means[1]), np.log(on[0] / on[1])
        switched = np.clip(switched, min(changed, 0.0), max(changed, 0.0))
        rows.append((unit, program, changed, switched))
    return rows
