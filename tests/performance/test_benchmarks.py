"""The benchmark's own parts: the baseline is an independent program that must agree with ours."""

import json

import numpy as np
import pytest

from benchmarks.__main__ import arguments, write
from benchmarks.compare import compare
from benchmarks.measure import exponent, spread
from benchmarks.pages import BEGIN, END, speed_lines, table, update_page
from benchmarks.pieces import PIECES, limits, pieces
from benchmarks.problems import TINY, WAYS, Ready, plain_screen, screen_of, targets_of

pytestmark = [pytest.mark.performance, pytest.mark.slow]


def test_the_baseline_gives_the_same_answers():
    # Raw p-values of two independent sets of draws: differences in units of their Monte Carlo
    # error have a mean square near 1 (18 tests that go together in threes or so); above 2 by
    # chance less than once in 10^4. Smoothed ones have tails that 99 draws leave open.
    found = compare(TINY, n_genes=3, n_baseline=3, repeats=1)
    assert list(found["ways"]) == [way.label for way in WAYS]
    for row in found["ways"].values():
        assert row["effect_difference"] < 1e-10
        assert row["p_difference_in_errors"] < (2.0 if row["raw"] else 4.0)
        assert row["ours"]["median"] > 0
    text = "\n".join(speed_lines(found))
    assert all(way.label in text for way in WAYS)
    assert json.loads(json.dumps(found)) == found


def test_pieces_are_timed_and_set_against_the_memory():
    screen = screen_of(TINY)
    measured = pieces(screen, targets_of(screen, 2), WAYS[1], 99)
    assert set(measured["milliseconds"]) == set(PIECES)
    assert all(value["median"] >= 0 for value in measured["milliseconds"].values())
    sizes = [screen.treated_cells(unit).size for unit in targets_of(screen, 2)]
    assert measured["inclusions"] == pytest.approx(99 * np.mean(sizes), rel=0.05)
    found = limits(measured, {"cache_add": 1e12, "cache_read": 1e12, "memory_copy": 1e9})
    bytes_of_rows = 4 * measured["row_floats"] * measured["inclusions"]
    assert found["plain_milliseconds"] == pytest.approx(3 * bytes_of_rows / 1e9)
    assert found["rows_milliseconds"] == pytest.approx(bytes_of_rows / 1e9)


def test_plain_screens_have_the_sizes_asked_for():
    screen = plain_screen(500, 7, 3, 40, 5)
    assert screen.clr.shape == (500, 7)
    assert screen.covariates.shape == (500, 3)
    assert [screen.treated_cells(unit).size for unit in screen.target_units()] == [40] * 5
    result, p = Ready(screen, screen.target_units(), WAYS[0], 19)()
    assert result.status == [""] * 5
    assert p.shape == (5, 7)


def test_fitted_exponents_and_quartiles():
    sizes = np.array([1.0, 2, 4, 8])
    fitted = exponent(sizes, 3 * sizes**0.7)
    assert fitted["exponent"] == pytest.approx(0.7)
    assert fitted["error"] == pytest.approx(0.0, abs=1e-12)
    assert spread([1.0, 2, 3, 4, 5]) == {"low": 2.0, "median": 3.0, "high": 4.0}


def test_pages_are_changed_between_their_marks_alone(tmp_path, monkeypatch):
    from benchmarks import pages

    monkeypatch.setattr(pages, "page", lambda results: [results["text"]])
    path = tmp_path / "page.md"
    path.write_text(f"above\n{BEGIN}\nold\n{END}\nbelow\n", encoding="utf-8")
    update_page(path, {"text": "new"})
    assert path.read_text(encoding="utf-8") == f"above\n{BEGIN}\n\nnew\n{END}\nbelow\n"
    path.write_text("nothing", encoding="utf-8")
    with pytest.raises(ValueError, match="lacks the lines"):
        update_page(path, {"text": "new"})
    assert table(["a", "b"], [["1", "22"]]) == ["| a | b  |", "|---|----|", "| 1 | 22 |"]


def test_the_command_line(tmp_path, capsys):
    chosen = arguments(["--genes", "7", "--out", str(tmp_path)])
    assert (chosen.genes, chosen.baseline_genes, chosen.big) == (7, 3, False)
    with pytest.raises(SystemExit):
        arguments(["--repeats", "0"])
    assert "--repeats must be at least 1" in capsys.readouterr().err
    assert json.loads(write({"a": 1}, tmp_path / "new", "x").read_text()) == {"a": 1}
