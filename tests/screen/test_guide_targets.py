import numpy as np
import pandas as pd
import pytest

from programde.errors import InputError, OptionError, ProgramDEWarning
from programde.screen.guide_targets import guide_map, guide_targets, settle_targets
from programde.screen.guides import check_guides
from programde.screen.names import name_list

LISTS = {"g0": ["A", "B"], "g1": ("A",), "g2": np.array(["B", "NTC"], dtype=object), "g3": "NTC"}


def test_lists_of_targets():
    assert guide_targets(LISTS) == {
        "g0": ("A", "B"), "g1": ("A",), "g2": ("B", "NTC"), "g3": ("NTC",)
    }  # fmt: skip
    assert guide_targets([["A", "B"], "A"], ["x", "y"]) == {"x": ("A", "B"), "y": ("A",)}
    for call in (guide_map, lambda m: check_guides(4, ["g0", "g1", "g2", "g3"], m)):
        with pytest.raises(InputError, match=r"2 guide\(s\) have several targets: g0 \(A, B\), g2"):
            call(LISTS)


@pytest.mark.parametrize("odd", [{"A"}, [["A"], ["B"]], [{"a": 1}], pd.Series(["A"])])
def test_other_values_are_one_line(odd):
    with pytest.raises(InputError, match="the target of guide 'g' is a"):
        guide_targets({"g": odd})


def test_both_and_whole():
    with pytest.warns(ProgramDEWarning, match="2 guides of several targets count for each"):
        first, further = settle_targets(guide_targets(LISTS), "both", [])
    assert first == {"g0": "A", "g1": "A", "g2": "B", "g3": "NTC"}
    assert further == {"g0": ("B",)}  # a control label beside a target is none
    with pytest.warns(ProgramDEWarning, match="one target, the whole set"):
        first, further = settle_targets(guide_targets(LISTS), "whole", [])
    assert (first["g0"], first["g2"], further) == ("A|B", "B|NTC", {})
    with pytest.raises(OptionError, match="multi_target_guides='first' is not known"):
        settle_targets({}, "first", [])


def test_a_sign_between_names_tells_only_where_a_part_is_a_target():
    alone = {"g0": ("HLA-A;B",), "g1": ("A,1",)}
    assert settle_targets(alone, "error", []) == ({"g0": "HLA-A;B", "g1": "A,1"}, {})
    with pytest.raises(InputError, match=r"g0 \(HLA-A, B\)"):
        settle_targets(alone | {"g2": ("B",)}, "error", [])


@pytest.mark.parametrize("missing", ["nan", "NaN", "<NA>", "None", "NaT"])
def test_texts_of_missing_values(missing):
    with pytest.raises(InputError, match=r"targets of guides: 2 of 3 are .* \(of a, c\)"):
        guide_targets({"a": missing, "b": "X", "c": missing})
    with pytest.raises(InputError, match=r"guide names: 1 of 2 are .* \(rows 2\)"):
        name_list("guide names", ["x", missing])
    assert guide_targets({"a": None, "b": "X", "c": np.nan, "d": pd.NA}) == {"b": ("X",)}


def test_names_that_are_missing():
    for value in (None, np.nan, pd.NA, pd.NaT, np.ma.masked, ""):
        with pytest.raises(InputError, match=r"cell names: 1 of 3 are empty"):
            name_list("cell names", ["a", value, "b"])
    assert name_list("cell names", ["NA", "01", 1, b"x", np.str_("y")]) == [
        "NA",
        "01",
        "1",
        "x",
        "y",
    ]


def test_tables_with_names_of_several_parts():
    parts = pd.MultiIndex.from_tuples([("a", 1), ("b", 2)])
    for table in (pd.Series(["A", "B"], parts), pd.DataFrame({"t": ["A", "B"]}, parts)):
        with pytest.raises(InputError, match=r"its rows have names of 2 parts \(a MultiIndex\)"):
            guide_targets(table)
