"""Testing a block of units against one pool of control cells: what `engine` does, from the pool."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from programde.crt.max_statistic import max_statistic_p
from programde.crt.null_summary import summarise
from programde.crt.pooled.control_pool import cross_products
from programde.crt.pooled.pool_cells import OwnCells
from programde.crt.pooled.pool_ranks import UnitRanks, rank_tails
from programde.crt.pooled.pooled_draws import (
    UnitDraws,
    finish,
    finish_ranks,
    first_order_gamma,
    given_covariates,
    row_products,
)
from programde.crt.pooled.pooled_errors import pooled_errors
from programde.crt.pooled.pooled_sums import PooledEvent, pooled_tails, summands
from programde.crt.pooled.pooled_unit import PooledUnit, Summed, unit_outcome
from programde.crt.pooled.prepared_pool import PreparedPool
from programde.crt.results import ResultTable
from programde.crt.samplers import StratifiedLaw
from programde.crt.statistics.ols import PreparedOLS
from programde.crt.statistics.utest import PreparedUTest
from programde.streams import stream_key
from programde.tails.log_tails import LogTails

#: Units that share one reading of the control cells.
TOGETHER = 16


@dataclass(frozen=True, eq=False)
class PooledTest:
    """A unit to be tested: its name, its row of the result, its cells."""

    name: str
    row: int
    own: OwnCells


@dataclass(frozen=True, eq=False)
class _Ready:
    """A unit that can be tested, and its outcome or its ranks."""

    place: int
    test: PooledTest
    unit: PooledUnit
    found: Summed | UnitRanks


def run_pooled(
    prepared: PreparedPool, tests: Sequence[PooledTest], table: ResultTable
) -> list[int]:
    """Test units and store what is found; returns which need a population of their own."""
    left: list[int] = []
    ready: list[_Ready] = []
    for place, test in enumerate(tests):
        one = _begin(prepared, place, test, table)
        if isinstance(one, _Ready):
            ready.append(one)
        elif one:
            left.append(place)
    if not ready:
        return left
    _effects(prepared, ready, table)
    options = prepared.options
    if not options.n_resamples and not options.tails:
        return left  # effects alone: nobody asks for a null law
    given = prepared.given and options.tails
    if given:
        alone = [one.place for one in ready if not _conditional(prepared, one, table)]
        left += alone
        ready = [one for one in ready if one.place not in alone]
        if not options.n_resamples:
            return left
    fitted: list[tuple[_Ready, np.ndarray]] = []
    for one in ready:
        p, steps = one.unit.propensity()
        if p is None:
            table.reason(one.test.row, f"propensity did not converge in {steps} steps")
        else:
            fitted.append((one, p))
    tails = options.tails and not given
    independent = prepared.independent
    if options.n_resamples or not independent:
        _draw(prepared, fitted, table, tails and not independent, given)
    if independent and not given:
        for one, p in fitted:
            table.probability(one.test.row, one.unit.used(p))
    if tails and independent:
        _independent_tails(prepared, fitted, table)
    return left


def _begin(
    prepared: PreparedPool, place: int, test: PooledTest, table: ResultTable
) -> _Ready | bool:
    """The unit; else whether it needs a population of its own, which says why it has no result."""
    if test.own.treated.size == 0 or prepared.pool.n_cells == 0:
        return True
    unit = prepared.unit(test.own)
    if prepared.why_plain(unit):
        return True
    reason = _why_untestable(prepared, unit)
    if reason:
        table.count(test.row, unit.treated.size, unit.n_cells, reason)
        return False
    found: Summed | UnitRanks
    if prepared.ranked:
        found = UnitRanks(unit, prepared.ranks)
        if not found.merged:
            return True
    else:
        found = unit_outcome(unit, prepared.outcome)
    table.count(test.row, unit.treated.size, unit.n_cells, "")
    return _Ready(place, test, unit, found)


def _why_untestable(prepared: PreparedPool, unit: PooledUnit) -> str:
    options = prepared.options
    if unit.n_controls == 0:
        return "no control cells"
    if unit.treated.size < options.min_treated:
        return f"{unit.treated.size} treated cells, fewer than {options.min_treated}"
    if unit.n_controls < options.min_control:
        return f"{unit.n_controls} control cells, fewer than {options.min_control}"
    return "collinear with the covariates" if unit.collinear and not prepared.ranked else ""


def _effects(prepared: PreparedPool, ready: Sequence[_Ready], table: ResultTable) -> None:
    units = [one.unit for one in ready]
    outcomes = [one.found for one in ready if isinstance(one.found, Summed)]
    effects = np.stack([one.found.effect for one in ready])
    errors = np.full(effects.shape, np.nan)
    if outcomes:
        errors = pooled_errors(prepared.pool, prepared.outcome, units, outcomes)
    rows = [one.test.row for one in ready]
    if prepared.options.shifts:
        table.shifts(rows, prepared.shifts.of(units, effects, errors))
    for row, unit, effect, error in zip(rows, units, effects, errors, strict=True):
        table.effect(row, effect, error)
        table.columns(row, unit.rung_columns.size, unit.kept.size)


def _conditional(prepared: PreparedPool, one: _Ready, table: ResultTable) -> bool:
    """Store tails given covariates; whether that was possible from the pool."""
    if not one.unit.known:
        return False
    law = prepared.conditional(one.unit)
    if law.saturated or law.constant:
        return False
    see: Callable[[np.ndarray], None] = partial(table.probability, one.test.row)
    tails = law.tails(one.unit, one.found, see)
    if tails is None:
        return False
    table.tails(one.test.row, tails)
    return True


def _independent_tails(
    prepared: PreparedPool, fitted: Sequence[tuple[_Ready, np.ndarray]], table: ResultTable
) -> None:
    """Exact tails under independent draws, given the propensity."""
    events: list[PooledEvent] = []
    for one, p in fitted:
        if isinstance(one.found, UnitRanks):
            table.tails(one.test.row, rank_tails(one.found, p))
        else:
            events.append(PooledEvent.of(one.unit, one.found, p))
    if events:
        found = pooled_tails(prepared.pool, prepared.outcome, events)
        for (one, _), tails in zip(fitted, found, strict=True):
            table.tails(one.test.row, tails)


def _draw(
    prepared: PreparedPool,
    fitted: Sequence[tuple[_Ready, np.ndarray]],
    table: ResultTable,
    tails: bool,
    told: bool,
) -> None:
    """Null draws, and exact tails of permutations; `told`: probabilities are stored already."""
    options, pool = prepared.options, prepared.pool
    crossed: np.ndarray | None = None
    if prepared.given and not prepared.ranked and fitted:
        p = np.stack([of[: pool.n_cells] for _, of in fitted])
        crossed = cross_products(pool, prepared.outcome.residual, p * (1.0 - p))
    for i, (one, p) in enumerate(fitted):
        draws_of = UnitDraws(one.unit)
        law = prepared.law(p, draws_of)
        if isinstance(law, StratifiedLaw) and not told:
            table.probability(one.test.row, law.mean())
        if options.n_resamples:
            key = stream_key(options.seed, "crt", one.test.name)
            with prepared.rows.one() as rows:
                if isinstance(one.found, UnitRanks):
                    rows.fill(one.found)
                shared = draws_of, law, rows.values, options.n_resamples, key
                if isinstance(one.found, UnitRanks):
                    draws = _rank_draws(prepared, one.unit, one.found, p, *shared)
                else:
                    cross = None if crossed is None else crossed[i]
                    draws = _outcome_draws(one.unit, one.found, p, cross, *shared)
            effect = one.found.effect
            table.null(one.test.row, summarise(draws, effect), max_statistic_p(draws, effect))
        if tails:
            assert isinstance(law, StratifiedLaw)
            table.tails(one.test.row, _permutation_tails(prepared, one, law, draws_of))


def _outcome_draws(unit, found, p, cross, draws_of, law, rows, n_draws, key) -> np.ndarray:
    drawn = draws_of.sums(law, rows, found.own, n_draws, key)
    if cross is None:
        return finish(drawn[0], drawn[1], drawn[2], found)
    gamma = first_order_gamma(unit, found, p, cross)
    return given_covariates(drawn[0], drawn[1], unit, found, gamma)


def _rank_draws(prepared, unit, ranks, p, draws_of, law, rows, n_draws, key) -> np.ndarray:
    if not prepared.given:
        sums, counts = draws_of.counted(law, rows, ranks.own, n_draws, key)
        return finish_ranks(sums, counts, unit.n_cells)
    pool, K = unit.pool, ranks.own.shape[1]
    found = ranks.summed(unit.along(row_products(pool, rows, K, None), ranks.own))
    weights = p[: pool.n_cells] * (1.0 - p[: pool.n_cells])
    gamma = first_order_gamma(unit, found, p, row_products(pool, rows, K, weights))
    drawn = draws_of.sums(law, rows, ranks.own, n_draws, key)
    return given_covariates(drawn[0], drawn[1], unit, found, gamma)


def _permutation_tails(
    prepared: PreparedPool, one: _Ready, law: StratifiedLaw, draws_of: UnitDraws
) -> LogTails:
    """Exact tails of a law that permutes cells within strata, from summands that are written out:
    the pool's slots, then the added cells."""
    unit, every = one.unit, np.arange(one.found.own.shape[1])
    order = draws_of.written[law.order]
    law = StratifiedLaw(order, law.starts, law.totals)
    statistic: PreparedOLS | PreparedUTest
    if isinstance(one.found, UnitRanks):
        written = one.found.written(every)
        statistic = PreparedUTest(written.T, unit.written().T)
    else:
        written = summands(prepared.outcome, unit, one.found, every)
        statistic = PreparedOLS(written.T, unit.written().T, written.T)
    event = statistic.linearise(one.found.effect, law)
    return StratifiedLaw.exact_tails(written, [law], [event])[0]
