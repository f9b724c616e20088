"""Processor time per target of the saddlepoint calibration on the reference work, by part.

50,000 cells x 70 programs x 9 covariates, about 760 treated cells: propensity, linearisation,
exact cumulants with the Edgeworth screen, and the tails below the screening level; beside it 1,023
draws with the skew-normal fit, in the same run. One thread.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.problems import REFERENCE, Problem, screen_of, targets_of
from programde.calibration import skew_normal
from programde.calibration.saddlepoint import BRANCHES, bernoulli_tails, stratified_tails
from programde.calibration.saddlepoint_bernoulli import BernoulliSums
from programde.calibration.saddlepoint_stratified import StratifiedSums
from programde.crt.engine import Bench, RunOptions
from programde.crt.null_summary import summarise
from programde.crt.population import population_of
from programde.crt.samplers import make_sampler
from programde.crt.statistics import make_statistic


def run(problem: Problem = REFERENCE, n_units: int = 24) -> dict[str, Any]:
    """Milliseconds of processor time per target and part, medians over targets."""
    screen = screen_of(problem)
    units = targets_of(screen, n_units)
    population = population_of(screen)
    treated = [screen.treated_cells(unit) for unit in units]
    result: dict[str, Any] = {"problem": str(problem), "targets": len(units), "ways": []}
    with threadpool_limits(limits=1):
        for statistic in ("ols", "utest"):
            for sampler in ("bernoulli_index", "stratified_perm"):
                options = RunOptions(make_statistic(statistic), make_sampler(sampler))
                result["ways"].append(_way(Bench(population, options), treated, problem))
    return result


def _clock(work) -> tuple[float, Any]:
    begun = time.process_time()
    value = work()
    return 1e3 * (time.process_time() - begun), value


def _way(bench: Bench, treated: list[np.ndarray], problem: Problem) -> dict[str, Any]:
    times: dict[str, list[float]] = {}
    branches = np.zeros(len(BRANCHES), dtype=int)
    bench.columns  # noqa: B018  (made once per population)
    sums_of = _sums_of(bench)
    fit, _ = _clock(lambda: bench.solver.fit(treated))
    fit, fitted = _clock(lambda: bench.solver.fit(treated))
    for round_number in range(2):  # the first compiles
        times = {}
        branches[:] = 0
        for g, places in enumerate(treated):
            milliseconds, law = _clock(
                lambda g=g, places=places: bench.sampler.law(
                    bench.solver.probabilities(fitted.theta[g]), places
                )
            )
            times.setdefault("propensity and law", []).append(milliseconds + fit / len(treated))
            effect = bench.statistic.observed(places)
            milliseconds, _ = _clock(lambda e=effect, law=law: bench.statistic.linearise(e, law))
            times.setdefault("linearisation", []).append(milliseconds)
            milliseconds, _ = _clock(lambda e=effect, law=law: sums_of(e, law))
            times.setdefault("cumulants", []).append(milliseconds)
            milliseconds, tails = _clock(lambda e=effect, law=law: _tails(bench, law, e))
            times.setdefault("linearisation, cumulants, tails", []).append(milliseconds)
            branches += np.bincount(tails.branch, minlength=len(BRANCHES))
            if round_number and g % 4 == 0:
                milliseconds, _ = _clock(
                    lambda e=effect, law=law, g=g: _draws(bench, law, e, f"unit {g}")
                )
                times.setdefault("1,023 draws and skew-normal", []).append(milliseconds)
    median = {part: float(np.median(values)) for part, values in times.items()}
    median["all"] = median["propensity and law"] + median["linearisation, cumulants, tails"]
    return {
        "statistic": bench.options.statistic.name,
        "sampler": bench.options.sampler.name,
        "milliseconds": median,
        "tests per branch": dict(zip(BRANCHES, map(int, branches), strict=True)),
    }


def _sums_of(bench: Bench):
    def build(effect, law):
        line = bench.statistic.linearise(effect, law)
        parts = (line.tau, line.weights, line.threshold)
        if hasattr(law, "p"):
            return BernoulliSums(bench.columns, *parts, law.p)
        return StratifiedSums(bench.columns, *parts, law.order, law.starts, law.totals)

    return build


def _tails(bench: Bench, law, effect):
    line = bench.statistic.linearise(effect, law)
    parts = (line.tau, line.weights, line.threshold)
    if hasattr(law, "p"):
        return bernoulli_tails(bench.columns.T, *parts, law.p, basis=line.basis, bend=line.bend)
    return stratified_tails(bench.columns.T, *parts, law.order, law.starts, law.totals)


def _draws(bench: Bench, law, effect, name):
    null = summarise(bench.null_statistics(law, name), effect)
    return skew_normal.calibrate(effect[None], null, "both")
