"""Settings in order: calibrated ones first, among them those that find more."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from pipeline.sweep import ranking
from pipeline.sweep.ranking_page import _panels, name_of, write_page
from pipeline.sweep.ranking_table import Ranking, _sorted, varying
from pipeline.sweep.record import flatten, word_of
from programde.report.metrics import calibration_metrics
from programde.report.verdict import verdict

from .stages import project_folder

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
    assert list(table["run"]) == ["w", "x", "y", "z", "v"]
    assert list(table["rank"]) == [1, 2, 3, 4, 5]


def test_settings_with_the_same_numbers_share_a_rank() -> None:
    """Whatever their word; what they took and ran is no result."""
    table = settings().loc[[0, 0, 1, 0]].assign(run=list("abcd"))
    table["seconds/total"] = [1.0, 2.0, 3.0, 4.0]
    ranked = _sorted(table.reset_index(drop=True))
    assert list(ranked["run"]) == ["c", "a", "b", "d"]
    assert list(ranked["rank"]) == [1, 2, 2, 2]


def test_power_comes_before_the_number_of_discoveries() -> None:
    table = settings().assign(**{"truth/power_bh10": [0.1, 0.9, 0.2, 0.3, np.nan]})
    assert list(_sorted(table)["run"])[:2] == ["w", "x"]


def test_settings_tie_where_their_intervals_overlap() -> None:
    """All but those shown to be wrong; the fourth setting lies apart from the first in order."""
    ends = {"ntc/lambda_mean_low": [1.3, 0.9, 0.8, 1.2, 0.5],
            "ntc/lambda_mean_high": [1.6, 1.1, 1.1, 1.5, 0.8]}  # fmt: skip
    table = _sorted(settings().assign(**ends))
    assert list(table["run"]) == ["w", "x", "y", "z", "v"]
    assert list(table["rank"]) == [1, 1, 3, 4, 5]
    ends["ntc/lambda_mean_low"][3] = 1.0
    assert list(_sorted(settings().assign(**ends))["rank"]) == [1, 1, 1, 4, 5]


def test_the_word_is_that_of_the_report_and_the_pick_of_many_needs_more() -> None:
    p = pd.DataFrame(np.random.default_rng(1).random((40, 20)))
    numbers = calibration_metrics(p, n_boot=100)
    logged = {f"ntc/{key}": value for key, value in numbers.items() if np.isfinite(value)}
    assert word_of(logged) == verdict(numbers)
    assert word_of(logged).word == "calibrated"
    assert word_of(logged, n_settings=10_000).word == "too few controls to tell"
    guides = {f"ntc_guides/{key}": value for key, value in numbers.items()}
    assert word_of(logged | guides) == verdict(numbers, numbers)
    del logged["ntc/lambda_mean_error"]  # no interval: MLflow keeps finite numbers only
    assert word_of(logged).word == "too few controls to tell"
    assert word_of({}).word == "too few controls to tell"


@pytest.mark.slow
@pytest.mark.brief
def test_no_banner_calls_the_best_of_many_calibrated_that_one_alone_would_be(
    tmp_path: Path,
) -> None:
    numbers = calibration_metrics(
        pd.DataFrame(np.random.default_rng(3).random((16, 20))), n_boot=100
    )
    assert verdict(numbers).word == "calibrated"
    rows = pd.DataFrame({f"ntc/{key}": [value] * 24 for key, value in numbers.items()})
    rows = rows.assign(sampler=[str(i) for i in range(24)], verdict="calibrated", run="v")
    rows["discoveries/bh10"] = np.arange(24.0)
    write_page(Ranking(_sorted(rows), ["sampler"], list(rows["run"]), "many"), tmp_path)
    page = (tmp_path / "index.html").read_text()
    assert "24 share the first rank" in page
    assert "As the pick of 24 by the same controls: too few controls to tell" in page


def test_axes_are_what_differs() -> None:
    """A choice stands for its keys; a key that differs within a choice is an axis of its own."""
    params = [
        {"sampler": s, "sampler.kind": s, "usage": "fixed", "usage.eps": e, "inputs.path": e}
        for s in ("bernoulli", "stratified")
        for e in ("1e-5", "1e-6")
    ]
    assert varying(params) == ["sampler", "usage.eps"]
    assert varying(params[:1]) == []


def test_the_hash_of_a_file_is_no_axis() -> None:
    """K and threshold tell cNMF's runs apart; files are told apart by their names."""
    cnmf = [
        {"data.k": k, "data.fingerprint.folder": f"hash{k}", "inputs.folder": "/a"}
        for k in ("20", "30")
    ]
    assert varying(cnmf) == ["data.k"]
    files = [{"data.fingerprint.path": f"hash{n}", "inputs.path": f"/a/{n}.h5ad"} for n in "xy"]
    assert varying(files) == ["inputs.path"]


def test_metrics_are_flat_numbers() -> None:
    tree = {"ntc": {"rate_05": 0.05, "ks": None, "n": 3}, "word": "x", "lambda": float("nan")}
    assert dict(flatten(tree)) == {"ntc/rate_05": 0.05, "ntc/n": 3.0}


@pytest.mark.slow
@pytest.mark.brief
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
    assert page.count("data:image/") == (2 if n > 1 else 1)
    assert list(tmp_path.glob("qq.*"))


@pytest.mark.slow
@pytest.mark.brief
def test_the_command_line_names_a_sweep_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ranked = []

    def rank(root: Path, tracking: Path, parent: str | None) -> str:
        ranked.append((root, tracking, parent))
        return "a page"

    monkeypatch.setattr(ranking, "rank", rank)
    monkeypatch.setattr(ranking, "Tracking", lambda root, uri, experiment: (root, uri))
    folder = project_folder(tmp_path / "project")
    monkeypatch.chdir(folder)
    for words, parent in (([], None), (["sweep=abc"], "abc")):
        monkeypatch.setattr("sys.argv", ["ranking", *words])
        ranking.main()
        assert ranked.pop() == (folder, (folder, "sqlite:///mlflow.db"), parent)
        assert capsys.readouterr().out == "ranking: a page\n"
    monkeypatch.setattr("sys.argv", ["ranking", "seep=abc"])
    with pytest.raises(SystemExit) as left:
        ranking.main()
    assert left.value.code == 1
    assert capsys.readouterr().err == "ranking: seep=abc is not an option; valid: sweep=ID\n"
    assert ranked == []


def test_what_the_cells_know_reaches_the_ranking() -> None:
    z = np.random.default_rng(5).standard_normal((10, 20))
    programs = [f"p{k}" for k in range(20)]
    p = pd.DataFrame(2 * stats.norm.sf(np.abs(z)), columns=programs)
    signs = pd.DataFrame(np.sign(z), columns=programs)
    between = pd.DataFrame(np.eye(20), programs, programs)
    numbers = calibration_metrics(p, 100, signs=signs, correlation=between)
    assert word_of({f"ntc/{key}": value for key, value in numbers.items()}) == verdict(numbers)
    assert verdict(numbers) != verdict(calibration_metrics(p, 100))


def test_signs_of_control_tests_are_no_p_values() -> None:
    table = pd.DataFrame({"setting": ["a"], "run": ["r"], "rank": [1]})
    controls = pd.DataFrame(
        {"partition": 0, "condition": "", "group": ["g", "h"], "program": "p", "sign": [1.0, -1.0],
         "raw": [0.2, 0.4]}
    )  # fmt: skip
    (panel,) = _panels(
        Ranking(table, ["setting"], ["r"], "here", controls={"r": controls})
    ).values()
    assert len(panel) == 1


def test_a_number_that_a_sweeper_thought_of_is_told_with_four_digits() -> None:
    row = {"usage.share_of_mean": "0.010789816816471733", "sampler": "stratified_burden", "K": "8"}
    assert name_of(row, list(row)) == "0.01079, stratified_burden, K 8"
