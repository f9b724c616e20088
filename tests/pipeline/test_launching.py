"""Jobs of a scheduler: one that dies does not take the others along; their ends are told."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from submitit.core.core import Job
from submitit.core.utils import UncompletedJobError

from pipeline.sweep.launching import patience, scheduled, watching


def test_which_launchers_are_schedulers() -> None:
    assert scheduled(["seed=1", "hydra/launcher=slurm"])
    assert scheduled(["hydra/launcher=submitit_local"])
    assert not scheduled(["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "data.path=slurm"])


def test_a_job_that_died_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    def results(job: SimpleNamespace) -> list[str]:
        if job.state == "OUT_OF_MEMORY":
            raise UncompletedJobError("has not produced any output")
        if job.state == "FAILED":
            raise RuntimeError("a bug")
        return ["done"]

    def job(state: str) -> SimpleNamespace:
        return SimpleNamespace(job_id="7", state=state, paths=SimpleNamespace(folder="logs/7"))

    monkeypatch.setattr(Job, "results", results)
    with patience() as died:
        assert Job.results(job("COMPLETED")) == ["done"]  # type: ignore[arg-type]
        stubs: list[Any] = Job.results(job("OUT_OF_MEMORY"))  # type: ignore[arg-type]
        _ = stubs[0].return_value  # what Hydra looks at
        with pytest.raises(RuntimeError):
            Job.results(job("FAILED"))  # type: ignore[arg-type]
    assert died == ["job 7 is OUT_OF_MEMORY, its log in logs/7"]
    assert Job.results is results


def test_files_are_told_of_once(tmp_path: Path) -> None:
    (tmp_path / "0.outcome.json").touch()
    told: list[str] = []
    with watching(tmp_path, "*.outcome.json", lambda file: told.append(file.name)):
        (tmp_path / "1.outcome.json").touch()
        (tmp_path / "2.json").touch()
    assert told == ["1.outcome.json"]
