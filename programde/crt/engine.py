"""The conditional randomization test of many units: blocks of units through one pipeline.

Per unit: propensity -> law -> sums of B resamples -> null statistics -> a fixed-size summary.
Blocks of units are shared out to threads; the compiled kernels release the GIL and all threads
read the same arrays. A unit's result depends on (seed, unit name) and its population alone.

Memory: `programde.crt.memory_need`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from programde.crt.max_statistic import max_statistic_p
from programde.crt.null_summary import NullSummary, summarise
from programde.crt.population import Population
from programde.crt.propensity import PropensityModel, PropensitySolver, call_propensity
from programde.crt.results import CRTResult, ResultTable
from programde.errors import OptionError
from programde.progress import Progress
from programde.streams import stream_key
from programde.threads import worker_count

#: Units per block: shares one pass of the matrix products for standard errors.
BLOCK = 64


@dataclass(frozen=True)
class Task:
    """Units that are tested in one population.

    Attributes
    ----------
    population
        The cells.
    names
        Units' names, from which their random streams are derived.
    treated
        For each unit the places in the population of its treated cells, ascending.
    places
        For each unit its row in the result.
    """

    population: Population
    names: Sequence[str]
    treated: Sequence[np.ndarray]
    places: Sequence[int]


@dataclass(frozen=True)
class Deferred:
    """One unit with a population of its own, made in the thread that tests it."""

    build: Callable[[], Task]


@dataclass(frozen=True)
class RunOptions:
    """How units are tested.

    Parameters
    ----------
    statistic, sampler
        From `statistics` and `samplers`.
    n_resamples
        Number B of resamples; 0 for none (then only effects and exact null moments are at hand).
    seed
        Seed of all random streams.
    propensity
        A user's own propensity model f(C, x) -> p or (p, model); None for the ridge logistic one.
    min_treated, min_control
        Units with fewer treated or control cells are not tested.
    n_jobs
        Threads, as joblib counts them.
    progress
        Whether to show a progress bar; None on interactive terminals only.
    """

    statistic: Any
    sampler: Any
    n_resamples: int = 1023
    seed: int = 123
    propensity: PropensityModel | None = None
    min_treated: int = 1
    min_control: int = 1
    n_jobs: int = 1
    progress: bool | None = None
    stream: str = field(default="crt")

    def __post_init__(self) -> None:
        if self.n_resamples < 0:
            raise OptionError(f"n_resamples={self.n_resamples} must not be negative")
        worker_count(self.n_jobs)


class Bench:
    """A population with everything its units share, made once."""

    def __init__(self, population: Population, options: RunOptions):
        self.population = population
        self.options = options
        self._columns: np.ndarray | None = None
        self._making_columns = threading.Lock()
        if population.n_cells == 0:
            return  # no unit of it is testable
        self.statistic = options.statistic.prepare(population)
        self.sampler = options.sampler.prepare(population)
        self.solver = PropensitySolver(population.covariates, population.intercept)

    @property
    def columns(self) -> np.ndarray:
        """The statistic's summands by program, (K, n) C-ordered, for whoever goes along cells."""
        with self._making_columns:  # threads share the bench: made by the first that asks
            if self._columns is None:
                self._columns = np.ascontiguousarray(self.statistic.summands.T)
            return self._columns

    def why_untestable(self, treated: np.ndarray) -> str:
        """Why a unit cannot be tested, in a few words; empty where it can."""
        n_control = self.population.n_cells - treated.size
        if treated.size == 0:
            return "no treated cells"
        if n_control == 0:
            return "no control cells"
        if treated.size < self.options.min_treated:
            return f"{treated.size} treated cells, fewer than {self.options.min_treated}"
        if n_control < self.options.min_control:
            return f"{n_control} control cells, fewer than {self.options.min_control}"
        return str(self.statistic.why_untestable(treated))

    def laws(self, treated: Sequence[np.ndarray]) -> Iterator[tuple[Any, str]]:
        """Each unit's law, or None with the reason why it has none."""
        if self.options.propensity is not None:
            for places in treated:
                p, _ = call_propensity(self.options.propensity, self.population.covariates, places)
                yield self.sampler.law(p, places), ""
            return
        fit = self.solver.fit(treated)
        for g, places in enumerate(treated):
            if not fit.converged[g]:
                yield None, f"propensity did not converge in {fit.steps[g]} steps"
                continue
            yield self.sampler.law(self.solver.probabilities(fit.theta[g]), places), ""

    def null_statistics(self, law: Any, name: str) -> np.ndarray:
        """The null draws T (B, K) of a unit."""
        key = stream_key(self.options.seed, self.options.stream, name)
        sums, counts = law.sums(self.statistic.rows, self.options.n_resamples, key)
        return self.statistic.finish(sums, counts)


#: Called for each tested unit with (row, bench, law, observed effect (K,)).
Visitor = Callable[[int, Bench, Any, np.ndarray], None]


def run_tasks(
    tasks: Iterable[Task | Deferred],
    names: Sequence[str],
    programs: Sequence[str],
    options: RunOptions,
    visit: Visitor | None = None,
    label: str = "testing",
    condition: Sequence[str] | None = None,
) -> CRTResult:
    """Test units in their populations.

    Parameters
    ----------
    tasks
        Which units in which population; consumed as threads become free, so that populations may
        be made on the way.
    names : G names
        Rows of the result.
    programs : K names
        Columns of the result.
    options
        How to test.
    visit
        Called with each tested unit's law, for calibrations that need it. Called from threads.
    label
        Label of the progress bar.
    condition : G strings, optional
        Level in whose cells each row is tested.

    Returns
    -------
    CRTResult
    """
    from threadpoolctl import threadpool_limits

    table = ResultTable(
        list(names), list(programs), options.n_resamples, list(condition or [""] * len(names))
    )
    workers = worker_count(options.n_jobs)
    with (
        threadpool_limits(limits=1),
        Progress(len(table.units), label, options.progress) as progress,
        ThreadPoolExecutor(max_workers=workers) as pool,
    ):
        running: set[Future[int]] = set()
        try:
            for job in _jobs(tasks, options, table, visit):
                running.add(pool.submit(job))
                # two jobs ahead per worker keep all busy and bound what is held in memory
                while len(running) >= 2 * workers:
                    running = _collect(running, progress)
            while running:
                running = _collect(running, progress)
        except BaseException:
            for future in running:
                future.cancel()
            raise
    return table.result()


def _collect(running: set[Future[int]], progress: Progress) -> set[Future[int]]:
    done, left = wait(running, return_when=FIRST_COMPLETED)
    for future in done:
        progress.advance(future.result())
    return left


def _jobs(
    tasks: Iterable[Task | Deferred], options: RunOptions, table: ResultTable, visit: Visitor | None
) -> Iterator[Callable[[], int]]:
    """Blocks of units as calls without arguments, each returning how many units it did."""
    workers = worker_count(options.n_jobs)
    for task in tasks:
        if isinstance(task, Deferred):

            def alone(build: Callable[[], Task] = task.build) -> int:
                task = build()
                return _test_block(Bench(task.population, options), task, [0], table, visit)

            yield alone
            continue
        bench = Bench(task.population, options)
        # equal blocks, as many for each worker, so that all end together
        n_blocks = workers * -(-len(task.names) // (BLOCK * workers))
        size = max(1, -(-len(task.names) // max(n_blocks, 1)))
        for begin in range(0, len(task.names), size):
            block = list(range(begin, min(begin + size, len(task.names))))

            def shared(bench: Bench = bench, task: Task = task, block: list[int] = block) -> int:
                return _test_block(bench, task, block, table, visit)

            yield shared


def _test_block(
    bench: Bench, task: Task, block: list[int], table: ResultTable, visit: Visitor | None
) -> int:
    testable: list[int] = []
    for unit in block:
        treated = task.treated[unit]
        reason = bench.why_untestable(treated)
        table.count(task.places[unit], treated.size, bench.population.n_cells, reason)
        if not reason:
            testable.append(unit)
    if not testable:
        return len(block)
    treated_of = [task.treated[unit] for unit in testable]
    effects = np.stack([bench.statistic.observed(treated) for treated in treated_of])
    errors = bench.statistic.standard_errors(treated_of, effects)
    for unit, effect, error, (law, reason) in zip(
        testable, effects, errors, bench.laws(treated_of), strict=True
    ):
        row = task.places[unit]
        table.effect(row, effect, error, reason)
        if law is None:
            continue
        if bench.options.n_resamples:
            draws = bench.null_statistics(law, task.names[unit])
            table.null(row, summarise(draws, effect), max_statistic_p(draws, effect))
        if visit is not None:
            visit(row, bench, law, effect)
    return len(block)


__all__ = ["Bench", "CRTResult", "NullSummary", "RunOptions", "Task", "run_tasks"]
