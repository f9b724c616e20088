"""A progress bar with rate and time left, quiet where nobody looks."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any


class Progress:
    """Counts units of work on standard error.

    Parameters
    ----------
    total
        Number of units.
    label
        What is being done, in a word or two.
    show
        True or False; None shows it only on an interactive terminal.
    """

    def __init__(self, total: int, label: str, show: bool | None = None):
        self._bar: Any = None
        if sys.stderr is not None and (show or (show is None and sys.stderr.isatty())):
            from tqdm import tqdm

            self._bar = tqdm(total=total, desc=label, unit="unit", mininterval=0.5, leave=True)

    def advance(self, done: int = 1) -> None:
        """Say that `done` more units are finished."""
        if self._bar is not None:
            self._bar.update(done)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()
