"""The driver of points: `python -m pipeline.sweep key=value ...`, and `-m` for a grid.

    expand the grid, check every point        pipeline/sweep/points.py
    a folder per point, DVC in it             pipeline/sweep/workspace.py
    a run per point                           pipeline/sweep/recorder.py, tracking.py
    the verdict over all points               pipeline/sweep/ranking.py

A point that fails is recorded as failed and the others go on. A sweep that was interrupted and is
started again with the same words goes on where it was. Hydra's launchers decide where points are
computed: one after the other, in several processes (`hydra/launcher=joblib`), or on a cluster.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from pipeline.config.command_line import answered_by_hydra
from pipeline.config.explain import explain
from pipeline.config.params import project_root
from pipeline.config.run_words import on_top_of_run_words
from pipeline.config.schema import register
from pipeline.files import read_json, write_json
from pipeline.signals import Signals, ending
from pipeline.sweep.database import RecordError
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
from pipeline.sweep.recommendation import objective
from pipeline.sweep.record import all_numbers
from pipeline.sweep.recorder import Recorder, not_recorded, record_later
from pipeline.sweep.telling import (
    SPEC,
    Outcome,
    complain,
    duration,
    read_outcome,
    sweep_name,
    tell,
    tell_of,
    telling,
    work,
)
from pipeline.sweep.tracking import Tracking
from pipeline.sweep.workspace import SWEEPS, Plan, compute, driving, lay_out, locked, snapshot
from pipeline.troubles import told_by_the_system
from pipeline.upstream import GRID, patient_collection
from programde.errors import ProgramDEError

#: Folder of the sweep, for points that Hydra's other sweepers think of while it goes on.
FOLDER = "PROGRAMDE_SWEEP"


def main() -> None:
    """Run the command line; a signal reaches the stages that are running."""
    status: list[int] = []
    failure: list[BaseException] = []

    def do() -> None:
        try:
            status.append(work_out())
        except BaseException as error:
            failure.append(error)

    signals = Signals()
    worker = threading.Thread(target=do, daemon=True)
    signals.watch(worker)
    if signals.got:
        told = f"{signals.word()}; the same command goes on where this one stopped"
        complain(told, signals.status)
        if worker.is_alive():  # between two stages: it must not hold the user
            os._exit(signals.status)
        sys.exit(signals.status)
    if failure:
        raise failure[0]
    sys.exit(status[0])


def work_out() -> int:
    """Do what the command line says; the exit status, every mistake told in a line."""
    started = time.monotonic()
    register()
    try:
        root = project_root()
        os.environ["HYDRA_FULL_ERROR"] = "1"
        if answered_by_hydra(sys.argv[1:], root / "conf"):
            return 0
        if sys.argv[1:] == ["--record"]:
            print(record_later(root))
            return 0
        request = read_request(on_top_of_run_words(sys.argv[1:], root / "conf"))
        settings = Settings(request, root / "conf")
        with driving(root):
            return drive(root, request, settings, started)
    except ProgramDEError as error:
        return complain(str(error))
    except (HydraException, OmegaConfBaseException) as error:
        return complain(explain(error, sys.argv[1:], Path.cwd() / "conf"))
    except KeyboardInterrupt:
        if ending():  # whoever was told of the signal says so
            return 130
        return complain("interrupted; the same command goes on where this one stopped", 130)


def drive(root: Path, request: Request, settings: Settings, started: float) -> int:
    """Compute all points of a request; the exit status."""
    plan = snapshot(root)
    listed = settings.sweeper == GRID or not settings.multirun
    points = []
    if listed:
        grid = expand(request, settings, root / "conf")
        points = [make_point(overrides, name, root / "conf", plan) for overrides, name in grid]
        if all(point.error for point in points):  # nothing to compute, and nothing to record
            return _refuse(points)
        share_cores(points, settings.side_by_side)
    sweep = sweep_id(points or [Point("", [*request.launching, *request.overrides])])
    folder = root / SWEEPS / "runs" / f"{sweep}-{time.time_ns()}"  # the same sweep may run twice
    folder.mkdir(parents=True)
    tracking = Tracking(root, **settings.tracking)
    parent = opened = None
    if settings.multirun:
        command = shlex.join(["python", "-m", "pipeline.sweep", *sys.argv[1:]])
        opened = {"sweep": sweep, "name": sweep_name(request, points), "command": command}
        parent = tracking.open_sweep(**opened)
        tracking.mark_killed(parent)
    spec: dict[str, Any] = {
        "code": str(plan.source), "parent": parent, "tracking": settings.tracking,
        "sweep": opened,
        "n_points": len(points), "n_quick": len(points), "started": time.time(),
        "fixed": request.overrides,
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
            with contextlib.suppress(RecordError):
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
                around.enter_context(watching(folder, "*.outcome.json", tell_of))
                died = around.enter_context(patient_collection())
            _launch(root, overrides, chosen)
    except (HydraException, OmegaConfBaseException, ProgramDEError):
        raise
    except Exception as error:
        if ending():  # it was our signal that they died of
            raise KeyboardInterrupt from None
        reason = in_a_line(error, root)
    else:
        reason = "; ".join(died)
    files = points if isinstance(points, list) else sorted(points.glob("????.json"))
    lost = [file for file in files if not _outcome(file).is_file()]
    begun = [file for file in lost if file.with_suffix(".begun").exists()]
    for file in begun or lost:
        point = Point.load(file)
        message = f"its process died: {reason or 'no word from it'}"
        with contextlib.suppress(RecordError):
            tracking.fail(tracking.start(point, parent), message)
        write_json(_outcome(file), asdict(Outcome(point.name, "failed", 0.0, [], message)))
        tell_of(_outcome(file))
    return [file for file in lost if begun and file not in begun]


def work_on(root: Path, folder: Path, file: Path) -> Outcome:
    """Compute and record the point in `file`, unless it is known; never raises for its sake."""
    spec = read_json(folder / SPEC)
    point = Point.load(file)
    started = time.monotonic()
    outcome = Outcome(point.name, "refused", 0.0, [], point.error)
    file.with_suffix(".begun").touch()
    if not point.error:
        _compute(root, folder, spec, point, outcome)
    outcome.seconds = round(time.monotonic() - started, 2)
    write_json(_outcome(file), asdict(outcome))
    if spec["n_points"] != 1:
        tell(folder, spec, outcome)
    return outcome


def _compute(
    root: Path, folder: Path, spec: dict[str, Any], point: Point, outcome: Outcome
) -> None:
    """Compute and record a point; how it ended is written into `outcome`."""
    record = Recorder(root, spec, point)
    try:
        with locked(f"point-{point.id}", root):
            workspace = root / SWEEPS / "points" / point.id
            report = workspace / "reports" / "index.html"
            if before := record.begin():
                outcome.state = "known"
                if not report.is_file():  # its folder was cleaned: the run keeps a copy
                    report = record.download(before, "reports/index.html") or report
            else:
                outcome.state = "failed"  # until it has not
                plan = Plan(root, Path(spec["code"]))
                workspace = lay_out(plan, point.params, point.id)
                alone = spec["parent"] is None
                told = telling(folder, spec, point)
                stages = compute(plan, point.params, workspace, show=alone, tell=told)
                outcome.state = "computed"
                outcome.executed = [stage.stage for stage in stages if stage.executed]
                outcome.stages = [asdict(stage) for stage in stages]
                record.finish(workspace, stages)
            with contextlib.suppress(OSError):  # cleaned, and the copy is on another machine
                outcome.objective = objective(all_numbers(report.parent))
    except KeyboardInterrupt:
        record.interrupt()
        raise
    except Exception as error:
        outcome.state, outcome.error = "failed", in_a_line(error, root)
        record.fail(outcome.error)
    else:
        outcome.report = str(report)
    outcome.unrecorded = record.trouble


def in_a_line(error: Exception, root: Path) -> str:
    """What a point failed of: our own words, those for a full disk, or Python's."""
    known = isinstance(error, ProgramDEError)
    told = str(error) if known else told_by_the_system(error, root)
    return " ".join((told or f"{type(error).__name__}: {error}").split())


def job(config: DictConfig) -> float:
    """What a launcher calls for each point, in this or another process.

    Returns
    -------
    float
        What a sweeper that seeks the best setting is to make large: see `objective`.
    """
    register()
    root = Path.cwd()
    if config.point is not None:
        file = Path(config.point)
        return work_on(root, file.parent, file).objective
    folder = Path(os.environ[FOLDER])
    task = HydraConfig.get()
    number = int(task.job.num)
    spec = read_json(folder / SPEC)
    told = [word for word in task.overrides.task if word not in spec["fixed"]]
    point = Point(" ".join(told or task.overrides.task), list(task.overrides.task))
    whole = config.copy()
    with open_dict(whole):
        whole.hydra = OmegaConf.create({"runtime": {"choices": task.runtime.choices}})
    try:
        fill_point(point, whole, Plan(root, Path(spec["code"])))
    except ProgramDEError as error:
        point.error = str(error)
    point.save(_file(folder, number))
    return work_on(root, folder, _file(folder, number)).objective


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
    outcomes = [read_outcome(path) for path in sorted(folder.glob("*.outcome.json"))]
    of = {
        state: [outcome for outcome in outcomes if outcome.state == state]
        for state in ("computed", "known", "failed", "refused")
    }
    without = [*of["failed"], *of["refused"]]
    if parent is None:
        (outcome,) = outcomes
        if without:
            return complain(outcome.error)
        print(f"{work(outcome)} ({duration(outcome.seconds)})\nreport: {outcome.report}")
        return complain(not_recorded(outcomes)) if outcome.unrecorded else 0
    refused = [(outcome.name, outcome.error) for outcome in of["refused"]]
    with contextlib.suppress(RecordError):
        tracking.close_sweep(parent, len(of["failed"]), len(outcomes), refused)
    counts = [f"{len(of[state])} {state}" for state in ("computed", "known", "failed")]
    counts += [f"{len(refused)} refused"] if refused else []
    print(
        f"{len(outcomes)} points in {duration(time.monotonic() - started)}: {', '.join(counts)}; "
        f"{sum(len(outcome.executed) for outcome in outcomes)} stages executed"
    )
    if len(without) < len(outcomes):
        from pipeline.sweep.ranking import rank

        try:
            print(f"ranking: {rank(root, tracking, parent)}")
        except ProgramDEError as error:
            complain(f"the points were computed but could not be ranked: {error}")
    for outcome in without:
        print(f"{outcome.state}: {outcome.name}: {outcome.error}", file=sys.stderr)
    if unrecorded := not_recorded(outcomes):
        complain(unrecorded)
    return 1 if without or unrecorded else 0


def _refuse(points: Sequence[Point]) -> int:
    """Say why none of the points is allowed; once where all have one reason."""
    if len({point.error for point in points}) == 1:
        return complain(points[0].error)
    for point in points:
        complain(f"{point.name}: {point.error}")
    return 1


def _file(folder: Path, number: int) -> Path:
    return folder / f"{number:04d}.json"


def _outcome(file: Path) -> Path:
    return file.with_suffix(".outcome.json")
