"""A point's way into MLflow: what cannot be recorded is computed all the same, and recorded later.

python -m pipeline.sweep --record         enter all points that are computed and not recorded
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline.files import read_json, write_json
from pipeline.stages import paths
from pipeline.sweep.database import LATER, absolute, check_database
from pipeline.sweep.points import Point, Request, Settings
from pipeline.sweep.telling import SPEC, Outcome, read_outcome
from pipeline.sweep.tracking import Tracking
from pipeline.sweep.workspace import SWEEPS, StageRun, locked
from programde.errors import ProgramDEError


class Recorder:
    """Records one point; of what goes wrong it keeps the line and lets the work go on.

    Attributes
    ----------
    trouble
        Why the point is not recorded; empty where it is.
    """

    def __init__(self, root: Path, spec: dict[str, Any], point: Point) -> None:
        self.root, self.spec, self.point = root, spec, point
        self.trouble = ""
        self._tracking: Tracking | None = None
        self._run: str | None = None

    def begin(self) -> Any | None:
        """The run of an earlier computation that is finished; else one is begun."""

        def found() -> Any | None:
            tracking = self._record()
            before = tracking.finished(self.point.id, self.spec["parent"])
            if before is None:
                self._run = tracking.start(self.point, self.spec["parent"])
            return before

        return self._try(found)

    def finish(self, workspace: Path, stages: Sequence[StageRun]) -> None:
        """Enter what was computed; the record may have come back meanwhile."""

        def enter() -> None:
            tracking = self._record()
            run = self._run or tracking.start(self.point, self.spec["parent"])
            tracking.finish(run, self.point, workspace, stages)

        self._try(enter)

    def fail(self, message: str) -> None:
        """Enter why the point could not be computed."""
        if self._run is not None:
            self._try(lambda: self._record().fail(str(self._run), message))

    def interrupt(self) -> None:
        """Enter that the point was interrupted."""
        if self._run is not None:
            self._try(lambda: self._record().interrupt(str(self._run)))

    def download(self, run: Any, name: str) -> Path | None:
        """A file that is kept with a run; None where there is none."""
        return self._record().download(run, name)

    def _record(self) -> Tracking:
        if self._tracking is None:
            self._tracking = Tracking(self.root, **self.spec["tracking"])
        return self._tracking

    def _try(self, act: Callable[[], Any]) -> Any:
        try:
            found = act()
        except Exception as error:
            known = isinstance(error, ProgramDEError)
            words = str(error) if known else f"{type(error).__name__}: {error}"
            self.trouble = " ".join(words.split())
            return None
        self.trouble = ""
        return found


def not_recorded(outcomes: Sequence[Outcome]) -> str:
    """The line on points that are computed and not recorded; empty where there are none."""
    lost = [o for o in outcomes if o.unrecorded and o.state == "computed"]
    if not lost:
        return ""
    count = "it is computed and" if len(outcomes) == 1 else f"{len(lost)} points are computed and"
    return f"{count} not recorded: {lost[0].unrecorded}; then: {LATER}"


def record_later(root: Path) -> str:
    """Enter the points of all sweeps that are computed and not recorded; one line on how many.

    What a point computed is taken from its folder in sweeps/points. Where that was deleted, the
    sweep's own command brings it back from the cache, and records it.

    Raises
    ------
    RecordError
        The record cannot be used.
    """
    check_database(absolute(Settings(Request([], [], False), root / "conf").tracking["uri"], root))
    entered, gone = 0, set()
    for folder in sorted((root / SWEEPS / "runs").glob("*")):
        if not (folder / SPEC).is_file():
            continue
        spec = read_json(folder / SPEC)
        tracking = Tracking(root, **spec["tracking"])
        waiting = _waiting(folder, spec, tracking)
        here = [one for one in waiting if _is_computed(_place(root, one[0]))]
        gone |= {point.id for point, _, _ in waiting} - {point.id for point, _, _ in here}
        if not here:
            continue
        opened = spec.get("sweep")
        parent = tracking.open_sweep(**opened) if opened else None
        for point, outcome, file in here:
            with locked(f"point-{point.id}", root):
                stages = [StageRun(**stage) for stage in outcome.stages]
                tracking.finish(tracking.start(point, parent), point, _place(root, point), stages)
            outcome.unrecorded = ""
            write_json(file, asdict(outcome))
            entered += 1
        if parent is not None:
            _close(root, folder, tracking, parent)
    lost = f"; {len(gone)} have no folder any more: run their sweep again" if gone else ""
    return f"{entered} points entered into the record{lost}"


def _waiting(
    folder: Path, spec: dict[str, Any], tracking: Tracking
) -> list[tuple[Point, Outcome, Path]]:
    """The points of a sweep that are computed, and of which the record knows nothing."""
    opened = spec.get("sweep")
    parent = tracking.sweep(opened["sweep"]) if opened else None
    lost = opened is not None and parent is None
    found = []
    for file in sorted(folder.glob("*.outcome.json")):
        outcome = read_outcome(file)
        if outcome.state not in ("computed", "known"):
            continue
        point = Point.load(file.with_name(file.name.replace(".outcome", "")))
        if lost or tracking.finished(point.id, parent) is None:
            found.append((point, outcome, file))
    return found


def _close(root: Path, folder: Path, tracking: Tracking, parent: str) -> None:
    from pipeline.sweep.ranking import rank

    outcomes = [read_outcome(file) for file in folder.glob("*.outcome.json")]
    failed = sum(outcome.state == "failed" for outcome in outcomes)
    refused = [(one.name, one.error) for one in outcomes if one.state == "refused"]
    tracking.close_sweep(parent, failed, len(outcomes), refused)
    with contextlib.suppress(ProgramDEError):
        rank(root, tracking, parent)


def _place(root: Path, point: Point) -> Path:
    return root / SWEEPS / "points" / point.id


def _is_computed(workspace: Path) -> bool:
    return (workspace / paths.METRICS).is_file() and (workspace / paths.REPORT).is_file()
