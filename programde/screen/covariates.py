"""Covariates: from a table of numbers and labels to a matrix of full column rank.

Text, category and bool columns, and numbers with few distinct values, are one-hot encoded without
their first level; other numbers are z-scored, z = (x - mean) / sd (population sd); an intercept is
added. A column that is constant or a linear combination of the columns before it is dropped and
named: the rank comes from a QR decomposition C = QR, in which the columns of R have the same
lengths and angles as those of C; each is scaled to length 1 and kept if what the kept ones leave
of it is longer than a tolerance.

Source: G. H. Golub and C. F. Van Loan, "Matrix Computations", 4th ed., sections 5.2 and 5.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from pandas.api import types

from programde.errors import InputError, OptionError, some, tell
from programde.screen.covariate_table import INTERCEPT, batch_labels, covariate_frame
from programde.screen.options import CovariateOptions

__all__ = [
    "INTERCEPT",
    "Encoded",
    "batch_labels",
    "covariate_frame",
    "encode_categorical_covariates",
    "encode_covariates",
    "independent_columns",
]

INTERCEPT_NAMES = frozenset({"intercept", "(intercept)", "const", "constant"})


@dataclass(frozen=True)
class Encoded:
    """Encoded covariates.

    Attributes
    ----------
    matrix : (N, p) float64
        Full column rank; the intercept, if any, first.
    names
        Names of the p columns.
    notes
        What was dropped, one sentence each.
    """

    matrix: np.ndarray
    names: list[str]
    notes: list[str] = field(default_factory=list)


def encode_covariates(
    table: pd.DataFrame | np.ndarray | Any,
    add_intercept: bool = True,
    standardize: bool = True,
    numeric_as_category_threshold: int | None = 20,
) -> Encoded:
    """Encode covariates as a matrix of full column rank.

    Parameters
    ----------
    table : (N, m) DataFrame or array
        The covariates. A column of ones is taken as the intercept.
    add_intercept
        Put a column of ones first.
    standardize
        Z-score the columns that stay numeric.
    numeric_as_category_threshold
        Numeric columns with at most this many distinct values (and at least two cells per value
        on average) are one-hot encoded; None: never.

    Returns
    -------
    Encoded

    Raises
    ------
    InputError
        Missing, NaN or infinite values (the column is named), columns of the same name, a text
        column with a level for nearly each cell, or so many columns that no cell is left over.
    """
    CovariateOptions(add_intercept, standardize, numeric_as_category_threshold)  # checks them
    frame = covariate_frame(table)
    parts = _dummies(frame, numeric_as_category_threshold)
    n_cells = len(frame)
    columns: list[np.ndarray] = []
    names: list[str] = []
    notes: list[str] = []
    constant: list[str] = []
    has_ones = False
    for name, values, is_numeric in parts:
        if is_numeric and bool((values == 1).all()):
            has_ones = True
            if name.lower() not in INTERCEPT_NAMES and add_intercept:
                constant.append(name)
        elif _is_constant(values):
            constant.append(name)
        else:
            columns.append(_z_score(values) if is_numeric and standardize else values)
            names.append(name)
    if add_intercept or has_ones:
        columns.insert(0, np.ones(n_cells))
        names.insert(0, INTERCEPT)
    if constant:
        tell(f"constant covariate(s) dropped: {some(constant, 20)}", notes)
    matrix = np.column_stack(columns) if columns else np.empty((n_cells, 0))
    names = _unique(names)
    kept = independent_columns(matrix)
    if len(kept) < matrix.shape[1]:
        lost = [name for j, name in enumerate(names) if j not in set(kept.tolist())]
        tell(
            f"covariate column(s) that are linear combinations of the others dropped: "
            f"{some(lost, 20)}",
            notes,
        )
        matrix, names = np.ascontiguousarray(matrix[:, kept]), [names[j] for j in kept.tolist()]
    if matrix.shape[1] == 0:
        raise InputError("no covariate is left and add_intercept is False; add the intercept")
    if matrix.shape[1] >= n_cells - 1:
        raise InputError(
            f"{matrix.shape[1]} independent covariate columns for {n_cells} cells leave nothing "
            "to test; use fewer covariates or more cells"
        )
    return Encoded(matrix, names, notes)


def independent_columns(
    C: np.ndarray, names: Sequence[str] | None = None, tol: float = 1e-7
) -> np.ndarray:
    """Indices of the columns that are not linear combinations of columns before them.

    Parameters
    ----------
    C : (N, p) float64
        Finite.
    names
        Names of the columns, for the message where C is not finite.
    tol
        A column is dependent where the part of it that earlier kept columns leave is shorter
        than `tol` times the column. The scale of a column makes no difference.

    Returns
    -------
    np.ndarray
        Increasing indices of the kept columns; columns of zeros are not kept.
    """
    C = np.asarray(C, dtype=np.float64)
    n, p = C.shape
    if n == 0 or p == 0:
        return np.empty(0, dtype=np.intp)
    largest = np.abs(C).max(axis=0)
    if not np.isfinite(largest).all():
        bad = np.flatnonzero(~np.isfinite(largest)).tolist()
        raise InputError(f"covariates not finite: {some([names[j] if names else j for j in bad])}")
    scaled = C * _power_of_two(largest)
    R: np.ndarray = np.asarray(np.linalg.qr(scaled, mode="r")) if n > p else scaled
    lengths = np.linalg.norm(R, axis=0)
    rest = np.divide(R, lengths, out=np.zeros_like(R), where=lengths > 0)
    kept: list[int] = []
    basis = np.empty((R.shape[0], min(R.shape)))
    for j in range(p):
        column = rest[:, j]
        for _ in range(2):  # twice is enough for orthogonality to rounding
            column = column - basis[:, : len(kept)] @ (basis[:, : len(kept)].T @ column)
        length = float(np.linalg.norm(column))
        if length > tol and len(kept) < basis.shape[1]:
            basis[:, len(kept)] = column / length
            kept.append(j)
    return np.asarray(kept, dtype=np.intp)


def _dummies(
    frame: pd.DataFrame, threshold: int | None, drop_first: bool = True
) -> list[tuple[str, np.ndarray, bool]]:
    """(name, (N,) float64, stays numeric) of each encoded column, before rank checks."""
    whole = isinstance(threshold, int | np.integer) and not isinstance(threshold, bool)
    if threshold is not None and not whole:
        raise OptionError(f"numeric_as_category_threshold={threshold!r} must be an integer or None")
    columns: list[tuple[str, np.ndarray, bool]] = []
    for name in frame.columns:
        column = frame[name]
        if types.is_float_dtype(column.dtype):
            values = column.to_numpy(dtype=np.float64)
            levels = np.unique(values)
            few = threshold is not None and len(levels) <= min(threshold, len(values) // 2)
            if not few or len(levels) == 1:
                columns.append((name, values, True))
                continue
            labels, codes = [f"{v:g}" for v in levels], np.asarray(np.searchsorted(levels, values))
        elif types.is_bool_dtype(column.dtype):
            labels, codes = ["False", "True"], column.to_numpy(dtype=np.int64)
        else:
            labels = [str(level) for level in column.cat.categories]
            codes = column.cat.codes.to_numpy().astype(np.intp)
        if drop_first and len(labels) == 1:
            columns.append((name, np.zeros(len(codes)), False))
        for j in range(int(drop_first), len(labels)):
            columns.append((f"{name}_{labels[j]}", (codes == j).astype(np.float64), False))
    return columns


def _is_constant(values: np.ndarray) -> bool:
    spread = float(values.max() - values.min()) if len(values) else 0.0
    return bool(spread <= 8 * np.finfo(float).eps * float(np.abs(values).max()))


def _z_score(values: np.ndarray) -> np.ndarray:
    scaled = values * _power_of_two(np.abs(values).max())  # exact, and squares cannot overflow
    scaled = scaled - scaled.mean()
    scaled = scaled - scaled.mean()
    return scaled / np.sqrt(np.mean(scaled * scaled))


def _power_of_two(largest: np.ndarray | float) -> np.ndarray:
    """2**-e with largest * 2**-e in [1/2, 1): a scaling that rounds nothing."""
    _, exponent = np.frexp(np.asarray(largest, dtype=np.float64))
    return np.ldexp(1.0, -np.clip(exponent, -1000, 1000))


def _unique(names: list[str]) -> list[str]:
    seen: dict[str, int] = {}
    out = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        out.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return out


def encode_categorical_covariates(
    df: pd.DataFrame, numeric_as_category_threshold: int | None = 20, drop_first: bool = True
) -> pd.DataFrame:
    """One-hot encode the columns of a covariate table that hold labels; keep the numbers.

    Parameters
    ----------
    df : (N, m) DataFrame
        Covariates.
    numeric_as_category_threshold
        See `encode_covariates`.
    drop_first
        Leave out each column's first level.

    Returns
    -------
    (N, q) DataFrame, float64
        Not z-scored, no intercept, nothing dropped for its rank.
    """
    frame = covariate_frame(df)
    parts = _dummies(frame, numeric_as_category_threshold, drop_first)
    encoded: dict[str, np.ndarray] = {}
    names = _unique([name for name, _, _ in parts])
    for name, (_, values, _) in zip(names, parts, strict=True):
        encoded[name] = values
    return pd.DataFrame(encoded, index=frame.index)
