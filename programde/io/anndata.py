"""AnnData, h5ad and zarr: a screen whose parts sit in obsm, layers, obsp, uns or obs.

Of a file only the parts that are asked for are read, so the expression matrix costs no memory.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from programde.errors import InputError, check_keywords, tell
from programde.io.building import screen_of
from programde.io.containers import (
    FileSlots,
    MemorySlots,
    find,
    has,
    names_list,
    parts_from_slots,
    store,
)
from programde.io.stored import stored_parts
from programde.screen.build import BUILD_OPTIONS, DEFAULT_BATCH_KEY
from programde.screen.composition import Floor
from programde.screen.covariates import INTERCEPT, covariate_frame, encode_covariates
from programde.screen.formula import AUTO
from programde.screen.guides import compute_guide_burden
from programde.screen.screen import Screen

DEFAULT_KEYS: dict[str, Any] = {
    "usage_key": "cnmf_usage",
    "covar_key": "covar",
    "guide_assignment_key": "guide_assignment",
    "guide_names_key": "guide_names",
    "guide2gene_key": "guide2gene",
    "program_names_key": "program_names",
    "guide_targets_key": "guide_targets",
    "spectra_key": "cnmf_spectra",
    "covar_columns": None,
    "log1p_columns": None,
}


def screen_from_anndata(
    adata: Any,
    *,
    usage_key: str = "cnmf_usage",
    covar_key: str | None = "covar",
    guide_assignment_key: str = "guide_assignment",
    guide_names_key: str = "guide_names",
    guide2gene_key: str = "guide2gene",
    program_names_key: str = "program_names",
    guide_targets_key: str = "guide_targets",
    spectra_key: str | None = "cnmf_spectra",
    covar_columns: Sequence[str] | None = None,
    log1p_columns: Sequence[str] | None = None,
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
    spectra: pd.DataFrame | str | os.PathLike[str] | None = None,
    program_names: pd.DataFrame | Mapping[str, str] | str | os.PathLike[str] | None = None,
) -> Screen:
    """A screen from an AnnData object, which is not modified.

    Each key is looked for in obsm, layers, obsp, uns and obs, in this order.

    Parameters
    ----------
    adata
        AnnData of N cells, or a view of one.
    usage_key
        Program usages, N x K.
    covar_key
        Covariates, N x m DataFrame or array; None: the intercept alone.
    guide_assignment_key
        Guides, N x n_guides; present where not 0, or from `guide_threshold` on.
    guide_names_key
        Guide names in column order; not needed where the guides are a DataFrame.
    guide2gene_key
        Guide -> target gene, dict-like; or a table of guides with ``intended_target_name`` and
        ``type`` or ``targeting``, see `guide_tables.targets_from_metadata`.
    program_names_key
        Optional program names; a DataFrame of usages keeps its column names.
    guide_targets_key
        Targets as a list parallel to the guide names, read where `guide2gene_key` is absent.
    spectra_key
        Optional weights of genes in programs, genes x programs, in varm.
    covar_columns, log1p_columns
        Columns of obs to use as covariates instead of `covar_key`; those of the second list as
        log(1 + x), named ``log1p_<column>``.
    batch_key, floor, add_intercept, standardize, numeric_as_category_threshold, formula
        See `build.build_screen`.
    on_empty, condition_key, guide_threshold, guide_absent_below, multi_target_guides
        See `build.build_screen`.
    moi
        ``"high"`` or ``"low"``; None: what ``uns["moi"]`` states, if anything.
    spectra
        Programs x genes, a table or the path of one, in place of `spectra_key`.
    program_names
        What people call the programs: a table of ``program`` and ``label``, its path, or a mapping.

    Returns
    -------
    Screen
        Checked and aligned, its cells in the order of `adata`.

    Raises
    ------
    InputError
        A key that is nowhere, or parts that do not fit together.

    Examples
    --------
    >>> import programde as pde
    >>> adata = pde.make_sceptre_style_synth(N=400, K=3, n_target_genes=4, seed=0)
    >>> pde.screen_from_anndata(adata, usage_key="usage").usage.shape
    (400, 3)
    """
    parts = parts_from_slots(
        MemorySlots(adata),
        usage_key=usage_key,
        covar_key=covar_key,
        guide_assignment_key=guide_assignment_key,
        guide_names_key=guide_names_key,
        guide2gene_key=guide2gene_key,
        program_names_key=program_names_key,
        guide_targets_key=guide_targets_key,
        spectra_key=spectra_key,
        covar_columns=covar_columns,
        log1p_columns=log1p_columns,
    )
    options = {
        "batch_key": batch_key,
        "floor": floor,
        "add_intercept": add_intercept,
        "standardize": standardize,
        "numeric_as_category_threshold": numeric_as_category_threshold,
        "formula": formula,
        "on_empty": on_empty,
        "condition_key": condition_key,
        "guide_threshold": guide_threshold,
        "guide_absent_below": guide_absent_below,
        "multi_target_guides": multi_target_guides,
        "moi": moi,
        "spectra": spectra,
        "program_names": program_names,
    }
    return screen_of(parts, options)


def read_h5ad(
    path: str | os.PathLike[str], *, memory: float | str | None = None, **keys: Any
) -> Screen:
    """A screen from an h5ad file, or an AnnData stored as zarr; reads only what is asked for.

    Usages that take more than `memory` stay in the file: they are checked while they pass by, and
    rows are read when a test asks for them, see docs/scale.md.

    Parameters
    ----------
    path
        The file, or the folder of a zarr store.
    memory
        Bytes that a screen in memory may take while it is prepared, or a text such as ``"4GB"``;
        None: half of what is free.
    **keys
        Keyword arguments of `screen_from_anndata`.

    Returns
    -------
    Screen
        Its cells in the order of the file.

    Raises
    ------
    InputError
        No such file, not HDF5, truncated, or anything `screen_from_anndata` refuses.
    OptionError
        An unknown keyword.

    Examples
    --------
    >>> import tempfile
    >>> import programde as pde
    >>> adata = pde.make_sceptre_style_synth(N=400, K=3, n_target_genes=4, seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     adata.write_h5ad(f"{folder}/screen.h5ad")
    ...     screen = pde.io.read_h5ad(f"{folder}/screen.h5ad", usage_key="usage")
    >>> screen.n_cells
    400
    """
    check_keywords("read_h5ad", keys, (*DEFAULT_KEYS, *BUILD_OPTIONS))
    options = {name: value for name, value in keys.items() if name in BUILD_OPTIONS}
    with store(path) as group:
        chosen = {name: keys.get(name, default) for name, default in DEFAULT_KEYS.items()}
        condition = keys.get("condition_key")
        parts = stored_parts(group, path, memory, condition_key=condition, **chosen)
        if parts is None:
            parts = parts_from_slots(FileSlots(group), **chosen)
    return screen_of(parts, options)


def get_from_adata_any(adata: Any, key: str) -> Any:
    """What is stored under `key` in obsm, layers, obsp, uns or obs, searched in this order.

    Raises
    ------
    InputError
        No container has it; says what is there.
    """
    return find(MemorySlots(adata), key)


def get_program_names(
    adata: Any, n_programs: int, program_names_key: str = "program_names"
) -> list[str]:
    """Program names of an AnnData, or ``program_0`` ... where it has none.

    Raises
    ------
    InputError
        Their number is not `n_programs`.
    """
    slots = MemorySlots(adata)
    if not has(slots, program_names_key):
        return [f"program_{k}" for k in range(n_programs)]
    names = names_list(find(slots, program_names_key), program_names_key)
    if len(names) != n_programs:
        raise InputError(f"{len(names)} {program_names_key!r} for {n_programs} programs")
    return names


def get_covar_matrix(
    adata: Any,
    covar_key: str = "covar",
    add_intercept: bool = True,
    standardize: bool = True,
    numeric_as_category_threshold: int | None = 20,
    formula: str = AUTO,
) -> tuple[np.ndarray, list[str]]:
    """Encoded covariates (N, p) float64 of an AnnData, and the names of their columns.

    Without the slopes per batch that a screen's have: which column is the batch is not said here.

    Raises
    ------
    InputError
        See `covariates.encode_covariates`.
    """
    table = get_from_adata_any(adata, covar_key)
    encoded = encode_covariates(
        table, add_intercept, standardize, numeric_as_category_threshold, formula
    )
    return encoded.matrix, encoded.names


def add_burden_covariate(
    adata: Any,
    *,
    guide_assignment_key: str = "guide_assignment",
    covar_key: str = "covar",
    guide_names_key: str = "guide_names",
    guide2gene_key: str = "guide2gene",
    burden_key: str = "log1p_non_ntc_guides_per_cell",
    ntc_labels: str | Sequence[str] | None = None,
    include_ntc: bool = False,
    count_nonzero: bool = True,
    use_log1p: bool = True,
    guide_threshold: float | None = None,
) -> pd.DataFrame:
    """Add the number of guides per cell to the covariates in ``adata.obsm[covar_key]``.

    Parameters
    ----------
    adata
        AnnData of N cells; its covariate table is replaced by a longer copy.
    burden_key
        Name of the new column.
    guide_assignment_key, covar_key, guide_names_key, guide2gene_key
        See `screen_from_anndata`.
    ntc_labels, include_ntc, count_nonzero, use_log1p, guide_threshold
        See `guides.compute_guide_burden`.

    Returns
    -------
    (N, m + 1) DataFrame
        The table that was stored.

    Raises
    ------
    InputError
        A key that is nowhere, or control labels that match nothing.
    """
    slots = MemorySlots(adata)
    G = find(slots, guide_assignment_key, "guide assignment")
    table = find(slots, covar_key, "covariate")
    if not isinstance(table, pd.DataFrame):
        tell(f"covariates {covar_key!r} were an array and are now a table")
        table = covariate_frame(table).drop(columns=INTERCEPT, errors="ignore")
        table.index = pd.Index(slots.cell_names())
    needs_names = not include_ntc and ntc_labels is not None and len(ntc_labels) > 0
    names, mapping = None, None
    if needs_names:
        mapping = find(slots, guide2gene_key, "guide -> gene map")
        if not isinstance(G, pd.DataFrame):
            names = names_list(find(slots, guide_names_key, "guide names"), guide_names_key)
    burden = compute_guide_burden(
        G,
        guide_names=names,
        guide2gene=mapping,
        ntc_labels=ntc_labels,
        include_ntc=include_ntc,
        count_nonzero=count_nonzero,
        use_log1p=use_log1p,
        guide_threshold=guide_threshold,
    )
    table = table.copy()
    table[burden_key] = burden
    adata.obsm[covar_key] = table
    return table
