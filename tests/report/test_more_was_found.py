"""Likeness of targets, differences between conditions, positive controls: against formulas."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from programde import pl
from programde.report import more_was_found
from programde.report.contrasts import condition_contrasts
from programde.report.own_programs import own_gene_ranks
from programde.report.pictures import NONE, _shown
from programde.report.positive_controls import expected_effects
from programde.report.similarity import alike, correlations, effect_profiles
from programde.report.style import png_bytes

from .test_report import full_facts, write


def screen(n_targets=30, n_programs=12, seed=0, conditions=()):
    """Targets A and B act alike, C oppositely, the others do nothing."""
    rng = np.random.default_rng(seed)
    shape = rng.normal(size=n_programs)
    true = np.zeros((n_targets, n_programs))
    true[0], true[1], true[2] = shape, 0.8 * shape, -shape
    names = ["A", "B", "C", *(f"T{i}" for i in range(3, n_targets))]
    parts = []
    for condition in conditions or ("",):
        effect = true + 0.1 * rng.normal(size=true.shape)
        p = 2 * stats.norm.sf(np.abs(effect) / 0.1)
        parts.append(
            pd.DataFrame(
                {
                    "target": np.repeat(names, n_programs),
                    "program": np.tile([f"p{k}" for k in range(n_programs)], n_targets),
                    "effect": effect.ravel(),
                    "effect_se": 0.1,
                    "p_value": p.ravel(),
                    "q_value": stats.false_discovery_control(p.ravel()),
                }
            )
        )
        if conditions:
            parts[-1].insert(0, "condition", condition)
    return pd.concat(parts, ignore_index=True)


def test_profiles_are_shrunken_by_their_errors():
    results = screen()
    profiles = effect_profiles(results)
    table = results.pivot(index="target", columns="program", values="effect")
    tau2 = np.maximum((table**2 - 0.01).mean(), 0)
    expected = (table * tau2 / (tau2 + 0.01)).loc[profiles.index, profiles.columns]
    np.testing.assert_allclose(profiles, expected, rtol=1e-12)
    assert set(profiles.index) == set(results.loc[results["q_value"] <= 0.1, "target"])


def test_correlations_are_pearsons():
    profiles = effect_profiles(screen())
    np.testing.assert_allclose(correlations(profiles), np.corrcoef(profiles), atol=1e-12)
    flat = pd.DataFrame([[1.0, 1.0, 1.0], [0.0, 1.0, 2.0]])
    assert correlations(flat).iloc[0, 1] == 0


def test_targets_that_act_alike_stand_first_and_opposite_ones_last():
    pairs = alike(screen())
    assert set(pairs.loc[0, ["first", "second"]]) == {"A", "B"}
    assert pairs.loc[0, "correlation"] > 0.9
    assert pairs.loc[0, "n_same"] > 5
    assert pairs.loc[0, "n_opposite"] == 0
    last = pairs.iloc[-1]
    assert "C" in {last["first"], last["second"]}
    assert last["correlation"] < -0.9
    assert alike(screen().drop(columns="effect_se")).empty


def test_differences_between_conditions_are_z_tests():
    results = screen(conditions=("a", "b", "c"))
    found = condition_contrasts(results)
    assert len(found) == 3 * 30 * 12
    row = found.iloc[7]
    of = results[(results["target"] == row["target"]) & (results["program"] == row["program"])]
    one, other = (of.loc[of["condition"] == row[c], "effect"].item() for c in ("first", "second"))
    z = (one - other) / np.sqrt(0.02)
    assert row["z"] == pytest.approx(z)
    assert row["p_value"] == pytest.approx(2 * stats.norm.sf(abs(z)))
    np.testing.assert_allclose(found["q_value"], stats.false_discovery_control(found["p_value"]))
    # effects are equal in all conditions: one pair is uniform (false alarm 1e-3, seed fixed)
    pair = found[(found["first"] == "a") & (found["second"] == "b")]
    within = stats.false_discovery_control(pair["p_value"])
    np.testing.assert_allclose(pair["q_value_within"], within)
    assert stats.kstest(pair["p_value"], "uniform").pvalue > 1e-3


def test_an_effect_in_one_condition_alone_is_found():
    results = screen(conditions=("a", "b"))
    here = (
        (results["condition"] == "a") & (results["target"] == "T5") & (results["program"] == "p3")
    )
    results.loc[here, "effect"] = 2.0
    first = condition_contrasts(results).iloc[0]
    assert (first["target"], first["program"]) == ("T5", "p3")
    assert first["difference"] > 1.5


def test_targets_whose_own_gene_leads_a_program():
    ranked = {"p0": ["X", "A"], "p1": ["B"], "p2": ["Y"]}
    ranks = own_gene_ranks(ranked, ["A", "B", "C"])
    assert ranks.to_dict("records") == [
        {"target": "A", "program": "p0", "rank": 2},
        {"target": "B", "program": "p1", "rank": 1},
    ]


@pytest.mark.slow
@pytest.mark.brief
def test_pictures_and_page(tmp_path):
    one, several = screen(), screen(conditions=("a", "b"))
    png_bytes(pl.target_similarity(one))
    png_bytes(pl.target_similarity(several))
    png_bytes(pl.condition_scatter(condition_contrasts(several)))
    several["q_value_within"] = several["q_value"]
    path = write(
        tmp_path / "index.html",
        results=several,
        truth=None,
        omnibus=None,
        expected=expected_effects(own_gene_ranks({"p0": ["A"]}, ["A"])),
    )
    page = path.read_text(encoding="utf-8")
    for title in (
        "Which targets act alike?",
        "Do conditions differ?",
        "Were positive controls found?",
    ):
        assert title in page


def test_every_two_conditions_have_a_picture_that_names_them_and_a_q_of_their_own(tmp_path):
    facts = full_facts(results=screen(n_targets=4, conditions=("a", "b", "c")))
    grid = more_was_found.contrasts(facts, NONE)[0].blocks[-1]
    assert "q_value_within" in grid.frame
    assert "of the same two conditions" in grid.note
    two = full_facts(results=screen(n_targets=4, conditions=("a", "b")))
    assert "q_value_within" not in more_was_found.contrasts(two, NONE)[0].blocks[-1].frame
    assert _shown("contrast in day 0 and day 3")[0].endswith(": day 0 and day 3")
    assert ":" not in _shown("volcano in day 0")[0]


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("calibrated", "At most 10 % of such hits are expected to be false"),
        ("inflated", "More than 10 % of them may be false"),
        ("too few controls to tell", "if the test's assumptions hold"),
    ],
)
def test_q_values_promise_what_the_controls_allow(word, says):
    from programde.report.what_was_found import found

    assert says in found(full_facts(), NONE, None, word).lead
