"""Testing a block of units against one pool of control cells: what `engine` does, from the pool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from programde.crt.pooled.pool_cells import OwnCells
from programde.crt.pooled.pooled_errors import pooled_errors
from programde.crt.pooled.pooled_unit import PooledUnit, UnitOutcome
from programde.crt.pooled.prepared_pool import PreparedPool
from programde.crt.results import ResultTable

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
    for row, unit in zip(rows, units, strict=True):
        p, steps = unit.propensity()
        if p is None:
            table.reason(row, f"propensity did not converge in {steps} steps")
            continue
        table.probability(row, unit.used(p))
    return left


def _why_untestable(prepared: PreparedPool, unit: PooledUnit) -> str:
    options = prepared.options
    if unit.n_controls == 0:
        return "no control cells"
    if unit.treated.size < options.min_treated:
        return f"{unit.treated.size} treated cells, fewer than {options.min_treated}"
    if unit.n_controls < options.min_control:
        return f"{unit.n_controls} control cells, fewer than {options.min_control}"
    return "collinear with the covariates" if unit.collinear else ""
