"""A stamp of what something holds: equal contents, equal stamps, in whatever process.

Told are numbers, texts, arrays, tables, and whatever is made of them; of a function or a class of
one's own its code. What cannot be told by its content is refused, rather than taken for the same.
"""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import types
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from programde import __version__
from programde.errors import OptionError

#: Bytes that are read at a time.
PIECE = 1 << 23
#: Files whose code makes results: rooms and files of the package.
MAKES_RESULTS = (
    "crt", "tails", "screen", "controls/spikes.py", "streams.py", "root_finding.py"
)  # fmt: skip


def stamp(*things: Any) -> str:
    """32 hexadecimal digits that tell what some things hold.

    Raises
    ------
    OptionError
        Something cannot be told by its content; names it.

    Examples
    --------
    >>> stamp(1, [2.0, "a"]) == stamp(1, [2.0, "a"])
    True
    >>> stamp(1, [2.0, "a"]) == stamp(1, [2.0, "b"])
    False
    """
    digest = hashlib.blake2b(digest_size=16)
    for thing in things:
        _feed(digest, thing)
    return digest.hexdigest()


@cache
def code_stamp() -> str:
    """Stamp of the code that makes results, with its version and that of numpy."""
    here = Path(__file__).parent
    files = [here / name for name in MAKES_RESULTS if name.endswith(".py")]
    for room in (name for name in MAKES_RESULTS if not name.endswith(".py")):
        files += sorted((here / room).rglob("*.py"))
    texts = [(str(file.relative_to(here)), file.read_bytes()) for file in files]
    return stamp(__version__, np.__version__, texts)


def _feed(digest: Any, thing: Any) -> None:
    """Add what a thing holds, behind a word that tells its kind."""

    def told(kind: str, raw: bytes | memoryview = b"") -> None:
        digest.update(f"{kind}:{len(raw)};".encode())
        digest.update(raw)

    if thing is None or isinstance(thing, bool | int | float | complex):
        told(type(thing).__name__, repr(thing).encode())
    elif isinstance(thing, str):
        told("str", thing.encode("utf-8", "surrogatepass"))
    elif isinstance(thing, bytes):
        told("bytes", thing)
    elif isinstance(thing, np.generic):
        told(thing.dtype.str, thing.tobytes())
    elif isinstance(thing, np.ndarray):
        _feed_array(digest, thing, told)
    elif sparse.issparse(thing):
        columns: Any = thing.tocsc()  # type: ignore[attr-defined]
        told(f"sparse {columns.shape}")
        for part in (columns.data, columns.indices, columns.indptr):
            _feed(digest, part)
    elif isinstance(thing, pd.DataFrame):
        told(f"table {len(thing)}")
        for name in thing.columns:
            _feed(digest, str(name))
            column = thing[name]
            if isinstance(column.dtype, pd.CategoricalDtype):  # a text per row is slow to tell
                _feed(digest, list(column.cat.categories))
                column = column.cat.codes
            _feed(digest, column.to_numpy())
    elif isinstance(thing, Mapping):
        told(f"mapping {len(thing)}")
        for pair in thing.items():
            _feed(digest, pair)
    elif isinstance(thing, list | tuple):
        told(f"list {len(thing)}")
        if thing and all(type(item) is str for item in thing):
            _feed(digest, "\0".join(thing))
        else:
            for item in thing:
                _feed(digest, item)
    elif isinstance(thing, type | types.FunctionType):
        _feed(digest, _code_of(thing))
    elif dataclasses.is_dataclass(thing):
        _feed(digest, type(thing))
        for item in dataclasses.fields(thing):
            _feed(digest, getattr(thing, item.name))
    else:
        raise OptionError(
            f"{thing!r} cannot be told by what it holds, so that nobody knows whether results "
            "kept for it are still right; leave checkpoint= away"
        )


def _feed_array(digest: Any, array: np.ndarray, told: Any) -> None:
    if array.dtype.hasobject or array.dtype.kind in "OSU":
        codes, levels = pd.factorize(array.ravel().astype(object), use_na_sentinel=False)
        told(f"labels {array.shape}")
        _feed(digest, codes.astype(np.int64))
        _feed(digest, [str(level) for level in levels])
        return
    told(f"{array.dtype.str} {array.shape}")
    if array.ndim == 0:
        digest.update(array.tobytes())
        return
    n_rows = max(1, PIECE // max(1, array[:1].nbytes))
    for begin in range(0, len(array), n_rows):
        piece = np.ascontiguousarray(array[begin : begin + n_rows])
        digest.update(piece.reshape(-1).view(np.uint8).data if piece.size else b"")


def _code_of(thing: type | types.FunctionType) -> tuple[Any, ...]:
    """A class or function: its name and, where it is none of ours, its code."""
    name = f"{thing.__module__}.{thing.__qualname__}"
    if name.startswith("programde."):
        return (name,)
    inside: tuple[Any, ...] = ()
    made_of = ""
    if isinstance(thing, types.FunctionType):
        made_of = thing.__code__.co_filename
        cells = [cell.cell_contents for cell in thing.__closure__ or ()]
        inside = (list(thing.__defaults__ or ()), cells)
    try:
        if made_of == "<string>":  # Python 3.13 takes it for what `python -c` was given
            raise OSError
        return (name, inspect.getsource(thing), *inside)
    except (OSError, TypeError):
        raise OptionError(
            f"{name} has no source that could be read, so that nobody knows whether results kept "
            "for it are still right; leave checkpoint= away"
        ) from None


__all__ = ["code_stamp", "stamp"]
