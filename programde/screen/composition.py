"""Program usages as compositions: checks, the floor, and the scale on which they are tested.

With u the usages of one cell, eps the floor and K programs,

    u'_k = max(u_k, eps) / sum_j max(u_j, eps),
    clr(u')_k = log u'_k - (1/K) sum_j log u'_j.

Consensus NMF gives many exact zeros, so a plain quantile of all usages is often 0, and log 0 is
not a number one can average: a floor of 0 is never used.

Square roots of usages (`hellinger`: distances between them are Hellinger distances) and arcsines of
these need no floor. Program scores that are no usages (`none`) are neither closed nor floored.

Sources: J. Aitchison, "The statistical analysis of compositional data", J. R. Stat. Soc. B 44
(1982) 139-177, section 4; P. Legendre and E. D. Gallagher, "Ecologically meaningful transformations
for ordination of species data", Oecologia 129 (2001) 271-280.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from programde.errors import InputError, check_choice, some, tell
from programde.screen.alignment import check_rows, row_order
from programde.screen.matrices import dense_numbers, first_line, flat_table
from programde.screen.names import name_list
from programde.screen.options import Floor

__all__ = [
    "CheckedUsage",
    "Floor",
    "check_usage",
    "clr",
    "clr_from_usage",
    "first_line",
    "floor_and_close",
    "floor_value",
    "transformed",
]

SUM_TOLERANCE = 1e-5  # sums of float32 usages miss 1 by about 1e-6


@dataclass(frozen=True)
class CheckedUsage:
    """Usages that can be floored: (n, K) float64, rows sum to 1.

    Attributes
    ----------
    usage : (n, K) float64
        Usages of the cells that were kept, rows in the order of the cell names.
    program_names
        Names of the K programs, unique.
    keep : (N,) bool
        False for cells that were dropped because all their usages are 0.
    notes
        What was changed.
    """

    usage: np.ndarray
    program_names: list[str]
    keep: np.ndarray
    notes: list[str]


def check_usage(
    usage: Any,
    program_names: Sequence[object] | None,
    cell_names: Sequence[str],
    on_empty: str = "error",
    what: str = "usage",
    scores: bool = False,
) -> CheckedUsage:
    """Check usages, align them to the cells and make each row sum to 1.

    Parameters
    ----------
    usage : (N, K) array, sparse matrix or DataFrame
        Usages, finite and >= 0. A DataFrame keeps its column names, and its index is compared
        with `cell_names`.
    program_names
        Names of the K programs; None means the DataFrame's columns, or ``program_0`` ... .
    cell_names
        Names of the N cells.
    on_empty
        What to do with cells whose usages are all 0: ``"error"`` or ``"drop"``.
    what
        Name of the matrix, for messages.
    scores
        They are program scores: of any sign, and taken as they are.

    Returns
    -------
    CheckedUsage

    Raises
    ------
    InputError
        Wrong shape, K < 2, NaN, infinite or negative usages, empty cells, names that disagree.
    """
    check_choice("on_empty", on_empty, ("error", "drop"))
    notes: list[str] = []
    order = None
    if isinstance(usage, pd.DataFrame):
        check_rows(what, flat_table(usage, what).shape, len(cell_names))
        order = row_order(what, usage.index, cell_names, notes)
        if program_names is None:
            program_names = list(usage.columns)
    values = dense_numbers(usage, what)
    check_rows(what, values.shape, len(cell_names))
    if order is not None:
        values = values[order]
    names = program_name_list(program_names, values.shape[1], what, 1 if scores else 2)
    _check_entries(values, cell_names, what, signed=scores)
    if scores:
        return CheckedUsage(values, names, np.ones(len(values), dtype=bool), notes)

    totals = values.sum(axis=1)
    keep = totals > 0
    if not keep.all():
        values, totals = _without_empty(values, totals, keep, cell_names, on_empty, what, notes)
    off = np.abs(totals - 1) > SUM_TOLERANCE
    if off.any():
        tell(
            f"{what}: {int(off.sum())} of {len(off)} rows did not sum to 1 (sums from "
            f"{totals.min():.6g} to {totals.max():.6g}); all rows were divided by their sums",
            notes,
        )
        values = values / totals[:, None]
    return CheckedUsage(values, names, keep, notes)


def program_name_list(
    names: Sequence[object] | None, n_programs: int, what: str, at_least: int
) -> list[str]:
    """Names of the programs, unique; ``program_0`` ... where none are given."""
    if n_programs < at_least:
        raise InputError(
            f"{what} has {n_programs} program(s); a composition needs at least 2 programs"
            if at_least > 1
            else f"{what} has no program"
        )
    if names is None:
        return [f"program_{k}" for k in range(n_programs)]
    texts = name_list("program names", names)
    if len(texts) != n_programs:
        raise InputError(f"{len(texts)} program names for {n_programs} programs in {what}")
    if len(set(texts)) != n_programs:
        twice = sorted({t for t in texts if texts.count(t) > 1})
        raise InputError(f"program names are not unique: {some(twice)}")
    return texts


def _check_entries(values: np.ndarray, cell_names: Sequence[str], what: str, signed: bool) -> None:
    if len(values) == 0:
        raise InputError(f"{what} has no cells")
    for label, wrong, cure in (
        ("NaN or infinite", ~np.isfinite(values), ""),
        ("negative", values < 0, "; signed program scores are taken with transform=none"),
    ):
        rows = np.flatnonzero(wrong.any(axis=1))
        if len(rows) and not (signed and cure):
            raise InputError(
                f"{what}: {int(wrong.sum())} {label} value(s) in {len(rows)} cell(s): "
                f"{some([cell_names[i] for i in rows.tolist()])}{cure}"
            )


def _without_empty(
    values: np.ndarray,
    totals: np.ndarray,
    keep: np.ndarray,
    cell_names: Sequence[str],
    on_empty: str,
    what: str,
    notes: list[str],
) -> tuple[np.ndarray, np.ndarray]:
    empty = np.flatnonzero(~keep)
    who = f"{len(empty)} of {len(keep)} cell(s): {some([cell_names[i] for i in empty.tolist()])}"
    if on_empty == "error":
        raise InputError(
            f"{what}: all usages are 0 in {who}; leave them out, or set on_empty='drop'"
        )
    if not keep.any():
        raise InputError(f"{what}: all usages are 0 in every cell")
    tell(f"{what}: dropped cells whose usages are all 0: {who}", notes)
    return values[keep], totals[keep]


def floor_value(usage: np.ndarray, floor: Floor) -> tuple[float, str | None]:
    """The floor epsilon for a usage matrix; 0 only where none was asked for.

    Parameters
    ----------
    usage : (N, K) float64
        Checked usages.
    floor
        How the floor is chosen.

    Returns
    -------
    eps : float
        The floor, > 0; 0 for ``kind="none"``.
    note : str or None
        A sentence where the quantile was 0 and the positive quantile was taken instead
        (which also gives a ProgramDEWarning).

    Raises
    ------
    InputError
        The floor is not below the largest usage, so nothing would be left of the data.
    """
    note = None
    if floor.kind == "none":
        return 0.0, None
    if floor.kind == "fixed":
        eps = float(floor.eps)  # type: ignore[arg-type]
    elif floor.kind == "share":
        eps = floor.share_of_mean / usage.shape[1]
    elif floor.kind == "quantile":
        eps = float(np.quantile(usage, floor.eps_quantile))
        if not eps > 0:
            eps = _positive_quantile(usage, floor)
            note = (
                f"the {floor.eps_quantile:g} quantile of the usages is 0 "
                f"({(usage == 0).mean():.1%} of them are exact zeros); the floor used is "
                f"{eps:.6g}, the same quantile of the positive usages"
            )
    else:
        eps = _positive_quantile(usage, floor)
    floor_below(eps, usage.max())
    if note:
        tell(note)
    return eps, note


def floor_below(eps: float, largest: float) -> None:
    """Raise an InputError unless the floor lies below the largest usage."""
    if not 0 < eps < largest:
        raise InputError(
            f"floor {eps:.6g} is not below the largest usage ({largest:.6g}), every usage "
            "would be floored; choose a smaller quantile, scale or fixed value"
        )


def _positive_quantile(usage: np.ndarray, floor: Floor) -> float:
    positive = usage[usage > 0]
    return (
        float(np.quantile(positive, floor.eps_quantile) * floor.eps_scale) if len(positive) else 0.0
    )


def floor_and_close(usage: np.ndarray, eps: float) -> np.ndarray:
    """u' = max(u, eps) / rowsum.

    Parameters
    ----------
    usage : (N, K) float64
        Usages >= 0.
    eps
        The floor, > 0.

    Returns
    -------
    (N, K) float64
        Rows sum to 1.
    """
    if not eps > 0:
        raise InputError(f"floor {eps!r} must be positive")
    raised = np.maximum(np.asarray(usage, dtype=np.float64), eps)
    raised /= raised.sum(axis=-1, keepdims=True)
    return raised


def clr(usage: np.ndarray) -> np.ndarray:
    """Centred log-ratio (natural logarithm) of compositions without zeros.

    Parameters
    ----------
    usage : (N, K) float64
        Positive usages.

    Returns
    -------
    (N, K) float64
        Rows sum to 0. Source: Aitchison 1982, section 4.
    """
    logs = np.log(np.asarray(usage, dtype=np.float64))
    logs -= logs.mean(axis=-1, keepdims=True)
    return logs


def transformed(usage: np.ndarray, transform: str) -> np.ndarray:
    """Usages on the scale on which they are tested.

    Parameters
    ----------
    usage : (..., K) float64
        Floored and closed usages; positive for ``"clr"``. Scores for ``"none"``.
    transform
        ``"clr"``, ``"hellinger"`` (square root), ``"arcsine"`` (arcsine of the square root) or
        ``"none"``.

    Returns
    -------
    (..., K) float64
    """
    if transform == "clr":
        return clr(usage)
    if transform == "none":
        return usage
    roots = np.sqrt(usage)
    # a usage may miss 1 by a rounding error, and an arcsine of more than 1 is no number
    return np.arcsin(np.minimum(roots, 1.0)) if transform == "arcsine" else roots


def clr_from_usage(U: Any, eps_quantile: float = 1e-4) -> np.ndarray:
    """Floor at a quantile of all usages, renormalise, and take the centred log-ratio.

    Parameters
    ----------
    U : (N, K) array, sparse matrix or DataFrame
        Usages, finite and >= 0, no row of zeros.
    eps_quantile
        Level of the quantile; where that quantile is 0, the one of the positive usages is used.

    Returns
    -------
    (N, K) float64
        CLR outcome, rows sum to 0.

    Raises
    ------
    InputError
        See `check_usage` and `floor_value`.

    Examples
    --------
    >>> import numpy as np, programde as pde
    >>> pde.clr_from_usage(np.array([[0.2, 0.8], [0.5, 0.5]])).round(3).tolist()
    [[-0.693, 0.693], [0.0, 0.0]]
    """
    shape = getattr(U, "shape", None) or np.shape(U)
    names = list(U.index) if isinstance(U, pd.DataFrame) else list(range(shape[0] if shape else 0))
    checked = check_usage(U, None, [str(n) for n in names])
    eps, _ = floor_value(checked.usage, Floor("quantile", eps_quantile=eps_quantile))
    return clr(floor_and_close(checked.usage, eps))
