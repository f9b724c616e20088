"""MuData, h5mu and zarr: usages, guides and covariates in modalities, joined by cell name.

Two layouts are known: one modality that holds the usages as its matrix X (its variables are the
programs) with the guides in its obsm and uns; or a modality of guides (its variables are the
guides, their targets a column of its table of variables) beside usages in another modality or from
elsewhere. The guides may also be in an AnnData file of their own (`guides_path`). Of a file only
the parts that are asked for are read; `mudata` need not be installed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

import pandas as pd

from programde.errors import InputError, OptionError, check_keywords, nearest, some
from programde.io.building import screen_of
from programde.io.containers import (
    FileSlots,
    MemorySlots,
    Slots,
    find,
    has,
    stated_moi,
    store,
)
from programde.io.join import Piece, aligned, covariate_columns, join, name_list
from programde.io.modalities import find_guides, find_spectra, modality
from programde.io.stored import RowSlots
from programde.io.text_tables import PathLike
from programde.screen.build import BUILD_OPTIONS, Parts
from programde.screen.matrix_rows import StoredMatrix
from programde.screen.screen import Screen

DEFAULT_KEYS: dict[str, Any] = {
    "usage_modality": "cNMF",
    "usage_key": None,
    "usage_table": None,
    "guide_modality": None,
    "guide_layer": None,
    "guides_path": None,
    "guide_assignment_key": "guide_assignment",
    "guide_names_key": "guide_names",
    "guide2gene_key": "guide2gene",
    "guide_targets_key": "guide_targets",
    "target_column": "intended_target_name",
    "type_column": "type",
    "targeting_column": "targeting",
    "spectra_key": None,
    "covar_modality": None,
    "covar_key": "covar",
    "covar_columns": None,
    "log1p_columns": None,
    "on_missing": "error",
}


def read_h5mu(path: PathLike, *, memory: float | str | None = None, **keys: Any) -> Screen:
    """A screen from an h5mu file, or a MuData stored as zarr; reads only what is asked for.

    Parameters
    ----------
    path
        The file, or the folder of a zarr store.
    memory
        As of `anndata.read_h5ad`: usages that take more stay in the file; in another order than
        the cells of the other modalities they cannot.
    **keys
        Keyword arguments of `screen_from_mudata`.

    Returns
    -------
    Screen
        Its cells in the order of the modality that holds the usages.

    Raises
    ------
    InputError
        No such file, not HDF5, truncated, or anything `screen_from_mudata` refuses.

    Examples
    --------
    >>> import tempfile, warnings
    >>> import anndata, mudata, numpy as np, programde as pde
    >>> cells = [f"cell_{i}" for i in range(40)]
    >>> programs = anndata.AnnData(np.random.default_rng(0).dirichlet([1, 1, 1], 40))
    >>> guides = anndata.AnnData(np.tile(np.eye(2), (20, 1)))
    >>> programs.obs_names = guides.obs_names = cells
    >>> guides.var_names = ["g1", "c1"]
    >>> guides.var["intended_target_name"] = ["A", "non-targeting"]
    >>> with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")  # mudata announces changes of its own
    ...     mudata.MuData({"cNMF": programs, "guide": guides}).write(f"{folder}/screen.h5mu")
    ...     screen = pde.io.read_h5mu(f"{folder}/screen.h5mu", covar_key=None)
    >>> screen.guide_to_target
    {'g1': 'A', 'c1': 'non-targeting'}
    """
    check_keywords("read_h5mu", keys, (*DEFAULT_KEYS, *BUILD_OPTIONS))
    chosen, options = _split(keys)
    condition = options.get("condition_key")
    apart = chosen["guides_path"]
    with store(path) as file, nullcontext() if apart is None else store(apart) as beside:
        if "mod" not in file:
            raise InputError(f"it has no modalities ('mod'); at the top are: {some(file, 10)}")
        home, key = chosen["usage_modality"], chosen["usage_key"]
        modalities: dict[str, Slots] = {
            name: (
                RowSlots(file["mod"][name], path, key, memory)
                if name == home
                else FileSlots(file["mod"][name])
            )
            for name in sorted(file["mod"])
        }
        top = FileSlots(file) if "obs" in file else None
        obs = pd.DataFrame() if top is None else top.obs
        chosen["guides_apart"] = None if beside is None else FileSlots(beside)
        chosen["moi"] = None if top is None else stated_moi(top)
        parts = _parts(modalities, obs, condition, **chosen)
    return screen_of(parts, options)


def screen_from_mudata(mdata: Any, **keys: Any) -> Screen:
    """A screen from a MuData object, which is not modified.

    Parameters
    ----------
    mdata
        MuData.
    usage_modality : str, default "cNMF"
        Modality of the usages.
    usage_key : str, optional
        Where in that modality the usages are; default: its matrix X, programs = its variables.
    usage_table : DataFrame, optional
        Usages from elsewhere (cells x programs), instead of a modality.
    guide_modality : str, optional
        Modality whose variables are guides; default: the usages' modality if that holds
        `guide_assignment_key`, else one that is named like guides (`modalities.GUIDE_MODALITIES`)
        or, where none is, whose variables have a `target_column`.
    guide_layer : str, optional
        Layer of that modality with the assignment; default: the layer that is called like
        `guide_assignment_key`, where there is one, else its matrix X.
    guides_path : path, optional
        h5ad file (or zarr store) of the guides alone: its variables are the guides, or it holds
        `guide_assignment_key`. Only where the MuData is a file too.
    guide_assignment_key, guide_names_key, guide2gene_key, guide_targets_key : str
        Keys in the usages' modality, see `anndata.screen_from_anndata`.
    target_column, type_column, targeting_column : str
        Columns of the guides' table of variables, see `guide_tables.targets_from_metadata`.
    spectra_key : str, optional
        Weights of genes in programs, in varm of the usages' modality; default: ``loadings``
        (programs x genes) or ``cnmf_spectra`` (genes x programs), where there is one.
    covar_modality : str, optional
        Modality of the covariates; default: the usages', then the guides', then any other.
    covar_key : str, optional
        Covariate table or array there; None: the intercept alone.
    covar_columns, log1p_columns : list of str, optional
        Columns of obs instead: of the covariates' modality, of the whole, or of the only modality
        that has it; ``"modality:column"`` says which. The second list as log(1 + x).
    on_missing : {"error", "drop"}
        Cells that are not in every source.
    condition_key : str, optional
        Column of the covariates or, like `covar_columns`, of obs.
    **keys
        The above, and the options of `build.build_screen`.

    Returns
    -------
    Screen
        Cells in the order of the usages; `notes` says how many were matched, lost, reordered.

    Raises
    ------
    InputError, OptionError
        A modality or key that does not exist, or parts that do not fit together.
    """
    check_keywords("screen_from_mudata", keys, (*DEFAULT_KEYS, *BUILD_OPTIONS))
    if not hasattr(mdata, "mod"):
        raise InputError(f"a {type(mdata).__name__} was given, a MuData is needed")
    chosen, options = _split(keys)
    modalities: dict[str, Slots] = {name: MemorySlots(mod) for name, mod in mdata.mod.items()}
    if chosen["guides_path"] is not None:
        raise OptionError("guides_path goes with a MuData's path; add the guides as a modality")
    chosen["guides_apart"], chosen["moi"] = None, mdata.uns.get("moi")
    parts = _parts(modalities, mdata.obs, options.get("condition_key"), **chosen)
    return screen_of(parts, options)


def _split(keys: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    chosen = {name: keys.get(name, default) for name, default in DEFAULT_KEYS.items()}
    return chosen, {name: value for name, value in keys.items() if name in BUILD_OPTIONS}


def _parts(
    modalities: Mapping[str, Slots], obs: pd.DataFrame, condition: str | None, **keys: Any
) -> Parts:
    notes: list[str] = []
    usage, programs = _usage(modalities, keys, notes)
    guides, guide_names, targets, moi = find_guides(modalities, keys, notes)
    covariates = _covariates(modalities, obs, keys, notes)
    levels = _condition(modalities, obs, condition, covariates, keys)
    names, *data = join([usage, guides, *covariates, *levels], keys["on_missing"], notes)
    tables: Any = data[2 : 2 + len(covariates)]
    if len(tables) > 1 or (tables and covariates[0].what.startswith("column")):
        tables = [pd.concat(tables, axis=1)]
    if programs is None and isinstance(data[0], StoredMatrix):
        programs = data[0].names
    return Parts(
        cell_names=names,
        usage=data[0],
        covariates=tables[0] if tables else None,
        guides=data[1],
        guide_to_target=targets,
        guide_names=guide_names,
        program_names=programs,
        notes=notes,
        observations=data[-1] if levels else None,
        moi=keys["moi"] if moi is None else moi,
        spectra=find_spectra(modalities, keys, notes),
        usage_label=usage.what,
        covariate_label=covariates[0].what if len(covariates) == 1 else "covariates",
        guide_label=guides.what,
        spectra_label="spectra of the usages' modality",
    )


def _usage(
    modalities: Mapping[str, Slots], keys: Mapping[str, Any], notes: list[str]
) -> tuple[Piece, list[str] | None]:
    if keys["usage_table"] is not None:
        table = keys["usage_table"]
        return Piece("usages", [str(c) for c in table.index], table), None
    name, key = keys["usage_modality"], keys["usage_key"]
    slots = modality(modalities, name, "usage_modality")
    cells, what = slots.cell_names(), f"usages of modality {name!r}"
    if key is None:
        programs = [str(v) for v in slots.var().index]
        return Piece(what, cells, aligned(slots.matrix(None), what, cells, notes)), programs
    found = find(slots, key, f"usage (modality {name!r})")
    return Piece(what, cells, aligned(found, what, cells, notes)), None


def _covariates(
    modalities: Mapping[str, Slots],
    obs: pd.DataFrame,
    keys: Mapping[str, Any],
    notes: list[str],
) -> list[Piece]:
    order = _order(modalities, keys)
    if keys["covar_columns"] is not None or keys["log1p_columns"] is not None:
        return _columns(modalities, obs, order, keys)
    key = keys["covar_key"]
    if key is None:
        return []
    for name in order:
        if has(modalities[name], key):
            what = f"covariates {key!r} of modality {name!r}"
            cells = modalities[name].cell_names()
            found = find(modalities[name], key)
            if isinstance(found, pd.Series):
                found = found.to_frame()
            return [Piece(what, cells, aligned(found, what, cells, notes))]
    columns = {f"{name}:{c}" for name in modalities for c in modalities[name].obs}
    raise InputError(
        f"covariate key {key!r} is in no modality ({some(order, 10)}); set covar_columns, columns "
        f"are {some(sorted(columns), 20) or 'none'}"
    )


def _order(modalities: Mapping[str, Slots], keys: Mapping[str, Any]) -> list[str]:
    """Modalities in the order in which covariates are looked for."""
    preferred = keys["covar_modality"]
    if preferred is not None:
        modality(modalities, preferred, "covar_modality")
        return [preferred]
    order = dict.fromkeys([keys["usage_modality"], *modalities])
    return [name for name in order if name in modalities]


def _condition(
    modalities: Mapping[str, Slots],
    obs: pd.DataFrame,
    key: str | None,
    covariates: list[Piece],
    keys: Mapping[str, Any],
) -> list[Piece]:
    """The column by whose levels the analysis may be repeated, where no covariate is it."""
    held = [c for p in covariates if isinstance(p.data, pd.DataFrame) for c in p.data.columns]
    if key is None or key in held:
        return []
    column = _lookup(modalities, obs, _order(modalities, keys))(key)
    cells = [str(cell) for cell in column.index]
    return [Piece(f"column {key!r}", cells, column.to_frame(key))]


def _lookup(
    modalities: Mapping[str, Slots], obs: pd.DataFrame, order: list[str]
) -> Callable[[str], pd.Series]:
    """Finds a column of obs: see `covar_columns` of `screen_from_mudata`."""
    tables = {name: modalities[name].obs for name in modalities}

    def lookup(name: str) -> pd.Series:
        home, _, column = name.partition(":")
        if column and home in tables and column in tables[home]:
            return tables[home][column]
        if order and name in tables[order[0]]:
            return tables[order[0]][name]
        if name in obs:
            return obs[name]
        holders = [m for m, table in tables.items() if name in table]
        if len(holders) == 1:
            return tables[holders[0]][name]
        if holders:
            raise InputError(
                f"column {name!r} is in several modalities: write {holders[0] + ':' + name!r}"
            )
        known = [f"{m}:{c}" for m, table in tables.items() for c in table] + list(obs)
        raise InputError(f"no obs table has a column {name!r}{nearest(name, known)}")

    return lookup


def _columns(
    modalities: Mapping[str, Slots], obs: pd.DataFrame, order: list[str], keys: Mapping[str, Any]
) -> list[Piece]:
    """One piece per column, as columns may come from modalities with different cells."""
    lookup = _lookup(modalities, obs, order)
    logs = name_list("log1p_columns", keys["log1p_columns"])
    plain = name_list("covar_columns", keys["covar_columns"])
    wanted = [(c, False) for c in plain if c not in logs] + [(c, True) for c in logs]
    pieces = []
    for name, is_log in wanted:
        table = covariate_columns(lookup, [] if is_log else [name], [name] if is_log else [])
        pieces.append(Piece(f"column {name!r}", [str(c) for c in table.index], table))
    return pieces
