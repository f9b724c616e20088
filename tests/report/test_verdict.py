"""The word of the verdict follows from the numbers, and the sentence holds them."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from programde.errors import InputError
from programde.report.metrics import calibration_metrics
from programde.report.verdict import verdict


def judged(spread, units=60, programs=20, seed=1):
    scores = spread * np.random.default_rng(seed).standard_normal((units, programs))
    table = pd.DataFrame(2 * stats.norm.sf(np.abs(scores)))
    return calibration_metrics(table, n_boot=200)


@pytest.mark.parametrize(
    ("spread", "word"), [(1.0, "calibrated"), (1.3, "inflated"), (0.7, "conservative")]
)
def test_word(spread, word):
    assert verdict(judged(spread)).word == word


def test_few_units_cannot_be_judged():
    assert verdict(judged(1.0, units=2)).word == "too few controls to tell"
    wide = verdict(judged(1.0, units=5, programs=10))
    assert wide.word == "too few controls to tell"
    assert "neither show nor rule out" in wide.sentence


def test_no_control_at_all():
    empty = calibration_metrics(pd.DataFrame(np.empty((0, 3))))
    found = verdict(empty, kind="raw")
    assert found.word == "too few controls to tell"
    assert found.sentence == (
        "No control unit could be tested, so nothing is known about the raw p-values."
    )


def test_sentence_holds_the_numbers():
    metrics = judged(1.3)
    sentence = verdict(metrics, kind="saddlepoint").sentence
    assert f"{100 * metrics['rate_05']:.1f} % at or below 0.05" in sentence
    assert "60 independent control units" in sentence
    assert "1,200 control tests" in sentence
    assert f"lambda {metrics['lambda']:.2f}" in sentence
    assert "saddlepoint p-values" in sentence
    assert "\n" not in sentence


def test_a_trifle_known_precisely_is_no_inflation():
    metrics = judged(1.0) | {"rate_05": 0.0520, "rate_05_low": 0.0515, "rate_05_high": 0.0525}
    assert verdict(metrics).word == "calibrated"
    assert verdict(metrics, tolerance={"05": 0.01}).word == "inflated"


def test_inflation_in_the_far_tail_alone_is_seen():
    metrics = judged(1.0) | {"rate_001": 0.004, "rate_001_low": 0.002, "rate_001_high": 0.007}
    found = verdict(metrics)
    assert found.word == "inflated"
    assert "too frequent at 0.001" in found.sentence
    assert "0.40 % at or below 0.001 (95 % interval 0.20 to 0.70 %)" in found.sentence


def test_calibrated_p_values_are_called_inflated_seldom():
    """Stated rate of a false alarm: at most 7.5 % (three levels, 2.5 % each); 200 runs."""
    words = [verdict(judged(1.0, units=40, programs=10, seed=s)).word for s in range(200)]
    assert words.count("inflated") <= stats.binom.isf(1e-4, 200, 0.075)
    assert words.count("calibrated") >= 140


def test_foreign_mapping_is_refused():
    with pytest.raises(InputError, match="lack 'n_tests'"):
        verdict({"rate_05": 0.05})
