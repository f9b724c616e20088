"""A pool of control cells with everything that the units compared with them share."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from programde.crt.options import RunOptions
from programde.crt.pooled.control_pool import ControlPool, PoolOutcome
from programde.crt.pooled.pool_cells import OwnCells, PoolCells
from programde.crt.pooled.pool_shifts import PoolShifts
from programde.crt.pooled.pooled_conditional import PooledConditional
from programde.crt.pooled.pooled_draws import UnitDraws, pool_rows
from programde.crt.pooled.pooled_unit import PooledUnit
from programde.crt.population import PER_COLUMN
from programde.crt.prepared import asks_given_covariates
from programde.crt.samplers import Bernoulli, BernoulliLaw, StratifiedLaw
from programde.crt.statistics import OLS
from programde.tails.inversion import ENUMERATED

#: Why units that could share their control cells are tested in populations of their own.
WATCHED = "somebody looks at the whole population"
OTHER_STATISTIC = "the statistic is not one that is known by its sums over control cells"
OTHER_SAMPLER = "the sampler asks for the rows of its cells one after another"
OWN_PROPENSITY = "the propensity is a model of one's own"
REMOVED = "control cells are left out of this unit's test"
OUTSIDE = "treated cells lie outside the span of their batch's control cells"
NO_CONSTANT = "no constant lies in the span of this unit's covariates"
FEW = "there are so few cells that all draws are listed"


def why_plain(options: RunOptions, watched: bool) -> str:
    """Why no unit can share its control cells under these options; empty where units can."""
    if watched:
        return WATCHED
    if type(options.statistic) is not OLS:
        return OTHER_STATISTIC
    if type(options.sampler) is not Bernoulli:
        return OTHER_SAMPLER
    if options.propensity is not None:
        return OWN_PROPENSITY
    return ""


class PreparedPool:
    """What the control cells give, made as it is asked for, from any thread.

    Parameters
    ----------
    cells
        The control cells.
    options
        How to test.
    """

    def __init__(self, cells: PoolCells, options: RunOptions):
        self.cells = cells
        self.screen = cells.screen
        self.options = options
        self.per_column = int(getattr(options.statistic, "cells_per_column", PER_COLUMN))
        self._made: dict[str, Any] = {}
        self._making = threading.RLock()

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """What `make` gives, made by the first thread that asks."""
        with self._making:
            if name not in self._made:
                self._made[name] = make()
            return self._made[name]

    @property
    def pool(self) -> ControlPool:
        """Cells and covariates."""
        return self.once("pool", lambda: ControlPool(self.cells))  # type: ignore[no-any-return]

    @property
    def outcome(self) -> PoolOutcome:
        """What is tested."""
        return self.once(  # type: ignore[no-any-return]
            "outcome", lambda: PoolOutcome(self.pool, lambda cells: self.screen.clr[cells])
        )

    @property
    def shifts(self) -> PoolShifts:
        """Effects on other scales, whatever is tested."""
        return self.once(  # type: ignore[no-any-return]
            "shifts",
            lambda: PoolShifts(
                self.pool, self.outcome if type(self.options.statistic) is OLS else None
            ),
        )

    def unit(self, own: OwnCells) -> PooledUnit:
        """The cells of a unit."""
        return PooledUnit(self.pool, own, self.per_column)

    def why_plain(self, unit: PooledUnit) -> str:
        """Why this unit has a population of its own; empty where it shares its control cells."""
        if unit.own.removed.size:
            return REMOVED
        if self.given and not unit.spans_constant:
            return NO_CONSTANT
        return FEW if unit.n_cells <= ENUMERATED else ""

    @property
    def given(self) -> bool:
        """Whether null laws are those given covariates."""
        return asks_given_covariates(self.options)

    @property
    def rows(self) -> np.ndarray:
        """What a sampler sums in the controls (n, width) float32."""
        return self.once(  # type: ignore[no-any-return]
            "rows", lambda: pool_rows(self.pool, self.outcome)
        )

    def law(self, p: np.ndarray, draws: UnitDraws) -> BernoulliLaw | StratifiedLaw:
        """The law of a unit with propensities `p` (n + n1,) by slot."""
        return BernoulliLaw(p[draws.where])

    def conditional(self, unit: PooledUnit) -> PooledConditional:
        """The conditional laws of units with the columns of this one's propensity."""
        columns = self.pool.ordered
        if unit.rung and self.pool.tiers is not None:
            most = self.pool.tiers[unit.rung_columns].max(initial=0)
            columns = columns[self.pool.tiers[columns] <= most]
        return self.once(  # type: ignore[no-any-return]
            f"conditional {columns.size}",
            lambda: PooledConditional(self.pool, self.outcome, columns),
        )
