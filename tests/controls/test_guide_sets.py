"""Sets of guides: all different, all possible where few exist, each equally likely."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from programde.controls.guide_sets import (
    disjoint_layers,
    distinct_sets,
    pseudogene_sets,
    split_ntc_units,
)
from programde.errors import InputError, OptionError
from programde.report.metrics import calibration_metrics

NAMES = [f"n{i:02d}" for i in range(30)]


@pytest.mark.parametrize(("items", "size", "wanted"), [(6, 3, 100), (20, 6, 300), (9, 3, 50)])
def test_sets_differ_and_leave_out_one(items, size, wanted):
    own = range(items - size, items)
    sets = distinct_sets(items, size, wanted, np.random.default_rng(0), own)
    assert len(sets) == min(wanted, math.comb(items, size) - 1)
    assert len({tuple(s) for s in sets.tolist()}) == len(sets)
    assert tuple(own) not in {tuple(s) for s in sets.tolist()}
    assert (np.diff(sets, axis=1) > 0).all()


@pytest.mark.slow
@pytest.mark.brief
@pytest.mark.parametrize(("items", "size"), [(12, 2), (40, 2)])
def test_items_are_equally_likely(items, size):
    # 4,000 draws of single sets; false-alarm rate 1e-4
    counts = np.zeros(items)
    for seed in range(4000):
        counts[distinct_sets(items, size, 1, np.random.default_rng(seed))[0]] += 1
    assert stats.chisquare(counts).pvalue > 1e-4


def test_pseudogenes_depend_on_seed_and_names():
    units = pseudogene_sets(NAMES, 6, 200, seed=1)
    assert units == pseudogene_sets(NAMES[::-1], 6, 200, seed=1)
    assert units != pseudogene_sets(NAMES, 6, 200, seed=2)
    assert len(units) == len(set(units)) == 200
    assert all(len(set(u)) == 6 for u in units)
    assert len({g for u in units for g in u}) == 30
    assert len(pseudogene_sets(NAMES[:5], 3, 200)) == 10


def test_too_few_guides():
    with pytest.raises(InputError, match="guides_per_unit=6 needs as many NTC guides, there are 4"):
        pseudogene_sets(NAMES[:4], 6)
    with pytest.raises(OptionError, match="guides_per_unit=0"):
        pseudogene_sets(NAMES[:4], 0)


def test_split_by_guide_shares_none():
    split = split_ntc_units(NAMES, 6, 400, 0.5, seed=3)
    assert split.split == "by guide"
    assert not set(split.guides_A) & set(split.guides_B)
    assert len(split.guides_A) == len(split.guides_B) == 15
    assert {g for u in split.units_A for g in u} <= set(split.guides_A)
    assert {g for u in split.units_B for g in u} <= set(split.guides_B)
    assert len(split.units_A) == len(split.units_B) == 200
    assert split == split_ntc_units(NAMES[::-1], 6, 400, 0.5, seed=3)
    assert split != split_ntc_units(NAMES, 6, 400, 0.5, seed=4)
    assert len(split_ntc_units(NAMES, 6, 400, n_holdout_units=7).units_B) == 7
    assert len(split_ntc_units(NAMES, 6, 400, 0.9).guides_B) == 6  # B can still fill a unit


def test_the_share_of_A_is_that_of_guides_and_of_units():
    many = [f"n{i:02d}" for i in range(40)]
    split = split_ntc_units(many, 4, 400, frac_A=0.25, seed=3)
    assert (len(split.guides_A), len(split.guides_B)) == (10, 30)
    assert (len(split.units_A), len(split.units_B)) == (100, 300)
    shared = split_ntc_units(NAMES[:9], 5, 100, frac_A=0.25, seed=3)
    assert (len(shared.units_A), len(shared.units_B)) == (25, 75)
    assert len(split_ntc_units(NAMES[:9], 5, 100, 0.25, 3, n_holdout_units=7).units_B) == 7


@pytest.mark.parametrize(
    ("n_guides", "share", "n_a"),
    [(12, 0.1, 6), (12, 0.5, 6), (12, 0.9, 7), (11, 0.5, 6), (10, 0.5, 10)],
)
def test_both_parts_can_fill_a_unit_and_A_more_than_one(n_guides, share, n_a):
    split = split_ntc_units(NAMES[:n_guides], 5, 400, share)
    assert len(split.guides_A) == n_a
    by_guide = n_guides > 10  # five for B, and six for A
    assert split.split == ("by guide" if by_guide else "by pseudo-gene")
    assert len(split.guides_B) == (n_guides - n_a if by_guide else n_guides)
    assert len(split.units_A) > 1


def test_split_by_pseudogene_where_guides_are_few():
    split = split_ntc_units(NAMES[:9], 5, 400, 0.5, seed=3)
    assert split.split == "by pseudo-gene"
    assert not set(split.units_A) & set(split.units_B)
    assert len(split.units_A) + len(split.units_B) == math.comb(9, 5)
    assert split.guides_A == split.guides_B == tuple(NAMES[:9])


def test_layers_hold_sets_without_common_guides():
    units = [tuple(u) for u in itertools.combinations("abcdefgh", 3)]
    layers = disjoint_layers(units)
    assert layers[0] == 0
    for layer in range(layers.max() + 1):
        guides = [g for unit, at in zip(units, layers, strict=True) if at == layer for g in unit]
        assert len(guides) == len(set(guides))
    # one of a later layer fits into none before it
    for unit, at in zip(units, layers, strict=True):
        for earlier in range(at):
            used = {g for u, a in zip(units, layers, strict=True) if a == earlier for g in u}
            assert used & set(unit)


@pytest.mark.slow
@pytest.mark.brief
def test_rates_of_sets_of_few_guides_have_honest_intervals():
    """Held-out sets of 4 of 15 guides with null effects of their own: intervals of the rate hold.

    40 screens; that 0.05 lies outside a 95 % interval in more than 8 has probability 1e-4.
    """
    rng = np.random.default_rng(4)
    missed, clusters = 0, []
    for screen in range(40):
        effects = rng.normal(size=(15, 6))
        split = split_ntc_units([f"g{i:02d}" for i in range(30)], 4, 600, seed=screen)
        place = {g: i for i, g in enumerate(split.guides_B)}
        units = split.units_B[:300]
        z = np.stack([effects[[place[g] for g in u]].mean(axis=0) * 2.0 for u in units])
        table = pd.DataFrame(2 * stats.norm.sf(np.abs(z)))
        metrics = calibration_metrics(
            table, 20, 0, cluster=list(range(len(units))), partition=list(disjoint_layers(units))
        )
        clusters.append(metrics["n_independent"])
        missed += not metrics["rate_05_low"] <= 0.05 <= metrics["rate_05_high"]
    assert missed <= 8
    assert max(clusters) <= 3
