"""One unit against a pool of control cells: basis, effect and propensity from its few cells.

With C = U_b'T_b in the controls' batches (see `control_pool`) and C_t the rows of the n1 treated
cells, the R of the QR factorization of the unit's covariates is that of [T_b; C_t] (Golub and Van
Loan, Matrix Computations, 4th ed., section 6.5.3), so that the orthonormal basis of its population
is Q = U_b'M_b on controls and Q_t on treated cells, M_b = T_b R^-1, Q_t = C_t R^-1. With the pool's
residual outcome R0,

    H = Q'R0 = sum_b M_b'(U_b R0_b) + Q_t'R0_t,     P = Q'x,     d = n1 - ||P||^2,
    residual of the unit = R0 - Q H,                beta = (sum of R0_t - P'H) / d.

Where the treated cells are cells of the pool and are compared with the rest of it (groups of
control guides), the pool is all there is: no C_t, and no Q_t but in P = Q'x. Nothing is taken off
sums over the pool, so that no digits are lost, and a unit has no rows of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular

from programde.crt.pooled.control_pool import ControlPool, PoolOutcome
from programde.crt.pooled.pool_cells import OwnCells
from programde.crt.population import rung_for, rungs_of
from programde.crt.propensity import CLIP, MAX_STEPS, RIDGE, TOLERANCE
from programde.crt.statistics.ols import COLLINEAR
from programde.screen.covariates import independent_columns


class PooledUnit:
    """The cells of one unit's test.

    Attributes
    ----------
    treated : (n1,) int
        Cells of the screen.
    added : (m,) int
        Those of them that are no cells of the pool: all, or none.
    slots : (n1 - m,) int
        Places of the others among the pool's slots.
    live : (B,) bool
        Batches of the pool that take part.
    n_cells
        Cells of the test.
    kept : (k,) int
        Covariates that are independent in them, ascending.
    ordered : (k,) int
        The same, those of the lowest tier first: the basis follows them.
    M : (B, r, k) float64
        Basis of the controls in terms of their features; zero in batches left out.
    q : (n1, k) float64
        Basis of the treated cells.
    q_added : (m, k) float64
        Basis of the added cells.
    """

    def __init__(self, pool: ControlPool, own: OwnCells, per_column: int):
        self.pool = pool
        self.own = own
        self.treated = own.treated
        self.added = own.added
        self.slots = pool.slots_of(own.treated) if own.within else own.treated[:0]
        self.whole = own.live is None
        self.live = np.ones(pool.n_batches, dtype=bool) if own.live is None else own.live
        self.n_cells = int(pool.sizes[self.live].sum()) + self.added.size
        self.n_controls = self.n_cells - self.treated.size
        self.C = pool.screen.covariates[self.treated]
        more = self.C[: self.added.size]
        #: Whether each added cell's covariates are a combination of rows of its batch's controls.
        self.inside = pool.inside(more, pool.batch_of(self.added))
        if self.whole and self.inside:
            self.ordered = pool.ordered
            rows = np.concatenate([pool.factor, more[:, self.ordered] / pool.scale[self.ordered]])
        else:
            every = np.concatenate([pool.stacked(self.live), more])
            self.ordered = pool.first_columns[independent_columns(every[:, pool.first_columns])]
            rows = every[:, self.ordered] / pool.scale[self.ordered]
        self.kept = np.sort(self.ordered)
        k = self.ordered.size
        factor = np.asarray(np.linalg.qr(rows, mode="r"))
        self.inverse = solve_triangular(factor, np.eye(k)) / pool.scale[self.ordered][:, None]
        self.q = self.C[:, self.ordered] @ self.inverse
        self.q_added = self.q[: self.added.size]
        self.M = pool.columns(self.ordered) @ self.inverse
        if not self.whole:
            self.M[~self.live] = 0.0
        self.P = self.q.sum(axis=0)
        self.d = self.treated.size - self.P @ self.P
        tiers = None if pool.tiers is None else pool.tiers[self.kept]
        self.rungs = rungs_of(k, tiers)
        smaller = min(self.treated.size, self.n_controls)
        self.rung = rung_for(self.rungs, smaller, per_column, tiers)

    @property
    def collinear(self) -> bool:
        """Whether the indicator is collinear with the covariates."""
        return not self.d > COLLINEAR * self.treated.size

    @property
    def known(self) -> bool:
        """Whether the controls know all of its covariates."""
        return not np.setdiff1d(self.ordered, self.pool.ordered).size

    @property
    def spans_constant(self) -> bool:
        """Whether a constant lies in the span of the covariates."""
        along = np.einsum("brk,br->k", self.M, self.pool.ones) + self.q_added.sum(axis=0)
        return bool(along @ along >= (1.0 - 1e-8) * self.n_cells)

    @property
    def rung_columns(self) -> np.ndarray:
        """Covariates of the unit's propensity, ascending."""
        return self.kept[self.rungs[self.rung]]

    def along(self, local: np.ndarray, own: np.ndarray) -> np.ndarray:
        """Q'V (k, .) of values that give U_b V_b = `local` (B, r, .) in the pool, and are `own`
        (n1, .) in the treated cells."""
        B, r, k = self.M.shape
        own = own[: self.added.size]
        return self.M.reshape(B * r, k).T @ local.reshape(B * r, -1) + self.q_added.T @ own

    def written(self) -> np.ndarray:
        """Q' (k, n) of all cells that take part: the pool's slots, then the added cells."""
        basis = np.empty((self.q.shape[1], self.n_cells))
        at = 0
        for b in np.flatnonzero(self.live):
            lo, hi = self.pool.segments[b]
            some = basis[:, at : at + hi - lo]
            np.matmul(self.M[b].T, self.pool.features[:, lo:hi], out=some)
            at += hi - lo
        basis[:, at:] = self.q_added.T
        return basis

    # ------------------------------------------------------------------------------- propensity

    def propensity(self) -> tuple[np.ndarray | None, int]:
        """Probabilities (n + m,) of the pool's slots (0 where left out) and the added cells,
        None where Newton's method failed; and the steps that it took."""
        from programde.crt.kernels.by_batch import fit_by_batch, probabilities_by_batch

        pool, live = self.pool, self.live
        columns = self.rung_columns
        more = self.C[: self.added.size]
        constant = pool.constant[live].all(axis=0) & (more == 1.0).all(axis=0)
        first = np.flatnonzero(constant[columns])[:1]
        columns = np.concatenate([columns[first], np.delete(columns, first)])
        q = columns.size
        p = np.empty(pool.n_cells + self.added.size)
        T = pool.columns(columns)
        own = np.ascontiguousarray(self.C[:, columns].T)
        score = own.sum(axis=1)
        tail = own[:, : self.added.size]
        gram = np.empty((q + 1, q))
        gram[:q] = pool.gram[live].sum(axis=0)[np.ix_(columns, columns)] + tail @ tail.T
        gram[q] = pool.sums[live].sum(axis=0)[columns] + tail.sum(axis=1)
        reach = np.maximum(
            pool.reach[live].max(axis=0, initial=0.0)[columns],
            np.abs(tail).max(axis=1, initial=0.0),
        )
        penalty = np.full(q, RIDGE)
        start = 0.0
        if first.size:
            penalty[0] = 0.0
            share = np.clip(self.treated.size / self.n_cells, *_inner(self.n_cells))
            start = float(np.log(share) - np.log1p(-share))
        theta = np.zeros(q)
        steps = 0
        shared = (pool.features, pool.first, pool.ranks, live, T, tail)
        if q:
            steps = fit_by_batch(
                *shared, gram, score, start, penalty, reach, TOLERANCE, MAX_STEPS, theta
            )
        if steps < 0:
            return None, -steps
        probabilities_by_batch(*shared, theta, CLIP, 1.0 - CLIP, p)
        return p, steps

    def used(self, p: np.ndarray) -> np.ndarray:
        """Of numbers (n + m,) by slot those of the cells that take part."""
        if self.whole:
            return p
        member = np.repeat(self.live, self.pool.sizes)
        return np.concatenate([p[: member.size][member], p[member.size :]])


@dataclass(frozen=True, eq=False)
class Summed:
    """What is summed over the treated cells of a unit.

    Attributes
    ----------
    own : (n1, K) float64
        The summands of the treated cells, as the pool has them: a combination of covariates may be
        taken off all cells.
    H : (k, K) float64
        Q' of the summands over all cells.
    effect : (K,) float64
    per_sum : float
        The effect per unit of the sum, given the covariates' own sums.
    """

    own: np.ndarray
    H: np.ndarray
    effect: np.ndarray
    per_sum: float


def unit_outcome(unit: PooledUnit, outcome: PoolOutcome) -> Summed:
    """An outcome in the cells of a unit's test: summands R0, and the least-squares effect, which is
    NaN where the indicator is collinear with the covariates."""
    own = outcome.read(unit.treated) - unit.C @ outcome.coef
    H = unit.along(outcome.local, own)
    if unit.collinear:
        return Summed(own, H, np.full(own.shape[1], np.nan), np.nan)
    return Summed(own, H, (own.sum(axis=0) - unit.P @ H) / unit.d, float(1.0 / unit.d))


def _inner(n: int) -> tuple[float, float]:
    return 0.5 / n, 1.0 - 0.5 / n
