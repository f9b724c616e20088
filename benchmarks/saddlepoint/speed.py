"""``python -m benchmarks.saddlepoint.speed``: processor time of the saddlepoint calibration.

The reference work: 50,000 cells x 70 programs x 9 covariates, about 760 treated cells per target,
one thread. First everything that the library's door does for a target without draws (cells, effect,
standard errors, propensity, law, tails, tables), then its parts, and beside them 1,023 draws with
the skew-normal fit.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.measure import machine
from benchmarks.pages import table
from benchmarks.problems import REFERENCE, TINY, Problem, screen_of, targets_of
from programde.calibration import skew_normal
from programde.crt.engine import PreparedPopulation, RunOptions
from programde.crt.null_summary import summarise
from programde.crt.population import population_of
from programde.crt.samplers import make_sampler
from programde.crt.statistics import make_statistic
from programde.tails.bernoulli import BernoulliSums
from programde.tails.exact import BRANCHES, bernoulli_tails, stratified_tails
from programde.tails.permutation import StratifiedSums

from .accuracy_report import update

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parent / "results" / "saddlepoint-speed.json"


def run(problem: Problem = REFERENCE, n_units: int = 24) -> dict[str, Any]:
    """Milliseconds of processor time per target and part, medians over targets."""
    result: dict[str, Any] = {"machine": machine(), "problem": str(problem)}
    with threadpool_limits(limits=1):
        result["door"] = door(problem)
    screen = screen_of(problem)
    units = targets_of(screen, n_units)
    population = population_of(screen)
    treated = [screen.treated_cells(unit) for unit in units]
    result |= {"targets": len(units), "ways": []}
    with threadpool_limits(limits=1):
        for statistic in ("ols", "utest"):
            for sampler in ("bernoulli_index", "stratified_perm"):
                options = RunOptions(make_statistic(statistic), make_sampler(sampler))
                result["ways"].append(
                    _way(PreparedPopulation(population, options), treated, problem)
                )
    return result


def door(problem: Problem, repeats: int = 3) -> dict[str, float]:
    """Milliseconds of processor time per target of `run_all_genes_union_crt(B=0)`, all included.

    All targets of the problem; the smallest of some repeats, which other programs disturb least.
    """
    import programde
    from programde.screen.synthetic import make_sceptre_style_synth

    adata = make_sceptre_style_synth(
        N=problem.n_cells,
        K=problem.n_programs,
        n_target_genes=problem.n_targets,
        seed=problem.seed,
    )
    inputs = programde.prepare_crt_inputs(adata, usage_key="usage")
    genes = [gene for gene in inputs.gene_to_cols if gene.startswith("GENE")]
    found: dict[str, float] = {}
    for statistic in ("ols", "utest"):
        for sampler in ("bernoulli_index", "stratified_perm"):

            def run_door(
                genes: list[str], statistic: str = statistic, sampler: str = sampler
            ) -> object:
                return programde.run_all_genes_union_crt(
                    inputs, genes, B=0, n_jobs=1, resampling_method=sampler,
                    test_stat=statistic, calibration="saddlepoint", progress=False,
                )  # fmt: skip

            run_door(genes[:2])  # compile, or load from the disk cache
            times = [_clock(lambda run=run_door: run(genes))[0] for _ in range(repeats)]
            found[f"{statistic}, {sampler}"] = min(times) / len(genes)
    return found


def _clock(work) -> tuple[float, Any]:
    begun = time.process_time()
    value = work()
    return 1e3 * (time.process_time() - begun), value


def _way(
    population: PreparedPopulation, treated: list[np.ndarray], problem: Problem
) -> dict[str, Any]:
    times: dict[str, list[float]] = {}
    branches = np.zeros(len(BRANCHES), dtype=int)
    population.summands_by_program  # noqa: B018  (made once per population)
    sums_of = _sums_of(population)
    fit, _ = _clock(lambda: population.solver.fit(treated))
    fit, fitted = _clock(lambda: population.solver.fit(treated))
    for round_number in range(2):  # the first compiles
        times = {}
        branches[:] = 0
        for g, places in enumerate(treated):
            milliseconds, law = _clock(
                lambda g=g, places=places: population.sampler.law(
                    population.solver.probabilities(fitted.theta[g]), places
                )
            )
            times.setdefault("propensity and law", []).append(milliseconds + fit / len(treated))
            effect = population.statistic.observed(places)
            milliseconds, _ = _clock(
                lambda e=effect, law=law: population.statistic.linearise(e, law)
            )
            times.setdefault("linearisation", []).append(milliseconds)
            milliseconds, _ = _clock(lambda e=effect, law=law: sums_of(e, law))
            times.setdefault("cumulants", []).append(milliseconds)
            milliseconds, tails = _clock(lambda e=effect, law=law: _tails(population, law, e))
            times.setdefault("linearisation, cumulants, tails", []).append(milliseconds)
            branches += np.bincount(tails.branch, minlength=len(BRANCHES))
            if round_number and g % 4 == 0:
                milliseconds, _ = _clock(
                    lambda e=effect, law=law, g=g: _draws(population, law, e, f"unit {g}")
                )
                times.setdefault("1,023 draws and skew-normal", []).append(milliseconds)
    median = {part: float(np.median(values)) for part, values in times.items()}
    median["all"] = median["propensity and law"] + median["linearisation, cumulants, tails"]
    return {
        "statistic": population.options.statistic.name,
        "sampler": population.options.sampler.name,
        "milliseconds": median,
        "tests per branch": dict(zip(BRANCHES, map(int, branches), strict=True)),
    }


def _sums_of(population: PreparedPopulation):
    def build(effect, law):
        line = population.statistic.linearise(effect, law)
        parts = (line.tau, line.weights, line.threshold)
        if hasattr(law, "p"):
            return BernoulliSums(population.summands_by_program, *parts, law.p)
        return StratifiedSums(
            population.summands_by_program, *parts, law.order, law.starts, law.totals
        )

    return build


def _tails(population: PreparedPopulation, law, effect):
    line = population.statistic.linearise(effect, law)
    parts = (line.tau, line.weights, line.threshold)
    if hasattr(law, "p"):
        return bernoulli_tails(
            population.summands_by_program.T,
            *parts,
            law.p,
            basis=line.basis,
            curvature=line.curvature,
        )
    return stratified_tails(
        population.summands_by_program.T, *parts, law.order, law.starts, law.totals
    )


def _draws(population: PreparedPopulation, law, effect, name):
    null = summarise(population.null_statistics(law, name), effect)
    return skew_normal.calibrate(effect[None], null, "both")


def table_lines(found: dict[str, Any]) -> list[str]:
    """Milliseconds per target, in Markdown."""
    parts = ("propensity and law", "linearisation, cumulants, tails", "1,023 draws and skew-normal")
    rows = []
    for way in found["ways"]:
        name = f"{way['statistic']}, {way['sampler']}"
        numbers = [found["door"][name], *(way["milliseconds"][part] for part in parts)]
        rows.append([name, *(f"{value:.1f}" for value in numbers)])
    return table(["ms per target", "library's door, B = 0", *parts], rows)


def main(given: list[str] | None = None) -> int:
    """Measure, print, keep, and write the table into the page."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.saddlepoint.speed", description=__doc__
    )
    parser.add_argument("--quick", action="store_true", help="a tiny screen, to try the command")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the JSON that is kept")
    parser.add_argument("--no-docs", action="store_true", help="leave docs/ as it is")
    chosen = parser.parse_args(given)
    found = run(TINY if chosen.quick else REFERENCE)
    print("\n".join(table_lines(found)))
    if chosen.quick:
        return 0
    temporary = chosen.out.with_suffix(".tmp")
    temporary.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    os.replace(temporary, chosen.out)
    if not chosen.no_docs:
        update(HERE.parents[1] / "docs" / "saddlepoint.md", "speed", table_lines(found))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
