"""Checks of the plain tables that diagnostics take: p-values, labels, results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from ..errors import InputError, nearest

Metrics = dict[str, float | int]


def as_p_table(p_values: pd.DataFrame | pd.Series | np.ndarray, what: str) -> pd.DataFrame:
    """P-values as a float64 table of units x programs; NaN stays, anything outside 0..1 is refused.

    Parameters
    ----------
    p_values
        Units x programs, or one column of p-values.
    what
        How an error line names the table.

    Raises
    ------
    InputError
        A value is not a number, infinite, below 0 or above 1: says how many and shows the first.
    """
    table = p_values if isinstance(p_values, pd.DataFrame) else pd.DataFrame(p_values)
    try:
        table = table.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{what}: p-values must be numbers ({error})") from None
    values = table.to_numpy()
    wrong = ~np.isnan(values) & ~((values >= 0.0) & (values <= 1.0))
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise InputError(
            f"{what}: {int(wrong.sum())} p-values lie outside 0 to 1, the first is "
            f"{values[row, column]} at ({table.index[row]}, {table.columns[column]})"
        )
    return table


def as_p_vector(p_values: object, what: str) -> np.ndarray:
    """The finite p-values of any array or table as one float64 vector, in row order.

    Raises
    ------
    InputError
        As `as_p_table`.
    """
    if isinstance(p_values, pd.DataFrame | pd.Series):
        table = as_p_table(p_values, what)
    else:
        table = as_p_table(np.ravel(np.asarray(p_values)), what)
    values = table.to_numpy().ravel()
    return values[~np.isnan(values)]


def as_labels(labels: Sequence[object] | pd.Series | None, n: int, key: str) -> np.ndarray | None:
    """Integer codes 0..L-1 of `n` labels, in order of first appearance; None stays None.

    Raises
    ------
    InputError
        The number of labels is not `n`, or a label is missing.
    """
    if labels is None:
        return None
    if len(labels) != n:
        raise InputError(f"{key} holds {len(labels)} labels for {n} units; give one label per unit")
    codes, _ = pd.factorize(np.asarray(labels, dtype=object))
    if (codes < 0).any():
        raise InputError(f"{key}: {int((codes < 0).sum())} labels are missing; give every unit one")
    return codes


def need_columns(table: pd.DataFrame, columns: Iterable[str], what: str) -> None:
    """Raise an InputError for the first of `columns` that `table` lacks."""
    for column in columns:
        if column not in table.columns:
            raise InputError(f"{what} has no column {column!r}{nearest(column, table.columns)}")


def tested_column(table: pd.DataFrame) -> str:
    """The column that says what was tested: `guide` where there is one, else `target`."""
    return "guide" if "guide" in table.columns else "target"


def counted(n: int, noun: str) -> str:
    """A count with its noun: "1 target", "1,204 targets"."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
