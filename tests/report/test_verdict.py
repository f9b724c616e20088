"""The word of the verdict follows from the numbers, and the sentence holds them."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from programde.errors import InputError, OptionError
from programde.report.mean_inflation import mean_score_at
from programde.report.metrics import calibration_metrics
from programde.report.verdict import verdict


def p_of(scores):
    return pd.DataFrame(2 * stats.norm.sf(np.abs(scores)))


def judged(spread, units=60, programs=20, seed=1, n_boot=100):
    scores = spread * np.random.default_rng(seed).standard_normal((units, programs))
    return calibration_metrics(p_of(scores), n_boot=n_boot)


def two_looks(guides, seed=1, bias=0.0, spread=1.0, size=4, partitions=5):
    """Metrics of groups and of single guides, from z with a bias that all guides share."""
    rng = np.random.default_rng(seed)
    z = bias + spread * rng.standard_normal((guides, 20))
    scores, members, partition = [], [], []
    for number in range(partitions):
        order = rng.permutation(guides)[: guides // size * size].reshape(-1, size)
        scores.append(z[order].sum(axis=1) / np.sqrt(size))
        members += order.tolist()
        partition += [number] * len(order)
    table = p_of(np.concatenate(scores))
    grouped = calibration_metrics(table, n_boot=100, partition=partition, guides=members)
    return grouped, calibration_metrics(p_of(z), n_boot=100)


@pytest.mark.parametrize(
    ("spread", "word"), [(1.0, "calibrated"), (1.3, "inflated"), (0.7, "conservative")]
)
def test_word(spread, word):
    assert verdict(judged(spread)).word == word


def test_few_units_cannot_be_judged():
    assert verdict(judged(1.0, units=2)).word == "too few controls to tell"
    wide = verdict(judged(1.0, units=4, programs=5))
    assert wide.word == "too few controls to tell"
    assert "neither show nor rule out" in wide.sentence


def test_no_control_at_all():
    empty = calibration_metrics(pd.DataFrame(np.empty((0, 3))))
    found = verdict(empty, kind="raw")
    assert found.word == "too few controls to tell"
    assert found.sentence == (
        "No control unit could be tested, so nothing is known about the raw p-values."
    )
    assert verdict(empty, empty, kind="raw") == found


def test_sentence_holds_the_numbers():
    metrics = judged(1.3)
    sentence = verdict(metrics, kind="saddlepoint").sentence
    assert f"{100 * metrics['rate_05']:.1f} % at or below 0.05" in sentence
    assert "60 independent control units" in sentence
    assert "1,200 control tests" in sentence
    assert f"inflation {metrics['lambda_mean']:.2f} over all p-values" in sentence
    assert f"lambda {metrics['lambda']:.2f} at the median" in sentence
    assert "saddlepoint p-values" in sentence
    assert "\n" not in sentence


def test_a_trifle_known_precisely_is_no_inflation():
    precisely = {"rate_05": 0.052, "n_effective_05": 1e6}
    metrics = judged(1.0, units=200) | precisely
    assert verdict(metrics).word == "calibrated"
    assert verdict(metrics, tolerance={"05": 0.01}).word == "inflated"
    metrics = judged(1.0) | {"lambda_mean": 1.07, "lambda_mean_error": 0.001}
    assert verdict(metrics).word == "calibrated"
    assert verdict(metrics | {"lambda_mean": 1.09}).word == "inflated"
    assert verdict(metrics | {"lambda_mean": 0.91}).word == "calibrated"
    assert verdict(metrics | {"lambda_mean": 0.89}).word == "conservative"


def test_inflation_in_the_far_tail_alone_is_seen():
    metrics = judged(1.0) | {"rate_001": 0.004, "n_effective_001": 5000.0}
    metrics |= {"rate_001_low": 0.0023, "rate_001_high": 0.0062}
    found = verdict(metrics)
    assert found.word == "inflated"
    assert "too frequent at 0.001" in found.sentence
    assert "0.40 % at or below 0.001 (95 % interval 0.23 to 0.62 %)" in found.sentence


def test_what_builds_up_with_the_size_of_groups_is_seen():
    """A bias of 0.5 standard errors: inflation 1.25 of single guides, 2 of groups of four."""
    groups, guides = two_looks(40, bias=0.5)
    assert groups["lambda_mean"] > 1.3 * guides["lambda_mean"]
    found = verdict(groups, guides)
    assert found.word == "inflated"
    assert "of groups" in found.sentence or "of single guides" in found.sentence
    biased = guides | {"lambda_mean": 1.05}  # guides that show none of it
    assert verdict(biased).word != "inflated"
    assert verdict(groups, biased).word == "inflated"
    assert "inflation of groups" in verdict(groups, biased).sentence


def test_single_guides_tell_what_few_groups_cannot():
    groups, guides = two_looks(40, partitions=1)
    groups, guides = groups | {"lambda_mean": 1.03}, guides | {"lambda_mean": 1.03}
    assert verdict(groups).word == "too few controls to tell"
    assert verdict(groups, guides).word == "calibrated"
    # groups that say otherwise, if vaguely, are heard
    assert verdict(groups | {"lambda_mean": 1.3}, guides).word == "too few controls to tell"


def test_two_looks_share_the_errors():
    groups, guides = two_looks(40, partitions=1)
    at = {"lambda_mean": 1.2, "lambda_mean_df": 39.0}
    t = stats.t.ppf(0.975, 39) * 1.001  # the lower limit a little above 1 if alone
    clear = guides | at | {"lambda_mean_error": (mean_score_at(1.2) - 1) / t}
    assert verdict(clear).word == "inflated"
    assert verdict(groups, clear).word != "inflated"


def test_the_best_of_many_settings_needs_better_evidence():
    metrics = judged(1.0, units=40)
    assert verdict(metrics).word == "calibrated"
    assert verdict(metrics, n_settings=10_000).word == "too few controls to tell"
    with pytest.raises(OptionError, match="n_settings=0"):
        verdict(metrics, n_settings=0)


def words_of(inflation, guides, runs=250):
    """Counts of words over screens with programs that are correlated by 0.2."""
    rng = np.random.default_rng([guides, int(10 * inflation)])
    found = []
    for _ in range(runs):
        z = np.sqrt(0.8) * rng.standard_normal((guides, 20))
        z += np.sqrt(0.2) * rng.standard_normal((guides, 1))
        found.append(verdict(calibration_metrics(p_of(np.sqrt(inflation) * z), n_boot=50)).word)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("guides", [10, 30])
def test_how_often_each_word_falls(guides):
    """Stated: alarms at lambda 1 in at most 5 %, "calibrated" at lambda 1.2 in at most 10 %.

    250 runs each; a rate at its bound is exceeded with probability 1e-4.
    """
    null, mild = words_of(1.0, guides), words_of(1.2, guides)
    alarms = null.count("inflated") + null.count("conservative")
    assert alarms <= stats.binom.isf(1e-4, 250, 0.05)
    assert mild.count("calibrated") <= stats.binom.isf(1e-4, 250, 0.10)
    assert null.count("calibrated") >= stats.binom.ppf(1e-4, 250, {10: 0.40, 30: 0.77}[guides])
    assert mild.count("inflated") >= stats.binom.ppf(1e-4, 250, {10: 0.15, 30: 0.61}[guides])


def test_foreign_mapping_is_refused():
    with pytest.raises(InputError, match="lack 'n_tests'"):
        verdict({"rate_05": 0.05})
    with pytest.raises(InputError, match="lack 'lambda_mean'"):
        verdict({"n_tests": 5, "n_independent": 5, "rate_05": 0.05})
