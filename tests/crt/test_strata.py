"""Strata: bins, merging of small ones, sorting, and what the sampler makes of a population."""

from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit

from programde.crt.kernels.strata import LIKE, OFF_ROUND, bins_by_edges
from programde.crt.population import population_of
from programde.crt.samplers import StratifiedPermutation
from programde.crt.samplers.bins import compute_bins, merge_small
from programde.errors import InputError, OptionError
from tests.crt.small import population, screen_of


@pytest.mark.parametrize("n_edges", [0, 1, 19])
def test_bins_by_edges_counts_edges_as_searchsorted_does(n_edges):
    rng = np.random.default_rng(0)
    values = rng.random(5000)
    edges = np.sort(rng.choice(values, n_edges, replace=False))
    codes = np.empty(values.size, dtype=np.int32)
    bins_by_edges(values, edges, codes)
    np.testing.assert_array_equal(codes, np.searchsorted(edges, values, side="right"))


@pytest.mark.parametrize("method", ["quantile", "uniform"])
@pytest.mark.parametrize("n_bins", [1, 2, 7, 500])
def test_bins_hold_what_their_edges_say(method, n_bins):
    values = np.random.default_rng(1).gamma(1.0, size=300)
    bin_id, n_used, edges = compute_bins(values, n_bins, method)
    assert bin_id.min() == 0
    assert np.unique(bin_id).size == n_used == bin_id.max() + 1 <= n_bins
    assert edges.shape == (n_used + 1,)
    assert (np.diff(edges) > 0).all()
    assert (values >= edges[bin_id]).all()
    last = bin_id == n_used - 1
    assert (values[~last] < edges[bin_id[~last] + 1]).all()
    assert (values[last] <= edges[-1]).all()


def test_quantile_bins_of_distinct_values_are_of_equal_size():
    bin_id, _, _ = compute_bins(np.random.default_rng(2).normal(size=1000), 8)
    assert np.ptp(np.bincount(bin_id)) <= 1


def test_uniform_bins_are_of_equal_width():
    values = np.linspace(0.0, 1.0, 101)
    _, n_used, edges = compute_bins(values, 5, "uniform")
    assert n_used == 5
    np.testing.assert_allclose(np.diff(edges), 0.2)


def test_equal_values_share_a_bin_and_constant_ones_have_one():
    values = np.array([1.0, 1, 1, 1, 1, 2, 3, 3])
    bin_id, n_used, _ = compute_bins(values, 4)
    for value in (1.0, 3.0):
        assert np.unique(bin_id[values == value]).size == 1
    assert n_used <= 3
    bin_id, n_used, edges = compute_bins(np.full(9, 2.5), 4)
    assert n_used == 1
    assert (bin_id == 0).all()
    np.testing.assert_array_equal(edges, [2.5, 2.5])


def test_clipping_puts_outliers_with_the_rest():
    values = np.concatenate([np.linspace(0, 1, 99), [1e6]])
    bin_id, _, _ = compute_bins(values, 4, "uniform", (0.0, 0.95))
    assert np.bincount(bin_id).min() >= 20
    unclipped, _, _ = compute_bins(values, 4, "uniform")
    assert np.bincount(unclipped).max() == 99


def test_wrong_bins_are_refused():
    with pytest.raises(OptionError, match="n_bins=0"):
        compute_bins(np.ones(3), 0)
    with pytest.raises(OptionError, match="method='quantiles'"):
        compute_bins(np.ones(3), 2, "quantiles")
    with pytest.raises(OptionError, match="clip_quantiles"):
        compute_bins(np.ones(3), 2, "quantile", (0.9, 0.1))
    with pytest.raises(InputError, match="1 values to be binned are not finite"):
        compute_bins(np.array([1.0, np.nan]), 2)
    assert compute_bins(np.empty(0), 3)[1] == 0


def test_merging_by_several_counts_fills_each():
    counts = np.array([[9, 1], [9, 1], [1, 9], [9, 9], [9, 9], [0, 3]])
    group = merge_small(counts, np.zeros(6), (5, 2))
    np.testing.assert_array_equal(group, [0, 0, 1, 1, 2, 2])


@pytest.mark.slow
@pytest.mark.brief
@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=6), min_size=1, max_size=4),
    st.integers(1, 8),
)
def test_merging_keeps_order_and_parents_and_fills_strata(sizes_of, smallest):
    sizes = np.array([s for parent in sizes_of for s in parent])
    parents = np.repeat(np.arange(len(sizes_of)), [len(s) for s in sizes_of])
    group = merge_small(sizes, parents, smallest)
    assert group[0] == 0
    assert set(np.diff(group)) <= {0, 1}  # in order, without gaps
    for parent in range(len(sizes_of)):
        inside = group[parents == parent]
        assert not set(inside) & set(group[parents != parent])
        totals = np.array([sizes[group == g].sum() for g in np.unique(inside)])
        assert (totals >= smallest).all() or totals.size == 1


def test_strata_that_are_large_enough_are_left_alone():
    group = merge_small(np.array([2, 3, 2, 9]), np.array([0, 0, 1, 1]), 2)
    np.testing.assert_array_equal(group, [0, 1, 2, 3])


def plain_bins(p, parent, most):
    """Bins at quantiles of the cumulated propensity, by their definition, cell by cell."""
    bins = np.zeros(p.size, dtype=np.int64)
    like = (p.view(np.int64) + int(OFF_ROUND)) >> int(LIKE)
    for one in np.unique(parent):
        cells = np.flatnonzero(parent == one)
        expected = p[cells].sum()
        n_bins = max(1, int(min(most, expected, (cells.size - expected) / 5)))
        before = 0.0
        for value in np.unique(like[cells]):
            same = cells[like[cells] == value]
            middle = before + p[same].sum() / 2
            bins[same] = min(n_bins - 1, int(n_bins * middle / expected + 1e-9))
            before += p[same].sum()
    return bins


@pytest.mark.parametrize("share", [0.02, 0.1, 0.4])
def test_bins_expect_as_many_treated_cells_by_definition(share):
    people = population(n=3000, p=2, n_batches=3)
    rng = np.random.default_rng(0)
    p = expit(logit(share) + rng.normal(size=3000))
    batch = np.unique(people.batch.astype(str), return_inverse=True)[1]
    treated = np.flatnonzero(rng.random(3000) < p)
    law = StratifiedPermutation().prepare(people).law(p, treated)
    codes = batch * 20 + plain_bins(p, batch, 20)
    used = np.unique(codes, return_inverse=True)[1]
    expected, sizes = np.bincount(used, weights=p), np.bincount(used)
    # where no bin is short of untreated cells nothing is merged
    if (sizes - expected > 2.5).all():
        np.testing.assert_array_equal(law.order, np.argsort(codes, kind="stable"))
        np.testing.assert_array_equal(law.sizes, sizes)
        np.testing.assert_array_equal(law.totals, np.bincount(used[treated]))
    for one in range(3):
        inside = expected[np.unique(used[batch == one])]
        assert inside.size <= min(20, p[batch == one].sum())
        # equal but for the share of one value of p at either end
        assert np.ptp(inside) < 0.3 * inside.mean() + 1
    starts = np.split(law.order, law.starts[1:-1])
    assert min(p[cells].sum() for cells in starts) > 0.5
    assert min((1 - p[cells]).sum() for cells in starts) > 2.5


def test_a_batch_with_little_to_permute_is_one_stratum():
    people = population(n=600, p=2, n_batches=3)
    batch = np.unique(people.batch.astype(str), return_inverse=True)[1]
    rng = np.random.default_rng(1)
    # two batches expect 4 to 5 treated cells, 4 bins of 1; the third expects hardly any
    p = np.array([0.025, 0.025, 0.0001])[batch] * rng.uniform(0.2, 1.8, 600)
    law = StratifiedPermutation().prepare(people).law(p, np.arange(15))
    of = np.array([batch[law.order[start]] for start in law.starts[:-1]])
    assert np.bincount(of).tolist() == [4, 4, 1]


def test_cells_that_hardly_stay_untreated_join_the_stratum_below():
    people = population(n=200, p=1)
    p = np.concatenate([np.full(160, 0.05), np.linspace(0.9, 0.99, 40)])
    law = StratifiedPermutation().prepare(people).law(p, np.arange(160, 198))
    untreated = [(1 - p[cells]).sum() for cells in np.split(law.order, law.starts[1:-1])]
    assert min(untreated) > 2.5


def test_equal_propensities_are_never_parted():
    people = population(n=900, p=1)
    levels = np.array([0.125, 0.25, 0.1, 0.3, 1 / 3])
    rng = np.random.default_rng(2)
    level = rng.integers(5, size=900)
    # what a fit leaves of equal propensities
    p = levels[level] * (1 + 4e-16 * rng.integers(-3, 4, size=900))
    for n_bins in (2, 3, 5, 20, 500):
        law = StratifiedPermutation(n_bins=n_bins).prepare(people).law(p, np.arange(150))
        held = [set(level[cells]) for cells in np.split(law.order, law.starts[1:-1])]
        assert sum(map(len, held)) == 5
    assert len(held) == 5  # and parted where they differ
    assert StratifiedPermutation().prepare(people).law(p * 0 + 0.2, np.arange(9)).sizes == [900]


def test_strata_do_not_depend_on_the_order_of_cells():
    people = population(n=1000, p=1, n_batches=2)
    rng = np.random.default_rng(3)
    p, shuffled = rng.beta(1, 9, 1000), rng.permutation(1000)
    moved = replace(people, outcome=people.outcome[shuffled], batch=people.batch[shuffled])
    sets = []
    for one, values, name in ((people, p, np.arange(1000)), (moved, p[shuffled], shuffled)):
        one = replace(one, table=None)
        law = StratifiedPermutation().prepare(one).law(values, np.arange(10))
        sets.append([frozenset(name[cells]) for cells in np.split(law.order, law.starts[1:-1])])
    assert sets[0] == sets[1]
    assert len(sets[0]) > 20


def test_propensities_of_zero_and_one_have_their_strata():
    people = population(n=300, p=1)
    p = np.concatenate([np.zeros(100), np.full(190, 0.1), np.ones(10)])
    law = StratifiedPermutation().prepare(people).law(p, np.arange(280, 300))
    assert sorted(law.order) == list(range(300))
    assert law.totals.sum() == 20


def test_by_cells_strata_are_batch_by_quantile_bin():
    people = population(n=600, p=2, n_batches=3)
    rng = np.random.default_rng(0)
    p = rng.uniform(0.01, 0.4, 600)
    treated = np.sort(rng.choice(600, 80, replace=False))
    law = StratifiedPermutation(n_bins=5, bins_by="cells").prepare(people).law(p, treated)
    batch = np.unique(people.batch.astype(str), return_inverse=True)[1]
    bins = np.searchsorted(np.quantile(p, [0.2, 0.4, 0.6, 0.8]), p, side="right")
    codes = batch * 5 + bins
    assert law.totals.size == 15
    np.testing.assert_array_equal(law.order, np.argsort(codes, kind="stable"))
    np.testing.assert_array_equal(law.sizes, np.bincount(codes))
    np.testing.assert_array_equal(law.totals, np.bincount(codes[treated], minlength=15))


@pytest.mark.parametrize("bins_by", ["expected", "cells"])
def test_strata_can_cross_batches_and_follow_the_burden(bins_by):
    screen = screen_of(n=400, p=1, n_batches=2)
    burden = np.random.default_rng(1).poisson(3.0, 400).astype(float)
    table = screen.covariate_table.assign(burden=burden)
    people = population_of(screen)
    people = replace(people, table=table)
    p, treated = np.full(400, 0.2), np.arange(0, 400, 5)
    how = {"burden_key": "burden", "n_burden_bins": 3, "bins_by": bins_by}
    law = StratifiedPermutation(stratify_by_batch=False, **how).prepare(people).law(p, treated)
    bins, n_bins, _ = compute_bins(burden, 3)
    assert law.totals.size == n_bins
    np.testing.assert_array_equal(law.order, np.argsort(bins, kind="stable"))
    with_batch = StratifiedPermutation(**how).prepare(people)
    assert with_batch.law(p, treated).totals.size == 2 * n_bins


def test_a_burden_bin_too_small_to_permute_joins_the_next_of_its_batch():
    people = population(n=400, p=1, n_batches=2)
    batch = np.unique(people.batch.astype(str), return_inverse=True)[1]
    burden = np.where(np.arange(400) < 6, 0.0, np.arange(400) % 3 + 1.0)
    people = replace(people, table=pd.DataFrame({"burden": burden}))
    sampler = StratifiedPermutation(
        burden_key="burden", n_burden_bins=400, burden_bin_method="uniform"
    )
    law = sampler.prepare(people).law(np.full(400, 0.1), np.arange(40))
    held = [
        (set(batch[cells]), sorted(set(burden[cells])))
        for cells in np.split(law.order, law.starts[1:-1])
    ]
    assert held == [({b}, kinds) for b in (0, 1) for kinds in ([0.0, 1.0], [2.0], [3.0])]


def test_strata_below_the_smallest_size_are_merged():
    people = population(n=100, p=1, n_batches=2)
    p = np.random.default_rng(3).uniform(0.01, 0.5, 100)
    treated = np.arange(10)
    for smallest, by in product((2, 7, 30, 1000), ("expected", "cells")):
        sampler = StratifiedPermutation(min_stratum_size=smallest, bins_by=by)
        law = sampler.prepare(people).law(p, treated)
        assert (law.sizes >= smallest).all() or law.totals.size == 2
        assert law.totals.sum() == 10
        assert law.sizes.sum() == 100
        assert sorted(law.order) == list(range(100))


def test_which_column_is_the_batch():
    screen = screen_of(n=60, p=1, n_batches=2)
    lane = np.resize(["x", "y", "z"], 60)
    people = population_of(screen)
    people = replace(people, table=screen.covariate_table.assign(lane=pd.Categorical(lane)))
    assert StratifiedPermutation().prepare(people).n_batches == 2
    assert StratifiedPermutation(batch_key="lane").prepare(people).n_batches == 3
    with pytest.raises(InputError, match=r"batch_key='lan'.*lane"):
        StratifiedPermutation(batch_key="lan").prepare(people)
    # labels the screen was told to use go before a column that merely has the usual name
    own = replace(people, batch=lane.astype(object))
    assert StratifiedPermutation().prepare(own).n_batches == 3
    alone = replace(people, batch=None, table=None)
    assert StratifiedPermutation().prepare(alone).n_batches == 1


def test_burden_that_is_absent_or_not_a_number_is_refused():
    people = population(n=60, p=2, n_batches=2)
    with pytest.raises(InputError, match=r"burden_key='z9'.*valid: z0, z1, batch"):
        StratifiedPermutation(burden_key="z9").prepare(people)
    with pytest.raises(InputError, match="burden_key='batch' is not numeric"):
        StratifiedPermutation(burden_key="batch").prepare(people)
    with pytest.raises(OptionError, match="min_stratum_size=0"):
        StratifiedPermutation(min_stratum_size=0)
