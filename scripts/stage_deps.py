"""The code that each stage of dvc.yaml depends on, found by following imports.

    python scripts/stage_deps.py            write it into dvc.yaml: `make deps`
    python scripts/stage_deps.py --check    status 1 where dvc.yaml says something else

Of a stage's `deps`, what stands below the line `# code: make deps` is written here, file by file;
all else in dvc.yaml is written by hand. A file counts where it is run: imports at the top and
inside functions are followed, those for type checkers alone are not; an `__init__.py` without code
is left out. Text files whose name stands in a module beside them count as well.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
OURS = ("programde", "pipeline", "programde_project")
MARK = "      # code: make deps"

#: Files that import a module by a name made up at run time, which is not followed from there: a
#: reader counts where the table of readers is used; and how a stage is configured by hand is no
#: part of what it computes from the keys that it declares.
BY_NAME = ("programde/io/__init__.py", "pipeline/stages/entry.py")
#: The table of readers, by which `programde.io` imports them.
READERS = "programde.io.READERS"


def _sources() -> list[tuple[str, str]]:
    """The table of readers, as it stands in its file."""
    for node in ast.parse((ROOT / "programde/io/__init__.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "SOURCES":
            return list(ast.literal_eval(node.value).values())
    raise SystemExit("programde/io/__init__.py has no table SOURCES")


def file_of(module: str) -> Path | None:
    """The file of one of our modules; None for another package, or a name inside a module."""
    if module.split(".")[0] not in OURS:
        return None
    path = ROOT / module.replace(".", "/")
    for file in (path / "__init__.py", path.with_suffix(".py")):
        if file.is_file():
            return file
    return None


@cache
def public_names() -> dict[str, str]:
    """Name of `programde` -> its module: what lazy_loader imports when the name is used."""
    found = {}
    for node in ast.parse((ROOT / "programde/__init__.pyi").read_text()).body:
        if isinstance(node, ast.ImportFrom):
            module = ".".join(["programde", *filter(None, [node.module])])
            found |= {alias.asname or alias.name: module for alias in node.names}
    return found


def _at_run_time(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes of a file but those under `if TYPE_CHECKING:`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for other in node.orelse:
                yield other
                yield from _at_run_time(other)
            continue
        yield node
        yield from _at_run_time(node)


def imported(file: Path) -> set[str]:
    """Dotted names that a file imports when it runs, wherever in it they stand."""
    here = file.relative_to(ROOT).parent.parts
    names: set[str] = set()
    for node in _at_run_time(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            names |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            name = file.relative_to(ROOT).as_posix()
            if name not in BY_NAME:
                raise SystemExit(
                    f"{name} imports a module by name: say so in scripts/stage_deps.py"
                )
    if READERS in names:
        names |= {f"programde.io.{module}" for module, _ in _sources()}
    return names


@cache
def reads(file: Path) -> frozenset[Path]:
    """Our files that run, or are read, because `file` runs: its own imports, one step far."""
    found: set[Path] = set()
    for name in imported(file):
        parts = name.split(".")
        if parts[0] == "programde" and len(parts) == 2 and file_of(name) is None:
            parts = public_names().get(parts[1], "programde").split(".")
        for end in range(1, len(parts) + 1):
            module = file_of(".".join(parts[:end]))
            if module is not None:
                found.add(module)
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
            if re.fullmatch(r"\w[\w./-]{0,80}\.\w+", text) and not text.endswith((".py", ".pyi")):
                beside = file.parent / text
                if beside.is_file():
                    found.add(beside)
    return frozenset(found)


def reached(file: Path) -> set[Path]:
    """All our files that run when a file runs, and itself."""
    seen: set[Path] = set()
    todo = [file]
    while todo:
        current = todo.pop()
        if current in seen:
            continue
        seen.add(current)
        if current.suffix == ".py":
            todo += reads(current)
    return seen


def has_code(file: Path) -> bool:
    """Whether a file holds more than its own description."""
    if file.name != "__init__.py":
        return True
    body = ast.parse(file.read_text(encoding="utf-8")).body
    return any(not isinstance(n, ast.Expr) or not isinstance(n.value, ast.Constant) for n in body)


def code_of(stage: str) -> list[str]:
    """The files that a stage depends on, sorted."""
    start = ROOT / "pipeline" / "stages" / f"{stage}.py"
    return sorted(file.relative_to(ROOT).as_posix() for file in reached(start) if has_code(file))


def generated(text: str) -> str:
    """dvc.yaml with the code of every stage below its mark."""
    lines = text.splitlines()
    out: list[str] = []
    stage, skipping = "", False
    for line in lines:
        if name := re.fullmatch(r"  (\w+):", line):
            stage = name[1]
        skipping = skipping and line.startswith("      - ")
        if not skipping:
            out.append(line)
        if line == MARK:
            out += [f"      - {file}" for file in code_of(stage)]
            skipping = True
    return "\n".join(out) + "\n"


def main() -> int:
    """Write dvc.yaml, or compare it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing; status 1 if not so")
    check = parser.parse_args().check
    path = ROOT / "dvc.yaml"
    before = path.read_text(encoding="utf-8")
    after = generated(before)
    if before == after:
        return 0
    if check:
        old, new = set(before.splitlines()), set(after.splitlines())
        print("dvc.yaml does not name the code that its stages import; make deps writes it:")
        print(*[f"  {'+' if line in new else '-'} {line.strip()}" for line in sorted(old ^ new)],
              sep="\n")  # fmt: skip
        return 1
    path.write_text(after, encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
