"""Jobs of a scheduler: which launchers have them; their ends are told."""

from __future__ import annotations

from pathlib import Path

from pipeline.sweep.launching import scheduled, watching


def test_which_launchers_are_schedulers() -> None:
    assert scheduled(["seed=1", "hydra/launcher=slurm"])
    assert scheduled(["hydra/launcher=submitit_local"])
    assert not scheduled(["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "data.path=slurm"])


def test_files_are_told_of_once(tmp_path: Path) -> None:
    (tmp_path / "0.outcome.json").touch()
    told: list[str] = []
    with watching(tmp_path, "*.outcome.json", lambda file: told.append(file.name)):
        (tmp_path / "1.outcome.json").touch()
        (tmp_path / "2.json").touch()
    assert told == ["1.outcome.json"]
