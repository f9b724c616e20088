"""``python -m benchmarks.default_speed``: what a target costs with default settings.

The reference work, 50,000 cells x 70 programs, about 760 treated cells per target, laws given the
covariates, for both statistics: with 9 covariates, and with the 37 columns that ``auto`` makes of
them; by exact tails alone, and with 1,023 draws beside them. A target's whole way is timed, from
its cells to its results, in blocks of 19 as the engine tests them; what the first block makes for
all (`once`) stands for itself. Processor time of one thread. Then where the time goes: by parts.

Writes ``benchmarks/results/default-speed.json`` and the tables of ``docs/conditional.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.measure import machine, say, spread
from benchmarks.pages import table
from benchmarks.problems import REFERENCE, TINY, Problem, targets_of
from benchmarks.saddlepoint.accuracy_report import update
from programde.crt.engine import RunOptions, Task
from programde.crt.population import population_of
from programde.crt.prepared import PreparedPopulation
from programde.crt.results import ResultTable
from programde.crt.samplers import make_sampler
from programde.crt.statistics import make_statistic
from programde.crt.unit_blocks import blocks_of
from programde.screen.screen import Screen
from programde.tails.conditional import ConditionalLaw
from programde.tails.conditional_fit import UnitFit
from programde.tails.covariate_strata import strata_of
from programde.tails.formulas import CONDITIONAL

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "default-speed.json"
DOCS = HERE.parent / "docs"
STATISTICS = ("ols", "utest")
#: Models of the covariates, and the milliseconds that a target may take: tails, with draws too.
MODELS = {"linear": (8.0, None), "auto": (20.0, 35.0)}
#: Blocks of targets that are timed after the first, which makes what all share; without and with
#: draws.
BLOCKS, N_DRAWS = (4, 2), 1023


@lru_cache(maxsize=1)
def screen_of(problem: Problem, formula: str) -> Screen:
    """The screen of a problem, its covariates by a formula."""
    from programde.io.anndata import screen_from_anndata
    from programde.screen.synthetic import make_sceptre_style_synth

    adata = make_sceptre_style_synth(
        N=problem.n_cells,
        K=problem.n_programs,
        n_target_genes=problem.n_targets,
        seed=problem.seed,
    )
    return screen_from_anndata(adata, usage_key="usage", formula=formula)


def options_of(statistic: str, n_draws: int) -> RunOptions:
    """The defaults, with so many draws."""
    sampler = make_sampler("bernoulli_index")
    return RunOptions(make_statistic(statistic), sampler, n_draws, progress=False)


def _clock(work: Callable[[], Any]) -> tuple[float, Any]:
    begun = time.process_time()
    value = work()
    return 1e3 * (time.process_time() - begun), value


def whole(screen: Screen, statistic: str, n_draws: int, n_blocks: int) -> dict[str, Any]:
    """Milliseconds per target, quartiles over blocks, and those that the first block takes once."""
    units, options = targets_of(screen), options_of(statistic, n_draws)
    task = Task(
        population=population_of(screen),
        names=[unit.name for unit in units],
        treated=[screen.treated_cells(unit) for unit in units],
        places=list(range(len(units))),
    )
    all_of = ResultTable(
        list(task.names), screen.program_names, n_draws, [""] * len(units), True, True
    )
    times: list[float] = []
    sizes: list[int] = []
    for block in islice(blocks_of([task], options), 1 + n_blocks):
        took, _ = _clock(lambda block=block: block.test(all_of.block(block.rows)))
        times.append(took)
        sizes.append(len(block.rows))
    per = [took / size for took, size in zip(times[1:], sizes[1:], strict=True)]
    return {
        "targets": sum(sizes[1:]),
        "n1": float(np.mean([treated.size for treated in task.treated])),
        "milliseconds": spread(per),
        "once": times[0] - sizes[0] * float(np.median(per)),
    }


def parts(screen: Screen, statistic: str, n_targets: int = 32, group: int = 16) -> dict[str, Any]:
    """Milliseconds per target of each part without draws, medians over groups of targets."""
    population = PreparedPopulation(population_of(screen), options_of(statistic, 0))
    people, prepared = population.population, population.statistic
    treated_of = [screen.treated_cells(unit) for unit in targets_of(screen, n_targets)]
    assert population.given is not None
    law: ConditionalLaw = population.given._law(0)
    found: dict[str, list[float]] = {}
    passes, tests = [], []

    def part(name: str, work: Callable[[], Any], share: int) -> Any:
        took, value = _clock(work)
        found.setdefault(name, []).append(took / share)
        return value

    for _ in range(2):  # the first compiles
        found.clear()
        passes.clear()
        tests.clear()
        for begin in range(0, len(treated_of), group):
            some = treated_of[begin : begin + group]
            U = len(some)
            effects = np.stack(part("effects", partial(_each, prepared.observed, some), U))
            errors = part("errors", partial(prepared.standard_errors, some, effects), U)
            part("other scales", partial(population.shifts.of, some, effects, errors), U)
            fits = part("fit", partial(_each, partial(UnitFit, law.strata), some), U)
            moments = part("first-order sums", partial(_four_by_four, law, fits), U)
            tails = part("tests", partial(_each, law._tails, fits, moments), U)
            passes += [fit.passes for fit in fits]
            tests += [int((one.branch == CONDITIONAL).sum()) for one in tails]
    return {
        "milliseconds": {name: spread(values) for name, values in found.items()},
        "passes": float(np.mean(passes)),
        "conditional tests": float(np.mean(tests)),
        "columns": int(people.covariates.shape[1]),
        "strata": list(strata_of(people.covariates).shape),
    }


def _each(work: Callable[..., Any], *values: Any) -> list[Any]:
    return [work(*own) for own in zip(*values, strict=True)]


def _four_by_four(law: ConditionalLaw, fits: list[UnitFit]) -> list[Any]:
    """First-order moments, four units in a reading of the summands, as the law has it."""
    found: list[Any] = []
    for begin in range(0, len(fits), 4):
        found += law._moments(fits[begin : begin + 4])
    return found


def run(problem: Problem, repeats: int, only: list[str]) -> dict[str, Any]:
    """All numbers."""
    result: dict[str, Any] = {"machine": machine(), "problem": str(problem), "ways": []}
    with threadpool_limits(limits=1):
        for formula, (tails, drawn) in MODELS.items():
            if set(only) & set(MODELS) and formula not in only:
                continue
            screen = screen_of(problem, formula)
            for statistic in STATISTICS:
                if set(only) & set(STATISTICS) and statistic not in only:
                    continue
                say(f"{formula}, {statistic}")
                row: dict[str, Any] = {"covariates": formula, "statistic": statistic}
                row["parts"] = parts(screen, statistic)
                for n_draws, most, n_blocks in ((0, tails, BLOCKS[0]), (N_DRAWS, drawn, BLOCKS[1])):
                    if n_draws and "tails" in only:
                        continue
                    every = [whole(screen, statistic, n_draws, n_blocks) for _ in range(repeats)]
                    best = min(every, key=lambda one: one["milliseconds"]["median"])
                    row[f"{n_draws} draws"] = best | {"at most": most}
                result["ways"].append(row)
    result["machine"]["load_after"] = round(os.getloadavg()[0], 2)
    return result


def whole_lines(result: dict[str, Any]) -> list[str]:
    """Milliseconds of whole targets."""
    rows = []
    for way in result["ways"]:
        cells = []
        for key in ("0 draws", f"{N_DRAWS} draws"):
            if key not in way:
                cells.append("")
                continue
            own = way[key]["milliseconds"]
            cells.append(f"{own['median']:.1f} ({own['low']:.1f} to {own['high']:.1f})")
        once = way["0 draws"]["once"] / 1e3
        rows.append([way["statistic"], str(way["parts"]["columns"]), *cells, f"{once:.1f}"])
    head = ["ms per target", "columns", "exact tails", f"with {N_DRAWS:,} draws", "once, s"]
    on = result["machine"]
    told = f"Revision {on['commit']}, load of the two cores {on['load_before']:.1f}"
    return [
        *table(head, rows),
        "",
        f"{told} at the beginning and {on['load_after']:.1f} at the end.",
    ]


def part_lines(result: dict[str, Any]) -> list[str]:
    """Milliseconds of parts."""
    names = list(result["ways"][0]["parts"]["milliseconds"])
    head = [f"{way['statistic']}, {way['parts']['columns']} columns" for way in result["ways"]]
    rows = [
        [name, *[f"{way['parts']['milliseconds'][name]['median']:.1f}" for way in result["ways"]]]
        for name in names
    ]
    rows.append(
        ["tests of 70", *[f"{way['parts']['conditional tests']:.1f}" for way in result["ways"]]]
    )
    return table(["ms per target", *head], rows)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.default_speed", description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=[], help="linear, auto; ols, utest; tails")
    parser.add_argument("--quick", action="store_true", help="a tiny screen, to try the command")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--no-docs", action="store_true", help="leave docs/ as it is")
    chosen = parser.parse_args()
    problem = TINY if chosen.quick else REFERENCE
    result = run(problem, chosen.repeats, chosen.only)
    print("\n".join([*whole_lines(result), "", *part_lines(result)]))
    if chosen.quick or chosen.only:
        return
    chosen.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if not chosen.no_docs:
        page = DOCS / "conditional.md"
        update(page, "default speed", whole_lines(result))
        update(page, "default parts", part_lines(result))


if __name__ == "__main__":
    main()
