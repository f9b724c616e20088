"""What is asked of executors beyond `submit`: how many work there, and why one failed.

An executor is anything that keeps to `concurrent.futures`. Dask's (`Client.get_executor()`) is
known by its client, without importing Dask.
"""

from __future__ import annotations

from concurrent.futures import BrokenExecutor, CancelledError, Executor
from typing import Any

from programde.limits import core_count

#: Bytes that a worker may use, and how many blocks it does at once.
Limit = tuple[float | None, int]


def n_workers(executor: Executor, otherwise: int = 1) -> int:
    """How many calls an executor does at once; `otherwise` where nobody is there, or answers."""
    client = _client(executor)
    if client is not None:
        try:
            return sum(client.nthreads().values()) or otherwise
        except OSError:  # the calls that run will tell why
            return otherwise
    for name in ("_max_workers", "max_workers"):
        value = getattr(executor, name, None)
        if isinstance(value, int):
            return max(1, value)
    return core_count()


def limits(executor: Executor) -> list[Limit]:
    """Memory and threads of each worker, where they are known."""
    client = _client(executor)
    if client is None:
        return []
    try:
        info = client.scheduler_info(n_workers=-1)
    except TypeError:  # older versions tell all of them
        info = client.scheduler_info()
    workers = info["workers"].values()
    return [(worker.get("memory_limit") or None, worker["nthreads"]) for worker in workers]


def address(executor: Executor) -> str:
    """Where the scheduler of an executor is, while it is there; empty for a pool."""
    scheduler = getattr(_client(executor), "scheduler", None)
    return str(getattr(scheduler, "address", ""))


def why_gone(executor: Executor, error: BaseException, where: str = "") -> str:
    """Why an executor cannot go on, in a few words; empty for an error of the call itself.

    where: the scheduler's address, asked while it was there.
    """
    client, kind = _client(executor), type(error).__name__
    if kind == "KilledWorker":
        return (
            "a block killed each worker that it was given to: as a rule they have too little "
            "memory for it (worker_memory)"
        )
    if isinstance(error, ImportError | ModuleNotFoundError):
        return f"a worker lacks what is installed here ({error})"
    if client is not None:
        lost = isinstance(error, CancelledError | RuntimeError) and (
            "cancelled" in str(error).lower() or "shutdown" in str(error) or not str(error)
        )
        if lost or kind in ("CommClosedError", "FutureCancelledError", "ClosedClientError"):
            return f"the scheduler {where or 'of Dask'} is gone"
        return ""
    if isinstance(error, BrokenExecutor):
        return "a process of the executor was killed, and its pool ends with it"
    if isinstance(error, CancelledError):
        return "the executor was shut down"
    if isinstance(error, RuntimeError) and "after shutdown" in str(error):
        return "the executor was shut down"
    return ""


def _client(executor: Executor) -> Any:
    """The client of a Dask executor; None for another one."""
    module = type(executor).__module__.split(".")[0]
    return getattr(executor, "_client", None) if module == "distributed" else None


__all__ = ["address", "limits", "n_workers", "why_gone"]
