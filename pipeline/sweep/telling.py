"""What the driver of points says while they are computed, and how each of them ended."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.files import read_json
from pipeline.sweep.points import Point, Request

SPEC = "sweep.json"


@dataclass
class Outcome:
    """How a point ended; kept in a file, so that it survives the process that computed it."""

    name: str
    state: str  # computed, known (it was finished before), failed, or refused (not allowed)
    seconds: float
    executed: list[str]
    error: str = ""
    report: str = ""
    objective: float = float("-inf")  # what a sweeper that seeks is to make large
    stages: list[dict[str, Any]] = field(default_factory=list)  # of a computed one: each StageRun
    unrecorded: str = ""  # why it could not be recorded


def tell(folder: Path, spec: dict[str, Any], outcome: Outcome) -> None:
    """One line of progress: n of m, the point, how long, the time left."""
    done = len(list(folder.glob("*.outcome.json")))
    total, quick = spec["n_points"], spec["n_quick"]
    left = ""
    if total and quick < done < total:
        elapsed = time.time() - spec["started"]
        left = f", about {duration(elapsed / (done - quick) * (total - done))} left"
    count = f"[{done}/{total}]" if total else f"[{done}]"
    passing("")
    how_long = f"{duration(outcome.seconds)}{left}"
    print(f"{count} {outcome.name}: {work(outcome)} ({how_long})", flush=True)


def tell_of(file: Path) -> None:
    """The same for an outcome that another machine has written."""
    tell(file.parent, read_json(file.parent / SPEC), read_outcome(file))


def read_outcome(file: Path) -> Outcome:
    """An outcome from its file, where minus infinity is null."""
    kept = {key: value for key, value in read_json(file).items() if value is not None}
    return Outcome(**kept)


def telling(folder: Path, spec: dict[str, Any], point: Point) -> Callable[[str], None]:
    """Shows on a terminal what is being computed, until the point's line of progress."""

    def show(stage: str) -> None:
        done = len(list(folder.glob("*.outcome.json")))
        if spec["n_points"] > 1:
            passing(f"[{done + 1}/{spec['n_points']}] {point.name}: {stage} ...")

    return show


def passing(text: str) -> None:
    """A line that the next one takes the place of; on a terminal only."""
    if sys.stdout.isatty():
        width = shutil.get_terminal_size().columns - 1
        print(f"\r\x1b[K{text[:width]}", end="", flush=True)


def complain(message: str, status: int = 1) -> int:
    """One line on what went wrong; the exit status."""
    passing("")
    print("sweep:", " ".join(message.split()), file=sys.stderr, flush=True)
    return status


def work(outcome: Outcome) -> str:
    """What was done for a point, in a few words."""
    if outcome.state in ("failed", "refused"):
        return f"{outcome.state.upper()}: {outcome.error}"
    if outcome.state == "known":
        return "finished before"
    said = f"ran {', '.join(outcome.executed)}" if outcome.executed else "restored from the cache"
    return f"{said}, not recorded" if outcome.unrecorded else said


def sweep_name(request: Request, points: Sequence[Point]) -> str:
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
        if key not in ("experiment", "data") and not key.startswith("tracking.")
    ]
    axes = " x ".join(key for key in values if key not in fixed)
    if names:
        return " ".join([names[0], *words])[:200]
    return (" ".join([*words, axes]).strip() or " ".join(request.overrides) or "sweep")[:200]


def duration(seconds: float) -> str:
    """Seconds, minutes or hours."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
