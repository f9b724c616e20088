"""Ranks for the U-test: control cells sorted once, each unit's treated cells merged into them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from programde.crt.pooled.control_pool import ControlPool, Reader
from programde.crt.pooled.pooled_sums import PooledSums, own_cumulants
from programde.crt.pooled.pooled_unit import PooledUnit, Summed
from programde.tails.bernoulli import BernoulliSums
from programde.tails.ladder import SCREEN_LEVEL, tails_of_sums
from programde.tails.log_tails import LogTails

T = TypeVar("T")

#: Sets of batches whose sorted controls, or ranks, are kept.
_KEPT = 4


class PoolRanks:
    """Values of the control cells, sorted program by program.

    Parameters
    ----------
    pool
        The control cells.
    read
        What is ranked (m, K) of some cells of the screen.
    """

    def __init__(self, pool: ControlPool, read: Reader):
        self.pool, self.read = pool, read
        values = np.ascontiguousarray(read(pool.slots).T) + 0.0  # -0 counts as 0
        order = np.argsort(values, axis=1, kind="stable")
        self._whole = _Sorted(
            order.astype(np.int32), np.take_along_axis(values, order, axis=1), pool.n_cells
        )
        self._some: OrderedDict[bytes, _Sorted] = OrderedDict()
        self._live: OrderedDict[bytes, np.ndarray] = OrderedDict()
        self._making = threading.Lock()

    @property
    def spread(self) -> np.ndarray:
        """Standard deviation (K,) of the controls' ranks among themselves; 0 of constants."""
        return np.asarray(self._whole.average.std(axis=1, dtype=np.float64))

    def sorted_of(self, unit: PooledUnit) -> _Sorted:
        """The controls that take part in a unit's test."""
        if unit.whole:
            return self._whole
        with self._making:
            return _kept(self._some, unit, self._whole.some)

    def live_ranks(self, unit: PooledUnit) -> np.ndarray:
        """Ranks (K, n) of the pool's slots among those that take part in a unit's test."""
        if unit.whole:
            return self._whole.ranks
        with self._making:
            return _kept(self._live, unit, self._whole.live)


def _kept(some: OrderedDict[bytes, T], unit: PooledUnit, make: Callable[[np.ndarray], T]) -> T:
    """What `make` gives of the members (n,) of a unit's test, kept for others of like batches."""
    key = unit.live.tobytes()
    if key not in some:
        if len(some) == _KEPT:
            some.popitem(last=False)
        some[key] = make(np.repeat(unit.live, unit.pool.sizes))
    some.move_to_end(key)
    return some[key]


class _Sorted:
    """Sorted values V (K, n0) of n0 cells, the slot of each, and the slots' ranks (K, n)."""

    def __init__(self, places: np.ndarray, V: np.ndarray, n_slots: int):
        from programde.crt.kernels.merged_ranks import STRIDE, rank_within

        self._places, self.V = places, V
        self.sampled = np.ascontiguousarray(V[:, ::STRIDE])
        # slots that take no part keep a rank that can be looked up
        self.ranks = np.ones((V.shape[0], n_slots), dtype=np.float32)
        self.average = np.empty(V.shape, dtype=np.float32)
        rank_within(places, V, self.average, self.ranks)

    def some(self, member: np.ndarray) -> _Sorted:
        """Those of the slots that are members (n,)."""
        from programde.crt.kernels.merged_ranks import keep_live

        shape = (self.V.shape[0], int(np.count_nonzero(member)))
        places, V = np.empty(shape, dtype=np.int32), np.empty(shape)
        keep_live(self._places, self.V, member, places, V)
        return _Sorted(places, V, member.size)

    def live(self, member: np.ndarray) -> np.ndarray:
        """Ranks (K, n) of the slots that are members (n,), among these."""
        from programde.crt.kernels.merged_ranks import rank_live

        ranks = np.ones_like(self.ranks)  # cells between tied ones are passed over
        rank_live(self._places, self.V, self.average, member, ranks)
        return ranks


class UnitRanks:
    """Centred ranks in the cells of a unit's test.

    Attributes
    ----------
    ranks : (K, n) float32
        Those of the pool's slots without the added cells.
    own : (n1, K) float64
        Those of the treated cells.
    merged
        False where a treated cell's value ties controls that are not tied without it.
    effect : (K,) float64
        Rank-biserial.
    per_sum : float
        The effect per unit of the sum of ranks.
    """

    def __init__(self, unit: PooledUnit, ranks: PoolRanks):
        self.unit = unit
        self._made: tuple[np.ndarray, np.ndarray, np.float32] | None = None
        if unit.own.within:
            self.ranks, self.merged = ranks.live_ranks(unit), True
            self._below = self._upto = np.empty((self.ranks.shape[0], 0), dtype=np.int64)
            own = self.ranks[:, unit.slots].T.astype(np.float64, order="C")
            self.own = own - 0.5 * (unit.n_cells + 1)
        else:
            self.own = self._merge(ranks)
        pairs = unit.treated.size * unit.n_controls
        self.per_sum = 2.0 / pairs
        self.effect = 2.0 * self.own.sum(axis=0) / pairs

    def _merge(self, ranks: PoolRanks) -> np.ndarray:
        """Centred ranks of treated cells that are merged into the pool's."""
        from programde.crt.kernels.merged_ranks import merge_ranks

        unit, controls = self.unit, ranks.sorted_of(self.unit)
        self.ranks = controls.ranks
        values = np.ascontiguousarray(ranks.read(unit.treated).T) + 0.0
        order = np.argsort(values, axis=1)
        values = np.take_along_axis(values, order, axis=1)
        centred = np.empty(values.shape)
        self._below = np.empty(values.shape, dtype=np.int64)
        self._upto = np.empty(values.shape, dtype=np.int64)
        self.merged = bool(
            merge_ranks(
                controls.V, controls.sampled, controls.average, values, unit.n_cells,
                centred, self._below, self._upto,
            )
        )  # fmt: skip
        own = np.empty(values.shape)
        np.put_along_axis(own, order, centred, axis=1)
        return np.ascontiguousarray(own.T)

    def summed(self, H: np.ndarray) -> Summed:
        """Ranks as summands, with Q' of them H (k, K)."""
        return Summed(self.own, H, self.effect, self.per_sum)

    @property
    def steps(self) -> tuple[np.ndarray, np.ndarray, np.float32]:
        """What the added cells add to the pool's ranks, as `kernels.merged_ranks.steps`, and
        the centre of all ranks."""
        from programde.crt.kernels.merged_ranks import MORE, ROOM, steps

        if self._made is None:
            K, n1 = self._below.shape
            n0 = self.unit.n_cells - n1
            narrow = np.uint16 if ROOM * n1 + MORE < 2**16 * 16 and 2 * n1 < 2**16 else np.uint32
            off = np.empty((K, (n0 + 15) // 16), dtype=narrow)
            fine = np.empty((K, ROOM * n1 + MORE), dtype=narrow)
            steps(self._below, self._upto, n0, off, fine)
            self._made = (off, fine, np.float32(0.5 * (self.unit.n_cells + 1)))
        return self._made

    def fill_rows(self, rows: np.ndarray) -> None:
        """The ranks of the pool's slots into the first columns of rows (n, D) float32."""
        from programde.crt.kernels.merged_ranks import fill_rank_rows

        fill_rank_rows(self.ranks, *self.steps, rows)

    def fill(self, which: np.ndarray, out: np.ndarray) -> None:
        """The ranks of the pool's slots for some programs into out (J, n) float64."""
        from programde.crt.kernels.merged_ranks import fill_ranks

        fill_ranks(self.ranks, *self.steps, which, out)

    def fill_residuals(
        self, factor: np.ndarray, scaled: np.ndarray, place: np.ndarray, out: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The residuals of the pool's ranks on the covariates, times factor (K,), go to place[slot]
        of out (K, .) float32, by way of scaled (K, n).

        Returns Q' of all ranks H (k, K), and the largest of these residuals (K,).
        """
        from programde.crt.kernels.merged_ranks import fill_scaled, take_off

        unit, pool = self.unit, self.unit.pool
        local = np.zeros((pool.n_batches, pool.features.shape[0], self.own.shape[1]))
        cells = pool.first, pool.ranks, unit.live
        fill_scaled(self.ranks, *self.steps, pool.features, *cells, factor, scaled, local)
        H = unit.along(local, self.own)
        along = ((unit.M @ H) * factor).astype(np.float32)
        reach = np.empty(factor.size, dtype=np.float32)
        take_off(pool.features_single, *cells, along, scaled, place, out, reach)
        return H, reach

    def written(self, which: np.ndarray) -> np.ndarray:
        """Centred ranks of programs `which` (J,) in all cells that take part (J, n): the pool's
        slots, then the added cells."""
        unit = self.unit
        slots = np.empty((which.size, unit.pool.n_cells))
        self.fill(which, slots)
        if not unit.whole:
            slots = slots[:, np.repeat(unit.live, unit.pool.sizes)]
        return np.concatenate([slots, self.own[: unit.added.size, which].T], axis=1)


def rank_tails(ranks: UnitRanks, p: np.ndarray) -> LogTails:
    """Both tails (K,) under independent draws of propensities p (n + m,) by slot; the events are
    those of `statistics.utest.PreparedUTest.linearise`."""
    from programde.crt.kernels.merged_ranks import rank_cumulants

    unit, pool, t = ranks.unit, ranks.unit.pool, ranks.effect
    used = np.ascontiguousarray(unit.used(p))
    mean, variance = float(used.sum()), float(used @ (1.0 - used))
    slope = 0.5 * t * (unit.n_cells - 2.0 * mean)
    level = 0.5 * t * mean * (unit.n_cells - mean)
    threshold = level - slope * mean - 0.5 * t * variance
    cumulants = own_cumulants(p[pool.n_cells :], ranks.own[: unit.added.size] - slope)
    rank_cumulants(
        ranks.ranks, *ranks.steps, pool.first, unit.live, slope, p[: pool.n_cells], cumulants
    )

    def write(which: np.ndarray) -> BernoulliSums:
        n = unit.n_cells
        law = (slope[which], np.ones(n), threshold[which], used, np.ones((n, 1)), 0.5 * t[which])
        return BernoulliSums(ranks.written(which), *law, cumulants[which])

    return tails_of_sums(PooledSums(threshold, cumulants, variance, write), SCREEN_LEVEL)
