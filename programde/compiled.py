"""`njit` with a disk cache that knows all that a kernel is made of.

Numba renews a kernel on disk when the file that holds it changes, but not when a function that was
inlined into it from another file does: after an update such a kernel would go on as before, and
two kernels meant to make the same draws would make different ones. Here each kernel's cache also
carries a stamp of all the package's files that hold kernels, so that a change in any renews all.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba

#: Files that hold kernels, relative to the package.
KERNEL_FILES = (
    "crt/kernels/*.py",
    "calibration/saddlepoint*.py",
    "controls/*kernel*.py",
)


@functools.cache
def kernels_stamp() -> str:
    """A hash of the files that hold kernels."""
    root = Path(__file__).parent
    digest = hashlib.blake2b(digest_size=16)
    for pattern in KERNEL_FILES:
        for path in sorted(root.glob(pattern)):
            content = path.read_bytes()
            digest.update(f"{path.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def njit(*args: Any, **options: Any) -> Any:
    """`numba.njit`, to be used in its place, with or without options."""
    if args and callable(args[0]):
        return _stamped(numba.njit(*args, **options))
    decorate: Callable[[Any], Any] = numba.njit(*args, **options)
    return lambda function: _stamped(decorate(function))


def _stamped(kernel: Any) -> Any:
    """Add our stamp to the one by which numba judges whether a cached kernel is fresh."""
    store = getattr(getattr(kernel, "_cache", None), "_cache_file", None)
    if store is not None and hasattr(store, "_source_stamp"):
        store._source_stamp = (store._source_stamp, kernels_stamp())
    return kernel
