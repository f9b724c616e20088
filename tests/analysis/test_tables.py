"""Tidy tables: their columns, what is missing where a test could not be done, q-values."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import false_discovery_control, norm

from programde.analysis.calibrate import CALIBRATIONS, Calibrated, calibrate, raw_p
from programde.analysis.ntc_groups import run_ntc_groups
from programde.analysis.tables import (
    ADJUST,
    adjust_p,
    ntc_table,
    omnibus_table,
    results_table,
)
from programde.analysis.targets import RunOptions, run_targets
from programde.calibration.empirical import empirical_p
from programde.controls.control_units import control_units
from programde.controls.options import ControlUnitOptions
from programde.crt.samplers import Bernoulli
from programde.crt.statistics import OLS, UTest
from programde.errors import OptionError
from programde.tails.formulas import BRANCHES
from tests.crt.small import screen_of

COLUMNS = [
    "target",
    "program",
    "effect",
    "effect_se",
    "p_raw",
    "p_value",
    "q_value",
    "p_direct",
    "q_direct",
    "n_treated",
    "n_control",
    "null_mean",
    "null_sd",
    "calibration",
    "fallback",
    "reason",
    "effect_low",
    "effect_high",
    "usage_difference",
    "log_ratio",
    "mirror",
    "direct_reason",
]


def options(statistic=None, **changes):
    defaults = {"n_resamples": 99, "seed": 5, "progress": False, "min_treated": 1, "min_control": 1}
    return RunOptions(statistic or OLS(), Bernoulli(), **{**defaults, **changes})


@pytest.fixture(scope="module")
def screen():
    made = screen_of(n=300, k=4, n_targets=5, n_ntc=4)
    presence = made.guides.toarray()
    presence[:, 2:4] = 0  # T1 has no cell
    return replace(made, guides=type(made.guides)(presence))


@pytest.fixture(scope="module")
def result(screen):
    return run_targets(screen, options(), ntc_labels="NTC")


@pytest.mark.parametrize("method", ["none", "skew_normal"])
def test_one_row_per_test_and_nothing_where_there_was_none(result, method):
    table = results_table(result, calibrate(result, method))
    assert list(table.columns) == COLUMNS
    assert len(table) == 5 * 4
    assert list(table["target"][::4]) == result.units
    assert list(table["program"][:4]) == result.programs
    assert not table.duplicated(["target", "program"]).any()
    missing = table["target"] == "T1"
    assert (table.loc[missing, "reason"] == "no treated cells").all()
    assert (table.loc[~missing, "reason"] == "").all()
    numbers = ["effect", "effect_se", "p_raw", "p_value", "q_value", "null_mean", "null_sd"]
    assert table.loc[missing, numbers].isna().all().all()
    assert table.loc[~missing, numbers].notna().all().all()
    assert (table.loc[missing, "n_treated"] == 0).all()
    assert (table.loc[missing, "fallback"] == "").all()
    assert (table["calibration"] == method).all()
    tested = table[~missing]
    expected = false_discovery_control(tested["p_value"].to_numpy())
    np.testing.assert_allclose(tested["q_value"], expected, rtol=1e-12)
    np.testing.assert_array_equal(tested["effect"], result.effect[[0, 2, 3, 4]].ravel())
    raw = (1 + result.null.n_abs_ge[[0, 2, 3, 4]].ravel()) / 100
    np.testing.assert_allclose(tested["p_raw"], raw)
    if method == "none":
        np.testing.assert_array_equal(tested["p_value"], tested["p_raw"])


def test_sides_are_those_of_the_counts(result):
    for side, counts in (("left", result.null.n_le), ("right", result.null.n_ge)):
        table = results_table(result, calibrate(result, "none", side))
        rows = table["target"] != "T1"
        expected = ((1 + counts) / 100)[[0, 2, 3, 4]].ravel()
        np.testing.assert_allclose(table.loc[rows, "p_raw"], expected)
        np.testing.assert_allclose(table.loc[rows, "p_value"], expected)


def test_the_side_is_that_of_the_calibrated_p_values(result):
    left = calibrate(result, "skew_normal", "left")
    with pytest.raises(OptionError, match=r"side=both, but the p-values were .* side=left"):
        results_table(result, left, side="both")
    pd.testing.assert_frame_equal(
        results_table(result, left, side="left"), results_table(result, left)
    )


def test_guides_stand_before_their_targets(screen):
    guides = run_targets(screen, options(), unit="guide", ntc_labels="NTC")
    calibrated = calibrate(guides, "none")
    target_of = dict(screen.guide_to_target)
    for table in (
        results_table(guides, calibrated, target_of=target_of),
        omnibus_table(guides, calibrated, target_of=target_of),
    ):
        assert list(table.columns[:2]) == ["guide", "target"]
        assert list(dict.fromkeys(table["guide"])) == guides.units
        assert list(table["target"]) == [target_of[guide] for guide in table["guide"]]


def test_every_q_value_is_adjusted_as_asked(result, monkeypatch):
    # so few targets that Benjamini and Hochberg's q-values and Storey's can be the same
    monkeypatch.setitem(ADJUST, "halved", lambda p: p / 2)
    calibrated = calibrate(result, "none")
    results = results_table(result, calibrated, adjust="halved")
    omnibus = omnibus_table(result, calibrated, adjust="halved")
    for table, name in ((results, "value"), (omnibus, "max"), (omnibus, "acat")):
        np.testing.assert_array_equal(table[f"q_{name}"], table[f"p_{name}"] / 2)
    assert {adjust: by.__name__ for adjust, by in ADJUST.items() if adjust != "halved"} == {
        "bh": "benjamini_hochberg",
        "storey": "storey",
    }


def test_without_draws_raw_p_values_are_missing_and_calibrations_refuse(screen):
    result = run_targets(screen, options(n_resamples=0), ntc_labels="NTC")
    assert np.isnan(raw_p(result)).all()
    for method in ("none", "skew_normal"):
        with pytest.raises(OptionError, match=f"calibrate={method} needs null draws"):
            calibrate(result, method)


def test_saddlepoint_says_which_way_each_p_value_was_got(screen, result):
    table = results_table(result, calibrate(result, "saddlepoint"))
    names = [*COLUMNS, "p_moments"]
    names.insert(names.index("calibration") + 1, "branch")
    assert list(table.columns) == names
    # the check by exact moments alone is near where many cells are treated
    near = np.log(table["p_moments"] / table["p_value"]).abs()[table["p_value"] > 0.05]
    assert near.median() < 0.1
    missing = table["target"] == "T1"
    assert (table.loc[missing, "branch"] == "").all()
    assert table.loc[missing, "p_value"].isna().all()
    assert table.loc[~missing, "branch"].isin(BRANCHES).all()
    # the same law, drawn and computed
    gap = table.loc[~missing, "p_value"] - table.loc[~missing, "p_raw"]
    assert gap.abs().max() < 5 * 0.5 / np.sqrt(99)


def test_wrong_names_are_refused(result):
    with pytest.raises(OptionError, match=r"calibrate='skewnormal'.*skew_normal"):
        calibrate(result, "skewnormal")
    with pytest.raises(OptionError, match="side='two'"):
        calibrate(result, "none", "two")
    with pytest.raises(OptionError, match=r"adjust='fdr'.*bh"):
        results_table(result, calibrate(result, "none"), adjust="fdr")
    assert {"none", "skew_normal"} <= set(CALIBRATIONS)


def test_ranks_have_no_standard_error(screen):
    result = run_targets(screen, options(UTest()), ntc_labels="NTC")
    table = results_table(result, calibrate(result, "none"))
    assert table[["effect_se", "effect_low", "effect_high"]].isna().all(axis=None)
    assert table["p_value"].notna().sum() == 16


def test_an_effect_that_is_not_a_number_is_no_test(result):
    effect = result.effect.copy()
    effect[2, 1] = np.nan
    broken = replace(result, effect=effect)
    table = results_table(broken, calibrate(broken, "none")).set_index(["target", "program"])
    row = table.loc[("T2", "program_1")]
    assert row["reason"] == "effect is not a number"
    assert np.isnan([row["p_raw"], row["p_value"], row["q_value"]]).all()
    assert table["q_value"].notna().sum() == 15


def test_a_calibration_without_an_answer_says_why_in_reason(result):
    p = np.full(result.effect.shape, 0.5)
    p[0], p[2, 1] = np.nan, np.nan
    fallback = np.full(p.shape, "something else", dtype=object)
    reason = np.full(p.shape, "", dtype=object)
    reason[0] = "no guide like it"
    table = results_table(result, Calibrated("some", p, fallback, reason=reason))
    rows = table.set_index(["target", "program"])
    assert (rows.loc["T0", "reason"] == "no guide like it").all()
    assert rows.loc[("T2", "program_1"), "reason"] == "calibrate=some gives no p-value"
    assert (rows.loc["T1", "reason"] == "no treated cells").all()
    assert (table.loc[table["p_value"].isna(), "fallback"] == "").all()
    known = table[table["p_value"].notna()]
    assert (known["reason"] == "").all()
    assert (known["fallback"] == "something else").all()


def test_a_target_that_meets_no_control_guide_says_why_in_reason(screen):
    result = run_targets(screen, options(), ntc_labels="NTC", control="complement")
    least = int(np.sort(result.n_treated)[2])  # two of the four targets that were tested have less
    units = control_units(screen, "NTC", ControlUnitOptions(min_treated=least + 1))
    calibrated = calibrate(result, "ntc_empirical", controls=units)
    table = results_table(result, calibrated)
    few = (table["n_treated"] <= least) & (table["n_treated"] > 0)
    assert few.any()
    assert table.loc[few, "p_value"].isna().all()
    assert table.loc[few, "reason"].str.startswith(f"fewer than min_treated={least + 1}").all()
    assert (table.loc[table["p_value"].isna(), "fallback"] == "").all()
    assert (table.loc[table["p_value"].notna(), "reason"] == "").all()
    assert table["p_value"].notna().any()


def test_intervals_are_those_of_a_normal_effect(result):
    table = results_table(result, calibrate(result, "none")).dropna(subset="effect")
    low, high = norm.interval(0.95, table["effect"], table["effect_se"])
    np.testing.assert_allclose(table["effect_low"], low, rtol=1e-12)
    np.testing.assert_allclose(table["effect_high"], high, rtol=1e-12)


def test_adjusting_leaves_missing_tests_out():
    p = np.array([[0.01, np.nan, 0.04], [0.2, 0.03, 1.0]])
    q = adjust_p(p)
    known = ~np.isnan(p)
    np.testing.assert_allclose(q[known], false_discovery_control(p[known]))
    assert np.isnan(q[~known]).all()
    assert np.isnan(adjust_p(np.full(3, np.nan))).all()


def test_one_row_per_target(result):
    calibrated = calibrate(result, "skew_normal")
    table = omnibus_table(result, calibrated)
    assert list(table.columns) == [
        "target",
        "p_max",
        "q_max",
        "p_acat",
        "q_acat",
        "n_treated",
        "top_program",
        "top_effect",
    ]
    assert list(table["target"]) == result.units
    tested = [0, 2, 3, 4]
    np.testing.assert_array_equal(table["p_max"][tested], result.p_max[tested])
    np.testing.assert_allclose(
        table["q_acat"][tested], false_discovery_control(table["p_acat"][tested])
    )
    np.testing.assert_allclose(
        table["q_max"][tested], false_discovery_control(table["p_max"][tested])
    )
    best = calibrated.p_value[tested].argmin(axis=1)
    assert list(table["top_program"][tested]) == [result.programs[k] for k in best]
    np.testing.assert_array_equal(table["top_effect"][tested], result.effect[tested, best])
    assert table.loc[1, ["p_max", "q_max", "p_acat", "q_acat", "top_effect"]].isna().all()
    assert table.loc[1, "top_program"] == ""


def test_control_groups_in_a_long_table(screen):
    null = run_ntc_groups(screen, options(), ntc_labels="NTC", group_size=2, n_partitions=5)
    kinds = {"raw": empirical_p(null.result.null), "half": 0.5 * empirical_p(null.result.null)}
    table = ntc_table(kinds, null.result, null.partitions)
    assert list(table.columns) == ["partition", "condition", "group", "program", "raw", "half"]
    assert len(table) == 5 * 2 * 4
    for number, partition in enumerate(null.partitions):
        part = table[table["partition"] == number]
        assert set(part["group"]) == set(partition.values())
    wide = table.drop_duplicates(["group", "program"]).pivot(
        index="group", columns="program", values="raw"
    )
    rows = wide.loc[null.result.units, null.result.programs]
    np.testing.assert_array_equal(rows.to_numpy(), kinds["raw"])
