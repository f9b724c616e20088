"""dvc.yaml says the truth: a stage depends on all code it imports, and names what it makes."""

from __future__ import annotations

from pathlib import Path

import pytest

import pipeline.stages.paths
from pipeline.config.params import declared_keys, select
from pipeline.files import parse_yaml
from scripts import stage_deps

ROOT = Path(__file__).parents[2]
STAGES = parse_yaml((ROOT / "dvc.yaml").read_text())["stages"]


def code(stage: str) -> set[str]:
    """The code that dvc.yaml says a stage depends on."""
    return {dep for dep in STAGES[stage]["deps"] if dep.startswith(("pipeline/", "programde/"))}


@pytest.mark.slow
@pytest.mark.brief
def test_code_is_what_the_stages_import() -> None:
    """`make deps` would change nothing."""
    text = (ROOT / "dvc.yaml").read_text()
    assert stage_deps.generated(text) == text


def test_an_import_more_or_less_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the top, inside a function, by a public name, relative; not for type checkers alone."""
    files = {
        "programde/__init__.py": "import lazy_loader",
        "programde/__init__.pyi": "from .deep.one import thing as thing",
        "programde/deep/__init__.py": '"""Nothing."""',
        "programde/deep/one.py": "",
        "programde/two.py": "from .deep import three",
        "programde/deep/three.py": 'PAGE = "page.html"',
        "programde/deep/page.html": "",
        "programde/four.py": "",
        "pipeline/stages/a.py": """
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import programde.four
def late():
    import programde.two
    from programde import thing
""",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(stage_deps, "ROOT", tmp_path)
    stage_deps.public_names.cache_clear()
    assert stage_deps.code_of("a") == [
        "pipeline/stages/a.py",
        "programde/__init__.py",
        "programde/deep/one.py",
        "programde/deep/page.html",
        "programde/deep/three.py",
        "programde/two.py",
    ]
    stage_deps.public_names.cache_clear()


def test_what_an_edit_reruns() -> None:
    """Pages: diagnostics. Readers: prepare. The checking of options: compose."""
    having = {
        file: [stage for stage in STAGES if file in code(stage)]
        for file in (
            "programde/report/page.py",
            "programde/io/mudata.py",
            "pipeline/config/checking.py",
            "pipeline/config/explain.py",
            "pipeline/config/schema.py",
        )
    }
    assert having == {  # compose asks a reader where cNMF's files lie
        "programde/report/page.py": ["diagnostics"],
        "programde/io/mudata.py": ["compose", "prepare"],
        "pipeline/config/checking.py": ["compose"],
        "pipeline/config/explain.py": ["compose"],
        "pipeline/config/schema.py": ["compose"],
    }


def test_before_calibration_nothing_of_it_is_declared() -> None:
    """A change of side, calibration or adjustment reruns calibrate and diagnostics only."""
    for stage in ("prepare", "crt", "ntc_null"):
        tops = {key.split(".")[0] for key in declared_keys(stage, ROOT / "dvc.yaml")}
        assert not tops & {"side", "calibrate", "fdr"}


def outputs(stage: str) -> list[str]:
    entry = STAGES[stage]
    listed = [*entry.get("outs", []), *entry.get("metrics", []), *entry.get("plots", [])]
    return [name for item in listed for name in (item if isinstance(item, dict) else [item])]


def test_outputs_are_those_of_paths() -> None:
    paths = {value for value in vars(pipeline.stages.paths).values() if isinstance(value, Path)}
    named = {str(path) for path in paths if path.parent not in paths}  # not what lies within one
    made = {out for stage in STAGES if stage != "compose" for out in outputs(stage)}
    assert made == named


def test_stages_declare_keys_that_exist() -> None:
    from pipeline.config.explain import compose_config
    from pipeline.config.resolve import resolve
    from pipeline.config.schema import register

    register()
    params = resolve(compose_config(ROOT / "conf", []))
    for stage in STAGES:
        select(params, declared_keys(stage, ROOT / "dvc.yaml"))
