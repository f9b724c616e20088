"""Random sets of cells that are as likely to be treated as those of real targets, and as many."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from programde.crt.control_group import ControlGroup, Membership
from programde.crt.population import Population, intercept_of, population_of
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
        self._people: dict[bytes, Population] = {}
        sizes = np.array([self._treated[name].size for name in self._names], dtype=np.float64)
        self.n_pool = n_pool = int(self._pool.sum())
        others = n_pool - sizes if control.cells is None else np.full(sizes.size, float(n_pool))
        shared = sizes * others / np.maximum(sizes + others, 1.0)
        self.effective_size = float(np.median(shared)) if sizes.size else 0.0
        self.n_treated = int(np.median(sizes)) if sizes.size else 0
        self.size = set_size(self.effective_size, n_pool)

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

    def _population(self, chosen: np.ndarray) -> Population:
        """The population of the chosen cells (N,) bool; those of the complement recur."""
        if self._control.cells is not None:
            return population_of(self._screen, np.flatnonzero(chosen))
        key = np.packbits(chosen).tobytes()
        if key not in self._people:
            cells = None if chosen.all() else np.flatnonzero(chosen)
            self._people[key] = population_of(self._screen, cells)
        return self._people[key]

    def _odds_of(self, name: str) -> np.ndarray | None:
        """Odds (N,) of being treated as the target's cells are; 0 outside of the pool."""
        if name not in self._odds:
            treated = self._treated[name]
            chosen = self._pool.copy()
            chosen[treated] = True
            if self._screen.batch is not None:
                labels = self._screen.batch
                chosen &= np.isin(labels, np.unique(labels[treated].astype(str)))
            people = self._population(chosen)
            columns = people.covariates[:, people.rungs[people.rung_of(treated.size)]]
            solver = PropensitySolver(columns, intercept_of(columns))
            fit = solver.fit([people.locate(treated)])
            odds = None
            if fit.converged[0]:
                p = np.clip(solver.probabilities(fit.theta[0]), 1e-12, 1 - 1e-9)
                odds = np.zeros(self._screen.n_cells)
                odds[np.flatnonzero(chosen)] = p / (1 - p)
                odds[~self._pool] = 0.0
            self._odds[name] = odds
        return self._odds[name]
