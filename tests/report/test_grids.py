"""Tables to work with: what travels into the page is what the table says, and can end nothing."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd

from programde.report.blocks import render
from programde.report.grids import Grid, numbers
from programde.report.hit_tables import MOST, programs, strongest, targets

from .test_report import full_facts, write


class Payloads(HTMLParser):
    """The JSON of each table by its id."""

    def __init__(self, text):
        super().__init__()
        self.found, self.grid, self.reading = {}, None, False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if attrs.get("class") in ("grid", "map"):
            self.grid = attrs["id"]
        self.reading = tag == "script" and attrs.get("type") == "application/json"

    def handle_data(self, data):
        if self.reading:
            self.found[self.grid] = json.loads(data)
            self.reading = False


def column(payload, name):
    values = payload["values"][name]
    if isinstance(values, dict):
        return [None if at < 0 else values["words"][at] for at in values["at"]]
    return values


def test_values_arrive_as_they_are():
    names = ["</script><script>alert(1)</script>", "<!--", "$x$", None]
    frame = pd.DataFrame({"target": names, "p_value": [1e-300, 0.123456, np.nan, np.inf]})
    page = render(Grid(frame, "T", "grid"))
    assert page.count("</script>") == 1
    assert "<!--" not in page
    found = Payloads(page).found["grid"]
    assert column(found, "target") == names
    assert column(found, "p_value") == [1e-300, 0.1235, None, None]
    assert [c["kind"] for c in found["columns"]] == ["text", "p"]


def test_numbers_have_four_digits():
    assert numbers(np.array([0.0123456, 12345.6, 3.0, -1e-9])) == [0.01235, 12350, 3, -1e-9]
    assert numbers(np.array([12345.0, np.nan]), 0) == [12345, None]


def test_the_page_holds_the_tables(tmp_path):
    facts = full_facts()
    found = Payloads(write(tmp_path / "index.html").read_text(encoding="utf-8")).found
    assert {"hits", "targets", "programs", "tests"} <= set(found)
    hits = facts.results[facts.results["q_value"] <= facts.level]
    assert found["hits"]["n"] == found["hits"]["total"] == len(hits)
    assert sorted(column(found["hits"], "target")) == sorted(hits["target"])
    assert found["tests"]["n"] == facts.results["p_value"].notna().sum()
    p = column(found["tests"], "p_value")
    assert p == sorted(p)


def test_up_and_down_are_counted():
    facts = full_facts()
    hits = facts.results[facts.results["q_value"] <= facts.level]
    by_program = programs(facts).frame.set_index("program")
    for name, row in by_program.iterrows():
        mine = hits[hits["program"] == name]
        assert row["n_up"] == (mine["effect"] > 0).sum()
        assert row["n_down"] == (mine["effect"] < 0).sum()
    whole = targets(facts)
    assert whole is not None
    first = whole.frame.set_index("target").loc["GENE1"]
    mine = hits[hits["target"] == "GENE1"]
    assert first["n_up"] + first["n_down"] == len(mine)


def test_a_large_screen_says_where_the_rest_is():
    n = MOST + 100
    results = pd.DataFrame({"target": [f"T{i}" for i in range(n)], "program": "p"})
    results = results.assign(effect=1.0, p_value=np.linspace(0, 1, n), q_value=0.5)
    grid = strongest(full_facts(results=results, truth=None, omnibus=None))
    assert len(grid.frame) == MOST
    assert "all 5,100 are in results.parquet" in render(grid)
    assert re.search(r'"total":5100', render(grid))
