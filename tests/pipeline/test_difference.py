"""Two runs held against each other: settings, hits won and lost, effects."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from pipeline import diff
from pipeline.files import write_json, write_table
from pipeline.sweep.difference import counts, read_done, settings_that_differ, side_by_side
from programde.errors import InputError

from .conftest import fake_metrics

TESTS = [("A", "p"), ("A", "q"), ("B", "p"), ("B", "q")]


def run_in(folder: Path, q: list[float], unit: str = "log-ratio", **settings: object) -> Path:
    """A run's folder with these q-values."""
    (folder / "reports").mkdir(parents=True)
    params = {"seed": 1, "usage": {"eps": 1e-6}, "fdr": {"level": 0.1}, "inputs": {"path": "x"}}
    (folder / "params.yaml").write_text(yaml.safe_dump({**params, **settings}, sort_keys=False))
    table = pd.DataFrame(TESTS, columns=["target", "program"])
    table = table.assign(
        effect=[1.0, -0.5, 0.2, 0.1], effect_se=0.1, p_value=q, q_value=q, effect_unit=unit
    )
    write_table(table, folder / "reports/results.parquet")
    write_json(folder / "reports/metrics.json", fake_metrics())
    return folder


def test_settings_and_hits_that_differ(tmp_path: Path) -> None:
    one = read_done("a", run_in(tmp_path / "a", [0.01, 0.02, 0.5, 0.11]))
    moved = {"usage": {"eps": 1e-2}, "fdr": {"level": 0.2}, "inputs": {"path": "y"}}
    other = read_done("b", run_in(tmp_path / "b", [0.01, 0.3, 0.5, 0.19], **moved))
    settings = settings_that_differ(one, other)
    assert settings.to_numpy().tolist() == [
        ["usage.eps", "1e-06", "0.01"],
        ["fdr.level", "0.1", "0.2"],
    ]
    tests = side_by_side(one, other)
    assert tests.set_index(["target", "program"])["hit"].to_dict() == {
        ("A", "p"): "both", ("A", "q"): "lost", ("B", "p"): "", ("B", "q"): "won",
    }  # fmt: skip
    assert counts(tests) == {"both": 1, "lost": 1, "won": 1}
    assert tests["q_value_second"].tolist() == [0.01, 0.3, 0.5, 0.19]


@pytest.mark.parametrize("unit", ["log-ratio", "square root"])
def test_one_command_one_page(
    unit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_in(tmp_path / "a", [0.01, 0.02, 0.5, 0.5])
    run_in(tmp_path / "b", [0.01, 0.3, 0.5, 0.5], unit, seed=2)
    (tmp_path / "conf").mkdir()
    (tmp_path / "dvc.yaml").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["diff", "a", "b"])
    diff.main()
    out = capsys.readouterr().out
    assert out.splitlines() == [
        "seed: 1 -> 2", "hits: 1 of both, 1 lost, 0 won", "page: reports/diff/index.html",
    ]  # fmt: skip
    page = (tmp_path / "reports/diff/index.html").read_text()
    assert "1 of the first alone (lost)" in page
    assert "could not be drawn" not in page
    assert "Rank correlation of all effects: 1.000" in page
    assert list((tmp_path / "reports/diff").glob("effects.*"))
    assert len(pd.read_csv(tmp_path / "reports/diff/tests.csv")) == 4


def test_what_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a: .* holds no reports/results.parquet"):
        read_done("a", tmp_path)
