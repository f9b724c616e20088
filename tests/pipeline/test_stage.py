"""A stage sees what it declares; its errors are one line; its outputs are whole or absent."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.config.command_line import answered_by_hydra
from pipeline.config.params import Options, declared_keys
from pipeline.files import (
    read_json,
    replacing,
    replacing_folder,
    write_json,
    write_table,
    write_text,
)
from pipeline.locks import held
from pipeline.stages.entry import STAGE_LOG, _hold_the_folder

from .conftest import ROOT, Project

pytestmark = pytest.mark.slow


def test_options_refuse_what_was_not_declared() -> None:
    options = Options({"sampler": {"kind": "bernoulli"}, "seed": 1}, "crt")
    assert options.sampler.kind == "bernoulli"
    assert options.seed == 1
    assert "n_bins" not in options.sampler
    with pytest.raises(LookupError, match=r"stage crt reads sampler\.n_bins, which"):
        _ = options.sampler.n_bins


def test_declared_keys_are_those_of_dvc_yaml(tmp_path: Path) -> None:
    path = tmp_path / "dvc.yaml"
    path.write_text("stages: {s: {cmd: x, params: [a, b.c, {params.yaml: [d]}]}}")
    assert declared_keys("s", path) == ["a", "b.c", "d"]


def test_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    file, folder = tmp_path / "f.txt", tmp_path / "d"
    file.write_text("old")
    folder.mkdir()
    (folder / "x").write_text("old")
    with contextlib.suppress(RuntimeError), replacing(file) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    with contextlib.suppress(RuntimeError), replacing_folder(folder) as temporary:
        (temporary / "x").write_text("half")
        raise RuntimeError
    assert file.read_text() == "old"
    assert (folder / "x").read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["d", "f.txt"]


def test_whole_write_replaces(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    (folder / "old").touch()
    with replacing_folder(folder) as temporary:
        (temporary / "new").touch()
    assert [p.name for p in folder.iterdir()] == ["new"]
    assert write_text(tmp_path / "f", "a")
    assert not write_text(tmp_path / "f", "a")
    umask = os.umask(0)
    os.umask(umask)
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o666 & ~umask


def test_tables_and_json(tmp_path: Path) -> None:
    table = pd.DataFrame({"target": ["a", "b"], "p": [0.1 + 0.2, np.nan]})
    write_table(table, tmp_path / "t.csv", tmp_path / "t.parquet")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "t.csv"), table)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "t.parquet"), table)
    write_json(tmp_path / "m.json", {"a": np.float64("nan"), "b": np.arange(2), "c": np.int64(3)})
    assert read_json(tmp_path / "m.json") == {"a": None, "b": [0, 1], "c": 3}


@pytest.mark.slow
def test_stage_by_hand(project: Project) -> None:
    """`python -m STAGE key=value` is configured by conf/ and the command line."""
    done = project.run("fake.prepare", "data.N=777")
    assert done.stderr == ""
    text = (project.folder / "data/screen").read_text()
    assert '"N": 777' in text
    assert "sampler" not in text
    assert sorted(p.name for p in project.folder.iterdir() if p.is_dir()) == [
        ".dvc",
        "conf",
        "data",
        "fake",
    ]


def test_stage_error_is_one_line(project: Project) -> None:
    project.stage("prepare")
    done = project.stage("crt", "seed=666")
    assert done.status == 1
    assert done.err == "crt: the number of the beast is no seed\n"
    assert not (project.folder / "data/crt").exists()
    done = project.stage("crt", "seed=28")
    assert done.status == 1
    assert done.err.startswith("crt: data/crt: no space left on the disk: ")
    assert done.err.count("\n") == 1
    done = project.stage("crt", "sampler=bernuli")
    assert done.status == 1
    assert done.err.count("\n") == 1
    assert "did you mean 'bernoulli'" in done.err
    assert done.out == ""


def test_undeclared_key_fails(project: Project) -> None:
    project.edit("fake/prepare.py", "    parts = [", "    o.seed\n    parts = [")
    said = "stage prepare reads seed, which its params in dvc.yaml do not declare"
    with pytest.raises(LookupError, match=said):
        project.stage("prepare")


def test_outside_the_project(project: Project) -> None:
    (project.folder / "dvc.yaml").unlink()
    done = project.stage("prepare")
    assert done.status == 1
    assert "run this from the project's folder" in done.err
    assert done.err.count("\n") == 1


def test_a_stage_does_not_sweep(project: Project) -> None:
    done = project.stage("prepare", "-m", "seed=1,2")
    assert done.status == 1
    assert "python -m pipeline.sweep -m" in done.err
    project.stage("prepare", "experiment=calibration_grid")
    assert (project.folder / "data/screen").is_file()


def test_a_stage_holds_the_folder_of_its_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that one which a killed run left running is waited for, by `dvc repro` as well."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(STAGE_LOG, str(tmp_path / "executed.jsonl"))
    (tmp_path / ".dvc").mkdir()
    for lock in (tmp_path / "executed.lock", tmp_path / ".dvc/tmp/programde-stages.lock"):
        with contextlib.ExitStack() as stack:
            _hold_the_folder(stack)
            with pytest.raises(BlockingIOError), held(lock, wait=False):
                pass
        with held(lock, wait=False):
            pass
        monkeypatch.delenv(STAGE_LOG, raising=False)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--help"], "== Configuration groups =="),
        (["-h"], "== Configuration groups =="),
        (["--cfg", "job", "seed=7"], "seed: 7"),
        (["seed=7", "--cfg", "job", "--package", "fdr"], "level: 0.1"),
        (["experiment=calibration_grid", "--cfg", "hydra"], "n_jobs: 2"),
        (["--info", "defaults"], "Defaults List"),
        (["-sc", "install=bash"], "hydra_bash_completion"),
    ],
)
def test_hydra_answers_what_it_is_asked(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """As it would itself, and nothing runs."""
    with contextlib.suppress(SystemExit):  # as Hydra leaves after its help
        assert answered_by_hydra(words, ROOT / "conf")
    assert said in capsys.readouterr().out
    assert not answered_by_hydra(["seed=7", "-m"], ROOT / "conf")
