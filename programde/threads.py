"""Threads: how many workers, and keeping the linear algebra libraries from adding their own."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from programde.errors import OptionError
from programde.limits import core_count

#: Variables that linear algebra libraries read when they load.
VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
_LIMITS: list[Any] = []
#: Parts of a pass over rows that are worked on at once, at most: each is in memory.
AT_ONCE = 4
Part = TypeVar("Part")
Made = TypeVar("Made")


def limit_threading(n_threads: int = 1) -> None:
    """Clamp the BLAS and OpenMP threads of the running process.

    Environment variables are read when a library loads, so setting them later does nothing; this
    talks to the loaded libraries (threadpoolctl), and sets the variables for child processes.

    Parameters
    ----------
    n_threads
        How many each may use.

    Raises
    ------
    OptionError
        If `n_threads` is below 1.

    Examples
    --------
    >>> import programde as pde
    >>> pde.limit_threading(1)
    """
    from threadpoolctl import threadpool_limits

    if int(n_threads) < 1:
        raise OptionError(f"n_threads={n_threads} must be at least 1")
    for key in VARIABLES:
        os.environ[key] = str(int(n_threads))
    # kept alive: the limit is lifted when the object is collected
    _LIMITS[:] = [threadpool_limits(limits=int(n_threads))]


def in_order(work: Callable[[Part], Made], parts: Iterable[Part]) -> Iterator[Made]:
    """What `work` makes of each part, in the order of the parts, some made ahead by other threads.

    What is summed over the results is the same however many threads there are.

    Parameters
    ----------
    work
        May run in several threads at once.
    parts
        What it is called with, one at a time.

    Examples
    --------
    >>> list(in_order(abs, [-2, 3, -1]))
    [2, 3, 1]
    """
    n_threads = min(core_count(), AT_ONCE)
    if n_threads == 1:
        yield from map(work, parts)
        return
    with ThreadPoolExecutor(n_threads) as pool:
        ahead: deque[Future[Made]] = deque()
        for part in parts:
            ahead.append(pool.submit(work, part))
            if len(ahead) > n_threads:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def worker_count(n_jobs: int | None) -> int:
    """Workers for `n_jobs` as joblib counts them: -1 for all cores, -2 for all but one.

    Raises
    ------
    OptionError
        If `n_jobs` is 0.
    """
    if n_jobs is None:
        return 1
    n_jobs = int(n_jobs)
    if n_jobs == 0:
        raise OptionError("n_jobs=0 has no meaning; use 1, or -1 for all cores")
    if n_jobs < 0:
        return max(1, core_count() + 1 + n_jobs)
    return n_jobs
