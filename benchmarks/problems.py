"""The screens that are timed, and the ways of testing them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from programde.calibration import skew_normal
from programde.calibration.empirical import empirical_p
from programde.crt.engine import PreparedPopulation, RunOptions, Task, run_tasks
from programde.crt.population import Population, population_of
from programde.crt.results import CRTResult
from programde.crt.samplers import SAMPLERS
from programde.crt.statistics import STATISTICS
from programde.screen.composition import clr
from programde.screen.screen import Screen, Unit


@dataclass(frozen=True)
class Problem:
    """A synthetic screen and the number of resamples."""

    name: str
    n_cells: int
    n_programs: int
    n_targets: int
    n_resamples: int = 1023
    seed: int = 0

    def __str__(self) -> str:
        return (
            f"{self.n_cells:,} cells x {self.n_programs} programs x {self.n_targets} targets, "
            f"B = {self.n_resamples}"
        )


REFERENCE = Problem("reference", 50_000, 70, 300)
SMALL = Problem("small", 5_000, 20, 60)
BIG = Problem("big", 200_000, 100, 500)
TINY = Problem("tiny", 1_500, 6, 6, n_resamples=99)


@functools.lru_cache(maxsize=2)
def screen_of(problem: Problem) -> Screen:
    """The screen of a problem."""
    from programde.io.anndata import screen_from_anndata
    from programde.screen.synthetic import make_sceptre_style_synth

    adata = make_sceptre_style_synth(
        N=problem.n_cells,
        K=problem.n_programs,
        n_target_genes=problem.n_targets,
        seed=problem.seed,
    )
    return screen_from_anndata(adata, usage_key="usage")


def targets_of(screen: Screen, number: int | None = None) -> list[Unit]:
    """Units of the real targets; `number` of them spread evenly, so that all sizes are there."""
    units = [unit for unit in screen.target_units() if unit.name.startswith("GENE")]
    if number is None or number >= len(units):
        return units
    chosen = np.unique(np.linspace(0, len(units) - 1, number).astype(int))
    return [units[i] for i in chosen]


@dataclass(frozen=True)
class Way:
    """A statistic, a sampler, and whether a skew-normal law is fitted."""

    label: str
    statistic: str
    sampler: str
    smooth: bool = False


WAYS = [
    Way("OLS, Bernoulli", "ols", "bernoulli_index"),
    Way("OLS, Bernoulli, skew-normal", "ols", "bernoulli_index", smooth=True),
    Way("U-test, Bernoulli", "utest", "bernoulli_index"),
    Way("OLS, stratified", "ols", "stratified_perm"),
    Way("U-test, stratified", "utest", "stratified_perm"),
]


class Once:
    """A statistic that has been prepared in a population, handed out again and again."""

    def __init__(self, statistic: Any, population: Population):
        self.prepared = statistic.prepare(population)

    def prepare(self, population: Population) -> Any:
        """What was prepared before."""
        return self.prepared


class Ready:
    """Units of a screen with all that is done once per screen done; calling it tests them.

    Parameters
    ----------
    screen
        The screen.
    units
        Units to test in all its cells.
    way
        How.
    n_resamples
        B.
    """

    def __init__(self, screen: Screen, units: Sequence[Unit], way: Way, n_resamples: int):
        self.names = [unit.name for unit in units]
        self.programs = screen.program_names
        self.way, self.n_resamples = way, n_resamples
        population = population_of(screen)
        self.task = Task(
            population=population,
            names=self.names,
            treated=[screen.treated_cells(unit) for unit in units],
            places=list(range(len(units))),
        )
        self.statistic = Once(STATISTICS[way.statistic](), population)

    def options(self, n_jobs: int = 1) -> RunOptions:
        """Options of the engine."""
        return RunOptions(
            self.statistic,
            SAMPLERS[self.way.sampler](),
            n_resamples=self.n_resamples,
            n_jobs=n_jobs,
            progress=False,
            tails=False,
        )

    def prepared(self) -> PreparedPopulation:
        """The engine's own view of the population."""
        return PreparedPopulation(self.task.population, self.options())

    def __call__(self, n_jobs: int = 1) -> tuple[CRTResult, np.ndarray]:
        """Results and p-values (G, K)."""
        result = run_tasks([self.task], self.names, self.programs, self.options(n_jobs))
        if self.way.smooth:
            return result, skew_normal.calibrate(result.effect, result.null).p
        return result, empirical_p(result.null)


def plain_screen(n: int, k: int, p: int, n1: int, n_units: int, seed: int = 0) -> Screen:
    """A screen of normal log-usages whose units have exactly `n1` cells; quick to make."""
    rng = np.random.default_rng(seed)
    logs = rng.normal(size=(n, k))
    usage = np.exp(logs)
    usage /= usage.sum(axis=1, keepdims=True)
    covariates = rng.normal(size=(n, p))
    covariates[:, 0] = 1.0
    cells = np.concatenate([np.sort(rng.choice(n, n1, replace=False)) for _ in range(n_units)])
    ones, ends = np.ones(cells.size, dtype=np.int8), np.arange(n_units + 1) * n1
    names = [f"g{j}" for j in range(n_units)]
    content: dict[str, Any] = {
        "usage": usage,
        "clr": clr(usage),
        "floor": 1e-6,
        "covariates": covariates,
        "covariate_names": [f"c{j}" for j in range(p)],
        "covariate_table": None,
        "batch": None,
        "guides": sparse.csc_matrix((ones, cells, ends), shape=(n, n_units)),
        "guide_names": names,
        "guide_to_target": {name: f"GENE{name}" for name in names},
        "program_names": [f"program_{j}" for j in range(k)],
        "cell_names": [f"c{i}" for i in range(n)],
    }
    return Screen(**content)
