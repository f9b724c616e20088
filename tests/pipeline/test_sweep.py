"""The driver: points share what they can, are recorded, and fail alone."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pandas as pd
import pytest
from hydra.errors import HydraException

from pipeline.config.schema import register
from pipeline.sweep import driver as sweep
from pipeline.sweep import telling
from pipeline.sweep.points import Point, Settings, expand, read_request, share_cores
from pipeline.sweep.recommendation import objective
from pipeline.sweep.record import flatten, run_name
from pipeline.sweep.tracking import PARENT_TAG, kept
from programde.errors import ProgramDEError
from programde.threads import worker_count

from .conftest import SHORT, Project, fake_metrics

ALL = list(SHORT)
AFTER_PREPARE = ALL[1:]


def executions(project: Project) -> list[str]:
    return [stage for outcome in project.outcomes() for stage in outcome.executed]


@pytest.mark.slow
def test_one_point(swept: Project) -> None:
    """What `dvc repro` computed is restored; a second time nothing is done at all."""
    swept.repro()
    done = swept.sweep()
    assert done.status == 0
    assert "restored from the cache" in done.out
    report = Path(done.out.split("report: ")[1].strip())
    assert report.is_file()
    assert executions(swept) == []
    assert "finished before" in swept.sweep().out

    done = swept.sweep("report.seed=8")
    assert "ran diagnostics" in done.out
    (newest, oldest) = swept.tracking().points()
    assert newest.data.params["report.seed"] == "8"
    assert oldest.data.params["report.seed"] == "7"
    assert PARENT_TAG not in newest.data.tags


@pytest.mark.slow
def test_grid_with_points_that_fail(swept: Project) -> None:
    words = ["-m", "usage.eps_quantile=1e-4,7", "seed=1,2,666"]
    done = swept.sweep(*words)
    assert done.status == 1
    assert executions(swept) == [*ALL, *AFTER_PREPARE]  # prepare is shared
    assert "[6/6]" in done.out
    assert "6 points" in done.out
    assert "2 computed, 0 known, 1 failed, 3 refused" in done.out
    first, *lines = done.err.strip().splitlines()
    assert first == (
        "failed: usage.eps_quantile=0.0001 seed=666: stage crt: the number of the beast is no seed"
    )
    assert len(lines) == 3
    for line in lines:
        assert line.startswith("refused: usage.eps_quantile=7 seed=")
        assert "usage.eps_quantile=7 is out of range: must be >= 0 and < 1" in line

    tracking = swept.tracking()
    runs = tracking.client.search_runs([tracking.experiment])
    children = [run for run in runs if PARENT_TAG in run.data.tags]
    (parent,) = [run for run in runs if PARENT_TAG not in run.data.tags]
    assert {run.data.tags[PARENT_TAG] for run in children} == {parent.info.run_id}
    assert sorted(run.info.status for run in children) == ["FAILED"] + ["FINISHED"] * 2
    assert parent.info.status == "FAILED"
    good = next(run for run in children if run.info.status == "FINISHED")
    assert good.data.params["usage"] == "quantile"
    assert good.data.params["usage.eps_quantile"] == "0.0001"
    assert good.data.metrics["ntc/rate_05"] == fake_metrics()["ntc"]["rate_05"]
    assert good.data.metrics["discoveries/bh10"] == 7
    assert set(good.data.metrics) >= {f"seconds/{s}" for s in ALL} | {"stages/executed"}
    assert len(good.data.metrics) <= 40
    tags = good.data.tags
    assert tags["verdict"] == "calibrated"
    assert (tags["statistic"], tags["sampler"]) == ("ols", "bernoulli")
    assert tags["mlflow.source.name"] == "pipeline.sweep"
    (screen,) = good.inputs.dataset_inputs
    assert (screen.dataset.name, screen.dataset.source_type) == ("synthetic", "code")
    files = {item.path for item in tracking.client.list_artifacts(good.info.run_id)}
    assert files >= {"reports", "params.yaml", "dvc.lock", "tables"}
    table = json.loads(kept(good, "tables/metrics.json").read_text())
    assert dict(table["data"])["ntc/ks"] == fake_metrics()["ntc"]["ks"]
    (failed,) = [run for run in children if run.info.status == "FAILED"]
    assert "beast" in failed.data.tags["programde.error"]

    (answer,) = (path for path in (swept.folder / "reports/sweep").iterdir() if path.is_dir())
    table = pd.read_csv(answer / "ranking.csv")
    assert sorted(table["seed"]) == [1, 2]
    assert list(table["verdict"]) == ["calibrated"] * 2
    assert list(table["rank"]) == [1, 1]  # the fake stages write the same numbers
    page = (answer / "index.html").read_text()
    assert "2 of 2 settings are calibrated" in page
    links = re.findall('href="([^"#]+)"', page)
    assert len(links) == 2
    assert all((answer / link).is_file() for link in links)
    for words_of_failure in ("the number of the beast", "must be &gt;= 0 and &lt; 1"):
        assert words_of_failure in page
    index = (swept.folder / "reports/sweep/index.html").read_text()
    assert f'href="{answer.name}/index.html"' in index
    copy = kept(parent, "sweep/index.html")
    links = re.findall('href="([^"#]+)"', copy.read_text())
    assert all((copy.parent / link).is_file() for link in links)
    assert kept(parent, "sweep/ranking.csv").read_bytes() == (answer / "ranking.csv").read_bytes()
    assert tracking.client.get_run(parent.info.run_id).data.tags["verdict"] == "calibrated"

    # The same words again: what is finished is not repeated, what failed is tried again.
    again = swept.sweep(*words)
    assert again.status == 1
    assert again.out.count("finished before") == 2
    assert executions(swept) == []
    assert len(tracking.client.search_runs([tracking.experiment])) == 4


def started(project: Project, *words: str) -> subprocess.Popen[str]:
    """A driver in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline.sweep", *words],
        cwd=project.folder,
        env={**os.environ, **project.environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_killed_and_started_again_twice_at_once(swept: Project) -> None:
    words = ["-m", "report.seed=1,2"]
    driver = started(swept, *words)
    deadline = time.monotonic() + 200
    while not list(swept.folder.glob("sweeps/runs/*/0000.outcome.json")):
        assert time.monotonic() < deadline
        assert driver.poll() is None, driver.communicate()
        time.sleep(0.05)
    driver.kill()
    driver.communicate()
    other = started(swept, *words)
    done = swept.sweep(*words)
    out, err = other.communicate(timeout=300)
    assert done.status == 0, done.err
    assert other.returncode == 0, out + err
    assert "report.seed=1: finished before" in done.out
    tracking = swept.tracking()
    assert len(tracking.points()) == 2
    assert len(tracking.client.search_runs([tracking.experiment])) == 3


@pytest.mark.slow
def test_points_side_by_side_compute_nothing_twice(swept: Project) -> None:
    launcher = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    done = swept.sweep("-m", "report.seed=1,2", *launcher)
    assert done.status == 0, done.err
    assert sorted(executions(swept)) == sorted([*ALL, "diagnostics"])
    assert len(swept.tracking().points()) == 2


@pytest.mark.slow
def test_points_as_jobs_of_a_scheduler(swept: Project) -> None:
    launcher = ["hydra/launcher=submitit_local", "hydra.launcher.timeout_min=5"]
    done = swept.sweep("-m", "report.seed=1", *launcher)
    assert done.status == 0, done.err
    assert executions(swept) == ALL
    assert "[1/1] report.seed=1: ran prepare, crt, diagnostics" in done.out


@pytest.mark.slow
@pytest.mark.brief
def test_what_the_driver_refuses(swept: Project) -> None:
    for words, said in (
        (["report.seed=1,2"], "report.seed has several values: add -m to sweep"),
        (["--nonsense"], "--nonsense is not an option"),
        (["seed=[1"], "cannot be read"),
        (["sampler=bernuli"], "did you mean 'bernoulli'"),
        (["seeed=1"], "did you mean 'seed'"),
        (["-m", "seed=1,2", "usage.epz=1"], "usage.epz is not a key"),
        (["experiment=calibration_gird"], "did you mean 'calibration_grid'"),
    ):
        done = swept.sweep(*words)
        assert done.status == 1
        assert said in done.err
        assert done.err.count("\n") == 1
    tracking = swept.tracking()
    assert not tracking.client.search_runs([tracking.experiment])  # a typo is no failed run


@pytest.mark.slow
@pytest.mark.brief
def test_points_of_a_grid(swept: Project) -> None:
    """Ranges and globs as Hydra has them; names hold what differs."""
    conf = swept.folder / "conf"
    register()

    def names(*words: str) -> list[str]:
        request = read_request(["-m", *words])
        return [name for _, name in expand(request, Settings(request, conf), conf)]

    assert names("seed=range(1,4)", "n_resamples=99") == ["seed=1", "seed=2", "seed=3"]
    assert names("sampler=glob(strat*)") == ["sampler=stratified", "sampler=stratified_burden"]
    assert len(names("experiment=calibration_grid")) == 24
    assert names("experiment=calibration_grid", "usage=fixed", "sampler=bernoulli") == [
        "test=ols",
        "test=utest",
    ]


def test_names_in_the_record() -> None:
    """Short enough for a column: what varies, and of a path the file."""
    words = ["data=h5ad", "data.path=/a/b/screen.h5ad", "sampler={}", "sampler.n_bins=9"]
    words += ["tracking.uri=sqlite:///other.db"]
    points = [
        Point("", [word.format(name) for word in words]) for name in ("bernoulli", "stratified")
    ]
    name = telling.sweep_name(read_request([]), points)
    assert name == "screen.h5ad sampler.n_bins=9 sampler"
    grid = telling.sweep_name(read_request(["experiment=calibration_grid"]), points)
    assert grid == "calibration_grid screen.h5ad sampler.n_bins=9"
    point = Point("sampler=stratified seed=1", [], choices={"sampler": "stratified"})
    assert run_name(point) == "stratified seed=1"
    words = "data.k=30 data.density_threshold=0.5 data.path=/a/x.h5ad a.n=1 b.n=2"
    assert run_name(Point(words, [])) == "k=30 density_threshold=0.5 path=x.h5ad a.n=1 b.n=2"


@pytest.mark.slow
def test_points_that_a_sweeper_thinks_of(swept: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other sweepers than Hydra's grid propose points while the sweep goes on."""
    monkeypatch.setattr("pipeline.sweep.driver.GRID", "none of Hydra's")
    done = swept.sweep("-m", "report.n_boot=5,0", "seed=3")
    assert [outcome.state for outcome in swept.outcomes()] == ["computed", "refused"]
    names = [outcome.name for outcome in swept.outcomes()]
    assert names == ["report.n_boot=5", "report.n_boot=0"]  # what all share is not told of each
    assert "report.n_boot=0 is out of range" in done.err


@pytest.mark.slow
def test_optuna_seeks_the_setting_that_finds_most(swept: Project) -> None:
    """An extra; without it one line says what to install."""
    words = ["experiment=best_power", "hydra.sweeper.n_trials=2"]
    if importlib.util.find_spec("optuna") is None:
        done = swept.sweep(*words)
        assert done.status == 1
        assert done.err.endswith("pip install 'programde[optuna]'\n")
        pytest.skip("the search itself needs an extra: pip install 'programde[optuna]'")
    warnings.simplefilter("ignore")  # of what Optuna 2 uses
    done = swept.sweep(*words)
    assert done.status == 0, done.err
    assert [outcome.state for outcome in swept.outcomes()] == ["computed"] * 2
    params = [run.data.params for run in swept.tracking().points()]
    assert all(0.001 <= float(one["usage.share_of_mean"]) <= 0.3 for one in params)
    assert params[0]["usage.share_of_mean"] != params[1]["usage.share_of_mean"]


def test_what_is_sought_is_power_of_a_sound_setting() -> None:
    sound = dict(flatten({"ntc": fake_metrics()["ntc"], "power": {"mix": 0.6}}))
    assert objective(sound) == 0.6
    inflated = sound | {"ntc/lambda_mean": 3.0, "ntc/lambda_mean_error": 0.01}
    assert objective(inflated) == pytest.approx(-0.4)
    assert objective({}) == -1.0


@pytest.mark.slow
def test_points_whose_process_dies(swept: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A launcher gives up: the point that had begun is failed, the others are launched again."""
    launch, turns = sweep._launch, []

    def dying(root: Path, overrides: list[str], points: str) -> None:
        files = [root / name for name in points.removeprefix("point=").split(",")]
        turns.append(len(files))
        if len(turns) == 1:
            files[0].with_suffix(".begun").touch()
            raise RuntimeError("worker was\nkilled")
        launch(root, overrides, points)

    monkeypatch.setattr(sweep, "_launch", dying)
    done = swept.sweep("-m", "seed=1,666")
    assert done.status == 1
    assert turns == [2, 1]
    first, second = done.err.strip().splitlines()
    assert first == "failed: seed=1: its process died: RuntimeError: worker was killed"
    assert "beast" in second
    tracking = swept.tracking()
    states = [r.info.status for r in tracking.client.search_runs([tracking.experiment])]
    assert states == ["FAILED"] * 3


@pytest.mark.slow
def test_an_interrupted_stage_ends_the_sweep(swept: Project) -> None:
    """DVC keeps Ctrl-C from the driver while a stage runs; it must not go on to the next point."""
    done = swept.sweep("-m", "seed=130,2")
    assert done.status == 130
    assert done.err == ("sweep: interrupted; the same command goes on where this one stopped\n")
    assert swept.outcomes() == []
    tracking = swept.tracking()
    states = [r.info.status for r in tracking.client.search_runs([tracking.experiment])]
    assert states == ["KILLED"] * 2


def test_time_left_is_that_of_points_to_compute(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of five were finished before and took no time; one took 10 s; two are left."""
    monkeypatch.setattr(time, "time", lambda: 110.0)
    for number in range(3):
        (tmp_path / f"{number:04d}.outcome.json").touch()
    spec = {"n_points": 5, "n_quick": 2, "started": 100.0}
    telling.tell(tmp_path, spec, telling.Outcome("a=1", "computed", 10.0, ["crt"]))
    assert capsys.readouterr().out == "[3/5] a=1: ran crt (10.0 s, about 20.0 s left)\n"


def test_points_side_by_side_share_the_cores() -> None:
    points = [Point("", [], params={"compute": {"n_jobs": n}}) for n in (None, 3)]
    share_cores(points, 1)
    assert points[0].params["compute"]["n_jobs"] is None
    share_cores(points, 2)
    cores = worker_count(-1)
    assert [p.params["compute"]["n_jobs"] for p in points] == [max(1, cores // 2), 3]


@pytest.mark.slow
@pytest.mark.brief
def test_where_to_record_is_asked_on_the_command_line(project: Project) -> None:
    conf = project.folder / "conf"
    words = ["tracking.uri=sqlite:///other.db", "tracking.experiment=trial", "seed=1,2"]
    request = read_request(["-m", *words])
    assert Settings(request, conf).tracking == {"uri": "sqlite:///other.db", "experiment": "trial"}
    for word, said in (
        ("tracking.experiment=a,b", "recorded in one place"),
        ("tracking=null", "it is a section"),
        ("tracking.uri=null", "must be text"),
        ("tracking.urk=x", "urk"),
    ):
        with pytest.raises((ProgramDEError, HydraException)) as caught:
            Settings(read_request(["-m", word]), conf)
        assert said in str(caught.value)
