"""Guide tables: metadata of a library, and long tables of who holds which guide.

Guide metadata as in the IGVF's per-guide tables: ``guide_id``, ``intended_target_name`` and
``type`` (targeting, non-targeting, safe-targeting ...). A guide whose type is a control's gets its
type as its target, whatever stands in the target column.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from programde.errors import InputError, OptionError, check_keywords, some
from programde.io.join import Piece, column_of, covariate_columns, join
from programde.io.text_tables import PathLike, column, read_numbers, read_table
from programde.screen.build import BUILD_OPTIONS, Parts, build_screen
from programde.screen.guides import looks_like_control
from programde.screen.screen import Screen


def read_guide_tables(
    usage: pd.DataFrame | PathLike,
    assignments: pd.DataFrame | PathLike,
    guide_metadata: pd.DataFrame | PathLike,
    covariates: pd.DataFrame | PathLike | None = None,
    *,
    threshold: float = 1.0,
    cell_column: str = "cell",
    guide_column: str = "guide",
    value_column: str | None = "value",
    guide_id_column: str = "guide_id",
    target_column: str = "intended_target_name",
    type_column: str | None = "type",
    covar_columns: Sequence[str] | None = None,
    log1p_columns: Sequence[str] | None = None,
    on_missing: str = "error",
    **options: Any,
) -> Screen:
    """A screen from tables: usages, long guide assignments, guide metadata, covariates.

    Parameters
    ----------
    usage
        Cells x programs, or a text file of it (cell names first).
    assignments, threshold, cell_column, guide_column, value_column
        See `long_assignment`.
    guide_metadata, guide_id_column, target_column, type_column
        See `targets_from_metadata`.
    covariates
        Cells x covariates, or a file of it (cell names first); None: the intercept alone.
    covar_columns, log1p_columns
        Columns of `covariates` to use, the second as log(1 + x); default: all as they are.
    on_missing
        Cells that are not in every table: ``"error"`` or ``"drop"``. A cell without any row in
        the assignment table is missing, not a cell without guides.
    **options
        See `build.build_screen`.

    Returns
    -------
    Screen
        Cells in the order of the usages.

    Raises
    ------
    InputError, OptionError
        Anything that does not fit.
    """
    check_keywords("read_guide_tables", options, BUILD_OPTIONS)
    if not isinstance(usage, pd.DataFrame):
        usage = read_numbers(usage)
    presence, cells, guides = long_assignment(
        assignments,
        threshold=threshold,
        cell_column=cell_column,
        guide_column=guide_column,
        value_column=value_column,
    )
    targets = targets_from_metadata(
        guide_metadata,
        guide_column=guide_id_column,
        target_column=target_column,
        type_column=type_column,
    )
    presence, guides = in_library_order(presence, guides, list(targets.index))
    pieces = [
        Piece("usages", list(usage.index), usage),
        Piece("guide assignments", cells, presence),
    ]
    if covariates is not None:
        table = covariates if isinstance(covariates, pd.DataFrame) else read_table(covariates)
        pieces.append(Piece("covariates", list(table.index), table))
    elif covar_columns is not None or log1p_columns is not None:
        raise OptionError("covar_columns and log1p_columns are columns of covariates=<table>")
    notes: list[str] = []
    names, *data = join(pieces, on_missing, notes)
    whole = chosen = data[2] if covariates is not None else None
    if whole is not None and (covar_columns is not None or log1p_columns is not None):
        lookup = column_of(whole, "covariate table")
        chosen = covariate_columns(lookup, covar_columns, log1p_columns)
    parts = Parts(
        cell_names=names,
        usage=data[0],
        covariates=chosen,
        guides=data[1],
        guide_to_target=targets,
        guide_names=guides,
        notes=notes,
        observations=whole,
        usage_label="usages",
        guide_label="guide assignments",
    )
    return build_screen(parts, **options)


def targets_from_metadata(
    metadata: pd.DataFrame | PathLike,
    *,
    guide_column: str = "guide_id",
    target_column: str = "intended_target_name",
    type_column: str | None = "type",
) -> pd.Series:
    """Target of each guide from a guide metadata table.

    Parameters
    ----------
    metadata
        The table, or a file that holds it.
    guide_column, target_column, type_column
        Names of its columns; without a type column only the targets count.

    Returns
    -------
    pd.Series
        Guide -> target, both text; guides without a target are left out.

    Raises
    ------
    InputError
        A column that does not exist, or a guide that occurs twice.
    """
    table = metadata if isinstance(metadata, pd.DataFrame) else read_table(metadata, index=False)
    guides = column(table, guide_column, "guide metadata").astype(str)
    if guides.duplicated().any():
        twice = guides[guides.duplicated()].unique()
        raise InputError(f"guide metadata: {len(twice)} guide(s) occur twice: {some(twice)}")
    targets = column(table, target_column, "guide metadata").astype(object)
    targets = targets.where(targets.notna(), "").astype(str).str.strip()
    if type_column is not None and type_column in table.columns:
        kinds = table[type_column].astype(object)
        kinds = kinds.where(kinds.notna(), "").astype(str).str.strip()
        control = kinds.map(looks_like_control).astype(bool)
        targets = targets.where(~control, kinds)
    elif type_column not in (None, "type"):
        column(table, str(type_column), "guide metadata")
    out = pd.Series(targets.to_numpy(), index=pd.Index(guides.to_numpy(), dtype=object))
    return out[out != ""]


def long_assignment(
    table: pd.DataFrame | PathLike,
    *,
    threshold: float = 1.0,
    cell_column: str = "cell",
    guide_column: str = "guide",
    value_column: str | None = "value",
) -> tuple[sparse.csr_matrix, list[str], list[str]]:
    """Guide presence from a long table: a row per cell and guide, present from a threshold on.

    Parameters
    ----------
    table
        The table, or a file that holds it.
    threshold
        A guide is present where its value is at least this.
    cell_column, guide_column, value_column
        Names of the columns; ``value_column=None``: each row means present.

    Returns
    -------
    presence : (N, n_guides) csr_matrix, int8
    cells, guides : list of str
        In order of first appearance; cells with values below the threshold only are there too.

    Raises
    ------
    InputError
        A column that does not exist, values that are not numbers, a pair that occurs twice.
    """
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not threshold > 0:
        raise OptionError(f"threshold={threshold!r} must be a positive number")
    if not isinstance(table, pd.DataFrame):
        table = read_table(table, index=False)
    what = "guide assignment table"
    rows, cells = pd.factorize(column(table, cell_column, what).astype(str))
    cols, guides = pd.factorize(column(table, guide_column, what).astype(str))
    if len(rows) == 0:
        raise InputError(f"{what} has no rows")
    pairs = pd.Series(rows.astype(np.int64) * len(guides) + cols)
    if pairs.duplicated().any():
        first = int(np.flatnonzero(pairs.duplicated())[0])
        raise InputError(
            f"{what}: {int(pairs.duplicated().sum())} pairs of cell and guide occur more than once "
            f"(first: {cells[rows[first]]}, {guides[cols[first]]})"
        )
    present = np.ones(len(rows), dtype=bool)
    if value_column is not None:
        values = pd.to_numeric(column(table, value_column, what), errors="coerce").to_numpy(float)
        if not np.isfinite(values).all():
            raise InputError(
                f"{what}: {int((~np.isfinite(values)).sum())} values of {value_column!r} are not "
                "numbers"
            )
        present = values >= threshold
    matrix = sparse.csr_matrix(
        (np.ones(int(present.sum()), dtype=np.int8), (rows[present], cols[present])),
        shape=(len(cells), len(guides)),
    )
    return matrix, [str(c) for c in cells], [str(g) for g in guides]


def in_library_order(
    matrix: Any, guides: Sequence[str], library: Sequence[str]
) -> tuple[Any, list[str]]:
    """Columns in the order of the guide library; guides that are not in it come last."""
    position = {guide: j for j, guide in enumerate(guides)}
    order = [position[g] for g in library if g in position]
    known = set(order)
    order += [j for j in range(len(guides)) if j not in known]
    return matrix[:, order], [guides[j] for j in order]
