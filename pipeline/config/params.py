"""Reading params.yaml: all that a stage run by DVC knows of configuration.

What is chosen is checked where params.yaml is written, by stage `compose`. The other stages take it
as it stands, so that an edit of the checking reruns compose alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from pipeline.files import parse_yaml
from programde.errors import InputError

PARAMS = Path("params.yaml")

#: Sections that change no result: every stage may read them, none declares them.
FREE = ("compute", "inputs", "tracking")


class Options:
    """Part of the configuration: `options.sampler.kind`, `options.sampler.as_dict()`.

    Reading a key that is not there is a bug in the stage or in dvc.yaml, and says so.
    """

    def __init__(self, values: dict[str, Any], stage: str, prefix: str = "") -> None:
        self._values = values
        self._stage = stage
        self._prefix = prefix

    def __getattr__(self, key: str) -> Any:
        if key.startswith("__"):
            raise AttributeError(key)
        if key not in self._values:
            raise LookupError(
                f"stage {self._stage} reads {self._prefix}{key}, which its params in dvc.yaml "
                f"do not declare"
            )
        value = self._values[key]
        if isinstance(value, dict):
            return Options(value, self._stage, f"{self._prefix}{key}.")
        return value

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def as_dict(self) -> dict[str, Any]:
        """The keys and values of this part, nested parts as dicts."""
        return dict(self._values)


def project_root() -> Path:
    """The folder that holds dvc.yaml and conf/, from which every command is run."""
    here = Path.cwd()
    if not (here / "dvc.yaml").is_file() or not (here / "conf").is_dir():
        raise InputError(f"{here} holds no dvc.yaml and conf/: run this from the project's folder")
    return here


def read_params(path: Path) -> dict[str, Any]:
    """What stage `compose` wrote.

    Raises
    ------
    InputError
        The file is not there, or is no params.yaml.
    """
    try:
        params = parse_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}; dvc repro makes it") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path} is no YAML ({error}); delete it, dvc repro makes it") from None
    if not isinstance(params, dict):
        raise InputError(f"{path} holds no keys; delete it, dvc repro makes it")
    return params


def declared_keys(stage: str, dvc_yaml: Path = Path("dvc.yaml")) -> list[str]:
    """The keys of params.yaml that a stage's entry in dvc.yaml declares."""
    entry = parse_yaml(dvc_yaml.read_text(encoding="utf-8"))["stages"][stage]
    keys: list[str] = []
    for item in entry.get("params", []):
        keys += item.get("params.yaml", []) if isinstance(item, dict) else [item]
    return keys


def select(params: dict[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    """The part of a configuration that some dotted keys name.

    Raises
    ------
    KeyError
        A key that the configuration does not hold.
    """
    chosen: dict[str, Any] = {}
    for key in keys:
        source: Any = params
        target = chosen
        *parents, last = key.split(".")
        for parent in parents:
            source = source[parent]
            target = target.setdefault(parent, {})
        target[last] = source[last]
    return chosen
