"""Parts of a screen from several sources, brought to one order of cells by name.

Cells that one source lacks are an error or, if asked, left out; they are never filled in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from programde.errors import InputError, OptionError, check_choice, nearest, some, tell
from programde.screen.alignment import check_rows, row_order
from programde.screen.matrix_rows import StoredMatrix

ON_MISSING = ("error", "drop")


@dataclass
class Piece:
    """One source's share: a matrix or table with a row per cell.

    Attributes
    ----------
    what
        What to call it in messages.
    cells
        Names of its cells, in row order.
    data
        Array, sparse matrix or DataFrame with that many rows.
    """

    what: str
    cells: Sequence[str]
    data: Any


def aligned(matrix: Any, what: str, cells: list[str], notes: list[str]) -> Any:
    """A matrix or table with its rows in the order of the cells of its own modality."""
    if not isinstance(matrix, pd.DataFrame):
        if np.ndim(matrix) == 1 and not hasattr(matrix, "tocsc"):
            matrix = np.asarray(matrix)[:, None]
        check_rows(what, matrix.shape, len(cells))
        return matrix
    order = row_order(what, matrix.index, cells, notes)
    return matrix if order is None else matrix.iloc[order]


def join(pieces: Sequence[Piece], on_missing: str, notes: list[str]) -> list[Any]:
    """Rows of every piece in one order: that of the first piece.

    Parameters
    ----------
    pieces
        At least one; the order of the first holds.
    on_missing
        Cells that a piece lacks: ``"error"``, or ``"drop"``: leave them out of all pieces.
    notes
        Gets the number of cells matched, lost and reordered.

    Returns
    -------
    list
        The names of the cells, then the data of each piece; tables are indexed by cell name.

    Raises
    ------
    InputError
        A name occurs twice within a piece, cells are missing, or nothing is left.
    """
    check_choice("on_missing", on_missing, ON_MISSING)
    indices = []
    for piece in pieces:
        index = pd.Index([str(c) for c in piece.cells], dtype=object)
        rows = piece.data.shape[0]
        if rows != len(index):
            raise InputError(f"{piece.what} has {rows} rows for {len(index)} cells")
        if index.has_duplicates:
            twice = index[index.duplicated()].unique()
            raise InputError(f"{piece.what}: {len(twice)} cell name(s) occur twice: {some(twice)}")
        indices.append(index)
    cells = indices[0]
    for index in indices[1:]:
        cells = cells[cells.isin(index)]
    _report_lost(pieces, indices, cells, on_missing, notes)
    out: list[Any] = [cells.tolist()]
    for piece, index in zip(pieces, indices, strict=True):
        rows = index.get_indexer(cells)
        if np.array_equal(rows, np.arange(len(index))):
            data = piece.data
        else:
            data = _rows(piece.data, rows)
            moved = int((np.diff(rows) < 0).sum())
            if moved:
                notes.append(f"{piece.what}: rows were in another order and now follow the cells")
        if _is_table(data):
            data = data.set_axis(cells, axis=0)
        out.append(data)
    return out


def _rows(data: Any, rows: np.ndarray) -> Any:
    if isinstance(data, StoredMatrix):
        return data.part(rows)
    return data.iloc[rows] if _is_table(data) else data[rows]


def _is_table(data: Any) -> bool:
    return isinstance(data, pd.DataFrame)


def _report_lost(
    pieces: Sequence[Piece],
    indices: list[pd.Index],
    cells: pd.Index,
    on_missing: str,
    notes: list[str],
) -> None:
    lost = {
        piece.what: index.difference(cells, sort=False)
        for piece, index in zip(pieces, indices, strict=True)
    }
    counts = ", ".join(
        f"{len(names)} of {len(index)} in {what}"
        for (what, names), index in zip(lost.items(), indices, strict=True)
        if len(names)
    )
    sources = ", ".join(piece.what for piece in pieces)
    if not counts:
        notes.append(f"{len(cells)} cells matched by name in {sources}; none lost")
        return
    if len(cells) == 0:
        firsts = "; ".join(f"{p.what}: {some(p.cells[:2])}" for p in pieces)
        raise InputError(f"no cell name is in all of {sources} ({firsts})")
    example = next(names[0] for names in lost.values() if len(names))
    if on_missing == "error":
        raise InputError(
            f"{len(cells)} cells matched by name, not matched: {counts} (for example {example}); "
            "set on_missing='drop' to go on without them"
        )
    tell(f"{len(cells)} cells matched by name; left out as not in every source: {counts}", notes)


def covariate_columns(
    lookup: Callable[[str], pd.Series],
    columns: Sequence[str] | None,
    log1p_columns: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Covariates from chosen columns.

    Parameters
    ----------
    lookup
        Gives a column by its name, or raises an InputError.
    columns
        Columns to take as they are.
    log1p_columns
        Columns to take as log(1 + x), named ``log1p_<column>``; they may be in `columns` too.

    Returns
    -------
    (N, m) DataFrame

    Raises
    ------
    InputError
        A column that does not exist, is not numeric or is negative where log1p is asked.
    """
    logs = name_list("log1p_columns", log1p_columns)
    plain = name_list("covar_columns", columns)
    chosen: dict[str, pd.Series] = {}
    for name in [*(c for c in plain if c not in logs), *logs]:
        column = lookup(name)
        if name not in logs:
            chosen[name] = column
            continue
        try:
            values = column.to_numpy(dtype=np.float64)
        except (TypeError, ValueError):
            raise InputError(f"log1p of covariate {name!r}: it does not hold numbers") from None
        if (values < 0).any():
            raise InputError(
                f"log1p of covariate {name!r}: {int((values < 0).sum())} values are negative; "
                "it may be on a log scale already"
            )
        chosen[f"log1p_{name}"] = pd.Series(np.log1p(values), index=column.index)
    if not chosen:
        raise InputError("no covariate columns were chosen")
    return pd.DataFrame(chosen)


def name_list(what: str, names: Sequence[str] | None) -> list[str]:
    """Column names as a list without repeats; anything else is an OptionError."""
    if isinstance(names, str | bytes) or not isinstance(names, Iterable | None):
        raise OptionError(f"{what}={names!r} must be a list of column names")
    return [] if names is None else list(dict.fromkeys(str(name) for name in names))


def column_of(table: pd.DataFrame, what: str) -> Callable[[str], pd.Series]:
    """A lookup in one table, for `covariate_columns`."""

    def lookup(name: str) -> pd.Series:
        if name not in table.columns:
            raise InputError(f"{what} has no column {name!r}{nearest(name, table.columns)}")
        return table[name]

    return lookup
