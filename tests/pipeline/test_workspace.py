"""Workspaces: what identifies a computation, freeing space, sharing by a remote."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipeline.config.explain import compose_config
from pipeline.config.resolve import resolve
from pipeline.config.schema import register
from pipeline.sweep.repository import dvc_repository, push
from pipeline.sweep.workspace import (
    BUSY,
    Plan,
    _reason,
    clean,
    compute,
    driving,
    lay_out,
    locked,
    snapshot,
)
from programde.errors import OptionError

from .conftest import STAGES, Project

register()


def params(project: Project, *overrides: str) -> dict:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project.folder)
        return resolve(compose_config(project.folder / "conf", overrides))


@pytest.mark.slow
@pytest.mark.brief
def test_a_computation_is_its_code_keys_and_sources(project: Project) -> None:
    plan = Plan(project.folder)
    assert plan.order == list(STAGES)
    default = params(project)
    ids = {stage: plan.computation(stage, default) for stage in plan.order}

    def changed(*overrides: str) -> list[str]:
        other = params(project, *overrides)
        return [stage for stage in plan.order if plan.computation(stage, other) != ids[stage]]

    assert changed("compute.n_jobs=1", "tracking.experiment=x") == []
    assert changed("report.seed=8") == ["diagnostics"]
    assert changed("controls.n_bins=3") == ["ntc_null", "calibrate", "diagnostics"]
    assert changed("data.N=99") == list(STAGES)
    project.edit("fake/calibrate.py", "import json", "import  json")
    edited = Plan(project.folder)
    differ = [s for s in plan.order if edited.computation(s, default) != ids[s]]
    assert differ == ["calibrate", "diagnostics"]
    assert edited.point_id(default) != plan.point_id(default)


@pytest.mark.slow
@pytest.mark.brief
def test_edits_do_not_reach_a_sweep(project: Project) -> None:
    plan = snapshot(project.folder)
    point = lay_out(plan, params(project), "point")
    project.edit("fake/crt.py", "import json", "import  json")
    assert "import  json" not in (plan.source / "fake/crt.py").read_text()
    assert "import  json" not in (point / "fake/crt.py").read_text()
    assert "compose" not in (point / "dvc.yaml").read_text()
    assert snapshot(project.folder).source != plan.source


def test_a_half_made_workspace_is_made_again(project: Project) -> None:
    plan = snapshot(project.folder)
    half = project.folder / "sweeps/points/point"
    half.mkdir(parents=True)
    (half / "dvc.yaml").write_text("half")
    lay_out(plan, params(project), "point")
    assert (half / "params.yaml").is_file()
    assert (half / "dvc.yaml").read_text() != "half"


@pytest.mark.slow
@pytest.mark.parametrize("half", [True, False])
def test_a_lock_file_that_a_killed_driver_left_half_written(swept: Project, half: bool) -> None:
    """DVC writes dvc.lock in place; what was computed is restored from the cache."""
    with pytest.MonkeyPatch.context() as patch:
        for key, value in swept.environment.items():
            patch.setenv(key, value)
        patch.chdir(swept.folder)
        plan = snapshot(swept.folder)
        point = lay_out(plan, params(swept), "point")
        assert all(run.executed for run in compute(plan, params(swept), point))
        lock = point / "dvc.lock"
        text = lock.read_text()
        lock.write_text(text[: len(text) // 2] if half else "")
        if half:
            (point / BUSY).touch()
        assert not any(run.executed for run in compute(plan, params(swept), point))
    assert lock.read_text() == text
    assert not (point / BUSY).exists()


@pytest.mark.slow
@pytest.mark.brief
def test_clean_leaves_what_is_in_use(project: Project) -> None:
    plan = snapshot(project.folder)
    for name in ("done", "busy"):
        lay_out(plan, params(project), name)
    with locked("point-busy", project.folder), driving(project.folder):
        line = clean(project.folder)
    assert "1 workspaces deleted, 1 in use were left" in line
    assert [p.name for p in (project.folder / "sweeps/points").iterdir()] == ["busy"]
    assert plan.source.is_dir()
    assert "1 workspaces deleted, 0" in clean(project.folder)
    assert not plan.source.exists()


def test_a_lock_keeps_others_out(project: Project) -> None:
    again = locked("x", project.folder, wait=False)
    with locked("x", project.folder), pytest.raises(BlockingIOError), again:
        pass
    with locked("x", project.folder, wait=False):
        pass


def test_why_a_stage_failed(tmp_path: Path) -> None:
    """Its own words where it had any; who takes the memory leaves none."""
    killed = ValueError("failed to run: python -m pipeline.stages.crt, exited with -9")
    said = _reason("crt", tmp_path, killed)
    assert said.startswith("stage crt: killed by the system, most likely for want of memory (")
    assert "GB are free now): set compute.n_jobs lower" in said
    assert _reason("crt", tmp_path, ValueError("no\nspace")) == "stage crt: no space"
    full = ValueError("DVC")
    full.__cause__ = OSError(28, "No space left on device", "cache")
    assert "stage crt: cache: no space left on the disk: " in _reason("crt", tmp_path, full)
    half = '{"stage": "crt", "error": "no such key"}\n{"stage": "c'
    (tmp_path / "executed.jsonl").write_text(half)  # as a full disk leaves it
    assert _reason("crt", tmp_path, killed) == "stage crt: no such key"


@pytest.mark.slow
def test_a_remote_spares_others_the_work(swept: Project, tmp_path: Path) -> None:
    """Push from one copy, pull into another: nothing runs there."""
    project = swept
    with pytest.raises(OptionError, match="there is no remote"):
        push(project.folder)
    project.repro()
    project.sweep("report.seed=5")
    remote = tmp_path / "remote"
    config = (project.folder / ".dvc/config").read_text()
    (project.folder / ".dvc/config").write_text(
        f"{config}    remote = shared\n['remote \"shared\"']\n    url = {remote}\n"
    )
    assert push(project.folder).startswith("4 computations are on shared; ")
    other = Project(tmp_path / "other")
    shutil.copytree(project.folder, other.folder)
    for name in (".dvc/cache", ".dvc/tmp", "data", "reports", "sweeps"):
        shutil.rmtree(other.folder / name)
    for name in ("params.yaml", "mlflow.db"):
        (other.folder / name).unlink()
    with dvc_repository(other.folder) as repo:
        repo.pull(["diagnostics"], with_deps=True)
    assert other.repro() == ["compose"]
    assert (other.folder / "reports/index.html").is_file()

    # What a colleague's sweep computed and no dvc.lock names is asked for as it is needed.
    for name in (".dvc/cache", "data", "reports"):
        shutil.rmtree(other.folder / name)
    done = other.sweep("report.seed=5")
    assert "restored from the cache" in done.out, done.err
