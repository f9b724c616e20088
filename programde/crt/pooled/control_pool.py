"""Control cells, and all that they give to the units compared with them, made once.

The cells lie batch after batch ("slots"). Within batch b the covariates are C_b = U_b'T_b with few
features U_b (see `kernels.by_batch`); the QR factorization of the T_b, stacked, is that of C. The
outcome is kept as its residual on the controls' covariates, Y - C coef: a unit's own residual
differs from it by a combination of covariates only, and so its inner products follow from those
with the features.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
from scipy.linalg import solve_triangular

from programde.crt.pooled.pool_cells import PoolCells
from programde.crt.population import by_tier
from programde.screen.covariates import independent_columns

#: Gives the outcome (m, K) of cells (m,) of a screen.
Reader = Callable[[np.ndarray], np.ndarray]

#: Singular values of a batch's covariates below this share of the largest are rounding.
RANK = 1e-10
#: What is left of a row outside a span, as a share of the row, below which it lies inside.
INSIDE = 1e-9


class ControlPool:
    """Control cells with their covariates.

    Parameters
    ----------
    cells
        The cells.

    Attributes
    ----------
    slots : (n,) int
        Cells of the screen, batch after batch.
    first : (B + 1,) int64
        Where each batch begins among them.
    features : (r, n) float64
        U_b side by side.
    ranks : (B,) int64
    T : (B, r, p) float64
        Coefficients of all covariates of the screen; zeros beyond a batch's rank.
    scale : (p,)
        Root mean squares of the columns, 1 of columns of zeros.
    ordered : (k,) int
        Columns that are independent among the controls, those of the lowest tier first.
    factor : (k, k)
        R of the QR factorization of these columns, scaled.
    from_basis : (k, p)
        All columns in terms of the controls' orthonormal basis, which is that of this
        factorization.
    """

    def __init__(self, cells: PoolCells):
        self.cells = cells
        screen = cells.screen
        self.screen = screen
        of_cell = (
            np.zeros(cells.cells.size, dtype=np.int64)
            if cells.batch is None
            else cells.batch[cells.cells].astype(np.int64)
        )
        n_batches = 1 if cells.batch is None else int(cells.batch.max(initial=0)) + 1
        order = np.argsort(of_cell, kind="stable")
        self.slots = cells.cells[order]
        self.place = np.empty(order.size, dtype=np.int32)
        self.place[order] = np.arange(order.size, dtype=np.int32)
        sizes = np.bincount(of_cell, minlength=n_batches)
        self.sizes = sizes
        self.first = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        C = screen.covariates[self.slots]
        self.scale = np.sqrt((C**2).mean(axis=0))
        self.scale[self.scale == 0.0] = 1.0
        p = C.shape[1]
        parts = [_features(C[lo:hi] / self.scale) for lo, hi in self.segments]
        self.ranks = np.array([rows.shape[0] for _, rows, _ in parts], dtype=np.int64)
        r = int(self.ranks.max(initial=0))
        self.features = np.zeros((r, self.n_cells))
        self.T = np.zeros((n_batches, r, p))
        self._outside = np.zeros((n_batches, p, p))
        for b, ((lo, hi), (u, rows, outside)) in enumerate(zip(self.segments, parts, strict=True)):
            self.features[: u.shape[1], lo:hi] = u.T
            self.T[b, : rows.shape[0]] = rows * self.scale
            # a column that is zero here must stay so: rounding would make it one of its own
            self.T[b][:, ~C[lo:hi].any(axis=0)] = 0.0
            self._outside[b] = outside
        self.features_single = self.features.astype(np.float32)
        self.ones = np.stack([self.features[:, lo:hi].sum(axis=1) for lo, hi in self.segments])
        self.squares = np.stack(
            [self.features[:, lo:hi] @ self.features[:, lo:hi].T for lo, hi in self.segments]
        )
        self.gram = np.stack([t.T @ s @ t for t, s in zip(self.T, self.squares, strict=True)])
        self.sums = np.einsum("bri,br->bi", self.T, self.ones)
        self.reach = np.stack(
            [np.abs(C[lo:hi]).max(axis=0, initial=0.0) for lo, hi in self.segments]
        )
        self.constant = np.stack([(C[lo:hi] == 1.0).all(axis=0) for lo, hi in self.segments])
        tiers = screen.covariate_tiers
        self.tiers = tiers
        self.first_columns = np.arange(p) if tiers is None else by_tier(tiers)
        stacked = self.stacked(np.ones(n_batches, dtype=bool))
        kept = independent_columns(stacked[:, self.first_columns])
        self.ordered = self.first_columns[kept]
        scaled = stacked[:, self.ordered] / self.scale[self.ordered]
        q, self.factor = np.linalg.qr(scaled)
        self.from_basis = q.T @ stacked
        self._columns: dict[bytes, np.ndarray] = {}
        self._making = threading.Lock()

    @property
    def n_cells(self) -> int:
        return self.slots.size

    @property
    def n_batches(self) -> int:
        return self.first.size - 1

    @property
    def segments(self) -> list[tuple[int, int]]:
        """Where each batch begins and ends."""
        return list(zip(self.first[:-1].tolist(), self.first[1:].tolist(), strict=True))

    def slots_of(self, cells: np.ndarray) -> np.ndarray:
        """Places (m,) among the slots of cells of the pool."""
        return self.place[np.searchsorted(self.cells.cells, cells)]

    def batch_of(self, cells: np.ndarray) -> np.ndarray:
        """Batches (m,) of cells of the screen."""
        batch = self.cells.batch
        return np.zeros(cells.size, dtype=np.int64) if batch is None else batch[cells]

    def stacked(self, live: np.ndarray) -> np.ndarray:
        """Rows (m, p) with the inner products of the covariates over the cells of live batches."""
        parts = [self.T[b, : self.ranks[b]] for b in np.flatnonzero(live)]
        return np.concatenate([np.empty((0, self.T.shape[2])), *parts])

    def inside(self, covariates: np.ndarray, batch: np.ndarray) -> bool:
        """Whether further cells' covariates (m, p) are combinations of rows of their batches."""
        rows = covariates / self.scale
        for b in np.unique(batch):
            some = rows[batch == b]
            left = np.abs(some @ self._outside[b]).max(initial=0.0)
            if left > INSIDE * np.abs(some).max(initial=1.0):
                return False
        return True

    def basis_of(self, covariates: np.ndarray) -> np.ndarray:
        """The controls' orthonormal basis (m, k) in cells of these covariates (m, p)."""
        scaled = covariates[:, self.ordered] / self.scale[self.ordered]
        return np.asarray(solve_triangular(self.factor, scaled.T, trans="T").T)

    def columns(self, which: np.ndarray) -> np.ndarray:
        """T of some columns (B, r, q), C-ordered."""
        key = which.tobytes()
        with self._making:
            if key not in self._columns:
                if len(self._columns) > 64:
                    self._columns.clear()
                self._columns[key] = np.ascontiguousarray(self.T[:, :, which])
            return self._columns[key]


def cross_products(pool: ControlPool, residual: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """U_b W residual_b (G, B, r, K) for weights (G, n) of cells, those of an outcome (K, n)."""
    G, r, K = weights.shape[0], pool.features.shape[0], residual.shape[0]
    out = np.zeros((G, pool.n_batches, r, K))
    part = np.empty((G, r, _TILE))
    for b, (lo, hi) in enumerate(pool.segments):
        for begin in range(lo, hi, _TILE):
            end = min(begin + _TILE, hi)
            some = part[:, :, : end - begin]
            np.multiply(pool.features[:, begin:end], weights[:, None, begin:end], out=some)
            found = some.reshape(G * r, -1) @ residual[:, begin:end].T
            out[:, b] += found.reshape(G, r, K)
    return out


class PoolOutcome:
    """An outcome (n, K) of the control cells, as a residual on their covariates.

    Parameters
    ----------
    pool
        The control cells.
    read
        The outcome (m, K) of some cells of the screen.

    Attributes
    ----------
    residual : (K, n) float64
        Y - C coef by program, in the order of the pool's slots.
    coef : (p, K) float64
        Zero for covariates that depend on others among the controls.
    local : (B, r, K) float64
        U_b residual_b.
    """

    def __init__(self, pool: ControlPool, read: Reader):
        self.read = read
        K = read(pool.slots[:0]).shape[1]
        stacked = pool.stacked(np.ones(pool.n_batches, dtype=bool))[:, pool.ordered]
        q, _ = np.linalg.qr(stacked / pool.scale[pool.ordered])
        self.residual = np.empty((K, pool.n_cells))
        for lo in range(0, pool.n_cells, _CELLS):
            self.residual[:, lo : lo + _CELLS] = read(pool.slots[lo : lo + _CELLS]).T
        self.coef = np.zeros((pool.T.shape[2], K))
        for _ in range(2):  # a second time takes away what rounding left
            local = self._local(pool)
            rows = [local[b, : pool.ranks[b]] for b in range(pool.n_batches)]
            found = solve_triangular(pool.factor, q.T @ np.concatenate(rows))
            step = np.zeros_like(self.coef)
            step[pool.ordered] = found / pool.scale[pool.ordered][:, None]
            self.coef += step
            for b, (lo, hi) in enumerate(pool.segments):
                along = pool.T[b] @ step
                self.residual[:, lo:hi] -= along.T @ pool.features[:, lo:hi]
        self.local = self._local(pool)

    def _local(self, pool: ControlPool) -> np.ndarray:
        return np.stack(
            [pool.features[:, lo:hi] @ self.residual[:, lo:hi].T for lo, hi in pool.segments]
        )


def _features(C: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """U (n, r) of orthonormal columns and T (r, p) with C = U T; and the projector (p, p) on what
    is outside the row space."""
    p = C.shape[1]
    if C.shape[0] == 0:
        return np.empty((0, 0)), np.empty((0, p)), np.eye(p)
    q, triangle = np.linalg.qr(C)
    left, size, right = np.linalg.svd(triangle, full_matrices=False)
    rank = int(np.count_nonzero(size > RANK * size.max(initial=0.0)))
    rows = right[:rank]
    return q @ left[:, :rank], size[:rank, None] * rows, np.eye(p) - rows.T @ rows


#: Cells that are copied at a time.
_CELLS = 4096
#: Cells per block of matrix products.
_TILE = 2048
