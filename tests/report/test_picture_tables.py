"""The data of each picture, beside it as CSV; the page links to both."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import false_discovery_control

from programde import pl
from programde.report import picture_tables as tables_of
from programde.report.pictures import draw_pictures
from programde.report.run_page import write_run_page

from .test_more_was_found import screen
from .test_names import drawable
from .test_qq_plots import crossfit


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reports")
    facts = drawable()
    info = {"split": "by guide", "note": "split", "n_guides_A": 6, "n_guides_B": 6}
    held_out = {**crossfit()["ntc_crossfit"], "info": info}
    facts = replace(facts, controls=replace(facts.controls, crossfit=held_out))
    pictures = draw_pictures(facts, folder / "plots", folder / "figures")
    page = write_run_page(folder / "index.html", facts, pictures)
    return facts, pictures, folder, page.read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.brief
def test_every_picture_has_its_data_beside_it_and_the_page_links_to_both(drawn):
    _, pictures, folder, page = drawn
    assert len(pictures.held_out) == 2
    for name, picture in {**pictures.named, **pictures.held_out}.items():
        assert len(picture.links) == 2, name
        for link in picture.links:
            assert (folder / link).is_file()
            assert f'<a href="{link}">' in page
        if name != "inputs":  # of which these facts hold nothing
            assert len(pd.read_csv(folder / picture.links[1])), name


def test_held_out_guides_are_drawn_as_lines_and_their_curves_are_written(drawn):
    facts, pictures, folder, _ = drawn
    for name, picture in pictures.held_out.items():
        assert picture.links[0].endswith(f"{name}.svg")
        curves = pd.read_csv(folder / picture.links[1])
        assert set(curves["curve"]) == {"held-out guides", "targets"}
    held = facts.controls.crossfit["meta"]["gene_holdout"]
    over_all = pd.read_csv(folder / "figures" / "qq_ntc_empirical_genelevel.csv")
    observed = over_all.loc[over_all["curve"] == "held-out guides", "observed"]
    np.testing.assert_allclose(np.sort(observed), np.sort(-np.log10(held)))


def test_the_heatmaps_data_are_signed_evidence_of_targets_with_a_hit(drawn):
    facts, _, folder, _ = drawn
    table = pd.read_csv(folder / "figures" / "heatmap.csv")
    results = facts.results
    hits = results.loc[results["q_value"] <= facts.level, "target"].unique()
    assert set(table.iloc[:, 0].str.split(" in ").str[0]) == set(hits)
    assert table.shape[1] == 1 + results["program"].nunique()


def test_curves_are_hazens_and_long_ones_keep_their_tail():
    p = np.array([0.3, 0.01, np.nan, 0.8])
    table = tables_of.of_curves({"raw": p})
    np.testing.assert_allclose(table["observed"], -np.log10([0.01, 0.3, 0.8]))
    np.testing.assert_allclose(table["expected"], -np.log10([0.5 / 3, 1.5 / 3, 2.5 / 3]))
    long = tables_of.of_curves({"raw": np.linspace(1e-6, 1, 50_000)})
    assert len(long) <= tables_of.MOST_POINTS + 1
    assert long["observed"].iloc[:100].is_monotonic_decreasing
    assert long["observed"].iloc[-1] == pytest.approx(0, abs=1e-12)


def test_a_volcano_of_very_many_tests_keeps_its_hits(monkeypatch):
    monkeypatch.setattr(tables_of, "MOST", 5)
    results = screen()
    kept = tables_of.of_tests(results, 0.1)
    assert (kept["q_value"] <= 0.1).sum() == (results["q_value"] <= 0.1).sum() == len(kept)


def test_programs_that_move_together_meet_first():
    results = screen(n_programs=4, seed=1)
    copy = results[results["program"] == "p0"].assign(program="p0 again")
    results = pd.concat([results, copy], ignore_index=True)
    results["q_value"] = false_discovery_control(results["p_value"])
    tree = tables_of.of_tree(results, 0.1)
    assert set(tree.loc[0, ["first", "second"]]) == {"p0", "p0 again"}
    assert tree.loc[0, "correlation"] == pytest.approx(1.0)
    assert tree["n_programs"].iloc[-1] == 5
    names = [label.get_text() for label in pl.program_tree(results).get_yticklabels()]
    assert abs(names.index("p0") - names.index("p0 again")) == 1
