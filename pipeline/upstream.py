"""What is used of Hydra, submitit, DVC and MLflow beyond what they promise to keep.

All of it stands here, and tests/pipeline/test_upstream.py says so when an upgrade breaks it.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from pipeline.files import replacing

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


@contextlib.contextmanager
def default_artifacts(place: str) -> Iterator[None]:
    """Where MLflow's experiment "Default" keeps its files, while a new database is made.

    MLflow would write the working folder's path into an SQL statement as Python writes texts, which
    fails for a path with both kinds of quotes, or with a colon before a letter.
    """
    name = "_MLFLOW_SERVER_ARTIFACT_ROOT"
    before = os.environ.get(name)
    os.environ[name] = place
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before


def cache_of(repo: Any) -> Path:
    """The folder of a DVC repository's cache; its configuration may have put it elsewhere."""
    return Path(repo.cache.local_cache_dir)


def remote_of(repo: Any) -> str | None:
    """Name of a DVC repository's default remote, if it has one."""
    name = repo.config["core"].get("remote")
    return str(name) if name else None


@contextlib.contextmanager
def quick_lock_files() -> Iterator[None]:
    """Let DVC read and write dvc.lock with libyaml, and whole or not at all.

    DVC keeps comments and blank lines when it writes a file; its lock files have none, and to keep
    what is not there takes seconds where a stage depends on a hundred files. It also writes in
    place, so that a killed run leaves half a file. What is written here is the same text.
    """
    from dvc import dvcfile

    modify = dvcfile.modify_yaml

    @contextlib.contextmanager
    def quick(path: Any, fs: Any = None) -> Iterator[dict[str, Any]]:
        if Path(path).name != dvcfile.LOCK_FILE:
            with modify(path, fs=fs) as data:
                yield data
            return
        yaml = _lock_yaml()
        file = Path(path)
        data = (yaml.load(file) if file.exists() else None) or {}
        yield data
        text = io.StringIO()
        yaml.dump(data, text)
        with replacing(file) as temporary:  # libyaml leaves a blank where nothing stands
            temporary.write_text(re.sub(r": $", ":", text.getvalue(), flags=re.M), encoding="utf-8")

    setattr(dvcfile, "modify_yaml", quick)  # noqa: B010
    try:
        yield
    finally:
        setattr(dvcfile, "modify_yaml", modify)  # noqa: B010


def _lock_yaml() -> Any:
    """What writes a lock file as DVC does: null as nothing, keys in their order."""
    from ruamel.yaml import YAML
    from ruamel.yaml.representer import SafeRepresenter

    class Representer(SafeRepresenter):
        pass

    Representer.add_representer(
        type(None),
        lambda self, _: self.represent_scalar("tag:yaml.org,2002:null", ""),
    )
    yaml = YAML(typ="safe")
    yaml.Representer = Representer
    yaml.default_flow_style = False
    yaml.representer.sort_base_mapping_type_on_output = False
    return yaml


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
