"""Jobs of a scheduler: told of as they end.

What jobs print goes to files that nobody looks at, so the driver tells of them.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path


def scheduled(overrides: Sequence[str]) -> bool:
    """Whether a command line sends points to a scheduler."""
    names = [o.split("=", 1)[1] for o in overrides if o.startswith("hydra/launcher=")]
    return any("slurm" in name or "submitit" in name for name in names)


@contextlib.contextmanager
def watching(folder: Path, pattern: str, show: Callable[[Path], None]) -> Iterator[None]:
    """Show each file that appears in a folder, once, while the context lasts."""
    seen = set(folder.glob(pattern))
    over = threading.Event()

    def look() -> None:
        for file in sorted(set(folder.glob(pattern)) - seen):
            seen.add(file)
            show(file)

    def watch() -> None:
        while not over.wait(1.0):
            look()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        look()
