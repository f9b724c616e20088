"""Control p-values as one table: kinds, conditions combined, sides."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from programde.analysis.across_conditions import across_conditions, all_conditions
from programde.analysis.calibrate import calibrate, raw_p
from programde.analysis.control_tables import OVER_CONDITIONS, control_table, group_p_values
from programde.analysis.ntc_groups import run_ntc_groups
from programde.analysis.ntc_null import NTCNull
from programde.analysis.tables import results_table
from programde.analysis.targets import run_targets
from programde.crt.engine import RunOptions
from programde.crt.samplers import Bernoulli
from programde.crt.statistics import OLS
from tests.crt.small import screen_of

HOW = {"ntc_labels": "NTC", "control": "complement", "by_condition": True}


def options(n_resamples=49):
    return RunOptions(
        OLS(),
        Bernoulli(),
        n_resamples=n_resamples,
        seed=5,
        progress=False,
        min_treated=1,
        min_control=1,
    )


@pytest.fixture(scope="module")
def screen():
    made = screen_of(n=400, k=3, n_targets=5, n_ntc=4)
    return replace(made, condition=np.resize(np.array(["one", "two"], dtype=object), made.n_cells))


@pytest.fixture(scope="module")
def controls(screen):
    return run_ntc_groups(screen, options(), group_size=2, n_partitions=2, **HOW)


def test_kinds_are_those_at_hand(screen, controls):
    assert list(group_p_values(controls.result)) == ["raw", "skew_normal", "saddlepoint"]
    without = run_ntc_groups(screen, options(0), group_size=2, n_partitions=1, **HOW)
    assert list(group_p_values(without.result)) == ["saddlepoint"]
    no_tails = replace(controls.result, tails=None)
    assert list(group_p_values(no_tails)) == ["raw", "skew_normal"]
    for side in ("left", "right"):
        kinds = group_p_values(controls.result, side)
        np.testing.assert_array_equal(kinds["raw"], raw_p(controls.result, side))
        for kind in ("skew_normal", "saddlepoint"):
            expected = calibrate(controls.result, kind, side).p_value
            np.testing.assert_array_equal(kinds[kind], expected)


def test_groups_are_combined_over_conditions_as_targets_are(controls):
    table = control_table(controls, "saddlepoint")
    combined = table[table[OVER_CONDITIONS].notna()]
    assert set(combined["partition"]) == {0, 1}
    assert (combined["condition"] == "").all()
    tidy = results_table(controls.result, calibrate(controls.result, "saddlepoint"), level="group")
    expected = across_conditions(tidy).set_index(["group", "program"])["p_value"]
    for number, partition in enumerate(controls.partitions):
        rows = combined[combined["partition"] == number].set_index(["group", "program"])
        assert set(rows.index.get_level_values("group")) == set(partition.values())
        np.testing.assert_allclose(rows[OVER_CONDITIONS], expected.loc[rows.index], rtol=1e-12)


def test_effects_have_signs_where_tests_are_two_sided(controls):
    table = control_table(controls, "saddlepoint")
    single = table[(table["condition"] != "") & (table["partition"] == 0)]
    rows = single.set_index(["condition", "group", "program"])["sign"]
    result = controls.result
    for i, (level, group) in enumerate(zip(result.condition, result.units, strict=True)):
        if group not in controls.partitions[0].values():
            continue
        for j, program in enumerate(result.programs):
            beyond = result.effect[i, j] - result.null.mean[i, j]
            if abs(beyond) > 0.3 * result.null.sd[i, j]:  # near the middle two laws may differ
                assert rows[level, group, program] == np.sign(beyond)
    assert "sign" not in control_table(controls, "saddlepoint", "left")


def test_how_programs_go_together_is_stored(controls, tmp_path):
    controls.save(tmp_path)
    pd.testing.assert_frame_equal(NTCNull.load(tmp_path).correlation, controls.correlation)
    assert list(controls.correlation.columns) == controls.result.programs
    (tmp_path / "without").mkdir()
    replace(controls, correlation=None).save(tmp_path / "without")
    assert NTCNull.load(tmp_path / "without").correlation is None


@pytest.mark.parametrize("side", ["left", "right"])
def test_nothing_one_sided_is_combined(screen, controls, side):
    """The combination takes two-sided p-values and signs."""
    assert OVER_CONDITIONS not in control_table(controls, "saddlepoint", side)
    result = run_targets(screen, options(), **HOW)
    tidy = results_table(result, calibrate(result, "saddlepoint", side))
    assert all_conditions(tidy, side).empty
    assert list(all_conditions(tidy, side)) == list(across_conditions(tidy))


def test_all_conditions_passes_the_adjustment_on(screen):
    result = run_targets(screen, options(), **HOW)
    tidy = results_table(result, calibrate(result, "saddlepoint"))
    tidy.loc[tidy.index % 2 == 0, "p_value"] = 1e-6  # half of the tests are changed
    for adjust in ("bh", "storey"):
        found = all_conditions(tidy, "both", adjust)
        assert found.equals(across_conditions(tidy, adjust))
    assert not all_conditions(tidy, "both", "storey").equals(all_conditions(tidy))
    assert all_conditions(tidy.drop(columns="condition")).empty
