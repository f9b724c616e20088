"""Cells in one order: names are compared, rows reordered or refused, never assumed to agree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from programde.errors import InputError, some, tell


def check_rows(what: str, shape: tuple[int, ...], n_cells: int) -> None:
    """Raise an InputError unless `what` is a matrix with one row per cell."""
    if len(shape) != 2:
        raise InputError(f"{what} must be a matrix (cells x columns), it has shape {shape}")
    if shape[0] != n_cells:
        hint = "; it looks transposed" if shape[1] == n_cells else ""
        raise InputError(f"{what} has {shape[0]} rows for {n_cells} cells{hint}")


def as_array(values: Any, what: str) -> np.ndarray:
    """An array, or an InputError where nested lists have different lengths."""
    try:
        return np.asarray(values)
    except ValueError:
        raise InputError(f"{what} is no matrix: its rows have different lengths") from None


def row_order(
    what: str, index: pd.Index, cell_names: Sequence[str], notes: list[str]
) -> np.ndarray | None:
    """The order in which to take the rows of a table so that they follow `cell_names`.

    Parameters
    ----------
    what
        Name of the table, for messages.
    index
        Row names of the table; a plain ``RangeIndex`` carries no names and is taken by position.
    cell_names
        Names of the N cells.
    notes
        Gets a sentence where rows are reordered.

    Returns
    -------
    np.ndarray or None
        (N,) row positions, or None where the table is in order already.

    Raises
    ------
    InputError
        The number of rows or the names disagree, or a name is there twice and order differs.
    """
    if len(index) != len(cell_names):
        raise InputError(f"{what} has {len(index)} rows for {len(cell_names)} cells")
    rows = pd.Index(np.asarray(index).astype(str), dtype=object)
    cells = pd.Index([str(c) for c in cell_names], dtype=object)
    if rows.equals(cells):
        return None
    unnamed = isinstance(index, pd.RangeIndex) and index.start == 0 and index.step == 1
    missing = cells.difference(rows)
    if len(missing):
        if unnamed:
            return None
        raise InputError(
            f"{what}: {len(missing)} of {len(cells)} cells are not in its index "
            f"(first: {some(missing[:3])}; the index begins with {some(rows[:3], 3)})"
        )
    if rows.has_duplicates or cells.has_duplicates:
        twice = some(rows[rows.duplicated()].unique()[:3])
        raise InputError(f"{what}: cell names are not unique ({twice}), so rows cannot be aligned")
    order = rows.get_indexer(cells)
    moved = int((order != np.arange(len(order))).sum())
    tell(f"{what}: {moved} of {len(cells)} rows reordered to follow the cell names", notes)
    return order
