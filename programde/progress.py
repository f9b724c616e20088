"""A progress bar with rate and time left, quiet where nobody looks."""

from __future__ import annotations

import sys
import warnings
from types import TracebackType
from typing import Any


def in_notebook() -> bool:
    """Whether this process answers a notebook."""
    shell = sys.modules.get("IPython")
    return shell is not None and type(shell.get_ipython()).__name__ == "ZMQInteractiveShell"


def somebody_looks() -> bool:
    """Whether standard error goes to a terminal or a notebook."""
    return sys.stderr is not None and (sys.stderr.isatty() or in_notebook())


def _bar_class() -> Any:
    """The bar of a notebook where there is one that can show it, else that of a terminal."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # without ipywidgets it is a line of text, and says so
        if in_notebook():
            from tqdm.auto import tqdm
        else:
            from tqdm import tqdm
    return tqdm


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
        if show or (show is None and somebody_looks()):
            tqdm = _bar_class()
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
