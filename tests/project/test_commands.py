"""The command line: what it says, what it completes, and one line where it cannot."""

from __future__ import annotations

import ast
import errno
import os
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from pipeline.config.schema import KINDS, ROOT, SECTIONS, Section
from programde.errors import OptionError
from programde_project import commands, layout
from programde_project.commands import prepared_project, programde
from programde_project.completion import completions
from programde_project.settings import settings

CHECKOUT = Path(__file__).parents[2]


def called(*words):
    return CliRunner().invoke(programde, list(words))


def test_help_names_every_command_with_a_line():
    said = called("--help").output
    for name in programde.commands:
        assert f"  {name} " in said
    assert "..." not in said[said.index("Commands:") : said.index("Begin with")]


@pytest.mark.parametrize("name", list(programde.commands))
def test_every_command_explains_itself(name):
    if name != "export":  # hands --help on to the project's own command
        assert len(called(name, "--help").output) > 150


@pytest.mark.slow
@pytest.mark.brief
@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["run", "nowhere.h5ad"], "programde: nowhere.h5ad does not exist"),
        (["run"], "is no project and holds none"),
        (["run", "data=synthetic", "smpler=x"], "smpler is not a key; did you mean 'sampler'"),
        (["check"], "name a screen"),
        (["check", "data=h5ad", "data.pth=x"], "data.pth is not a key"),
        (["open"], "is no project and holds none"),
        (["ui", "nowhere"], "nowhere is no project"),
        (["keys", "no_such_key"], "no key holds no_such_key"),
    ],
)
def test_one_line_where_it_cannot(tmp_path, monkeypatch, words, line):
    monkeypatch.chdir(tmp_path)
    result = called(*words)
    assert result.exit_code == 1
    assert line in result.output
    assert len(result.output.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "cure"), [(errno.EROFS, "use another place"), (errno.ENOSPC, "free some and run")]
)
def test_an_error_of_the_system_comes_with_its_cure(tmp_path, monkeypatch, number, cure):
    def refused(folder, *_):
        raise OSError(number, os.strerror(number), str(folder))

    monkeypatch.setattr(layout, "lay_out", refused)
    result = called("init", str(tmp_path / "p"))
    assert (result.exit_code, cure in result.output) == (1, True)
    assert len(result.output.strip().splitlines()) == 1


@pytest.mark.slow
@pytest.mark.brief
def test_a_run_makes_a_project_and_keeps_its_words(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.h5ad").touch()
    folder = prepared_project(["a.h5ad", "sampler=stratified"], None)
    assert folder == tmp_path / "a_programde"
    kept = yaml.safe_load((folder / "conf/run.yaml").read_text())
    assert kept == ["data=h5ad", f"data.path={tmp_path / 'a.h5ad'}", "sampler=stratified"]
    assert prepared_project([], None) == folder  # found again, with its words
    assert yaml.safe_load((folder / "conf/run.yaml").read_text()) == kept
    monkeypatch.chdir(folder)
    assert prepared_project([], None) == folder


@pytest.mark.slow
@pytest.mark.brief
def test_words_that_are_refused_leave_those_of_the_last_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.h5ad").touch()
    kept = prepared_project(["a.h5ad", "seed=3"], None) / "conf/run.yaml"
    before = kept.read_text()
    with pytest.raises(OptionError, match="sampler=strat"):
        prepared_project(["a.h5ad", "sampler=strat"], None)
    prepared_project(["a.h5ad"], None, keep=True)  # as a sweep asks for its screen
    assert kept.read_text() == before
    prepared_project(["a.h5ad"], None)
    assert "seed" not in kept.read_text()


def test_what_is_swept_over_is_no_word_of_the_project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.h5ad").touch()
    asked = []
    monkeypatch.setattr(commands.running, "call", lambda folder, words: asked.append(words) or 0)
    assert called("sweep", "a.h5ad", "-m", "test=ols,utest").exit_code == 0
    assert asked == [["-m", "pipeline.sweep", "-m", "test=ols,utest"]]
    assert "test=" not in (tmp_path / "a_programde/conf/run.yaml").read_text()


def test_every_key_is_listed_with_its_default():
    def flat(section, prefix):
        for key, spec in section.keys.items():
            if isinstance(spec, Section):
                yield from flat(spec, f"{prefix}.{key}")
            else:
                yield f"{prefix}.{key}"

    wanted = set(ROOT)
    for name, section in SECTIONS.items():
        wanted |= set(flat(section, name))
    for name, kinds in KINDS.items():
        for section in kinds.values():
            wanted |= set(flat(section, name))
    listed = list(settings(CHECKOUT))
    assert wanted <= {one.key for one in listed}
    assert [one.key for one in listed if not one.meaning] == []
    by_name = {(one.choice, one.key): one for one in listed}
    assert by_name["", "n_resamples"].default == "1023"
    assert by_name["sampler=stratified", "sampler.n_bins"].default == "20"
    assert (
        "bins of the fitted probability" in by_name["sampler=stratified", "sampler.n_bins"].meaning
    )


def test_words_are_completed():
    conf = layout.template() / "conf"
    assert completions(conf, "sampler=str") == ["sampler=stratified", "sampler=stratified_burden"]
    assert completions(conf, "test=ols,u") == ["test=ols,utest"]
    assert "analysis.control=" in completions(conf, "analysis.")
    assert "data.usage_key=" in completions(conf, "data.us")


def test_the_command_needs_no_checkout():
    """Installed, `pipeline` lies within a project and is found there, not where Python looks."""
    for file in sorted((CHECKOUT / "programde_project").glob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        imported = [node.module for node in tree.body if isinstance(node, ast.ImportFrom)]
        assert not [name for name in imported if name and name.split(".")[0] == "pipeline"], file
