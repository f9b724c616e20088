"""A screen that does not fit into memory, as a folder: written in blocks, its usages read by rows.

    usage_rows.npy           usages as they came, in float32 where they did, without dropped cells
    column_0.npy ...         the covariates before encoding; of labels their numbers
    covariate_rows.npy       encoded covariates of a formula of one's own
    cell_names_text.npy ...  names of the cells, read when one is to be told
    screen.json              how usages and covariates are made of those, beside what `store` says

Compositions, log-ratios and encoded covariates are made of the rows that are asked for, as they
were when the screen was read from its source. Numbers in JSON are the same to the last bit.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, cast, overload

import numpy as np
import pandas as pd
from numpy.lib import format as npy
from pandas.api import types

from programde.errors import InputError
from programde.screen.columns import ZScore
from programde.screen.matrix_rows import (
    BLOCK,
    HeldTable,
    Rows,
    Source,
    StoredMatrix,
    slices,
)
from programde.screen.row_encoding import Labels, Numbers, RowEncoding
from programde.screen.screen import Screen
from programde.screen.stored_usage import Made
from programde.threads import in_order

USAGE, ENCODED, COLUMN = "usage_rows.npy", "covariate_rows.npy", "column_{}.npy"
NAMES = "cell_names"
#: Of the manifest: how rows are made.
ROWS = "rows"


@dataclass(eq=False)
class ArrayRows(StoredMatrix):
    """A matrix in a file of numpy's, read by rows and never mapped: what was read is let go.

    Attributes
    ----------
    path
        The file.
    state
        Its size and time when it was opened.
    """

    path: str
    state: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        self.path = str(Path(self.path).resolve())
        with open(self.path, "rb") as file:
            version = npy.read_magic(file)
            header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, by_columns, dtype = header(file)
            self._begin = file.tell()
        if len(shape) != 2 or by_columns or dtype.hasobject:
            raise InputError(f"{self.path} holds no matrix by rows")
        self.shape, self.dtype = (int(shape[0]), int(shape[1])), dtype
        self.state = self._now()
        if self.state[0] != self._begin + self.shape[0] * self.shape[1] * dtype.itemsize:
            raise InputError(f"{self.path} is not whole")

    def _now(self) -> tuple[int, int]:
        try:
            found = os.stat(self.path)
        except OSError:
            return (-1, 0)
        return (int(found.st_size), int(found.st_mtime_ns))

    def read(self, low: int, high: int) -> np.ndarray:
        if self._now() != self.state:
            raise InputError(
                f"{self.path} is not what it was when it was opened; run the whole again"
            )
        width = self.shape[1]
        offset = self._begin + low * width * self.dtype.itemsize
        found = np.fromfile(self.path, self.dtype, (high - low) * width, offset=offset)
        return found.reshape(high - low, width)


class KeptNames(Sequence[str]):
    """Names in two files: one text, and where in it each name ends.

    Parameters
    ----------
    folder, name
        Where they are: ``<name>_text.npy`` and ``<name>_ends.npy``.
    """

    def __init__(self, folder: str | os.PathLike[str], name: str = NAMES):
        self._files = [Path(folder).resolve() / f"{name}_{part}.npy" for part in ("text", "ends")]
        self._size = int(self._ends().size)

    def _ends(self) -> np.ndarray:
        return cast(np.ndarray, np.load(self._files[1], mmap_mode="r"))

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, place: int) -> str: ...

    @overload
    def __getitem__(self, place: slice) -> list[str]: ...

    def __getitem__(self, place: int | slice) -> str | list[str]:
        if not isinstance(place, slice):
            return self._between(range(self._size)[place], 1)[0]
        low, high, step = place.indices(self._size)
        return self._between(low, max(0, high - low))[::step]

    def _between(self, low: int, count: int) -> list[str]:
        if not count:
            return []
        ends = self._ends()[max(0, low - 1) : low + count].tolist()
        ends = ends if low else [0, *ends]
        raw = np.load(self._files[0], mmap_mode="r")[ends[0] : ends[-1]].tobytes()
        places = [end - ends[0] for end in ends]
        return [raw[a:b].decode("utf-8", "surrogatepass") for a, b in pairwise(places)]

    def __iter__(self) -> Iterator[str]:
        for low in range(0, self._size, BLOCK):
            yield from self[low : low + BLOCK]


def write_rows(screen: Screen, folder: Path) -> dict[str, Any]:
    """Write what of a stored screen has a row per cell; what the manifest says of it.

    Parameters
    ----------
    screen
        Its usages are not in memory, and never are as a whole.
    folder
        An empty folder.

    Returns
    -------
    dict
        For `read_rows`.
    """
    usage, encoded = cast(Rows, screen.usage), cast(Rows, screen.covariates)
    outcome, unfloored = cast(Rows, screen.clr), cast("Rows | None", screen.unfloored)
    _write_matrix(folder / USAGE, usage.source, usage.n_columns)
    made = cast(Made, outcome.make)
    told: dict[str, Any] = {
        "divide": made.divide,
        "transform": made.transform,
        "unfloored": unfloored is not None,
    }
    table = screen.covariate_table
    columns = {} if table is None else {str(name): table[name] for name in table.columns}
    told["covariate_table"] = None if table is None else list(columns)
    if isinstance(encoded.make, RowEncoding):
        frame = encoded.source.take(slice(None))
        columns |= {str(name): frame[name] for name in frame.columns}
        told["encoding"] = _encoding_told(encoded.make)
    else:
        _write_matrix(folder / ENCODED, encoded.source, encoded.n_columns)
    told["columns"] = [
        {"name": name, **_write_column(folder / COLUMN.format(j), column)}
        for j, (name, column) in enumerate(columns.items())
    ]
    _write_names(folder, screen.cell_names)
    return told


def read_rows(
    folder: Path, told: Mapping[str, Any], eps: float, n_programs: int, n_covariates: int
) -> dict[str, Any]:
    """The parts of a screen that `write_rows` wrote.

    Parameters
    ----------
    folder
        The folder.
    told
        What `write_rows` returned.
    eps
        The floor.
    n_programs, n_covariates
        K, and the encoded columns.

    Returns
    -------
    dict
        Fields of `Screen`: usages, log-ratios and covariates as `Rows`.
    """
    source, divide = ArrayRows(str(folder / USAGE)), bool(told["divide"])

    def usages(name: str, *how: Any) -> Rows:
        return Rows(source, Made(divide, *how), n_programs, name)

    index = pd.RangeIndex(source.n_rows)
    columns = {
        column["name"]: _read_column(folder / COLUMN.format(j), column)
        for j, column in enumerate(told["columns"])
    }
    whole = pd.DataFrame(columns, index=index, copy=False)
    table: pd.DataFrame | None = whole
    if (names := told["covariate_table"]) != list(columns):
        table = None if names is None else whole[names]
    if "encoding" in told:
        encoding = _encoding_of(told["encoding"])
        covariates = Rows(HeldTable(whole), encoding, n_covariates, "covariates")
    else:
        held = ArrayRows(str(folder / ENCODED))
        covariates = Rows(held, np.asarray, n_covariates, "covariates")
    return {
        "usage": usages("usages", eps),
        "clr": usages("outcomes", eps, told["transform"]),
        "unfloored": usages("usages") if told["unfloored"] else None,
        "covariates": covariates,
        "covariate_table": table,
        "cell_names": KeptNames(folder),
    }


@contextlib.contextmanager
def row_writer(path: Path, width: int, dtype: np.dtype) -> Iterator[Callable[[np.ndarray], None]]:
    """Writes numpy's file of a matrix, however long it becomes: yields what takes its blocks."""
    n = 0
    with open(path, "wb") as file:
        _header(file, dtype, (0, width))
        begin = file.tell()

        def write(rows: np.ndarray) -> None:
            nonlocal n
            n += len(rows)
            np.ascontiguousarray(rows, dtype=dtype).tofile(file)

        yield write
        file.seek(0)
        _header(file, dtype, (n, width))
        if file.tell() != begin:  # numpy leaves room for a longer number
            raise RuntimeError(f"the header of {path} grew")


def _header(file: Any, dtype: np.dtype, shape: tuple[int, ...]) -> None:
    told = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    npy.write_array_header_2_0(file, told)


def _write_matrix(path: Path, source: Source, width: int) -> None:
    """Rows of a source as numpy's file, as they come."""
    dtype = np.asarray(source.take(slice(0, 1))).dtype
    dtype = np.dtype("<f4") if dtype in (np.float16, np.float32) else np.dtype("<f8")
    with row_writer(path, width, dtype) as write:
        for rows in in_order(lambda part: np.asarray(source.take(part)), slices(source.n_rows)):
            write(rows)


def _write_column(path: Path, column: pd.Series) -> dict[str, Any]:
    """A column of covariates, and what the manifest says of it."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        np.save(path, column.cat.codes.to_numpy(), allow_pickle=False)
        return {"levels": [str(level) for level in column.cat.categories]}
    kind: Any = bool if types.is_bool_dtype(column.dtype) else np.float64
    np.save(path, column.to_numpy(dtype=kind), allow_pickle=False)
    return {}


def _read_column(path: Path, told: Mapping[str, Any]) -> Any:
    values = np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    if "levels" in told:
        return pd.Categorical.from_codes(values, categories=told["levels"])
    return values


def _write_names(folder: Path, names: Sequence[str]) -> None:
    """Names as `store` packs them, some at a time."""
    n = len(names)
    ends = npy.open_memmap(folder / f"{NAMES}_ends.npy", "w+", np.int64, (n,))
    text = folder / f"{NAMES}_text.npy"
    end = 0
    with open(text, "wb") as file:
        _header(file, np.dtype("u1"), (0,))
        begin = file.tell()
        for low in range(0, n, BLOCK):
            raw = [name.encode("utf-8", "surrogatepass") for name in names[low : low + BLOCK]]
            file.write(b"".join(raw))
            places = end + np.cumsum([len(one) for one in raw], dtype=np.int64)
            ends[low : low + len(raw)] = places
            end = int(places[-1])
        file.seek(0)
        _header(file, np.dtype("u1"), (end,))
        if file.tell() != begin:  # numpy leaves room for a longer number
            raise RuntimeError(f"the header of {text} grew")
    ends.flush()


def _encoding_told(encoding: RowEncoding) -> dict[str, Any]:
    """An encoding as JSON has it."""
    return {
        "intercept": encoding.intercept,
        "straight": [_part_told(part) for part in encoding.straight],
        "curved": [_part_told(part) for part in encoding.curved],
        "slopes": [[_part_told(part) for part in pair] for pair in encoding.slopes],
        "kept": None if encoding.kept is None else encoding.kept.tolist(),
    }


def _part_told(part: Numbers | Labels) -> dict[str, Any]:
    if isinstance(part, Labels):
        values = None if part.values is None else part.values.tolist()
        return {"labels": part.name, "chosen": [int(j) for j in part.chosen], "values": values}
    return {
        "numbers": part.name,
        "z": asdict(part.z),
        "standardized": bool(part.standardized),
        "knots": part.knots.tolist(),
        "curves": part.curves.T.tolist(),  # one after another; there may be none
    }


def _encoding_of(told: Mapping[str, Any]) -> RowEncoding:
    def parts(some: Iterable[Any]) -> tuple[Any, ...]:
        return tuple(_part_of(one) for one in some)

    return RowEncoding(
        intercept=told["intercept"],
        straight=parts(told["straight"]),
        curved=parts(told["curved"]),
        slopes=tuple(cast("tuple[Numbers, Labels]", parts(pair)) for pair in told["slopes"]),
        kept=None if told["kept"] is None else np.array(told["kept"], dtype=np.intp),
    )


def _part_of(told: Mapping[str, Any]) -> Numbers | Labels:
    if "labels" in told:
        values = None if told["values"] is None else np.array(told["values"], dtype=np.float64)
        return Labels(told["labels"], tuple(told["chosen"]), values)
    knots = np.array(told["knots"], dtype=np.float64)
    curves = np.array(told["curves"], dtype=np.float64).reshape(-1, max(2, knots.size)).T
    return Numbers(
        told["numbers"], ZScore(**told["z"]), told["standardized"], knots,
        np.ascontiguousarray(curves),
    )  # fmt: skip
