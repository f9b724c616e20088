"""What a call is: from a guide matrix of any kind to who holds which guide.

With v the entry of a cell and a guide, and a threshold t,

    present    v >= t,
    ambiguous  a <= v < t   (only where a lower bound a is given),
    absent     otherwise.

Without a threshold every nonzero entry is a guide that is there. That is right for a matrix of
calls; in UMI counts a single ambient read, in posterior probabilities a .01, would be a guide.
An ambiguous guide makes its cell neither treated nor control in that target's test.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from programde.errors import InputError, OptionError, tell
from programde.screen.matrices import sparse_numbers
from programde.screen.names import name_list

WHAT = "guide assignment"


@dataclass(frozen=True)
class Calls:
    """Who holds which guide.

    Attributes
    ----------
    presence : (N, n_guides) csc_matrix, int8
        1 where the guide is present; no stored zeros, rows sorted within each column.
    ambiguous : (N, n_guides) csc_matrix, int8, or None
        1 where it is neither present nor absent; None where no such zone was asked for.
    names
        Column names where the matrix was a DataFrame, else None.
    notes
        What was decided, and on how many entries.
    """

    presence: sparse.csc_matrix
    ambiguous: sparse.csc_matrix | None = None
    names: list[str] | None = None
    notes: list[str] = field(default_factory=list)


def call_guides(
    G: Any, threshold: float | None = None, absent_below: float | None = None, what: str = WHAT
) -> Calls:
    """Guide calls from a matrix of calls, counts or probabilities.

    Parameters
    ----------
    G : (N, n_guides) array, sparse matrix or DataFrame
        Numbers of any type, >= 0. Not modified.
    threshold
        A guide is present from this value on; None: wherever the entry is not 0.
    absent_below
        Entries from here up to the threshold are neither present nor absent; None: absent.
    what
        Name of the matrix, for messages.

    Returns
    -------
    Calls

    Raises
    ------
    InputError
        Not a matrix of numbers; NaN or negative entries, with their count; no entry reaches the
        threshold.
    OptionError
        A threshold that is not positive, or bounds in the wrong order.

    Warns
    -----
    ProgramDEWarning
        Without a threshold, where entries are not 0 and 1: their distribution, and the number of
        guides per cell that follows.
    """
    check_thresholds(threshold, absent_below)
    names = None
    if isinstance(G, pd.DataFrame):
        names = name_list("guide names", G.columns)
    values = checked_values(G, what)
    notes: list[str] = []
    if threshold is None:
        if (values.data != 1).any():
            tell(_told(values, what), notes)
        return Calls(_where(values, values.data != 0), None, names, notes)
    present = values.data >= threshold
    if values.nnz and not present.any():
        raise InputError(
            f"guide_threshold={threshold:g}: none of the {values.nnz:,} entries of {what} reaches "
            f"it, the largest is {values.data.max():g}; choose a smaller threshold"
        )
    ambiguous, zone = None, ""
    if absent_below is not None:
        between = (values.data >= absent_below) & ~present
        ambiguous = _where(values, between)
        zone = f", {int(between.sum()):,} from {absent_below:g} on are neither present nor absent"
    notes.append(
        f"{what}: {int(present.sum()):,} of {values.nnz:,} nonzero entries are present, from "
        f"{threshold:g} on{zone}"
    )
    return Calls(_where(values, present), ambiguous, names, notes)


def to_csc_matrix(G: Any) -> tuple[sparse.csc_matrix, list[str] | None]:
    """Guide presence, any nonzero entry, as a sparse matrix of ones without stored zeros.

    Parameters
    ----------
    G : (N, n_guides) array, sparse matrix or DataFrame
        Nonzero means present; counts and bools are allowed. Not modified.

    Returns
    -------
    presence : (N, n_guides) csc_matrix, int8
        Row indices sorted within each column.
    names : list of str or None
        Column names where `G` is a DataFrame.

    Raises
    ------
    InputError
        Not a matrix of numbers; NaN or negative entries, with their count.

    Examples
    --------
    >>> import numpy as np, programde as pde
    >>> presence, names = pde.to_csc_matrix(np.array([[2, 0], [0, 5]]))
    >>> presence.toarray().tolist(), names
    ([[1, 0], [0, 1]], None)
    """
    names = name_list("guide names", G.columns) if isinstance(G, pd.DataFrame) else None
    values = checked_values(G, WHAT)
    return _where(values, values.data != 0), names


def check_thresholds(threshold: Any, absent_below: Any = None) -> None:
    """Raise an OptionError unless 0 < absent_below < threshold, where they are given."""
    for key, value in (("guide_threshold", threshold), ("guide_absent_below", absent_below)):
        number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
        if value is not None and (not number or not 0 < value < np.inf):
            raise OptionError(f"{key}={value!r} must be a positive number, or None")
    if absent_below is None:
        return
    if threshold is None:
        raise OptionError(
            f"guide_absent_below={absent_below!r} is the lower end of a zone whose upper end is "
            "guide_threshold; give both"
        )
    if not absent_below < threshold:
        raise OptionError(
            f"guide_absent_below={absent_below!r} must be below guide_threshold={threshold!r}"
        )


def checked_values(G: Any, what: str = WHAT) -> sparse.csc_matrix:
    """The entries as float64 in compressed columns, finite, >= 0, none stored twice or as 0."""
    values = sparse_numbers(G, what)
    for label, wrong in (
        ("NaN or infinite", ~np.isfinite(values.data)),
        ("negative", values.data < 0),
    ):
        if wrong.any():
            raise InputError(f"{what} holds {int(wrong.sum())} {label} value(s)")
    values.eliminate_zeros()
    values.sort_indices()
    return values


def _where(values: sparse.csc_matrix, chosen: np.ndarray) -> sparse.csc_matrix:
    """Ones at the chosen entries of a matrix."""
    out = sparse.csc_matrix(
        (chosen.astype(np.int8), values.indices, values.indptr), shape=values.shape, copy=True
    )
    out.eliminate_zeros()
    return out


def _told(values: sparse.csc_matrix, what: str) -> str:
    """What a matrix that holds more than 0 and 1 looks like, and what follows for the cells."""
    data = values.data
    below = float(data.max()) <= 1
    kind = "values between 0 and 1" if below else "counts"
    edges = (0.1, 0.5, 0.9) if below else (1, 2, 5, 20)
    counts = [int(n) for n in np.histogram(data, bins=[0, *edges, np.inf])[0]]
    labels = [f"below {edges[0]:g}"]
    labels += [
        f"{low:g}"
        if not below and high == low + 1
        else f"{low:g} to {'' if below else 'under '}{high:g}"
        for low, high in pairwise(edges)
    ]
    labels.append(f"{edges[-1]:g} and more")
    spread = ", ".join(f"{label}: {n:,}" for n, label in zip(counts, labels, strict=True) if n)
    cut = 0.5 if below else 5
    return (
        f"{what} holds {kind}, not calls of 0 and 1 ({len(data):,} nonzero entries: {spread}); "
        f"each of them is taken as a guide that is there, so that a cell holds "
        f"{_per_cell(values, data > 0)} guides, with guide_threshold={cut:g} "
        f"{_per_cell(values, data >= cut)}: give guide_threshold, the value from which on a guide "
        "is present"
    )


def _per_cell(values: sparse.csc_matrix, chosen: np.ndarray) -> str:
    """Guides per cell, median and mean, in words."""
    held = np.bincount(values.indices[chosen], minlength=values.shape[0])
    return f"{np.median(held):g} (median; mean {held.mean():.2f})" if len(held) else "no"
