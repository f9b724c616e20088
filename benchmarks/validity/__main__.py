"""``python -m benchmarks.validity``: null rates and power of all settings, on screens of its own.

Goes on where it was stopped; writes ``benchmarks/results/validity.json``, and the tables and the
picture of ``docs/validity.md``. ``--minutes`` bounds the time, ``--only`` picks generators (by
name) and settings (by a part of their names), ``--table`` computes nothing.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from pathlib import Path

from benchmarks.validity import blocks, page
from benchmarks.validity.generators import GENERATORS
from benchmarks.validity.settings import SETTINGS
from benchmarks.validity.summary import summarise, text_of

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parent / "results" / "validity.json"
FOLDER = HERE.parents[1] / "build" / "validity"
DOCS = HERE.parents[1] / "docs"


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.validity", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="stop then (default 60)")
    parser.add_argument("--only", nargs="+", default=[], metavar="WORD",
                        help="generators by name, settings by a part of theirs")  # fmt: skip
    parser.add_argument("--blocks", type=int, default=60, help="screens per generator (60)")
    parser.add_argument("--jobs", type=int, default=1, help="processes, one thread each (1)")
    parser.add_argument("--folder", type=Path, default=FOLDER, help=f"of the blocks ({FOLDER})")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the summary's file")
    parser.add_argument(
        "--stale", nargs="*", default=[], metavar="REVISION", help="compute blocks of these anew"
    )
    parser.add_argument("--table", action="store_true", help="sum up what is there")
    parser.add_argument("--no-docs", action="store_true", help="leave docs/ as it is")
    parser.add_argument("--list", action="store_true", help="name generators and settings")
    chosen = parser.parse_args(given)
    for name in ("blocks", "jobs"):
        if getattr(chosen, name) < 1:
            parser.error(f"--{name} must be at least 1")
    return chosen


def part(folder: Path, only: list[str], own: list[int], seconds: float, stale: list[str]) -> None:
    """One process's blocks."""
    generators, settings = blocks.chosen(only)
    blocks.run(folder, generators, settings, own, time.monotonic() + seconds, stale)


def main(given: list[str] | None = None) -> int:
    """Compute, sum up, write."""
    chosen = arguments(given)
    if chosen.list:
        print("\n".join(f"{name}: {g.about}" for name, g in GENERATORS.items()))
        print("\n".join(SETTINGS))
        return 0
    blocks.chosen(chosen.only)  # a wrong word is told before anything starts
    if not chosen.table:
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        shares = [list(range(i, chosen.blocks, chosen.jobs)) for i in range(chosen.jobs)]
        seconds = 60 * chosen.minutes
        tasks = [(chosen.folder, chosen.only, own, seconds, chosen.stale) for own in shares]
        if chosen.jobs == 1:
            part(*tasks[0])
        else:
            with multiprocessing.get_context("spawn").Pool(chosen.jobs) as pool:
                pool.starmap(part, tasks, chunksize=1)
    results = summarise(chosen.folder)
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(text_of(results), encoding="utf-8")
    if not chosen.no_docs:
        page.update_docs(results, DOCS)
    print("\n".join(page.default_lines(results)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
