"""Null draws of units against one pool: the rows of the controls are made once.

Rows are [R0 | D] with R0 the pool's residual outcome and D the orthonormal basis of its covariates;
a unit adds rows for its treated cells, with one column more for each of its covariates that the
controls do not know. In all of them its own basis is Q = D A, so a draw with sums (S_b, D_b) has
P_b = A'D_b and, with H = Q'R0, the sum S_b - P_b'H of the unit's own residual.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import solve_triangular

from programde.crt.kernels.rows import aligned_zeros, padded
from programde.crt.pooled.control_pool import ControlPool
from programde.crt.pooled.pooled_unit import PooledUnit, Summed
from programde.crt.samplers.bernoulli import BernoulliLaw
from programde.crt.samplers.stratified import StratifiedLaw
from programde.crt.statistics.ols import COLLINEAR


def pool_rows(pool: ControlPool, K: int, residual: np.ndarray | None) -> np.ndarray:
    """[R0 | D] of the controls (n, width) float32, padded with zeros; without residuals (K, n)
    their place is left free."""
    k = pool.ordered.size
    rows = aligned_zeros(pool.n_cells, padded(K + k))
    inverse = solve_triangular(pool.factor, np.eye(k)) / pool.scale[pool.ordered][:, None]
    basis = pool.T[:, :, pool.ordered] @ inverse
    for b, (lo, hi) in enumerate(pool.segments):
        if residual is not None:
            rows[lo:hi, :K] = residual[:, lo:hi].T
        rows[lo:hi, K : K + k] = pool.features[:, lo:hi].T @ basis[b]
    return rows


class UnitDraws:
    """The draws of one unit.

    Parameters
    ----------
    unit
        The unit.

    Attributes
    ----------
    where : (n,) int32
        For each cell of the test, in the order of the screen, its row: a slot of the pool, or
        beyond these an added cell.
    places : (n1,) int64
        Where the treated cells stand in that order.
    """

    def __init__(self, unit: PooledUnit):
        self.unit = unit
        pool = unit.pool
        cells, place = pool.cells.cells, pool.place
        if not unit.whole:
            assert pool.cells.batch is not None
            member = unit.live[pool.cells.batch[cells]]
            cells, place = cells[member], place[member]
        at = np.searchsorted(cells, unit.added)
        own = pool.n_cells + np.arange(at.size, dtype=np.int32)
        self.where = np.insert(place, at, own)
        within = unit.own.within
        self.places = np.searchsorted(cells, unit.treated) if within else at + np.arange(at.size)
        self._cells = cells, at

    @property
    def cells(self) -> np.ndarray:
        """Cells of the test (n,), ascending."""
        return np.insert(self._cells[0], self._cells[1], self.unit.added)

    @property
    def written(self) -> np.ndarray:
        """For each cell of the test its place (n,) among the slots that take part and, after these,
        the added cells (`PooledUnit.written`)."""
        unit = self.unit
        if unit.whole:
            return self.where
        member = np.concatenate([np.repeat(unit.live, unit.pool.sizes), np.ones(unit.added.size)])
        return (np.cumsum(member > 0) - 1)[self.where]

    def sums(
        self,
        law: BernoulliLaw | StratifiedLaw,
        rows: np.ndarray,
        own: np.ndarray,
        n_draws: int,
        key: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """From the rows of the controls sums of what is tested (B, K) float32, `own` (n1, K) in the
        treated cells, and of the unit's basis (B, k) float64, and the numbers of treated cells."""
        unit, pool = self.unit, self.unit.pool
        K, k = own.shape[1], pool.ordered.size
        own, C = own[: unit.added.size], unit.C[: unit.added.size]
        basis = pool.basis_of(C)
        further = np.setdiff1d(unit.ordered, pool.ordered)
        tail = aligned_zeros(own.shape[0], padded(K + k + further.size))
        tail[:, :K] = own
        tail[:, K : K + k] = basis
        end = K + k + further.size
        tail[:, K + k : end] = C[:, further] - basis @ pool.from_basis[:, further]
        sums, counts = law.sums_at(self.where, rows, tail, n_draws, key)
        from_basis = np.zeros((k + further.size, unit.ordered.size))
        from_basis[:k] = pool.from_basis[:, unit.ordered]
        for j, column in enumerate(further):
            from_basis[k + j, unit.ordered == column] = 1.0
        projection = sums[:, K:end].astype(np.float64) @ (from_basis @ unit.inverse)
        return sums[:, :K], projection, counts

    def counted(
        self,
        law: BernoulliLaw | StratifiedLaw,
        rows: np.ndarray,
        own: np.ndarray,
        n_draws: int,
        key: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Sums (B, K) float32 of rows without a basis, and the numbers of treated cells (B,)."""
        own = own[: self.unit.added.size]
        tail = aligned_zeros(own.shape[0], rows.shape[1])
        tail[:, : own.shape[1]] = own
        sums, counts = law.sums_at(self.where, rows, tail, n_draws, key)
        return sums[:, : own.shape[1]], counts


def finish(
    sums: np.ndarray, projection: np.ndarray, counts: np.ndarray, found: Summed
) -> np.ndarray:
    """beta (B, K) of draws; see `statistics.ols.PreparedOLS.finish`."""
    from programde.crt.kernels.summary import scale_rows

    d = counts - np.einsum("bj,bj->b", projection, projection)
    usable = d > COLLINEAR * np.maximum(counts, 1)
    inverse = np.divide(1.0, d, out=np.zeros_like(d), where=usable)
    out = projection @ found.H
    np.subtract(sums, out, out=out)
    scale_rows(out, inverse, out)
    return out


def finish_ranks(sums: np.ndarray, counts: np.ndarray, n_cells: int) -> np.ndarray:
    """Effects (B, K) of draws of ranks; see `statistics.utest.PreparedUTest.finish`."""
    from programde.crt.kernels.summary import scale_rows

    pairs = (counts * (n_cells - counts)).astype(np.float64)
    inverse = np.divide(2.0, pairs, out=np.zeros_like(pairs), where=pairs > 0)
    out = np.empty(sums.shape)
    scale_rows(sums, inverse, out)
    return out


def row_products(
    pool: ControlPool, rows: np.ndarray, K: int, weights: np.ndarray | None
) -> np.ndarray:
    """U_b W rows_b (B, r, K) of the first K columns of rows (n, D) float32; weights (n,) or 1."""
    out = np.zeros((pool.n_batches, pool.features.shape[0], K))
    for b, (lo, hi) in enumerate(pool.segments):
        for begin in range(lo, hi, _TILE):
            some = slice(begin, min(begin + _TILE, hi))
            u = pool.features[:, some]
            u = u if weights is None else u * weights[some]
            out[b] += u.astype(np.float32) @ rows[some, :K]
    return out


def first_order_gamma(
    unit: PooledUnit, found: Summed, p: np.ndarray, cross: np.ndarray
) -> np.ndarray:
    """Gamma (q, K) of the unit's residual on the columns of its propensity.

    `cross` (B, r, K) = U_b W R0_b of the controls; see `tails.first_order.gamma_on_basis`.
    """
    from programde.crt.kernels.by_batch import weighted_products

    pool, q = unit.pool, unit.rung_columns.size
    sums = np.empty((pool.n_batches, pool.features.shape[0]))
    products = np.empty((*sums.shape, sums.shape[1]))
    weighted_products(pool.features, pool.first, pool.ranks, unit.live, p, sums, products)
    own = p[pool.n_cells :]
    weighted = unit.q_added * (own * (1.0 - own))[:, None]
    of_basis = np.einsum("brk,brs,bsl->kl", unit.M, products, unit.M, optimize=True)
    of_basis += weighted.T @ unit.q_added
    B, r, k = unit.M.shape
    of_outcome = unit.M.reshape(B * r, k).T @ cross.reshape(B * r, -1)
    of_outcome += weighted.T @ found.own[: own.size]
    of_outcome -= of_basis @ found.H
    return np.asarray(np.linalg.solve(of_basis[:q, :q], of_outcome[:q]))


def given_covariates(
    sums: np.ndarray,
    projection: np.ndarray,
    unit: PooledUnit,
    found: Summed,
    gamma: np.ndarray,
) -> np.ndarray:
    """Draws (B, K) in the first-order form; see `crt.given_covariates`."""
    q = gamma.shape[0]
    H = found.H.copy()
    H[:q] += gamma
    draws = np.asarray(sums - projection @ H)
    draws -= found.own.sum(axis=0) - unit.P @ H
    draws *= found.per_sum
    draws += found.effect
    return draws


#: Cells per block of matrix products.
_TILE = 2048
