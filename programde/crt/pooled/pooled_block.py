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
from programde.crt.pooled.pooled_draws import (
    UnitDraws,
    finish,
    first_order_gamma,
    given_covariates,
)
from programde.crt.pooled.pooled_errors import pooled_errors
from programde.crt.pooled.pooled_sums import PooledEvent, pooled_tails
from programde.crt.pooled.pooled_unit import PooledUnit, UnitOutcome
from programde.crt.pooled.prepared_pool import PreparedPool
from programde.crt.results import ResultTable
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


def run_pooled(
    prepared: PreparedPool, tests: Sequence[PooledTest], table: ResultTable
) -> list[int]:
    """Test units and store what is found; returns which need a population of their own."""
    left: list[int] = []
    testable: list[PooledTest] = []
    units: list[PooledUnit] = []
    for u, test in enumerate(tests):
        if test.own.treated.size == 0 or prepared.pool.n_cells == 0:
            left.append(u)
            continue
        unit = prepared.unit(test.own)
        if prepared.why_plain(unit):
            left.append(u)
            continue
        reason = _why_untestable(prepared, unit)
        table.count(test.row, unit.treated.size, unit.n_cells, reason)
        if not reason:
            testable.append(test)
            units.append(unit)
    if not units:
        return left
    found = [UnitOutcome(unit, prepared.outcome) for unit in units]
    effects = np.stack([one.effect for one in found])
    errors = pooled_errors(prepared.pool, prepared.outcome, units, found)
    rows = [test.row for test in testable]
    table.shifts(rows, prepared.shifts.of(units, effects, errors))
    for row, unit, effect, error in zip(rows, units, effects, errors, strict=True):
        table.effect(row, effect, error)
        table.columns(row, unit.rung_columns.size, unit.kept.size)
    options = prepared.options
    if not options.n_resamples and not options.tails:
        return left  # effects alone: nobody asks for a null law
    given = prepared.given and options.tails
    alone: set[int] = set()
    if given:
        for g, unit in enumerate(units):
            see = partial(table.probability, rows[g])
            tails = _conditional(prepared, unit, found[g], see)
            if tails is None:
                alone.add(g)
            else:
                table.tails(rows[g], tails)
        left += [u for u, test in enumerate(tests) if test.row in {rows[g] for g in alone}]
        if not options.n_resamples:
            return left
    fitted: list[tuple[int, np.ndarray]] = []
    for g, unit in enumerate(units):
        if g in alone:
            continue
        p, steps = unit.propensity()
        if p is None:
            table.reason(rows[g], f"propensity did not converge in {steps} steps")
            continue
        if not given:
            table.probability(rows[g], unit.used(p))
        fitted.append((g, p))
    if options.n_resamples and fitted:
        _draw(prepared, [testable[g].name for g, _ in fitted], units, found, fitted, rows, table)
    if options.tails and not given:
        events = [PooledEvent.of(units[g], found[g], p) for g, p in fitted]
        for (g, _), tails in zip(
            fitted, pooled_tails(prepared.pool, prepared.outcome, events), strict=True
        ):
            table.tails(rows[g], tails)
    return left


def _conditional(
    prepared: PreparedPool,
    unit: PooledUnit,
    found: UnitOutcome,
    see: Callable[[np.ndarray], None],
) -> LogTails | None:
    """Tails given covariates; None where a population of the unit's own is needed."""
    if not unit.known:
        return None
    law = prepared.conditional(unit)
    return None if law.saturated or law.constant else law.tails(unit, found, see)


def _draw(
    prepared: PreparedPool,
    names: Sequence[str],
    units: Sequence[PooledUnit],
    found: Sequence[UnitOutcome],
    fitted: Sequence[tuple[int, np.ndarray]],
    rows: Sequence[int],
    table: ResultTable,
) -> None:
    """Null draws of the units whose propensities were fitted, summarised and stored."""
    options, pool = prepared.options, prepared.pool
    cross: np.ndarray | None = None
    if prepared.given:
        p = np.stack([of[: pool.n_cells] for _, of in fitted])
        cross = cross_products(pool, prepared.outcome.residual, p * (1.0 - p))
    for i, ((g, p), name) in enumerate(zip(fitted, names, strict=True)):
        unit, one = units[g], found[g]
        draws_of = UnitDraws(unit, prepared.rows)
        law = prepared.law(p, draws_of)
        key = stream_key(options.seed, "crt", name)
        drawn = draws_of.sums(law, one.own, options.n_resamples, key)
        if cross is None:
            draws = finish(*drawn, one)
        else:
            gamma = first_order_gamma(unit, one, p, cross[i])
            draws = given_covariates(drawn[0], drawn[1], unit, one, gamma)
        table.null(rows[g], summarise(draws, one.effect), max_statistic_p(draws, one.effect))


def _why_untestable(prepared: PreparedPool, unit: PooledUnit) -> str:
    options = prepared.options
    if unit.n_controls == 0:
        return "no control cells"
    if unit.treated.size < options.min_treated:
        return f"{unit.treated.size} treated cells, fewer than {options.min_treated}"
    if unit.n_controls < options.min_control:
        return f"{unit.n_controls} control cells, fewer than {options.min_control}"
    return "collinear with the covariates" if unit.collinear else ""
