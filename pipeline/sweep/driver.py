"""The driver of points: `python -m pipeline.sweep key=value ...`, and `-m` for a grid.

    expand the grid, check every point        pipeline/sweep/points.py
    a folder per point, DVC in it             pipeline/sweep/workspace.py
    a run per point                           pipeline/sweep/tracking.py
    the verdict over all points               pipeline/sweep/ranking.py

A point that fails is recorded as failed and the others go on. A sweep that was interrupted and is
started again with the same words goes on where it was. Hydra's launchers decide where points are
computed: one after the other, in several processes (`hydra/launcher=joblib`), or on a cluster.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from pipeline.config.explain import explain
from pipeline.config.params import project_root
from pipeline.config.schema import register
from pipeline.files import read_json, write_json
from pipeline.sweep.launching import scheduled, watching
from pipeline.sweep.points import (
    Point,
    Request,
    Settings,
    expand,
    fill_point,
    make_point,
    read_request,
    share_cores,
    sweep_id,
)
from pipeline.sweep.tracking import Tracking
from pipeline.sweep.workspace import SWEEPS, Plan, compute, driving, lay_out, locked, snapshot
from pipeline.upstream import GRID, patient_collection
from programde.errors import ProgramDEError

#: Folder of the sweep, for points that Hydra's other sweepers think of while it goes on.
FOLDER = "PROGRAMDE_SWEEP"
SPEC = "sweep.json"


@dataclass
class Outcome:
    """How a point ended; kept in a file, so that it survives the process that computed it."""

    name: str
    state: str  # computed, known (it was finished before) or failed
    seconds: float
    executed: list[str]
    error: str = ""
    report: str = ""


def main() -> None:
    """Run the command line."""
    started = time.monotonic()
    register()
    try:
        root = project_root()
        os.environ["HYDRA_FULL_ERROR"] = "1"
        request = read_request(sys.argv[1:])
        settings = Settings(request, root / "conf")
        with driving(root):
            status = drive(root, request, settings, started)
    except ProgramDEError as error:
        status = _complain(str(error))
    except (HydraException, OmegaConfBaseException) as error:
        status = _complain(explain(error, sys.argv[1:], Path.cwd() / "conf"))
    except KeyboardInterrupt:
        status = _complain("interrupted; the same command goes on where this one stopped", 130)
    sys.exit(status)


def drive(root: Path, request: Request, settings: Settings, started: float) -> int:
    """Compute all points of a request; the exit status."""
    plan = snapshot(root)
    listed = settings.sweeper == GRID or not settings.multirun
    points = []
    if listed:
        grid = expand(request, settings, root / "conf")
        points = [make_point(overrides, name, root / "conf", plan) for overrides, name in grid]
        share_cores(points, settings.side_by_side)
    sweep = sweep_id(points or [Point("", [*request.launching, *request.overrides])])
    folder = root / SWEEPS / "runs" / f"{sweep}-{time.time_ns()}"  # the same sweep may run twice
    folder.mkdir(parents=True)
    tracking = Tracking(root, **settings.tracking)
    parent = None
    if settings.multirun:
        command = shlex.join(["python", "-m", "pipeline.sweep", *sys.argv[1:]])
        parent = tracking.open_sweep(sweep, _sweep_name(request, points), command)
    spec: dict[str, Any] = {
        "code": str(plan.source), "parent": parent, "tracking": settings.tracking,
        "n_points": len(points), "n_quick": len(points), "started": time.time(),
    }  # fmt: skip
    write_json(folder / SPEC, spec)
    for number, point in enumerate(points):
        point.save(_file(folder, number))

    try:
        if not settings.multirun:
            work_on(root, folder, _file(folder, 0))
        elif listed:
            known = tracking.finished_under(parent)
            quick = [i for i, point in enumerate(points) if point.error or point.id in known]
            print(f"{len(points)} points, {len(points) - len(quick)} to compute", flush=True)
            for number in quick:
                work_on(root, folder, _file(folder, number))
            write_json(folder / SPEC, {**spec, "n_quick": len(quick), "started": time.time()})
            files = [_file(folder, i) for i in range(len(points)) if i not in quick]
            launching = [*settings.experiment, *request.launching]
            while files:
                files = _launch_all(root, launching, files, tracking, parent)
        else:
            os.environ[FOLDER] = str(folder)
            words = [*request.overrides, *request.launching]
            _launch_all(root, words, folder, tracking, parent)
    except BaseException:
        if parent is not None:
            tracking.interrupt(parent)
        raise
    return _conclude(root, folder, tracking, parent, started)


def _launch_all(
    root: Path,
    overrides: Sequence[str],
    points: list[Path] | Path,
    tracking: Tracking,
    parent: str | None,
) -> list[Path]:
    """Launch points; those whose process died are failed points.

    Parameters
    ----------
    points
        Their files; or the folder of those that a sweeper will think of.

    Returns
    -------
    list of Path
        Points that were not begun, since the launcher gave up when a process died.
    """
    chosen = None
    if isinstance(points, list):
        chosen = f"point={','.join(str(file.relative_to(root)) for file in points)}"
    reason, died = "", list[str]()
    try:
        with contextlib.ExitStack() as around:
            if scheduled(overrides):
                folder = points[0].parent if isinstance(points, list) else points
                around.enter_context(watching(folder, "*.outcome.json", _tell_of))
                died = around.enter_context(patient_collection())
            _launch(root, overrides, chosen)
    except (HydraException, OmegaConfBaseException, ProgramDEError):
        raise
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
    else:
        reason = "; ".join(died)
    files = points if isinstance(points, list) else sorted(points.glob("????.json"))
    lost = [file for file in files if not _outcome(file).is_file()]
    begun = [file for file in lost if file.with_suffix(".begun").exists()]
    for file in begun or lost:
        point = Point.load(file)
        message = f"its process died: {reason or 'no word from it'}"
        tracking.fail(tracking.start(point, parent), message)
        write_json(_outcome(file), asdict(Outcome(point.name, "failed", 0.0, [], message)))
        _tell_of(_outcome(file))
    return [file for file in lost if begun and file not in begun]


def work_on(root: Path, folder: Path, file: Path) -> Outcome:
    """Compute and record the point in `file`, unless it is known; never raises for its sake."""
    spec = read_json(folder / SPEC)
    point = Point.load(file)
    started = time.monotonic()
    tracking = Tracking(root, **spec["tracking"])
    outcome = Outcome(point.name, "failed", 0.0, [], point.error)
    file.with_suffix(".begun").touch()
    run = None
    try:
        if point.error:
            run = tracking.start(point, spec["parent"])
            raise ProgramDEError(point.error)
        with locked(f"point-{point.id}", root):
            workspace = root / SWEEPS / "points" / point.id
            report = workspace / "reports" / "index.html"
            if before := tracking.finished(point.id, spec["parent"]):
                outcome.state = "known"
                if not report.is_file():  # its folder was cleaned: the run keeps a copy
                    report = tracking.download(before, "reports/index.html") or report
            else:
                run = tracking.start(point, spec["parent"])
                plan = Plan(root, Path(spec["code"]))
                workspace = lay_out(plan, point.params, point.id)
                alone = spec["parent"] is None
                told = _telling(folder, spec, point)
                stages = compute(plan, point.params, workspace, show=alone, tell=told)
                tracking.finish(run, workspace, stages)
                outcome.state = "computed"
                outcome.executed = [stage.stage for stage in stages if stage.executed]
    except KeyboardInterrupt:
        if run is not None:
            tracking.interrupt(run)
        raise
    except Exception as error:
        known = isinstance(error, ProgramDEError)
        message = str(error) if known else f"{type(error).__name__}: {error}"
        outcome.state, outcome.error = "failed", " ".join(message.split())
        if run is not None:
            try:
                tracking.fail(run, outcome.error)
            except Exception as second:  # a full disk, say: the others still go on
                outcome.error += f" (and could not be recorded: {second})"
    else:
        outcome.report = str(report)
    outcome.seconds = round(time.monotonic() - started, 2)
    write_json(_outcome(file), asdict(outcome))
    if spec["n_points"] != 1:
        _tell(folder, spec, outcome)
    return outcome


def job(config: DictConfig) -> None:
    """What a launcher calls for each point, in this or another process."""
    register()
    root = Path.cwd()
    if config.point is not None:
        file = Path(config.point)
        work_on(root, file.parent, file)
        return
    folder = Path(os.environ[FOLDER])
    task = HydraConfig.get()
    number = int(task.job.num)
    point = Point(" ".join(task.overrides.task), list(task.overrides.task))
    whole = config.copy()
    with open_dict(whole):
        whole.hydra = OmegaConf.create({"runtime": {"choices": task.runtime.choices}})
    try:
        fill_point(point, whole, Plan(root, Path(read_json(folder / SPEC)["code"])))
    except ProgramDEError as error:
        point.error = str(error)
    point.save(_file(folder, number))
    work_on(root, folder, _file(folder, number))


def _launch(root: Path, overrides: Sequence[str], points: str | None = None) -> None:
    """Hand the points to Hydra's launcher."""
    arguments = [*overrides, "hydra.mode=MULTIRUN"]
    if points is not None:
        arguments += ["hydra.sweeper.params=null", points]
    before = sys.argv
    sys.argv = [before[0], *arguments, "-m"]
    try:
        run: Callable[..., Any] = hydra.main(
            version_base="1.3", config_path=str(root / "conf"), config_name="config"
        )(job)
        run()
    finally:
        sys.argv = before


def _conclude(
    root: Path, folder: Path, tracking: Tracking, parent: str | None, started: float
) -> int:
    """Say how the sweep ended; rank its points; the exit status."""
    outcomes = [Outcome(**read_json(path)) for path in sorted(folder.glob("*.outcome.json"))]
    failed = [outcome for outcome in outcomes if outcome.state == "failed"]
    if parent is None:
        (outcome,) = outcomes
        if failed:
            return _complain(outcome.error)
        print(f"{_work(outcome)} ({_time(outcome.seconds)})\nreport: {outcome.report}")
        return 0
    tracking.close_sweep(parent, len(failed), len(outcomes))
    n_known = sum(outcome.state == "known" for outcome in outcomes)
    n_executed = sum(len(outcome.executed) for outcome in outcomes)
    print(
        f"{len(outcomes)} points in {_time(time.monotonic() - started)}: "
        f"{len(outcomes) - n_known - len(failed)} computed, {n_known} known, {len(failed)} failed; "
        f"{n_executed} stages executed"
    )
    if len(failed) < len(outcomes):
        from pipeline.sweep.ranking import rank

        try:
            print(f"ranking: {rank(root, tracking, parent)}")
        except ProgramDEError as error:
            _complain(f"the points were computed but could not be ranked: {error}")
    for outcome in failed:
        print(f"failed: {outcome.name}: {outcome.error}", file=sys.stderr)
    return 1 if failed else 0


def _tell(folder: Path, spec: dict[str, Any], outcome: Outcome) -> None:
    """One line of progress: n of m, the point, how long, the time left."""
    done = len(list(folder.glob("*.outcome.json")))
    total, quick = spec["n_points"], spec["n_quick"]
    left = ""
    if total and quick < done < total:
        elapsed = time.time() - spec["started"]
        left = f", about {_time(elapsed / (done - quick) * (total - done))} left"
    count = f"[{done}/{total}]" if total else f"[{done}]"
    _passing("")
    print(f"{count} {outcome.name}: {_work(outcome)} ({_time(outcome.seconds)}{left})", flush=True)


def _tell_of(file: Path) -> None:
    """The same for an outcome that another machine has written."""
    _tell(file.parent, read_json(file.parent / SPEC), Outcome(**read_json(file)))


def _telling(folder: Path, spec: dict[str, Any], point: Point) -> Callable[[str], None]:
    """Shows on a terminal what is being computed, until the point's line of progress."""

    def tell(stage: str) -> None:
        done = len(list(folder.glob("*.outcome.json")))
        if spec["n_points"] > 1:
            _passing(f"[{done + 1}/{spec['n_points']}] {point.name}: {stage} ...")

    return tell


def _passing(text: str) -> None:
    """A line that the next one takes the place of; on a terminal only."""
    if sys.stdout.isatty():
        width = shutil.get_terminal_size().columns - 1
        print(f"\r\x1b[K{text[:width]}", end="", flush=True)


def _work(outcome: Outcome) -> str:
    """What was done for a point, in a few words."""
    if outcome.state == "failed":
        return f"FAILED: {outcome.error}"
    if outcome.state == "known":
        return "finished before"
    return f"ran {', '.join(outcome.executed)}" if outcome.executed else "restored from the cache"


def _sweep_name(request: Request, points: Sequence[Point]) -> str:
    """What people call a sweep: its experiment, or what is fixed and what varies."""
    names = [o.split("=", 1)[1] for o in request.overrides if o.startswith("experiment=")]
    values: dict[str, set[str]] = {}
    for point in points:
        for key, _, value in (override.partition("=") for override in point.overrides):
            values.setdefault(key, set()).add(value)
    fixed = {key: next(iter(seen)) for key, seen in values.items() if len(seen) == 1}
    words = [
        Path(value).name if "/" in value else f"{key}={value}"
        for key, value in fixed.items()
        if key not in ("experiment", "data")
    ]
    axes = " x ".join(key for key in values if key not in fixed)
    if names:
        return " ".join([names[0], *words])[:200]
    return (" ".join([*words, axes]).strip() or " ".join(request.overrides) or "sweep")[:200]


def _file(folder: Path, number: int) -> Path:
    return folder / f"{number:04d}.json"


def _outcome(file: Path) -> Path:
    return file.with_suffix(".outcome.json")


def _time(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _complain(message: str, status: int = 1) -> int:
    _passing("")
    print("sweep:", " ".join(message.split()), file=sys.stderr, flush=True)
    return status
