"""The report page: well-formed, escaped, self-contained, and it says what the tables say."""

import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from programde.errors import InputError
from programde.report.blocks import cell, flatten, p_text, render
from programde.report.metrics import calibration_metrics, truth_metrics
from programde.report.qq_plots import qq_panel
from programde.report.run_page import (
    Picture,
    Report,
    Section,
    Settings,
    Table,
    _branches,
    write_report,
)
from programde.report.style import png_bytes
from programde.report.verdict import Verdict
from tests.report.fake import make_p_table, make_results

RESULTS, TRUTH = make_results()
CONTROLS = {"raw": make_p_table(40), "saddlepoint": make_p_table(40, seed=1)}
METRICS = calibration_metrics(CONTROLS, n_boot=50)
PNG = png_bytes(qq_panel({"raw": CONTROLS["raw"]}))
VOID = {"meta", "img", "br", "link", "hr", "input"}


class Page(HTMLParser):
    """Collects text and attributes, and fails on a tag that is not closed in order."""

    def __init__(self, path):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.attributes, self.words = [], [], [], []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, key, value) for key, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.words))


def full_report(**changes):
    results = RESULTS.assign(calibration="saddlepoint", fallback="", reason="", condition="day 3")
    gone = results["target"] == "GENE4"
    results.loc[gone, ["effect", "p_value", "q_value"]] = np.nan
    results.loc[gone, "reason"] = "3 treated cells, 10 are needed"
    results.loc[0, "fallback"] = "tail check refused the fit"
    parts = {
        "title": "Screen <1> & more",
        "results": results,
        "metrics": METRICS,
        "kind": "saddlepoint",
        "picture": Picture("QQ", PNG, "Follow the diagonal."),
        "subtitle": "a subtitle",
        "facts": {"cells": 20665, "programs": 15},
        "omnibus": pd.DataFrame({"target": ["GENE1", "GENE2"], "p_max": [1e-300, 0.5]}),
        "evidence": [Picture("Rates", qq_panel({"raw": [0.5, 0.1]}), "Should cover 1.")],
        "findings": [Picture("Volcano", PNG, "One point per test.", narrow=True)],
        "truth_metrics": truth_metrics(results, TRUTH),
        "inputs": [Table(pd.DataFrame({"quantity": ["zeros"], "value": [0.3]}), "In numbers")],
        "notes": ["Covariate 'a' <dropped> & gone."],
        "more": [Section("Per condition", ["One sentence."])],
        "settings": {"sampler": {"B": 1023}, "seed": 1},
        "versions": {"numpy": "2.4.6"},
        "fingerprint": {"screen": "abc123"},
        "files": {"results.csv": "one row per test"},
    }
    return Report(**{**parts, **changes})


@pytest.fixture
def page(tmp_path):
    return Page(write_report(tmp_path / "report" / "index.html", full_report()))


def test_sections_stand_in_the_order_of_the_questions(page):
    text = page.text
    order = [
        "Is this run calibrated?",
        "What was found",
        "Why to believe it",
        "Agreement with the truth",
        "Per condition",
        "What came in",
        "What could not be tested",
        "How this was made",
    ]
    body = text[text.index("Hits, strongest first") :]
    found = [body.index(name) for name in order[2:]]
    assert found == sorted(found)
    assert text.index(order[0]) < text.index(order[1])


def test_page_refers_to_nothing_outside(page):
    for tag, key, value in page.attributes:
        if key in ("src", "href", "action", "data", "srcset", "poster"):
            assert value.startswith(("data:image/png;base64,", "#")), (tag, key, value[:40])
    assert not {"script", "link", "iframe", "object", "form"} & set(page.tags)
    ids = {value for _, key, value in page.attributes if key == "id"}
    links = {value[1:] for _, key, value in page.attributes if key == "href"}
    assert links <= ids


def test_style_fetches_nothing(tmp_path):
    raw = write_report(tmp_path / "index.html", full_report()).read_text(encoding="utf-8")
    style = raw[raw.index("<style>") : raw.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert "http" not in re.sub(r"base64,[A-Za-z0-9+/=]+", "", raw)


def test_text_is_escaped(page, tmp_path):
    assert "Screen <1> & more" in page.text
    assert "Covariate 'a' <dropped> & gone." in page.text
    evil = '"><script>alert(1)</script>'
    results = RESULTS.assign(target=evil, program=np.arange(len(RESULTS)))
    hard = full_report(
        title=evil,
        results=results,
        subtitle=evil,
        facts={evil: evil},
        omnibus=pd.DataFrame({"target": [evil], evil: [evil]}),
        picture=Picture(evil, PNG, evil),
        notes=[evil],
        truth_metrics=None,
        more=[Section(evil, [evil, [evil], Settings(evil, {evil: {evil: evil}})], evil, evil)],
        settings={evil: evil},
        fingerprint=evil,
        files={evil: evil},
        judgement=Verdict("inflated", evil),
    )
    path = write_report(tmp_path / "evil.html", hard)
    assert "<script" not in path.read_text(encoding="utf-8")
    assert Page(path).text.count(evil) > 15


def test_verdict_and_numbers_are_on_the_page(page):
    hits = int((RESULTS.loc[RESULTS["target"] != "GENE4", "q_value"] <= 0.1).sum())
    assert "Yes: calibrated" in page.text
    assert f"{hits} of 360 tests have q ≤ 0.1" in page.text
    assert "3 treated cells, 10 are needed" in page.text
    assert "15 of 375 tests could not be done" in page.text
    assert "tail check refused the fit" in page.text
    assert "day 3" in page.text
    assert "20,665" in page.text
    assert "sampler.B" in page.text
    assert "abc123" in page.text


@pytest.mark.parametrize(
    ("word", "answer"),
    [
        ("calibrated", "Yes: calibrated"),
        ("inflated", "No: inflated"),
        ("conservative", "On the safe side"),
        ("too few controls to tell", "Too few controls to tell"),
        ("not judged", "Not judged"),
    ],
)
def test_every_word_has_its_banner(tmp_path, word, answer):
    report = full_report(judgement=Verdict(word, "The numbers."))
    text = Page(write_report(tmp_path / "x.html", report)).text
    assert answer in text
    assert "The numbers." in text


def test_no_hits_no_controls_no_tests(tmp_path):
    empty = calibration_metrics(pd.DataFrame(np.empty((0, 3))))
    nothing = RESULTS.assign(p_value=np.nan, q_value=np.nan, effect=np.nan)
    for results in (RESULTS.assign(q_value=1.0), nothing, RESULTS.iloc[:0]):
        report = Report("Bare", results, {"raw": empty}, "raw")
        text = Page(write_report(tmp_path / "bare.html", report)).text
        assert "Too few controls to tell" in text
        assert "has q ≤ 0.1" in text
        assert not re.search(r"\bnan\b", text, flags=re.IGNORECASE)


def test_equal_reports_give_equal_bytes(tmp_path):
    first = write_report(tmp_path / "a.html", full_report()).read_bytes()
    assert write_report(tmp_path / "b.html", full_report()).read_bytes() == first


def test_a_refused_report_leaves_the_old_page(tmp_path):
    path = write_report(tmp_path / "index.html", full_report())
    before = path.read_bytes()
    with pytest.raises(InputError, match="no metrics of kind 'sadlepoint'; did you mean"):
        write_report(path, full_report(kind="sadlepoint"))
    with pytest.raises(InputError, match="picture 'x' is no PNG"):
        write_report(path, full_report(evidence=[Picture("x", b"GIF89a", "y")]))
    with pytest.raises(InputError, match="no column 'q_value'"):
        write_report(path, full_report(results=RESULTS.drop(columns="q_value")))
    assert path.read_bytes() == before
    assert [f.name for f in tmp_path.iterdir()] == ["index.html"]


def test_long_tables_fold():
    html = render(Table(pd.DataFrame({"n": range(1000)}), "Many", limit=5, more=20))
    assert html.count("<tr>") == 2 + 25
    assert "20 more rows of 995" in html
    assert "None." in render(Table(pd.DataFrame({"n": []}), "Empty"))
    with pytest.raises(InputError, match="format 'pvalue' of column 'n'"):
        render(Table(pd.DataFrame({"n": [1]}), formats={"n": "pvalue"}))


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (0.034, "p", "0.034"),
        (3.4e-7, "p", "3.4&thinsp;×&thinsp;10<sup>−7</sup>"),
        (1e-300, "p", "1.0&thinsp;×&thinsp;10<sup>−300</sup>"),
        (1.0, "p", "1"),
        (np.nan, "p", "–"),
        (None, "text", "–"),
        (pd.NA, "count", "–"),
        (np.int64(20665), "count", "20,665"),
        (-0.25, "signed", "−0.250"),
        (0.25, "signed", "+0.250"),
        (0.1234, "percent", "12.3 %"),
        (np.inf, "number", "∞"),
        (1.0, "fixed", "1.00"),
        ("a\n<b>", "text", "a<br>&lt;b&gt;"),
        (True, "text", "True"),
    ],
)
def test_cells_read_as_people_write(value, kind, text):
    assert cell(value, kind) == text


def test_p_text_and_flatten():
    assert p_text(0.0) == "0"
    assert flatten({"a": {"b": [1, 2]}, "c": None}) == [("a.b", "1, 2"), ("c", "None")]


def test_the_ways_of_exact_tails_are_counted_and_compared(tmp_path):
    results = RESULTS.assign(calibration="saddlepoint", fallback="", branch="moments")
    results.loc[results.index[:4], "branch"] = "inversion"
    results["p_moments"] = results["p_value"] * np.where(results["branch"] == "moments", 1.05, 3.0)
    table = _branches(results)[0]
    found = table.frame.set_index("branch")
    assert found.loc["inversion", "tests"] == 4
    assert found["tests"].sum() == results["p_value"].notna().sum()
    assert found["agree"].to_dict() == {"moments": 1.0, "inversion": 0.0}
    path = tmp_path / "index.html"
    write_report(path, full_report(results=results))
    text = Page(path).text
    assert "as a skew-normal" in text
    assert "inversion" in text
