"""Matching grids and neighbouring bins."""

import numpy as np
import pytest

from programde.controls.matching import MatchingOptions, match_units, matching_grid
from programde.errors import OptionError


def test_places_are_quantile_bins_of_the_targets():
    n1 = np.arange(1.0, 101.0)
    grid = matching_grid(n1, n1, None, MatchingOptions(n_n1_bins=4, n_d_bins=2))
    bins = grid.place(n1, n1)
    assert np.bincount(bins[:, 0]).tolist() == [25] * 4
    assert np.bincount(bins[:, 1]).tolist() == [50] * 2
    assert grid.place(np.array([0.0, 1e9]), np.array([0.0, 1e9])).tolist() == [[0, 0], [3, 1]]


def test_each_axis_has_bins_of_its_own_values():
    """Cells and information need not go together: treated cells may be alike in covariates."""
    n1 = np.arange(1.0, 101.0)
    d = n1[::-1] / 50.0
    bins = matching_grid(n1, d, None, MatchingOptions(n_n1_bins=2, n_d_bins=4)).place(n1, d)
    assert bins[:, 0].tolist() == [0] * 50 + [1] * 50
    assert np.bincount(bins[:, 1]).tolist() == [25] * 4
    assert (np.diff(bins[:, 1]) <= 0).all()


def test_pbar_is_a_third_axis():
    values = np.arange(1.0, 11.0)
    options = MatchingOptions(n_pbar_bins=5)
    grid = matching_grid(values, values, -values, options)
    assert grid.place(values, values, -values)[:, 2].tolist() == [4, 4, 3, 3, 2, 2, 1, 1, 0, 0]
    with pytest.raises(OptionError, match="pbar"):
        grid.place(values, values)


def test_targets_all_alike_share_one_bin():
    grid = matching_grid(np.full(9, 5.0), np.full(9, 4.0), None, MatchingOptions())
    assert len({tuple(b) for b in grid.place(np.full(3, 5.0), np.full(3, 4.0)).tolist()}) == 1


def test_neighbours_are_added_until_there_are_enough():
    bins = np.array([[0, 0], [0, 1], [1, 1], [3, 3], [0, 0]])
    eligible = np.array([True, True, True, True, False])
    first = match_units(bins, np.array([0, 0]), eligible, 1)
    assert (first.matched.tolist(), first.radius, first.fallback) == (
        [True, False, False, False, False],
        0,
        "",
    )
    assert first.floor == 1 / 2
    three = match_units(bins, np.array([0, 0]), eligible, 3)
    assert (three.matched.sum(), three.radius, three.fallback) == (3, 2, "")
    every = match_units(bins, np.array([0, 0]), eligible, 50)
    assert (every.matched.sum(), every.radius, every.fallback) == (4, 6, "all")
    none = match_units(bins, np.array([0, 0]), np.zeros(5, dtype=bool), 1)
    assert not none.matched.any()
    assert np.isnan(none.floor)


def test_options_are_checked():
    with pytest.raises(OptionError, match=r"matching has no option 'n_bins'.*n_n1_bins"):
        MatchingOptions.from_dict({"n_bins": 3})
    with pytest.raises(
        OptionError, match=r"matching\.min_ntc_per_bin=0 is out of range: must be >= 1"
    ):
        MatchingOptions(min_ntc_per_bin=0)
