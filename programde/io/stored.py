"""Screens whose usages stay in their file: HDF5 and zarr, read by rows.

What is small is read: guides in compressed form, the columns of obs and the covariates that are
asked for. Names of cells are compared while they pass by, and read when one is to be told.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
import pandas as pd

from programde.errors import InputError
from programde.io.containers import CONTAINERS, FileSlots, find, is_zarr, parts_from_slots, store
from programde.memory import reading_budget
from programde.screen.build import BYTES_PER_USAGE, Parts
from programde.screen.matrix_rows import BLOCK, StoredMatrix
from programde.screen.names import text

#: Kinds of elements that can be read by rows.
DENSE, SPARSE, TABLE = "array", "csr_matrix", "dataframe"


@dataclass(eq=False)
class FileRows(StoredMatrix):
    """A matrix of an HDF5 file or a zarr store: dense, in compressed rows, or a table.

    Attributes
    ----------
    path
        The file or folder.
    element
        Where in it the matrix lies.
    state
        Size and time of the file when it was checked.
    """

    path: str
    element: str
    state: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        self.path = str(Path(self.path).resolve())
        self.state = _state(self.path)
        self._open: Any = None
        matrix = self._matrix()
        self.kind = _kind(matrix)
        if self.kind == DENSE:
            self.shape, self.dtype = tuple(matrix.shape), np.dtype(matrix.dtype)
        elif self.kind == SPARSE:
            n, k = (int(size) for size in matrix.attrs["shape"])
            self.shape, self.dtype = (n, k), np.dtype(matrix["data"].dtype)
        else:
            self.names = [text(name) for name in matrix.attrs["column-order"]]
            columns = [matrix[name] for name in self.names]
            self.shape = (len(columns[0]), len(columns))
            self.dtype = np.result_type(*(c.dtype for c in columns))

    def _matrix(self) -> Any:
        if self._open is None:
            if _state(self.path) != self.state:
                raise InputError(
                    f"{self.path} is not what it was when it was read; run the whole again"
                )
            if is_zarr(self.path):
                import zarr

                self._open = zarr.open_group(self.path, mode="r")
            else:
                import h5py

                self._open = h5py.File(self.path, "r")
        return self._open[self.element]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": None}  # opened anew where it arrives

    def read(self, low: int, high: int) -> np.ndarray:
        matrix = self._matrix()
        if self.kind == DENSE:
            return np.asarray(matrix[low:high])
        if self.kind == TABLE:
            return np.column_stack([matrix[name][low:high] for name in self.names or ()])
        ends = np.asarray(matrix["indptr"][low : high + 1])
        first, last = int(ends[0]), int(ends[-1])
        out = np.zeros((high - low, self.shape[1]), self.dtype)
        rows = np.repeat(np.arange(high - low), np.diff(ends))
        columns = np.asarray(matrix["indices"][first:last])
        np.add.at(out, (rows, columns), np.asarray(matrix["data"][first:last]))
        return out


def _state(path: str) -> tuple[int, int]:
    """Size and time of a file; (-1, 0) where it is not there."""
    try:
        found = os.stat(path)
    except OSError:
        return (-1, 0)
    return (int(found.st_size), int(found.st_mtime_ns))


def _kind(element: Any) -> str:
    """What kind of element this is; empty where it cannot be read by rows."""
    kind = text(element.attrs.get("encoding-type", ""))
    if hasattr(element, "shape") and len(element.shape) == 2 and element.dtype.kind in "fiu":
        return DENSE
    if kind == SPARSE:
        return SPARSE
    if kind == TABLE:
        columns = [element[text(name)] for name in element.attrs["column-order"]]
        if columns and all(hasattr(c, "shape") and c.dtype.kind in "fiu" for c in columns):
            return TABLE
    return ""


def _index_of(table: Any) -> Any:
    """The names of a stored table's rows."""
    stored = table[text(table.attrs["_index"])]
    # anndata 0.13 writes texts as values and a mask of those that are missing
    return stored["values"] if hasattr(stored, "keys") else stored


class StoredNames(Sequence[str]):
    """The index of a stored table, read when a name is asked for."""

    def __init__(self, path: str | os.PathLike[str], element: str):
        self._rows = Path(path), element
        with store(path) as file:
            self._size = int(file[element].shape[0])

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, place: int) -> str: ...

    @overload
    def __getitem__(self, place: slice) -> list[str]: ...

    def __getitem__(self, place: int | slice) -> str | list[str]:
        path, element = self._rows
        if not isinstance(place, slice):
            place = range(self._size)[place]
        with store(path) as file:
            found = file[element][place]
            return [text(name) for name in found] if isinstance(place, slice) else text(found)

    def __iter__(self) -> Iterator[str]:
        for low in range(0, self._size, BLOCK):
            yield from self[low : low + BLOCK]


class StoredSlots(FileSlots):
    """As `FileSlots`, of a file with many cells: without the names of these.

    Parameters
    ----------
    group
        The open file, or a modality's group.
    path
        The file.
    columns
        Columns of obs that may be asked for.
    """

    def __init__(self, group: Any, path: str | os.PathLike[str], columns: Iterable[str | None]):
        from anndata.io import read_elem

        self.group, self.read_elem, self.path = group, read_elem, Path(path)
        if "obs" not in group:
            raise InputError("it has no 'obs' table")
        obs = group["obs"]
        self._index = _index_of(obs)
        self._all_columns = [text(name) for name in obs.attrs["column-order"]]
        wanted = [name for name in self._all_columns if name in set(columns)]
        n = int(self._index.shape[0])
        held = {name: read_elem(obs[name]) for name in wanted}
        self.obs = pd.DataFrame(held, index=pd.RangeIndex(n))

    def cell_names(self) -> Any:
        return StoredNames(self.path, self._index.name)

    def keys(self, container: str) -> list[str]:
        return self._all_columns if container == "obs" else super().keys(container)

    def get(self, container: str, key: str) -> Any:
        if container == "obs":
            return self.obs[key] if key in self.obs else self.read_elem(self.group["obs"][key])
        element = self.group[container][key]
        if (
            container in ("obsm", "layers")
            and text(element.attrs.get("encoding-type", "")) == TABLE
        ):
            self._same_cells(key, element)
            names = [text(name) for name in element.attrs["column-order"]]
            held = {name: self.read_elem(element[name]) for name in names}
            return pd.DataFrame(held, index=self.obs.index)
        return super().get(container, key)

    def rows(self, key: str) -> FileRows | None:
        """The matrix under a key by rows; None where it is not stored so."""
        for container in CONTAINERS:
            if container != "obs" and key in self.keys(container):
                element = self.group[container][key]
                if not _kind(element):
                    return None
                if _kind(element) == TABLE:
                    self._same_cells(key, element)
                return FileRows(str(self.path), element.name)
        find(self, key, "usage")  # which says what there is
        return None

    def _same_cells(self, key: str, element: Any) -> None:
        """Raise an InputError unless a table has the cells of obs, in their order."""
        index = _index_of(element)
        n = int(self._index.shape[0])
        if int(index.shape[0]) != n:
            raise InputError(f"{key!r} has {int(index.shape[0])} rows for {n} cells")
        for low in range(0, n, BLOCK):
            ours, theirs = self._index[low : low + BLOCK], index[low : low + BLOCK]
            if not np.array_equal(ours, theirs):
                first = int(np.flatnonzero(np.asarray(ours) != np.asarray(theirs))[0])
                raise InputError(
                    f"{key!r} names its row {low + first} {text(theirs[first])}, where obs has "
                    f"{text(ours[first])}: rows can be put in order only where all cells are in "
                    "memory; write the file with one order, or give more memory"
                )


class RowSlots(FileSlots):
    """As `FileSlots`; its usages stay in the file where they take too much.

    Parameters
    ----------
    group
        A modality's group of an open file.
    path
        The file.
    key
        Where the usages are; None: the matrix X.
    memory
        What they may take, see `memory.budget`.
    """

    def __init__(
        self, group: Any, path: str | os.PathLike[str], key: str | None, memory: float | str | None
    ):
        super().__init__(group)
        self._path, self._key, self._memory = path, key, memory

    def matrix(self, layer: str | None = None) -> Any:
        asked = layer is None and self._key is None and "X" in self.group
        rows = self._rows(self.group["X"]) if asked else None
        return super().matrix(layer) if rows is None else rows

    def get(self, container: str, key: str) -> Any:
        rows = None
        if key == self._key and container != "obs":
            rows = self._rows(self.group[container][key])
        return super().get(container, key) if rows is None else rows

    def _rows(self, element: Any) -> FileRows | None:
        limit = reading_budget(self._memory)
        if limit is None or _bytes_of(element) <= limit or _kind(element) not in (DENSE, SPARSE):
            return None
        return FileRows(str(self._path), element.name)


def usage_bytes(group: Any, key: str) -> float:
    """Bytes that reading and preparing the usages under a key takes in memory; 0 if unknown."""
    for container in CONTAINERS:
        if container in group and container != "obs" and key in group[container]:
            return _bytes_of(group[container][key])
    return 0.0


def _bytes_of(element: Any) -> float:
    """Bytes that preparing an element as usages takes; 0 where its shape is not known."""
    shape = getattr(element, "shape", None) or element.attrs.get("shape")
    if shape is None and "column-order" in element.attrs:
        shape = (_index_of(element).shape[0], len(element.attrs["column-order"]))
    if shape is None or len(shape) != 2:
        return 0.0
    return float(BYTES_PER_USAGE) * float(shape[0]) * float(shape[1])


def stored_parts(
    group: Any, path: str | os.PathLike[str], memory: float | str | None, **keys: Any
) -> Parts | None:
    """The parts of a screen whose usages stay in the file.

    Parameters
    ----------
    group, path
        The open file, and where it lies.
    memory
        What may be held in memory, see `memory.budget`.
    **keys
        See `containers.parts_from_slots`, and ``condition_key``.

    Returns
    -------
    Parts or None
        None where the usages fit into memory, or are not stored by rows.
    """
    limit = reading_budget(memory)
    if limit is None or usage_bytes(group, keys["usage_key"]) <= limit:
        return None
    columns = [*(keys["covar_columns"] or ()), *(keys["log1p_columns"] or ())]
    slots = StoredSlots(group, path, [*columns, keys.pop("condition_key", None)])
    usage = slots.rows(keys["usage_key"])
    if usage is None:
        return None
    parts = parts_from_slots(slots, **{**keys, "usage_key": None})
    parts.usage, parts.usage_label = usage, f"usage {keys['usage_key']!r}"
    if usage.names is not None:
        parts.program_names = usage.names
    return parts
