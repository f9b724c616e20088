"""Prespecified pairs: a false discovery rate of their own, beside that over all tests."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import false_discovery_control

from programde.analysis.prespecified import with_pairs
from programde.errors import InputError
from programde.io.pairs import check_pairs, read_pairs


def results() -> pd.DataFrame:
    p = np.random.default_rng(3).random(12)
    return pd.DataFrame(
        {
            "target": np.repeat(["A", "B", "C"], 4),
            "program": np.tile(["p1", "p2", "p3", "p4"], 3),
            "p_value": p,
            "q_value": false_discovery_control(p),
            "n_treated": 30,
        }
    )


def test_q_values_over_the_pairs_alone():
    table = results()
    table.loc[5, "p_value"] = np.nan
    pairs = [["A", "p2"], ["B", "p2"], ["C", "p4"], ["B", "p1"]]
    found = with_pairs(table, pairs)
    among = [1, 4, 5, 11]
    assert np.flatnonzero(found["prespecified"]).tolist() == among
    tested = [1, 4, 11]
    expected = false_discovery_control(table["p_value"].to_numpy()[tested])
    np.testing.assert_allclose(found["q_prespecified"].to_numpy()[tested], expected, rtol=1e-12)
    rest = np.setdiff1d(np.arange(12), tested)
    assert found["q_prespecified"].isna().to_numpy()[rest].all()
    columns = list(found.columns)
    assert columns.index("prespecified") == columns.index("q_value") + 1
    pd.testing.assert_frame_equal(found[table.columns], table)
    assert with_pairs(table, []) is table


def test_names_that_the_screen_does_not_have():
    assert check_pairs([["A", "p1"], ["A", "p1"]], ["A"], ["p1"]) == [("A", "p1")]
    with pytest.raises(InputError, match=r"1 target\(s\) .*'STAT2'; .*STAT1"):
        check_pairs([["STAT2", "p1"]], ["STAT1"], ["p1"])
    with pytest.raises(InputError, match=r"1 program\(s\) .*'p9'"):
        check_pairs([["STAT1", "p9"]], ["STAT1"], ["p1"])


def test_reading_a_table_of_pairs(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text("program,note,target\n01,x,7\np 2,,NA\n", encoding="utf-8")
    assert read_pairs(path) == [["7", "01"], ["NA", "p 2"]]
    (tmp_path / "pairs.tsv").write_text("target\tprogram\nA\tp1\n", encoding="utf-8")
    assert read_pairs(tmp_path / "pairs.tsv") == [["A", "p1"]]
    for text, words in (
        ("target\nA\n", "no column 'program'"),
        ("target,program\n", "names no pair"),
        ("target,program\nA,\n", r"line\(s\) 2"),
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match=words):
            read_pairs(path)
    with pytest.raises(InputError, match="no such file"):
        read_pairs(tmp_path / "absent.csv")
