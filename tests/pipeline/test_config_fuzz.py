"""Absurd values under every key of conf/: each is taken as it stands or answered by one line."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pipeline.config.explain import compose_config, explain
from pipeline.config.resolve import resolve
from pipeline.config.schema import register
from pipeline.files import parse_yaml
from programde.errors import ProgramDEError

from .test_config import CONF

register()

ABSURD: list[Any] = [
    None, "", "no such thing", -1, 0, 1, 10**12, 1e308, float("nan"), float("inf"), True, [], {},
    [None], ["x", 1], {"a": {"b": 1}}, "${nothing}", "???", "/", "non-targeting\nNTC",
]  # fmt: skip
CHOICES = [
    ["data=h5ad", "usage=fixed", "sampler=stratified_burden", "calibrate=none"],
    ["data=h5mu", "usage=positive_quantile", "sampler=stratified", "test=utest"],
    ["data=cnmf", "data.folder=.", "data.k=5", "calibrate=ntc_empirical"],
    ["data=guide_tables", "calibrate=skew_normal"],
    ["data=synthetic"],
]


def leaves(config: Any, prefix: str = "") -> list[str]:
    """Dotted keys of all values of a configuration."""
    found = []
    for key in config:
        if OmegaConf.is_missing(config, key) or not isinstance(config[key], DictConfig):
            found.append(f"{prefix}{key}")
        else:
            found += leaves(config[key], f"{prefix}{key}.")
    return found


@pytest.mark.slow
@pytest.mark.parametrize("choice", CHOICES, ids=lambda words: words[0])
def test_absurd_values(choice: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("content")
    (tmp_path / "a.usages.k_5.dt_0_5.consensus.txt").write_text("content")
    paths = ("path", "screen", "usage", "assignments", "guide_metadata", "covariates")
    whole = compose_config(CONF, choice)
    for key in paths:
        if OmegaConf.is_missing(whole.data, key):
            whole.data[key] = str(tmp_path / "file")
    assert resolve(whole)
    kept, refused = pickle.dumps(whole), 0
    own = [key for key in leaves(whole) if key.startswith("data.")]
    keys = own * 2 + ([k for k in leaves(whole) if k not in own] if choice == CHOICES[0] else [])
    for turn, key in enumerate(keys):
        value = ABSURD[turn % len(ABSURD)]
        words = pickle.loads(kept)
        OmegaConf.set_struct(words, False)
        try:
            OmegaConf.update(words, key, value, merge=False)
            params = resolve(words)
        except ProgramDEError as error:
            line = str(error)
        except (HydraException, OmegaConfBaseException) as error:
            line = explain(error, [f"{key}={value}"], CONF)
        else:
            assert parse_yaml(yaml.safe_dump(params)).keys() == params.keys()
            continue
        refused += 1
        assert "\n" not in line, (key, value)
        assert len(line) > 10, (key, value)
    assert refused > len(keys) / 3
