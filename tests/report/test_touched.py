"""Which hits may be mirror images: counts, sentences, the picture and the section."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from programde.errors import InputError
from programde.report.direct_plots import by_target, mirror_figure
from programde.report.facts import Comparison, Controls, Facts, Inputs
from programde.report.pictures import NONE
from programde.report.touched import touched


@pytest.fixture(scope="module")
def results():
    """Three targets on four programs: two mirror images of one touched; all touched; unknown."""
    table = pd.DataFrame(
        {
            "target": np.repeat(["A", "B", "C", "D"], 4),
            "program": np.tile([f"p{k}" for k in range(4)], 4),
            "q_value": [0.01, 0.01, 0.01, 0.5, 0.01, 0.5, 0.5, 0.5, *[0.01, 0.5] * 2, *[0.9] * 4],
        }
    )
    table["p_value"] = table["q_value"] / 2
    table["q_direct"] = [0.01, 0.4, 0.3, 0.6, 0.02, 0.9, 0.9, 0.9, *[np.nan] * 4, *[0.9] * 4]
    table["p_direct"] = table["q_direct"] / 2
    table["mirror"] = -0.1
    table["log_ratio"] = np.where(table["q_direct"] < 0.1, 1.2, -0.12)
    table["effect"] = table["log_ratio"]
    table["direct_reason"] = np.where(table["p_direct"].isna(), "4 programs, too few", "")
    return table


def facts_of(results):
    return Facts(results, Controls("none"), Comparison("complement", "said"), Inputs({}))


def test_hits_are_counted_by_target(results):
    table = by_target(results, 0.1)
    assert table.to_dict("records") == [
        {"target": "A", "hits": 3, "touched": 1, "mirror": 2, "unknown": 0},
        {"target": "C", "hits": 2, "touched": 0, "mirror": 0, "unknown": 2},
        {"target": "B", "hits": 1, "touched": 1, "mirror": 0, "unknown": 0},
    ]
    assert by_target(results.assign(condition="x"), 0.1).columns[0] == "condition"
    with pytest.raises(InputError, match="mirror"):
        by_target(results.drop(columns="mirror"), 0.1)


def test_a_sentence_per_target_and_the_reason_where_none_can_be_said(results):
    (section,) = touched(facts_of(results), NONE)
    assert section.lead == (
        "2 of 6 hits may be the mirror image of other programs' shifts; of 2 it cannot be told "
        "(4 programs, too few)."
    )
    assert list(section.blocks[0].frame["says"]) == [
        "2 of 3 hits may be the others' mirror image",
        "it cannot be told which programs were touched",
        "it was touched",
    ]


def test_without_hits_or_direct_effects_there_is_no_such_part(results):
    assert touched(facts_of(results.assign(q_value=0.9)), NONE) == []
    assert touched(facts_of(results.drop(columns="q_direct")), NONE) == []


def test_the_picture_shows_touched_programs_apart_from_mirror_images(results):
    axes = mirror_figure(results, level=0.1).axes
    assert len(axes) == 3
    assert axes[0].get_title("left") == "A"
    drawn = [part.get_offsets() for part in axes[0].collections]
    assert [len(part) for part in drawn] == [1, 2, 1]
    np.testing.assert_allclose(drawn[2], [[-0.1, 1.2]])
    assert [text.get_text() for text in axes[0].texts] == ["p0"]
    assert len(mirror_figure(results.assign(q_value=0.9)).axes) == 1


def test_the_same_program_twice_in_a_condition_each(results):
    twice = pd.concat([results.assign(condition=c) for c in "xy"], ignore_index=True)
    section = touched(replace(facts_of(twice)), NONE)[0]
    assert len(section.blocks[0].frame) == 6
    assert mirror_figure(twice).axes[0].get_title("left") in ("A in x", "A in y")
