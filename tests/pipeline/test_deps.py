"""dvc.yaml says the truth: a stage depends on all code it imports, and names what it makes."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import pipeline.stages.paths
from pipeline.stages.entry import declared_keys
from pipeline.sweep.workspace import Plan

ROOT = Path(__file__).parents[2]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]

#: Turns a configuration into options; what it makes of a key is in params.yaml already.
MACHINERY = {"stage", "config", "checking", "schema", "explain", "fingerprint", "paths", "__init__"}


def file_of(module: str) -> Path | None:
    """The file of one of our modules; None for a name inside a module, or another package."""
    if module.split(".")[0] not in ("programde", "pipeline"):
        return None
    path = ROOT / module.replace(".", "/")
    for file in (path / "__init__.py", path.with_suffix(".py")):
        if file.is_file():
            return file
    return None


def imported(file: Path) -> Iterator[str]:
    """Names that a file imports, also inside functions and for type checking only."""
    package = list(file.relative_to(ROOT).with_suffix("").parts)
    if package[-1] == "__init__":
        package.pop()
        here = package
    else:
        here = package[:-1]
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def reached(file: Path) -> set[Path]:
    """All our files that a file imports, directly or not, with the packages around them."""
    seen: set[Path] = set()
    todo = [file]
    while todo:
        current = todo.pop()
        if current in seen:
            continue
        seen.add(current)
        if current.relative_to(ROOT).parts == ("programde", "__init__.py"):
            continue  # names resolved on demand: what is behind them counts where it is imported
        for name in imported(current):
            parts = name.split(".")
            for end in range(1, len(parts) + 1):
                found = file_of(".".join(parts[:end]))
                if found is not None:
                    todo.append(found)
    return seen


def covered(path: Path, deps: list[str]) -> bool:
    return any(path == ROOT / dep or (ROOT / dep) in path.parents for dep in deps)


@pytest.mark.parametrize("stage", [name for name in STAGES if name != "compose"])
def test_deps_hold_all_imported_code(stage: str) -> None:
    deps = STAGES[stage]["deps"]
    missing = []
    for file in reached(ROOT / "pipeline" / f"{stage}.py"):
        top, *rest = file.relative_to(ROOT).with_suffix("").parts
        if (top == "pipeline" and rest[-1] in MACHINERY) or (top, *rest) == (
            "programde",
            "__init__",
        ):
            continue
        if not covered(file, deps):
            missing.append(str(file.relative_to(ROOT)))
    assert not missing, f"stage {stage} imports these and does not depend on them"


@pytest.mark.parametrize("stage", [name for name in STAGES if name != "compose"])
def test_deps_hold_nothing_else(stage: str) -> None:
    """Code that a stage does not import would rerun it for nothing."""
    files = reached(ROOT / "pipeline" / f"{stage}.py")
    made = {out for name in Plan(ROOT).stages for out in outputs(name)}
    for dep in STAGES[stage]["deps"]:
        if dep not in made:
            assert any(file == ROOT / dep or (ROOT / dep) in file.parents for file in files), dep


def outputs(stage: str) -> list[str]:
    entry = STAGES[stage]
    listed = [*entry.get("outs", []), *entry.get("metrics", []), *entry.get("plots", [])]
    return [name for item in listed for name in (item if isinstance(item, dict) else [item])]


def test_outputs_are_those_of_paths() -> None:
    named = {
        str(value) for value in vars(pipeline.stages.paths).values() if isinstance(value, Path)
    }
    made = {out for stage in STAGES if stage != "compose" for out in outputs(stage)}
    assert made == named


def test_stages_declare_keys_that_exist() -> None:
    from pipeline.config.explain import compose_config
    from pipeline.config.resolve import resolve, select
    from pipeline.config.schema import register

    register()
    params = resolve(compose_config(ROOT / "conf", []))
    for stage in STAGES:
        select(params, declared_keys(stage, ROOT / "dvc.yaml"))


def test_pipeline_imports_run_one_way() -> None:
    """programde knows nothing of the pipeline, nor of its tools."""
    for file in (ROOT / "programde").rglob("*.py"):
        tops = {name.split(".")[0] for name in imported(file)}
        assert not tops & {"pipeline", "hydra", "omegaconf", "dvc", "mlflow"}, file
