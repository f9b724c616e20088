"""Names are text, whatever they look like; what was a missing value is not a name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

import numpy as np
import pandas as pd

from programde.errors import InputError, some

#: What becomes of a missing value where a table is turned into text.
ONCE_MISSING = frozenset({"nan", "NaN", "<NA>", "NaT"})
#: Words that are labels of cells at times ("None": untreated), but never names of things.
NO_NAME = ONCE_MISSING | {"None", ""}
#: Names that are looked up together.
AT_A_TIME = 65_536


def text(value: object) -> str:
    """A label as str, also from bytes, numpy scalars and arrays of one element."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(-1)[0]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def is_missing(value: object) -> bool:
    """Whether a value is None, NaN, NA, NaT or masked."""
    if value is None or value is pd.NA or value is pd.NaT or value is np.ma.masked:
        return True
    if isinstance(value, np.datetime64 | np.timedelta64):
        return bool(np.isnat(value))
    return isinstance(value, float | np.floating) and bool(np.isnan(value))


def name_list(
    what: str, values: Iterable[object], not_names: frozenset[str] = NO_NAME
) -> list[str]:
    """Names as text.

    Parameters
    ----------
    what
        What is named, for messages: "guide names".
    values
        The names.
    not_names
        Texts that were a missing value.

    Returns
    -------
    list of str

    Raises
    ------
    InputError
        A name is missing, or a text that a missing value leaves behind ("nan"); tells the rows.
    """
    names = [
        value if type(value) is str else "" if is_missing(value) else text(value)
        for value in values
    ]
    if not not_names.isdisjoint(names) or "" in names:
        refuse_missing(what, names, not_names | {""})
    return names


class ChosenNames(Sequence[str]):
    """Some of many names, looked up where they are."""

    def __init__(self, names: Sequence[str], rows: np.ndarray):
        self._names, self._rows = names, rows

    def __len__(self) -> int:
        return int(self._rows.size)

    @overload
    def __getitem__(self, place: int) -> str: ...

    @overload
    def __getitem__(self, place: slice) -> list[str]: ...

    def __getitem__(self, place: int | slice) -> str | list[str]:
        if not isinstance(place, slice):
            return self._names[int(self._rows[place])]
        rows = self._rows[place]
        if not rows.size:
            return []
        low = int(rows.min())  # one look-up of all between, since each may open a file
        between = self._names[low : int(rows.max()) + 1]
        return [between[row - low] for row in rows.tolist()]

    def __iter__(self) -> Iterator[str]:
        for low in range(0, len(self), AT_A_TIME):
            yield from self[low : low + AT_A_TIME]


def refuse_missing(
    what: str,
    names: Sequence[str],
    not_names: frozenset[str],
    rows: Sequence[object] | None = None,
) -> None:
    """Raise an InputError that tells the rows whose text was a missing value, if there are any."""
    bad = [i for i, name in enumerate(names) if name in not_names]
    if not bad:
        return
    words = sorted({repr(names[i]) if names[i] else "empty" for i in bad})
    where = [i + 1 if rows is None else rows[i] for i in bad[:6]]
    raise InputError(
        f"{what}: {len(bad)} of {len(names)} are {' or '.join(words)}, which stands for a missing "
        f"value ({'rows' if rows is None else 'of'} {some(where, 5)}"
        f"{' ...' if len(bad) > 5 else ''}); name them, or leave these out"
    )


def is_flat_list(values: Any) -> bool:
    """Whether these are one-dimensional values in some order, not nested ones."""
    if not isinstance(values, list | tuple | np.ndarray | pd.Index | pd.Series | pd.Categorical):
        return False
    nested = list | tuple | set | dict | np.ndarray | pd.Series
    return getattr(values, "ndim", 1) == 1 and not any(isinstance(v, nested) for v in values)
