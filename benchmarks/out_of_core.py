"""``python -m benchmarks.out_of_core FILE``: from an h5ad on disk to a table of results.

The file is one of `benchmarks.large_file`. Reads it, tests all targets with draws and exact tails
given covariates, makes p-values and writes the tidy table, by the library alone; with the largest
resident memory, wall-clock and processor time of each part. ``--keep`` writes the run to
``benchmarks/results/out-of-core.json``.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.measure import machine, say
from benchmarks.memory import peak_bytes
from programde.analysis.calibrate import calibrate
from programde.analysis.tables import results_table
from programde.analysis.targets import run_targets
from programde.crt.options import RunOptions
from programde.crt.samplers import Bernoulli
from programde.crt.statistics import OLS
from programde.io import read_h5ad
from programde.memory import memory_bytes

RESULT = Path(__file__).resolve().parent / "results" / "out-of-core.json"


class Clock:
    """Seconds, processor seconds and peak memory of one part after another."""

    def __init__(self) -> None:
        self.parts: dict[str, dict[str, float]] = {}
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def lap(self, name: str) -> None:
        """End a part."""
        wall, cpu = time.perf_counter(), time.process_time()
        self.parts[name] = {
            "seconds": round(wall - self._wall, 1),
            "processor_seconds": round(cpu - self._cpu, 1),
            "peak_gb": round(peak_bytes() / 1e9, 2),
        }
        say(f"{name}: {self.parts[name]}")
        self._wall, self._cpu = wall, cpu


def measure(
    file: Path, memory: str, n_targets: int | None, n_jobs: int, n_resamples: int, formula: str
) -> dict[str, Any]:
    """Read, test and write; what that took."""
    clock = Clock()
    screen = read_h5ad(file, memory=memory, formula=formula)
    clock.lap("read")
    targets = [name for name in screen.target_columns() if name != "non-targeting"]
    options = RunOptions(
        OLS(), Bernoulli(), n_resamples=n_resamples, n_jobs=n_jobs, progress=False, memory=memory
    )
    result = run_targets(screen, options, ntc_labels="non-targeting", targets=targets[:n_targets])
    clock.lap("tests")
    with tempfile.TemporaryDirectory() as folder:
        table = results_table(result, calibrate(result, "saddlepoint"))
        path = Path(folder) / "results.parquet"
        table.to_parquet(path)
        size = path.stat().st_size
    clock.lap("p-values and table")
    parts = clock.parts.values()
    return {
        "file_gb": round(file.stat().st_size / 1e9, 2),
        "cells": screen.n_cells,
        "programs": screen.n_programs,
        "targets": len(result.units),
        "treated_median": float(sorted(result.n_treated)[len(result.units) // 2]),
        "covariate_columns": screen.covariates.shape[1],
        "n_resamples": n_resamples,
        "threads": n_jobs,
        "memory": memory_bytes(memory),
        "parts": clock.parts,
        "seconds": round(sum(part["seconds"] for part in parts), 1),
        "processor_seconds": round(sum(part["processor_seconds"] for part in parts), 1),
        "peak_gb": round(peak_bytes() / 1e9, 2),
        "rows": len(table),
        "parquet_mb": round(size / 1e6, 1),
        "discoveries": int((table["q_value"] <= 0.1).sum()) if "q_value" in table else None,
    }


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.out_of_core", None, __doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--memory", default="4GB")
    parser.add_argument("--targets", type=int, default=None)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--draws", type=int, default=1023)
    parser.add_argument("--formula", default="auto")
    parser.add_argument("--keep", action="store_true")
    a = parser.parse_args(words)
    found = {"machine": machine()}
    found |= measure(a.file, a.memory, a.targets, a.threads, a.draws, a.formula)
    text = json.dumps(found, indent=1) + "\n"
    if a.keep:
        RESULT.write_text(text, encoding="utf-8")
    print(text, end="")


if __name__ == "__main__":
    main(sys.argv[1:])
