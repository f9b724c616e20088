"""What a click on a hit shows is what the tables say; the methods say what was done."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from programde.report.details import hit_details, strongest_hits
from programde.report.methods import methods_paragraph, provenance

from .test_grids import Payloads
from .test_report import full_facts, write


def cells(n=40):
    batches = pd.DataFrame({"batch": ["b1"], "effect": [0.5], "effect_se": [0.1], "n_treated": [9]})
    return SimpleNamespace(
        treated=np.linspace(0, 1, 5),
        control=np.linspace(0, 0.5, 5),
        zeros_treated=0.25,
        zeros_control=0.5,
        n_treated=n,
        n_control=100,
        batches=batches,
    )


def guide_effects(results):
    rows = results[["target", "program", "effect"]].copy()
    return rows.assign(guide=rows["target"] + "g1", effect_se=0.2, n_treated=7)


def test_the_strongest_hits_have_details():
    facts = full_facts()
    best = strongest_hits(facts.results, facts.level, 3)
    opens, told = hit_details(facts, [cells(n) for n in (1, 2, 3)], guide_effects(facts.results))
    assert list(opens.values()) == [0, 1, 2]
    for at, row in enumerate(best.itertuples()):
        one = told["hits"][at]
        assert opens[row.condition, row.target, row.program] == at
        assert (one["target"], one["program"]) == (row.target, row.program)
        assert one["q"] == pytest.approx(row.q_value, rel=1e-3)
        assert one["n_treated"] == at + 1
        assert [g["name"] for g in one["guides"]] == [f"{row.target}g1"]
        assert one["batches"] == [{"name": "b1", "at": 0.5, "se": 0.1, "n": 9}]
    n_hits = (facts.results["q_value"] <= facts.level).sum()
    assert len(told["all"]) == n_hits
    assert [one["at"] for one in told["all"]][:4] == [0, 1, 2, None]
    json.dumps(told, allow_nan=False)


def test_guides_are_those_in_the_cells_of_the_hit():
    facts = full_facts()
    here = guide_effects(facts.results).assign(condition="day 3")
    there = here.assign(condition="day 0", guide="elsewhere")
    effects = pd.concat([there, here])
    _, told = hit_details(facts, [cells()], effects)
    assert [g["name"] for g in told["hits"][0]["guides"]] == [f"{told['hits'][0]['target']}g1"]
    agree = facts.results[["target", "program"]].assign(
        n_guides=3, n_same_sign=2, leading_guide="g1", z=4.0, z_without_leading=2.0
    )
    _, told = hit_details(full_facts(guides=agree), [cells()], effects)
    assert any(n.startswith("Over all conditions 2 of 3 guides") for n in told["hits"][0]["notes"])


def test_conditions_are_those_of_the_guide_that_was_tested():
    one = full_facts().results
    results = pd.concat([one.assign(guide=one["target"] + f"_g{i}") for i in (1, 2)])
    results = pd.concat([results, results.assign(condition="day 0")])
    facts = full_facts(results=results, omnibus=None, truth=None)
    _, told = hit_details(facts, [cells()], None)
    assert [line["name"] for line in told["hits"][0]["conditions"]] == ["day 3", "day 0"]


def test_guides_and_batches_keep_their_own_unit():
    facts = full_facts(effect_label="rank-biserial correlation", usage_label="log-ratio")
    _, told = hit_details(facts, [cells()], None)
    assert (told["unit"], told["unit_of_means"]) == ("rank-biserial correlation", "log-ratio")


def test_notes_tell_of_spill_over_of_the_smallest_effect_and_of_the_program():
    facts = full_facts()
    best = strongest_hits(facts.results, facts.level, 2).index
    results = facts.results.assign(
        p_direct=np.nan, q_direct=np.nan, mirror=np.nan, log_ratio=np.nan,
        direct_reason="no standard error", mde80=0.25,
    )  # fmt: skip
    results.loc[best[0], ["p_direct", "q_direct", "mirror", "log_ratio"]] = [1e-6, 1e-5, 0.1, -0.7]
    results.loc[best[1], ["p_direct", "q_direct", "mirror", "log_ratio"]] = [0.4, 0.6, -0.2, -0.3]
    program = str(results.loc[best[0], "program"])
    programs = pd.DataFrame({"label": [""], "top_genes": ["A1 B2"]}, [program])
    sets = pd.DataFrame(
        {"program": [program], "gene_set": ["HEAT"], "p_value": [1e-9], "q_value": [1e-7]}
    )
    given = full_facts(results=results, programs=programs, gene_sets=sets)
    _, told = hit_details(given, [cells()] * 3, guide_effects(results))
    first, second, third = (" ".join(hit["notes"]) for hit in told["hits"])
    assert f"Genes that lead {program}: A1 B2. They belong to HEAT (q 1e-07)." in first
    assert "touched itself" in first
    assert "would move this program by 0.10 (log-ratio); found is −0.70" in first
    assert "An effect of 0.25 would have been found four times out of five." in first
    assert "may be a mirror image" in second
    assert "cannot be told whether it was touched itself (no standard error)" in third


@pytest.mark.slow
@pytest.mark.brief
def test_they_are_in_the_page(tmp_path):
    path = write(tmp_path / "index.html", hit_cells=[cells(), cells()])
    page = path.read_text(encoding="utf-8")
    hits = Payloads(page).found["hits"]
    assert hits["opens"][:3] == [0, 1, None]
    assert '<dialog id="opened"' in page
    bare = write(tmp_path / "bare.html").read_text(encoding="utf-8")
    assert '<dialog id="opened"' not in bare


def test_the_methods_say_what_was_done():
    settings = {
        "test": {"kind": "ols"},
        "sampler": {"kind": "bernoulli_index"},
        "n_resamples": 1023,
        "seed": 5,
        "side": "both",
        "fdr": {"adjust": "bh"},
        "usage": {"transform": "clr"},
    }
    text = methods_paragraph(full_facts(settings=settings))
    for words in ("20,665 cells", "15 gene programs", "all other cells", "least-squares",
                  "1,023 draws, seed 5", "saddlepoint", "360 two-sided tests", "Benjamini",
                  "centred log-ratios"):  # fmt: skip
        assert words in text
    assert "in the cells of each condition (day 3) apart" in text
    assert "groups of 3 non-targeting guides" in text
    assert "None" not in text
    assert "None" not in methods_paragraph(full_facts(settings={}))


def test_the_provenance_follows_configuration_and_input():
    one = provenance(full_facts())
    assert provenance(full_facts()) == one
    assert provenance(full_facts(settings={"seed": 2})) != one
    assert provenance(full_facts(fingerprint="other")) != one
