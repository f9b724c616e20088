"""Discoveries, power, false discoveries and sign errors, counted by hand."""

import math

import numpy as np
import pandas as pd
import pytest

from programde.errors import InputError
from programde.report.findings import carried_by_one_guide
from programde.report.metrics import discovery_counts, truth_metrics

RESULTS = pd.DataFrame(
    [
        ("A", "x", 1.0, 1e-9, 1e-8),  # true effect, found
        ("A", "y", -1.0, 1e-3, 0.04),  # true effect, found, wrong sign
        ("B", "x", 0.1, 0.02, 0.08),  # null, declared at 10 % only
        ("B", "y", 0.1, 0.50, 0.70),  # true effect, missed
        ("C", "x", 0.0, 0.90, 0.95),  # null
        ("C", "y", np.nan, np.nan, np.nan),  # true effect, not testable
    ],
    columns=["target", "program", "effect", "p_value", "q_value"],
)
TRUTH = pd.DataFrame(
    {"x": [1.0, 0.0, 0.0, 0.0], "y": [1.0, 0.5, 0.5, 3.0]}, index=["A", "B", "C", "unseen"]
)


def test_discovery_counts():
    assert discovery_counts(RESULTS) == {
        "n_targets": 3,
        "n_programs": 2,
        "n_tests": 5,
        "n_untestable": 1,
        "discoveries_bh10": 3,
        "targets_bh10": 2,
        "programs_bh10": 2,
        "discoveries_bh05": 2,
        "targets_bh05": 1,
        "programs_bh05": 2,
        "smallest_p": 1e-9,
    }


def test_truth_metrics():
    found = truth_metrics(RESULTS, TRUTH)
    assert (found["n_true"], found["n_null"], found["n_true_untested"]) == (3, 2, 1)
    assert found["power_bh10"] == pytest.approx(2 / 3)
    assert found["fdr_bh10"] == pytest.approx(1 / 3)
    assert found["sign_error_bh10"] == pytest.approx(1 / 2)
    assert (found["power_bh05"], found["fdr_bh05"]) == (pytest.approx(2 / 3), 0.0)


def test_small_true_effects_can_count_as_null():
    found = truth_metrics(RESULTS, TRUTH, min_effect=0.5)
    assert (found["n_true"], found["n_null"]) == (2, 3)
    assert found["power_bh10"] == 1.0


def test_nothing_true_and_nothing_found():
    found = truth_metrics(RESULTS.assign(q_value=1.0), TRUTH * 0)
    assert math.isnan(found["power_bh10"])
    assert math.isnan(found["sign_error_bh10"])
    assert found["fdr_bh10"] == 0.0


def test_row_order_changes_nothing():
    assert truth_metrics(RESULTS.iloc[::-1], TRUTH.iloc[::-1, ::-1]) == truth_metrics(
        RESULTS, TRUTH
    )


def test_missing_names_are_refused():
    with pytest.raises(InputError, match="truth has no target 'C'"):
        truth_metrics(RESULTS, TRUTH.drop(index="C"))
    with pytest.raises(InputError, match="truth has no program 'y'"):
        truth_metrics(RESULTS, TRUTH[["x"]])
    with pytest.raises(InputError, match="no column 'q_value'"):
        discovery_counts(RESULTS.drop(columns="q_value"))
    with pytest.raises(InputError, match="1 NaN"):
        truth_metrics(RESULTS, TRUTH.replace(1.0, np.nan).fillna({"y": 0.0}))


def test_hits_carried_by_one_guide():
    results = pd.DataFrame(
        {"target": list("abcde"), "program": "p", "q_value": [0.01, 0.01, 0.01, 0.01, 0.5]}
    )
    concordance = pd.DataFrame(
        {
            "target": list("abcde"),
            "program": "p",
            "n_guides": [4, 4, 4, 1, 4],
            "z": [-9.0, 5.0, -5.0, 6.0, 2.0],
            # a: the others agree; b: they show little; c: they point the other way; d: no other
            "z_without_leading": [-6.0, 0.9, 0.5, np.nan, -2.0],
        }
    )
    assert list(carried_by_one_guide(results, concordance)["target"]) == ["d", "c", "b"]
    assert list(carried_by_one_guide(results, concordance, least=0.0)["target"]) == ["d", "c"]
    assert carried_by_one_guide(results, concordance, level=0.001).empty
    with pytest.raises(InputError, match="no column 'z'"):
        carried_by_one_guide(results, concordance.drop(columns="z"))
