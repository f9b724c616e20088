"""Random sets of cells that are as likely to be treated as those of real targets, and as many."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from programde.crt.control_group import ControlGroup, Membership
from programde.crt.population import (
    PER_COLUMN,
    covariates_in,
    intercept_of,
    rung_for,
    rungs_of,
)
from programde.crt.propensity import PropensitySolver
from programde.root_finding import bracketed_root
from programde.screen.screen import Screen, Unit

#: Targets that are tried until one's propensity converges.
TRIES = 20


def set_size(effective: float, n_cells: int) -> int:
    """Cells of a set with this n1 n0 / (n1 + n0) among `n_cells`; half of them at most."""
    root = np.sqrt(max(n_cells**2 / 4 - n_cells * effective, 0.0))
    return round(n_cells / 2 - float(root))


def probabilities(odds: np.ndarray, size: int) -> np.ndarray:
    """Probabilities (n,) of `size` cells in the mean: the odds (n,) times one factor."""

    def given(log_factor: float) -> np.ndarray:
        return odds / (odds + np.exp(-log_factor))

    return given(float(bracketed_root(lambda c: given(c).sum() - size, -60.0, 60.0)))


class SetDrawer:
    """Draws sets of cells that are as likely to be treated as those of real targets.

    Against control cells a set is of a fixed size and drawn from these, by the odds of treatment;
    against the complement every cell is drawn on its own, by its probability, the odds times one
    factor for the size.

    Parameters
    ----------
    screen, control
        The screen and its control group.
    units
        The real targets.
    cells : (N,) bool
        Cells to consider.
    min_treated
        Targets with fewer treated cells are none.
    """

    def __init__(
        self,
        screen: Screen,
        control: ControlGroup,
        units: Sequence[Unit],
        cells: np.ndarray,
        min_treated: int,
    ):
        self._screen, self._control = screen, control
        self._pool = cells if control.cells is None else cells & control.cells
        membership = Membership(screen, control)
        self._treated = {}
        for unit in units:
            treated = screen.treated_cells(unit)
            treated = np.setdiff1d(treated, membership.of_other_targets(unit, treated))
            treated = treated[cells[treated]]
            if treated.size >= min_treated:
                self._treated[unit.name] = treated
        self._names = sorted(self._treated)
        self._odds: dict[str, np.ndarray | None] = {}
        self._columns: dict[bytes, tuple[np.ndarray, np.ndarray | None]] = {}
        self._solvers: dict[tuple[bytes, int], PropensitySolver] = {}
        sizes = np.array([self._treated[name].size for name in self._names], dtype=np.float64)
        self.n_pool = n_pool = int(self._pool.sum())
        others = n_pool - sizes if control.cells is None else np.full(sizes.size, float(n_pool))
        shared = sizes * others / np.maximum(sizes + others, 1.0)
        self.effective_size = float(np.median(shared)) if sizes.size else 0.0
        self.n_treated = int(np.median(sizes)) if sizes.size else 0
        self.size = set_size(self.effective_size, n_pool)

    def look_ahead(self, rngs: Sequence[np.random.Generator], n_threads: int) -> None:
        """Fit the propensities that sets drawn with these will ask for first, on threads."""
        if n_threads > 1 and self._names:
            n = len(self._names)
            names = {self._names[copy.deepcopy(rng).integers(n)] for rng in rngs}
            with ThreadPoolExecutor(n_threads) as pool:
                list(pool.map(self._odds_of, sorted(names)))

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """Cells of one set, ascending; none where no target's propensity converges."""
        for _ in range(TRIES if self._names else 0):
            name = self._names[rng.integers(len(self._names))]
            odds = self._odds_of(name)
            if odds is None or np.count_nonzero(odds) <= 2 * self.size:
                continue
            if self._control.cells is not None:
                weights = odds / odds.sum()
                return np.sort(rng.choice(odds.size, self.size, replace=False, p=weights))
            return np.flatnonzero(rng.random(odds.size) < probabilities(odds, self.size))
        return np.empty(0, dtype=np.intp)

    def _covariates(self, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Covariates of the chosen cells (N,) bool, and their tiers."""
        if chosen.all():
            return self._screen.covariates, self._screen.covariate_tiers
        covariates, _, tiers = covariates_in(self._screen, np.flatnonzero(chosen))
        return covariates, tiers

    def _solver(self, chosen: np.ndarray, n_treated: int) -> PropensitySolver:
        """Fits propensities of targets of this size in the chosen cells (N,) bool, on the columns
        that such a target can carry; what belongs to the cells of the complement recurs."""
        recurs = self._control.cells is None
        key = np.packbits(chosen).tobytes() if recurs else b""
        if recurs and key not in self._columns:
            self._columns[key] = self._covariates(chosen)
        covariates, tiers = self._columns[key] if recurs else self._covariates(chosen)
        rungs = rungs_of(covariates.shape[1], tiers)
        cells = min(n_treated, covariates.shape[0] - n_treated)
        rung = rung_for(rungs, cells, PER_COLUMN, tiers)
        if (key, rung) in self._solvers:
            return self._solvers[key, rung]
        columns = covariates[:, rungs[rung]]
        solver = PropensitySolver(columns, intercept_of(columns))
        if recurs:
            self._solvers[key, rung] = solver
        return solver

    def _odds_of(self, name: str) -> np.ndarray | None:
        """Odds (N,) of being treated as the target's cells are; 0 outside of the pool."""
        if name not in self._odds:
            treated = self._treated[name]
            chosen = self._pool.copy()
            chosen[treated] = True
            if self._screen.batch is not None:
                labels = self._screen.batch
                chosen &= np.isin(labels, np.unique(labels[treated].astype(str)))
            solver = self._solver(chosen, treated.size)
            fit = solver.fit([np.searchsorted(np.flatnonzero(chosen), treated)])
            odds = None
            if fit.converged[0]:
                p = np.clip(solver.probabilities(fit.theta[0]), 1e-12, 1 - 1e-9)
                odds = np.zeros(self._screen.n_cells)
                odds[np.flatnonzero(chosen)] = p / (1 - p)
                odds[~self._pool] = 0.0
            self._odds[name] = odds
        return self._odds[name]
