"""A project is laid out whole, and brought up to date without touching what was edited."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pipeline.config.pin import check_pin
from programde.errors import InputError, OptionError
from programde_project import layout

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "screen_programde"
    folder.mkdir()
    layout.lay_out(folder)
    return folder


def test_a_project_has_what_dvc_and_hydra_look_for(project):
    assert layout.is_project(project)
    assert not layout.is_checkout(project)
    assert layout.is_current(project)
    assert (project / "conf/config.yaml").read_bytes() == (ROOT / "conf/config.yaml").read_bytes()
    assert (project / ".dvc/config").is_file()
    stages = yaml.safe_load((project / "dvc.yaml").read_text())["stages"]
    ours = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    assert list(stages) == list(ours)
    for name, stage in stages.items():
        kept = [dep for dep in ours[name]["deps"] if not dep.startswith("programde/")]
        assert sorted(stage["deps"]) == sorted([*kept, layout.PIN])


def test_every_dependency_that_no_stage_makes_is_laid_out(project):
    stages = yaml.safe_load((project / "dvc.yaml").read_text())["stages"].values()
    made = {out if isinstance(out, str) else next(iter(out))
            for stage in stages for kind in ("outs", "metrics", "plots")
            for out in stage.get(kind, [])}  # fmt: skip
    for stage in stages:
        for dep in stage["deps"]:
            assert dep in made or (project / dep).exists(), dep


def test_laying_out_again_changes_nothing(project):
    before = {p: p.stat().st_mtime_ns for p in project.rglob("*") if p.is_file()}
    changes = layout.lay_out(project)
    assert (changes.written, changes.beside, changes.kept, changes.removed) == ([], [], [], [])
    before.pop(project / layout.RECORD)
    assert all(p.stat().st_mtime_ns == when for p, when in before.items())


def test_a_new_version_is_taken_up_and_edits_stay(project, monkeypatch):
    edited = project / "conf/config.yaml"
    edited.write_text(edited.read_text() + "# mine\n")
    gone = project / "conf/sampler/bernoulli.yaml"
    was = layout.contents()
    now = {**was, "conf/config.yaml": b"new\n", "conf/test/ols.yaml": b"new too\n"}
    del now["conf/sampler/bernoulli.yaml"]
    monkeypatch.setattr(layout, "__version__", "9.9")
    now[layout.PIN] = b"programde[pipeline]==9.9\n"
    monkeypatch.setattr(layout, "contents", lambda: now)
    assert not layout.is_current(project)
    changes = layout.lay_out(project)
    assert changes.before != "9.9"
    assert layout.pinned(project) == "9.9"
    assert edited.read_text().endswith("# mine\n")
    assert changes.beside == ["conf/config.yaml"]
    assert (project / "conf/config.yaml.new").read_bytes() == b"new\n"
    assert (project / "conf/test/ols.yaml").read_bytes() == b"new too\n"
    assert changes.removed == ["conf/sampler/bernoulli.yaml"]
    assert not gone.exists()
    assert layout.is_current(project)


def test_other_peoples_folders_and_the_checkout_are_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(InputError, match="no project and not empty"):
        layout.lay_out(tmp_path)
    with pytest.raises(InputError, match="checkout"):
        layout.lay_out(ROOT)


def test_versions_are_not_mixed(project):
    check_pin(project)
    check_pin(ROOT)
    (project / layout.PIN).write_text("programde[pipeline]==0.0.1\n")
    with pytest.raises(OptionError, match=r"of programDE 0\.0\.1 and .* is installed"):
        check_pin(project)
