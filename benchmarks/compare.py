"""programDE and the plain baseline on the same genes, taken in turns."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from benchmarks import baseline
from benchmarks.measure import alternate, processor_seconds, say, spread
from benchmarks.problems import WAYS, Problem, Ready, Way, screen_of, targets_of
from programde.crt.results import CRTResult
from programde.screen.screen import Unit


def compare(
    problem: Problem,
    n_genes: int,
    n_baseline: int,
    repeats: int,
    ways: Sequence[Way] = tuple(WAYS),
) -> dict[str, Any]:
    """Processor seconds per gene of both, ratio of each repeat, and whether the answers agree.

    Ours: `n_genes` spread evenly over the targets, in one run with one thread, plus the share
    that one target bears of what is done once per screen. The baseline: those `n_baseline` of
    them whose n1 is nearest the mean, one by one, what it does once left out.
    """
    screen = screen_of(problem)
    units = targets_of(screen, n_genes)
    sizes = np.array([screen.treated_cells(unit).size for unit in units])
    typical = np.sort(np.argsort(np.abs(sizes - sizes.mean()), kind="stable")[:n_baseline])
    data = baseline.shared(screen)
    rows = {}
    for way in ways:
        say(f"{problem.name}: {way.label}")
        rows[way.label] = _one_way(problem, way, units, typical, data, repeats)
    return {
        "problem": str(problem),
        "covariates": int(screen.covariates.shape[1]),
        "genes": len(units),
        "baseline_genes": typical.size,
        "repeats": repeats,
        "mean_treated": float(sizes.mean()),
        "ways": rows,
    }


def _one_way(
    problem: Problem,
    way: Way,
    units: Sequence[Unit],
    typical: np.ndarray,
    data: baseline.Shared,
    repeats: int,
) -> dict[str, Any]:
    screen, n_draws = screen_of(problem), problem.n_resamples
    few = [screen.treated_cells(units[i]) for i in typical]
    rng = np.random.default_rng(0)
    answers: dict[str, Any] = {}
    preparing = processor_seconds(partial(Ready, screen, units, way, n_draws))
    ready = Ready(screen, units, way, n_draws)

    def ours() -> None:
        answers["ours"] = ready()

    def plain() -> None:
        answers["plain"] = [baseline.test_gene(data, treated, way, n_draws, rng) for treated in few]

    # compile, or load from the disk cache; import what the baseline uses
    Ready(screen, units[:1], way, 9)()
    baseline.test_gene(data, few[0], way, 9, rng)
    times = alternate({"ours": ours, "plain": plain}, repeats, time.process_time)
    once = preparing / problem.n_targets
    mine = [t / len(units) + once for t in times["ours"]]
    theirs = [t / len(few) for t in times["plain"]]
    return {
        "ours": spread(mine),
        "plain": spread(theirs),
        "ratio": spread([b / a for a, b in zip(mine, theirs, strict=True)]),
        "preparing": preparing,
        "raw": not way.smooth,
        **_agreement(answers["ours"], answers["plain"], typical),
    }


def _agreement(
    ours: tuple[CRTResult, np.ndarray], plain: list[Any], typical: np.ndarray
) -> dict[str, float]:
    """Largest difference of effects, and of p-values in units of their Monte Carlo error."""
    result, p = ours
    effects = np.stack([effect for effect, _ in plain])
    p_plain = np.stack([q for _, q in plain])
    middle = np.clip(0.5 * (p[typical] + p_plain), 1e-3, 1 - 1e-3)
    error = np.sqrt(2 * middle * (1 - middle) / result.null.n_draws)
    return {
        "effect_difference": float(np.abs(result.effect[typical] - effects).max()),
        "p_difference_in_errors": float(np.sqrt((((p[typical] - p_plain) / error) ** 2).mean())),
    }


def threads(problem: Problem, repeats: int, n_genes: int | None = None) -> dict[str, Any]:
    """Wall-clock time of whole runs with one and with two threads, taken in turns."""
    screen = screen_of(problem)
    units = targets_of(screen, n_genes)
    found: dict[str, Any] = {"problem": str(problem), "genes": len(units), "ways": {}}
    for way in (WAYS[0], WAYS[3]):
        say(f"{len(units)} genes with 1 and 2 threads: {way.label}")
        ready = Ready(screen, units, way, problem.n_resamples)
        times = alternate({"one": partial(ready, 1), "two": partial(ready, 2)}, repeats)
        found["ways"][way.label] = {
            "one": spread(times["one"]),
            "two": spread(times["two"]),
            "ratio": spread([a / b for a, b in zip(times["one"], times["two"], strict=True)]),
        }
    return found
