"""The stratified sampler for units against one pool: labels of cells are read once."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from programde.crt.pooled.pooled_draws import UnitDraws
from programde.crt.samplers.stratified import StratifiedLaw, StratifiedPermutation
from programde.screen.screen import Screen


class PoolStrata:
    """Batches and burdens of all cells of a screen.

    Parameters
    ----------
    screen, sampler
        The screen and the sampler.
    """

    def __init__(self, screen: Screen, sampler: StratifiedPermutation):
        self._sampler = sampler
        every = SimpleNamespace(
            batch=screen.batch, table=screen.covariate_table, n_cells=screen.n_cells
        )
        self._batch = sampler.batch_of(every)
        self._burden = sampler.burden_of(every)

    def law(self, p: np.ndarray, draws: UnitDraws) -> StratifiedLaw:
        """The law of a unit with propensities `p` (n,) of its cells, in the order of the screen."""
        cells = draws.cells
        burden = None if self._burden is None else self._burden[cells]
        return self._sampler.strata(self._batch[cells], burden).law(p, draws.places)
