"""Text tables, read strictly: what is not as announced is an error that names the file."""

from __future__ import annotations

import bz2
import csv
import gzip
import lzma
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from programde.errors import InputError, ProgramDEError, nearest, not_a_file, some
from programde.memory import reading_budget
from programde.screen.build import BYTES_PER_USAGE
from programde.screen.kept_rows import ArrayRows, row_writer
from programde.screen.matrices import first_line
from programde.screen.names import name_list

PathLike = str | os.PathLike[str]
#: A number as programs write it: one with leading zeros ("01", a lane) is text.
NUMBER = r"^\s*[+-]?(?:(?:(?:0|[1-9]\d*)(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?|[iI]nf(?:inity)?)\s*$"
YES_NO = {"True": True, "TRUE": True, "true": True, "False": False, "FALSE": False, "false": False}
#: What a spreadsheet takes for the beginning of a formula.
FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")
#: Entries of a text table that say that there is none, as pandas and R write them.
MISSING_ENTRIES = frozenset(
    {"", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "-nan", "<NA>", "NULL", "null", "None", "NaT"}
)
#: So much (bytes) is read of the beginning and of the end of a table, to see that it is whole.
_END = 1 << 16
#: How many times as large a compressed table of numbers is.
PACKED = 3
OPENERS = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}


@contextmanager
def table_errors(path: PathLike) -> Iterator[Path]:
    """The path as a Path; whatever goes wrong in the block is an InputError that names it."""
    given, path = path, Path(path)
    if not path.is_file():
        raise InputError(not_a_file(given))
    try:
        yield path
    except ProgramDEError as error:
        raise type(error)(f"{path}: {error}") from None
    except Exception as error:  # pandas and pyarrow raise many kinds for a damaged file
        raise InputError(
            f"{path} cannot be read ({type(error).__name__}: {first_line(error)})"
        ) from error


def separator(path: Path) -> str:
    """Comma for ``.csv`` (also compressed), tab for everything else."""
    return "," if ".csv" in [s.lower() for s in path.suffixes[-2:]] else "\t"


def read_numbers(path: PathLike) -> pd.DataFrame:
    """A text matrix of numbers with a header line and row names in the first column.

    The header may be one name short, as R writes it.

    Returns
    -------
    (N, m) DataFrame, float64
        Index and columns are text exactly as in the file.

    Raises
    ------
    InputError
        No such file, lines of different length, or an entry that is not a number.
    """
    from pyarrow import csv as arrow

    with table_errors(path) as file:
        names = _header(file)
        frame = arrow.read_csv(file, **_as_numbers(file, names)).to_pandas()
    frame = frame.set_index(names[0])
    frame.index = pd.Index(frame.index, dtype=object, name=None)
    return frame


def _as_numbers(file: Path, names: list[str]) -> dict[str, Any]:
    """How pyarrow is to read a matrix of numbers."""
    import pyarrow as pa
    from pyarrow import csv as arrow

    types = {name: pa.float64() for name in names[1:]} | {names[0]: pa.string()}
    return {
        # a line must fit into a block: with a column per gene it may be long
        "read_options": arrow.ReadOptions(
            column_names=names, skip_rows=1, block_size=max(1 << 20, 400 * len(names))
        ),
        "parse_options": arrow.ParseOptions(delimiter=separator(file)),
        "convert_options": arrow.ConvertOptions(column_types=types),
    }


class NumberRows(ArrayRows):
    """A text matrix of numbers as rows on disk, in a folder for temporary files while it is in use.

    Parameters
    ----------
    path
        A file of numpy's; its folder is deleted with this object.
    index
        Names of the rows.
    columns
        Names of the columns.
    """

    def __init__(self, path: Path, index: list[str], columns: list[str]):
        super().__init__(str(path))
        self.index = index
        self.names = self.columns = columns
        weakref.finalize(self, shutil.rmtree, path.parent, ignore_errors=True)


def number_rows(
    path: PathLike,
    memory: float | str | None,
    made: Callable[[np.ndarray], np.ndarray] = np.asarray,
) -> NumberRows | None:
    """A matrix as `read_numbers` has it, on disk, where as usages it would take too much memory.

    Parameters
    ----------
    path
        The table.
    memory
        What may be used, see `memory.budget`.
    made
        What becomes of a block of rows.

    Returns
    -------
    NumberRows or None
        float64, in a folder for temporary files (``TMPDIR``); None where it fits into memory.
    """
    limit = reading_budget(memory)
    with table_errors(path) as file:
        if limit is None or _usage_bytes(file) <= limit:
            return None
        from pyarrow import csv as arrow

        names = _header(file)
        folder = Path(tempfile.mkdtemp(prefix="programde-"))
        try:
            index: list[str] = []
            with row_writer(folder / "rows.npy", len(names) - 1, np.dtype("<f8")) as write:
                for batch in arrow.open_csv(file, **_as_numbers(file, names)):
                    index += batch.column(0).to_pylist()
                    columns = [
                        column.to_numpy(zero_copy_only=False) for column in batch.columns[1:]
                    ]
                    write(made(np.column_stack(columns)))
            return NumberRows(folder / "rows.npy", index, names[1:])
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise


def _usage_bytes(path: Path) -> float:
    """About the bytes that preparing the usages of a text table takes, by its first lines."""
    opener = OPENERS.get(path.suffix.lower(), open)
    with opener(path, "rb") as file:  # type: ignore[operator]
        lines = file.read(_END).split(b"\n")
    if len(lines) < 3:
        return 0.0
    row = sum(map(len, lines[1:-1])) / len(lines[1:-1]) + 1
    size = path.stat().st_size * (PACKED if path.suffix.lower() in OPENERS else 1)
    fields = lines[1].count(separator(path).encode())
    return float(BYTES_PER_USAGE * fields * size / row)


def _header(path: Path) -> list[str]:
    """Column names of a text table; the first, which may be empty, names the rows.

    Where the lines below have one field more, as R writes them, that name is added.
    """
    opener = OPENERS.get(path.suffix.lower(), open)
    with opener(path, "rt", encoding="utf-8-sig", newline="") as file:  # type: ignore[operator]
        lines = csv.reader(file, delimiter=separator(path))
        names = next((line for line in lines if line), [])
        below = next((line for line in lines if line), [])
    if not names:
        raise InputError("it is empty and cannot be read")
    if len(below) == len(names) + 1:
        names = [_row_name(names), *names]
    if len(names) < 2:
        raise InputError(f"one column only; is it separated by {separator(path)!r}?")
    if len(set(names)) != len(names):
        raise InputError(
            f"columns of the same name: {some({n for n in names if names.count(n) > 1})}"
        )
    return names


def read_table(path: PathLike, index: bool = True) -> pd.DataFrame:
    """A table from ``.csv``, ``.tsv``, ``.txt`` (also ``.gz``) or ``.parquet``.

    Parameters
    ----------
    path
        The file.
    index
        The first column holds row names.

    Returns
    -------
    pd.DataFrame
        Row names as text. Of a text file, a column is numeric where all its entries are numbers
        without leading zeros, yes or no where all are True or False, else text as it stands.

    Raises
    ------
    InputError
        No such file, not a table, or one that ends within a row.
    """
    with table_errors(path) as file:
        if file.suffix.lower() == ".parquet":
            table = pd.read_parquet(file)
            return table.set_index(table.columns[0]) if index and _counted(table) else table
        if not index:
            table = pd.read_csv(file, sep=separator(file), dtype=str, keep_default_na=False)
            _check_the_end(file)
            return table if isinstance(table.index, pd.RangeIndex) else table.reset_index(drop=True)
        names = _header(file)
        table = pd.read_csv(
            file,
            sep=separator(file),
            header=0,
            names=names,
            dtype=str,
            keep_default_na=False,
            index_col=False,
        )
        _check_the_end(file)
        rows = name_list("row names", table[names[0]], frozenset({"nan", "<NA>", ""}))
        columns = {name: _typed(table[name]) for name in names[1:]}
        return pd.DataFrame(columns, index=pd.Index(range(len(rows)))).set_axis(rows, axis=0)


def _check_the_end(path: Path) -> None:
    """Refuse a file whose last row has fewer fields than its first ones: it was cut off there.

    Readers take such a row as it is, its last word half a name. Compressed files cannot be cut off
    unnoticed.
    """
    if path.suffix.lower() in OPENERS:
        return
    with path.open("rb") as file:
        head = file.read(_END)
        file.seek(max(0, path.stat().st_size - _END))
        tail = file.read()
    if len(head) == _END:  # a larger file: from the first whole line on
        tail = tail.partition(b"\n")[2]
        if b'"' in tail or b"\n" not in tail:  # a field may run over lines
            return
    first = _fields(head, path)[:2]
    last = _fields(tail, path)[-1:]
    if last and len(last[0]) < max(map(len, first)):
        raise InputError(
            f"its last row has {len(last[0])} fields ({some(last[0])}) where the first ones have "
            f"{max(map(len, first))}: is the file whole?"
        )


def _fields(text: bytes, path: Path) -> list[list[str]]:
    lines = text.decode("utf-8-sig", errors="replace").splitlines(keepends=True)
    return [row for row in csv.reader(lines, delimiter=separator(path)) if row]


def _row_name(names: list[str]) -> str:
    """A name for the column of row names that is not in use."""
    return next(name for name in ("", *(f"row {i}" for i in range(len(names) + 1)))
                if name not in names)  # fmt: skip


def _typed(column: pd.Series) -> pd.Series:
    """A column of text as numbers or yes and no where all of it is; missing values stay missing."""
    import pyarrow as pa
    from pyarrow import compute

    texts = pa.array(column, type=pa.string())
    trimmed = compute.utf8_trim_whitespace(texts)
    missing = compute.is_in(trimmed, value_set=pa.array(sorted(MISSING_ENTRIES)))
    holes = missing.to_numpy(zero_copy_only=False)
    given = texts.filter(compute.invert(missing))
    if len(given) and compute.all(compute.match_substring_regex(given, NUMBER)).as_py():
        numbers = np.full(len(column), np.nan)
        plain = compute.utf8_ltrim(compute.utf8_trim_whitespace(given), "+")
        numbers[~holes] = compute.cast(plain, pa.float64()).to_numpy()
        return pd.Series(numbers, index=column.index)
    if len(given) and set(given.unique().to_pylist()) <= set(YES_NO):
        return column.map(YES_NO).astype(object if holes.any() else bool)
    return column.mask(holes, None) if holes.any() else column


def neutral_csv(table: pd.DataFrame) -> pd.DataFrame:
    """A copy for spreadsheets: no entry or column name can be taken for a formula.

    Text that begins with ``=``, ``+``, ``-``, ``@`` or a tab gets an apostrophe before it; numbers
    are left alone. Our own tables keep names as they are: read back, they must be the same.
    """

    def neutral(value: object) -> object:
        if isinstance(value, str) and value.startswith(FORMULA_SIGNS):
            return f"'{value}"
        return value

    out = table.rename(columns=neutral)  # type: ignore[arg-type]
    for place in range(out.shape[1]):
        column = out.iloc[:, place]
        if isinstance(column.dtype, pd.CategoricalDtype):
            column = column.astype(object)
        if column.dtype == object or isinstance(column.dtype, pd.StringDtype):
            out.isetitem(place, column.map(neutral))  # type: ignore[arg-type]
    if not isinstance(out.index, pd.RangeIndex):
        out.index = out.index.map(neutral)
    return out


def _counted(table: pd.DataFrame) -> bool:
    return isinstance(table.index, pd.RangeIndex) and len(table.columns) > 1


def column(table: pd.DataFrame, name: str, what: str) -> pd.Series:
    """A column by name, or an InputError with the nearest names."""
    if name not in table.columns:
        raise InputError(f"{what} has no column {name!r}{nearest(name, table.columns)}")
    return table[name]
