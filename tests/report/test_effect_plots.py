"""Volcano, heatmap, power and input pictures, from tiny to large."""

import numpy as np
import pandas as pd
import pytest

from programde.errors import InputError
from programde.report.effect_plots import effect_heatmap, volcano
from programde.report.metrics import calibration_metrics
from programde.report.style import figure_of, png_bytes
from programde.report.summary_plots import input_figure, rates_figure, truth_figure
from tests.report.fake import make_p_table, make_results

RESULTS, TRUTH = make_results()


def test_volcano_names_hits_without_overlap():
    results, _ = make_results(60, 20, 10, seed=1)
    ax = volcano(results, n_labels=12)
    figure_of(ax).draw_without_rendering()
    notes = [text for text in ax.texts if " · " in text.get_text()]
    hits = results[results["q_value"] <= 0.1].sort_values("p_value", kind="stable").head(12)
    allowed = set(hits["target"] + " · " + hits["program"])
    assert 5 <= len(notes) <= 12
    assert {note.get_text() for note in notes} <= allowed
    boxes = [note.get_window_extent() for note in notes]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    frame = ax.get_window_extent()
    assert all(frame.x0 <= box.x0 and box.y1 <= frame.y1 + 1 for box in boxes)


def test_volcano_counts_hits_by_direction():
    ax = volcano(RESULTS)
    hits = RESULTS[RESULTS["q_value"] <= 0.1]
    text = " ".join(t.get_text() for t in ax.get_legend().get_texts())
    assert f"raises the program, q ≤ 0.1 ({(hits['effect'] > 0).sum()})" in text
    assert f"lowers the program, q ≤ 0.1 ({(hits['effect'] < 0).sum()})" in text


def test_volcano_scale_bends_for_extreme_p():
    results = RESULTS.copy()
    results.loc[0, ["p_value", "q_value"]] = 1e-300
    ax = volcano(results)
    assert ax.get_yscale() == "symlog"
    assert ax.get_ylim()[1] > 300
    assert volcano(RESULTS.assign(p_value=0.3, q_value=1.0)).get_yscale() == "linear"


def test_volcano_without_hits_or_tests():
    none = volcano(RESULTS.assign(q_value=1.0))
    assert any("no test has q ≤ 0.1" in text.get_text() for text in none.texts)
    empty = volcano(RESULTS.assign(p_value=np.nan, q_value=np.nan))
    assert any("no test could be done" in text.get_text() for text in empty.texts)
    assert png_bytes(empty)


def test_volcano_thins_the_rest_but_keeps_hits():
    results, _ = make_results(300, 50, 10, seed=2)
    ax = volcano(results, max_points=500, n_labels=0)
    sizes = [len(c.get_offsets()) for c in ax.collections]
    assert sizes[0] <= 500
    assert sum(sizes[1:3]) == (results["q_value"] <= 0.1).sum()


def test_heatmap_marks_hits_with_their_sign():
    figure = effect_heatmap(RESULTS)
    ax = figure.axes[0]
    hits = RESULTS[RESULTS["q_value"] <= 0.1]
    rows = [label.get_text() for label in ax.get_yticklabels()]
    columns = [label.get_text() for label in ax.get_xticklabels()]
    for word, sign in (("raises", 1), ("lowers", -1)):
        marks = np.vstack([c.get_offsets() for c in ax.collections if c.get_label() == word])
        found = {(rows[int(y)], columns[int(x)]) for x, y in marks}
        wanted = hits[np.sign(hits["effect"]) == sign]
        assert found == set(zip(wanted["target"], wanted["program"], strict=True))
        assert len(marks) == len(wanted)
    targets = {label.get_text() for label in ax.get_yticklabels()}
    assert targets == set(RESULTS["target"])


def test_heatmap_values_sit_at_their_labels():
    figure = effect_heatmap(RESULTS)
    ax = figure.axes[0]
    values = ax.images[0].get_array()
    best = RESULTS.loc[RESULTS["p_value"].idxmin()]
    row = [t.get_text() for t in ax.get_yticklabels()].index(best["target"])
    column = [t.get_text() for t in ax.get_xticklabels()].index(best["program"])
    expected = np.sign(best["effect"]) * -np.log10(best["p_value"])
    assert values[row, column] == pytest.approx(expected)


def test_large_heatmap_shows_the_strongest_and_says_so():
    results, _ = make_results(200, 90, 6, seed=3)
    figure = effect_heatmap(results, max_targets=40, max_programs=30)
    ax = figure.axes[0]
    assert ax.images[0].get_array().shape == (40, 30)
    assert "40 of 200 targets, 30 of 90 programs" in ax.get_title(loc="left")
    best = results.loc[results["p_value"].idxmin(), "target"]
    assert best in {label.get_text() for label in ax.get_yticklabels()}


@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (2, 5)])
def test_small_heatmaps(shape):
    assert png_bytes(effect_heatmap(make_results(*shape, n_true=1)[0]))


@pytest.mark.slow
@pytest.mark.brief
def test_heatmap_with_untested_rows_and_without_any_test():
    gaps = RESULTS.copy()
    gaps.loc[gaps["target"] == "GENE3", ["effect", "p_value", "q_value"]] = np.nan
    assert np.ma.getmaskarray(effect_heatmap(gaps).axes[0].images[0].get_array()).sum() == 15
    nothing = RESULTS.assign(effect=np.nan, p_value=np.nan, q_value=np.nan)
    assert png_bytes(effect_heatmap(nothing))


def test_heatmap_refuses_repeats_and_emptiness():
    with pytest.raises(InputError, match="1 target x program twice"):
        effect_heatmap(pd.concat([RESULTS, RESULTS.iloc[:1]]))
    with pytest.raises(InputError, match="is empty"):
        effect_heatmap(RESULTS.iloc[:0])
    with pytest.raises(InputError, match="no column 'q_value'"):
        volcano(RESULTS.drop(columns="q_value"))


def test_truth_figure_states_the_counts():
    figure = truth_figure(RESULTS, TRUTH)
    left, _, right = figure.axes
    hits = RESULTS["q_value"] <= 0.1
    real = TRUTH.to_numpy().ravel() != 0
    text = " ".join(t.get_text() for t in left.get_legend().get_texts())
    assert f"declared, true ({(hits & real).sum()})" in text
    assert right.texts[0].get_text() == f"{(hits & ~real).sum()} of {hits.sum()} false"


@pytest.mark.slow
@pytest.mark.brief
def test_truth_figure_without_true_effects():
    assert png_bytes(truth_figure(RESULTS, TRUTH * 0))


@pytest.mark.slow
@pytest.mark.brief
@pytest.mark.parametrize(("targets", "programs", "moi"), [(25, 15, 1), (2000, 300, 40), (1, 2, 0)])
def test_input_figure(targets, programs, moi):
    rng = np.random.default_rng(0)
    treated = pd.Series(rng.integers(0, 400, targets), [f"GENE{i}" for i in range(targets)])
    zeros = pd.Series(rng.uniform(size=programs), [f"program_{k}" for k in range(programs)])
    figure = input_figure(treated, rng.poisson(moi, 500), zeros)
    below = int((treated < 10).sum())
    title = figure.axes[0].get_title(loc="left")
    assert title == "Treated cells per target" + (f", {below} below 10" if below else "")
    assert png_bytes(figure)


def test_rates_figure_draws_an_interval_per_kind_and_level():
    tables = {"raw": make_p_table(30, spread=1.4), "saddlepoint": make_p_table(30)}
    metrics = calibration_metrics(tables, n_boot=50)
    figure = rates_figure({**metrics, "skew_normal": {"n_tests": 0}})
    assert len(figure.axes) == 3
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["raw", "saddlepoint"]
    with pytest.raises(InputError, match="no kind of p-value"):
        rates_figure({"raw": {"n_tests": 0}})
