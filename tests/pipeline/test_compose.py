"""params.yaml is made from conf/: what others write into it is refused, never passed over."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pipeline.stages.compose import compose, edits, write_params
from pipeline.stages.headline import HEADLINE, headline
from programde.errors import OptionError

PARAMS = {"seed": 1, "sampler": {"kind": "stratified", "clip": [0.0, 1.0]}, "inputs": {}}


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_params(PARAMS)
    return tmp_path / "params.yaml"


def test_what_was_written_is_no_edit(file: Path) -> None:
    assert edits(PARAMS) == []
    assert edits({**PARAMS, "seed": 2}) == []  # conf/ was edited
    reordered = yaml.safe_dump(yaml.safe_load(file.read_text()), default_flow_style=True)
    head = "".join(line + "\n" for line in file.read_text().splitlines() if line.startswith("#"))
    file.write_text(head + reordered)  # other programs lay it out in their way
    assert edits({**PARAMS, "seed": 2}) == []
    file.write_text(reordered.replace("seed: 1", "seed: 7"))  # an older file, without a hash
    assert edits(PARAMS) == []


def test_an_edit_is_refused_and_params_made_again(file: Path) -> None:
    """`dvc exp run -S seed=7` writes there, and must not report a success."""
    data = {"kind": "synthetic"}
    written = file.read_text()
    file.write_text(written.replace("seed: 1", "seed: 7"))
    assert edits(PARAMS) == ["seed=7"]
    assert edits({**PARAMS, "seed": 7}) == []  # conf/ says so too
    with pytest.raises(OptionError, match=r"said seed=7 .* python -m pipeline.sweep seed=7"):
        compose({**PARAMS, "data": data})
    assert yaml.safe_load(file.read_text()) == {**PARAMS, "data": data}
    assert edits({**PARAMS, "data": data}) == []


def test_the_headline_has_fewer_than_25_columns_with_its_path() -> None:
    whole = {group: dict.fromkeys(names, 1.0) for group, names in HEADLINE.items()}
    assert sum(map(len, headline(whole).values())) < 24
    some = {"ntc": {"rate_05": 0.05, "rate_01": None, "ks": 0.1}, "truth": {}, "other": {"n": 1}}
    assert headline(some) == {"ntc": {"rate_05": 0.05}}
