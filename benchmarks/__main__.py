"""``make bench``: how fast, against what, where the time goes, how it grows, how much memory.

Everything is measured in one run and in turns with a plain baseline (`benchmarks.baseline`), so
the ratios hold on any machine. Writes ``benchmarks/results/<name>.json``, and, unless told not to,
the tables of ``docs/benchmarks.md`` and the picture beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from benchmarks.compare import compare, threads
from benchmarks.growth import growth
from benchmarks.measure import machine, say
from benchmarks.memory import peak_memory
from benchmarks.pages import page, update_page
from benchmarks.pieces import bandwidth, limits, pieces
from benchmarks.problems import (
    BIG,
    REFERENCE,
    SMALL,
    TINY,
    WAYS,
    Ready,
    screen_of,
    targets_of,
)

HERE = Path(__file__).resolve().parent
DOCS = HERE.parent / "docs"


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--genes", type=int, default=300, help="genes for ours (default 300)")
    parser.add_argument(
        "--baseline-genes", type=int, default=3, help="genes for the baseline (default 3)"
    )
    parser.add_argument("--repeats", type=int, default=5, help="repeats (default 5)")
    parser.add_argument(
        "--big", action="store_true", help=f"one run of the big screen instead: {BIG}"
    )
    parser.add_argument("--quick", action="store_true", help="a tiny screen, to try the command")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="folder of the JSON")
    parser.add_argument("--no-docs", action="store_true", help="leave docs/ as it is")
    chosen = parser.parse_args(given)
    for name in ("genes", "baseline_genes", "repeats"):
        if getattr(chosen, name) < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1")
    return chosen


def write(results: dict[str, Any], folder: Path, name: str) -> Path:
    """Keep the results as JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    target, temporary = folder / f"{name}.json", folder / f"{name}.json.tmp"
    temporary.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    os.replace(temporary, target)
    return target


def measure_all(chosen: argparse.Namespace) -> dict[str, Any]:
    """Every table."""
    start = time.perf_counter()
    quick = chosen.quick
    problems = [TINY] if quick else [REFERENCE, SMALL]
    main = problems[0]
    repeats = 2 if quick else chosen.repeats
    results: dict[str, Any] = {"machine": machine()}
    results["speed"] = [
        compare(problem, chosen.genes, chosen.baseline_genes, repeats) for problem in problems
    ]
    results["threads"] = threads(main, min(repeats, 3))
    screen = screen_of(main)
    results["pieces"] = []
    for way in (WAYS[1], WAYS[3]):
        say(f"pieces: {way.label}")
        units = targets_of(screen, min(chosen.genes, 20))
        results["pieces"].append(pieces(screen, units, way, main.n_resamples))
    say("speed of the memory")
    widest = max(measured["row_floats"] for measured in results["pieces"])
    results["bandwidth"] = bandwidth(main.n_resamples, widest)
    for measured in results["pieces"]:
        measured["limits"] = limits(measured, results["bandwidth"])
    sizes = {"N": 800, "K": 6, "B": 60, "n1": 40, "G": 2} if quick else None
    results["growth"] = growth([WAYS[0], WAYS[3]], 1 if quick else 3, sizes)
    say("memory, in a process of its own")
    results["memory"] = peak_memory(main, n_jobs=2)
    _finish(results, start)
    return results


def measure_big(chosen: argparse.Namespace) -> dict[str, Any]:
    """One long run over the big screen."""
    start = time.perf_counter()
    problem = TINY if chosen.quick else BIG
    results: dict[str, Any] = {"machine": machine(), "problem": str(problem), "ways": {}}
    screen = screen_of(problem)
    units = targets_of(screen)
    for way in (WAYS[1], WAYS[3]):
        Ready(screen, units[:2], way, 9)()  # compile, or load from the disk cache
        for n_jobs in (1, 2):
            say(f"{problem}: {way.label}, {n_jobs} thread(s)")
            begin = time.perf_counter()
            Ready(screen, units, way, problem.n_resamples)(n_jobs)
            took = time.perf_counter() - begin
            say(f"{took:.1f} s, {1e3 * took / len(units):.1f} ms per gene")
            results["ways"].setdefault(way.label, {})[str(n_jobs)] = took
    results["memory"] = peak_memory(problem, n_jobs=2)
    _finish(results, start)
    return results


def _finish(results: dict[str, Any], start: float) -> None:
    results["machine"]["seconds"] = time.perf_counter() - start
    load = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
    results["machine"]["load_after"] = load


def main(given: list[str] | None = None) -> int:
    """Measure, print, write."""
    chosen = arguments(given)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with threadpool_limits(limits=1):
        if chosen.big:
            results = measure_big(chosen)
            print(json.dumps(results, indent=1))
            print(f"written: {write(results, chosen.out, 'big')}", file=sys.stderr)
            return 0
        results = measure_all(chosen)
    print("\n".join(page(results)))
    name = "quick" if chosen.quick else "reference"
    print(f"written: {write(results, chosen.out, name)}", file=sys.stderr)
    if not (chosen.quick or chosen.no_docs):
        from benchmarks.pictures import draw

        draw(results, DOCS / "benchmarks.png")
        update_page(DOCS / "benchmarks.md", results)
        print(f"written: {DOCS / 'benchmarks.md'} and its picture", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
