"""The map of all hits on the page: each byte says what the test says."""

import base64
import json
import re

import numpy as np
import pandas as pd

from programde.report.blocks import render
from programde.report.evidence_map import CAP, STEPS, evidence_map, order_of_likeness
from programde.report.qq import neg_log10

from .test_more_was_found import screen
from .test_report import full_facts, write


def decoded(data):
    codes = np.frombuffer(base64.b64decode(data["codes"]), dtype=np.uint8).astype(int)
    codes = codes.reshape(len(data["rows"]), len(data["columns"]))
    hit = codes > 2 * STEPS + 1
    score = (codes - 1 - hit * (2 * STEPS + 1) - STEPS) * CAP / STEPS
    return np.where(codes == 0, np.nan, score), hit


def test_every_target_with_a_hit_and_every_program_is_there():
    results = screen(conditions=("a", "b"))
    results.loc[3, ["effect", "p_value", "q_value"]] = np.nan
    made = evidence_map(full_facts(results=results, truth=None, omnibus=None), None)
    page = render(made)
    found = json.loads(re.search(r"<script[^>]*>(.*?)</script>", page)[1])
    score, hit = decoded(found)
    keys = ["condition", "target"]
    hits = results[results["q_value"] <= 0.1]
    assert {tuple(row) for row in found["rows"]} == set(
        hits[keys].itertuples(index=False, name=None)
    )
    assert set(found["columns"]) == set(results["program"])
    table = results.set_index([*keys, "program"])
    for i, row in enumerate(found["rows"]):
        for j, program in enumerate(found["columns"]):
            one = table.loc[(*row, program)]
            expected = np.sign(one["effect"]) * min(neg_log10(one["p_value"]), CAP)
            if np.isnan(expected):
                assert np.isnan(score[i, j])
                continue
            assert abs(score[i, j] - expected) <= 0.5 * CAP / STEPS + 1e-9
            assert hit[i, j] == (one["q_value"] <= 0.1)


def test_what_is_alike_stands_together():
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 8)) * 5
    rows = [one, other, one * 1.1, other * 0.9]
    order = order_of_likeness(pd.DataFrame(rows)).tolist()
    assert abs(order.index(0) - order.index(2)) == abs(order.index(1) - order.index(3)) == 1


def test_names_can_end_nothing(tmp_path):
    evil = "</script><script>alert(1)</script>"
    results = screen().replace({"target": {"A": evil}, "program": {"p0": evil + "!"}})
    page = write(tmp_path / "index.html", results=results, truth=None, omnibus=None)
    text = page.read_text(encoding="utf-8")
    assert 'id="map"' in text
    assert "<script>alert" not in text


def test_without_two_rows_there_is_no_map():
    results = screen()
    few = results.assign(q_value=np.where(results["target"] == "A", 0.01, 1.0))
    assert evidence_map(full_facts(results=few, truth=None), None) is None
