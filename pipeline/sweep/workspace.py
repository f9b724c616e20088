"""A sweep's point gets a folder of its own in which DVC runs the stages.

    sweeps/code/HASH/      the code as it was when the sweep began; what the stages import
    sweeps/points/ID/      one point: that code (for DVC to hash), its params.yaml, its outputs
    sweeps/locks/          one lock file per point and per stage computation

All points share the project's DVC cache, so that a stage computed before, by whatever point or by
`dvc repro`, is restored. Two points that need the same computation at the same time meet at its
lock: one computes, the other waits and restores. Nothing here ever deletes from the cache.

DVC is called in this process: a restored stage then takes hundredths of a second, not one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import yaml

from pipeline.config.params import PARAMS, declared_keys, select
from pipeline.files import parse_yaml, replacing_folder
from pipeline.locks import held
from pipeline.signals import ending
from pipeline.stages.compose import write_params
from pipeline.stages.entry import ENDED, INTERRUPTED, STAGE_LOG, logged
from pipeline.sweep.repository import (
    cache_dir,
    configure,
    outputs_of,
    reproduce,
    without_left_over,
)
from pipeline.troubles import killed, told_by_the_system
from pipeline.warm import kept
from programde.errors import OptionError, ProgramDEError

SWEEPS = Path("sweeps")
COMPOSE = "compose"  # the one stage that a point does not run: its params.yaml is given
OUTPUT = "stages.log"
BUSY = "computing"  # is there while a point is computed; left behind by a driver that was killed
EXECUTED = "executed.jsonl"


class PointError(ProgramDEError):
    """A point could not be computed; the message names the stage and gives its own words."""


@dataclass(frozen=True)
class StageRun:
    """What became of one stage of a point."""

    stage: str
    executed: bool
    seconds: float


class Plan:
    """The stages of a dvc.yaml: their order, and what identifies a computation.

    Parameters
    ----------
    root
        The project's folder.
    code
        A snapshot of it, where the stages' code and dvc.yaml are read; default: the folder itself.
    """

    def __init__(self, root: Path, code: Path | None = None) -> None:
        self.root = root
        self.source = root if code is None else code
        text = (self.source / "dvc.yaml").read_text(encoding="utf-8")
        stages: dict[str, dict] = parse_yaml(text)["stages"]
        self.stages = {name: entry for name, entry in stages.items() if name != COMPOSE}
        made = {out: name for name, entry in self.stages.items() for out in outputs_of(entry)}
        self.upstream = {
            name: sorted({made[dep] for dep in entry.get("deps", []) if dep in made})
            for name, entry in self.stages.items()
        }
        self.order = list(TopologicalSorter(self.upstream).static_order())
        self.code = {
            name: sorted(dep for dep in entry.get("deps", []) if dep not in made)
            for name, entry in self.stages.items()
        }
        self.keys = {name: declared_keys(name, self.source / "dvc.yaml") for name in self.stages}
        tops = {Path(dep).parts[0] for deps in self.code.values() for dep in deps}
        self.tops = sorted(tops | {"conf", "dvc.yaml"})
        self._hashes: dict[str, str] = {}

    def computation(self, stage: str, params: dict[str, Any]) -> str:
        """What identifies a stage's work: its code, its keys, and the same of what it reads."""
        parts = {
            "stage": {k: self.stages[stage].get(k) for k in ("cmd", "deps", "outs")},
            "code": [self._hash(dep) for dep in self.code[stage]],
            "params": select(params, self.keys[stage]),
            "upstream": [self.computation(name, params) for name in self.upstream[stage]],
        }
        return _digest(json.dumps(parts, sort_keys=True, default=str))

    def point_id(self, params: dict[str, Any]) -> str:
        """What identifies a point: the work of all its stages."""
        return _digest("".join(self.computation(name, params) for name in self.order))

    def _hash(self, dep: str) -> str:
        if dep not in self._hashes:
            self._hashes[dep] = _tree_hash(self.source, [dep])
        return self._hashes[dep]


def locked(name: str, root: Path, wait: bool = True) -> contextlib.AbstractContextManager[None]:
    """Hold the lock `name`; wait for whoever holds it, or not. See `pipeline.locks.held`."""
    return held(root / SWEEPS / "locks" / f"{name}.lock", wait)


@contextlib.contextmanager
def driving(root: Path) -> Iterator[None]:
    """Say that a sweep is going on, for as long as the context lasts; several may.

    Each holds a lock of its own. They come in by a gate, which whoever cleans up keeps shut.
    """
    with contextlib.ExitStack() as stack:
        with locked("gate", root):
            stack.enter_context(locked(f"driver-{secrets.token_hex(4)}", root))
        yield


def snapshot(root: Path) -> Plan:
    """Copy the code, with what numba and Python compiled, so that edits do not reach a sweep.

    Raises
    ------
    OptionError
        The project's path holds the sign that separates paths: Python could not import from it.
    """
    if os.pathsep in str(root):
        raise OptionError(f"a sweep cannot run in {root}: move it where no {os.pathsep!r} is in it")
    plan = Plan(root)
    target = plan.root / SWEEPS / "code" / _tree_hash(plan.root, plan.tops)
    with locked("code", plan.root):
        if not target.is_dir():
            with replacing_folder(target) as temporary:
                for top in plan.tops:
                    _copy(plan.root / top, temporary / top)
    return Plan(root, target)


def lay_out(plan: Plan, params: dict[str, Any], point: str) -> Path:
    """A point's folder, ready for DVC; an existing one is used again.

    It comes into being whole, by a rename; so a half-made one, left by a driver that was killed,
    is a temporary name that nobody looks at.
    """
    target = plan.root / SWEEPS / "points" / point
    if (target / PARAMS).is_file():
        return target
    with replacing_folder(target) as temporary:
        for top in plan.tops:
            _copy(plan.source / top, temporary / top, compiled=False)
        (temporary / "dvc.yaml").write_text(
            yaml.safe_dump({"stages": plan.stages}, sort_keys=False)
        )
        if (plan.root / ".dvcignore").is_file():
            shutil.copy2(plan.root / ".dvcignore", temporary)
        configure(temporary / ".dvc", target / ".dvc", plan.root)
        write_params(params, temporary / PARAMS)
    return target


def compute(
    plan: Plan,
    params: dict[str, Any],
    workspace: Path,
    show: bool = False,
    tell: Callable[[str], None] = lambda stage: None,
) -> list[StageRun]:
    """Run or restore every stage of a point.

    What the stages print goes to the user where `show`, else to a file in the workspace. `tell` is
    called with the name of each stage before its turn.

    Returns
    -------
    list of StageRun
        In the order of the stages.

    Raises
    ------
    PointError
        A stage failed.
    KeyboardInterrupt
        The user interrupted a stage, of which DVC tells its caller nothing but a failure.
    """
    from dvc.exceptions import DvcException

    log = workspace / EXECUTED
    log.unlink(missing_ok=True)
    runs: list[StageRun] = []
    environment = _stage_environment(plan, log)
    environment |= kept(plan.source, environment)
    with _whole(workspace, plan), _environment(environment):
        for stage in plan.order:
            if ending():
                raise KeyboardInterrupt
            tell(stage)
            output = contextlib.nullcontext() if show else _output_to(workspace / OUTPUT)
            with locked(f"{stage}-{plan.computation(stage, params)}", plan.root), output:
                started = time.monotonic()
                try:
                    reproduce(workspace, stage)
                except DvcException as error:
                    if _interrupted(stage, log, error):
                        raise KeyboardInterrupt from None
                    raise PointError(_reason(stage, workspace, error)) from None
                seconds = time.monotonic() - started
            runs.append(StageRun(stage, bool(_of(stage, log)), round(seconds, 3)))
    return runs


@contextlib.contextmanager
def _whole(workspace: Path, plan: Plan) -> Iterator[None]:
    """Do without what a killed driver may have left half written: dvc.lock, and who holds what.

    DVC writes both in place. What a dvc.lock recorded is restored from the cache; and we hold the
    point, so that nobody else works in its folder.
    """
    busy, lock = workspace / BUSY, workspace / "dvc.lock"
    if busy.exists() or (lock.is_file() and not lock.stat().st_size):
        lock.unlink(missing_ok=True)
        (workspace / ".dvc" / "tmp" / "rwlock").unlink(missing_ok=True)
        outputs = [name for entry in plan.stages.values() for name in outputs_of(entry)]
        without_left_over(workspace, outputs, (workspace / EXECUTED).with_suffix(".lock"))
    busy.touch()
    yield
    busy.unlink(missing_ok=True)  # it stays where something failed: the disk may have been full


def clean(root: Path) -> str:
    """Delete the folders of all points that nobody is computing; one line on what that freed."""
    freed = kept = count = 0
    for folder in sorted((root / SWEEPS / "points").glob("*")):
        try:
            with locked(f"point-{folder.name}", root, wait=False):
                freed += _removed(folder)
                count += 1
        except BlockingIOError:
            kept += 1
    with contextlib.suppress(BlockingIOError), locked("gate", root, wait=False):
        with contextlib.ExitStack() as drivers:
            for file in (root / SWEEPS / "locks").glob("driver-*.lock"):
                drivers.enter_context(locked(file.stem, root, wait=False))
            freed += sum(_removed(root / SWEEPS / n) for n in ("code", "site", "hydra", "runs"))
        for file in (root / SWEEPS / "locks").glob("*-*.lock"):
            with contextlib.suppress(BlockingIOError), locked(file.stem, root, wait=False):
                file.unlink()
    cache = _size(cache_dir(root), links=True)
    in_use = f", {kept} in use were left" if kept else ""
    return (
        f"{count} workspaces deleted{in_use}, {freed / 1e6:.0f} MB freed; the DVC cache "
        f"({cache / 1e6:.0f} MB) and the record of runs were kept"
    )


def _removed(folder: Path) -> int:
    """Delete a folder; the bytes that this freed."""
    size = _size(folder)
    shutil.rmtree(folder, ignore_errors=True)
    return size


def _stage_environment(plan: Plan, log: Path) -> dict[str, str]:
    """Stages import the snapshot, run on the driver's interpreter, and say that they ran."""
    # by the environment: in DVC's file a path may not hold all signs, nor here a dollar
    site = str(plan.root / SWEEPS / "site")
    site = os.environ.get("DVC_SITE_CACHE_DIR") or ("" if "$" in site else site)

    def first(place: Path, variable: str) -> str:
        return os.pathsep.join([str(place), *filter(None, [os.environ.get(variable)])])

    return {
        "PATH": first(Path(sys.executable).parent, "PATH"),
        "PYTHONPATH": first(plan.source, "PYTHONPATH"),
        "PYTHONSAFEPATH": "1",
        STAGE_LOG: str(log),
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": site,
    }


def _reason(stage: str, workspace: Path, error: Exception) -> str:
    """What the stage told, or the system, or DVC."""
    told = [entry["error"] for entry in _of(stage, workspace / EXECUTED) if entry["error"]]
    cause = " ".join(str(error.__cause__ or error).split())
    if cause.endswith(("exited with -9", "exited with 137")):
        cause = killed()
    if not told:  # the cache may be on another disk
        places = [workspace]
        with contextlib.suppress(Exception):
            places.append(cache_dir(workspace))
        cause = told_by_the_system(error, *places) or cause
    return f"stage {stage}: {told[-1] if told else cause}"


def _interrupted(stage: str, log: Path, error: Exception) -> bool:
    left_by_signal = str(error.__cause__ or error).endswith(("exited with -2", "exited with 130"))
    told = any(entry["error"] in (INTERRUPTED, ENDED) for entry in _of(stage, log))
    return ending() or left_by_signal or told


def _of(stage: str, log: Path) -> list[dict[str, Any]]:
    return [entry for entry in logged(log) if entry["stage"] == stage]


def _copy(source: Path, target: Path, compiled: bool = True) -> None:
    """Copy a file or folder with its times (numba's cache goes by them)."""
    if source.is_dir():
        skipped = ["*.tmp"] if compiled else ["*.tmp", "__pycache__"]
        shutil.copytree(source, target, ignore=shutil.ignore_patterns(*skipped))
    else:
        shutil.copy2(source, target)


def _tree_hash(root: Path, names: Iterable[str]) -> str:
    """A hash of the names and bytes of files and folders, compiled files left out."""
    digest = hashlib.blake2b(digest_size=8)
    for name in names:
        top = root / name
        if not top.exists():
            raise PointError(f"dvc.yaml names {name}, which does not exist")
        files = [top] if top.is_file() else sorted(p for p in top.rglob("*") if p.is_file())
        for file in files:
            if "__pycache__" not in file.parts:
                digest.update(file.relative_to(root).as_posix().encode() + b"\0")
                digest.update(hashlib.blake2b(file.read_bytes()).digest())
    return digest.hexdigest()


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _size(folder: Path, links: bool = False) -> int:
    """Bytes of a folder's files; those that have another name elsewhere only where `links`."""
    files = (p.lstat() for p in folder.rglob("*") if p.is_file() and not p.is_symlink())
    return sum(info.st_size for info in files if links or info.st_nlink == 1)


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {key: os.environ.get(key) for key in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value


@contextlib.contextmanager
def _output_to(path: Path) -> Iterator[None]:
    """Send what this process and its children print to a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    with path.open("a") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for copy, number in zip(kept, (1, 2), strict=True):
                os.dup2(copy, number)
                os.close(copy)


if __name__ == "__main__":
    print(clean(Path.cwd()))
