"""The conditional randomization test of many units: blocks of units through one pipeline.

Per unit: propensity -> law -> sums of B resamples -> null statistics -> a fixed-size summary, and
both exact tails while the law is at hand. Given covariates (`crt.given_covariates`) exact tails
come without a law of the sampler's, which then is made only where there are draws to be made.
Units that share their control cells go the same way from what those give (`crt.pooled`).
Blocks of units are shared out to threads; the compiled kernels release the GIL and all threads
read the same arrays. A unit's result depends on (seed, unit name) and its population alone.

Memory: `programde.crt.memory_need`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from typing import cast

import numpy as np

from programde.crt.max_statistic import max_statistic_p
from programde.crt.null_summary import NullSummary, summarise
from programde.crt.options import RunOptions
from programde.crt.pooled.pooled_block import TOGETHER, PooledTest, run_pooled
from programde.crt.pooled.prepared_pool import PreparedPool, why_plain
from programde.crt.population import Population
from programde.crt.prepared import PreparedPopulation
from programde.crt.protocols import ExactLaw, Law
from programde.crt.results import CRTResult, ResultTable
from programde.crt.unit_tails import UnitTails, no_tails
from programde.progress import Progress
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
    """One unit with a population of its own, made in the thread that tests it.

    Attributes
    ----------
    build
        Makes the population.
    pooled
        The unit as one of those that share their control cells; where this is told, the population
        is made only where sharing them does not do (`pooled.prepared_pool`).
    """

    build: Callable[[], Task]
    pooled: PooledTest | None = None


#: Units that share their control cells.
Sharing = list[tuple[Deferred, PooledTest]]

#: Called for each tested unit with its row, its population, its law and its observed effect (K,):
#: for modules of this package that need more of a law than a result keeps.
Watcher = Callable[[int, PreparedPopulation, Law, np.ndarray], None]


def run_tasks(
    tasks: Iterable[Task | Deferred],
    names: Sequence[str],
    programs: Sequence[str],
    options: RunOptions,
    watch: Watcher | None = None,
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
    watch
        Called with each tested unit's law, from threads.
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
        list(names),
        list(programs),
        options.n_resamples,
        list(condition or [""] * len(names)),
        options.tails,
        options.shifts,
    )
    workers = worker_count(options.n_jobs)
    with (
        threadpool_limits(limits=1),
        Progress(len(table.units), label, options.progress) as progress,
        ThreadPoolExecutor(max_workers=workers) as pool,
    ):
        running: set[Future[int]] = set()
        try:
            for job in _jobs(tasks, options, table, watch):
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
    tasks: Iterable[Task | Deferred], options: RunOptions, table: ResultTable, watch: Watcher | None
) -> Iterator[Callable[[], int]]:
    """Blocks of units as calls without arguments, each returning how many units it did."""
    workers = worker_count(options.n_jobs)
    plain = why_plain(options, watch is not None)
    pool: PreparedPool | None = None

    def alone(task: Deferred) -> int:
        built = task.build()
        return _test_block(PreparedPopulation(built.population, options), built, [0], table, watch)

    def together(pool: PreparedPool, block: Sharing) -> int:
        for u in run_pooled(pool, [test for _, test in block], table):
            alone(block[u][0])
        return len(block)

    for task in _sharing(tasks) if not plain else tasks:
        if isinstance(task, list):
            cells = task[0][1].own.pool
            if pool is None or pool.cells is not cells:
                pool = PreparedPool(cells, options)
            yield partial(together, pool, task)
            continue
        if isinstance(task, Deferred):
            yield partial(alone, task)
            continue
        population = PreparedPopulation(task.population, options)
        # equal blocks, as many for each worker, so that all end together
        n_blocks = workers * -(-len(task.names) // (BLOCK * workers))
        size = max(1, -(-len(task.names) // max(n_blocks, 1)))
        for begin in range(0, len(task.names), size):
            block = list(range(begin, min(begin + size, len(task.names))))

            def shared(
                population: PreparedPopulation = population,
                task: Task = task,
                block: list[int] = block,
            ) -> int:
                return _test_block(population, task, block, table, watch)

            yield shared


def _sharing(tasks: Iterable[Task | Deferred]) -> Iterator[Task | Deferred | Sharing]:
    """The tasks, those in a row that share their control cells as lists."""
    waiting: Sharing = []
    for task in tasks:
        test = task.pooled if isinstance(task, Deferred) else None
        ends = test is None or (waiting and waiting[0][1].own.pool is not test.own.pool)
        if waiting and (ends or len(waiting) == TOGETHER):
            yield waiting
            waiting = []
        if isinstance(task, Deferred) and test is not None:
            waiting.append((task, test))
        else:
            yield task
    if waiting:
        yield waiting


def _test_block(
    population: PreparedPopulation,
    task: Task,
    block: list[int],
    table: ResultTable,
    watch: Watcher | None,
) -> int:
    testable: list[int] = []
    for unit in block:
        treated = task.treated[unit]
        reason = population.why_untestable(treated)
        table.count(task.places[unit], treated.size, population.population.n_cells, reason)
        if not reason:
            testable.append(unit)
    if not testable:
        return len(block)
    options, statistic = population.options, population.statistic
    treated_of = [task.treated[unit] for unit in testable]
    effects = np.stack([statistic.observed(treated) for treated in treated_of])
    errors = statistic.standard_errors(treated_of, effects)
    rows = [task.places[unit] for unit in testable]
    if options.shifts:
        table.shifts(rows, population.shifts.of(treated_of, effects, errors))
    rungs = population.population.rungs
    for row, effect, error, treated in zip(rows, effects, errors, treated_of, strict=True):
        table.effect(row, effect, error)
        rung = population.population.rung_of(treated.size)
        table.columns(row, rungs[rung].size, rungs[0].size)
    if not options.n_resamples and not options.tails and watch is None:
        return len(block)  # effects alone: nobody asks for a null law
    given = population.given if options.tails else None
    guesses: list[np.ndarray | None] = [None] * len(rows)
    if given is not None:
        found = given.tails(
            treated_of,
            lambda u: population.propensity(treated_of[u]),
            lambda u, mean: table.probability(rows[u], mean),
            guesses.__setitem__ if options.n_resamples or watch is not None else None,
        )
        for row, tails in zip(rows, found, strict=True):
            table.tails(row, tails)
        if not options.n_resamples and watch is None:
            return len(block)
    unit_tails = UnitTails(population, table.tails)
    for unit, row, effect, treated, (law, reason) in zip(
        testable, rows, effects, treated_of, population.laws(treated_of, guesses), strict=True
    ):
        if law is None:
            table.reason(row, reason)
            continue
        if given is None:
            table.probability(row, law.mean())
        if options.n_resamples:
            draws = population.draws(law, treated, effect, task.names[unit])
            table.null(row, summarise(draws, effect), max_statistic_p(draws, effect))
        if options.tails and given is None:
            reason = no_tails(law)
            if reason:
                table.without_tails(reason)
            else:
                unit_tails.add(row, cast(ExactLaw, law), effect)
        if watch is not None:
            watch(row, population, law, effect)
    unit_tails.finish()
    return len(block)


__all__ = [
    "CRTResult",
    "NullSummary",
    "PreparedPopulation",
    "RunOptions",
    "Task",
    "Watcher",
    "run_tasks",
]
