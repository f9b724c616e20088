"""Threads: how many workers, and keeping the linear algebra libraries from adding their own."""

from __future__ import annotations

import os
from typing import Any

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
