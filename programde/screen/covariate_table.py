"""The covariates as a table of numbers, labels and yes or no; anything else is refused by name."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pandas as pd
from pandas.api import types

from programde.errors import InputError, some
from programde.screen.alignment import as_array
from programde.screen.matrices import flat_table, what_it_holds
from programde.screen.names import ONCE_MISSING, name_list, refuse_missing, text

INTERCEPT = "intercept"
MAX_LEVELS = 2000
LABEL_KINDS = ("dates", "periods")


def covariate_frame(table: Any, what: str = "covariates") -> pd.DataFrame:
    """Covariates as a table of float64, bool and category columns, with text column names.

    Mixed columns become text; columns of numbers stored as objects become numbers.

    Parameters
    ----------
    table : (N, m) DataFrame, Series or array
        Not modified.
    what
        Name of the table, for messages.

    Returns
    -------
    pd.DataFrame
        N rows, the index of `table`.

    Raises
    ------
    InputError
        As `encode_covariates`.
    """
    if isinstance(table, pd.Series):
        table = table.to_frame()
    if not isinstance(table, pd.DataFrame):
        table = _frame_from_array(table, what)
    names = name_list(f"columns of {what}", flat_table(table, what).columns)
    if len(set(names)) != len(names):
        twice = sorted({n for n in names if names.count(n) > 1})
        raise InputError(f"{what}: columns of the same name: {some(twice)}")
    if len(table) == 0:
        raise InputError(f"{what} have no rows")
    clean = {name: _clean_column(table.iloc[:, j], name).array for j, name in enumerate(names)}
    return pd.DataFrame(clean, index=table.index, columns=names)


def _frame_from_array(table: Any, what: str) -> pd.DataFrame:
    if isinstance(table, np.ma.MaskedArray):
        values: Any = table  # pandas knows that masked is missing, numpy's asarray does not
    else:
        values = table.toarray() if hasattr(table, "toarray") else as_array(table, what)
    if values.ndim == 1:
        values = values[:, None]
    if values.ndim != 2:
        raise InputError(f"{what} must be a table (cells x columns), shape is {values.shape}")
    names = [f"covar_{j}" for j in range(values.shape[1])]
    ones = [j for j in range(values.shape[1]) if len(values) and _all_ones(values[:, j])]
    if ones:
        names[ones[0]] = INTERCEPT  # an array of covariates often carries its intercept
    return pd.DataFrame(values, columns=names)


def _all_ones(values: np.ndarray) -> bool:
    # truth values are no numbers; times and spans of time cannot be compared with one
    return values.dtype.kind not in "bmM" and bool(np.all(values == 1))


def _clean_column(column: pd.Series, name: str) -> pd.Series:
    held = what_it_holds(column.dtype)
    if held and held not in LABEL_KINDS:  # a date may well be the name of a batch
        raise InputError(f"covariate {name!r} holds {held}; make it a label (text) or a number")
    missing = int(column.isna().sum())
    if missing:
        first = some(column.index[column.isna().to_numpy()][:3])
        raise InputError(
            f"covariate {name!r}: {missing} of {len(column)} values are missing (first: {first})"
        )
    if types.is_bool_dtype(column.dtype):
        return column.astype(bool)
    if types.is_numeric_dtype(column.dtype):
        return _finite(column, name)
    if not isinstance(column.dtype, pd.CategoricalDtype):
        as_numbers = _numbers_in_disguise(column)
        if as_numbers is not None:
            return _finite(as_numbers, name)
        _check_labels(column, name)
        column = column.map(text)
        levels = sorted(column.unique())
    else:
        texts = [text(level) for level in column.cat.categories]
        present = column.cat.remove_unused_categories().cat.categories
        levels = [text(level) for level in present]
        column = pd.Series(np.asarray(texts, dtype=object)[column.cat.codes], index=column.index)
        levels = list(dict.fromkeys(levels))
    if not ONCE_MISSING.isdisjoint(levels):
        refuse_missing(f"covariate {name!r}", list(column), ONCE_MISSING, list(column.index))
    if len(levels) > max(50, min(MAX_LEVELS, len(column) // 5)):
        raise InputError(
            f"covariate {name!r} has {len(levels)} different labels for {len(column)} cells; "
            "leave it out, or make it numeric"
        )
    return pd.Series(pd.Categorical(column, categories=levels), index=column.index)


def _check_labels(column: pd.Series, name: str) -> None:
    """Raise an InputError where an entry is no label: a list, a time span, a table."""
    labels = (
        str | bytes | bool | np.bool_ | int | float | np.integer | np.floating | date | pd.Period
    )
    odd = [kind for kind in set(column.map(type)) if not issubclass(kind, labels)]
    if odd:
        kinds = some(sorted(kind.__name__ for kind in odd))
        raise InputError(
            f"covariate {name!r} holds values of type {kinds}; make it a label (text) or a number"
        )


def _finite(column: pd.Series, name: str) -> pd.Series:
    values = column.to_numpy(dtype=np.float64)
    wrong = ~np.isfinite(values)
    if wrong.any():
        raise InputError(
            f"covariate {name!r}: {int(wrong.sum())} of {len(values)} values are NaN or infinite "
            f"(first: {some(column.index[wrong][:3])})"
        )
    return pd.Series(values, index=column.index)


def _numbers_in_disguise(column: pd.Series) -> pd.Series | None:
    """Numbers stored as objects, as numbers; None where any entry is text, bool or else."""
    kinds = set(column.map(type))
    if all(issubclass(k, int | float | np.integer | np.floating) for k in kinds) and not (
        kinds & {bool, np.bool_}
    ):
        return pd.Series(column.to_numpy(dtype=np.float64), index=column.index)
    return None


def batch_labels(table: pd.DataFrame, key: str, what: str = "batch") -> np.ndarray:
    """Batch (or condition) label of each cell, as str.

    Parameters
    ----------
    table : (N, m) DataFrame
        Covariates that hold a column `key`.
    key
        Name of the batch column.
    what
        What to call it in messages.

    Returns
    -------
    (N,) object
        Labels; whole numbers without a decimal point.

    Raises
    ------
    InputError
        Missing labels, with their count.
    """
    column = table[key]
    missing = int(column.isna().sum())
    if missing:
        raise InputError(f"{what} column {key!r}: {missing} of {len(column)} labels are missing")
    if types.is_float_dtype(column.dtype):
        values = column.to_numpy(dtype=np.float64)
        if not np.isfinite(values).all():
            wrong = int((~np.isfinite(values)).sum())
            raise InputError(f"{what} column {key!r}: {wrong} labels are infinite")
        return np.array([f"{v:.0f}" if v == int(v) else repr(v) for v in values.tolist()], object)
    if isinstance(column.dtype, pd.CategoricalDtype):  # of which many cells have few
        names = np.array([text(v) for v in column.cat.categories], dtype=object)
        if ONCE_MISSING.isdisjoint(names):
            return names[column.cat.codes.to_numpy()]
    labels = [text(v) for v in column]
    if not ONCE_MISSING.isdisjoint(labels):
        refuse_missing(f"{what} column {key!r}", labels, ONCE_MISSING, list(column.index))
    return np.array(labels, dtype=object)
