"""Rows of a matrix that are read, and made, when they are asked for.

A screen that does not fit into memory has `Rows` where others have arrays (usages, log-ratios,
covariates). Rows come in as they are stored (`Source`: a file, or some rows of one that were
gathered) and are made float64 of the wanted kind on the way out, so that usages in float32 take no
more than that and the same rows serve several matrices.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import pandas as pd

from programde.errors import InputError
from programde.memory import free_memory

#: Rows that are made at a time, where all of them pass by.
BLOCK = 65_536
#: Bytes that are read of a file at a time.
READ = 32e6


class NotInMemory(InputError, AttributeError):
    """Something asks for a whole matrix that is not in memory."""


class Source(Protocol):
    """Rows as they are stored."""

    @property
    def n_rows(self) -> int: ...

    @property
    def row_bytes(self) -> float:
        """Bytes that a row takes once it is gathered."""

    @property
    def held(self) -> bool:
        """Whether they are in memory."""

    def take(self, cells: Any) -> Any:
        """The rows of these cells (indices in any order, a mask or a slice)."""

    def gathered(self, cells: np.ndarray) -> Source:
        """The rows of these cells (m,), in memory."""


class StoredMatrix(ABC):
    """A matrix in a file, read by rows from front to back.

    Attributes
    ----------
    shape
        (N, K).
    dtype
        Type of its numbers.
    names
        Names of the columns, where the file has such; else None.
    """

    shape: tuple[int, int]
    dtype: np.dtype
    names: list[str] | None = None

    @abstractmethod
    def read(self, low: int, high: int) -> np.ndarray:
        """The rows from `low` up to and without `high`."""

    held = False

    @property
    def n_rows(self) -> int:
        return self.shape[0]

    @property
    def row_bytes(self) -> float:
        return float(self.shape[1] * self.dtype.itemsize)

    def take(self, cells: Any) -> np.ndarray:
        """The rows of these cells; what lies before, between and after them passes by unkept."""
        if isinstance(cells, slice):
            low, high, step = cells.indices(self.n_rows)
            return self.read(low, max(low, high))[::step]
        cells = np.asarray(cells)
        if cells.dtype == bool:
            cells = np.flatnonzero(cells)
        order = None
        if cells.size > 1 and (np.diff(cells) < 0).any():
            order = np.argsort(cells, kind="stable")
            cells = cells[order]
        out = np.empty((cells.size, self.shape[1]), self.dtype)
        size = max(1, int(READ // max(self.row_bytes, 1)))
        at = 0
        while at < cells.size:
            low = int(cells[at])
            end = int(np.searchsorted(cells, low + size))
            block = self.read(low, int(cells[end - 1]) + 1)
            places = slice(at, end) if order is None else order[at:end]
            out[places] = block[cells[at:end] - low]
            at = end
        return out

    def gathered(self, cells: np.ndarray) -> HeldRows:
        """The rows of these cells, in memory."""
        return HeldRows(self.take(cells))

    def part(self, rows: np.ndarray) -> StoredMatrix:
        """The matrix of some rows (n,), in their order in the file.

        Raises
        ------
        InputError
            They are asked for in another order: for each of them all of the file would pass by.
        """
        if (np.diff(rows) < 0).any():
            moved = int((np.diff(rows) < 0).sum())
            raise InputError(
                f"usages that stay in their file are in another order than the cells ({moved:,} "
                "times a row comes before the one above it): write the file with one order, or "
                "give more memory"
            )
        return PartOfMatrix(self, rows)


class PartOfMatrix(StoredMatrix):
    """Some rows of a stored matrix, in its order."""

    def __init__(self, matrix: StoredMatrix, rows: np.ndarray):
        self.matrix, self.rows = matrix, rows
        self.shape, self.dtype = (int(rows.size), matrix.shape[1]), matrix.dtype
        self.names = matrix.names

    def read(self, low: int, high: int) -> np.ndarray:
        return self.matrix.take(self.rows[low:high])


@dataclass(frozen=True, eq=False)
class HeldRows:
    """Rows of an array in memory."""

    values: np.ndarray

    held = True

    @property
    def n_rows(self) -> int:
        return len(self.values)

    @property
    def row_bytes(self) -> float:
        return self.values.nbytes / max(len(self.values), 1)

    def take(self, cells: Any) -> np.ndarray:
        return self.values[cells]

    def gathered(self, cells: np.ndarray) -> HeldRows:
        return HeldRows(self.values[cells])


@dataclass(frozen=True, eq=False)
class HeldTable:
    """Rows of a table in memory."""

    table: pd.DataFrame

    held = True

    @property
    def n_rows(self) -> int:
        return len(self.table)

    @property
    def row_bytes(self) -> float:
        used = self.table.memory_usage(index=False, deep=False).sum()
        return float(used) / max(len(self.table), 1)

    def take(self, cells: Any) -> pd.DataFrame:
        return self.table.iloc[cells]

    def gathered(self, cells: np.ndarray) -> HeldTable:
        return HeldTable(self.table.iloc[cells])


@dataclass(frozen=True, eq=False)
class ChosenRows:
    """Some rows of a source, as a source of its own."""

    source: Source
    rows: np.ndarray

    @property
    def n_rows(self) -> int:
        return int(self.rows.size)

    @property
    def row_bytes(self) -> float:
        return self.source.row_bytes

    @property
    def held(self) -> bool:
        return self.source.held

    def take(self, cells: Any) -> Any:
        return self.source.take(self.rows[cells])

    def gathered(self, cells: np.ndarray) -> Source:
        return self.source.gathered(self.rows[cells])


@dataclass(frozen=True, eq=False)
class Rows:
    """An (N, K) float64 matrix of which some rows at a time are in memory.

    It takes the place of an array where rows are asked for: ``rows[cells]`` is an array, and so is
    ``np.asarray(rows)``, if there is room for the whole.

    Attributes
    ----------
    source
        The rows as they are stored.
    make
        Makes rows (m, K) float64 of stored ones, each of one row alone.
    n_columns
        K.
    name
        What it is, for messages.
    """

    source: Source
    make: Callable[[Any], np.ndarray]
    n_columns: int
    name: str = "usages"

    ndim = 2
    dtype = np.dtype(np.float64)

    @property
    def shape(self) -> tuple[int, int]:
        return self.source.n_rows, self.n_columns

    @property
    def size(self) -> int:
        return self.source.n_rows * self.n_columns

    def __len__(self) -> int:
        return self.source.n_rows

    def __getitem__(self, cells: Any) -> np.ndarray:
        if isinstance(cells, int | np.integer):
            return np.asarray(self[np.array([range(len(self))[cells]])][0])
        return self.make(self.source.take(cells))

    def blocks(self, size: int | None = None) -> Iterator[np.ndarray]:
        """All rows, `size` of them at a time."""
        for part in slices(len(self), size):
            yield self[part]

    def on(self, source: Source) -> Rows:
        """The same matrix of other rows."""
        return replace(self, source=source)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        out = whole(self)
        return out if dtype is None else out.astype(dtype, copy=False)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise NotInMemory(f"{self._told()}; {name!r} would need them all: {CURE}")

    def _told(self) -> str:
        return (
            f"the {self.name} of {len(self):,} cells x {self.n_columns:,} are not in memory, "
            f"where they would take {8e-9 * len(self) * self.n_columns:,.1f} GB"
        )


CURE = "take fewer cells, or give more memory"


def slices(n: int, size: int | None = None) -> Iterator[slice]:
    """Slices of `size` of n rows each (`BLOCK` where it is not said), in order."""
    size = size or BLOCK
    for low in range(0, n, size):
        yield slice(low, min(low + size, n))


def in_memory(matrix: np.ndarray | Rows) -> bool:
    """Whether a matrix is an array."""
    return not isinstance(matrix, Rows)


def whole(matrix: np.ndarray | Rows) -> np.ndarray:
    """A matrix as an array, if there is room for it.

    Raises
    ------
    InputError
        There is not; gives the figures.
    """
    if not isinstance(matrix, Rows):
        return matrix
    free, need = free_memory(), 8.0 * len(matrix) * matrix.n_columns
    if free is not None and need > free:
        raise NotInMemory(f"{matrix._told()}, and {free / 1e9:,.1f} GB are free; {CURE}")
    out = np.empty(matrix.shape)
    low = 0
    for block in matrix.blocks():
        out[low : low + len(block)] = block
        low += len(block)
    return out
