"""The house: no circles, arrows downward only, one name for one thing, no long files."""

from __future__ import annotations

import ast
from collections import defaultdict
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from scripts.stage_deps import file_of

ROOT = Path(__file__).parents[1]
TOPS = ("programde", "pipeline", "programde_project")
FILES = [file for top in TOPS for file in sorted((ROOT / top).rglob("*.py"))]
MOST_LINES = 400

#: Rooms from the ground up, and those below that each may use; all may use the foundation, the
#: files that lie in `programde/` itself.
ROOMS = {
    "programde/screen": (),
    "programde/tails": (),
    "programde/io": ("screen",),
    "programde/crt": ("screen", "tails"),
    "programde/calibration": ("crt", "tails"),
    "programde/controls": ("screen", "crt", "calibration"),
    "programde/analysis": ("screen", "crt", "tails", "calibration", "controls"),
    "programde/report": ("calibration",),
    "programde/compat": (
        "screen", "io", "crt", "tails", "calibration", "controls", "analysis", "report",
    ),
}  # fmt: skip
#: The pipeline's rooms, from the ground up; each may use those before it, and all of programde.
PIPELINE = ("pipeline", "pipeline/config", "pipeline/stages", "pipeline/sweep")
#: The command, on top of all.
ROOF = "programde_project"

#: Commands beside the rooms, which use all of them and are used by none.
COMMANDS = ("pipeline/export.py", "pipeline/run.py", "pipeline/diff.py")

#: Files of one name, and why that is the right one for all of them.
SAME_NAME = {
    "options.py": "each room's option classes",
    "bernoulli.py": "the sampler, and the exact tails of its law",
    "perturbnmf.py": "the tool of that name: its runs as they come in, its tables as they go out",
}


@cache
def import_statements(file: Path) -> list[ast.Import | ast.ImportFrom]:
    """Wherever in a file; statements hold statements, and no expression holds one."""
    found: list[ast.Import | ast.ImportFrom] = []
    blocks: list[ast.AST] = [ast.parse(file.read_text(encoding="utf-8"))]
    while blocks:
        block = blocks.pop()
        if isinstance(block, ast.Import | ast.ImportFrom):
            found.append(block)
        for name in ("body", "orelse", "finalbody", "handlers", "cases"):
            inside = getattr(block, name, [])
            blocks += inside if isinstance(inside, list) else []
    return found


@cache
def imports(file: Path) -> set[Path]:
    """Our files that a file imports, wherever in it and for whatever use."""
    here = file.relative_to(ROOT).parent.parts
    found: set[Path] = set()
    for node in import_statements(file):
        if isinstance(node, ast.Import):
            names = [tuple(alias.name.split(".")) for alias in node.names]
        else:
            base = here[: len(here) - node.level + 1] if node.level else ()
            module = (*base, *(node.module.split(".") if node.module else ()))
            names = [(*module, alias.name) for alias in node.names]
        for parts in names:
            whole, without_name = file_of(".".join(parts)), file_of(".".join(parts[:-1]))
            found |= {module for module in (whole or without_name,) if module is not None}
    return found - {file}


def room_of(file: Path) -> str:
    """The room that a file lies in; `programde` for the foundation."""
    return "/".join(file.relative_to(ROOT).parts[:2][: len(file.relative_to(ROOT).parts) - 1])


def test_no_circles() -> None:
    try:
        TopologicalSorter({file: imports(file) for file in FILES}).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(str(file.relative_to(ROOT)) for file in error.args[1]))


@pytest.mark.parametrize("room", ROOMS)
def test_arrows_run_downward_in_the_library(room: str) -> None:
    allowed = {room, "programde", *(f"programde/{below}" for below in ROOMS[room])}
    for file in FILES:
        if room_of(file) == room:
            up = {str(other.relative_to(ROOT)) for other in imports(file)
                  if room_of(other) not in allowed}  # fmt: skip
            assert not up, f"{file.relative_to(ROOT)} imports {sorted(up)}"


#: `programde.pl` and `tl` are whole analyses and their pictures for those who use the library.
DOORS = {"programde/pl.py", "programde/tl.py"}


def test_the_foundation_uses_no_room() -> None:
    for file in FILES:
        if room_of(file) == "programde" and str(file.relative_to(ROOT)) not in DOORS:
            assert {room_of(other) for other in imports(file)} <= {"programde"}, file


def test_arrows_run_downward_in_the_pipeline() -> None:
    for file in FILES:
        room = room_of(file)
        assert not {str(other.relative_to(ROOT)) for other in imports(file)} & set(COMMANDS), file
        if room in PIPELINE and str(file.relative_to(ROOT)) not in COMMANDS:
            allowed = PIPELINE[: PIPELINE.index(room) + 1]
            used = {room_of(other) for other in imports(file)}
            assert {one for one in used if one.startswith("pipeline")} <= set(allowed), file
            assert "programde/compat" not in used, file


def test_every_room_is_known() -> None:
    assert {room_of(file) for file in FILES} == {*ROOMS, *PIPELINE, ROOF, "programde"}


def test_the_command_is_on_top_of_all() -> None:
    for file in FILES:
        if room_of(file) != ROOF:
            assert ROOF not in {room_of(other) for other in imports(file)}, file


def test_the_library_knows_nothing_of_the_pipelines_tools() -> None:
    for file in FILES:
        if file.relative_to(ROOT).parts[0] == "programde":
            found = import_statements(file)
            tops = {alias.name.split(".")[0] for node in found
                    if isinstance(node, ast.Import) for alias in node.names}  # fmt: skip
            tops |= {str(node.module).split(".")[0] for node in found
                     if isinstance(node, ast.ImportFrom) and not node.level}  # fmt: skip
            tools = {"hydra", "omegaconf", "dvc", "mlflow", "submitit"}
            assert not tops & {"pipeline", ROOF, *tools}, file


def test_one_name_for_one_thing() -> None:
    """Stages have the names of what they run, and `compat` those of the original."""
    places = defaultdict(list)
    for file in FILES:
        if room_of(file) not in ("pipeline/stages", "programde/compat"):
            places[file.name].append(str(file.relative_to(ROOT)))
    twice = {
        name: where
        for name, where in places.items()
        if len(where) > 1 and name not in ("__init__.py", "__main__.py", *SAME_NAME)
    }
    assert not twice


@pytest.mark.parametrize("top", [*TOPS, "tests", "scripts", "benchmarks"])
def test_no_file_is_long(top: str) -> None:
    lengths = {
        str(file.relative_to(ROOT)): len(file.read_text(encoding="utf-8").splitlines())
        for file in (ROOT / top).rglob("*.py")
    }
    assert {name: n for name, n in lengths.items() if n > MOST_LINES} == {}
