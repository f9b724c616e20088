"""How the mean usage of hits changed: by cells that switch on or off, or by more in each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from programde.controls.spike_results import OFF
from programde.crt.control_group import ControlGroup
from programde.screen.screen import Screen, Unit


def switching(
    screen: Screen,
    units: Mapping[str, Unit],
    hits: Iterable[tuple[str, str]],
    control: ControlGroup,
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

    Returns
    -------
    DataFrame
        unit, program, changed (log of the ratio of means) and switched (log of the ratio of the
        shares of cells that are on, with the sign of `changed` at most as large as it, 0 where it
        goes the other way). A cell is off below a tenth of the program's median positive usage.
    """
    usage = screen.usage if screen.unfloored is None else screen.unfloored
    column = {name: k for k, name in enumerate(screen.program_names)}
    rows = []
    for unit, program in hits:
        treated = np.zeros(screen.n_cells, dtype=bool)
        treated[screen.treated_cells(units[unit])] = True
        others = ~treated if control.cells is None else control.cells & ~treated
        of_program = np.asarray(usage[:, column[program]])
        positive = of_program[of_program > 0]
        level = OFF * np.median(positive) if positive.size else 0.0
        means = [of_program[cells].mean() for cells in (treated, others) if cells.any()]
        on = [(of_program[cells] >= level).mean() for cells in (treated, others) if cells.any()]
        if len(means) < 2 or min(*means, *on) <= 0:
            continue
        changed, switched = np.log(means[0] / means[1]), np.log(on[0] / on[1])
        switched = np.clip(switched, min(changed, 0.0), max(changed, 0.0))
        rows.append((unit, program, changed, switched))
    return pd.DataFrame(rows, columns=["unit", "program", "changed", "switched"])
