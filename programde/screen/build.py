"""One door to a `Screen`: whatever the source, its parts are checked, aligned and transformed here.

usages -> rows that sum to 1 -> floor -> centred log-ratio; covariates -> full column rank;
guides -> presence; all in the order of the cell names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pandas as pd

from programde.errors import InputError, OptionError, check_choice, nearest, tell
from programde.memory import must_fit
from programde.screen.alignment import check_rows, row_order
from programde.screen.calls import call_guides
from programde.screen.composition import (
    CheckedUsage,
    Floor,
    check_usage,
    floor_and_close,
    floor_value,
    transformed,
)
from programde.screen.covariates import batch_labels, covariate_frame, encode_covariates
from programde.screen.formula import AUTO
from programde.screen.guides import check_guides
from programde.screen.matrices import flat_table
from programde.screen.matrix_rows import StoredMatrix
from programde.screen.names import ChosenNames, is_missing, name_list, text
from programde.screen.row_encoding import encode_rows
from programde.screen.screen import Screen
from programde.screen.spectra import align_spectra, found_spectra, program_labels
from programde.screen.stored_usage import (
    StoredUsage,
    check_stored_usage,
    stored_floor,
    usage_rows,
)

DEFAULT_BATCH_KEY = "batch"
#: Usages, compositions and log-ratios in float64, and what lies between them at the worst moment.
BYTES_PER_USAGE = 38
BUILD_OPTIONS = (
    "batch_key",
    "floor",
    "add_intercept",
    "standardize",
    "numeric_as_category_threshold",
    "formula",
    "on_empty",
    "condition_key",
    "guide_threshold",
    "guide_absent_below",
    "multi_target_guides",
    "moi",
    "spectra",
    "program_names",
)
MOI = ("high", "low")


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
        Anything `guide_targets.guide_targets` understands.
    guide_names
        Names of the guides; None where `guides` is a DataFrame.
    program_names
        Names of the programs; None: from the DataFrame, or ``program_0`` ... .
    notes
        What the reader changed on the user's behalf.
    observations : (N, m) DataFrame or None
        Other columns of the cells, in the order of `cell_names`: a condition may be among them.
    moi
        What the source says of the number of perturbations per cell.
    spectra : DataFrame or None
        Programs x genes or genes x programs, where the source has them.
    usage_label, covariate_label, guide_label, spectra_label
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
    moi: Any = None
    spectra: pd.DataFrame | None = None
    usage_label: str = "usage"
    covariate_label: str = "covariates"
    guide_label: str = "guide assignment"
    spectra_label: str = "spectra"


def build_screen(
    parts: Parts,
    *,
    batch_key: str | None = DEFAULT_BATCH_KEY,
    floor: Floor | None = None,
    add_intercept: bool = True,
    standardize: bool = True,
    numeric_as_category_threshold: int | None = 20,
    formula: str = AUTO,
    on_empty: str = "error",
    condition_key: str | None = None,
    guide_threshold: float | None = None,
    guide_absent_below: float | None = None,
    multi_target_guides: str = "error",
    moi: str | None = None,
    spectra: pd.DataFrame | None = None,
    program_names: pd.DataFrame | Mapping[str, str] | None = None,
) -> Screen:
    """A checked, aligned and transformed screen.

    Parameters
    ----------
    parts
        What a reader found.
    batch_key
        Column of the covariate table that holds the batch; None: no batch. The default name may
        be absent, any other must exist. A column that is called after its modality as well
        (``cNMF:batch``) is meant by its own name too.
    floor
        Floor and scale of the usages; default: the 1e-4 quantile, centred log-ratio.
    add_intercept, standardize, numeric_as_category_threshold, formula
        See `covariates.encode_covariates`.
    on_empty
        Cells whose usages are all 0: ``"error"`` or ``"drop"``.
    condition_key
        Column of the covariates, or of obs, by which the analysis may be repeated; None: none.
    guide_threshold, guide_absent_below
        What counts as a guide that is present, and what as neither; see `calls.call_guides`.
    multi_target_guides
        Guides of several targets; see `guide_targets.settle_targets`.
    moi
        ``"high"`` or ``"low"`` where it is known whether cells hold many guides; None: as the
        source says.
    spectra : DataFrame
        Weights of genes in programs, see `spectra.align_spectra`; None: those of the source.
    program_names
        What people call the programs, see `spectra.program_labels`.

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
        raise OptionError(f"floor={floor!r} must be a Floor, for example Floor('fixed', eps=1e-6)")
    check_choice("moi", "null" if moi is None else moi, ("null", *MOI))
    stored = isinstance(parts.usage, StoredMatrix)
    # names of so many cells stay where they are, and their order was compared by the reader
    cell_names: Sequence[str] = (
        cast(Sequence[str], parts.cell_names)
        if stored
        else name_list("cell names", parts.cell_names)
    )
    notes = list(parts.notes)
    shape: tuple[int, ...] = getattr(parts.usage, "shape", ())
    if len(shape) == 2 and not stored:
        n, k = shape
        must_fit(f"preparing {n:,} cells x {k:,} programs", BYTES_PER_USAGE * n * k)

    calls = call_guides(parts.guides, guide_threshold, guide_absent_below, parts.guide_label)
    presence, ambiguous = calls.presence, calls.ambiguous
    check_rows(parts.guide_label, presence.shape, len(cell_names))
    if isinstance(parts.guides, pd.DataFrame) and not stored:
        order = row_order(parts.guide_label, parts.guides.index, cell_names, notes)
        presence, ambiguous = _rows(presence, order), _rows(ambiguous, order)
    names = calls.names if parts.guide_names is None else list(parts.guide_names)
    if names is None:
        raise InputError(f"{parts.guide_label} carries no guide names and none were given")
    guides = check_guides(presence.shape[1], names, parts.guide_to_target, multi_target_guides)
    notes += [*calls.notes, *guides.notes]

    table = _covariate_table(parts, cell_names, notes, stored)
    known = list(table.columns) if isinstance(parts.covariates, pd.DataFrame) else []
    batch_column = None if batch_key is None else _named(known, str(batch_key))
    if batch_key is not None and batch_column is None and batch_key != DEFAULT_BATCH_KEY:
        raise InputError(
            f"batch_key={batch_key!r} is not a column of {parts.covariate_label}"
            f"{nearest(batch_key, known)}"
        )

    condition = None if condition_key is None else _condition(parts, table, condition_key)

    scores = floor.transform == "none"
    names_of = (parts.program_names, cell_names, on_empty, parts.usage_label, scores)
    checked: CheckedUsage | StoredUsage = (
        check_stored_usage(parts.usage, parts.usage.shape[1], *names_of)
        if stored
        else check_usage(parts.usage, *names_of)
    )
    notes += checked.notes
    if not checked.keep.all():
        rows = np.flatnonzero(checked.keep)
        cell_names = (
            ChosenNames(cell_names, rows) if stored else [cell_names[i] for i in rows.tolist()]
        )
        presence, ambiguous, table = _rows(presence, rows), _rows(ambiguous, rows), table.iloc[rows]
        condition = None if condition is None else condition[rows]
        table = table.reset_index(drop=True) if stored else table
    encode = encode_rows if stored else encode_covariates
    encoded = encode(
        table,
        add_intercept,
        standardize,
        numeric_as_category_threshold,
        formula,
        batch=batch_column,
    )
    notes += encoded.notes
    if isinstance(checked, StoredUsage):
        eps, floor_note = stored_floor(checked, floor)
        matrices: tuple[Any, Any, Any] = usage_rows(checked, eps, floor.transform)
    else:
        eps, floor_note = floor_value(checked.usage, floor)
        closed = floor_and_close(checked.usage, eps) if eps > 0 else checked.usage
        matrices = closed, transformed(closed, floor.transform), checked.usage if eps > 0 else None
    notes += [floor_note] if floor_note else []
    usage, outcome, unfloored = (cast(np.ndarray, matrix) for matrix in matrices)

    if spectra is not None:
        spectra = align_spectra(spectra, checked.program_names)
    elif parts.spectra is not None:
        what = parts.spectra_label
        spectra = found_spectra(parts.spectra, checked.program_names, what, notes)
    labels = {} if program_names is None else program_labels(program_names, checked.program_names)
    keeps_table = isinstance(parts.covariates, pd.DataFrame)
    moi = _stated_moi(parts.moi, notes) if moi is None else moi
    return Screen(
        usage=usage,
        clr=outcome,
        floor=eps,
        transform=floor.transform,
        unfloored=unfloored,
        covariates=encoded.matrix,
        covariate_names=encoded.names,
        covariate_tiers=encoded.tiers,
        covariate_table=table if keeps_table else None,
        batch=None if batch_column is None else batch_labels(table, batch_column),
        guides=presence,
        guide_names=guides.names,
        guide_to_target=guides.guide_to_target,
        program_names=checked.program_names,
        cell_names=cast(list[str], cell_names),
        notes=tuple(notes),
        condition=condition,
        moi=moi,
        ambiguous=ambiguous,
        spectra=spectra,
        program_labels=labels,
        further_targets=guides.further_targets,
    )


def _rows(matrix: Any, rows: np.ndarray | None) -> Any:
    """Some rows of a sparse matrix, or all, by columns and sorted; None stays None."""
    if matrix is None or rows is None:
        return matrix
    chosen = matrix[rows].tocsc()
    chosen.sort_indices()
    return chosen


def _named(columns: Sequence[str], key: str) -> str | None:
    """The column of that name, or the only one of that name behind its modality's (``cNMF:``)."""
    if key in columns:
        return key
    behind = [c for c in columns if c.rpartition(":")[2] == key]
    return behind[0] if len(behind) == 1 else None


def _stated_moi(value: Any, notes: list[str]) -> str | None:
    """What the source says of the number of perturbations per cell, high or low."""
    if is_missing(value) or isinstance(value, dict):
        return None
    word = text(value).strip().lower()
    if word not in MOI:
        tell(
            f"the source states moi={text(value)!r}, which is neither high nor low and is not "
            "used; set moi",
            notes,
        )
        return None
    notes.append(f"the source states moi={word}")
    return word


def _condition(parts: Parts, table: pd.DataFrame, key: str) -> np.ndarray:
    """Level of each cell, from the covariates or from the other columns of the cells."""
    places = [table] if isinstance(parts.covariates, pd.DataFrame) else []
    places += [] if parts.observations is None else [parts.observations]
    for place in places:
        column = _named([str(c) for c in place.columns], key)
        if column is not None:
            return batch_labels(place, column, what="condition")
    known = [str(c) for place in places for c in place.columns]
    raise InputError(
        f"condition_key={key!r} is a column of neither {parts.covariate_label} nor obs"
        f"{nearest(key, known)}"
    )


def _covariate_table(
    parts: Parts, cell_names: Sequence[str], notes: list[str], stored: bool
) -> pd.DataFrame:
    """Covariates in the order of the cells, indexed by cell name, or not where `stored`."""
    covariates, what = parts.covariates, parts.covariate_label
    n = len(cell_names)
    index = pd.RangeIndex(n) if stored else pd.Index(list(cell_names), dtype=object)
    if covariates is None:
        return pd.DataFrame(index=index)
    if isinstance(covariates, pd.Series):
        covariates = covariates.to_frame()
    if isinstance(covariates, pd.DataFrame):
        check_rows(what, flat_table(covariates, what).shape, n)
        order = None if stored else row_order(what, covariates.index, cell_names, notes)
        covariates = covariates if order is None else covariates.iloc[order]
    table = covariate_frame(covariates, what)
    check_rows(what, table.shape, n)
    return table.set_axis(index, axis=0)
