"""Large arrays that threads take in turn and hand back, so that each is made but once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")


class Spare(Generic[T]):
    """As many of a thing as threads ask for at once.

    Parameters
    ----------
    make
        Makes one more.
    made
        Those that are there already.
    """

    def __init__(self, make: Callable[[], T], made: Iterable[T] = ()):
        self._make = make
        self._free = list(made)
        self._taking = threading.Lock()

    @contextmanager
    def one(self) -> Iterator[T]:
        """One of them, for the length of a `with` block."""
        with self._taking:
            taken = self._free.pop() if self._free else None
        if taken is None:
            taken = self._make()
        try:
            yield taken
        finally:
            with self._taking:
                self._free.append(taken)
