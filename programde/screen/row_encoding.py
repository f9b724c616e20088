"""Covariates encoded row by row: the columns of `covariates`, without a matrix of all cells.

What a column is made of (levels, means, knots, which batches have slopes) is found on the table of
covariates, which is small; the columns themselves are made for the rows that are asked for. Whether
they are independent follows from the factor R of their QR factorization, which blocks of rows give
one after another: the R of a block below the R so far is that of all rows so far.

Source: J. Demmel, L. Grigori, M. Hoemmen and J. Langou, "Communication-optimal parallel and
sequential QR and LU factorizations", SIAM J. Sci. Comput. 34 (2012) A206-A239, section 2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
import pandas as pd
from pandas.api import types
from threadpoolctl import threadpool_limits

from programde.errors import InputError, some, tell
from programde.memory import must_fit
from programde.screen.auto_formula import what_fits
from programde.screen.columns import (
    CURVED,
    INTERACTION,
    STRAIGHT,
    ZScore,
    beyond,
    check_threshold,
    independent_columns,
    is_constant,
    levels_of,
    unique_names,
)
from programde.screen.covariate_table import INTERCEPT
from programde.screen.covariates import (
    INTERCEPT_NAMES,
    Encoded,
    encode_covariates,
    tell_dependent,
)
from programde.screen.formula import AUTO, is_written
from programde.screen.matrix_rows import HeldRows, HeldTable, Rows, slices
from programde.screen.options import CovariateOptions
from programde.screen.splines import LEAST_KNOTS, natural_spline, quantile_knots
from programde.threads import in_order

#: Float64 copies of the encoded columns that making them in memory takes at the worst moment.
COPIES = 4
#: Rows of which R is found at once.
TILE = 1024


@dataclass(frozen=True, eq=False)
class Numbers:
    """A covariate that stays numeric.

    Attributes
    ----------
    name
        Its column.
    z
        Its z-score.
    standardized
        Whether that is its straight column, or the values themselves.
    knots, curves
        Knots of its spline, and its curved columns (m, r) in terms of 1, z and the natural spline.
    """

    name: str
    z: ZScore
    standardized: bool
    knots: np.ndarray = field(default_factory=lambda: np.empty(0))
    curves: np.ndarray = field(default_factory=lambda: np.empty((2, 0)))

    def straight(self, rows: pd.DataFrame) -> np.ndarray:
        values = rows[self.name].to_numpy(dtype=np.float64)
        return self.z(values) if self.standardized else values

    def scores(self, rows: pd.DataFrame) -> np.ndarray:
        return self.z(rows[self.name].to_numpy(dtype=np.float64))

    def curve_columns(self, rows: pd.DataFrame) -> np.ndarray:
        """The curved columns (n, r)."""
        z = self.scores(rows)
        spline = np.column_stack([np.ones(z.size), z, natural_spline(z, self.knots)])
        return np.asarray(spline @ self.curves)


@dataclass(frozen=True, eq=False)
class Labels:
    """A covariate that holds labels: indicators of some of its levels.

    Attributes
    ----------
    name
        Its column.
    chosen
        Numbers of the levels that have an indicator.
    values
        The levels, where they are few numbers.
    """

    name: str
    chosen: tuple[int, ...]
    values: np.ndarray | None

    def indicators(self, rows: pd.DataFrame) -> list[np.ndarray]:
        column = rows[self.name]
        codes: np.ndarray
        if self.values is not None:
            codes = np.searchsorted(self.values, column.to_numpy(dtype=np.float64))
        elif types.is_bool_dtype(column.dtype):
            codes = column.to_numpy(dtype=np.int64)
        else:
            codes = column.cat.codes.to_numpy()
        return [(codes == j).astype(np.float64) for j in self.chosen]


@dataclass(frozen=True, eq=False)
class RowEncoding:
    """How rows of the covariate table become rows of the encoded covariates.

    Attributes
    ----------
    intercept
        Whether a column of ones comes first.
    straight
        Straight columns and indicators, in the order of the table.
    curved
        The covariates that have curved columns.
    slopes
        Covariates that have a slope in each of some batches.
    kept
        Which of all these columns are independent; None for all.
    """

    intercept: bool
    straight: tuple[Numbers | Labels, ...]
    curved: tuple[Numbers, ...] = ()
    slopes: tuple[tuple[Numbers, Labels], ...] = ()
    kept: np.ndarray | None = None

    def __call__(self, rows: pd.DataFrame) -> np.ndarray:
        """Encoded rows (n, p) float64 of rows of the table."""
        columns = [np.ones(len(rows))] if self.intercept else []
        for part in self.straight:
            if isinstance(part, Labels):
                columns += part.indicators(rows)
            else:
                columns.append(part.straight(rows))
        for one in self.curved:
            columns += list(one.curve_columns(rows).T)
        for one, batch in self.slopes:
            z = one.scores(rows)
            columns += [inside * z for inside in batch.indicators(rows)]
        chosen = range(len(columns)) if self.kept is None else self.kept.tolist()
        return np.column_stack([columns[j] for j in chosen])


def encode_rows(
    frame: pd.DataFrame,
    add_intercept: bool = True,
    standardize: bool = True,
    numeric_as_category_threshold: int | None = 20,
    formula: str = AUTO,
    *,
    batch: str | None = None,
) -> Encoded:
    """As `covariates.encode_covariates`, with `Rows` for a matrix.

    Parameters
    ----------
    frame : (N, m) DataFrame
        From `covariate_table.covariate_frame`, in memory.
    add_intercept, standardize, numeric_as_category_threshold, formula, batch
        See `covariates.encode_covariates`. The columns of a formula of the user's own are made for
        all cells at once and held in memory.

    Raises
    ------
    InputError
        As `covariates.encode_covariates`; or there is no room for the columns of a formula.
    """
    CovariateOptions(  # checks them
        add_intercept, standardize, numeric_as_category_threshold, formula
    )
    if is_written(formula):
        about = formula.count("+") + formula.count("*") + 2
        must_fit(
            f"covariates.formula of {len(frame):,} cells (auto and linear take no such room)",
            8.0 * COPIES * about * len(frame),
        )
        encoded = encode_covariates(
            frame, add_intercept, standardize, numeric_as_category_threshold, formula, batch=batch
        )
        rows = Rows(HeldRows(encoded.matrix), np.asarray, len(encoded.names), "covariates")
        return replace(encoded, matrix=cast(np.ndarray, rows))
    with threadpool_limits(limits=1):  # tiles are too small to be shared out to threads
        return _encoded(frame, add_intercept, standardize, numeric_as_category_threshold, formula,
                        batch)  # fmt: skip


def _encoded(
    frame: pd.DataFrame,
    add_intercept: bool,
    standardize: bool,
    threshold: int | None,
    formula: str,
    batch: str | None,
) -> Encoded:
    fit = _Fit(frame, add_intercept, standardize, threshold)
    if formula == AUTO:
        fit.curve(batch)
    notes = fit.notes
    if fit.constant:
        tell(f"constant covariate(s) dropped: {some(fit.constant, 20)}", notes)
    if not fit.names:
        raise InputError("no covariate is left and add_intercept is False; add the intercept")
    every, names = fit.encoding(), unique_names(fit.names)
    tiers = np.array(fit.tiers, dtype=np.int8)
    kept = independent_columns(
        triangular_factor(Rows(HeldTable(frame), every, len(names), "covariates"))
    )
    tell_dependent(names, tiers, kept, len(frame), notes)
    rows = Rows(HeldTable(frame), replace(every, kept=kept), len(kept), "covariates")
    matrix = cast(np.ndarray, rows)
    return Encoded(matrix, [names[j] for j in kept.tolist()], notes, tiers[kept])


class _Fit:
    """What the columns are made of, found column by column of the table."""

    def __init__(
        self, frame: pd.DataFrame, add_intercept: bool, standardize: bool, threshold: int | None
    ) -> None:
        check_threshold(threshold)
        self.frame, self.threshold = frame, threshold
        self.notes: list[str] = []
        self.constant: list[str] = []
        self.names: list[str] = []
        self.straight: list[Numbers | Labels] = []
        self.curved: list[Numbers] = []
        self.slopes: list[tuple[Numbers, Labels]] = []
        self.intercept = add_intercept
        for name in frame.columns:
            held = levels_of(frame[name], threshold)
            if held is not None:
                self._labels(name, *held)
                continue
            values = frame[name].to_numpy(dtype=np.float64)
            if bool((values == 1).all()):
                self.intercept = True
                if name.lower() not in INTERCEPT_NAMES and add_intercept:
                    self.constant.append(name)
            elif is_constant(values):
                self.constant.append(name)
            else:
                self.straight.append(Numbers(name, ZScore.of(values), standardize))
                self.names.append(name)
        if self.intercept:
            self.names.insert(0, INTERCEPT)
        self.tiers = [STRAIGHT] * len(self.names)

    def _labels(self, name: str, levels: list[str], codes: np.ndarray) -> None:
        counts = np.bincount(codes, minlength=len(levels))
        several = (counts > 0) & (counts < len(codes))
        chosen = [j for j in range(1, len(levels)) if several[j]]
        if len(levels) == 1:
            self.constant.append(name)
        self.constant += [f"{name}_{levels[j]}" for j in range(1, len(levels)) if not several[j]]
        self.straight.append(Labels(name, tuple(chosen), self._values(name)))
        self.names += [f"{name}_{levels[j]}" for j in chosen]

    def _values(self, name: str) -> np.ndarray | None:
        column = self.frame[name]
        if not types.is_float_dtype(column.dtype):
            return None
        return np.unique(column.to_numpy(dtype=np.float64))

    def curve(self, batch: str | None) -> None:
        """Add the curved columns, and the slopes by the levels of the column `batch`."""
        frame, continuous = self.frame, [p for p in self.straight if isinstance(p, Numbers)]
        held = levels_of(frame[batch], self.threshold) if batch in frame else None
        labels, codes = ([], np.empty(0, dtype=np.int64)) if held is None else held
        counts = np.bincount(codes, minlength=len(labels))
        number = {f"{batch}={label}": j for j, label in enumerate(labels) if j}
        sizes = {name: int(counts[j]) for name, j in number.items()}
        if not continuous:
            return
        df, sloped, large = what_fits(
            len(frame), [one.name for one in continuous], sizes, len(self.names), self.notes
        )
        for one in continuous:
            with_knots = _curved(one, frame, df)
            if with_knots is not None:
                self.curved.append(with_knots)
                r = with_knots.curves.shape[1]
                self._add([f"{one.name} spline {j + 2}" for j in range(r)], CURVED)
        for one in continuous:
            if one.name in sloped and large:
                inside = Labels(str(batch), tuple(number[b] for b in large), self._values(batch))  # type: ignore[arg-type]
                self.slopes.append((one, inside))
                self._add([f"{b} x {one.name}" for b in large], INTERACTION)

    def _add(self, names: list[str], tier: int) -> None:
        self.names += names
        self.tiers += [tier] * len(names)

    def encoding(self) -> RowEncoding:
        return RowEncoding(
            self.intercept, tuple(self.straight), tuple(self.curved), tuple(self.slopes)
        )


def _curved(one: Numbers, frame: pd.DataFrame, df: int) -> Numbers | None:
    """The covariate with its curved columns, as `splines.curved_columns` has them; None for none.

    Columns of R have the lengths and angles of those that it stems from, so what a spline holds
    beyond a straight line is found on R.
    """
    knots = quantile_knots(one.scores(frame), df)
    if len(knots) < LEAST_KNOTS:
        return None
    m = len(knots)
    curves = np.eye(m)
    for _ in range(2):  # the second time from columns that are all but uncorrelated
        one = replace(one, knots=knots, curves=curves)
        R = triangular_factor(Rows(HeldTable(frame), one.curve_columns, curves.shape[1], "splines"))
        rest, _ = beyond(R[:, :2], R[:, 2:])
        rest *= np.sqrt(len(frame) / len(R))
        new = np.linalg.lstsq(R, rest, rcond=None)[0]
        curves = np.column_stack([np.eye(m)[:, :2], curves @ new])
    curves = curves[:, 2:]
    return replace(one, curves=curves) if curves.size else None


def triangular_factor(rows: Rows) -> np.ndarray:
    """R (p, p) of the QR factorization of all rows (N, p), up to the signs of its rows."""
    R = np.empty((0, rows.n_columns))
    for fewer in in_order(lambda part: fewer_rows(rows[part]), slices(len(rows))):
        R = with_rows(R, fewer)
    return R


def fewer_rows(block: np.ndarray) -> np.ndarray:
    """Rows (m, p), m < n, with the R of the block's (n, p)."""
    p = block.shape[1]
    tile = max(TILE, 2 * p)  # rows that a core's cache holds
    whole = len(block) // tile * tile
    tiles = np.asarray(np.linalg.qr(block[:whole].reshape(-1, tile, p), mode="r"))  # type: ignore[call-overload]
    return np.concatenate([tiles.reshape(-1, p), block[whole:]])


def with_rows(R: np.ndarray, fewer: np.ndarray) -> np.ndarray:
    """R of the rows so far and of a further block's, from `fewer_rows`."""
    return np.asarray(np.linalg.qr(np.concatenate([R, fewer]), mode="r"))


def constant_in_span(rows: Rows) -> bool:
    """Whether a constant is a combination of the columns of covariates."""
    if getattr(rows.make, "intercept", False):
        return True
    with_ones = replace(rows, make=_WithOnes(rows.make), n_columns=rows.n_columns + 1)
    return rows.n_columns not in independent_columns(triangular_factor(with_ones))


@dataclass(frozen=True, eq=False)
class _WithOnes:
    """Rows with a column of ones behind them."""

    make: Callable[[Any], np.ndarray]

    def __call__(self, stored: Any) -> np.ndarray:
        made = self.make(stored)
        return np.column_stack([made, np.ones(len(made))])
