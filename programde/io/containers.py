"""Where the parts of a screen sit: the containers of an AnnData, in memory, HDF5 or zarr."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from programde.errors import InputError, ProgramDEError, nearest, not_a_file, some, tell
from programde.io.guide_tables import targets_of_table
from programde.io.join import column_of, covariate_columns
from programde.memory import must_fit
from programde.screen.build import Parts
from programde.screen.composition import first_line
from programde.screen.matrices import dense_numbers
from programde.screen.names import NO_NAME, is_flat_list, name_list

CONTAINERS = ("obsm", "layers", "obsp", "uns", "obs")


class Slots(Protocol):
    """The containers of an AnnData, in memory or in a file."""

    obs: pd.DataFrame

    def cell_names(self) -> list[str]: ...

    def matrix(self, layer: str | None) -> Any: ...

    def var(self) -> pd.DataFrame: ...

    def keys(self, container: str) -> list[str]: ...

    def get(self, container: str, key: str) -> Any: ...


class MemorySlots:
    """Containers of an AnnData object (a view works too), or of anything that has them.

    Cells without names (neither `obs_names` nor an index of `obs`) are called ``cell_0`` ...
    """

    def __init__(self, adata: Any) -> None:
        if not any(hasattr(adata, container) for container in CONTAINERS):
            raise InputError(f"a {type(adata).__name__} was given, an AnnData is needed")
        self.adata = adata
        self.obs = _table_of_cells(adata)

    def matrix(self, layer: str | None = None) -> Any:
        return _need_matrix(self.adata.X) if layer is None else _need_layer(self, layer)

    def var(self) -> pd.DataFrame:
        return self.adata.var

    def cell_names(self) -> list[str]:
        return [str(name) for name in getattr(self.adata, "obs_names", self.obs.index)]

    def keys(self, container: str) -> list[str]:
        held = self.obs if container == "obs" else getattr(self.adata, container, None)
        return [str(key) for key in held] if held is not None else []

    def get(self, container: str, key: str) -> Any:
        return self.obs[key] if container == "obs" else getattr(self.adata, container)[key]


def _table_of_cells(adata: Any) -> pd.DataFrame:
    """obs as a table: made of what it holds, named by the tables beside it, where it is none."""
    obs = getattr(adata, "obs", None)
    obsm = getattr(adata, "obsm", None)
    parts = [obsm[key] for key in obsm] if obsm is not None else []
    tables = [part for part in parts if isinstance(part, pd.DataFrame)]
    named = [t.index for t in tables if not isinstance(t.index, pd.RangeIndex)]
    if isinstance(obs, pd.DataFrame) and (len(obs) or not parts):
        nameless = isinstance(obs.index, pd.RangeIndex) and not hasattr(adata, "obs_names")
        return obs.set_axis(named[0]) if nameless and named and len(named[0]) == len(obs) else obs
    columns = dict(obs) if obs is not None else {}
    counts = [getattr(adata, "n_obs", None), *(part.shape[0] for part in parts)]
    n = next((int(c) for c in counts if c), max(map(len, columns.values()), default=0))
    names = named[0] if named and len(named[0]) == n else [f"cell_{i}" for i in range(n)]
    return pd.DataFrame({key: np.asarray(value) for key, value in columns.items()}, index=names)


class FileSlots:
    """Containers of an open h5ad file or zarr store (or of one modality's group of a MuData)."""

    def __init__(self, group: Any) -> None:
        from anndata.io import read_elem

        self.group, self.read_elem = group, read_elem
        if "obs" not in group:
            raise InputError(
                f"it has no 'obs' table; at the top are: {some(group, 10) or 'nothing'}"
            )
        self.obs: pd.DataFrame = read_elem(group["obs"])

    def matrix(self, layer: str | None = None) -> Any:
        if layer is not None:
            return _need_layer(self, layer)
        return _need_matrix(self._read("matrix X", self.group["X"]) if "X" in self.group else None)

    def var(self) -> pd.DataFrame:
        return self.read_elem(self.group["var"])

    def cell_names(self) -> list[str]:
        return [str(name) for name in self.obs.index]

    def keys(self, container: str) -> list[str]:
        if container == "obs":
            return [str(key) for key in self.obs]
        return [str(key) for key in self.group.get(container, {})]

    def get(self, container: str, key: str) -> Any:
        return self.obs[key] if container == "obs" else self._read(key, self.group[container][key])

    def _read(self, what: str, element: Any) -> Any:
        """An element, if there is room for it."""
        held = getattr(element, "nbytes", None)  # of an array; a group tells of its members
        if held is None:
            held = sum(getattr(element[name], "nbytes", 0) for name in element)
        must_fit(f"reading {what!r}", held)
        _tell_missing(what, element)
        return self.read_elem(element)


def _tell_missing(what: str, element: Any) -> None:
    """Say which pieces of a zarr array are not in its store: zarr reads them as 0, in silence."""
    arrays = [element] if hasattr(element, "dtype") else [element[name] for name in element]
    for array in arrays:
        there, all_of_them = (getattr(array, of, 0) for of in ("nchunks_initialized", "nchunks"))
        if there < all_of_them:
            tell(
                f"{all_of_them - there} of {all_of_them} pieces of {what!r} are not in the zarr "
                "store and count as 0: is the copy whole?"
            )


def find(slots: Slots, key: str, role: str = "") -> Any:
    """What is stored under `key` in the first container that has it.

    Raises
    ------
    InputError
        No container has it; says what was searched and what is there.
    """
    for container in CONTAINERS:
        if key in slots.keys(container):
            return slots.get(container, key)
    there = {c: slots.keys(c) for c in CONTAINERS}
    listing = "; ".join(f"{c}: {some(keys, 8)}" for c, keys in there.items() if keys)
    everything = [k for keys in there.values() for k in keys]
    guess = nearest(key, everything).split(" valid:")[0].rstrip(";")
    raise InputError(
        f"{role + ' ' if role else ''}key {key!r} is not in {', '.join(CONTAINERS)}{guess}; "
        f"there is {listing or 'nothing'}"
    )


def has(slots: Slots, key: str) -> bool:
    """Whether any container has `key`."""
    return any(key in slots.keys(container) for container in CONTAINERS)


def _need_matrix(matrix: Any) -> Any:
    if matrix is None:
        raise InputError("it has no matrix X")
    return matrix


def _need_layer(slots: Slots, layer: str) -> Any:
    layers = slots.keys("layers")
    if layer not in layers:
        raise InputError(f"layer {layer!r} does not exist{nearest(layer, layers)}")
    return slots.get("layers", layer)


def parts_from_slots(
    slots: Slots,
    *,
    usage_key: str | None,
    covar_key: str | None,
    guide_assignment_key: str,
    guide_names_key: str,
    guide2gene_key: str,
    program_names_key: str,
    guide_targets_key: str = "guide_targets",
    spectra_key: str | None = None,
    covar_columns: Sequence[str] | None = None,
    log1p_columns: Sequence[str] | None = None,
) -> Parts:
    """The parts of a screen under the given keys, see `anndata.screen_from_anndata`.

    ``usage_key=None`` leaves the usages to the caller.
    """
    usage = None if usage_key is None else find(slots, usage_key, "usage")
    covariates, label = None, f"covariates {covar_key!r}"
    if covar_columns is not None or log1p_columns is not None:
        label = "covariates of obs"
        covariates = covariate_columns(column_of(slots.obs, "obs"), covar_columns, log1p_columns)
    elif covar_key is not None:
        covariates = find(slots, covar_key, "covariate")
    guides = find(slots, guide_assignment_key, "guide assignment")
    parallel = guide_targets_key if not has(slots, guide2gene_key) else guide2gene_key
    mapping = find(slots, parallel if has(slots, parallel) else guide2gene_key, "guide -> gene map")
    if isinstance(mapping, pd.DataFrame) and mapping.shape[1] > 1:
        mapping = targets_of_table(mapping)
    guide_names = None
    if not isinstance(guides, pd.DataFrame):
        guide_names = names_list(find(slots, guide_names_key, "guide names"), guide_names_key)
    program_names = None
    if not isinstance(usage, pd.DataFrame) and has(slots, program_names_key):
        program_names = names_list(find(slots, program_names_key), program_names_key)
    return Parts(
        cell_names=slots.cell_names(),
        usage=usage,
        covariates=covariates,
        guides=guides,
        guide_to_target=mapping,
        guide_names=guide_names,
        program_names=program_names,
        observations=slots.obs,
        moi=stated_moi(slots),
        spectra=spectra_of(slots, spectra_key),
        usage_label=f"usage {usage_key!r}",
        covariate_label=label,
        guide_label=f"guide assignment {guide_assignment_key!r}",
        spectra_label=f"spectra {spectra_key!r}",
    )


def stated_moi(slots: Slots) -> Any:
    """What ``uns["moi"]`` states, None where it is absent."""
    return slots.get("uns", "moi") if "moi" in slots.keys("uns") else None


def spectra_of(slots: Slots, key: str | None, default: str = "cnmf_spectra") -> Any:
    """Genes x programs from varm, named by the variables; None where the default key is absent.

    Raises
    ------
    InputError
        Another key than the default was given, and does not exist.
    """
    if key is None:
        return None
    keys = slots.keys("varm")
    if key not in keys:
        if key == default:
            return None
        raise InputError(f"spectra_key={key!r} is not in varm{nearest(key, keys)}")
    values = slots.get("varm", key)
    if isinstance(values, pd.DataFrame):
        return values
    return pd.DataFrame(dense_numbers(values, f"spectra {key!r}"), index=slots.var().index)


def names_list(value: Any, key: str) -> list[str]:
    """A list of names from a list, array, Index or Series."""
    if not is_flat_list(value):
        raise InputError(f"{key!r} must be a list of names, it is a {type(value).__name__}")
    return name_list(repr(key), value, NO_NAME)


def is_zarr(path: str | os.PathLike[str]) -> bool:
    """Whether a folder is a zarr store."""
    return any((Path(path) / mark).is_file() for mark in ("zarr.json", ".zgroup"))


@contextmanager
def store(path: str | os.PathLike[str]) -> Iterator[Any]:
    """An HDF5 file or zarr store open for reading; what goes wrong then is an InputError."""
    if not is_zarr(path):
        with h5_file(path) as file:
            yield file
        return
    import zarr

    with _readable(Path(path)):
        yield zarr.open_group(str(path), mode="r")


@contextmanager
def h5_file(path: str | os.PathLike[str]) -> Iterator[Any]:
    """An HDF5 file open for reading; whatever goes wrong in the block is an InputError."""
    import h5py

    given, path = path, Path(path)
    if not path.is_file():
        raise InputError(not_a_file(given))
    with _readable(path), h5py.File(path, "r") as file:
        yield file


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Whatever goes wrong in the block is an InputError that names the path."""
    try:
        yield
    except ProgramDEError as error:
        raise type(error)(f"{path}: {error}") from None
    except Exception as error:  # h5py, zarr and anndata raise many kinds for a damaged file
        raise InputError(
            f"{path} cannot be read, is it whole? ({type(error).__name__}: {first_line(error)})"
        ) from error
