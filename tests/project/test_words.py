"""What stands on a command line becomes what the pipeline takes; what a run was told is kept."""

from __future__ import annotations

import pytest

from pipeline.config.run_words import on_top_of_run_words, read_run_words, write_run_words
from pipeline.config.schema import KINDS, SECTIONS
from pipeline.upstream import parse_override
from programde.errors import InputError, OptionError
from programde_project.words import PATHS, folder_name, quoted, take_apart


def test_a_screen_becomes_words(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a screen.h5mu").touch()
    screen, words = take_apart(["a screen.h5mu", "seed=4"])
    assert words[0] == "data=h5mu"
    override = parse_override(words[1])
    assert override is not None
    assert override.value() == str(tmp_path / "a screen.h5mu")
    assert words[2:] == ["seed=4"]
    assert folder_name(screen, words) == "a screen_programde"


@pytest.mark.parametrize("name", ["plain.h5ad", "it's.h5ad", "a,b.h5ad", "ä ö.h5ad", "(1).h5ad"])
def test_a_path_is_read_as_it_stands(name):
    override = parse_override(f"data.path={quoted('/x/' + name)}")
    assert override is not None
    assert not override.is_sweep_override()
    assert override.value() == "/x/" + name


def test_relative_paths_are_made_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    words = take_apart(["data=cnmf", "data.folder=run", "data.k=3", "data.screen=absent.h5ad"])[1]
    assert words[1] == f"data.folder={tmp_path / 'run'}"
    assert words[3] == "data.screen=absent.h5ad"  # the pipeline says what is wrong with it


def test_all_keys_that_are_paths_are_known():
    found = {
        f"{name}.{key}"
        for name, section in [*((n, s) for n, kinds in KINDS.items() for s in kinds.values()),
                              *SECTIONS.items()]
        for key, spec in section.keys.items()
        if "path" in getattr(spec, "limits", ())
    }  # fmt: skip
    assert found <= set(PATHS)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["nowhere.h5ad"], "does not exist"),
        (["file:///data/s.h5ad"], "is an address.*write /data/s.h5ad"),
        (["a.h5ad", "b.h5ad"], "second screen"),
        (["a.csv"], "a screen is an .h5ad, .h5mu or .zarr file"),
        (["a.h5ad", "data=h5mu"], "in one of the two ways"),
    ],
)
def test_what_cannot_be_meant_is_one_line(tmp_path, monkeypatch, words, line):
    monkeypatch.chdir(tmp_path)
    for name in ("a.h5ad", "b.h5ad", "a.csv"):
        (tmp_path / name).touch()
    with pytest.raises((InputError, OptionError), match=line):
        take_apart(words)


def test_the_words_of_a_run_are_kept_and_later_ones_win(tmp_path):
    assert read_run_words(tmp_path) == []
    write_run_words(tmp_path, ["data=h5ad", "data.path='/x y.h5ad'", "seed=3", "test=utest"])
    assert read_run_words(tmp_path)[1] == "data.path='/x y.h5ad'"
    assert on_top_of_run_words(["-m", "seed=1,2"], tmp_path) == [
        "data=h5ad", "data.path='/x y.h5ad'", "test=utest", "-m", "seed=1,2",
    ]  # fmt: skip
    # another source takes with it what was said of the one before
    assert on_top_of_run_words(["data=synthetic"], tmp_path) == [
        "seed=3", "test=utest", "data=synthetic",
    ]  # fmt: skip
    (tmp_path / "run.yaml").write_text("seed: 3\n")
    with pytest.raises(OptionError, match="must be a list of words"):
        read_run_words(tmp_path)
