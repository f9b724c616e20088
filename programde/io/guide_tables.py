"""Guide tables: metadata of a library, and long tables of who holds which guide.

Guide metadata as in the IGVF's per-guide tables: ``guide_id``, ``intended_target_name`` and
``type`` (targeting, non-targeting, safe-targeting ...), or a column ``targeting`` of yes and no. A
guide whose type is a control's gets its type as its target, whatever stands in the target column.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from programde.errors import InputError, OptionError, check_keywords, some
from programde.io.building import screen_of
from programde.io.cell_ranger import is_calls_table, long_form, with_uncalled
from programde.io.join import Piece, column_of, covariate_columns, join
from programde.io.text_tables import (
    NumberRows,
    PathLike,
    column,
    number_rows,
    read_numbers,
    read_table,
)
from programde.screen.build import BUILD_OPTIONS, Parts
from programde.screen.control_labels import looks_like_control
from programde.screen.matrices import flat_table
from programde.screen.names import name_list
from programde.screen.screen import Screen

#: The target of control guides whose own label and type do not say what kind of control they are.
CONTROL = "non-targeting"


def read_guide_tables(
    usage: pd.DataFrame | NumberRows | PathLike,
    assignments: pd.DataFrame | PathLike,
    guide_metadata: pd.DataFrame | PathLike,
    covariates: pd.DataFrame | PathLike | None = None,
    *,
    cell_column: str = "cell",
    guide_column: str = "guide",
    value_column: str | None = "value",
    guide_id_column: str = "guide_id",
    target_column: str = "intended_target_name",
    type_column: str | None = "type",
    targeting_column: str | None = "targeting",
    covar_columns: Sequence[str] | None = None,
    log1p_columns: Sequence[str] | None = None,
    on_missing: str = "error",
    memory: float | str | None = None,
    **options: Any,
) -> Screen:
    """A screen from tables: usages, long guide assignments, guide metadata, covariates.

    Parameters
    ----------
    usage
        Cells x programs, or a text file of it (cell names first).
    assignments
        See `long_assignment`; or Cell Ranger's ``protospacer_calls_per_cell.csv``, see
        `cell_ranger`. Which values are guides that are there is for `guide_threshold` to say.
    guide_metadata
        See `targets_from_metadata`.
    covariates
        Cells x covariates, or a file of it (cell names first); None: the intercept alone.
    cell_column, guide_column, value_column
        Columns of `assignments`.
    guide_id_column, target_column, type_column, targeting_column
        Columns of `guide_metadata`.
    covar_columns, log1p_columns
        Columns of `covariates` to use, the second as log(1 + x); default: all as they are.
    on_missing
        Cells that are not in every table: ``"error"`` or ``"drop"``. A cell without any row in
        the assignment table is missing, not a cell without guides (in Cell Ranger's it is one).
    memory
        As of `anndata.read_h5ad`: usages of a file that take more are written to a temporary file,
        and read from there.
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

    Examples
    --------
    >>> import numpy as np, pandas as pd, programde as pde
    >>> cells = [f"cell_{i}" for i in range(40)]
    >>> usage = pd.DataFrame(
    ...     np.random.default_rng(0).dirichlet([1, 1, 1], 40), cells, ["p0", "p1", "p2"]
    ... )
    >>> assignments = pd.DataFrame({"cell": cells, "guide": ["g1", "c1"] * 20, "value": 1})
    >>> guides = pd.DataFrame(
    ...     {"guide_id": ["g1", "c1"], "intended_target_name": ["A", "non-targeting"]}
    ... )
    >>> pde.io.read_tables(usage, assignments, guides).guide_to_target
    {'g1': 'A', 'c1': 'non-targeting'}
    """
    check_keywords("read_guide_tables", options, BUILD_OPTIONS)
    if not isinstance(usage, pd.DataFrame | NumberRows):
        usage = number_rows(file := usage, memory) or read_numbers(file)
    notes: list[str] = []
    if not isinstance(assignments, pd.DataFrame):
        assignments = read_table(assignments, index=False)
    of_cell_ranger = is_calls_table(assignments, cell_column, guide_column)
    if of_cell_ranger:
        umis = options.get("guide_threshold") is not None
        assignments, value_column = long_form(assignments), "value" if umis else None
        cell_column, guide_column = "cell", "guide"
    values, cells, guides = long_assignment(
        assignments, cell_column=cell_column, guide_column=guide_column, value_column=value_column
    )
    if of_cell_ranger:
        values, cells = with_uncalled(values, cells, list(usage.index), notes)
    targets = targets_from_metadata(
        guide_metadata,
        guide_column=guide_id_column,
        target_column=target_column,
        type_column=type_column,
        targeting_column=targeting_column,
    )
    values, guides = in_library_order(values, guides, list(targets.index))
    pieces = [
        Piece("usages", list(usage.index), usage),
        Piece("guide assignments", cells, values),
    ]
    if covariates is not None:
        table = covariates if isinstance(covariates, pd.DataFrame) else read_table(covariates)
        pieces.append(Piece("covariates", list(table.index), table))
    elif covar_columns is not None or log1p_columns is not None:
        raise OptionError("covar_columns and log1p_columns are columns of covariates=<table>")
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
        program_names=list(usage.columns),
        notes=notes,
        observations=whole,
        usage_label="usages",
        guide_label="guide assignments",
    )
    return screen_of(parts, options)


def targets_from_metadata(
    metadata: pd.DataFrame | PathLike,
    *,
    guide_column: str = "guide_id",
    target_column: str = "intended_target_name",
    type_column: str | None = "type",
    targeting_column: str | None = "targeting",
) -> pd.Series:
    """Target of each guide from a guide metadata table.

    Parameters
    ----------
    metadata
        The table, or a file that holds it.
    guide_column, target_column, type_column
        Names of its columns; without a type column only the targets count.
    targeting_column
        A column of yes and no, if there is one: guides that do not target are controls.

    Returns
    -------
    pd.Series
        Guide -> target, both text; a tuple of targets where a guide stands in several rows.
        Guides without a target are left out.

    Raises
    ------
    InputError
        A column that does not exist, a guide without a name, or one that occurs twice with the
        same target.
    """
    table = metadata if isinstance(metadata, pd.DataFrame) else read_table(metadata, index=False)
    what = "guide metadata"
    names = column(flat_table(table, what), guide_column, what)
    guides = pd.Series(name_list(f"{what}: guides", names), dtype=object)
    targets = _labels(column(table, target_column, what))
    control = np.zeros(len(table), dtype=bool)
    kinds = np.full(len(table), "", dtype=object)
    if type_column is not None and type_column in table.columns:
        kinds = _labels(table[type_column]).to_numpy()
        control |= np.array([looks_like_control(kind) for kind in kinds], dtype=bool)
    elif type_column not in (None, "type"):
        column(table, str(type_column), what)
    if targeting_column is not None and targeting_column in table.columns:
        control |= _not_targeting(table[targeting_column], targeting_column)
    elif targeting_column not in (None, "targeting"):
        column(table, str(targeting_column), what)
    named = [
        next((label for label in (kind, target) if looks_like_control(label)), CONTROL)
        for kind, target in zip(kinds, targets, strict=True)
    ]
    targets = targets.where(~control, pd.Series(named, dtype=object))
    if guides.duplicated().any():
        return _of_repeated(guides, targets)
    out = pd.Series(targets.to_numpy(), index=pd.Index(guides.to_numpy(), dtype=object))
    return out[out != ""]


def targets_of_table(table: pd.DataFrame) -> pd.Series:
    """Target of each guide from a table whose index names the guides."""
    names = name_list("guides of the guide -> target table", table.index)
    return targets_from_metadata(
        table.reset_index(drop=True).assign(**{"guide name": names}), guide_column="guide name"
    )


def _labels(values: pd.Series) -> pd.Series:
    """Labels as text without blanks around, "" where there is none; rows counted from 0."""
    texts = values.astype(object).reset_index(drop=True)
    return texts.where(texts.notna(), "").astype(str).str.strip()


def _not_targeting(values: pd.Series, name: str) -> np.ndarray:
    """Where a column of yes and no says no."""
    labels = _labels(values)
    words = labels.str.lower()
    no = words.isin(["false", "0", "0.0", "no"]) | words.map(looks_like_control).astype(bool)
    yes = words.isin(["true", "1", "1.0", "yes", "targeting", ""])
    odd = labels[~(no | yes)]
    if len(odd):
        raise InputError(
            f"guide metadata: column {name!r} must say yes or no, it holds {some(odd.unique())}; "
            "set targeting_column=null to leave it unread"
        )
    return no.to_numpy()


def _of_repeated(guides: pd.Series, targets: pd.Series) -> pd.Series:
    """Guide -> tuple of targets where guides stand in several rows, each with another target."""
    rows = pd.DataFrame({"guide": guides, "target": targets})
    twice = rows.loc[rows.duplicated(), "guide"].unique()
    if len(twice):
        raise InputError(
            f"guide metadata: {len(twice)} guide(s) occur twice: {some(twice)}, with one target"
        )
    rows = rows[rows["target"] != ""]
    sets = rows.groupby("guide", sort=False)["target"].agg(tuple)
    return sets.map(lambda names: names if len(names) > 1 else names[0])


def long_assignment(
    table: pd.DataFrame | PathLike,
    *,
    cell_column: str = "cell",
    guide_column: str = "guide",
    value_column: str | None = "value",
) -> tuple[sparse.csr_matrix, list[str], list[str]]:
    """A matrix of guides from a long table: a row per cell and guide.

    Parameters
    ----------
    table
        The table, or a file that holds it.
    cell_column, guide_column, value_column
        Names of the columns; ``value_column=None``: each row means present.

    Returns
    -------
    values : (N, n_guides) csr_matrix, float64
        The values of the table: calls, counts or probabilities.
    cells, guides : list of str
        In order of first appearance; cells with values of 0 only are there too.

    Raises
    ------
    InputError
        A column that does not exist, names or values that are missing, a pair that occurs twice.
    """
    if not isinstance(table, pd.DataFrame):
        table = read_table(table, index=False)
    what = "guide assignment table"
    names = {
        name: name_list(f"{what}: {name!r}", column(flat_table(table, what), name, what))
        for name in (cell_column, guide_column)
    }
    rows, cells = pd.factorize(pd.Series(names[cell_column], dtype=object))
    cols, guides = pd.factorize(pd.Series(names[guide_column], dtype=object))
    if len(rows) == 0:
        raise InputError(f"{what} has no rows")
    pairs = pd.Series(rows.astype(np.int64) * len(guides) + cols)
    if pairs.duplicated().any():
        first = int(np.flatnonzero(pairs.duplicated())[0])
        raise InputError(
            f"{what}: {int(pairs.duplicated().sum())} pairs of cell and guide occur more than once "
            f"(first: {cells[rows[first]]}, {guides[cols[first]]})"
        )
    values = np.ones(len(rows))
    if value_column is not None:
        values = pd.to_numeric(column(table, value_column, what), errors="coerce").to_numpy(float)
        if not np.isfinite(values).all():
            raise InputError(
                f"{what}: {int((~np.isfinite(values)).sum())} values of {value_column!r} are not "
                "numbers"
            )
    matrix = sparse.csr_matrix((values, (rows, cols)), shape=(len(cells), len(guides)))
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
