"""Bugs put in, one at a time: which of them do the tests see? python -m benchmarks.mutants

Every comparison, sign, constant, `and`, `not`, argument and return of the code is a place where a
bug can be put in. Of all places a seeded sample is drawn, room by room; each bug is put into a copy
of the repository (a git worktree, made here) and the tests that execute its line are run, the
quickest first, until one fails; then tests of files that reach its file by imports, for what is
compiled or run by other processes. What is found stands in `benchmarks/results/mutants.json` after
every bug, so that a run can be stopped and gone on with.

    python -m benchmarks.mutants --reach               which test executes which line (coverage.py)
    python -m benchmarks.mutants --sample 160          draw, and run what was not run yet
    python -m benchmarks.mutants --again               run once more the bugs that no test saw
    python -m benchmarks.mutants --table               the figures by room, and what survived

Left out: annotations, messages, docstrings, and numbers in files that draw (a font's size is no
bug). Bugs that change no result at all are named in `EQUIVALENT` once they have been looked at.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.bugs import Bug, bugs_of

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "mutants.json"
ROOMS = (
    "programde", "programde/screen", "programde/io", "programde/crt", "programde/tails",
    "programde/calibration", "programde/controls", "programde/analysis", "programde/report",
    "programde/compat", "pipeline/stages", "pipeline/config", "pipeline/sweep",
)  # fmt: skip
#: Test files run before a bug counts as not seen, nearest first, and those of the second look.
NEAREST, MORE = 6, 24
#: Status of a process that could not run the tests at all.
CRASHED = 70
#: Status of pytest where it ran none of the tests: a wrong option, or a file that cannot be loaded.
REFUSED = 4
#: Seconds of CPU for one look, and what the tests of the first look may have taken together.
LONGEST, QUICK = 100, 30.0
#: Where `--reach` leaves what it found, in the copy.
REACH = "reach.json"

#: Where the code is read: the copy, once it is made.
_code = ROOT

#: Bugs that are none: id -> why no test could see it.
EQUIVALENT: dict[str, str] = json.loads(
    (ROOT / "benchmarks" / "results" / "equivalent.json").read_text(encoding="utf-8")
)


def drawn(n: int, seed: int) -> list[Bug]:
    """A sample: as many bugs in each room, of its files by their length; few in compiled code."""
    generator = random.Random(seed)
    sample: list[Bug] = []
    for number, room in enumerate(ROOMS):
        size = n // len(ROOMS) + (number < n % len(ROOMS))
        paths = (_code / room).glob("*.py") if room == "programde" else (_code / room).rglob("*.py")
        all_bugs = [bug for path in sorted(paths) for bug in bugs_of(path, _code)]
        plain = [bug for bug in all_bugs if not bug.kernel]
        compiled = [bug for bug in all_bugs if bug.kernel]
        few = generator.sample(compiled, min(2, len(compiled)))
        sample += few + generator.sample(plain, size - len(few))
    return sample


# --- which tests reach which file ---------------------------------------------------------------


def _imports(path: Path) -> set[Path]:
    """Our files that a file imports itself."""
    found: set[Path] = set()
    here = path.relative_to(_code).parent.parts
    stub = path.with_suffix(".pyi")  # the names of a room, imported when they are asked for
    text = (stub if stub.is_file() else path).read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(text)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            names = [module, *(f"{module}.{alias.name}" for alias in node.names)]
        for name in names:
            place = _code / name.replace(".", "/")
            for file in (place.with_suffix(".py"), place / "__init__.py"):
                if name and file.is_file():
                    found.add(file)
    if path.parent.name == "pipeline" and path.name in ("stages.py", "wiring.py"):
        found |= set((_code / "pipeline" / "stages").glob("*.py"))
    return found


def tests_by_distance(file: Path) -> list[Path]:
    """Test files from which a file is reached by imports, the shortest way first."""
    graph = {
        path: _imports(path)
        for room in ("programde", "pipeline", "tests", "scripts")
        for path in (_code / room).rglob("*.py")
    }
    users: dict[Path, set[Path]] = {}
    for path, used in graph.items():
        for other in used:
            users.setdefault(other, set()).add(path)
    # who imports a module imports its room
    ring = [*file.parent.glob("*.py")] if file.name == "__init__.py" else [file]
    distance = dict.fromkeys(ring, 0)
    while ring:
        ring = [u for path in ring for u in users.get(path, ()) if u not in distance]
        for path in ring:
            distance.setdefault(path, len(distance))
    room = file.parent.name
    tests = [path for path in distance if path.name.startswith("test_")]
    skipped = ("performance", "real_screens")
    tests = [t for t in tests if not any(word in t.as_posix() for word in skipped)]
    named = file.stem.lstrip("_")
    return sorted(
        tests,
        key=lambda t: (
            named not in t.stem,
            file not in graph[t],
            t.parent.name != room,
            distance[t],
        ),
    )


# --- running -----------------------------------------------------------------------------------


def worktree(folder: Path) -> None:
    """A copy of what is committed, with this environment and the kernels compiled here."""
    if not folder.is_dir():
        subprocess.run(
            ["git", "worktree", "add", "-q", "--detach", str(folder)], cwd=ROOT, check=True
        )
        (folder / ".venv").symlink_to(ROOT / ".venv")
    for path in (folder / "programde").rglob("*.py"):
        mine = ROOT / path.relative_to(folder)
        if mine.is_file() and mine.read_bytes() == path.read_bytes():
            state = mine.stat()  # kernels on disk go by the time of their file
            os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
            for kernel in mine.parent.glob(f"__pycache__/{mine.stem}.*.nb[ic]"):
                target = path.parent / "__pycache__" / kernel.name
                target.parent.mkdir(exist_ok=True)
                if not target.exists():
                    shutil.copy2(kernel, target)


def _child(folder: Path, names: list[str], log: Path) -> None:
    """Run tests in a process of their own, which had numpy and the others from its parent."""
    resource.setrlimit(resource.RLIMIT_CPU, (LONGEST, LONGEST + 5))
    os.chdir(folder)
    sys.path[:] = [str(folder), *(p for p in sys.path if Path(p or ".").resolve() != ROOT)]
    for name in list(sys.modules):
        if name.split(".")[0] in ("programde", "pipeline", "tests", "benchmarks"):
            del sys.modules[name]
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    import pytest

    words = ["-x", "-q", "-n", "0", "-p", "no:cacheprovider", "--tb=line",
             "-o", "addopts=", "-m", "not slow or wiring or brief"]  # fmt: skip
    imported = "ignore::pytest.PytestAssertRewriteWarning"  # of what the parent has already
    os._exit(int(pytest.main([*words, "-W", imported, *names])))


def seen(folder: Path, tests: list[str], log: Path) -> str:
    """`killed`, `survived` or `timeout`."""
    if not tests:
        return "survived"
    child = os.fork()
    if not child:
        try:
            _child(folder, tests, log)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(CRASHED)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return "timeout" if os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL) else "killed"
    code, said = os.WEXITSTATUS(status), log.read_text(errors="replace")
    if code == REFUSED and "not found:" in said and any("::" in test for test in tests):
        # a case that the bug gave another name
        return seen(folder, sorted({test.split("::")[0] for test in tests}), log)
    if code == CRASHED or (code == REFUSED and "loading conftest" not in said):
        raise RuntimeError(f"the tests could not be run: see {log}")
    return "survived" if code in (0, 5) else "killed"


def failed(log: Path) -> str:
    """The test that failed, as pytest names it; empty where there is none."""
    for line in log.read_text(errors="replace").splitlines():
        if line.startswith(("FAILED ", "ERROR ")):
            return line.split(" ", 1)[1].split(" - ")[0]
    return ""


class Reach:
    """Plug-in of pytest: the lines that each test executes, its fixtures included, and its time."""

    def __init__(self) -> None:
        from coverage import Coverage

        self.coverage = Coverage(data_file=None, source=["programde", "pipeline"])
        self.seconds: dict[str, float] = {}

    def pytest_runtest_setup(self, item: Any) -> None:
        self.coverage.switch_context(item.nodeid)

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.when == "call" and report.passed:
            self.seconds[report.nodeid] = round(report.duration, 3)

    def save(self, path: Path) -> None:
        data = self.coverage.get_data()
        lines = {
            Path(file).relative_to(_code).as_posix(): {
                line: tests
                for line, found in data.contexts_by_lineno(file).items()
                if (tests := [test for test in found if test in self.seconds])
            }
            for file in data.measured_files()
        }
        path.write_text(json.dumps({"lines": lines, "seconds": self.seconds}))


def reach(folder: Path) -> None:
    """Run the tests once, line by line."""
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    import pytest

    plugin = Reach()
    plugin.coverage.start()
    skipped = ("tests/performance", "tests/analysis/test_real_screens.py", "tests/test_house.py")
    words = ["-q", "-n", "0", "-p", "no:cacheprovider", "--tb=line",
             "-o", "addopts=", "-m", "not slow or wiring or brief"]  # fmt: skip
    pytest.main([*words, *(f"--ignore={name}" for name in skipped)], plugins=[plugin])
    plugin.coverage.stop()
    plugin.save(folder / REACH)


def executing(bug: Bug, folder: Path) -> list[str]:
    """Tests that execute the line of a bug, the quickest first, as many as are quick together."""
    if not (folder / REACH).is_file():
        return []
    global _reached
    if not _reached:
        _reached = json.loads((folder / REACH).read_text())
    seconds = _reached["seconds"]
    tests = _reached["lines"].get(bug.file, {}).get(str(bug.line), [])
    chosen, left = [], QUICK
    for test in sorted(tests, key=lambda name: seconds[name]):
        left -= seconds[test]
        if left < 0:
            break
        chosen.append(test)
    return chosen


_reached: dict[str, Any] = {}


def tried(bug: Bug, folder: Path, log: Path, sound: dict[str, bool]) -> dict[str, object]:
    """Put a bug in, run the tests of its line, then the nearest files, then more; take it out.

    A test that fails without the bug says nothing of it: each that fails is run once without
    (`sound`), and left out where it fails then too.
    """
    lines = executing(bug, folder)
    files = [str(test) for test in tests_by_distance(_code / bug.file)]
    begun = time.monotonic()
    while True:
        looks = [
            [test for test in tests if sound.get(test, True)]
            for tests in (lines, files[:NEAREST], [] if lines else files[NEAREST : NEAREST + MORE])
        ]
        with put_in(bug, folder):
            for look, tests in enumerate(looks):  # noqa: B007
                outcome = seen(folder, tests, log)
                if outcome != "survived":
                    break
            by = failed(log)
        if outcome == "survived" or not by or by in sound:
            break
        sound[by] = seen(folder, [by], log) == "survived"
        if sound[by]:
            break
        sound[str(_code / by.split("::")[0])] = False
    seconds = round(time.monotonic() - begun, 1)
    return {**asdict(bug), "outcome": outcome, "look": look, "by": by, "seconds": seconds}


@contextlib.contextmanager
def put_in(bug: Bug, folder: Path) -> Iterator[None]:
    """The file with the bug, for a while."""
    path = folder / bug.file
    text, state = path.read_bytes(), path.stat()
    try:
        path.write_bytes(text[: bug.begin] + bug.new.encode() + text[bug.end :])
        yield
    finally:
        path.write_bytes(text)
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def not_seen(bug: dict) -> bool:
    """A loop without end shows at once; time that ran out over the last tests says nothing."""
    return bug["outcome"] == "survived" or (bug["outcome"] == "timeout" and bug["look"] == 2)


def table(found: dict[str, dict]) -> str:
    """Figures by room, and the bugs that survived, as Markdown."""
    lines = ["| Room | Bugs | Seen | Equivalent | Not seen |", "|---|---|---|---|---|"]
    total = [0, 0, 0, 0]
    for room in ROOMS:
        ours = [(key, b) for key, b in found.items()
                if (str(Path(b["file"]).parent) == room if room == "programde"
                    else b["file"].startswith(f"{room}/"))]  # fmt: skip
        alive = [key for key, b in ours if not_seen(b)]
        same = sum(key in EQUIVALENT for key in alive)
        row = [len(ours), len(ours) - len(alive), same, len(alive) - same]
        total = [a + b for a, b in zip(total, row, strict=True)]
        lines.append(f"| {room} | {' | '.join(map(str, row))} |")
    lines.append(f"| all | {' | '.join(map(str, total))} |")
    for key, bug in found.items():
        if not_seen(bug):
            lines.append(f"- line {bug['line']} {key} {EQUIVALENT.get(key, '')}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=int, default=160)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--reach", action="store_true", help="which test executes which line")
    parser.add_argument("--again", action="store_true", help="run once more what no test saw")
    parser.add_argument("--table", action="store_true", help="print what was found")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "mutants")
    words = parser.parse_args()
    found = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    if words.table:
        print(table(found))
        return
    global _code
    worktree(words.folder)
    _code = words.folder
    if words.reach:
        reach(words.folder)
        return
    for name in ("anndata", "h5py", "hydra", "matplotlib.pyplot", "numba", "pandas", "pytest",
                 "scipy.stats", "yaml"):  # fmt: skip
        __import__(name)
    if words.again:
        alive = {key for key, bug in found.items() if not_seen(bug)} - set(EQUIVALENT)
        files = sorted({found[key]["file"] for key in alive})
        todo = [b for file in files for b in bugs_of(_code / file, _code) if b.id in alive]
    else:
        todo = [bug for bug in drawn(words.sample, words.seed) if bug.id not in found]
        random.Random(words.seed).shuffle(todo)  # so that a run that is stopped saw every room
    log = words.folder.parent / f"{words.folder.name}.log"
    sound: dict[str, bool] = {}
    for number, bug in enumerate(todo):
        found[bug.id] = tried(bug, words.folder, log, sound)
        RESULTS.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
        print(
            f"{number + 1}/{len(todo)} {found[bug.id]['outcome']} {bug.line} {bug.id}", flush=True
        )
    print(table(found))


if __name__ == "__main__":
    main()
