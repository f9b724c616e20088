"""Covariates of `formula="auto"`: every continuous covariate curved, with a slope per batch.

A covariate that enters the propensity or the outcome curved, and is modelled straight, confounds
still: true nulls are rejected many times too often. Cells are many, so a few columns more cost no
power. How many there may be depends on the number of cells alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from programde.errors import some
from programde.screen.columns import CURVED, INTERACTION, Column
from programde.screen.splines import curved_columns

#: Degrees of freedom of a spline, where cells are many.
DF = 4
#: A column more takes so many cells, and a batch whose slope is its own takes as many.
CELLS_PER_COLUMN = 50
#: A propensity of so many columns is fitted in a blink; the time grows with their square.
MAX_COLUMNS = 64


def automatic_columns(
    continuous: Mapping[str, tuple[np.ndarray, np.ndarray]],
    batches: Mapping[str, np.ndarray],
    n_straight: int,
    notes: list[str],
) -> list[Column]:
    """Curved columns and slopes beside the straight columns.

    Parameters
    ----------
    continuous
        Name -> (values, the straight column), (N,) each.
    batches
        Name of each batch (``batch=b1``) but the first -> its indicator (N,).
    n_straight
        Straight columns, the intercept and indicators among them.
    notes
        Gets a sentence where there are fewer columns than with more cells.

    Returns
    -------
    list of Column
        Curvature, then slopes; none may be independent of the others in odd data.
    """
    if not continuous:
        return []
    n_cells = len(next(iter(continuous.values()))[0])
    sizes = {name: int(indicator.sum()) for name, indicator in batches.items()}
    df, sloped, large = what_fits(n_cells, list(continuous), sizes, n_straight, notes)
    columns = [
        Column(f"{name} spline {j + 2}", column, CURVED)
        for name, (values, _) in continuous.items()
        for j, column in enumerate(curved_columns(values, df).T)
    ]
    columns += [
        Column(f"{batch} x {name}", batches[batch] * continuous[name][1], INTERACTION)
        for name in sloped
        for batch in large
    ]
    return columns


def what_fits(
    n_cells: int,
    continuous: Sequence[str],
    batches: Mapping[str, int],
    n_straight: int,
    notes: list[str],
) -> tuple[int, list[str], list[str]]:
    """Which columns there are beside the straight ones.

    Parameters
    ----------
    n_cells
        N.
    continuous
        Names of the continuous covariates.
    batches
        Name of each batch but the first -> its number of cells.
    n_straight, notes
        See `automatic_columns`.

    Returns
    -------
    df
        Degrees of freedom of the splines.
    sloped
        Covariates with a slope per batch.
    large
        Batches that have one.
    """
    large = [name for name, size in batches.items() if size >= CELLS_PER_COLUMN]
    df, n_slopes, room = _what_fits(n_cells, len(continuous), len(large), n_straight)
    sloped = list(continuous)[:n_slopes]
    _say(notes, df, room, n_cells, list(continuous)[n_slopes:] if large else [])
    if len(large) < len(batches) and sloped:
        small = [name for name in batches if name not in large]
        notes.append(
            f"covariates.formula=auto: no slopes of their own for batches of fewer than "
            f"{CELLS_PER_COLUMN} cells: {some(small)}"
        )
    return df, sloped, large


def _what_fits(
    n_cells: int, n_continuous: int, n_batches: int, n_straight: int
) -> tuple[int, int, int]:
    """Degrees of freedom, number of covariates with slopes, number of columns that there may be."""
    room = min(MAX_COLUMNS, n_cells // CELLS_PER_COLUMN)
    # slopes give way before curvature does: a curve left out is the worse of the two
    choices = [(DF, n_continuous)]
    choices += [(DF - 1, slopes) for slopes in range(n_continuous, -1, -1)]
    choices += [(2, 0)]
    for df, slopes in choices:
        if n_straight + n_continuous * (df - 1) + slopes * n_batches <= room:
            return df, slopes, room
    return 1, 0, room


def _say(notes: list[str], df: int, room: int, n_cells: int, without_slopes: Sequence[str]) -> None:
    parts = []
    if df == 1:
        parts.append("continuous covariates enter straight")
    elif df < DF:
        parts.append(f"splines have {df} degrees of freedom, not {DF}")
    if without_slopes:
        parts.append(f"no slopes per batch of {some(without_slopes)}")
    if parts:
        most = "1 column" if room <= 1 else f"{room} columns"
        notes.append(
            f"covariates.formula=auto: {'; '.join(parts)}, for {n_cells:,} cells carry at most "
            + most
        )
