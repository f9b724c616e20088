"""`dvc repro` reruns what changed and nothing else: DVC really runs here."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import SHORT, Project, build

ALL = ["compose", "prepare", "crt", "ntc_null", "calibrate", "diagnostics"]


def rerun(project: Project, file: str, old: str, new: str) -> list[str]:
    project.edit(file, old, new)
    return project.repro()


@pytest.mark.slow
def test_repro_reruns_the_stages_that_use_a_changed_key(project: Project) -> None:
    assert project.repro() == ALL
    assert project.repro() == []

    # A comment in conf/ changes no key: params.yaml is left untouched and no stage runs.
    config = "conf/config.yaml"
    written = (project.folder / "params.yaml").stat().st_mtime_ns
    assert rerun(project, config, "# The report.", "# The report") == ["compose"]
    assert (project.folder / "params.yaml").stat().st_mtime_ns == written

    assert rerun(project, config, "level: 0.1 ", "level: 0.2 ") == ["compose", "diagnostics"]
    draws = ["compose", "crt", "ntc_null", "calibrate", "diagnostics"]
    assert rerun(project, config, "sampler: bernoulli ", "sampler: stratified ") == draws
    assert rerun(project, "conf/compute/local.yaml", "n_jobs: null", "n_jobs: 1") == ["compose"]
    # What was computed before is restored, not run.
    assert rerun(project, config, "sampler: stratified ", "sampler: bernoulli ") == ["compose"]
    # A stage's own code; what it writes stays the same, so nothing follows.
    assert rerun(project, "fake/crt.py", "import json", "import  json") == ["crt"]

    project.edit(config, "seed: 123", "seed: 666")
    done = project.run("dvc", "repro", check=False)
    assert done.returncode != 0
    assert "crt: the number of the beast is no seed\n" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (project.folder / "data/crt").exists()


@pytest.mark.slow
def test_a_changed_input_file_is_seen(tmp_path: Path) -> None:
    project = build(tmp_path / "project", SHORT)
    screen = tmp_path / "screen.h5ad"
    screen.write_text("first")
    project.edit("conf/config.yaml", "- data: synthetic ", "- data: h5ad ")
    project.edit("conf/data/h5ad.yaml", "path: ???", f"path: {screen}")
    assert project.repro() == ["compose", *SHORT]
    assert project.repro() == []
    screen.write_text("other")
    assert project.repro()[:2] == ["compose", "prepare"]
    assert project.repro() == []
    # The same content elsewhere: the path is no part of what is computed.
    moved = screen.rename(tmp_path / "moved.h5ad")
    assert rerun(project, "conf/data/h5ad.yaml", str(screen), str(moved)) == ["compose"]
    moved.unlink()
    done = project.run("dvc", "repro", check=False)
    assert done.returncode != 0
    assert "data/inputs/data.path" in done.stderr
