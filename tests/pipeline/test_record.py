"""What MLflow keeps of a sweep over K, and what is read back from it: no stage runs here."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.files import write_json, write_table
from pipeline.sweep.points import Point
from pipeline.sweep.ranking import rank
from pipeline.sweep.record import datasets
from pipeline.sweep.tracking import Tracking, kept
from pipeline.sweep.workspace import StageRun
from programde.io.anndata import screen_from_anndata
from programde.screen.store import save_screen
from tests.screen.small_screens import small_adata

from .conftest import fake_metrics

pytestmark = pytest.mark.slow

STAGE = [StageRun("prepare", True, 0.5)]


def point(k: int, sampler: str) -> Point:
    params: dict[str, Any] = {
        "data": {"kind": "cnmf", "k": k, "fingerprint": {"folder": f"hash{k}", "screen": "s"}},
        "inputs": {"folder": "/a/run", "screen": "/a/s.h5ad"},
        "sampler": {"kind": sampler},
        "test": {"kind": "ols"},
        "usage": {"transform": "clr"},
        "fdr": {"level": 0.1},
    }
    name = f"data.k={k} sampler={sampler}"
    return Point(name, [], {"sampler": sampler, "data": "cnmf"}, params, f"{k}{sampler}")


def workspace(folder: Path, true: pd.DataFrame) -> Path:
    """A point's folder as its stages leave it, with these programs."""
    screen = screen_from_anndata(small_adata(), spectra=true)
    (folder / "reports/curves").mkdir(parents=True)
    save_screen(screen, folder / "data/screen")
    write_json(folder / "data/control.json", {"kind": "nt_cells"})
    write_json(folder / "reports/metrics.json", fake_metrics())
    (folder / "reports/index.html").write_text("its report")
    results = pd.DataFrame({"target": "T", "program": screen.program_names, "p_value": 1e-20})
    write_table(results.assign(q_value=[1e-19] + [0.5] * (len(results) - 1)),
                folder / "reports/results.parquet")  # fmt: skip
    write_table(pd.DataFrame({"expected": [1.0], "observed": [1.1]}),
                folder / "reports/curves/controls_qq.csv")  # fmt: skip
    return folder


@pytest.fixture
def record(tmp_path: Path, empty_record: Path) -> tuple[Tracking, str]:
    """Three points, two of them on the same data; one that failed, one that was refused."""
    shutil.copy(empty_record, tmp_path)
    tracking = Tracking(tmp_path, "sqlite:///mlflow.db", "programDE")
    parent = tracking.open_sweep("abc", "K x sampler", "python -m pipeline.sweep -m ...")
    names = screen_from_anndata(small_adata()).program_names
    rng = np.random.default_rng(0)
    first = pd.DataFrame(rng.normal(size=(len(names), 40)), names)
    other = pd.DataFrame(first.to_numpy()[::-1], names)
    for k, sampler, spectra in ((3, "a", first), (3, "b", first), (4, "a", other)):
        run = tracking.start(point(k, sampler), parent)
        tracking.finish(
            run, point(k, sampler), workspace(tmp_path / f"{k}{sampler}", spectra), STAGE
        )
    tracking.fail(tracking.start(point(5, "a"), parent), "no cell is left")
    tracking.close_sweep(parent, 1, 5, [("data.k=0", "data.k=0 is out of range")])
    return tracking, parent


def test_what_a_run_tells(record: tuple[Tracking, str]) -> None:
    tracking, parent = record
    run = tracking.points(parent)[0]
    assert run.info.run_name == "k=4 a"
    tags = run.data.tags
    told = {key: tags[key] for key in ("verdict", "control", "statistic", "sampler")}
    assert told == {
        "verdict": "calibrated", "control": "nt_cells", "statistic": "ols", "sampler": "a",
    }  # fmt: skip
    assert "user" in " ".join(tags)
    files = {one.dataset.name: one.dataset.digest for one in run.inputs.dataset_inputs}
    assert files == {"run": "hash4", "s.h5ad": "s"}
    hits = pd.DataFrame(**_table(run, "hits"))
    assert hits["p_value"].tolist() == [1e-20]  # no digit is lost on the way
    assert _table(run, "qq")["data"] == [[1.0, 1.1]]
    assert tracking.found(run.info.run_id[:8]).info.run_id == run.info.run_id
    assert tracking.found("k=4 a").info.run_id == run.info.run_id
    assert tracking.found("nobody") is None


def _table(run: Any, name: str) -> dict[str, Any]:
    import json

    assert f"tables/{name}.json" in run.data.tags["mlflow.loggedArtifacts"]
    path = kept(run, f"tables/{name}.json")
    assert path is not None
    return dict(json.loads(path.read_text()))


def test_spectra_are_kept_once_for_all_points_on_them(record: tuple[Tracking, str]) -> None:
    tracking, parent = record
    assert len(tracking.client.list_artifacts(parent, "spectra")) == 2
    runs = {run.info.run_name: run for run in tracking.points(parent)}
    a, b = (tracking.spectra(runs[name]) for name in ("k=3 a", "k=3 b"))
    assert a is not None
    assert b is not None
    pd.testing.assert_frame_equal(a, b)
    assert a.shape == (len(a), 40)


def test_the_answer_of_a_sweep(record: tuple[Tracking, str], tmp_path: Path) -> None:
    tracking, parent = record
    page = rank(tmp_path, tracking, parent)
    assert page == tmp_path / "reports/sweep/K-x-sampler-abc/index.html"
    table = pd.read_csv(page.parent / "ranking.csv")
    assert table["rank"].tolist() == [1, 1, 1]  # the same numbers
    assert [c for c in table.columns if "hash" in c or "fingerprint" in c] == []
    assert table[["sampler", "K"]].to_numpy().tolist() == [["a", 3], ["b", 3], ["a", 4]]
    families = pd.read_csv(page.parent / "families.csv")
    assert (families["found at"] == 2).all()
    text = page.read_text()
    assert "no cell is left" in text
    assert "data.k=0 is out of range" in text
    links = re.findall('href="([^"#]+)"', text)
    assert len(links) == 3
    assert all((page.parent / link).read_text() == "its report" for link in links)
    other = rank(tmp_path, tracking, None)
    assert other.parent.name.startswith("all-")
    index = (tmp_path / "reports/sweep/index.html").read_text()
    assert index.count('/index.html"') == 2


def test_data_without_files() -> None:
    (one,) = datasets({"data": {"kind": "synthetic", "N": 5}, "inputs": {}})
    assert (one["name"], one["source_type"]) == ("synthetic", "code")
    assert '"N": 5' in one["source"]
