"""Bugs put in, one at a time: which of them do the tests see? python -m benchmarks.mutants

Every comparison, sign, constant, `and`, `not`, argument and return of the code is a place where a
bug can be put in. Of all places a seeded sample is drawn, room by room; each bug is put into a copy
of the repository (a git worktree, made and removed here) and the tests that reach its file are run,
those that import it most directly first, until one fails. What is found stands in
`benchmarks/results/mutants.json` after every bug, so that a run can be stopped and gone on with.

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
#: Seconds of CPU for one look.
LONGEST = 200

#: Where the code is read: the copy, once it is made.
_code = ROOT

#: Bugs that are none: id -> why no test could see it.
EQUIVALENT: dict[str, str] = {}


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
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            names = [module, *(f"{module}.{alias.name}" for alias in node.names)]
        for name in names:
            file = _code / (name.replace(".", "/") + ".py")
            if file.is_file():
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
    distance, ring = {file: 0}, [file]
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

    words = ["-x", "-q", "-n", "0", "-p", "no:cacheprovider", "-m", "not slow", "--tb=line"]
    imported = "ignore::pytest.PytestAssertRewriteWarning"  # of what the parent has already
    os._exit(int(pytest.main([*words, "-W", imported, *names])))


def seen(folder: Path, tests: list[Path], log: Path, only: str = "") -> str:
    """`killed`, `survived` or `timeout`; `only`: one test, by its name."""
    if not tests and not only:
        return "survived"
    child = os.fork()
    if not child:
        try:
            _child(folder, [only] if only else [str(t) for t in tests], log)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(CRASHED)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return "timeout" if os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL) else "killed"
    if os.WEXITSTATUS(status) == CRASHED:
        raise RuntimeError(f"the tests could not be run: see {log}")
    return "survived" if os.WEXITSTATUS(status) in (0, 5) else "killed"


def failed(log: Path) -> str:
    """The test that failed, as pytest names it; empty where there is none."""
    for line in log.read_text(errors="replace").splitlines():
        if line.startswith(("FAILED ", "ERROR ")):
            return line.split(" ", 1)[1].split(" - ")[0]
    return ""


def tried(bug: Bug, folder: Path, log: Path, sound: dict[str, bool]) -> dict[str, object]:
    """Put a bug in, run the nearest tests, then more; take it out again.

    A test that fails without the bug says nothing of it: each that fails is run once without
    (`sound`), and its file is left out where it fails then too.
    """
    tests = tests_by_distance(_code / bug.file)
    begun = time.monotonic()
    while True:
        tests = [test for test in tests if sound.get(str(test), True)]
        with put_in(bug, folder):
            outcome, look = seen(folder, tests[:NEAREST], log), 1
            if outcome == "survived":
                outcome, look = seen(folder, tests[NEAREST : NEAREST + MORE], log), 2
            by = failed(log)
        if not by or by in sound:
            break
        file = _code / by.split("::")[0]
        sound[by] = seen(folder, [file], log, by) == "survived"
        if sound[by]:
            break
        sound[str(file)] = False
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


def table(found: dict[str, dict]) -> str:
    """Figures by room, and the bugs that survived, as Markdown."""
    lines = ["| Room | Bugs | Seen | Equivalent | Not seen |", "|---|---|---|---|---|"]
    total = [0, 0, 0, 0]
    for room in ROOMS:
        ours = [(key, b) for key, b in found.items()
                if (str(Path(b["file"]).parent) == room if room == "programde"
                    else b["file"].startswith(f"{room}/"))]  # fmt: skip
        alive = [key for key, b in ours if b["outcome"] == "survived"]
        same = sum(key in EQUIVALENT for key in alive)
        row = [len(ours), len(ours) - len(alive), same, len(alive) - same]
        total = [a + b for a, b in zip(total, row, strict=True)]
        lines.append(f"| {room} | {' | '.join(map(str, row))} |")
    lines.append(f"| all | {' | '.join(map(str, total))} |")
    for key, bug in found.items():
        if bug["outcome"] == "survived":
            lines.append(f"- line {bug['line']} {key} {EQUIVALENT.get(key, '')}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=int, default=160)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--again", action="store_true", help="run once more what no test saw")
    parser.add_argument("--table", action="store_true", help="print what was found")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "mutants")
    words = parser.parse_args()
    found = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    if words.table:
        print(table(found))
        return
    for name in ("anndata", "h5py", "hydra", "matplotlib.pyplot", "numba", "pandas", "pytest",
                 "scipy.stats", "yaml"):  # fmt: skip
        __import__(name)
    global _code
    worktree(words.folder)
    _code = words.folder
    if words.again:
        todo = [bug for path in sorted({b["file"] for b in found.values()})
                for bug in bugs_of(_code / path, _code)
                if found.get(bug.id, {}).get("outcome") == "survived"]  # fmt: skip
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
