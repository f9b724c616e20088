"""Names are text in every picture and on the page, and a picture that fails loses nothing else."""

import warnings
from dataclasses import replace

import matplotlib
import numpy as np
import pandas as pd
import pytest

import programde
from programde import pl
from programde.errors import ProgramDEWarning
from programde.report import pictures
from programde.report.blocks import Table, render
from programde.report.facts import Controls, Facts
from programde.report.lettering import NO_GLYPH, in_pictures, shortened
from programde.report.pictures import draw_pictures
from programde.report.run_page import write_run_page
from programde.report.style import file_names, png_bytes

from .test_report import METRICS, full_facts

HOSTILE = [
    "$",
    "$\\frac$",
    "$x$ and $y_1^2$",
    "\\$5",
    "a_b^c",
    "100 %",
    "</td><script>alert(1)</script>",
    "'\"`",
    "../../etc/passwd",
    "x" * 300,
    "\U0001f9ec\U0001f600",
    "שלום",
    "\u202eevil",
    "日本語",
    "new\nline",
    "nul\x00",
    "&amp;",
    "_hidden",
]


def hostile_results() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    n = len(HOSTILE)
    frame = pd.DataFrame({"target": np.repeat(HOSTILE, n), "program": np.tile(HOSTILE, n)})
    p = rng.uniform(size=n * n) ** 12
    return frame.assign(effect=rng.normal(size=n * n), p_value=p, q_value=p)


def drawable(**changes: object) -> Facts:
    """Facts of which every picture can be drawn."""
    controls = Controls("saddlepoint", metrics=METRICS)
    given = full_facts(controls=controls, omnibus=None)
    given = replace(given, results=given.results.drop(columns="condition"))
    return replace(given, **changes)


@pytest.mark.slow
def test_pictures_write_names_letter_by_letter() -> None:
    table = hostile_results()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for picture in (
            pl.volcano(table, n_labels=30),
            pl.heatmap(table),
            pl.inputs(
                pd.Series(20, index=HOSTILE), np.array([1, 2]), pd.Series(0.5, index=HOSTILE)
            ),
            pl.qq_grid({name: {"raw": [0.1, 0.5]} for name in HOSTILE}),
        ):
            getattr(picture, "figure", picture).canvas.draw()  # as a user would, without our style
            png_bytes(picture)


def test_a_dollar_sign_is_drawn_and_not_read() -> None:
    text = matplotlib.text.Text(0, 0, in_pictures("$\\frac$"))
    assert text._preprocess_math(text.get_text()) == ("$\\frac$", False)
    assert in_pictures("日本") == 2 * NO_GLYPH
    assert in_pictures("a\u202eb\x00c") == "a b c"


def test_long_names_lose_their_middle() -> None:
    assert shortened("program_1", 9) == "program_1"
    assert shortened("ENSG00000141510", 9) == "ENSG…1510"
    page = render(Table(pd.DataFrame({"target": ["a" * 150 + "z" * 150]})))
    assert f'title="{"a" * 150}{"z" * 150}"' in page
    assert f"{'a' * 30}…{'z' * 29}</span>" in page


def test_files_of_long_names_can_be_written() -> None:
    names = file_names(["x" * 300, "x" * 299, "日" * 200])
    assert len(set(names.values())) == 3
    assert all(len(name.encode()) < 200 for name in names.values())


@pytest.mark.slow
def test_a_hostile_screen_shows_nothing_but_names(tmp_path) -> None:
    given = drawable(results=hostile_results(), truth=None)
    path = write_run_page(tmp_path / "index.html", given, draw_pictures(given, tmp_path / "plots"))
    page = path.read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert "\x00" not in page
    assert "\u202e" not in page


@pytest.mark.slow
@pytest.mark.brief
def test_a_picture_that_fails_is_a_box_with_the_reason(tmp_path, monkeypatch) -> None:
    def broken(*_, **__):
        raise ValueError("no <room>")

    monkeypatch.setattr(pictures, "volcano", broken)
    with pytest.warns(ProgramDEWarning, match=r"'Effect and evidence' could not be drawn .*room"):
        drawn = draw_pictures(drawable(), tmp_path / "plots")
    page = write_run_page(tmp_path / "index.html", drawable(), drawn).read_text(encoding="utf-8")
    assert "could not be drawn: ValueError: no &lt;room&gt;" in page
    assert "Targets and programs" in page


def test_public_names() -> None:
    assert programde.pl is pl
    assert set(pl.__all__) <= set(dir(pl))
    assert programde.acat(np.array([[0.2, 0.4]])).shape == (1,)
