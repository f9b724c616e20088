"""What is used of Hydra, submitit and DVC beyond what they promise to keep.

All of it stands here, and tests/pipeline/test_upstream.py says so when an upgrade breaks it.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

#: Class of Hydra's own sweeper: a plain grid, which is expanded here.
GRID = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"


def forget_hydra() -> None:
    """Let Hydra be set up anew; where it fails it leaves itself behind."""
    GlobalHydra.instance().clear()


def parse_override(text: str) -> Override | None:
    """A word of the command line as Hydra reads it; None where it cannot be read.

    Inside `hydra.initialize_config_dir` ``choice(*)`` is read as well, which asks what there is.
    """
    hydra = GlobalHydra.instance()
    loader = hydra.config_loader() if hydra.is_initialized() else None
    try:
        override = OverridesParser.create(config_loader=loader).parse_overrides([text])[0]
    except HydraException:
        return None
    return override if override.key_or_group else None


def grid(overrides: Sequence[Override]) -> list[list[str]]:
    """The points of a grid in Hydra's order, each the words that make it.

    Of two words for one key the later holds, in the place of the first.

    Raises
    ------
    HydraException
        A range without steps, which only some sweepers can draw from.
    """
    axes: dict[str, list[str]] = {}
    for override in overrides:
        key = override.get_key_element()
        if not override.is_sweep_override():
            axes[key] = [f"{key}={override.get_value_element_as_str()}"]
        elif override.is_discrete_sweep():
            axes[key] = [f"{key}={value}" for value in override.sweep_string_iterator()]
        else:
            raise HydraException(f"{override.input_line} is a range without steps: list its values")
    return [list(point) for point in itertools.product(*axes.values())]


@contextlib.contextmanager
def patient_collection() -> Iterator[list[str]]:
    """Wait for every job that submitit launches inside; the list tells which died, and how.

    Hydra's launcher collects its jobs one after the other, and gives up at the first that died.
    """
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


def cache_of(repo: Any) -> Path:
    """The folder of a DVC repository's cache; its configuration may have put it elsewhere."""
    return Path(repo.cache.local_cache_dir)


def remote_of(repo: Any) -> str | None:
    """Name of a DVC repository's default remote, if it has one."""
    name = repo.config["core"].get("remote")
    return str(name) if name else None


def without_fetching_records(repo: Any) -> None:
    """Keep `repo.reproduce(pull=True)` from fetching the records of all computations once more."""
    repo.stage_cache.pull = lambda *_, **__: []


def push_computations(repo: Any) -> tuple[int, int, int]:
    """Push the records and the data of all computations in the cache.

    `dvc push --run-cache` pushes all records, but data only of what dvc.lock names.

    Returns
    -------
    tuple of int
        Computations; files that were sent; files that could not be.
    """
    records = repo.stage_cache.push(None)
    sent = failed = 0
    for objects in repo.stage_cache.get_used_objs(records).values():
        result = repo.cloud.push(objects)
        sent, failed = sent + len(result.transferred), failed + len(result.failed)
    return len(records), sent, failed
