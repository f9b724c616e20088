"""One door to a `Screen`: whatever the source, its parts are checked, aligned and transformed here.

usages -> rows that sum to 1 -> floor -> centred log-ratio; covariates -> full column rank;
guides -> presence; all in the order of the cell names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from programde.errors import InputError, OptionError, nearest
from programde.memory import must_fit
from programde.screen.alignment import check_rows, row_order
from programde.screen.composition import Floor, check_usage, clr, floor_and_close, floor_value
from programde.screen.covariates import batch_labels, covariate_frame, encode_covariates
from programde.screen.guides import check_guides, to_csc_matrix
from programde.screen.screen import Screen

DEFAULT_BATCH_KEY = "batch"
#: Usages, compositions and log-ratios in float64, and what lies between them at the worst moment.
BYTES_PER_USAGE = 30
BUILD_OPTIONS = (
    "batch_key",
    "floor",
    "add_intercept",
    "standardize",
    "numeric_as_category_threshold",
    "on_empty",
    "condition_key",
)


@dataclass
class Parts:
    """What a reader found, not yet checked; matrices have one row per cell.

    Attributes
    ----------
    cell_names
        Names of the N cells.
    usage : (N, K)
        Array, sparse matrix or DataFrame.
    covariates : (N, m)
        DataFrame or array; None means the intercept alone.
    guides : (N, n_guides)
        Array, sparse matrix or DataFrame.
    guide_to_target
        Anything `guides.guide_map` understands.
    guide_names
        Names of the guides; None where `guides` is a DataFrame.
    program_names
        Names of the programs; None: from the DataFrame, or ``program_0`` ... .
    notes
        What the reader changed on the user's behalf.
    observations : (N, m) DataFrame or None
        Other columns of the cells, in the order of `cell_names`: a condition may be among them.
    usage_label, covariate_label, guide_label
        What to call the matrices in messages.
    """

    cell_names: Sequence[object]
    usage: Any
    covariates: Any
    guides: Any
    guide_to_target: Any
    guide_names: Sequence[object] | None = None
    program_names: Sequence[object] | None = None
    notes: list[str] = field(default_factory=list)
    observations: pd.DataFrame | None = None
    usage_label: str = "usage"
    covariate_label: str = "covariates"
    guide_label: str = "guide assignment"


def build_screen(
    parts: Parts,
    *,
    batch_key: str | None = DEFAULT_BATCH_KEY,
    floor: Floor | None = None,
    add_intercept: bool = True,
    standardize: bool = True,
    numeric_as_category_threshold: int | None = 20,
    on_empty: str = "error",
    condition_key: str | None = None,
) -> Screen:
    """A checked, aligned and transformed screen.

    Parameters
    ----------
    parts
        What a reader found.
    batch_key
        Column of the covariate table that holds the batch; None: no batch. The default name may
        be absent, any other must exist.
    floor
        Floor of the usages; default: the 1e-4 quantile.
    add_intercept, standardize, numeric_as_category_threshold
        See `covariates.encode_covariates`.
    on_empty
        Cells whose usages are all 0: ``"error"`` or ``"drop"``.
    condition_key
        Column of the covariates, or of obs, by which the analysis may be repeated; None: none.

    Returns
    -------
    Screen

    Raises
    ------
    InputError, OptionError
        Anything that does not fit; nothing is filled in.
    """
    floor = Floor() if floor is None else floor
    if not isinstance(floor, Floor):
        raise OptionError(
            f"floor={floor!r} must be a Floor, for example Floor('fixed', value=1e-6)"
        )
    cell_names = [str(name) for name in parts.cell_names]
    notes = list(parts.notes)
    shape: tuple[int, ...] = getattr(parts.usage, "shape", ())
    if len(shape) == 2:
        n, k = shape
        must_fit(f"preparing {n:,} cells x {k:,} programs", BYTES_PER_USAGE * n * k)

    presence, columns = to_csc_matrix(parts.guides)
    check_rows(parts.guide_label, presence.shape, len(cell_names))
    if isinstance(parts.guides, pd.DataFrame):
        order = row_order(parts.guide_label, parts.guides.index, cell_names, notes)
        presence = presence if order is None else presence[order].tocsc()
    names = columns if parts.guide_names is None else list(parts.guide_names)
    if names is None:
        raise InputError(f"{parts.guide_label} carries no guide names and none were given")
    guides = check_guides(presence.shape[1], names, parts.guide_to_target)
    notes += guides.notes

    table = _covariate_table(parts, cell_names, notes)
    if batch_key is not None and batch_key != DEFAULT_BATCH_KEY:
        known = list(table.columns) if isinstance(parts.covariates, pd.DataFrame) else []
        if batch_key not in known:
            raise InputError(
                f"batch_key={batch_key!r} is not a column of {parts.covariate_label}"
                f"{nearest(batch_key, known)}"
            )

    condition = None if condition_key is None else _condition(parts, table, condition_key)

    checked = check_usage(
        parts.usage, parts.program_names, cell_names, on_empty, what=parts.usage_label
    )
    notes += checked.notes
    if not checked.keep.all():
        rows = np.flatnonzero(checked.keep)
        cell_names = [cell_names[i] for i in rows.tolist()]
        presence, table = presence[rows].tocsc(), table.iloc[rows]
        condition = None if condition is None else condition[rows]
    encoded = encode_covariates(table, add_intercept, standardize, numeric_as_category_threshold)
    notes += encoded.notes
    eps, floor_note = floor_value(checked.usage, floor)
    notes += [floor_note] if floor_note else []
    usage = floor_and_close(checked.usage, eps)

    keeps_table = isinstance(parts.covariates, pd.DataFrame)
    has_batch = keeps_table and batch_key is not None and batch_key in table.columns
    presence.sort_indices()
    return Screen(
        usage=usage,
        clr=clr(usage),
        floor=eps,
        covariates=encoded.matrix,
        covariate_names=encoded.names,
        covariate_table=table if keeps_table else None,
        batch=batch_labels(table, str(batch_key)) if has_batch else None,
        guides=sparse.csc_matrix(presence),
        guide_names=guides.names,
        guide_to_target=guides.guide_to_target,
        program_names=checked.program_names,
        cell_names=cell_names,
        notes=tuple(notes),
        condition=condition,
    )


def _condition(parts: Parts, table: pd.DataFrame, key: str) -> np.ndarray:
    """Level of each cell, from the covariates or from the other columns of the cells."""
    places = [table] if isinstance(parts.covariates, pd.DataFrame) else []
    places += [] if parts.observations is None else [parts.observations]
    for place in places:
        if key in place.columns:
            return batch_labels(place, key, what="condition")
    known = [str(c) for place in places for c in place.columns]
    raise InputError(
        f"condition_key={key!r} is a column of neither {parts.covariate_label} nor obs"
        f"{nearest(key, known)}"
    )


def _covariate_table(parts: Parts, cell_names: list[str], notes: list[str]) -> pd.DataFrame:
    """Covariates in the order of the cells, indexed by cell name."""
    covariates, what = parts.covariates, parts.covariate_label
    index = pd.Index(cell_names, dtype=object)
    if covariates is None:
        return pd.DataFrame(index=index)
    if isinstance(covariates, pd.Series):
        covariates = covariates.to_frame()
    if isinstance(covariates, pd.DataFrame):
        check_rows(what, covariates.shape, len(cell_names))
        order = row_order(what, covariates.index, cell_names, notes)
        covariates = covariates if order is None else covariates.iloc[order]
    table = covariate_frame(covariates, what)
    check_rows(what, table.shape, len(cell_names))
    return table.set_axis(index, axis=0)
