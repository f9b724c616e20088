"""Control p-values by kind: which of them are independent, and what that makes of the intervals."""

import numpy as np
import pandas as pd
import pytest

from programde.report.control_groups import (
    metrics_by_kind,
    named_for_record,
    of_condition,
    signs_of,
    tables_by_kind,
)
from programde.report.control_groups import tests_of_one_partition as n_of_one_partition
from programde.report.metrics import calibration_metrics

PROGRAMS = [f"p{k}" for k in range(6)]


def long_table(partitions=1, groups=12, conditions=("",), seed=0, kind="saddlepoint"):
    """Independent uniform p-values by partition, group and program; in conditions the same."""
    rng = np.random.default_rng(seed)
    parts = []
    for partition in range(partitions):
        p = rng.uniform(size=(groups, len(PROGRAMS)))
        for condition in conditions:
            labels = {"partition": partition, "condition": condition}
            names = np.repeat([f"g{g}" for g in range(groups)], len(PROGRAMS))
            rows = {"group": names, "program": PROGRAMS * groups, kind: p.ravel()}
            parts.append(pd.DataFrame({**rows, **labels}))
    return pd.concat(parts, ignore_index=True)


def numbers(table, **how):
    return metrics_by_kind(tables_by_kind(table), **{"n_boot": 400, "seed": 3, **how})


def test_kinds_stand_apart_and_rows_without_any_of_a_kind_are_none():
    groups, sets = long_table(), long_table(groups=3, seed=1, kind="ntc_empirical")
    sets["group"] = "set " + sets["group"]
    tables = tables_by_kind(pd.concat([groups, sets], ignore_index=True)[:-1].sample(frac=1.0))
    groups = groups.set_index(["group", "program"])["saddlepoint"]
    assert set(tables) == {"saddlepoint", "ntc_empirical"}
    assert len(tables["ntc_empirical"]) == 3
    assert tables["ntc_empirical"].isna().sum().sum() == 1
    found = tables["saddlepoint"].stack()
    assert len(found) == 72
    for (partition, group, condition, program), p in found.items():
        assert (partition, condition) == (0, "")
        assert p == groups[group, program]


def test_a_group_is_one_unit_in_however_many_conditions_it_was_tested():
    once = numbers(long_table(), n_boot=2000)["saddlepoint"]
    thrice = numbers(long_table(conditions=("a", "b", "c")), n_boot=2000)["saddlepoint"]
    assert (once["n_independent"], thrice["n_independent"]) == (12, 12)
    assert thrice["n_tests"] == 3 * once["n_tests"]
    for key in ("rate_05", "rate_05_low", "rate_05_high", "lambda"):
        assert thrice[key] == pytest.approx(once[key], rel=0.05), key


def test_a_group_of_another_partition_is_another_group_and_no_new_evidence():
    found = numbers(long_table(partitions=5))["saddlepoint"]
    assert (found["n_units"], found["n_independent"], found["n_partitions"]) == (60, 12, 5)
    alone = numbers(long_table(partitions=5).query("partition == 0"))["saddlepoint"]
    width = {n: m["rate_05_high"] - m["rate_05_low"] for n, m in (("5", found), ("1", alone))}
    assert width["5"] > 0.6 * width["1"]  # of 60 independent groups it would be 0.45


def test_who_shares_guides_with_whom_is_told_to_the_inflation_alone():
    table = long_table(partitions=5)
    table["group"] += "/" + table["partition"].astype(str)
    guides = {f"g{g}/{p}": [f"n{(g + p) % 12}", f"n{(g - p) % 12}"]
              for g in range(12) for p in range(5)}  # fmt: skip
    told, blind = numbers(table, guides=guides)["saddlepoint"], numbers(table)["saddlepoint"]
    assert told["lambda_mean_error"] < blind["lambda_mean_error"]
    assert {key for key in told if told[key] != blind[key]} <= {
        f"lambda_mean_{end}" for end in ("error", "df", "units", "low", "high")
    }
    del guides["g3/4"]  # groups nobody knows the guides of
    assert numbers(table, guides=guides)["saddlepoint"] == blind


def test_held_out_sets_of_one_layer_are_the_units_of_evidence():
    # layers of 4 sets that share no guide; sets of different layers do share some
    held_out = long_table(partitions=3, groups=4, kind="ntc_empirical")
    held_out["group"] += "/" + held_out["partition"].astype(str)
    found = numbers(held_out)["ntc_empirical"]
    assert (found["n_partitions"], found["n_independent"], found["n_units"]) == (3, 4, 12)
    whole = tables_by_kind(held_out)["ntc_empirical"].reset_index(drop=True)
    labels = {"partition": np.repeat([0, 1, 2], 4), "cluster": np.arange(12)}
    assert found == calibration_metrics(whole, 400, 3, **labels)


def test_one_partition_makes_the_band():
    assert n_of_one_partition(tables_by_kind(long_table(partitions=5))["saddlepoint"]) == 12 * 6


def test_rows_of_one_condition():
    tables = tables_by_kind(long_table(conditions=("a", "b")))
    assert {kind: len(t) for kind, t in of_condition(tables, "b").items()} == {"saddlepoint": 12}
    assert of_condition(tables, "c") == {}


def test_the_kind_in_use_has_the_plain_name():
    assert named_for_record({"raw": {"n": 1}, "saddlepoint": {"n": 2}}, "saddlepoint") == {
        "ntc_raw": {"n": 1},
        "ntc": {"n": 2},
    }


@pytest.mark.slow
def test_spread_of_a_rate_over_units_is_that_of_a_sample():
    """One test per unit: the variance of the mean of n values is s^2 / n, s^2 by n - 1.

    That of the bootstrap, which takes the sample for the population, is (n - 1) / n times as large;
    the effective number of tests would then be n instead of n - 1. Monte Carlo error of 50,000
    replicates: 0.6 %.
    """
    p = pd.DataFrame({"p0": [0.01, 0.02, 0.4, 0.5, 0.6, 0.8]})
    found = calibration_metrics(p, n_boot=50_000)
    assert found["n_effective_05"] == pytest.approx(5.0, rel=0.02)


@pytest.mark.slow
def test_interval_of_lambda_is_that_of_the_logarithm_over_units():
    """exp of a t interval; the spread from replicates drawn and sorted here in full.

    Monte Carlo error of 20,000 replicates on either side: 0.7 %.
    """
    from scipy import stats

    p = np.random.default_rng(8).uniform(size=(5, 30))
    rng = np.random.default_rng(1)
    median = stats.chi2.ppf(0.5, 1)
    drawn = p[rng.integers(0, 5, (20_000, 5))].reshape(20_000, -1)
    replicates = stats.chi2.isf(np.quantile(drawn, 0.5, axis=1, method="hazen"), 1) / median
    spread = np.log(replicates).std() * np.sqrt(5 / 4)
    found = calibration_metrics(pd.DataFrame(p), n_boot=20_000)
    centre = stats.chi2.isf(np.quantile(p, 0.5, method="hazen"), 1) / median
    reach = stats.t.ppf(0.975, 4) * spread
    assert np.log(found["lambda"]) == pytest.approx(np.log(centre), abs=1e-12)
    assert np.log(found["lambda_high"] / found["lambda"]) == pytest.approx(reach, rel=0.03)
    assert np.log(found["lambda"] / found["lambda_low"]) == pytest.approx(reach, rel=0.03)


def test_the_law_is_known_of_kinds_whose_tests_have_signs():
    groups = long_table(groups=12)
    groups["sign"] = np.resize([1.0, -1.0], len(groups))
    held_out = long_table(groups=5, seed=2, kind="ntc_empirical")
    held_out["group"] = "set " + held_out["group"]
    table = pd.concat([groups, held_out], ignore_index=True)
    signs = signs_of(table)
    assert list(tables_by_kind(table)) == ["saddlepoint", "ntc_empirical"]
    between = pd.DataFrame(np.eye(6), PROGRAMS, PROGRAMS)
    found = numbers(table, signs=signs, correlation=between)
    assert "lambda_apart" in found["saddlepoint"]
    assert "lambda_apart" not in found["ntc_empirical"]
    assert signs_of(held_out) is None
    assert "lambda_apart" not in numbers(table, signs=None, correlation=between)["saddlepoint"]
    without = numbers(table, signs=signs)["saddlepoint"]
    assert without == {key: found["saddlepoint"][key] for key in without}
