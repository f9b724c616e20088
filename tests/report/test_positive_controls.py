"""Positive controls: which there are, whether they were found, and what the page says of them."""

import numpy as np
import pandas as pd
import pytest

from programde import pl
from programde.errors import InputError, OptionError
from programde.io.control_pairs import (
    check_positive_controls,
    read_positive_controls,
    written_positive_controls,
)
from programde.report.own_programs import n_leading
from programde.report.positive_controls import (
    counts,
    expected_effects,
    in_words,
    judged_controls,
)
from programde.report.style import png_bytes

from .test_report import full_facts, write

OWN = pd.DataFrame({"target": ["A", "B", "C"], "program": ["p0", "p1", "p2"], "rank": [3, 1, 2]})


def results() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "target": ["A", "A", "B", "C", "D"],
            "program": ["p0", "p1", "p1", "p2", "p0"],
            "effect": [-1.0, 0.1, 0.5, -0.2, np.nan],
            "effect_se": [0.1, 0.1, 0.1, 0.2, np.nan],
            "p_value": [1e-20, 0.3, 1e-6, 0.3, np.nan],
            "q_value": [1e-19, 0.4, 1e-5, 0.4, np.nan],
        }
    )


def test_a_target_is_expected_on_the_program_its_gene_leads_in_the_direction_of_its_guides():
    assert expected_effects(None) is None
    for said, sign in (("lowers", -1), ("raises", 1), (None, 0)):
        table = expected_effects(OWN, [("B", "p1", 1), ("D", "p0", 0)], said)
        by_pair = table.set_index(["target", "program"])
        assert by_pair["expected"].to_dict() == {
            ("B", "p1"): 1, ("D", "p0"): 0, ("A", "p0"): sign, ("C", "p2"): sign,
        }  # fmt: skip
        assert by_pair["rank"].isna().tolist() == [True, True, False, False]
    assert len(expected_effects(None, [("B", "p1", 1)])) == 1
    assert len(expected_effects(OWN.iloc[:0])) == 0


def test_a_tenth_of_the_genes_leads_at_most():
    assert [n_leading(n) for n in (8, 72, 2000)] == [3, 7, 25]


def test_they_are_found_missed_found_the_other_way_or_untested():
    expected = expected_effects(OWN, [("D", "p0", 0)], "lowers")
    tested = judged_controls(results(), expected, level=0.1)
    assert tested.set_index("target")["outcome"].to_dict() == {
        "D": "not tested", "B": "found the other way", "C": "not found", "A": "found",
    }  # fmt: skip
    assert list(tested["target"]) == ["D", "B", "C", "A"]  # by hand, then by rank
    assert counts(tested) == {"tested": 3, "found": 1, "other_way": 1, "untested": 1}
    either = judged_controls(results(), expected_effects(OWN), level=0.1)
    assert counts(either)["found"] == 2
    said = in_words(tested, 4, 0.1)
    assert "1 of 3 positive controls (33 %) found at q ≤ 0.1" in said
    assert "67 % have p ≤ 0.05" in said
    assert "1 named by hand" in said
    assert "Either direction" not in said
    assert "Either direction counts" in in_words(either, 4, 0.1)
    assert "no positive control" in in_words(tested.iloc[:0], 4, 0.1)


def test_tables_and_entries_by_hand(tmp_path):
    path = tmp_path / "controls.csv"
    path.write_text("target,program,sign\nSTAT1,program_2,lowers\nIRF1,7,+\nMYC,a:b,\n")
    rows = [("STAT1", "program_2", -1), ("IRF1", "7", 1), ("MYC", "a:b", 0)]
    assert read_positive_controls(path) == rows
    entries = ["STAT1:program_2:lowers", "IRF1:7:up", "MYC:a:b"]
    assert written_positive_controls(entries) == rows
    assert check_positive_controls([*rows, rows[0]], ["STAT1", "IRF1", "MYC"],
                                   ["program_2", "7", "a:b"]) == rows  # fmt: skip
    with pytest.raises(OptionError, match="'STAT1' is no positive control"):
        written_positive_controls(["STAT1"])
    with pytest.raises(InputError, match="two signs"):
        check_positive_controls([("A", "p", 1), ("A", "p", -1)], ["A"], ["p"])
    with pytest.raises(InputError, match=r"names 1 program.*'q'"):
        check_positive_controls([("A", "q", 1)], ["A"], ["p"])
    for text, says in (
        ("target,program\nA,\n", r"line\(s\) 2"),
        ("target,program,sign\nA,p,sideways\n", "'sideways' is not known"),
        ("target,program\n", "names no positive control"),
        ("target,sign\nA,+\n", "program"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=says):
            read_positive_controls(path)


@pytest.mark.slow
@pytest.mark.brief
def test_the_page_has_a_sentence_a_picture_and_a_card(tmp_path):
    facts = full_facts()
    names = facts.results[["target", "program"]].drop_duplicates().iloc[:2]
    expected = names.assign(expected=-1, rank=[1.0, np.nan])
    page = write(tmp_path / "index.html", expected=expected).read_text(encoding="utf-8")
    assert "Were positive controls found?" in page
    assert "positive controls found</span>" in page
    tested = judged_controls(facts.results, expected, level=0.1)
    png_bytes(pl.positive_controls(tested))
    with pytest.raises(InputError, match="no positive control was tested"):
        pl.positive_controls(tested.assign(outcome="not tested"))


def test_a_pair_in_several_conditions_counts_once_as_a_pair():
    both = pd.concat([results().assign(condition=c) for c in ("day 0", "day 3")])
    both.loc[(both["condition"] == "day 3") & (both["target"] == "A"), "q_value"] = 0.9
    said = in_words(judged_controls(both, expected_effects(OWN), level=0.1), 4, 0.1)
    assert "3 of 6 positive controls (50 %) found at q ≤ 0.1, condition by condition" in said
    assert "in at least one condition 2 of 3 pairs of target and program" in said


@pytest.mark.slow
@pytest.mark.brief
def test_guides_tested_one_by_one_are_each_a_test_of_what_their_target_should_do(tmp_path):
    facts = full_facts()
    one = facts.results.drop(columns="condition")
    guides = pd.concat([one.assign(guide=one["target"] + f"_g{i}") for i in (1, 2)])
    pair = one[["target", "program"]].iloc[[1]]
    expected = pair.assign(expected=0, rank=1.0)
    at = (guides["target"] == pair["target"].iloc[0]) & (
        guides["program"] == pair["program"].iloc[0]
    )
    guides.loc[at, "q_value"] = [1e-9, 0.9]
    tested = judged_controls(guides, expected, level=0.1)
    assert list(tested["outcome"]) == ["found", "not found"]
    assert tested.columns[0] == "guide"
    said = in_words(tested, 25, 0.1)
    assert "1 of 2 positive controls (50 %) found at q ≤ 0.1, guide by guide" in said
    assert "by at least one guide 1 of 1 pair of target and program" in said
    names = [label.get_text() for label in pl.positive_controls(tested).get_yticklabels()]
    assert names[0].startswith(f"{pair['target'].iloc[0]}_g1 ·")
    page = write(
        tmp_path / "index.html", results=guides, expected=expected, omnibus=None, truth=None
    )
    assert "Were positive controls found?" in page.read_text(encoding="utf-8")
