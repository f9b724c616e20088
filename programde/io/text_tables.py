"""Text tables, read strictly: what is not as announced is an error that names the file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from programde.errors import InputError, ProgramDEError, nearest, some
from programde.screen.composition import first_line

PathLike = str | os.PathLike[str]


@contextmanager
def table_errors(path: PathLike) -> Iterator[Path]:
    """The path as a Path; whatever goes wrong in the block is an InputError that names it."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: {'is a folder' if path.is_dir() else 'no such file'}")
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

    Returns
    -------
    (N, m) DataFrame, float64
        Index and columns are text exactly as in the file.

    Raises
    ------
    InputError
        No such file, lines of different length, or an entry that is not a number.
    """
    import pyarrow as pa
    from pyarrow import csv

    with table_errors(path) as file:
        names = _header(file)
        table = csv.read_csv(
            file,
            read_options=csv.ReadOptions(column_names=names, skip_rows=1),
            parse_options=csv.ParseOptions(delimiter=separator(file)),
            convert_options=csv.ConvertOptions(
                column_types={name: pa.float64() for name in names[1:]} | {names[0]: pa.string()}
            ),
        )
        frame = table.to_pandas()
    frame = frame.set_index(names[0])
    frame.index = pd.Index(frame.index, dtype=object, name=None)
    return frame


def _header(path: Path) -> list[str]:
    """Column names of a text table; the first, which may be empty, names the rows."""
    top = pd.read_csv(
        path, sep=separator(path), header=None, nrows=2, dtype=str, keep_default_na=False
    )
    names = [str(name) for name in top.iloc[0]]
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
        Row names as text.

    Raises
    ------
    InputError
        No such file, or not a table.
    """
    with table_errors(path) as file:
        if file.suffix.lower() == ".parquet":
            table = pd.read_parquet(file)
            return table.set_index(table.columns[0]) if index and _counted(table) else table
        if not index:
            return pd.read_csv(file, sep=separator(file), dtype=str, keep_default_na=False)
        names = _header(file)
        table = pd.read_csv(
            file, sep=separator(file), header=0, names=names, dtype={names[0]: str}, index_col=False
        )
        if table[names[0]].isna().any():
            raise InputError(f"{int(table[names[0]].isna().sum())} rows have no name")
        table = table.set_index(names[0])
        table.index.name = None
        return table


def _counted(table: pd.DataFrame) -> bool:
    return isinstance(table.index, pd.RangeIndex) and len(table.columns) > 1


def column(table: pd.DataFrame, name: str, what: str) -> pd.Series:
    """A column by name, or an InputError with the nearest names."""
    if name not in table.columns:
        raise InputError(f"{what} has no column {name!r}{nearest(name, table.columns)}")
    return table[name]
