"""An object as a file, its large arrays beside it, or where they lie already.

For handing work to other processes: an array of a stored screen goes as its path, and one in memory
is written once. Whoever reads them checks that a file is the one that was meant.
"""

from __future__ import annotations

import hashlib
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from programde.errors import InputError, OptionError
from programde.stamps import stamp

#: Arrays of fewer bytes go with the object.
LARGE = 1 << 16
#: Files of more bytes are mapped, others read: a map counts against a worker's memory as well, page
#: by page, but is shared by the workers of one machine.
MAPPED = 1 << 29
#: Of a file that lies there already, so many pieces of so many bytes are compared.
PIECES, PIECE = 64, 1 << 16

_Reference = tuple[str, int, str, tuple[int, ...], str, int, str]


def write(thing: Any, folder: Path) -> Path:
    """Write an object into a folder, and its arrays; the file is named by what it holds.

    Raises
    ------
    OptionError
        Something of it cannot be handed over; names it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f"{os.getpid()}.tmp"
    with open(temporary, "wb") as stream:
        try:
            _Writer(stream, folder).dump(thing)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise OptionError(
                f"this cannot be handed to other processes ({error}): what is of one's own must be "
                "defined at the top of a module that they can import"
            ) from error
    target = folder / f"{hashlib.blake2b(temporary.read_bytes(), digest_size=16).hexdigest()}.job"
    os.replace(temporary, target)
    return target


def read(file: Path) -> Any:
    """What `write` wrote.

    Raises
    ------
    InputError
        A file is not there, or is another one; says on which machine.
    """
    if not file.is_file():
        raise InputError(
            f"{file} is not there on {os.uname().nodename}: the folder must lie on a file system "
            "that all machines see (checkpoint=FOLDER)"
        )
    with open(file, "rb") as stream:
        return _Reader(stream, file.parent).load()


class _Writer(pickle.Pickler):
    def __init__(self, stream: Any, folder: Path) -> None:
        super().__init__(stream, protocol=5)
        self._folder = folder
        self._known: dict[int, tuple[np.ndarray, _Reference]] = {}

    def persistent_id(self, thing: Any) -> _Reference | None:
        plain = isinstance(thing, np.ndarray) and thing.dtype.kind in "biufc"
        if not plain or thing.nbytes < LARGE:
            return None
        if id(thing) not in self._known:  # the array is kept, so that its id stays its own
            self._known[id(thing)] = thing, self._reference(thing)
        return self._known[id(thing)][1]

    def reducer_override(self, thing: Any) -> Any:
        """Labels of many cells go as numbers and the few different labels."""
        if type(thing) is not np.ndarray or thing.dtype != object or thing.nbytes < LARGE:
            return NotImplemented
        if pd.api.types.infer_dtype(thing.ravel(), skipna=False) != "string":
            return NotImplemented
        codes, labels = pd.factorize(thing.ravel())
        if 4 * labels.size > thing.size:
            return NotImplemented
        return _labelled, (codes.astype(np.int32).reshape(thing.shape), labels.tolist())

    def _reference(self, array: np.ndarray) -> _Reference:
        order = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
        about = (array.dtype.str, array.shape, order)
        found = _on_disk(array)
        if found is not None:
            path, offset = found
            return (str(path), offset, *about, path.stat().st_size, _sample(path))
        name = f"{stamp(array)}-{order}.array"
        path = self._folder / name
        if not path.exists():
            temporary = self._folder / f"{os.getpid()}-{name}.tmp"
            laid = array if order == "C" else array.T
            with open(temporary, "wb") as stream:
                np.ascontiguousarray(laid).tofile(stream)
            os.replace(temporary, path)
        return (name, 0, *about, path.stat().st_size, _sample(path))


def _labelled(codes: np.ndarray, labels: list[str]) -> np.ndarray:
    """The array of labels that `_Writer.reducer_override` took apart."""
    return np.array(labels, dtype=object)[codes]


class _Reader(pickle.Unpickler):
    def __init__(self, stream: Any, folder: Path) -> None:
        super().__init__(stream)
        self._folder = folder
        self._known: dict[_Reference, np.ndarray] = {}

    def persistent_load(self, reference: Any) -> np.ndarray:
        if reference not in self._known:
            self._known[reference] = self._array(*reference)
        return self._known[reference]

    def _array(
        self, name: str, offset: int, dtype: str, shape: Any, order: str, size: int, sample: str
    ) -> np.ndarray:
        path = self._folder / name  # an absolute name stays what it is
        where = f"{path} on {os.uname().nodename}"
        if not path.is_file():
            raise InputError(
                f"{where} is not there: the screen must lie on a file system that all machines see"
            )
        if path.stat().st_size != size or _sample(path) != sample:
            raise InputError(f"{where} is another file than where the run was started")
        laid = shape if order == "C" else shape[::-1]
        if size > MAPPED:
            array: np.ndarray = np.memmap(path, dtype, "r", offset, laid)
        else:
            count = int(np.prod(shape))
            array = np.fromfile(path, dtype, count, offset=offset).reshape(laid)
        return array if order == "C" else array.T


def _on_disk(array: np.ndarray) -> tuple[Path, int] | None:
    """The file that an array is a read-only map of, and where in it the array begins."""
    if array.flags.writeable or not (array.flags.c_contiguous or array.flags.f_contiguous):
        return None
    owner: Any = array
    found: np.memmap | None = None
    while owner is not None:  # a part of a map knows where the whole begins, not where it does
        found = owner if isinstance(owner, np.memmap) else found
        owner = getattr(owner, "base", None)
    if found is None or found.filename is None:
        return None
    begin = found.__array_interface__["data"][0]
    return Path(found.filename).resolve(), found.offset + (
        array.__array_interface__["data"][0] - begin
    )


def _sample(path: Path) -> str:
    """A digest of some pieces of a file, spread over the whole of it."""
    size = path.stat().st_size
    digest = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as stream:
        for begin in np.unique(np.linspace(0, max(0, size - PIECE), PIECES).astype(np.int64)):
            stream.seek(int(begin))
            digest.update(stream.read(PIECE))
    return digest.hexdigest()


__all__ = ["read", "write"]
