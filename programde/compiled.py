"""`njit` with a disk cache that knows all that a kernel is made of.

Numba renews a kernel on disk when the file that holds it changes, but not when a function that was
inlined into it from another file does: after an update such a kernel would go on as before, and
two kernels meant to make the same draws would make different ones. Here each kernel's cache also
carries a stamp of its own file and of those of the package that this one imports and that hold
kernels in turn, so that a change in any of them renews it, and no other change does.

A kernel that another one calls is on disk twice: in its own file, and as a copy in the caller's,
optimised once more. Which of the two a process runs depends on which it has loaded first. Where
the arithmetic may be reordered (``fastmath``) they differ in the last bits of their sums, so a
process that compiles would not write the bytes of one that loads. Such kernels, and those that
call them, are therefore made with ``forceinline=True`` wherever a kernel calls them: the caller
then has one form, its own.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba

from programde.progress import somebody_looks

#: Whether this process has said that it compiles.
_told: list[bool] = []
#: What marks a file that holds kernels.
MARK = "import njit"
_IMPORT = re.compile(r"^\s*(?:from|import) programde\.([\w.]+)", re.MULTILINE)
_BESIDE = re.compile(r"^\s*from \.([\w.]+) import", re.MULTILINE)


@functools.cache
def kernel_files(path: Path) -> tuple[Path, ...]:
    """The file, and the files that hold kernels among all that it imports, sorted."""
    root = Path(__file__).parent
    found, left = {path}, [path]
    while left:
        file = left.pop()
        text = file.read_text(encoding="utf-8")
        others = [root.joinpath(*module.split(".")) for module in _IMPORT.findall(text)]
        others += [file.parent.joinpath(*module.split(".")) for module in _BESIDE.findall(text)]
        for other in [module.with_suffix(".py") for module in others]:
            if other in found or not other.is_file():
                continue
            if MARK in other.read_text(encoding="utf-8") and other != Path(__file__):
                found.add(other)
                left.append(other)
    return tuple(sorted(found))


@functools.cache
def kernels_stamp(path: Path) -> str:
    """A hash of the files of which a kernel in `path` is made."""
    digest = hashlib.blake2b(digest_size=16)
    for file in kernel_files(path):
        content = file.read_bytes()
        digest.update(f"{file.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def njit(*args: Any, **options: Any) -> Any:
    """`numba.njit`, to be used in its place, with or without options."""
    if args and callable(args[0]):
        return _stamped(numba.njit(*args, **options))
    decorate: Callable[[Any], Any] = numba.njit(*args, **options)
    return lambda function: _stamped(decorate(function))


def _telling(load: Callable[..., Any]) -> Callable[..., Any]:
    """Look for a kernel on disk; say once, to whoever looks, where it must be compiled."""

    def told(*args: Any) -> Any:
        found = load(*args)
        if found is None and not _told and somebody_looks():
            _told.append(True)
            print("compiling kernels: once, a minute or less", file=sys.stderr, flush=True)
        return found

    return told


def _stamped(kernel: Any) -> Any:
    """Add our stamp to the one by which numba judges whether a cached kernel is fresh."""
    cache: Any = getattr(kernel, "_cache", None)
    store = getattr(cache, "_cache_file", None)
    if hasattr(cache, "load_overload"):
        cache.load_overload = _telling(cache.load_overload)
    if store is not None and hasattr(store, "_source_stamp"):
        stamp = kernels_stamp(Path(inspect.getfile(kernel.py_func)).resolve())
        store._source_stamp = (store._source_stamp, stamp)
    return kernel
