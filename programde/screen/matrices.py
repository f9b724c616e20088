"""Matrices of whatever kind as numbers: masked is missing, and what is no number is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from pandas.api import types
from scipy import sparse

from programde.errors import InputError
from programde.screen.alignment import as_array

NUMBERS = "biuf"
#: What the kinds of numpy types that are no numbers hold, in words.
KINDS = {"c": "complex numbers", "M": "dates", "m": "time spans", "V": "records"}


def flat_table(table: pd.DataFrame, what: str) -> pd.DataFrame:
    """The table itself, or an InputError where its rows or columns have names of several parts."""
    for side, index in (("rows", table.index), ("columns", table.columns)):
        if isinstance(index, pd.MultiIndex):
            raise InputError(
                f"{what}: its {side} have names of {index.nlevels} parts (a MultiIndex); join "
                "them to one text each"
            )
    return table


def what_it_holds(dtype: Any) -> str:
    """What a column holds that is neither numbers nor text nor yes and no; empty otherwise."""
    if types.is_complex_dtype(dtype):
        return "complex numbers"
    if types.is_datetime64_any_dtype(dtype):
        return "dates"
    if types.is_timedelta64_dtype(dtype):
        return "time spans"
    if isinstance(dtype, pd.PeriodDtype):
        return "periods"
    if isinstance(dtype, pd.IntervalDtype):
        return "intervals"
    return ""


def _is_sparse(values: Any) -> bool:
    return bool(sparse.issparse(values))


def dense_numbers(values: Any, what: str) -> np.ndarray:
    """A float64 copy of a matrix, table or list; masked and missing entries are NaN.

    Parameters
    ----------
    values
        Array (masked, too, and of any numeric type and byte order), sparse matrix, DataFrame or
        nested lists; also numbers written as text.
    what
        Name of the matrix, for messages.

    Returns
    -------
    np.ndarray, float64

    Raises
    ------
    InputError
        It holds complex numbers, dates, time spans, or anything else that is no number.
    """
    if isinstance(values, pd.DataFrame):
        values = _table_values(values, what)
    if _is_sparse(values):
        return np.array(_triplets(values, what).toarray())
    mask = np.ma.getmaskarray(values) if isinstance(values, np.ma.MaskedArray) else None
    array = as_array(values, what)
    _check_kind(array.dtype, what)
    try:
        out = np.array(array, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{what} does not hold numbers: {first_line(error)}") from None
    if mask is not None:
        out[mask] = np.nan
    return out


def sparse_numbers(values: Any, what: str) -> sparse.csc_matrix:
    """A copy in compressed columns, float64; entries that are stored twice are added.

    They are added as float64: in the type they came in, 128 + 128 may be 0. A matrix of yes and no
    stays one of ones.

    Raises
    ------
    InputError
        Not a matrix, or not of numbers; see `dense_numbers`.
    """
    if isinstance(values, pd.DataFrame):
        values = _table_values(values, what)
    if not _is_sparse(values):
        if isinstance(values, np.ma.MaskedArray) or as_array(values, what).dtype.kind in "OSU":
            values = dense_numbers(values, what)
        values = as_array(values, what)
        if values.ndim != 2:
            raise InputError(
                f"{what} must be a matrix (cells x guides), its shape is {values.shape}"
            )
        _check_kind(values.dtype, what)
        rows, columns = np.nonzero(values)
        data = np.asarray(values)[rows, columns].astype(np.float64)
        return sparse.csc_matrix((data, (rows, columns)), shape=values.shape)
    if len(values.shape) != 2:
        raise InputError(f"{what} must be a matrix (cells x guides), its shape is {values.shape}")
    out = sparse.csc_matrix(_triplets(values, what))  # adds what is there twice
    if values.dtype.kind == "b":
        out.data = np.minimum(out.data, 1.0)
    return out


def _triplets(matrix: Any, what: str) -> sparse.coo_matrix:
    """A sparse matrix as float64 entries with their rows and columns.

    scipy works on few types in the byte order of the machine; files and other libraries hold more.
    """
    _check_kind(matrix.dtype, what)
    try:
        data = np.asarray(matrix.data)
        if matrix.format in ("csr", "csc") and data.dtype != np.float64:
            kind = sparse.csr_matrix if matrix.format == "csr" else sparse.csc_matrix
            matrix = kind((data.astype(np.float64), matrix.indices, matrix.indptr), matrix.shape)
        coo = matrix.tocoo()
        values = np.asarray(coo.data).astype(np.float64)
        return sparse.coo_matrix((values, (coo.row, coo.col)), shape=coo.shape)
    except (TypeError, ValueError) as error:
        raise InputError(f"{what} does not hold numbers: {first_line(error)}") from None


def _table_values(table: pd.DataFrame, what: str) -> Any:
    """The values of a table, sparse where the table is."""
    for name, dtype in zip(table.columns, flat_table(table, what).dtypes, strict=True):
        if held := what_it_holds(dtype):
            raise InputError(f"{what} does not hold numbers: column {str(name)!r} holds {held}")
    is_sparse = len(table.columns) > 0 and all(
        isinstance(t, pd.SparseDtype) and t.fill_value == 0 for t in table.dtypes
    )
    if is_sparse:
        return table.sparse.to_coo()  # type: ignore[attr-defined]
    if any(types.is_extension_array_dtype(t) for t in table.dtypes):
        try:
            return table.to_numpy(dtype=np.float64, na_value=np.nan)
        except (TypeError, ValueError) as error:
            raise InputError(f"{what} does not hold numbers: {first_line(error)}") from None
    return table.to_numpy()


def _check_kind(dtype: np.dtype, what: str) -> None:
    if dtype.kind not in NUMBERS + "OSU":
        held = KINDS.get(dtype.kind, str(dtype))
        raise InputError(f"{what} does not hold numbers but {held}")


def first_line(error: BaseException) -> str:
    """First line of an exception's message, or its type where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
