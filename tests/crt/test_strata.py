"""Strata: bins, merging of small ones, sorting, and what the sampler makes of a population."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from programde.crt.kernels.strata import bins_by_edges
from programde.crt.population import population_of
from programde.crt.samplers import StratifiedPermutation
from programde.crt.samplers.stratified import compute_bins, merge_small
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


def test_strata_are_batch_by_propensity_bin():
    people = population(n=600, p=2, n_batches=3)
    rng = np.random.default_rng(0)
    p = rng.uniform(0.01, 0.4, 600)
    treated = np.sort(rng.choice(600, 80, replace=False))
    law = StratifiedPermutation(n_bins=5).prepare(people).law(p, treated)
    batch = np.unique(people.batch.astype(str), return_inverse=True)[1]
    bins = np.searchsorted(np.quantile(p, [0.2, 0.4, 0.6, 0.8]), p, side="right")
    codes = batch * 5 + bins
    assert law.totals.size == 15
    np.testing.assert_array_equal(law.order, np.argsort(codes, kind="stable"))
    np.testing.assert_array_equal(law.sizes, np.bincount(codes))
    np.testing.assert_array_equal(law.totals, np.bincount(codes[treated], minlength=15))


def test_strata_can_cross_batches_and_follow_the_burden():
    screen = screen_of(n=400, p=1, n_batches=2)
    burden = np.random.default_rng(1).poisson(3.0, 400).astype(float)
    table = screen.covariate_table.assign(burden=burden)
    people = population_of(screen)
    people = replace(people, table=table)
    p, treated = np.full(400, 0.2), np.arange(0, 400, 5)
    sampler = StratifiedPermutation(stratify_by_batch=False, burden_key="burden", n_burden_bins=3)
    law = sampler.prepare(people).law(p, treated)
    bins, n_bins, _ = compute_bins(burden, 3)
    assert law.totals.size == n_bins
    np.testing.assert_array_equal(law.order, np.argsort(bins, kind="stable"))
    with_batch = StratifiedPermutation(burden_key="burden", n_burden_bins=3).prepare(people)
    assert with_batch.law(p, treated).totals.size == 2 * n_bins


def test_strata_below_the_smallest_size_are_merged():
    people = population(n=100, p=1, n_batches=2)
    p = np.random.default_rng(3).uniform(0.01, 0.5, 100)
    treated = np.arange(10)
    for smallest in (2, 7, 30, 1000):
        law = StratifiedPermutation(min_stratum_size=smallest).prepare(people).law(p, treated)
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
