"""What is used of Hydra, submitit, DVC and MLflow beyond what they promise to keep.

All of it stands here, and tests/pipeline/test_upstream.py says so when an upgrade breaks it.
"""

from __future__ import annotations

import contextlib
import copy
import io
import itertools
import os
import re
import stat
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from pipeline.files import replacing

#: Class of Hydra's own sweeper: a plain grid, which is expanded here.
GRID = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"
#: Texts that are kept as they were parsed.
MOST_TEXTS = 100


def forget_hydra() -> None:
    """Let Hydra be set up anew; where it fails it leaves itself behind."""
    GlobalHydra.instance().clear()


def share_store(store: ConfigStore) -> None:
    """Keep Hydra from copying all that it was given, each time it composes: half of its time.

    It copies the list of its sources before it asks them, and the store is one of them; what it
    takes from there it copies too.
    """
    setattr(type(store), "__deepcopy__", lambda self, _: self)  # noqa: B010


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
def quick_dvc() -> Iterator[None]:
    """Let DVC do once what it does over and over, where a stage depends on a hundred files.

    It reads the same texts, hashes the same files and looks for others in its own table of who
    works on what, five times a stage and file. What it concludes and writes is the same.
    """
    with quick_lock_files(), _texts_read_once(), _files_hashed_once(), _nobody_else_is_nobody():
        yield


@contextlib.contextmanager
def _instead(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Something of another package replaced for a while."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


@contextlib.contextmanager
def quick_lock_files() -> Iterator[None]:
    """Let DVC read and write dvc.lock with libyaml, and whole or not at all.

    DVC keeps comments and blank lines when it writes a file; its lock files have none, and to keep
    what is not there takes seconds where a stage depends on a hundred files. It also writes in
    place, so that a killed run leaves half a file. What is written here is the same text, but for
    which quotes stand round a word that needs some; so are its records of computations.
    """
    from dvc import dvcfile
    from dvc.utils import serialize

    modify, dump = dvcfile.modify_yaml, serialize.dump_yaml
    known: dict[str, str] = {}

    def dumped(part: dict[str, Any]) -> str:
        asked = repr(part)
        if asked not in known:
            known[asked] = _lock_text(part)
        return known[asked]

    def text_of(data: dict[str, Any]) -> str:
        """As the whole is dumped; what a stage had before is not dumped again."""
        if list(data) != ["schema", "stages"] or not data["stages"]:
            return _lock_text(data)
        stages = [dumped({"stages": {name: one}}) for name, one in data["stages"].items()]
        below = [text.partition("\n")[2] for text in stages]
        return dumped({"schema": data["schema"]}) + "stages:\n" + "".join(below)

    @contextlib.contextmanager
    def quick(path: Any, fs: Any = None) -> Iterator[dict[str, Any]]:
        if Path(path).name != dvcfile.LOCK_FILE:
            with modify(path, fs=fs) as data:
                yield data
            return
        file = Path(path)
        data = (_lock_yaml().load(file) if file.exists() else None) or {}
        yield data
        with replacing(file) as temporary:
            temporary.write_text(text_of(data), encoding="utf-8")

    def record(path: Any, data: Any, fs: Any = None, **more: Any) -> None:
        if fs is not None or more:
            dump(path, data, fs=fs, **more)
        else:
            Path(path).write_text(_lock_text(data), encoding="utf-8")

    with _instead(dvcfile, "modify_yaml", quick), _instead(serialize, "dump_yaml", record):
        yield


def _lock_text(data: Any) -> str:
    """YAML as DVC writes it."""
    text = io.StringIO()
    _lock_yaml().dump(data, text)
    return re.sub(r": $", ":", text.getvalue(), flags=re.M)  # libyaml leaves a blank for nothing


@contextlib.contextmanager
def _texts_read_once() -> Iterator[None]:
    """params.yaml, dvc.yaml and dvc.lock are parsed when they have changed."""
    from dvc.utils import strictyaml
    from dvc.utils.serialize import _yaml

    parse = _yaml.parse_yaml
    known: dict[str, Any] = {}

    def parsed(text: Any, path: Any, typ: str = "safe") -> Any:
        if typ != "safe":
            return parse(text, path, typ)
        if text not in known:
            if len(known) > MOST_TEXTS:
                known.clear()
            known[text] = parse(text, path)
        return _plain_copy(known[text])

    with _instead(_yaml, "parse_yaml", parsed), _instead(strictyaml, "parse_yaml", parsed):
        yield


def _plain_copy(tree: Any) -> Any:
    """A copy down to its leaves, which are numbers and texts."""
    if isinstance(tree, dict):
        return {key: _plain_copy(value) for key, value in tree.items()}
    return [_plain_copy(value) for value in tree] if isinstance(tree, list) else tree


@contextlib.contextmanager
def _files_hashed_once() -> Iterator[None]:
    """A file of code is hashed once; again when it was written, by the marks that DVC goes by."""
    from dvc.output import Output

    build = Output._build
    known: dict[tuple[Any, ...], Any] = {}

    def once(self: Any, odb: Any, path: Any, fs: Any, name: Any, **more: Any) -> Any:
        here = self.IS_DEPENDENCY and fs.protocol == "local"
        try:
            found = os.stat(path) if here else None
        except OSError:
            found = None
        if found is None or not stat.S_ISREG(found.st_mode):
            return build(self, odb, path, fs, name, **more)
        key = (path, name, found.st_ino, found.st_dev, found.st_mtime_ns, found.st_size)
        if key not in known:
            known[key] = build(self, odb, path, fs, name, **more)
        odb, meta, obj = known[key]
        return odb, copy.copy(meta), obj

    with _instead(Output, "_build", once):
        yield


@contextlib.contextmanager
def _nobody_else_is_nobody() -> Iterator[None]:
    """Who works on what is compared path by path only where somebody else works on something."""
    from dvc import rwlock

    check = rwlock._check_blockers

    def quick(tmp_dir: Any, lock: Any, info: Any, *, mode: str, waiters: Any) -> None:
        held = (one if isinstance(one, list) else [one] for one in lock[mode].values())
        if any(who != info for those in held for who in those):
            check(tmp_dir, lock, info, mode=mode, waiters=waiters)

    with _instead(rwlock, "_check_blockers", quick):
        yield


def _lock_yaml() -> Any:
    """What writes a lock file as DVC does: null as nothing, keys in their order."""
    from ruamel.yaml import YAML
    from ruamel.yaml.compat import ordereddict
    from ruamel.yaml.representer import SafeRepresenter

    class Representer(SafeRepresenter):
        pass

    Representer.add_representer(
        type(None),
        lambda self, _: self.represent_scalar("tag:yaml.org,2002:null", ""),
    )
    for ordered in (OrderedDict, ordereddict):  # else marked as what they are, by !!omap
        Representer.add_representer(ordered, SafeRepresenter.represent_dict)
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
