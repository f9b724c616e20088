"""``python -m benchmarks.saddlepoint.null``: are saddlepoint p-values uniform under the null?

Units without effect are drawn in populations of 1,000 cells whose propensity depends strongly on
depth and batch (about 15, 50 and 150 treated cells), 30 programs each: normal, heavy-tailed (5 % of
cells at -13) and zero-inflated, shifted by the same covariates. Each unit goes through the
library's own propensity, law, linearisation and tails; two-sided p-values are counted.

* `bernoulli, true propensity` and `permutation`: treatment is drawn from the very law that is
  tested, so every count should be that of uniform p-values but for chance.
* `bernoulli, estimated propensity` and `permutation, strata by estimated propensity`: treatment is
  drawn by the true propensity and tested by one that is fitted to it, as in use. Nothing promises
  that these are exact; they are reported as they are.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit
from scipy.stats import chi2
from threadpoolctl import threadpool_limits

from benchmarks.pages import table
from programde.crt.engine import PreparedPopulation, RunOptions
from programde.crt.population import Population
from programde.crt.samplers import make_sampler
from programde.crt.statistics import make_statistic
from programde.crt.unit_tails import tails_of
from programde.progress import Progress
from programde.streams import stream_key

from .accuracy_report import update

DESIGNS = {
    "bernoulli, true propensity": "bernoulli_index",
    "bernoulli, estimated propensity": "bernoulli_index",
    "permutation": "stratified_perm",
    "permutation, strata by estimated propensity": "stratified_perm",
}
STATISTICS = ("ols", "utest")
LEVELS = (1e-2, 1e-3, 1e-4, 1e-5)
N_CELLS, N_PROGRAMS, SIZES = 1_000, 30, (15, 50, 150)
_BLOCK = 25  # units that share a population's propensity fit, and a law where they may

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parent / "results" / "saddlepoint-null.json"


def make_population(n1: int, seed: int) -> tuple[Population, np.ndarray]:
    """A population and the propensity (n,) of about n1 treated cells in it."""
    rng = np.random.default_rng([seed, n1])
    depth = rng.standard_normal(N_CELLS)
    batch = rng.integers(0, 3, N_CELLS)
    C = np.column_stack([np.ones(N_CELLS), depth, batch == 1, batch == 2]).astype(np.float64)
    eta = depth + (batch == 1)
    level = brentq(lambda b: expit(b + eta).sum() - n1, -30, 20)
    # programs depend on the covariates each in its own way, so that their tests hardly agree
    shift = np.column_stack([depth, batch == 1]) @ rng.normal(0.0, 0.5, (2, N_PROGRAMS))
    Y = rng.standard_normal((N_CELLS, N_PROGRAMS)) + shift
    kind = np.arange(N_PROGRAMS) % 3
    Y[:, kind == 1] -= 13.0 * (rng.random((N_CELLS, (kind == 1).sum())) < 0.05)
    # half of the cells lie together, far below the others: zeros at the floor after the log-ratio
    zero = rng.random((N_CELLS, (kind == 2).sum())) < expit(-shift[:, kind == 2])
    Y[:, kind == 2] = np.where(zero, -9.0 + 0.3 * Y[:, kind == 2], Y[:, kind == 2])
    names = ["intercept", "depth", "batch 1", "batch 2"]
    basis = np.linalg.qr(C)[0]
    population = Population(None, C, names, basis, Y, expit(Y), batch.astype(object), None)
    return population, expit(level + eta)


def p_values(design: str, statistic: str, number: int, seed: int = 0) -> Iterator[np.ndarray]:
    """At least `number` null p-values, by blocks of units (_BLOCK, N_PROGRAMS)."""
    options = RunOptions(make_statistic(statistic), make_sampler(DESIGNS[design]), 0)
    done = turn = 0
    prepared = None
    while done < number:
        if turn % 20 == 0:  # a new population every twenty blocks
            population, true = make_population(SIZES[turn // 20 % len(SIZES)], seed + turn)
            prepared = PreparedPopulation(population, options)
        assert prepared is not None
        found = _block(prepared, design, true, [seed, turn])
        done += found.size
        turn += 1
        yield found


def _block(
    population: PreparedPopulation, design: str, true: np.ndarray, seed: list[int]
) -> np.ndarray:
    rng = np.random.default_rng([*seed, 7])
    x = rng.random((_BLOCK, true.size)) < true
    treated = [np.flatnonzero(row) for row in x]
    if "estimated" in design:
        fit = population.solver.fit(treated)
        chances = [population.solver.probabilities(theta) for theta in fit.theta]
        laws = [population.sampler.law(p, t) for p, t in zip(chances, treated, strict=True)]
    else:
        laws = [population.sampler.law(true, treated[0])] * _BLOCK
        if design == "permutation":
            key = stream_key(seed[0], "null", str(seed[1]))
            ends, cells = laws[0].indices(_BLOCK, key)
            treated = [np.sort(cells[ends[b] : ends[b + 1]]) for b in range(_BLOCK)]
    found = np.full((_BLOCK, N_PROGRAMS), np.nan)
    for row, places, law in zip(found, treated, laws, strict=True):
        if places.size:
            effect = population.statistic.observed(places)
            row[:] = tails_of(population, law, effect).p_value()
    return found


def interval(count: float, together: float) -> tuple[float, float]:
    """95 % interval of a count's mean: exact for a Poisson count (Garwood 1936, Biometrika 28:437)
    of groups of `together`, the variance of units' counts over their mean (1: independent)."""
    count /= together
    low = chi2.ppf(0.025, 2 * count) / 2.0 if count else 0.0
    return float(together * low), float(together * chi2.ppf(0.975, 2 * count + 2) / 2.0)


def run(chosen: argparse.Namespace) -> dict[str, Any]:
    """Counts of every design and statistic that are not kept already."""
    kept: dict[str, Any] = {}
    if chosen.out.exists():
        kept = json.loads(chosen.out.read_text(encoding="utf-8"))
    ways = [(design, statistic) for design in DESIGNS for statistic in STATISTICS]
    with Progress(len(ways) * chosen.number, "p-values", show=True) as bar:
        for design, statistic in ways:
            name = f"{design}; {statistic}"
            if kept.get(name, {}).get("asked") == chosen.number:
                bar.advance(chosen.number)
                continue
            begun = time.process_time()
            counts = np.zeros(len(LEVELS), dtype=int)
            squares = np.zeros(len(LEVELS), dtype=int)
            total = units = 0
            for found in p_values(design, statistic, chosen.number):
                p = found[np.isfinite(found)]
                total += p.size
                units += len(found)
                with np.errstate(invalid="ignore"):
                    hits = np.array([(found <= level).sum(axis=1) for level in LEVELS])
                counts += hits.sum(axis=1)
                squares += (hits**2).sum(axis=1)
                bar.advance(found.size)
            kept[name] = {
                "asked": chosen.number,
                "p_values": total,
                "units": units,
                "counts": counts.tolist(),
                "squares": squares.tolist(),
                "seconds": round(time.process_time() - begun, 1),
            }
            chosen.out.parent.mkdir(parents=True, exist_ok=True)
            temporary = chosen.out.with_suffix(".tmp")
            temporary.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
            os.replace(temporary, chosen.out)
    return kept


def table_lines(kept: dict[str, Any]) -> list[str]:
    """Counts over what uniform p-values would give, with 95 % intervals."""
    rows = []
    for name, found in kept.items():
        design, statistic = name.split("; ")
        cells = []
        for level, count, square in zip(LEVELS, found["counts"], found["squares"], strict=True):
            expected = level * found["p_values"]
            together = square / count - count / found["units"] if count else 1.0
            low, high = (end / expected for end in interval(count, max(together, 1.0)))
            cells.append(f"{count / expected:.3f} ({low:.3f} to {high:.3f})")
        rows.append([design, statistic, f"{found['p_values']:,}", *cells])
    return table(
        ["treatment, law", "statistic", "p-values", *[f"p <= {level:.0e}" for level in LEVELS]],
        rows,
    )


def main(given: list[str] | None = None) -> int:
    """Simulate, print the table, write it into the page."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.saddlepoint.null", description=__doc__
    )
    parser.add_argument(
        "--p-values", type=int, default=1_000_000, dest="number", help="of each kind (default 1e6)"
    )
    parser.add_argument("--out", type=Path, default=RESULTS, help="the JSON that is kept")
    parser.add_argument("--no-docs", action="store_true", help="leave docs/ as it is")
    chosen = parser.parse_args(given)
    with threadpool_limits(limits=1):
        kept = run(chosen)
    print("\n".join(table_lines(kept)))
    if not chosen.no_docs:
        update(HERE.parents[1] / "docs" / "saddlepoint.md", "null", table_lines(kept))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
