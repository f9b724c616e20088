"""A pool of control cells with everything that the units compared with them share."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from programde.crt.kernels.rows import aligned_zeros, padded
from programde.crt.options import RunOptions
from programde.crt.pooled.control_pool import ControlPool, PoolOutcome
from programde.crt.pooled.pool_cells import OwnCells, PoolCells
from programde.crt.pooled.pool_ranks import PoolRanks, UnitRanks
from programde.crt.pooled.pool_shifts import PoolShifts
from programde.crt.pooled.pool_strata import PoolStrata
from programde.crt.pooled.pooled_conditional import PooledConditional
from programde.crt.pooled.pooled_draws import UnitDraws, pool_rows
from programde.crt.pooled.pooled_unit import PooledUnit
from programde.crt.pooled.spare import Spare
from programde.crt.population import PER_COLUMN
from programde.crt.prepared import asks_given_covariates
from programde.crt.samplers import (
    Bernoulli,
    BernoulliLaw,
    StratifiedLaw,
    StratifiedPermutation,
)
from programde.crt.statistics import OLS, UTest
from programde.tails.inversion import ENUMERATED

#: Why units that could share their control cells are tested in populations of their own.
WATCHED = "somebody looks at the whole population"
OTHER_STATISTIC = "the statistic is not one that is known by its sums over control cells"
OTHER_SAMPLER = "the sampler asks for the rows of its cells one after another"
OWN_PROPENSITY = "the propensity is a model of one's own"
TIED = "a treated cell's value ties control cells that are not tied without it"
REMOVED = "control cells are left out of this unit's test"
OUTSIDE = "treated cells lie outside the span of their batch's control cells"
NO_CONSTANT = "no constant lies in the span of this unit's covariates"
FEW = "there are so few cells that all draws are listed"


def why_plain(options: RunOptions, watched: bool) -> str:
    """Why no unit can share its control cells under these options; empty where units can."""
    if watched:
        return WATCHED
    if type(options.statistic) not in (OLS, UTest):
        return OTHER_STATISTIC
    if type(options.sampler) not in (Bernoulli, StratifiedPermutation):
        return OTHER_SAMPLER
    if options.propensity is not None:
        return OWN_PROPENSITY
    return ""


@dataclass(eq=False)
class Rows:
    """Rows of the controls for a sampler.

    Attributes
    ----------
    values : (n, width) float32
        The rows.
    batches
        Whose ranks they hold: those of groups within the pool differ by batches alone.
    """

    values: np.ndarray
    batches: bytes = b""

    def fill(self, ranks: UnitRanks) -> None:
        """Put in a unit's ranks, if they are not in already."""
        unit = ranks.unit
        batches = unit.live.tobytes() if unit.own.within else b""
        if not batches or batches != self.batches:
            ranks.fill_rows(self.values)
        self.batches = batches


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
    def ranked(self) -> bool:
        """Whether ranks are tested."""
        return type(self.options.statistic) is UTest

    @property
    def outcome(self) -> PoolOutcome:
        """What is tested by least squares."""
        return self.once(  # type: ignore[no-any-return]
            "outcome", lambda: PoolOutcome(self.pool, lambda cells: self.screen.clr[cells])
        )

    @property
    def ranks(self) -> PoolRanks:
        """What is tested by ranks."""
        of_clr = getattr(self.options.statistic, "use", "clr") == "clr"
        values = self.screen.clr if of_clr else self.screen.usage
        return self.once(  # type: ignore[no-any-return]
            "ranks", lambda: PoolRanks(self.pool, lambda cells: values[cells])
        )

    @property
    def shifts(self) -> PoolShifts:
        """Effects on other scales, whatever is tested."""
        return self.once(  # type: ignore[no-any-return]
            "shifts",
            lambda: PoolShifts(self.pool, None if self.ranked else self.outcome),
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
    def independent(self) -> bool:
        """Whether cells are drawn independently."""
        return type(self.options.sampler) is Bernoulli

    @property
    def given(self) -> bool:
        """Whether null laws are those given covariates."""
        return asks_given_covariates(self.options)

    @property
    def rows(self) -> Spare[Rows]:
        """What a sampler sums in the controls; ranks are to be filled in."""

        def make() -> Spare[Rows]:
            K = self.screen.n_programs
            if self.ranked and not self.given:
                return Spare(lambda: Rows(aligned_zeros(self.pool.n_cells, padded(K))))
            if self.ranked:
                return Spare(lambda: Rows(pool_rows(self.pool, K, None)))
            rows = Rows(pool_rows(self.pool, K, self.outcome.residual))
            return Spare(lambda: rows)  # read only: all threads have the same

        return self.once("rows", make)  # type: ignore[no-any-return]

    @property
    def strata(self) -> PoolStrata:
        """What the stratified sampler makes of the cells of the screen."""
        assert isinstance(self.options.sampler, StratifiedPermutation)
        sampler = self.options.sampler
        return self.once(  # type: ignore[no-any-return]
            "strata", lambda: PoolStrata(self.screen, sampler)
        )

    def law(self, p: np.ndarray, draws: UnitDraws) -> BernoulliLaw | StratifiedLaw:
        """The law of a unit with propensities `p` (n + n1,) by slot."""
        merged = p[draws.where]
        if type(self.options.sampler) is Bernoulli:
            return BernoulliLaw(merged)
        return self.strata.law(merged, draws)

    def conditional(self, unit: PooledUnit) -> PooledConditional:
        """The conditional laws of units with the columns of this one's propensity."""
        columns = self.pool.ordered
        if unit.rung and self.pool.tiers is not None:
            most = self.pool.tiers[unit.rung_columns].max(initial=0)
            columns = columns[self.pool.tiers[columns] <= most]
        return self.once(  # type: ignore[no-any-return]
            f"conditional {columns.size}",
            lambda: PooledConditional(
                self.pool, self.ranks if self.ranked else self.outcome, columns
            ),
        )
