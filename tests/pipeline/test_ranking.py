"""Settings in order: calibrated ones first, among them those that find more."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.sweep.ranking_page import write_page
from pipeline.sweep.ranking_table import Ranking, _sorted, varying
from pipeline.sweep.tracking import flatten

WORDS = ["inflated", "calibrated", "calibrated", "too few controls to tell", "conservative"]


def settings() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "sampler": ["a", "a", "b", "b", "c"],
            "usage.eps": ["1e-4", "1e-5", "1e-4", "1e-5", "1e-4"],
            "verdict": WORDS,
            "ntc/rate_05": [0.2, 0.05, 0.05, 0.06, 0.01],
            "ntc/ks": [0.2, 0.01, 0.02, 0.03, 0.1],
            "discoveries/bh10": [90.0, 10.0, 20.0, 50.0, 5.0],
            "run": list("vwxyz"),
        }
    )


def test_calibration_comes_before_discoveries() -> None:
    table = _sorted(settings())
    assert list(table["run"]) == ["x", "w", "y", "z", "v"]
    assert list(table["rank"]) == [1, 2, 3, 4, 5]


def test_power_comes_before_the_number_of_discoveries() -> None:
    table = settings().assign(**{"truth/power_bh10": [0.1, 0.9, 0.2, 0.3, np.nan]})
    assert list(_sorted(table)["run"])[:2] == ["w", "x"]


def test_axes_are_what_differs() -> None:
    """A choice stands for its keys; a key that differs within a choice is an axis of its own."""
    params = [
        {"sampler": s, "sampler.kind": s, "usage": "fixed", "usage.eps": e, "inputs.path": e}
        for s in ("bernoulli", "stratified")
        for e in ("1e-5", "1e-6")
    ]
    assert varying(params) == ["sampler", "usage.eps"]
    assert varying(params[:1]) == []


def test_metrics_are_flat_numbers() -> None:
    tree = {"ntc": {"rate_05": 0.05, "ks": None, "n": 3}, "word": "x", "lambda": float("nan")}
    assert dict(flatten(tree)) == {"ntc/rate_05": 0.05, "ntc/n": 3.0}


@pytest.mark.parametrize("n", [1, 5])
def test_page(n: int, tmp_path: Path) -> None:
    table = _sorted(settings().iloc[:n])
    rng = np.random.default_rng(0)
    controls = {
        run: pd.DataFrame({"partition": 0, "condition": "", "group": "g", "program": "p",
                           "raw": rng.random(50), "skew_normal": rng.random(50)})
        for run in table["run"]
    }  # fmt: skip
    axes = ["sampler", "usage.eps"] if n > 1 else []
    write_page(Ranking(table, axes, list(table["run"]), "a <sweep>", controls), tmp_path)
    page = (tmp_path / "index.html").read_text()
    assert "a &lt;sweep&gt;" in page
    assert ("2 of 5 settings are calibrated" in page) == (n == 5)
    assert page.count("data:image/png") == (2 if n > 1 else 1)
    assert (tmp_path / "qq.png").is_file()
