"""Peak memory of a whole run, in a process of its own: ``python -m benchmarks.memory FOLDER``."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.problems import WAYS, Problem, Ready, screen_of, targets_of
from programde.crt.memory_need import memory_need
from programde.screen.store import load_screen, save_screen


def peak_bytes() -> int:
    """Largest resident size of this process so far."""
    try:
        with open("/proc/self/status", encoding="ascii") as lines:
            for line in lines:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    # counted in kilobytes on Linux, in bytes on macOS
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def measure_here(folder: str, n_draws: int, n_jobs: int) -> dict[str, int]:
    """Load a stored screen, test all its targets, and say what that took."""
    screen = load_screen(folder)
    before = peak_bytes()
    Ready(screen, targets_of(screen), WAYS[1], n_draws)(n_jobs)
    return {"before": before, "peak": peak_bytes()}


def peak_memory(problem: Problem, n_jobs: int) -> dict[str, Any]:
    """Peak resident bytes of testing all targets, in a fresh process; and the formula's bytes."""
    screen = screen_of(problem)
    need = memory_need(
        screen.n_cells,
        screen.n_programs,
        screen.covariates.shape[1],
        problem.n_targets,
        problem.n_resamples,
    )
    with tempfile.TemporaryDirectory() as folder:
        save_screen(screen, Path(folder) / "screen")
        command = [sys.executable, "-m", "benchmarks.memory", f"{folder}/screen"]
        done = subprocess.run(
            [*command, str(problem.n_resamples), str(n_jobs)],
            capture_output=True,
            text=True,
            check=True,
        )
    return {
        "problem": str(problem),
        "n_jobs": n_jobs,
        "formula": need.total(n_jobs),
        **json.loads(done.stdout),
    }


if __name__ == "__main__":
    print(json.dumps(measure_here(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
