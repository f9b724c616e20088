"""Covariates: from a table of numbers and labels to a matrix of full column rank.

Text, category and bool columns, and numbers with few distinct values, are one-hot encoded without
their first level; other numbers are z-scored, z = (x - mean) / sd (population sd); an intercept is
added. By a formula (``auto`` by default) there are columns beside these, for curvature and for
interactions, each on a rung of its own (`Encoded.tiers`). A column that is constant or a linear
combination of those before it is dropped: `columns.independent_columns`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from programde.errors import InputError, some, tell
from programde.screen.auto_formula import automatic_columns
from programde.screen.columns import (
    STRAIGHT,
    Column,
    independent_columns,
    is_constant,
    levels_of,
    unique_names,
    with_indicators,
    z_score,
)
from programde.screen.covariate_table import INTERCEPT, batch_labels, covariate_frame
from programde.screen.formula import AUTO, is_written
from programde.screen.options import CovariateOptions
from programde.screen.written_columns import written_columns

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
        What was dropped, or left out for want of cells, one sentence each.
    tiers : (p,) int8
        0 for the intercept, indicators and straight columns, 1 for curvature, 2 for interactions,
        ascending: what a propensity may give up where treated cells are few.
    """

    matrix: np.ndarray
    names: list[str]
    notes: list[str] = field(default_factory=list)
    tiers: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int8))


def encode_covariates(
    table: pd.DataFrame | np.ndarray | Any,
    add_intercept: bool = True,
    standardize: bool = True,
    numeric_as_category_threshold: int | None = 20,
    formula: str = AUTO,
    *,
    batch: str | None = None,
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
    formula
        ``"auto"``: beside the straight columns a natural cubic spline of every continuous
        covariate, and its slope in each batch, as far as the number of cells allows; ``"linear"``:
        straight columns alone; or a Wilkinson formula, see docs/covariates.md.
    batch
        Column of the table by whose levels slopes differ under ``"auto"``; None: no slopes.

    Returns
    -------
    Encoded

    Raises
    ------
    InputError
        Missing, NaN or infinite values (the column is named), columns of the same name, a text
        column with a level for nearly each cell, or so many columns that no cell is left over.
    OptionError
        A formula that cannot be read.
    """
    CovariateOptions(  # checks them
        add_intercept, standardize, numeric_as_category_threshold, formula
    )
    frame = covariate_frame(table)
    notes: list[str] = []
    constant: list[str] = []
    has_ones = False
    if is_written(formula):
        columns = written_columns(
            frame,
            formula,
            add_intercept=add_intercept,
            standardize=standardize,
            threshold=numeric_as_category_threshold,
            notes=notes,
        )
        constant = [c.name for c in columns if c.tier == STRAIGHT and is_constant(c.values)]
        columns = [c for c in columns if not is_constant(c.values)]
    else:
        columns = []
        continuous: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        for name, values, is_numeric in with_indicators(frame, numeric_as_category_threshold):
            if is_numeric and bool((values == 1).all()):
                has_ones = True
                if name.lower() not in INTERCEPT_NAMES and add_intercept:
                    constant.append(name)
            elif is_constant(values):
                constant.append(name)
            else:
                straight = z_score(values) if is_numeric and standardize else values
                columns.append(Column(name, straight))
                if is_numeric:
                    continuous[name] = (values, z_score(values))
        if formula == AUTO:
            batches = _batches(frame, batch, numeric_as_category_threshold)
            n_straight = len(columns) + int(add_intercept or has_ones)
            columns += automatic_columns(continuous, batches, n_straight, notes)
    if add_intercept or has_ones:
        columns.insert(0, Column(INTERCEPT, np.ones(len(frame))))
    if constant:
        tell(f"constant covariate(s) dropped: {some(constant, 20)}", notes)
    if not columns:
        raise InputError("no covariate is left and add_intercept is False; add the intercept")
    return _of_full_rank(columns, len(frame), notes)


def _batches(
    frame: pd.DataFrame, batch: str | None, threshold: int | None
) -> dict[str, np.ndarray]:
    """Name and indicator (N,) of each batch but the first; none where batches are no labels."""
    held = levels_of(frame[batch], threshold) if batch in frame else None
    if held is None:
        return {}
    labels, codes = held
    return {
        f"{batch}={label}": (codes == j).astype(np.float64) for j, label in enumerate(labels) if j
    }


def _of_full_rank(columns: list[Column], n_cells: int, notes: list[str]) -> Encoded:
    """The columns that are independent of those before them; lower rungs come first."""
    matrix = np.column_stack([column.values for column in columns])
    names = unique_names([column.name for column in columns])
    tiers = np.array([column.tier for column in columns], dtype=np.int8)
    kept = independent_columns(matrix)
    if len(kept) < matrix.shape[1]:
        matrix = np.ascontiguousarray(matrix[:, kept])
    tell_dependent(names, tiers, kept, n_cells, notes)
    return Encoded(matrix, [names[j] for j in kept.tolist()], notes, tiers[kept])


def tell_dependent(
    names: list[str], tiers: np.ndarray, kept: np.ndarray, n_cells: int, notes: list[str]
) -> None:
    """Tell which columns are not kept; an InputError where there are as many as cells."""
    lost = sorted(set(range(len(names))) - set(kept.tolist()))
    straight = [names[j] for j in lost if tiers[j] == STRAIGHT]
    further = [names[j] for j in lost if tiers[j] != STRAIGHT]
    what = "that are linear combinations of the others dropped"
    if straight:
        tell(f"covariate column(s) {what}: {some(straight, 20)}", notes)
    if further:  # of no consequence: the others span the same
        notes.append(f"curved or product column(s) {what}: {some(further, 20)}")
    if len(kept) >= n_cells - 1:
        raise InputError(
            f"{len(kept)} independent covariate columns for {n_cells} cells leave nothing "
            "to test; use fewer covariates or more cells"
        )


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
    parts = with_indicators(frame, numeric_as_category_threshold, drop_first)
    encoded: dict[str, np.ndarray] = {}
    names = unique_names([name for name, _, _ in parts])
    for name, (_, values, _) in zip(names, parts, strict=True):
        encoded[name] = values
    return pd.DataFrame(encoded, index=frame.index)
