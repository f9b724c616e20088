"""Locks between processes, freed by the system when their holder is killed.

By filelock: on Windows as well, and on network disks that know no locks of the system's.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

#: Seconds between two looks at a lock that another holds.
PAUSE = 0.1


@contextlib.contextmanager
def held(
    path: Path, wait: bool = True, waiting: Callable[[], None] | None = None
) -> Iterator[None]:
    """Hold a lock file, which is made where it is not there and stays.

    Parameters
    ----------
    path
        The file.
    wait
        Whether to wait for whoever holds it.
    waiting
        Called once, before we wait.

    Raises
    ------
    BlockingIOError
        Somebody holds it, and `wait` says not to wait.
    """
    from filelock import FileLock, Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a disk without locks gets files that say who holds it
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if not wait:
                raise BlockingIOError(f"{path} is held by another process") from None
            if waiting is not None:
                waiting()
            lock.acquire(poll_interval=PAUSE)
    try:
        yield
    finally:
        lock.release()
