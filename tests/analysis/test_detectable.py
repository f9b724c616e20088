"""The smallest effect that would have been seen, and how the means of hits changed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from programde.analysis.detectable import run_threshold, smallest_seen, with_mde80
from programde.analysis.switching import switching
from programde.crt.control_group import choose_control
from programde.screen.build import Parts, build_screen
from programde.screen.options import Floor


def results(q: list[float]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "target": ["A", "A", "B", "B"],
            "n_treated": [50, 50, 500, 500],
            "p_value": [1e-4, 0.01, 0.5, np.nan],
            "q_value": [*q, np.nan],
            "effect_se": [0.2, np.nan, 0.1, 0.1],
            "null_sd": [0.3, 0.4, 0.1, 0.1],
        }
    )


@pytest.mark.parametrize(("side", "share"), [("both", 2), ("left", 1), ("right", 1)])
def test_mde80_is_what_a_normal_statistic_finds_in_four_of_five(side, share):
    table = with_mde80(results([0.01, 0.05, 0.5]), 0.1, side)
    assert run_threshold(table, 0.1) == 0.01
    reach = stats.norm.isf(0.01 / share)
    found = stats.norm.sf(reach - table["mde80"] / [0.2, 0.4, 0.1, 0.1])
    np.testing.assert_allclose(found[:3], 0.8, rtol=1e-12)
    assert np.isnan(table["mde80"].iloc[3])


def test_without_a_hit_the_threshold_is_that_of_the_first():
    assert run_threshold(results([0.3, 0.4, 0.5]), 0.1) == pytest.approx(0.1 / 3)


def test_targets_least_sensitive_first():
    seen = smallest_seen(with_mde80(results([0.01, 0.05, 0.5]), 0.1))
    assert seen["target"].tolist() == ["A", "B"]
    assert seen["n_treated"].tolist() == [50, 500]
    assert seen["mde80"].iloc[0] == pytest.approx(
        0.3 * (stats.norm.isf(0.005) + stats.norm.isf(0.2))
    )


def test_the_part_of_a_change_that_came_by_switching():
    """Program 0 doubles in treated cells: in half of it twice as many cells are on, the rest more
    in each; program 1 falls by scaling alone."""
    n = 400
    treated = np.arange(n) < 200
    usage = np.full((n, 3), 0.1)
    usage[:, 0] = np.where(np.arange(n) % 4 == 0, 0.04, 0.0)  # a quarter of all cells
    usage[treated & (np.arange(n) % 4 < 2), 0] = 0.04  # half of the treated ones
    usage[treated, 0] *= 1.5
    usage[treated, 1] = 0.05
    usage[:, 2] = 1 - usage[:, :2].sum(axis=1)
    guides = np.column_stack([treated, ~treated]).astype(np.int8)
    names = [f"c{i}" for i in range(n)]
    parts = Parts(names, usage, None, guides, {"g": "T", "n": "non-targeting"}, ["g", "n"])
    screen = build_screen(parts, floor=Floor("fixed", eps=0.03))
    control = choose_control(screen, "nt_cells", ["non-targeting"])
    units = {"T": screen.unit("T", ["g"])}
    pairs = [("T", "program_0"), ("T", "program_1")]
    table = switching(screen, units, pairs, control)
    np.testing.assert_allclose(table["changed"], np.log([3.0, 0.5]))
    np.testing.assert_allclose(table["switched"], [np.log(2.0), 0.0])
