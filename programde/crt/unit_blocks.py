"""Blocks: the units that are tested by one call, and what that call does.

Which units make a block follows from the units alone, never from who tests them: standard errors
are matrix products over a block, and so have the same bytes whatever the number of workers.

Per unit: propensity -> law -> sums of B resamples -> null statistics -> a fixed-size summary, and
both exact tails while the law is at hand. Given covariates (`crt.given_covariates`) exact tails
come without a law of the sampler's, which then is made only where there are draws to be made.
Units that share their control cells go the same way from what those give (`crt.pooled`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import numpy as np

from programde.crt.leaving_out import LeftOut, errors_without, left_out
from programde.crt.max_statistic import max_statistic_p
from programde.crt.null_summary import summarise
from programde.crt.options import RunOptions
from programde.crt.pooled.pooled_block import TOGETHER, PooledTest, run_pooled
from programde.crt.pooled.prepared_pool import PreparedPool, why_plain
from programde.crt.prepared import PreparedPopulation
from programde.crt.protocols import ExactLaw, Law
from programde.crt.results import ResultTable
from programde.crt.statistics.ols import IS_COLLINEAR, PreparedOLS
from programde.crt.tasks import AnyTask, Deferred, Later, Once, Task
from programde.crt.unit_tails import UnitTails, no_tails
from programde.tails.conditional_fit import AtRoot

#: Most units of a block that share a population: they share one pass of the matrix products for
#: standard errors. With fewer than `PIECES` times as many units blocks are smaller, but for
#: `FEWEST`, so that all workers have some.
MOST, FEWEST, PIECES = 64, 8, 16

#: Units that share their control cells.
Sharing = list[tuple[Deferred, PooledTest]]

#: Called for each tested unit with its row, its population, its law and its observed effect (K,):
#: for modules of this package that need more of a law than a result keeps.
Watcher = Callable[[int, PreparedPopulation, Law, np.ndarray], None]


@dataclass(frozen=True, eq=False)
class Block:
    """Units that are tested by one call.

    Attributes
    ----------
    rows
        Their rows in the result.
    test
        Tests them, into a table of these rows.
    shared
        What the block has in common with the next ones.
    """

    rows: list[int]
    test: Callable[[ResultTable], None]
    shared: Once[Any] | None = field(default=None, repr=False)


def blocks_of(
    tasks: Iterable[AnyTask], options: RunOptions, watch: Watcher | None = None
) -> Iterator[Block]:
    """All units in blocks, in order; nothing large is made on the way."""
    plain = why_plain(options, watch is not None)
    shared: Once[PreparedPool] | None = None
    cells: object = None
    for task in _sharing(tasks) if not plain else tasks:
        if isinstance(task, list):
            if shared is None or cells is not task[0][1].own.pool:
                cells = task[0][1].own.pool
                shared = Once(partial(PreparedPool, task[0][1].own.pool, options))
            rows = [deferred.place for deferred, _ in task]
            yield Block(rows, partial(_test_sharing, shared, task, options), shared)
        elif isinstance(task, Deferred):
            yield Block([task.place], partial(_test_alone, task, options, watch))
        else:
            yield from _of_one_population(task, options, watch)


def _of_one_population(
    task: Task | Later, options: RunOptions, watch: Watcher | None
) -> Iterator[Block]:
    def make() -> tuple[PreparedPopulation, Task]:
        built = task.build() if isinstance(task, Later) else task
        return PreparedPopulation(built.population, options), built

    prepared = Once(make)
    rows, n_units = list(task.places), len(task.places)
    size = min(MOST, max(FEWEST, -(-n_units // PIECES)))
    size = -(-n_units // max(1, -(-n_units // size)))  # as many blocks, of equal size
    for begin in range(0, n_units, size or 1):
        units = list(range(begin, min(begin + size, n_units)))
        test = partial(_test_some, prepared, units, watch)
        yield Block([rows[unit] for unit in units], test, prepared)


def _sharing(tasks: Iterable[AnyTask]) -> Iterator[AnyTask | Sharing]:
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


def _test_alone(
    task: Deferred, options: RunOptions, watch: Watcher | None, table: ResultTable
) -> None:
    built = task.build()
    _test_block(PreparedPopulation(built.population, options), built, [0], table, watch)


def _test_sharing(
    shared: Once[PreparedPool], block: Sharing, options: RunOptions, table: ResultTable
) -> None:
    for u in run_pooled(shared(), [test for _, test in block], table):
        _test_alone(block[u][0], options, None, table)


def _test_some(
    prepared: Once[tuple[PreparedPopulation, Task]],
    units: list[int],
    watch: Watcher | None,
    table: ResultTable,
) -> None:
    population, task = prepared()
    if not any(task.without and task.without[unit].size for unit in units):
        _test_block(population, task, units, table, watch)
        return
    for unit in _leaving_out(population, task, units, table):
        assert task.alone is not None
        built = task.alone(unit)
        own = PreparedPopulation(built.population, population.options)
        _test_block(own, built, [0], table, watch)


def _leaving_out(
    population: PreparedPopulation, task: Task, block: Sequence[int], table: ResultTable
) -> list[int]:
    """Effects of units that leave cells out of their population; those that cannot share it."""
    statistic = cast(PreparedOLS, population.statistic)
    found: list[tuple[int, LeftOut]] = []
    own: list[int] = []
    for unit in block:
        row, treated, without = task.places[unit], task.treated[unit], task.without[unit]
        reason = population.why_too_few(treated.size, without.size)
        one = None if reason else left_out(statistic, treated, without)
        if not reason and one is None:
            own.append(unit)
            continue
        if one is not None and one.collinear:
            reason = IS_COLLINEAR
        table.count(row, treated.size, population.population.n_cells - without.size, reason)
        if one is not None and not reason:
            found.append((row, one))
    if found:
        errors = errors_without(statistic, [one for _, one in found])
        people = population.population
        for (row, one), error in zip(found, errors, strict=True):
            table.effect(row, one.effect, error)
            rung = people.rung_of(one.treated.size, one.without.size)
            table.columns(row, people.rungs[rung].size, people.rungs[0].size)
    return own


def _test_block(
    population: PreparedPopulation,
    task: Task,
    block: Sequence[int],
    table: ResultTable,
    watch: Watcher | None,
) -> None:
    testable: list[int] = []
    for unit in block:
        treated = task.treated[unit]
        reason = population.why_untestable(treated)
        table.count(task.places[unit], treated.size, population.population.n_cells, reason)
        if not reason:
            testable.append(unit)
    if not testable:
        return
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
        return  # effects alone: nobody asks for a null law
    given = population.given if options.tails else None
    guesses: list[AtRoot | None] = [None] * len(rows)
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
            return
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
