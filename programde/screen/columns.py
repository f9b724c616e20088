"""Columns of the encoded covariates: indicators of levels, z-scores, and which are independent.

The rank comes from a QR decomposition C = QR, in which the columns of R have the same lengths and
angles as those of C; each is scaled to length 1 and kept if what the kept ones leave of it is
longer than a tolerance.

Source: G. H. Golub and C. F. Van Loan, "Matrix Computations", 4th ed., sections 5.2 and 5.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pandas.api import types

from programde.errors import InputError, OptionError, some

#: Rungs of the covariates: straight columns and labels; curvature; interactions.
STRAIGHT, CURVED, INTERACTION = 0, 1, 2


@dataclass(frozen=True)
class Column:
    """One encoded covariate: its name, (N,) float64 values, and its rung."""

    name: str
    values: np.ndarray
    tier: int = STRAIGHT


def levels_of(column: pd.Series, threshold: int | None) -> tuple[list[str], np.ndarray] | None:
    """Levels and codes (N,) of a column that holds labels, or so few values as to be labels.

    Parameters
    ----------
    column
        float64, bool or category, as `covariate_table.covariate_frame` gives it.
    threshold
        Numbers with at most so many distinct values, and two cells per value on average, are
        labels; None: never.

    Returns
    -------
    tuple or None
        None where the column stays numeric.
    """
    if types.is_float_dtype(column.dtype):
        values = column.to_numpy(dtype=np.float64)
        levels = np.unique(values)
        few = threshold is not None and len(levels) <= min(threshold, len(values) // 2)
        if not few or len(levels) == 1:
            return None
        return [f"{v:g}" for v in levels], np.asarray(np.searchsorted(levels, values))
    if types.is_bool_dtype(column.dtype):
        return ["False", "True"], column.to_numpy(dtype=np.int64)
    codes = column.cat.codes.to_numpy().astype(np.intp)
    return [str(level) for level in column.cat.categories], codes


def check_threshold(threshold: object) -> None:
    """Raise an OptionError where the threshold is neither a whole number nor None."""
    whole = isinstance(threshold, int | np.integer) and not isinstance(threshold, bool)
    if threshold is not None and not whole:
        raise OptionError(f"numeric_as_category_threshold={threshold!r} must be an integer or None")


def with_indicators(
    frame: pd.DataFrame, threshold: int | None, drop_first: bool = True
) -> list[tuple[str, np.ndarray, bool]]:
    """(name, (N,) float64, stays numeric) of each column, labels one-hot encoded."""
    check_threshold(threshold)
    columns: list[tuple[str, np.ndarray, bool]] = []
    for name in frame.columns:
        held = levels_of(frame[name], threshold)
        if held is None:
            columns.append((name, frame[name].to_numpy(dtype=np.float64), True))
            continue
        labels, codes = held
        if drop_first and len(labels) == 1:
            columns.append((name, np.zeros(len(codes)), False))
        for j in range(int(drop_first), len(labels)):
            columns.append((f"{name}_{labels[j]}", (codes == j).astype(np.float64), False))
    return columns


def is_constant(values: np.ndarray) -> bool:
    """Whether values (N,) are the same to rounding."""
    spread = float(values.max() - values.min()) if len(values) else 0.0
    return bool(spread <= 8 * np.finfo(float).eps * float(np.abs(values).max()))


@dataclass(frozen=True)
class ZScore:
    """(scale x - mean - rest) / sd: what is left of a mean after rounding goes as well."""

    scale: float
    mean: float
    rest: float
    sd: float

    @classmethod
    def of(cls, values: np.ndarray) -> ZScore:
        """That of values (N,) that are not constant; population sd."""
        scale = float(_power_of_two(np.abs(values).max()))  # exact, and squares cannot overflow
        scaled = values * scale
        mean = float(scaled.mean())
        scaled = scaled - mean
        rest = float(scaled.mean())
        scaled = scaled - rest
        return cls(scale, mean, rest, float(np.sqrt(np.mean(scaled * scaled))))

    def __call__(self, values: np.ndarray) -> np.ndarray:
        return (values * self.scale - self.mean - self.rest) / self.sd


def z_score(values: np.ndarray) -> np.ndarray:
    """(x - mean) / sd of values (N,) that are not constant; population sd."""
    return ZScore.of(values)(values)


def beyond(
    basis: np.ndarray, columns: np.ndarray, tol: float = 1e-6
) -> tuple[np.ndarray, list[int]]:
    """What columns hold beyond a basis: uncorrelated columns of mean square 1.

    Parameters
    ----------
    basis : (N, a) float64
        Of full column rank.
    columns : (N, m) float64
        In the order in which they are taken.
    tol
        A column of which less than this share of its length is left adds nothing.

    Returns
    -------
    rest : (N, r) float64
        Orthogonal to `basis` and to each other; each rises with the column it stems from.
    kept
        Which of the columns these are.
    """
    n = len(basis)
    Q, _ = np.linalg.qr(basis)
    found: list[np.ndarray] = []
    kept: list[int] = []
    for j in range(columns.shape[1]):
        column = columns[:, j] * _power_of_two(np.abs(columns[:, j]).max())
        length = float(np.linalg.norm(column))
        for _ in range(2):  # twice is enough for orthogonality to rounding
            column = column - Q @ (Q.T @ column)
        rest = float(np.linalg.norm(column))
        if length == 0 or rest <= tol * length:
            continue
        Q = np.column_stack([Q, column / rest])
        found.append(column * (np.sqrt(n) / rest))
        kept.append(j)
    return np.column_stack(found) if found else np.empty((n, 0)), kept


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
        for _ in range(2):
            column = column - basis[:, : len(kept)] @ (basis[:, : len(kept)].T @ column)
        length = float(np.linalg.norm(column))
        if length > tol and len(kept) < basis.shape[1]:
            basis[:, len(kept)] = column / length
            kept.append(j)
    return np.asarray(kept, dtype=np.intp)


def unique_names(names: Sequence[str]) -> list[str]:
    """The names, later ones of the same name with a number."""
    seen: dict[str, int] = {}
    out = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        out.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return out


def _power_of_two(largest: np.ndarray | float) -> np.ndarray:
    """2**-e with largest * 2**-e in [1/2, 1): a scaling that rounds nothing."""
    _, exponent = np.frexp(np.asarray(largest, dtype=np.float64))
    return np.ldexp(1.0, -np.clip(exponent, -1000, 1000))
