"""A change of one key, run through the stages that DVC would run again; and what it changed."""

from __future__ import annotations

import hashlib
import importlib
import shutil
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from pipeline.config.explain import compose_config
from pipeline.config.params import PARAMS, Options, declared_keys, read_params, select
from pipeline.config.resolve import resolve
from pipeline.config.schema import register
from pipeline.files import parse_yaml, read_json, read_table
from pipeline.stages.compose import compose
from pipeline.stages.crossfit_files import load_crossfit
from programde.analysis.ntc_null import NTCNull
from programde.controls.control_units_file import load_control_units
from programde.crt.results import CRTResult
from programde.errors import ProgramDEWarning
from programde.screen.store import load_screen

from .stages import ROOT, STAGES, project_folder

register()
DVC: dict[str, Any] = parse_yaml((ROOT / "dvc.yaml").read_text())["stages"]

#: Output of a stage -> the stage.
OUTPUTS = {
    str(out): stage
    for stage in STAGES
    for kind in ("outs", "metrics", "plots")
    for out in DVC[stage].get(kind, [])
}


@dataclass(frozen=True)
class Run:
    """The folder of a run, and what lies in it."""

    folder: Path
    executed: tuple[str, ...] = ()

    def table(self, name: str) -> pd.DataFrame:
        """A table of reports/ or data/."""
        return read_table(self.folder / name)

    def json(self, name: str) -> Any:
        return read_json(self.folder / name)

    @cached_property
    def params(self) -> dict[str, Any]:
        return read_params(self.folder / PARAMS)

    @cached_property
    def screen(self) -> Any:
        return load_screen(self.folder / "data/screen")

    @cached_property
    def crt(self) -> CRTResult:
        return CRTResult.load(self.folder / "data/crt")

    @cached_property
    def groups(self) -> NTCNull:
        return NTCNull.load(self.folder / "data/ntc_null")

    @cached_property
    def units(self) -> Any:
        return load_control_units(self.folder / "data/ntc_null")[0]

    @cached_property
    def crossfit(self) -> Any:
        return load_crossfit(self.folder / "data/ntc_null/crossfit")[0]

    @cached_property
    def results(self) -> pd.DataFrame:
        return self.table("reports/results.parquet")

    @cached_property
    def omnibus(self) -> pd.DataFrame:
        return self.table("reports/omnibus.csv")

    @cached_property
    def ntc(self) -> pd.DataFrame:
        return self.table("data/ntc_p_values.parquet")

    def wide(self, column: str, row: str = "target") -> pd.DataFrame:
        """A column of the results, targets x programs."""
        return self.results.pivot(index=row, columns="program", values=column)


def digest(path: Path) -> str:
    """Of a file, or of all files of a folder and their names; empty where there is none."""
    if path.is_file():
        return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
    files = sorted(p for p in path.rglob("*") if p.is_file())
    whole = [f"{p.relative_to(path)} {digest(p)}" for p in files]
    return hashlib.blake2b("\n".join(whole).encode(), digest_size=16).hexdigest() if files else ""


def write_params(folder: Path, words: Iterable[str]) -> None:
    """Stage compose in `folder`: params.yaml of these words."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        # as the command line does, which lets Hydra compose twice
        compose(resolve(compose_config(folder / "conf", list(words))))


def set_keys(folder: Path, words: Iterable[str]) -> None:
    """The same for keys whose place in params.yaml is known, without Hydra, which takes long."""
    params = read_params(folder / PARAMS)
    for word in words:
        key, _, value = word.partition("=")
        *parents, last = key.split(".")
        section = params
        for parent in parents:
            section = section[parent]
        assert last in section, f"{key} is no key of params.yaml"
        section[last] = parse_yaml(value)
    (folder / PARAMS).write_text(yaml.safe_dump(params, sort_keys=False))


def call(folder: Path, stage: str) -> None:
    """One stage in `folder` as DVC runs it, by params.yaml; its errors are raised."""
    module = importlib.import_module(f"pipeline.stages.{stage}")
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore", ProgramDEWarning)  # of a few cells, seen in few guides
        patch.chdir(folder)
        patch.setenv("CI", "true")
        keys = [*declared_keys(stage), "compute", "inputs", "tracking"]
        module.main.function(Options(select(read_params(PARAMS), keys), stage))


def first_run(folder: Path, words: Iterable[str], stages: Iterable[str]) -> Run:
    """A project of its own, run up to some stage."""
    project_folder(folder)
    write_params(folder, words)
    for stage in stages:
        call(folder, stage)
    return Run(folder)


def run_again(
    base: Path,
    folder: Path,
    words: Iterable[str],
    *,
    compose_all: tuple[str, ...] = (),
    report: bool = False,
    always: bool = False,
) -> tuple[Run, set[str]]:
    """A copy of `base` with other words: the stages that DVC would run; the outputs that differ.

    A stage runs again where a key that it declares has another value, or where an output that it
    reads is another. `compose_all`: the words of the base, where one of these picks another file
    of conf/, so that all are composed anew.
    """
    shutil.copytree(base, folder, symlinks=True)
    before = read_params(folder / PARAMS)
    if compose_all:
        write_params(folder, (*compose_all, *words))
    else:
        set_keys(folder, words)
    after = read_params(folder / PARAMS)
    changed: set[str] = set()
    executed = []
    for stage in STAGES:
        entry = DVC[stage]
        if not (folder / next(n for n, s in OUTPUTS.items() if s == stage)).exists():
            continue  # the base ends before it
        keys = declared_keys(stage, ROOT / "dvc.yaml")
        other = select(before, keys) != select(after, keys)
        reads = bool(changed & set(entry["deps"]))
        if stage == "diagnostics" and not report:
            continue
        if other or reads or always:
            call(folder, stage)
            executed.append(stage)
            mine = [name for name, of in OUTPUTS.items() if of == stage]
            changed |= {name for name in mine if digest(base / name) != digest(folder / name)}
    return Run(folder, tuple(executed)), changed


def keys_of_conf() -> set[str]:
    """Every key of conf/: those of config.yaml, and `section.kind.key` of what comes in kinds."""
    found: set[str] = set()

    def leaves(tree: dict[str, Any], prefix: str) -> None:
        for key, value in tree.items():
            if isinstance(value, dict):
                leaves(value, f"{prefix}{key}.")
            else:
                found.add(f"{prefix}{key}")

    whole = parse_yaml((ROOT / "conf/config.yaml").read_text())
    groups = [next(iter(line)) for line in whole.pop("defaults") if isinstance(line, dict)]
    whole.pop("hydra")
    leaves(whole, "")
    for group in groups:
        name = group.removeprefix("override ").strip("/")
        if name.startswith("hydra") or name == "experiment":
            continue
        for path in (ROOT / "conf" / name).glob("*.yaml"):
            tree = parse_yaml(path.read_text())
            tree.pop("defaults", None)
            prefix = "compute." if name == "compute" else f"{name}.{path.stem}."
            found.add(f"{name}={path.stem}")
            leaves(tree, prefix)
    return found
