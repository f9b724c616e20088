"""Does a run survive everything? python -m benchmarks.chaos --kills 60

A tiny screen is computed once in peace; then again and again while processes are killed at random
moments (``kill -9``), the disk is full, objects of the cache are damaged, or two commands run in
one folder at once. At the end of each trial the same command must finish, and every byte of what
it made must be that of the run in peace. Prints a table, and leaves with 1 where one differs.

    driver     the command itself is killed; the stage that it had started goes on alone
    stage      the process that DVC called for a stage
    worker     the process that does the stage's work, or a point of a sweep
    disk       a file system of a few MB, made larger when the command has told that it is full
               (Linux, as root)
    cache      bytes of random objects of DVC's cache changed, outputs deleted
    at once    two commands together, in every pairing of run, sweep and dvc repro
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import combinations_with_replacement
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
#: What a project is made of.
CODE = ("conf", "dvc.yaml", "pipeline", "programde", "programde_project", ".dvcignore")
#: A screen and an analysis that take as little as they can.
WORDS = (
    "data.N=300", "data.K=3", "data.n_target_genes=4", "data.n_batches=2", "n_resamples=19",
    "spikes.n_sets=0", "controls.n_partitions=2", "controls.min_groups=2", "report.n_boot=10",
    "compute.n_jobs=1",
)  # fmt: skip
RUN = ("-m", "pipeline.run")
SWEEP = ("-m", "pipeline.sweep", "-m", "report.seed=1,2")
REPRO = ("-m", "dvc", "repro", "-q")
COMMANDS = {"run": RUN, "sweep": SWEEP, "dvc repro": REPRO}
#: Seconds that a command may take, and within which it is killed.
LONGEST, FIRST, LAST = 600.0, 0.5, 12.0
#: What each command has said, by its process.
SAID: dict[int, Path] = {}


@dataclass
class Trial:
    """How often something was done to a run, and what became of it."""

    name: str
    done: int = 0
    ends: int = 0
    finished: int = 0
    same: int = 0
    trouble: list[str] = field(default_factory=list)


def make_project(folder: Path) -> Path:
    """A project with the code of this checkout and the tiny screen."""
    folder.mkdir(parents=True)
    for name in CODE:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(ROOT / name, folder / name)  # with its times: numba's cache goes by them
    (folder / "conf/run.yaml").write_text("".join(f"- {word}\n" for word in WORDS))
    (folder / ".dvc").mkdir()
    settings = "[core]\n    analytics = false\n    check_update = false\n    no_scm = true\n"
    (folder / ".dvc/config").write_text(settings)
    return folder


def forget(project: Path) -> None:
    """Delete what was computed, cache and all; the code stays."""
    for name in ("data", "reports", "sweeps", "mlartifacts", ".dvc/cache", ".dvc/tmp"):
        shutil.rmtree(project / name, ignore_errors=True)
    for file in (*project.glob("mlflow.db*"), project / "dvc.lock", project / "params.yaml"):
        file.unlink(missing_ok=True)


def start(project: Path, words: tuple[str, ...]) -> subprocess.Popen[bytes]:
    """A command in a project's folder, its words in a file: a stage left behind holds no pipe."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    threads = dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    quiet = {"DVC_NO_ANALYTICS": "1", "CI": "true"}
    with tempfile.NamedTemporaryFile(delete=False, suffix=".said") as said:
        process = subprocess.Popen(
            [sys.executable, *words],
            cwd=project, env={**os.environ, **threads, **quiet, "PATH": path},
            stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT,
        )  # fmt: skip
    SAID[process.pid] = Path(said.name)
    return process


def end(process: subprocess.Popen[bytes]) -> tuple[int, str]:
    """Wait for a command; its status and the last line that it said."""
    try:
        status = process.wait(timeout=LONGEST)
    except subprocess.TimeoutExpired:
        process.kill()
        return -1, f"not at its end after {LONGEST:.0f} s"
    file = SAID.pop(process.pid)
    lines = [line for line in file.read_text(errors="replace").splitlines() if line.strip()]
    file.unlink()
    return status, lines[-1] if lines else ""


def made(project: Path, what: str) -> str:
    """A hash of all that a run made, or all points of a sweep: outputs and DVC's record of them."""
    digest = hashlib.blake2b(digest_size=8)
    for place in [project] if what == "run" else sorted((project / "sweeps/points").glob("[!.]*")):
        for top in ("data", "reports"):
            for file in sorted((place / top).rglob("*")):
                inside = file.relative_to(place)
                page = inside.parts[:2] == ("reports", "sweep")  # the ranking says when it was made
                if file.is_file() and not page and not inside.name.startswith("."):
                    digest.update(f"{place.relative_to(project)}/{inside}\0".encode())
                    digest.update(file.read_bytes())
        if (place / "dvc.lock").is_file():
            digest.update((place / "dvc.lock").read_bytes())
    return digest.hexdigest()


def in_peace(project: Path, *commands: str) -> dict[str, str]:
    """What commands make when nobody disturbs them."""
    forget(project)
    for name in commands:
        status, said = end(start(project, COMMANDS[name]))
        if status:
            sys.exit(f"chaos: in peace {name} ended with {status}: {said}")
    return {name: made(project, name) for name in commands}


def judge(trial: Trial, project: Path, name: str, wanted: dict[str, str]) -> None:
    """Let a command finish and compare what it made."""
    status, said = end(start(project, COMMANDS[name]))
    trial.ends += 1
    trial.finished += status == 0
    found = made(project, name)
    trial.same += found == wanted[name]
    if status or found != wanted[name]:
        trial.trouble.append(said if status else "other bytes")


def victim(process: subprocess.Popen[bytes], kind: str, chance: random.Random) -> int | None:
    """A process to be killed; None where there is none of that kind at the moment."""
    if kind == "driver":
        return process.pid
    wanted = "pipeline.stages" if kind == "stage" else "pipeline.warm"
    found = []
    with suppress(psutil.Error):
        for child in psutil.Process(process.pid).children(recursive=True):
            with suppress(psutil.Error):
                words = child.cmdline()
                if any(wanted in word for word in words) or (
                    kind == "worker" and any("loky" in word or "joblib" in word for word in words)
                ):
                    found.append(child.pid)
    return chance.choice(sorted(found)) if found else None


def kills(
    project: Path, name: str, wanted: dict[str, str], kind: str, count: int, chance: random.Random
) -> Trial:
    """Kill at random moments, several times on the way to one finished run."""
    trial = Trial(f"{kind} of a {name} killed")
    while trial.done < count:
        forget(project)
        for _ in range(min(chance.randint(3, 7), count - trial.done)):
            process = start(project, COMMANDS[name])
            deadline = time.monotonic() + chance.uniform(FIRST, LAST)
            pid = None
            while process.poll() is None and pid is None:
                if time.monotonic() > deadline:
                    pid = victim(process, kind, chance)
                time.sleep(0.02)
            if pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    trial.done += 1
            end(process)
        judge(trial, project, name, wanted)
    return trial


def full_disks(base: Path, count: int, chance: random.Random) -> Trial:
    """A run on a file system with no room, which gets some afterwards."""
    trial = Trial("disk full")
    place = base / "disk"
    place.mkdir()
    for _ in range(count):
        mount = ["mount", "-t", "tmpfs", "-o", "size=200m", "tmpfs", str(place)]
        if subprocess.run(mount, capture_output=True).returncode:
            trial.trouble.append("left out: needs Linux and root")
            return trial
        try:
            project = make_project(place / "project")
            wanted = in_peace(project, "run")
            whole = size(project)
            forget(project)
            bare = size(project)
            room = bare + int(chance.uniform(0.05, 0.9) * (whole - bare))
            remount(place, room)
            status, said = end(start(project, RUN))
            if status == 0 or "no space left" not in said.lower():
                trial.trouble.append(f"status {status}: {said}")
            trial.done += 1
            remount(place, 200 << 20)
            judge(trial, project, "run", wanted)
        finally:
            subprocess.run(["umount", str(place)], capture_output=True)
    return trial


def size(folder: Path) -> int:
    """Bytes that a folder takes on its disk."""
    return sum(file.lstat().st_blocks * 512 for file in folder.rglob("*"))


def remount(place: Path, room: int) -> None:
    """Make a file system in memory larger or smaller."""
    words = ["mount", "-o", f"remount,size={max(room, 1 << 20)}", str(place)]
    subprocess.run(words, check=True, capture_output=True)


def damaged_caches(
    project: Path, wanted: dict[str, str], count: int, chance: random.Random
) -> Trial:
    """Change bytes of objects of the cache, delete the outputs, run again."""
    trial = Trial("cache objects damaged")
    in_peace(project, "run")
    for _ in range(count):
        objects = [p for p in (project / ".dvc/cache/files").rglob("*") if p.is_file()]
        for file in chance.sample(objects, min(3, len(objects))):
            content = bytearray(file.read_bytes()) or bytearray(b"x")
            content[chance.randrange(len(content))] ^= 0xFF
            file.chmod(0o644)
            file.write_bytes(content[: chance.choice([len(content), len(content) // 2])])
        for name in ("data", "reports"):
            shutil.rmtree(project / name, ignore_errors=True)
        (project / "dvc.lock").unlink(missing_ok=True)
        trial.done += 1
        judge(trial, project, "run", wanted)
    return trial


def at_once(project: Path, wanted: dict[str, str], chance: random.Random) -> Iterator[Trial]:
    """Two commands together, in every pairing, begun within a second."""
    for one, other in combinations_with_replacement(COMMANDS, 2):
        trial = Trial(f"{one} and {other} at once", done=1)
        forget(project)
        first = start(project, COMMANDS[one])
        time.sleep(chance.uniform(0, 1))
        second = start(project, COMMANDS[other])
        for name, process in ((one, first), (other, second)):
            status, said = end(process)
            if status and name != "dvc repro":  # DVC's own command waits for nobody
                trial.trouble.append(f"{name}: {said}")
        for name in sorted({one, other}):
            judge(trial, project, "run" if name == "dvc repro" else name, wanted)
        yield trial


def table(trials: list[Trial]) -> str:
    """The trials as a table in Markdown."""
    lines = ["| what | times | ends compared | ended well | same bytes |", "|---|--:|--:|--:|--:|"]
    lines += [f"| {t.name} | {t.done} | {t.ends} | {t.finished} | {t.same} |" for t in trials]
    return "\n".join(lines)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--others", type=int, default=3, help="full disks, damaged caches")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, required=True, help="a new one, which is deleted")
    chosen = parser.parse_args()
    chance = random.Random(chosen.seed)
    base = chosen.folder.resolve()
    project = make_project(base / "project")
    trials: list[Trial] = []

    def tell(trial: Trial) -> None:
        trials.append(trial)
        trouble = f": {'; '.join(trial.trouble)}" if trial.trouble else ""
        print(f"{trial.name}: {trial.done}, {trial.same} same{trouble}", flush=True)

    try:
        wanted = in_peace(project, "run", "sweep")
        print("in peace:", wanted, flush=True)
        share = -(-chosen.kills // 6)
        for name in ("run", "sweep"):
            for kind in ("driver", "stage", "worker"):
                tell(kills(project, name, wanted, kind, share, chance))
        tell(damaged_caches(project, wanted, chosen.others, chance))
        for trial in at_once(project, wanted, chance):
            tell(trial)
        tell(full_disks(base, chosen.others, chance))
    finally:
        shutil.rmtree(base, ignore_errors=True)
    print(table(trials))
    bad = [t for t in trials if t.trouble and not t.trouble[0].startswith("left out")]
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
