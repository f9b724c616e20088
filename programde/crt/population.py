"""The cells in which units are tested, and what belongs to those cells.

Against the complement there is one population, all cells, shared by all units. Against cells that
hold only non-targeting guides each unit has its own: its treated cells and the controls. Within a
batch or a condition there is one per level. The covariates' basis, the outcome's residuals and
ranks, the propensity and the draws all belong to a population, never to the screen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import cast

import numpy as np
import pandas as pd

from programde.screen.covariates import independent_columns
from programde.screen.screen import Screen

#: A propensity with slopes of its own per batch takes more than `PER_COLUMN` times as many treated
#: (and as many control) cells as columns, one with curves alone more than `PER_CURVED` times as
#: many; with fewer its covariates give way (`Population.rung_of`). Slopes are a linear function of
#: columns for which the outcome is adjusted, and cost power; curves are known but nearly, and what
#: both models leave of them confounds.
#: A statistic that a linear adjustment does not free of the covariates says so by a
#: `cells_per_column` of its own, in the place of `PER_COLUMN`.
PER_COLUMN, PER_CURVED = 3, 1


@dataclass(frozen=True, eq=False)
class Population:
    """n cells of a screen, with what a test needs of them.

    Attributes
    ----------
    cells : (n,) int or None
        The cells' places in the screen, ascending; None for all cells in order.
    covariates : (n, p) float64
        Encoded covariates, of full column rank in these cells.
    covariate_names
        Their names.
    basis : (n, p) float64
        Orthonormal basis Q of the column space of `covariates`.
    outcome : (n, K) float64
        Centred log-ratio usages Y.
    usage : (n, K) float64
        Floored and renormalised usages.
    batch : (n,) object or None
        Batch labels.
    table : DataFrame of n rows or None
        The covariates before encoding.
    tiers : (p,) int8 or None
        Which columns the propensity may give up: 2 first, then 1, never 0; None where it takes
        all columns always. The outcome is adjusted for all columns in any case.
    per_column
        Treated cells that a propensity takes for each of its columns; see `rung_of`.
    transform, floor
        The scale of the outcome, and the floor under the usages; see `screen.screen.Screen`.
    changed : ((m,) int, int) or None
        Where each so many programs in a row differ in some cells alone: these, ascending, and how
        many programs; ranks then sort the other cells once for them.
    """

    cells: np.ndarray | None
    covariates: np.ndarray
    covariate_names: list[str]
    basis: np.ndarray
    outcome: np.ndarray
    usage: np.ndarray
    batch: np.ndarray | None
    table: pd.DataFrame | None
    tiers: np.ndarray | None = None
    per_column: int = PER_COLUMN
    transform: str = "clr"
    floor: float = 0.0
    changed: tuple[np.ndarray, int] | None = None

    @property
    def n_cells(self) -> int:
        return self.outcome.shape[0]

    @property
    def n_programs(self) -> int:
        return self.outcome.shape[1]

    @property
    def intercept(self) -> int | None:
        """Which covariate is the intercept; None where there is none."""
        return intercept_of(self.covariates)

    @property
    def has_constant(self) -> bool:
        """Whether a constant lies in the span of the covariates, be it a column or not."""
        return spans_constant(self.basis)

    @cached_property
    def rungs(self) -> list[np.ndarray]:
        """Columns of the propensities from which a unit's is chosen, the richest first; the first
        columns of `basis`, as many, span the same."""
        return rungs_of(self.covariates.shape[1], self.tiers)

    def rung_of(self, n_treated: int, left_out: int = 0) -> int:
        """The richest rung that a unit of so many treated cells can carry, which leaves so many
        cells out; the last one else."""
        cells = min(n_treated, self.n_cells - left_out - n_treated)
        return rung_for(self.rungs, cells, self.per_column, self.tiers)

    def locate(self, cells: np.ndarray) -> np.ndarray:
        """Places in this population of those screen cells that belong to it, ascending."""
        if self.cells is None:
            return cells
        places = np.searchsorted(self.cells, cells)
        places[places == self.cells.size] = 0
        return places[self.cells[places] == cells] if self.cells.size else places[:0]


def population_of(
    screen: Screen, cells: np.ndarray | None = None, whole: Population | None = None
) -> Population:
    """The population of a screen's cells, all or some.

    Parameters
    ----------
    screen
        The screen.
    cells : (n,) int, optional
        Cells to keep, ascending. Covariates that are constant or linearly dependent in them are
        dropped by rank (a batch absent from the cells leaves an empty column, for instance).
    whole
        The population of all cells, where it is at hand: where few cells are missing, the basis
        follows from its basis.
    """
    tiers = getattr(screen, "covariate_tiers", None)
    basis = None if whole is None or cells is None else _basis_within(whole.basis, cells)
    names = list(screen.covariate_names)
    if cells is None:
        covariates = screen.covariates
        outcome, usage, batch, table = (
            screen.clr,
            screen.usage,
            screen.batch,
            screen.covariate_table,
        )
    else:
        if basis is None:
            covariates, kept, tiers = covariates_in(screen, cells)
            names = [names[j] for j in kept]
        else:
            covariates = screen.covariates[cells]
        outcome, usage = screen.clr[cells], screen.usage[cells]
        batch = None if screen.batch is None else screen.batch[cells]
        table = None if screen.covariate_table is None else screen.covariate_table.iloc[cells]
    if basis is None and covariates.shape[1]:
        # scaling columns first keeps the basis accurate whatever the covariates' units
        scale = np.sqrt((covariates**2).mean(axis=0))
        first = np.arange(scale.size) if tiers is None else by_tier(tiers)
        basis = np.linalg.qr((covariates / scale)[:, first])[0]
    if basis is None:
        basis = np.empty((outcome.shape[0], 0))
    return Population(
        cells=cells,
        covariates=covariates,
        covariate_names=names,
        basis=basis,
        outcome=outcome,
        usage=usage,
        batch=batch,
        table=table,
        tiers=tiers,
        transform=screen.transform,
        floor=screen.floor,
    )


def covariates_in(
    screen: Screen, cells: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Covariates (n, p) of full column rank in some cells; which of the screen's they are, and
    their tiers. Of columns that depend on each other the one of the lowest tier stays."""
    tiers, covariates = getattr(screen, "covariate_tiers", None), screen.covariates[cells]
    first = np.arange(covariates.shape[1]) if tiers is None else by_tier(tiers)
    kept = independent_columns(covariates[:, first]) if cells.size else np.arange(0)
    kept = np.sort(first[kept])
    tiers = None if tiers is None else cast(np.ndarray, tiers[kept])
    return np.ascontiguousarray(covariates[:, kept]), kept, tiers


def rungs_of(n_columns: int, tiers: np.ndarray | None) -> list[np.ndarray]:
    """See `Population.rungs`."""
    found = [np.arange(n_columns)]
    if tiers is None:
        return found
    for most in (1, 0):
        columns = np.flatnonzero(tiers <= most)
        if 0 < columns.size < found[-1].size:
            found.append(columns)
    return found


def rung_for(rungs: list[np.ndarray], cells: int, per_column: int, tiers: np.ndarray | None) -> int:
    """The richest rung that so many cells of the smaller group can carry; the last one else."""
    for rung, columns in enumerate(rungs):
        sloped = tiers is not None and bool((tiers[columns] > 1).any())
        if cells > (per_column if sloped else PER_CURVED) * columns.size:
            return rung
    return len(rungs) - 1


#: A basis follows from that of all cells where at most this share of them is missing, and each
#: direction of the covariates keeps at least this share of its squared length.
MOST_MISSING, LEAST_LEFT = 0.25, 0.1


def _basis_within(basis: np.ndarray, cells: np.ndarray) -> np.ndarray | None:
    """Orthonormal basis (n, p) of some cells' covariates, from that of all cells (N, p).

    The rows that are left are Q, and Q L^-T is what is wanted, L L' = Q'Q = I - R'R with R the rows
    that are missing (Cholesky): L is triangular, so that the first columns span what they did. None
    where many cells are missing, or so much of some column that digits would be lost.
    """
    gone = np.ones(basis.shape[0], dtype=bool)
    gone[cells] = False
    missing = basis[gone]
    if missing.shape[0] > MOST_MISSING * basis.shape[0] or not basis.shape[1]:
        return None
    left = np.eye(basis.shape[1]) - missing.T @ missing
    if np.linalg.eigvalsh(left)[0] < LEAST_LEFT:
        return None
    return np.asarray(basis[cells] @ np.linalg.inv(np.linalg.cholesky(left)).T)


def intercept_of(covariates: np.ndarray) -> int | None:
    """Which column of covariates (n, p) is the intercept; None where there is none."""
    constant = np.flatnonzero((covariates == 1.0).all(axis=0))
    return int(constant[0]) if constant.size else None


def spans_constant(basis: np.ndarray) -> bool:
    """Whether a constant lies in the span of an orthonormal basis (n, p)."""
    along = basis.sum(axis=0)
    return bool(along @ along >= (1.0 - 1e-8) * basis.shape[0])


def by_tier(tiers: np.ndarray) -> np.ndarray:
    """Columns in order of their tiers."""
    return np.argsort(tiers, kind="stable")


def of_full_rank(screen: Screen) -> Screen:
    """The screen without covariates that depend on others in its cells; lower tiers stay."""
    tiers, C = screen.covariate_tiers, screen.covariates
    first = np.arange(C.shape[1]) if tiers is None else by_tier(tiers)
    kept = np.sort(first[independent_columns(C[:, first])])
    return replace(
        screen,
        covariates=np.ascontiguousarray(C[:, kept]),
        covariate_names=[screen.covariate_names[j] for j in kept.tolist()],
        covariate_tiers=None if tiers is None else cast(np.ndarray, tiers[kept]),
    )
