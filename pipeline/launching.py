"""Patience with jobs that die: a scheduler's job that runs out of memory is one lost point.

Hydra's submitit launcher collects its jobs one after the other and gives up at the first that died
(out of time or memory, cancelled), while others still wait in the queue or run.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any


@contextlib.contextmanager
def patience(overrides: Sequence[str]) -> Iterator[list[str]]:
    """Wait for every job that is launched inside; the list tells why jobs died.

    Parameters
    ----------
    overrides
        The command line: whether jobs go to a scheduler is seen there.
    """
    died: list[str] = []
    words = ("slurm", "submitit")
    if not any(o.startswith("hydra/launcher=") and any(w in o for w in words) for o in overrides):
        yield died
        return
    from hydra.core.utils import JobReturn, JobStatus
    from submitit.core.core import Job
    from submitit.core.utils import UncompletedJobError

    collect = Job.results

    def results(job: Job[Any]) -> list[Any]:
        try:
            return collect(job)
        except UncompletedJobError as error:
            died.append(" ".join(f"job {job.job_id}: {error}".split())[:1000])
            return [JobReturn(status=JobStatus.COMPLETED)]  # its point has no outcome: seen there

    setattr(Job, "results", results)  # noqa: B010  what mypy would not let us assign
    try:
        yield died
    finally:
        setattr(Job, "results", collect)  # noqa: B010
