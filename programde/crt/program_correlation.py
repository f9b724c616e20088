"""How a statistic goes together over programs where guides do nothing.

Under every null law a statistic is, to first order, a sum over randomly chosen cells of per-cell
rows from which the covariates are taken out. Where a few per cent of the cells are chosen its
correlation over programs is that of those rows over cells, whatever the guide: thousands of cells
know it, where control guides are tens.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from programde.crt.control_group import ControlGroup
from programde.crt.options import RunOptions
from programde.crt.population import population_of
from programde.screen.screen import Screen

#: Cells that are looked at; they know a correlation to 0.007.
MOST_CELLS = 20_000
#: Fewer cells per program know too little.
LEAST_PER_PROGRAM = 5


def program_correlation(
    screen: Screen, control: ControlGroup, options: RunOptions, levels: np.ndarray | None = None
) -> pd.DataFrame | None:
    """Correlation of a statistic over programs under the null.

    Parameters
    ----------
    screen
        The screen.
    control
        Who targets are compared with: control cells are looked at where there are some, else all;
        of more than 20,000 every so-many-th.
    options
        What is tested, and how.
    levels : (N,), optional
        Level of each cell, where the analysis is repeated by level: each has its own covariates.

    Returns
    -------
    DataFrame (K, K) or None
        By program name. None with fewer than 5 cells per program.
    """
    cells = np.arange(screen.n_cells) if control.cells is None else np.flatnonzero(control.cells)
    if cells.size > MOST_CELLS:
        cells = cells[np.linspace(0, cells.size - 1, MOST_CELLS).astype(np.intp)]
    if cells.size < LEAST_PER_PROGRAM * screen.n_programs:
        return None
    codes = np.zeros(cells.size, dtype=np.intp)
    if levels is not None:
        codes = np.unique(np.asarray(levels)[cells].astype(str), return_inverse=True)[1]
    rows = np.concatenate(
        [_rows(screen, cells[codes == code], options) for code in np.unique(codes)]
    )
    spread = np.sqrt((rows**2).sum(axis=0))
    rows = np.divide(rows, spread, out=np.zeros_like(rows), where=spread > 0)
    between = rows.T @ rows
    np.fill_diagonal(between, 1.0)  # a program without spread goes with no other
    names = list(screen.program_names)
    return pd.DataFrame(between, index=names, columns=names)


def _rows(screen: Screen, cells: np.ndarray, options: RunOptions) -> np.ndarray:
    """What is summed, the covariates taken out, in these cells."""
    population = population_of(screen, cells)
    rows = options.statistic.prepare(population).summands
    return np.asarray(rows - population.basis @ (population.basis.T @ rows))
