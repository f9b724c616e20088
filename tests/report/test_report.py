"""The report page: well-formed, escaped, self-contained, and it says what the tables say."""

import base64
import hashlib
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from programde.errors import InputError
from programde.report.blocks import Picture, Table, cell, flatten, p_text, render
from programde.report.facts import Comparison, Controls, Facts, Inputs, Truth
from programde.report.findings import calibrations_used, truth_metrics
from programde.report.metrics import calibration_metrics
from programde.report.page import render_page
from programde.report.pictures import Pictures
from programde.report.qq_plots import qq_panel
from programde.report.run_page import write_run_page
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
        if not {"style", "script"} & set(self.open):
            self.words.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.words))


def inputs(**changes):
    numbers = {"cells": 20665, "programs": 15}
    return Inputs(**{"numbers": numbers, "notes": ["Covariate 'a' <dropped> & gone."], **changes})


def full_facts(**changes):
    results = RESULTS.assign(calibration="saddlepoint", fallback="", reason="", condition="day 3")
    results["q_value_within"] = results["q_value"]
    gone = results["target"] == "GENE4"
    results.loc[gone, ["effect", "p_value", "q_value"]] = np.nan
    results.loc[gone, "reason"] = "3 treated cells, 10 are needed"
    results.loc[0, "fallback"] = "tail check refused the fit"
    parts = {
        "results": results,
        "controls": Controls("saddlepoint", CONTROLS, METRICS, 3, None, "too few <guides>"),
        "comparison": Comparison("complement", "asked for", "one & only"),
        "inputs": inputs(),
        "omnibus": pd.DataFrame({"target": ["GENE1", "GENE2"], "p_max": [1e-300, 0.5]}),
        "truth": Truth(TRUTH, truth_metrics(results, TRUTH)),
        "settings": {"sampler": {"B": 1023}, "seed": 1},
        "fingerprint": {"screen": "abc123"},
        "files": {"results.csv": "one row per test"},
    }
    return Facts(**{**parts, **changes})


def pictures(**more):
    named = {
        "qq_ntc": Picture("QQ", PNG, "Follow the diagonal."),
        "rates": Picture("Rates", qq_panel({"raw": [0.5, 0.1]}), "Should cover 1."),
        "volcano": Picture("Volcano", PNG, "One point per test.", narrow=True),
    }
    return Pictures({**named, **more}, {})


def write(path, pictures=pictures(), **changes):  # noqa: B008
    return write_run_page(path, full_facts(**changes), pictures)


@pytest.fixture
def page(tmp_path):
    return Page(write(tmp_path / "report" / "index.html"))


@pytest.mark.slow
@pytest.mark.brief
def test_sections_stand_in_the_order_of_the_questions(page):
    text = page.text
    order = [
        "Is this run calibrated?",
        "What was found",
        "Why to believe it",
        "Agreement with the truth",
        "In day 3",
        "What came in",
        "What could not be tested",
        "How this was made",
    ]
    body = text[text.index("Hits, strongest first") :]
    found = [body.index(name) for name in order[2:]]
    assert found == sorted(found)
    assert text.index(order[0]) < text.index(order[1])


@pytest.mark.slow
@pytest.mark.brief
def test_page_refers_to_nothing_outside(page):
    for tag, key, value in page.attributes:
        if key in ("src", "href", "action", "data", "srcset", "poster"):
            inside = value.startswith(("data:image/png;base64,", "data:image/svg+xml;base64,", "#"))
            beside = tag == "a" and not re.match(r"[a-z]+:|//", value)
            assert inside or beside, (tag, key, value[:40])
    assert not {"link", "iframe", "object", "form"} & set(page.tags)
    ids = {value for _, key, value in page.attributes if key == "id"}
    links = {v[1:] for _, key, v in page.attributes if key == "href" and v.startswith("#")}
    assert links <= ids


def test_style_fetches_nothing(tmp_path):
    raw = write(tmp_path / "index.html").read_text(encoding="utf-8")
    style = raw[raw.index("<style>") : raw.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert not re.search(r"https?://", style)
    # and may not: nothing is loaded, no script runs but those that were written into the page
    policy = raw[raw.index("default-src 'none'") : raw.index('"><title>'.replace(">", ">\n", 1))]
    assert "unsafe-eval" not in policy
    scripts = re.findall(r"<script>(.*?)</script>", raw, flags=re.DOTALL)
    sums = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts]
    assert re.findall(r"'sha256-([^']+)'", policy) == sums
    assert len(sums) == 2


@pytest.mark.slow
@pytest.mark.brief
def test_text_is_escaped(page, tmp_path):
    assert "Covariate 'a' <dropped> & gone." in page.text
    assert "Left out: too few <guides>." in page.text
    assert "One & only." in page.text
    evil = '"><script>alert(1)</script>'
    results = RESULTS.assign(target=evil, program=np.arange(len(RESULTS)), condition=evil)
    results = results.assign(reason=evil, fallback=evil, calibration=evil, branch=evil)
    path = write(
        tmp_path / "evil.html",
        pictures(qq_ntc=Picture(evil, PNG, evil)),
        results=results.assign(
            q_value_within=1.0, p_value=RESULTS["p_value"].mask(results.index > 9)
        ),
        omnibus=pd.DataFrame({"target": [evil], evil: [evil]}),
        controls=Controls(evil, {}, {evil: METRICS["raw"]}, 3, None, evil),
        comparison=Comparison("complement", evil, evil),
        inputs=inputs(notes=[evil], remarks=[evil]),
        truth=None,
        settings={evil: {evil: [evil]}},
        fingerprint=evil,
        files={evil: evil},
    )
    assert "<script>alert" not in path.read_text(encoding="utf-8")
    assert Page(path).text.count(evil) > 15


@pytest.mark.slow
@pytest.mark.brief
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
def test_every_word_has_its_banner(word, answer):
    page = render_page("T", "S", Verdict(word, "The numbers."), {}, [])
    assert answer in page
    assert "The numbers." in page


def test_without_control_p_values_of_the_kind_in_use_nothing_is_judged(tmp_path):
    unseen = Controls("ntc_empirical", CONTROLS, METRICS, 1, None, "not asked for")
    text = Page(write(tmp_path / "index.html", controls=unseen)).text
    assert "Not judged" in text
    assert "No control guide was held out (not asked for)" in text
    assert "this one has no p-value of them" in text


@pytest.mark.slow
@pytest.mark.brief
def test_no_hits_no_controls_no_tests(tmp_path):
    empty = calibration_metrics(pd.DataFrame(np.empty((0, 3))))
    nothing = RESULTS.assign(p_value=np.nan, q_value=np.nan, effect=np.nan)
    for results in (RESULTS.assign(q_value=1.0), nothing, RESULTS.iloc[:0]):
        facts = Facts(
            results,
            Controls("raw", {}, {"raw": empty}),
            Comparison("nt_cells", "one target per cell"),
            Inputs({"cells": 1, "programs": 1}),
        )
        text = Page(write_run_page(tmp_path / "bare.html", facts)).text
        assert "Too few controls to tell" in text
        assert "has q ≤ 0.1" in text
        assert not re.search(r"\bnan\b", text, flags=re.IGNORECASE)


@pytest.mark.slow
@pytest.mark.brief
def test_equal_facts_give_equal_bytes(tmp_path):
    first = write(tmp_path / "a.html").read_bytes()
    assert write(tmp_path / "b.html").read_bytes() == first


@pytest.mark.slow
@pytest.mark.brief
def test_a_refused_page_leaves_the_old_one(tmp_path):
    path = write(tmp_path / "index.html")
    before = path.read_bytes()
    with pytest.raises(InputError, match="picture 'x' is no PNG or SVG"):
        write(path, pictures(rates=Picture("x", b"GIF89a", "y")))
    with pytest.raises(InputError, match="no column 'q_value'"):
        write(path, results=RESULTS.drop(columns="q_value"))
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


@pytest.mark.slow
@pytest.mark.brief
def test_the_ways_of_exact_tails_are_counted_and_compared(tmp_path):
    results = RESULTS.assign(calibration="saddlepoint", fallback="", branch="moments")
    results.loc[results.index[:4], "branch"] = "inversion"
    results["p_moments"] = results["p_value"] * np.where(results["branch"] == "moments", 1.05, 3.0)
    found = calibrations_used(results).set_index("branch")
    assert found.loc["inversion", "tests"] == 4
    assert found["tests"].sum() == results["p_value"].notna().sum()
    assert found["share"].sum() == pytest.approx(1.0)
    assert found["agree"].to_dict() == {"moments": 1.0, "inversion": 0.0}
    text = Page(write(tmp_path / "index.html", results=results)).text
    assert "as a skew-normal" in text
    assert "inversion" in text
