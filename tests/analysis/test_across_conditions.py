"""Combining conditions keeps direction, and the level under the null."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from programde.analysis.across_conditions import across_conditions
from programde.calibration.fdr import benjamini_hochberg, storey
from programde.errors import InputError


def table(p: np.ndarray, effect: np.ndarray, n_treated: np.ndarray) -> pd.DataFrame:
    """One target, programs in rows and conditions in columns of `p`."""
    programs, conditions = p.shape
    return pd.DataFrame(
        {
            "condition": np.tile([f"c{c}" for c in range(conditions)], programs),
            "target": "A",
            "program": np.repeat([f"p{k}" for k in range(programs)], conditions),
            "effect": effect.ravel(),
            "null_mean": 0.0,
            "p_value": p.ravel(),
            "n_treated": np.broadcast_to(n_treated, p.shape).ravel(),
        }
    )


def test_two_conditions_by_hand():
    out = across_conditions(table(np.array([[0.01, 0.2]]), np.array([[1.0, 2.0]]), [100, 25]))
    z = stats.norm.isf(np.array([0.005, 0.1]))
    expected = (10 * z[0] + 5 * z[1]) / np.sqrt(125)
    assert out.z.item() == pytest.approx(expected, rel=1e-12)
    assert out.p_value.item() == pytest.approx(2 * stats.norm.sf(expected), rel=1e-12)
    assert (out.n_conditions.item(), out.n_up.item(), out.n_down.item()) == (2, 2, 0)


def test_opposite_shifts_cancel_and_gaps_take_no_part():
    p = np.array([[1e-4, 1e-4, np.nan], [1e-4, np.nan, np.nan], [np.nan, np.nan, np.nan]])
    out = across_conditions(table(p, np.array([[1.0, -1.0, 1.0]] * 3), [50, 50, 50]))
    assert out.p_value[0] == pytest.approx(1.0)
    assert out.p_value[1] == pytest.approx(1e-4)
    assert np.isnan(out.p_value[2])
    assert list(out.n_conditions) == [2, 1, 0]


def test_direction_is_that_from_the_mean_of_the_null():
    # an effect of 1 where the null expects 3 is a shift downwards, and one of -1 where it expects
    # -3 a shift upwards; without a null mean (no draws) the null is about 0
    rows = table(np.full((1, 4), 0.01), np.array([[1.0, 1.0, -1.0, -1.0]]), [40] * 4)
    out = across_conditions(rows.assign(null_mean=[3.0, 3.0, -3.0, np.nan]))
    assert (out.n_up.item(), out.n_down.item()) == (1, 3)
    z = stats.norm.isf(0.005)
    assert out.z.item() == pytest.approx((-z - z + z - z) / 2.0, rel=1e-12)


@pytest.mark.parametrize(("adjust", "by_hand"), [("bh", benjamini_hochberg), ("storey", storey)])
def test_q_values_are_adjusted_as_asked(adjust, by_hand):
    p = np.random.default_rng(4).uniform(size=(60, 2)) ** 3
    out = across_conditions(table(p, np.ones(p.shape), [30, 30]), adjust)
    np.testing.assert_array_equal(out.q_value, by_hand(out.p_value.to_numpy()))


def test_guides_keep_their_targets():
    rows = table(np.full((2, 2), 0.1), np.ones((2, 2)), [30, 30])
    guides = pd.concat([rows.assign(guide="A1"), rows.assign(guide="A2")])
    out = across_conditions(guides)
    assert list(out.columns[:3]) == ["guide", "target", "program"]
    assert list(out["guide"]) == ["A1", "A1", "A2", "A2"]
    assert set(out["target"]) == {"A"}


@pytest.mark.slow
@pytest.mark.brief
def test_level_under_the_null():
    # 20,000 combinations of three: the share below .05 has standard error .0015; four of them
    # fail to hold once in 16,000 seeds
    rng = np.random.default_rng(11)
    p = rng.random((20_000, 3))
    out = across_conditions(table(p, rng.choice([-1.0, 1.0], p.shape), [30, 100, 400]))
    assert abs((out.p_value < 0.05).mean() - 0.05) < 4 * 0.00154


def test_needs_a_condition():
    with pytest.raises(InputError, match="condition"):
        across_conditions(table(np.ones((1, 1)), np.ones((1, 1)), [1]).drop(columns="condition"))


def test_an_effect_of_nothing_points_nowhere():
    out = across_conditions(table(np.array([[0.5, 1.0]]), np.array([[1.0, 0.0]]), [100, 100]))
    assert (out.n_conditions.item(), out.n_up.item(), out.n_down.item()) == (2, 1, 0)
