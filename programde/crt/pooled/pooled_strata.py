"""Covariates of control cells by strata, with room for the treated cells of one unit after another.

The conditional law (`tails.conditional`) takes cells stratum by stratum, in columns that strata
have to themselves and columns that all share. These are functions of the covariates: found among
the controls, they are known in treated cells too, if a treated cell's covariates are like those of
one stratum's controls. Each stratum has some places left free at its end; a unit's treated cells
are put there, and what stays free is `absent`.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy.linalg import solve_triangular

from programde.crt.pooled.control_pool import ControlPool
from programde.crt.pooled.pooled_unit import PooledUnit
from programde.tails.covariate_strata import CovariateStrata, strata_of

#: How far a function that is 0 or 1 may be from it.
_EXACT = 1e-6
#: Places that stay free behind a unit's cells. Kernels add many places at once and what is left of
#: a stratum one by one; so what is left is empty, and no sum depends on how much room there is,
#: which depends on the units that came before.
_SPARE = 64


class PooledStrata:
    """Strata of the controls for the columns of a propensity.

    Parameters
    ----------
    pool
        The control cells.
    columns : (q,) int
        Columns of the covariates that are independent among the controls, by tier.
    """

    def __init__(self, pool: ControlPool, columns: np.ndarray):
        self.pool = pool
        C = pool.screen.covariates[pool.slots][:, columns]
        scaled = C / pool.scale[columns]
        basis, factor = np.linalg.qr(scaled)
        self.strata = strata_of(C, basis=basis)
        self.saturated = self.strata.saturated
        self._columns = columns
        inverse = solve_triangular(factor, np.eye(columns.size)) / pool.scale[columns][:, None]
        strata, order = self.strata, self.strata.order
        sorted_basis = basis[order]
        B, k, _ = strata.shape
        #: Local columns, shared columns, indicators of strata and of sets as functions of C.
        self._local = np.zeros((columns.size, B, k))
        self._own = np.zeros((columns.size, B))
        for b, (lo, hi) in enumerate(pairwise(strata.first)):
            part = sorted_basis[lo:hi]
            self._local[:, b] = inverse @ (part.T @ strata.columns[:k, lo:hi].T)
            self._own[:, b] = inverse @ part.sum(axis=0)
        self._shared = inverse @ (sorted_basis.T @ strata.columns[k:].T)
        self._sets = inverse @ (sorted_basis.T @ strata.indicators.T.astype(np.float64))
        batch = np.repeat(np.arange(pool.n_batches), pool.sizes)[order]
        self._sizes = np.stack(
            [strata.indicators[:, batch == b].sum(axis=1) for b in range(pool.n_batches)], axis=1
        )
        self._room = np.zeros(B, dtype=np.int64)
        self.grow(np.full(B, 16 + _SPARE))

    def grow(self, room: np.ndarray) -> None:
        """Leave at least so much room at the end of each stratum (B,)."""
        strata, sizes = self.strata, np.diff(self.strata.first)
        self._room = np.maximum(self._room, room)
        self.first = np.concatenate([[0], np.cumsum(sizes + self._room)]).astype(np.int64)
        stratum = np.repeat(np.arange(sizes.size), sizes)
        #: Where each place of the strata's order, and each slot of the pool, lies.
        at = np.arange(stratum.size) + (self.first[:-1] - strata.first[:-1])[stratum]
        self.place = np.empty_like(at)
        self.place[strata.order] = at
        self.n_places = int(self.first[-1])
        self.columns = np.zeros((strata.columns.shape[0], self.n_places))
        self.columns[:, at] = strata.columns
        self.indicators = np.zeros((strata.indicators.shape[0], self.n_places), dtype=bool)
        self.indicators[:, at] = strata.indicators
        self.order = np.arange(self.n_places)
        free = np.ones(self.n_places, dtype=bool)
        free[at] = False
        self.free = free

    def of(self, unit: PooledUnit) -> tuple[CovariateStrata, np.ndarray] | None:
        """The unit's strata, and the places of its treated cells; None where a treated cell is
        not like the controls of one stratum.

        They share their arrays with those of other units: one unit at a time.
        """
        if unit.own.within:
            return self._of_live(unit), self.place[unit.slots]
        C = unit.C[:, self._columns]
        own, sets = C @ self._own, C @ self._sets
        inside = np.round(own)
        if np.abs(own - inside).max() > _EXACT or (inside.sum(axis=1) != 1).any():
            return None
        if np.abs(sets - np.round(sets)).max(initial=0.0) > _EXACT or (sets < -0.5).any():
            return None
        stratum = inside.argmax(axis=1)
        local = np.einsum("ip,pbk->ibk", C, self._local)
        mine = local[np.arange(stratum.size), stratum]
        local[np.arange(stratum.size), stratum] = 0.0
        if np.abs(local).max(initial=0.0) > _EXACT * np.abs(mine).max(initial=1e-3):
            return None
        B, k, _ = self.strata.shape
        counts = np.bincount(stratum, minlength=B)
        if (counts + _SPARE > self._room).any():
            # room for larger ones too: growing means that all is put in place anew
            self.grow(np.maximum(2 * counts + _SPARE, 2 * self._room))
        order = np.argsort(stratum, kind="stable")
        before = np.concatenate([[0], np.cumsum(counts)])[:-1]
        places = np.empty(stratum.size, dtype=np.int64)
        rank = np.arange(stratum.size) - before[stratum[order]]
        places[order] = (self.first[1:] - self._room)[stratum[order]] + rank
        shared = C @ self._shared
        self.columns[:k, places] = mine.T
        self.columns[k:, places] = shared.T
        self.indicators[:, places] = np.round(sets).T > 0.5
        found = self._of_live(unit, places)
        reach_l, reach_g = self.strata.reach
        reach_l = reach_l.copy()
        np.maximum.at(reach_l, stratum, np.abs(mine))
        known = found.__dict__
        known["reach"] = (reach_l, np.maximum(reach_g, np.abs(shared).max(axis=0, initial=0.0)))
        known["indicator_sizes"] = known["indicator_sizes"] + (sets > 0.5).sum(axis=0)
        ones_l, ones_g = known["ones"]
        np.add.at(ones_l, stratum, mine)
        known["ones"] = (ones_l, ones_g + shared.sum(axis=0))
        return found, places

    def _of_live(self, unit: PooledUnit, places: np.ndarray | None = None) -> CovariateStrata:
        """The strata of the pool's cells that take part, and of those at `places`."""
        free = self.free.copy()
        if not unit.whole:
            free[self.place[~np.repeat(unit.live, unit.pool.sizes)]] = True
        if places is not None:
            free[places] = False
        found = CovariateStrata(
            order=self.order,
            first=self.first,
            columns=self.columns,
            n_local=self.strata.n_local,
            from_covariates=self.strata.from_covariates,
            indicators=self.indicators,
            saturated=False,
            absent=np.flatnonzero(free),
        )
        known = found.__dict__  # what would be made of all cells is known from the controls
        known["reach"] = self.strata.reach
        known["place"] = self.order
        known["indicator_sizes"] = self._sizes[:, unit.live].sum(axis=1)
        known["ones"] = self._ones(unit)
        return found

    def _ones(self, unit: PooledUnit) -> tuple[np.ndarray, np.ndarray]:
        """Sums of the columns over the controls that take part: local (B, k), shared (g,)."""
        if not hasattr(self, "_all_ones"):
            self._all_ones = self._sums(self.strata.columns)
        if unit.whole:
            return self._all_ones[0].copy(), self._all_ones[1]
        member = np.repeat(unit.live, unit.pool.sizes)[self.strata.order]
        return self._sums(self.strata.columns * member)

    def _sums(self, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        k = self.strata.shape[1]
        local = [columns[:k, lo:hi].sum(axis=1) for lo, hi in pairwise(self.strata.first)]
        return np.array(local).reshape(-1, k), columns[k:].sum(axis=1)
