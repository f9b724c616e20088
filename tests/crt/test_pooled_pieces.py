"""Pieces of the shared controls: when they do not serve, ranks, and sums by place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse
from scipy.stats import rankdata

from programde.crt.kernels.merged_ranks import merge_ranks, rank_live, rank_within
from programde.crt.pooled import prepared_pool
from programde.crt.pooled.control_pool import ControlPool
from programde.crt.pooled.pool_cells import OwnCells, PoolCells
from programde.crt.pooled.pool_ranks import PoolRanks, UnitRanks
from programde.crt.pooled.pooled_unit import PooledUnit
from programde.crt.pooled.prepared_pool import why_plain
from programde.crt.samplers import Bernoulli, BernoulliLaw, StratifiedLaw
from programde.crt.statistics import OLS
from tests.crt.test_pooled import options, runs, same, small


class OtherStatistic(OLS):
    """One that is not known."""


class OtherSampler(Bernoulli):
    """One that is not known."""


def test_ways_that_ask_for_whole_populations():
    assert not why_plain(options(), watched=False)
    assert why_plain(options(), watched=True) == prepared_pool.WATCHED
    other = options(OtherStatistic())
    assert why_plain(other, watched=False) == prepared_pool.OTHER_STATISTIC
    other = options(sampler=OtherSampler())
    assert why_plain(other, watched=False) == prepared_pool.OTHER_SAMPLER
    own = options(propensity=lambda C, x: np.full(x.size, 0.1), given="propensity")
    assert why_plain(own, watched=False) == prepared_pool.OWN_PROPENSITY


def test_control_cells_left_out_of_one_test():
    screen = small()
    controls = np.flatnonzero(screen.guides[:, -24:].sum(axis=1).A1 > 0)[:5]
    between = sparse.lil_matrix(screen.guides.shape, dtype=np.int8)
    between[controls, 0] = 1
    screen = replace(screen, ambiguous=sparse.csc_matrix(between))
    shared, plain = runs(screen, options(n_resamples=49))
    same(shared, plain)
    assert plain.n_control[0] == plain.n_control[1] - 5
    # the very same way, not a like one
    np.testing.assert_array_equal(shared.null.mean[0], plain.null.mean[0])


@pytest.mark.parametrize("ties", [1, 7, 10_000])
@pytest.mark.parametrize("left_out", [False, True])
def test_ranks_of_treated_cells_merged_into_controls(ties, left_out):
    screen = small()
    values = np.round(screen.clr * ties) / ties
    codes = np.unique(screen.batch.astype(str), return_inverse=True)[1]
    holds = screen.guides[:, 0].toarray().ravel() > 0
    live = np.array([True, False, True, True]) if left_out else None
    keep = np.ones(holds.size, dtype=bool) if live is None else live[codes]
    pool_cells = PoolCells(screen, np.flatnonzero(~holds), codes)
    pool = ControlPool(pool_cells)
    own = OwnCells(pool_cells, np.flatnonzero(holds & keep), np.empty(0, dtype=int), live)
    ranks = UnitRanks(PooledUnit(pool, own, 1), PoolRanks(pool, lambda cells: values[cells]))
    assert ranks.merged
    cells = np.concatenate([pool.slots[keep[pool.slots]], own.treated])
    expected = rankdata(values[cells], axis=0) - (cells.size + 1) / 2
    np.testing.assert_array_equal(ranks.written(np.arange(values.shape[1])).T, expected)


@pytest.mark.parametrize("ties", [7, 10_000])
def test_ranks_of_cells_of_the_pool_in_some_batches(ties):
    screen = small()
    values = np.round(screen.clr * ties) / ties
    codes = np.unique(screen.batch.astype(str), return_inverse=True)[1]
    live = np.array([True, False, True, True])
    pool_cells = PoolCells(screen, np.arange(screen.n_cells), codes)
    pool = ControlPool(pool_cells)
    treated = np.flatnonzero(live[codes])[::9]
    own = OwnCells(pool_cells, treated, treated[:0], live, within=True)
    ranks = UnitRanks(PooledUnit(pool, own, 1), PoolRanks(pool, lambda cells: values[cells]))
    cells = pool.slots[live[codes[pool.slots]]]
    expected = rankdata(values[cells], axis=0) - (cells.size + 1) / 2
    np.testing.assert_array_equal(ranks.written(np.arange(values.shape[1])).T, expected)
    at = [int(np.flatnonzero(cells == cell)[0]) for cell in treated]
    np.testing.assert_array_equal(ranks.own, expected[at])


def test_cells_that_are_tied_by_one_that_takes_no_part():
    V = 1.0 + 2.0**-52 * np.array([[20_000.0, 23_000.0, 26_000.0, 1e7]])
    places = np.arange(4, dtype=np.int32)[None]
    average, ranks = np.empty(V.shape, np.float32), np.empty(V.shape, np.float32)
    rank_within(places, V, average, ranks)
    assert ranks.tolist() == [[2.0, 2.0, 2.0, 4.0]]
    for member, expected in (
        ([1, 0, 1, 1], [1.0, 2.0, 3.0]),
        ([1, 1, 0, 1], [1.5, 1.5, 3.0]),
        ([0, 1, 1, 0], [1.5, 1.5]),
        ([0, 0, 0, 1], [1.0]),
    ):
        found, among = np.ones(V.shape, np.float32), np.array(member, dtype=bool)
        rank_live(places, V, average, among, found)
        assert found[0, among].tolist() == expected
        assert ((found >= 1.0) & (found <= 4.0)).all()


def test_a_treated_value_between_controls_that_are_not_tied():
    unit = 2.0**-52  # in the last place of numbers from 1 to 2
    V = 1.0 + unit * np.array([[20_000.0, 26_000.0, 1e7]])
    average, by_cell = np.empty(V.shape, np.float32), np.empty(V.shape, np.float32)
    rank_within(np.arange(3, dtype=np.int32)[None], V, average, by_cell)
    assert average.tolist() == [[1.0, 2.0, 3.0]]

    def merged(*places):
        values = 1.0 + unit * np.array([places], dtype=float)
        centred = np.empty(values.shape)
        below, upto = (np.empty(values.shape, np.int64) for _ in range(2))
        n = V.size + values.size
        done = merge_ranks(V, V[:, ::8].copy(), average, values, n, centred, below, upto)
        return done, centred[0] + (n + 1) / 2

    assert not merged(23_000.0)[0]
    # tied with the first alone, and one tied by way of another
    done, ranks = merged(14_000.0, 17_000.0)
    assert done
    np.testing.assert_array_equal(ranks, [2.0, 2.0])
    done, ranks = merged(9e6, 2e7)
    np.testing.assert_array_equal(ranks, [3.0, 5.0])


@pytest.mark.parametrize("law", ["independent", "permuted"])
def test_sums_of_rows_by_their_place(law):
    rng = np.random.default_rng(0)
    n, m = 90, 10
    rows = rng.integers(0, 9, size=(n, 16)).astype(np.float32)
    tail = rng.integers(0, 9, size=(m, 32)).astype(np.float32)
    where = rng.permutation(n + m).astype(np.int32)
    wide = np.concatenate([np.pad(rows, ((0, 0), (0, 16))), tail])[where]
    if law == "independent":
        of = BernoulliLaw(rng.uniform(0.01, 0.2, n + m))
    else:
        order = rng.permutation(n + m)
        of = StratifiedLaw(order, np.array([0, 40, 100]), np.array([3, 7]))
    key = np.array([5, 6, 7, 8], dtype=np.uint64)
    sums, counts = of.sums_at(where, rows, tail, 50, key)
    expected, expected_counts = of.sums(np.ascontiguousarray(wide), 50, key)
    np.testing.assert_array_equal(sums, expected)
    np.testing.assert_array_equal(counts, expected_counts)
