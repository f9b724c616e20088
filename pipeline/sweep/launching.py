"""Jobs of a scheduler: told of as they end, and one that dies is one lost point.

Hydra's submitit launcher collects its jobs one after the other and gives up at the first that died
(out of time or memory, cancelled), while others still wait in the queue or run. What jobs print
goes to files that nobody looks at, so the driver tells of them.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any


def scheduled(overrides: Sequence[str]) -> bool:
    """Whether a command line sends points to a scheduler."""
    names = [o.split("=", 1)[1] for o in overrides if o.startswith("hydra/launcher=")]
    return any("slurm" in name or "submitit" in name for name in names)


@contextlib.contextmanager
def patience() -> Iterator[list[str]]:
    """Wait for every job that is launched inside; the list tells which died, and how."""
    from hydra.core.utils import JobReturn, JobStatus
    from submitit.core.core import Job
    from submitit.core.utils import UncompletedJobError

    died: list[str] = []
    collect = Job.results

    def results(job: Job[Any]) -> list[Any]:
        try:
            return collect(job)
        except UncompletedJobError:
            died.append(f"job {job.job_id} is {job.state}, its log in {job.paths.folder}")
            return [JobReturn(status=JobStatus.COMPLETED)]  # its point has no outcome: seen there

    setattr(Job, "results", results)  # noqa: B010  what mypy would not let us assign
    try:
        yield died
    finally:
        setattr(Job, "results", collect)  # noqa: B010


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
