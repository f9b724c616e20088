"""Words as people type them: paths as they stand, lists without brackets."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from pipeline.config.explain import cannot_be_read, compose_config
from pipeline.config.resolve import resolve
from pipeline.config.schema import register
from pipeline.config.typed_words import as_typed, in_quotes, specs_of_keys
from pipeline.upstream import parse_override
from programde.errors import InputError

from .conftest import ROOT

register()

NAMES = [
    "plain.h5ad", "a screen (1), #2.h5ad", "a=b.h5ad", "~x.h5ad", "it's.h5ad", "b\\'c.h5ad", "7",
    "{HOME}.h5ad", "[x].h5ad", 'q"q.h5ad', "🧬.h5ad", "a;b&c|d.h5ad", "yes", "null.h5ad", "%(x)s",
]  # fmt: skip


def value(word: str) -> object:
    """What Hydra reads of one word that is typed alone."""
    (typed,) = as_typed([word])
    override = parse_override(typed)
    assert override is not None, typed
    assert not override.is_sweep_override(), typed
    return override.value()


@pytest.mark.slow
@pytest.mark.brief
@pytest.mark.parametrize("name", [*NAMES, "${HOME}.h5ad"])
def test_a_path_is_what_stands_there(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether such a file is there or not; and it reaches params.yaml so."""
    if not name.startswith("${"):  # OmegaConf's, unless there is such a file
        assert value(f"data.path=/absent/{name}") == f"/absent/{name}"
    (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    words = as_typed(["data=h5ad", f"data.path={tmp_path / name}"])
    assert resolve(compose_config(ROOT / "conf", words))["inputs"]["path"] == str(tmp_path / name)


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("data.ntc_labels=NT", ["NT"]),
        ("data.ntc_labels=7", ["7"]),
        ("data.covar_columns=batch, pct mito (%)", ["batch", "pct mito (%)"]),
        ("analysis.targets=HLA-A,AC00:1,1.5", ["HLA-A", "AC00:1", "1.5"]),
        ("spikes.fold_changes=1.2,2", [1.2, 2]),
        ("data.positive_controls=A:p:lowers,B:q:raises", ["A:p:lowers", "B:q:raises"]),
        ("data.positive_controls=pairs (1).csv", ["pairs (1).csv"]),
        ("data.ntc_labels=[a,b]", ["a", "b"]),
        ("analysis.targets=null", None),
        ("report.gene_sets=null", None),
    ],
)
def test_a_list_needs_no_brackets(word: str, meant: object) -> None:
    assert value(word) == meant


def test_what_can_be_meant_in_two_ways_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.h5ad", "it's.h5ad"):
        Path(name).touch()
    for words in (
        ["-m", "data.ntc_labels=a,b"],
        ["experiment=x", "data.ntc_labels=a,b"],
        ["analysis.targets=glob(*)"],
        ["data.path='x y'", 'data.ntc_labels="a"', "seed=1,2", "sampler=a,b"],
        ["data.path=${oc.env:HOME}/x"],
    ):
        assert as_typed(words) == words
    assert as_typed(["-m", "data.path=a.h5ad,it's.h5ad"]) == [
        "-m", "data.path=a.h5ad,'it\\'s.h5ad'",
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.brief
def test_one_entry_is_a_list_in_conf_as_well() -> None:
    config = compose_config(ROOT / "conf", ["data.ntc_labels=NT", "analysis.targets=X"])
    plain = resolve(config)
    assert plain["data"]["ntc_labels"] == ["NT"]
    assert plain["analysis"]["targets"] == ["X"]


def test_every_key_of_a_list_or_path_is_known() -> None:
    specs = specs_of_keys()
    assert "path" in specs["data.path"].limits
    assert specs["data.covar_columns"].items == (str,)
    assert "sampler.burden_clip_quantiles" in specs


def test_what_cannot_be_read_is_shown_as_it_would_be() -> None:
    line = cannot_be_read("test.x=a(b")
    assert line.endswith("""a value with special signs is "test.x='a(b'\"""")
    assert in_quotes("end\\") == "'end\\\\'"


@pytest.mark.slow
@pytest.mark.brief
@pytest.mark.parametrize("kind", ["pipe", "socket", "device", "folder", "long", "absent"])
def test_what_is_no_file_is_refused_at_once(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = "x"
    if kind == "pipe":
        os.mkfifo(name)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(name)
    elif kind == "folder":
        Path(name).mkdir()
    name = {"device": "/dev/null", "long": "x" * 5000}.get(kind, name)
    said = {"folder": "is a folder", "long": "too long", "absent": "does not exist"}
    for word in ("data.path", "report.gene_sets", "analysis.pairs", "data.positive_controls"):
        given = {"data.path": "x.h5ad", word: name}
        Path("x.h5ad").touch()
        words = as_typed(["data=h5ad", *(f"{key}={where}" for key, where in given.items())])
        with pytest.raises(InputError, match=said.get(kind, "is a pipe, socket or device")) as line:
            resolve(compose_config(ROOT / "conf", words))
        assert str(line.value).startswith(word)
