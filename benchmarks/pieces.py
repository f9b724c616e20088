"""Where the time of a gene goes, and how far the sums are from the memory's speed.

The sampler is timed twice on the same draws: with rows of no width (random numbers alone) and
with the real rows; the difference is the cost of summing.

Two models of the memory, for B n1 inclusions and rows of D float32 numbers. The plain arrangement
reads a row and an accumulator and writes the accumulator, 12 D bytes per inclusion, set against
the speed of adding two arrays of the accumulators' size, B x D, which live in the second-level
cache. No arrangement can do without reading the rows, 4 D bytes per inclusion, set against the
speed of reading from that cache (a dot product); and each row comes from memory once, 4 n D bytes,
set against the speed of copying arrays larger than any cache. The larger of these two is the limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from benchmarks.measure import processor_seconds as best
from benchmarks.measure import spread
from benchmarks.problems import Ready, Way
from programde.calibration import skew_normal
from programde.crt.engine import PreparedPopulation
from programde.crt.max_statistic import max_statistic_p
from programde.crt.null_summary import summarise
from programde.screen.screen import Screen, Unit
from programde.streams import stream_key

PIECES = (
    "propensity",
    "strata",
    "random numbers",
    "sums",
    "closing formula",
    "p-values",
    "omnibus",
    "effect and error",
    "skew-normal",
)


def pieces(screen: Screen, units: Sequence[Unit], way: Way, n_draws: int) -> dict[str, Any]:
    """Milliseconds per gene of each piece, median over genes, and the sizes behind them."""
    ready = Ready(screen, units, way, n_draws)
    population, treated_of = ready.prepared(), ready.task.treated
    fit = population.solver.fit(treated_of)
    statistic = population.statistic
    effects = np.stack([statistic.observed(treated) for treated in treated_of])
    together = {
        "propensity": partial(population.solver.fit, treated_of),
        "effect and error": partial(statistic.standard_errors, treated_of, effects),
    }
    shares = {name: best(work) / len(units) for name, work in together.items()}
    found: dict[str, list[float]] = {name: [] for name in PIECES}
    inclusions: list[int] = []
    for i, name in enumerate(ready.names):
        times, included = _one_gene(
            population, way, treated_of[i], fit.theta[i], effects[i], n_draws, stream_key(0, name)
        )
        for piece in PIECES:
            found[piece].append(1e3 * (times.get(piece, 0.0) + shares.get(piece, 0.0)))
        inclusions.append(included)
    return {
        "way": way.label,
        "milliseconds": {name: spread(values) for name, values in found.items()},
        "inclusions": float(np.median(inclusions)),
        "row_floats": int(statistic.rows.shape[1]),
        "n_cells": int(statistic.rows.shape[0]),
        "n_draws": n_draws,
    }


def _one_gene(
    population: PreparedPopulation,
    way: Way,
    treated: np.ndarray,
    theta: np.ndarray,
    effect: np.ndarray,
    n_draws: int,
    key: np.ndarray,
) -> tuple[dict[str, float], int]:
    """Seconds of each piece of one gene, and the number of inclusions drawn."""
    statistic, rows = population.statistic, population.statistic.rows
    no_rows = np.zeros((rows.shape[0], 0), dtype=np.float32)
    p = population.solver.probabilities(theta)
    law = population.sampler.law(p, treated)
    sums, counts = law.sums(rows, n_draws, key)
    null = statistic.finish(sums, counts)
    summary = summarise(null, effect)
    drawing = best(partial(law.sums, no_rows, n_draws, key))
    times = {
        "propensity": best(partial(population.solver.probabilities, theta)),
        "strata": best(partial(population.sampler.law, p, treated)),
        "random numbers": drawing,
        "sums": max(best(partial(law.sums, rows, n_draws, key)) - drawing, 0.0),
        "closing formula": best(partial(statistic.finish, sums, counts)),
        "p-values": best(partial(summarise, null, effect)),
        "omnibus": best(partial(max_statistic_p, null, effect)),
        "effect and error": best(partial(statistic.observed, treated)),
    }
    if way.smooth:
        times["skew-normal"] = best(partial(skew_normal.calibrate, effect[None], summary))
    return times, int(counts.sum())


def bandwidth(n_draws: int, row_floats: int) -> dict[str, float]:
    """Bytes per second: copying large arrays, and adding arrays of the accumulators' size."""
    large = np.ones(12_000_000)
    target = np.empty_like(large)
    copy = best(lambda: np.copyto(target, large), 5)
    accumulators = np.zeros(n_draws * row_floats, dtype=np.float32)
    others = np.ones_like(accumulators)
    times = 200

    def add() -> None:
        for _ in range(times):
            np.add(accumulators, others, out=accumulators)

    def read() -> None:
        for _ in range(times):
            accumulators.dot(others)

    return {
        "memory_copy": 2 * large.nbytes / copy,
        "cache_add": 3 * accumulators.nbytes * times / best(add, 5),
        "cache_read": 2 * accumulators.nbytes * times / best(read, 5),
    }


def limits(measured: dict[str, Any], speed: dict[str, float]) -> dict[str, float]:
    """Milliseconds per gene that the memory alone would take, and the share of it reached."""
    width = 4 * measured["row_floats"]
    plain = 1e3 * 3 * width * measured["inclusions"] / speed["cache_add"]
    rows = 1e3 * width * measured["inclusions"] / speed["cache_read"]
    memory = 1e3 * width * measured["n_cells"] / speed["memory_copy"]
    sums = measured["milliseconds"]["sums"]["median"]
    return {
        "plain_milliseconds": plain,
        "rows_milliseconds": rows,
        "memory_milliseconds": memory,
        "sums_milliseconds": sums,
        "share_of_limit": max(rows, memory) / sums if sums > 0 else float("nan"),
    }
