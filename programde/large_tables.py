"""Tables of millions of rows as parquet: a folder with one file per condition, or one file.

Numbers are rounded to a relative 2^-15, which is four digits, and stay float64, so that no p-value
becomes 0: of each number's 8 bytes some 2 to 3 are left after compression. Names are written once
each, and rows as numbers that stand for them.

    bytes a row    about 2.5 for each column of numbers, next to none for names
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote, unquote

import numpy as np
import pandas as pd

#: Bits of a number's fraction that are kept: the relative error is at most 2^-15.
BITS = 14
#: The column by which large tables are cut, and rows that are written at a time.
BY, GROUP = "condition", 500_000


def rounded(values: np.ndarray, bits: int = BITS) -> np.ndarray:
    """Numbers (n,) with so many bits of their fraction kept, rounded to the nearest.

    Parameters
    ----------
    values : float64
        NaN, infinities and 0 stay what they are.
    bits
        Bits that are kept, beside the leading one.

    Returns
    -------
    (n,) float64

    Examples
    --------
    >>> rounded(np.array([1 / 3, 1e-200, np.nan]))
    array([3.33335876e-001, 1.00000027e-200,             nan])
    """
    fraction, exponent = np.frexp(np.asarray(values, dtype=np.float64))
    scale = 2.0 ** (bits + 1)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.ldexp(np.rint(fraction * scale) / scale, exponent))


def write_large(table: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Write a table that is large.

    Parameters
    ----------
    table
        Numbers are rounded, see `rounded`; all else is kept.
    path
        A file; a folder with a file per condition where there are several.
    """
    path = Path(path)
    levels = list(dict.fromkeys(table[BY])) if BY in table else []
    if len(levels) < 2:
        _write(table, path)
        return
    path.mkdir(parents=True)
    for number, level in enumerate(levels):
        folder = path / f"{BY}={quote(str(level), safe='')}"
        folder.mkdir()
        # files are read in the order of their names
        _write(table[table[BY] == level].drop(columns=BY), folder / f"part-{number:05d}.parquet")


def read_large(path: str | os.PathLike[str], columns: list[str] | None = None) -> pd.DataFrame:
    """Read what `write_large` wrote, its rows and columns in their order.

    Parameters
    ----------
    path
        The file or folder.
    columns
        Which columns; None for all.

    Returns
    -------
    DataFrame
    """
    path = Path(path)
    if path.is_file():
        return _plain(pd.read_parquet(path, columns=columns))
    files = sorted(path.rglob("*.parquet"), key=lambda file: file.name)
    parts = []
    for file in files:
        wanted = None if columns is None else [name for name in columns if name != BY]
        part = pd.read_parquet(file, columns=wanted)
        if columns is None or BY in columns:
            part.insert(0, BY, unquote(file.parent.name.partition("=")[2]))
        parts.append(part if columns is None else part[columns])
    return _plain(pd.concat(parts, ignore_index=True))


def _plain(table: pd.DataFrame) -> pd.DataFrame:
    """Names as they are in small tables: objects, not numbers that stand for them."""
    texts = [n for n in table if isinstance(table[n].dtype, pd.CategoricalDtype)]
    return table.astype(dict.fromkeys(texts, object)) if texts else table


def _write(table: pd.DataFrame, path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    numbers = [n for n in table if table[n].dtype.kind == "f"]
    others = [n for n in table if table[n].dtype.kind != "f"]

    def part(low: int) -> pa.Table:
        some = table.iloc[low : low + GROUP]
        changed = {name: rounded(some[name].to_numpy(dtype=np.float64)) for name in numbers}
        return pa.Table.from_pandas(some.assign(**changed), preserve_index=False)  # type: ignore[arg-type]

    first = part(0)
    with parquet.ParquetWriter(
        path, first.schema, compression="zstd", compression_level=6, use_dictionary=others,
        use_byte_stream_split=numbers,
    ) as writer:  # fmt: skip
        for low in range(0, max(len(table), 1), GROUP):
            writer.write_table(first if low == 0 else part(low).cast(first.schema))
