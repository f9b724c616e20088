"""What a sweep says for the choice of K: families of programs, their hits, cNMF's numbers."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.sweep.choosing_k import Choice, read_choice
from pipeline.sweep.power_order import Powers
from pipeline.sweep.ranking_page import overall, write_page
from pipeline.sweep.ranking_table import Ranking, name_of_axis, ordered, varying

#: Run -> K, sampler, and the programs (letters) of its data in order.
RUNS = {"a": (3, "bernoulli", "XYZ"), "b": (3, "stratified", "XYZ"), "c": (4, "bernoulli", "YXWV")}
#: Hits of each run: target and program by its letter.
HITS = {"a": ["T1-X", "T2-X", "T1-Z"], "b": ["T1-X"], "c": ["T3-Y", "T1-V"]}


class Record:
    """Stands for the record: spectra by run."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.true = {letter: rng.normal(size=50) for letter in "VWXYZ"}

    def spectra(self, run: Any) -> pd.DataFrame:
        letters = RUNS[run.info.run_id][2]
        rows = [self.true[letter] for letter in letters]
        return pd.DataFrame(rows, [str(i) for i in range(len(letters))])


def results(run: str) -> pd.DataFrame:
    letters = RUNS[run][2]
    hits = {(t, letters.index(p)) for t, p in (hit.split("-") for hit in HITS[run])}
    rows = [(t, str(p), 0.01 if (t, p) in hits else 0.9) for t in ("T1", "T2", "T3")
            for p in range(len(letters))]  # fmt: skip
    table = pd.DataFrame(rows, columns=["target", "program", "q_value"])
    return table.assign(program_top_genes=["of " + letters[int(p)] for p in table["program"]])


def ranking(folder: Path) -> Ranking:
    params = {
        run: {"data.k": str(k), "data.density_threshold": "0.5", "sampler": sampler,
              "data.fingerprint.folder": f"hash{k}", "inputs.folder": str(folder)}
        for run, (k, sampler, _) in RUNS.items()
    }  # fmt: skip
    axes = varying(list(params.values()))
    assert axes == ["sampler", "data.k"]
    table = pd.DataFrame(
        {
            "sampler": [one["sampler"] for one in params.values()],
            "K": [one["data.k"] for one in params.values()],
            "verdict": "calibrated",
            "run": list(RUNS),
            "ntc/lambda_mean": 1.0,
            "ntc/ks": [0.1, 0.2, 0.3],
        }
    )
    records = {
        run: SimpleNamespace(
            info=SimpleNamespace(run_id=run), data=SimpleNamespace(params=one, tags={})
        )
        for run, one in params.items()
    }
    named = [name_of_axis(axis) for axis in axes]
    return Ranking(ordered(table, named), named, list(RUNS), "K",
                   results={run: results(run) for run in RUNS}, records=records)  # fmt: skip


@pytest.fixture
def choice(tmp_path: Path) -> Choice:
    # as cNMF writes it: names are pickled, numbers are not
    numbers = np.array([[3, 0.5, 0.9, 100.0], [4, 0.5, 0.8, 90.0]])
    names = np.array(["k", "local_density_threshold", "silhouette", "prediction_error"], object)
    np.savez_compressed(
        tmp_path / "run.k_selection_stats.df.npz", data=numbers, columns=names,
        index=np.arange(2),
    )  # fmt: skip
    made = read_choice(Record(), ranking(tmp_path))  # type: ignore[arg-type]
    assert made is not None
    return made


def test_of_each_k_the_best_setting_speaks(choice: Choice) -> None:
    table = choice.table
    assert table["point"].tolist() == ["K = 3", "K = 4"]
    assert table["run"].tolist() == ["a", "c"]
    assert table["setting"].tolist() == ["bernoulli", "bernoulli"]
    assert table["alike"].tolist() == [0, 0]
    assert table["targets_with_hit"].tolist() == [2, 2]
    assert table["programs_with_hit"].tolist() == [2, 2]
    assert table["share_with_hit"].tolist() == [2 / 3, 0.5]
    assert table["stability"].tolist() == [2 / 3, 0.5]  # X and Y are at both
    assert table["silhouette"].tolist() == [0.9, 0.8]
    assert table["prediction_error"].tolist() == [100.0, 90.0]


def test_hits_of_a_program_across_k(choice: Choice) -> None:
    assert choice.families is not None
    table = choice.families.set_index("program")
    assert table.index.tolist()[:2] == ["of X", "of Y"]  # at both, X with more hits
    assert table.loc["of X", ["K = 3", "K = 4"]].tolist() == [2, 0]
    assert table.loc["of Y", ["K = 3", "K = 4"]].tolist() == [0, 1]
    assert np.isnan(table.loc["of Z", "K = 4"])
    assert table.loc["of V", "K = 4"] == 1
    assert table["found at"].tolist() == [2, 2, 1, 1, 1]


@pytest.mark.slow
@pytest.mark.brief
def test_the_page_shows_it(choice: Choice, tmp_path: Path) -> None:
    write_page(ranking(tmp_path), tmp_path, choice)
    page = (tmp_path / "index.html").read_text()
    assert "Which K?" in page
    assert "Recommended: no number of programs by its power" in page
    assert "Settings, best first at each K" in page
    assert "First: bernoulli (everywhere)" in page
    assert "Programs across K" in page
    assert "could not be drawn" not in page
    assert "hash3" not in page
    assert list(tmp_path.glob("choice_of_k.*"))


def test_nothing_is_said_of_k_where_it_does_not_differ(tmp_path: Path) -> None:
    made = ranking(tmp_path)
    made.axes.remove("K")
    assert read_choice(Record(), made) is None  # type: ignore[arg-type]


def test_power_does_not_compare_settings_with_other_programs() -> None:
    """Within each K by power; an inflated one at the first K does not make that K last."""
    table = pd.DataFrame(
        {
            "sampler": ["x", "y", "x", "y", "x"],
            "K": ["9", "9", "10", "10", "100"],
            "verdict": ["calibrated", "calibrated", "calibrated", "calibrated", "inflated"],
            "run": list("abcde"),
            "ntc/lambda_mean_low": 0.9,
            "ntc/lambda_mean_high": 1.1,
        }
    )
    sets = range(10)
    levels = {"a": 0.3, "b": 0.5, "c": 0.7, "d": 0.69, "e": 0.9}
    found = {run: pd.Series(level, sets) for run, level in levels.items()}
    powers = Powers(0.4, found, found, found)
    ranked = ordered(table.sample(frac=1, random_state=1), ["sampler", "K"], powers)
    assert ranked["run"].tolist() == ["b", "a", "c", "d", "e"]
    assert ranked["rank"].tolist() == [1, 2, 1, 1, 1]
    whole = Ranking(ranked, ["sampler", "K"], list(ranked["run"]), "K", powers=powers)
    told = overall(whole).sentence
    assert "First: y (K 9); x (K 10; K 100)" in told
    assert "known effects put" not in told
    # of two files of usages likewise
    files = ordered(table.rename(columns={"K": "data.usage_key"}), ["data.usage_key"], powers)
    assert sorted(files["rank"].tolist()) == [1, 1, 1, 1, 2]
