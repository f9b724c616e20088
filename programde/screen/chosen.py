"""Some cells of a screen as a screen of their own, and a screen brought into memory."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, cast

import numpy as np
from scipy import sparse

from programde.errors import InputError
from programde.memory import budget
from programde.screen.matrix_rows import ChosenRows, Rows, Source, in_memory, whole
from programde.screen.names import ChosenNames
from programde.screen.screen import Screen

#: Sets of gathered rows that are in memory at once: one that is in use, and the next.
AT_ONCE = 2
#: Bytes of a cell's numbers: its place, its batch, whose it is, its guides by rows.
PER_CELL = 48.0
_LOADED: list[GatheredRows] = []
_LOADING = threading.Lock()


class GatheredRows:
    """Some rows of a source, brought into memory when the first of them is asked for.

    At most `AT_ONCE` such sets are in memory; the oldest makes room, and comes in again where it is
    asked for again.

    Parameters
    ----------
    source
        Where they are.
    rows : (n,) int
        Which of its rows, ascending.
    """

    held = True

    def __init__(self, source: Source, rows: np.ndarray):
        self._source, self._rows = source, rows
        self._values: Source | None = None
        self._reading = threading.Lock()

    @property
    def n_rows(self) -> int:
        return int(self._rows.size)

    @property
    def row_bytes(self) -> float:
        return self._source.row_bytes

    def _all(self) -> Source:
        with self._reading:
            values = self._values
            if values is None:
                with _LOADING:
                    _LOADED.append(self)
                    while len(_LOADED) > AT_ONCE:
                        _LOADED.pop(0)._values = None
                values = self._values = self._source.gathered(self._rows)
            return values

    @property
    def there(self) -> bool:
        """Whether they are in memory."""
        return self._values is not None

    def read_ahead(self) -> None:
        """Bring them in while others work; what goes wrong shows when they are asked for."""

        def read() -> None:
            with contextlib.suppress(Exception):
                self._all()

        threading.Thread(target=read, daemon=True).start()

    def take(self, cells: Any) -> Any:
        return self._all().take(cells)

    def gathered(self, cells: np.ndarray) -> Source:
        return self._all().gathered(cells)


def read_ahead(current: Screen, following: Screen) -> None:
    """Begin to gather the rows of the next screen, where those of the current one are in memory.

    They are not where its tests are made elsewhere, or were all made before.
    """
    mine, others = (getattr(screen.usage, "source", None) for screen in (current, following))
    if isinstance(mine, GatheredRows) and mine.there and isinstance(others, GatheredRows):
        others.read_ahead()


def let_go() -> None:
    """Let all gathered rows go."""
    with _LOADING:
        while _LOADED:
            _LOADED.pop()._values = None


def chosen_cells(screen: Screen, cells: np.ndarray) -> Screen:
    """The screen of some cells.

    Parameters
    ----------
    screen
        The screen.
    cells : (n,) int
        Its cells to keep, ascending. Rows that are not in memory are gathered, by one pass over
        the file, when a test asks for the first of them; matrices made of the same rows share
        them.

    Returns
    -------
    Screen
        Encoded covariates are those of the whole screen, whatever their rank in these cells.
    """
    shared: dict[int, Source] = {}

    def rows_of(matrix: Any) -> Any:
        if matrix is None or in_memory(matrix):
            return None if matrix is None else matrix[cells]
        source = matrix.source
        if id(source) not in shared:
            kind = ChosenRows if source.held else GatheredRows
            shared[id(source)] = kind(source, cells)
        return matrix.on(shared[id(source)])

    table = screen.covariate_table
    return replace(
        screen,
        usage=rows_of(screen.usage),
        clr=rows_of(screen.clr),
        unfloored=rows_of(screen.unfloored),
        covariates=rows_of(screen.covariates),
        covariate_table=None if table is None else table.iloc[cells].reset_index(drop=True),
        batch=None if screen.batch is None else screen.batch[cells],
        condition=None if screen.condition is None else screen.condition[cells],
        guides=_some_rows(screen.guides, cells),
        ambiguous=None if screen.ambiguous is None else _some_rows(screen.ambiguous, cells),
        cell_names=cast(list[str], ChosenNames(screen.cell_names, cells)),
    )


def _some_rows(matrix: sparse.csc_matrix, cells: np.ndarray) -> sparse.csc_matrix:
    """Some rows, ascending, of a matrix in compressed columns."""
    place = np.full(matrix.shape[0], -1, dtype=np.int32)
    place[cells] = np.arange(cells.size, dtype=np.int32)
    indices = place[matrix.indices]
    kept = indices >= 0
    before = np.concatenate([[0], np.cumsum(kept)])
    parts = (matrix.data[kept], indices[kept], before[matrix.indptr].astype(matrix.indptr.dtype))
    return sparse.csc_matrix(parts, shape=(cells.size, matrix.shape[1]))


def brought_in(screen: Screen) -> Screen:
    """The screen with all its matrices in memory.

    Raises
    ------
    InputError
        There is no room for them.
    """
    return replace(
        screen,
        usage=whole(screen.usage),
        clr=whole(screen.clr),
        covariates=whole(screen.covariates),
        unfloored=None if screen.unfloored is None else whole(screen.unfloored),
    )


def in_parts(
    screen: Screen,
    cells: Mapping[str, np.ndarray],
    controls: np.ndarray | None,
    memory: float | str | None,
) -> Iterator[tuple[Screen, list[str], np.ndarray]]:
    """A stored screen in parts that are in memory, each with the cells of some units.

    Parameters
    ----------
    screen
        The screen.
    cells
        The cells of each unit, by its name.
    controls : (N,) bool or None
        Cells that every part has; None: each has all cells, and there is one.
    memory
        Half of it is for a part; see `memory.budget`.

    Yields
    ------
    tuple
        The part, the names of its units, and its cells (n,), ascending.

    Raises
    ------
    InputError
        The cells of one unit and the controls do not fit.
    """
    if controls is None:
        yield brought_in(screen), list(cells), np.arange(screen.n_cells)
        return
    limit = budget(memory)
    each = 24.0 * screen.n_programs + 8.0 * screen.covariates.shape[1] + row_bytes(screen)
    most = np.inf if limit is None else max(0.5 * limit - held_bytes(screen), 0.0) / each
    names: list[str] = []
    needed, count = controls.copy(), int(controls.sum())
    for name, own in cells.items():
        more = int(np.count_nonzero(~needed[own]))
        if names and count + more > most:
            yield _part(screen, names, needed)
            names, needed = [], controls.copy()
            count = int(controls.sum())
            more = int(np.count_nonzero(~needed[own]))
        names.append(name)
        needed[own] = True
        count += more
        if count > most:
            raise InputError(
                f"{int(controls.sum()):,} control cells and those of {name} take "
                f"{count * each / 1e9:.2f} GB, and {most * each / 1e9:.2f} GB are left for them; "
                "give more memory"
            )
    if names:
        yield _part(screen, names, needed)


def _part(
    screen: Screen, names: list[str], needed: np.ndarray
) -> tuple[Screen, list[str], np.ndarray]:
    cells = np.flatnonzero(needed)
    let_go()
    part = brought_in(chosen_cells(screen, cells))
    let_go()
    return part, names, cells


def is_stored(screen: Screen) -> bool:
    """Whether the usages of a screen stay in their file."""
    return not in_memory(screen.usage)


def held_bytes(screen: Screen) -> float:
    """Bytes that a stored screen holds in memory, without its usages and encoded covariates."""
    table = screen.covariate_table
    labels = sum(part is not None for part in (screen.batch, screen.condition))
    matrices = [m for m in (screen.guides, screen.ambiguous) if m is not None]
    sparse_bytes = sum(m.data.nbytes + m.indices.nbytes + m.indptr.nbytes for m in matrices)
    in_table = 0 if table is None else int(table.memory_usage(index=False, deep=False).sum())
    return float(in_table + 8 * labels * screen.n_cells + sparse_bytes)


def row_bytes(screen: Screen) -> float:
    """Bytes that a gathered cell of a stored screen takes."""
    usage = cast(Rows, screen.usage)
    return usage.source.row_bytes + held_bytes(screen) / max(screen.n_cells, 1) + PER_CELL
