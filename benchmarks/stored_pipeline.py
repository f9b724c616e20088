"""``python -m benchmarks.stored_pipeline FILE``: the pipeline on a screen that stays on disk.

The file is one of `benchmarks.large_file`. In a project of its own (the compiled kernels are copied
along) the stages are run by DVC, one after the other: wall-clock and processor time of each, and
the largest resident size of any of its processes. ``--keep`` writes the run to
``benchmarks/results/stored-pipeline.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.measure import machine, say

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "stored-pipeline.json"
STAGES = ("compose", "prepare", "crt", "ntc_null", "calibrate", "diagnostics")
COPIED = ("conf", "pipeline", "programde")


def lay_out(folder: Path, file: Path, memory: str) -> None:
    """A project for the file; times of files are kept, so that compiled kernels serve."""
    folder.mkdir(parents=True)
    for name in COPIED:
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy2(ROOT / "dvc.yaml", folder)
    (folder / ".dvc").mkdir()
    shutil.copy2(ROOT / ".dvc" / "config", folder / ".dvc")
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    for name, old, new in (
        ("config.yaml", "- data: synthetic", "- data: h5ad"),
        ("data/h5ad.yaml", "path: ???", f"path: {file.resolve()}"),
        ("compute/local.yaml", "memory: null", f"memory: {memory}"),
    ):
        path = folder / "conf" / name
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{name} has no {old!r}"
        path.write_text(text.replace(old, new), encoding="utf-8")


def run_stage(folder: Path, stage: str) -> dict[str, float]:
    """One stage by DVC: seconds, seconds of processor, GB at most."""
    words = [sys.executable, "-m", "dvc", "repro", "--single-item", stage]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    began = time.perf_counter()
    child = subprocess.Popen(words, cwd=folder, env={**os.environ, "PATH": path, "CI": "true"})
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{stage} ended with status {child.returncode}")
    return {
        "seconds": round(time.perf_counter() - began, 1),
        "processor_seconds": round(used.ru_utime + used.ru_stime, 1),
        "peak_gb": round(used.ru_maxrss * 1024 / 1e9, 2),
    }


def measure(file: Path, memory: str, folder: Path) -> dict[str, Any]:
    """All stages in a new project."""
    lay_out(folder, file, memory)
    parts = {}
    for stage in STAGES:
        parts[stage] = run_stage(folder, stage)
        say(f"{stage}: {parts[stage]}")
    summary = json.loads((folder / "data/input_report/summary.json").read_text(encoding="utf-8"))
    screen = sum(path.stat().st_size for path in (folder / "data/screen").iterdir())
    return {
        "file_gb": round(file.stat().st_size / 1e9, 2),
        "screen_gb": round(screen / 1e9, 2),
        "memory": memory,
        **{key: summary["numbers"][key] for key in ("cells", "programs", "targets", "guides")},
        "parts": parts,
        "seconds": round(sum(part["seconds"] for part in parts.values()), 1),
        "processor_seconds": round(sum(p["processor_seconds"] for p in parts.values()), 1),
        "peak_gb": max(part["peak_gb"] for part in parts.values()),
    }


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.stored_pipeline", None, __doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--memory", default="4GB")
    parser.add_argument("--folder", type=Path, help="where; must not exist; kept afterwards")
    parser.add_argument("--keep", action="store_true")
    asked = parser.parse_args(words)
    found = {"machine": machine()}
    if asked.folder is not None:
        found |= measure(asked.file, asked.memory, asked.folder)
    else:
        with tempfile.TemporaryDirectory(dir=asked.file.parent) as folder:
            found |= measure(asked.file, asked.memory, Path(folder) / "project")
    text = json.dumps(found, indent=1) + "\n"
    if asked.keep:
        RESULT.write_text(text, encoding="utf-8")
    print(text, end="")


if __name__ == "__main__":
    main(sys.argv[1:])
