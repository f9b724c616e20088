"""The original's QQ plot: its band over partitions, and grids that say nothing."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import programde as pde
from programde.compat.propensity import _said
from programde.errors import InputError, ProgramDEWarning

GUIDES = {"c1": "control", "c2": "control", "t": "T"}


def plot(**options):
    """Axes of a plot of uniform p-values: two control guides, one target."""
    rng = np.random.default_rng(4)
    raw = pd.DataFrame(rng.random((3, 20)), index=["control", "T", "U"])
    return pde.qq_plot_ntc_pvals(raw, GUIDES, ["control"], null_pvals=rng.random(99), **options)


@pytest.fixture
def partitions():
    """Five partitions of eight groups, five programs: forty p-values each."""
    rng = np.random.default_rng(5)
    return {i: pd.DataFrame(rng.random((8, 5))) for i in range(5)}


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def test_the_band_goes_between_quantiles_of_the_partitions(partitions):
    low, high = 0.1, 0.75
    ax = plot(
        ntc_group_pvals_ens=partitions, show_ntc_ensemble_band=True, ntc_band_quantiles=(low, high)
    )
    (band,) = [c for c in ax.collections if str(c.get_label()).startswith("10% to 75% of 5")]
    edges = band.get_paths()[0].vertices
    heights = np.stack([np.sort(-np.log10(t.to_numpy().ravel())) for t in partitions.values()])
    expected = np.quantile(heights, [low, high], axis=0)
    at = -np.log10((np.arange(40, 0, -1) - 0.5) / 40)
    # its highest points lie where the smallest of forty p-values is expected
    last = edges[np.isclose(edges[:, 0], at[-1])][:, 1]
    np.testing.assert_allclose([last.min(), last.max()], expected[:, -1])


@pytest.mark.parametrize("wrong", [(0.9, 0.1), (0.5, 0.5), (-0.1, 0.5), (0.1, 1.1)])
def test_quantiles_of_a_band_rise_within_0_to_1(partitions, wrong):
    with pytest.raises(InputError, match="two rising numbers"):
        plot(ntc_group_pvals_ens=partitions, show_ntc_ensemble_band=True, ntc_band_quantiles=wrong)
    assert plt.get_fignums() == []


@pytest.mark.parametrize("name", ["expected_grid_raw", "expected_grid_all"])
def test_a_grid_of_ones_own_is_told_to_be_ignored(name, monkeypatch):
    monkeypatch.setattr("programde.compat.propensity._said", set(_said) - {name})
    usual = (np.arange(1, 21) - 0.5) / 20
    plot(**{name: usual[::-1]})  # in any order: silent, or the suite fails
    with pytest.warns(ProgramDEWarning, match=f"{name}='7 values' is ignored"):
        plot(**{name: np.linspace(0.1, 0.9, 7)})
