"""Does a run survive everything? python -m benchmarks.chaos --folder /tmp/chaos --write

A tiny screen is computed once in peace; then again and again while processes are killed at random
moments (``kill -9``), workers vanish, objects of the cache are damaged, two commands run in one
folder at once, or the disk is full. At the end the same command must finish, and every byte of
what it made must be that of the run in peace; nobody may have said "Traceback", and no process may
be left. Prints a table, and leaves with 1 where something differs.

    driver     the command itself is killed; the stage that it had started goes on alone
    stage      the process that DVC called for a stage
    loader     the process that has loaded everything for the stages, or its fork that is one
    worker     a process of Dask that tests units
    cache      bytes of random objects of DVC's cache changed, outputs deleted
    at once    two commands together, in every pairing of run, sweep and dvc repro
    disk       a file system with too little room, made larger when the command has told that it is
               full (Linux, as root)

Killed itself, or out of time (`--minutes`), it goes on in the same folder where it was.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import combinations_with_replacement
from pathlib import Path

import psutil

from benchmarks.chaos_project import ROOT, Command, damage, forget, left_in, made, make_project

PAGE, BEGIN, END = ROOT / "docs/tests.md", "<!-- kills: begin -->", "<!-- kills: end -->"
#: How a process is known by its command line.
KNOWN_BY = {"stage": "pipeline.stages", "loader": "pipeline.warm", "worker": "spawn_main"}
#: Who is killed on the way of which command.
KILLED = (
    ("run", "driver"), ("run", "stage"), ("run", "loader"), ("run on Dask", "worker"),
    ("sweep", "driver"), ("sweep", "stage"), ("sweep", "loader"),
)  # fmt: skip
#: Starts on the way to one finished run, at most; a disk with room, in bytes.
STARTS, ROOMY = 8, 2 << 30


@dataclass
class Trial:
    """How often something was done to a command, and what became of it."""

    name: str
    done: int = 0
    ends: int = 0
    same: int = 0
    trouble: list[str] = field(default_factory=list)


class Chaos:
    """A project in which a command is disturbed, and what it made in peace.

    Parameters
    ----------
    base
        A folder of ours; what was found out so far is in it.
    seed
        Of the random moments.
    minutes
        After which it stops, to be gone on with.
    """

    def __init__(self, base: Path, seed: int, minutes: float) -> None:
        self.base, self.project, self.seed = base, base / "project", seed
        self.until = time.monotonic() + 60 * minutes
        self.file = base / "so-far.json"
        kept = json.loads(self.file.read_text()) if self.file.is_file() else {}
        self.wanted: dict[str, str] = kept.get("wanted", {})
        self.seconds: dict[str, float] = kept.get("seconds", {})
        self.room: dict[str, int] = kept.get("room", {})
        self.trials = {row["name"]: Trial(**row) for row in kept.get("trials", [])}
        if kept:
            self.commit: str = kept["commit"]
        else:
            make_project(self.project)
            git = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
            self.commit = subprocess.run(git, capture_output=True, text=True).stdout.strip() or "?"
            self.keep()

    def keep(self) -> None:
        """Write down what was found out, and stop where the time is over."""
        kept = {name: getattr(self, name) for name in ("commit", "wanted", "seconds", "room")}
        kept["trials"] = [asdict(trial) for trial in self.trials.values()]
        new = self.file.with_suffix(".new")
        new.write_text(json.dumps(kept, indent=1))
        new.replace(self.file)
        if time.monotonic() > self.until:
            sys.exit("chaos: out of time; the same command goes on from here")

    def in_peace(self, name: str) -> None:
        """What a command makes when nobody disturbs it, twice, and how long the second takes."""
        if name in self.wanted:
            return
        found = set()
        for _ in range(2):  # the first may compile
            forget(self.project, name)
            begun = time.monotonic()
            status, said = Command(self.project, name).end()
            self.seconds[name] = time.monotonic() - begun
            found.add(made(self.project, name))
            if status or len(found) > 1:
                sys.exit(f"chaos: in peace {name} ended with {status}: {said[-1:]}, {found}")
        (self.wanted[name],) = found
        print(f"in peace: {name}, {self.seconds[name]:.1f} s, {self.wanted[name]}", flush=True)
        self.keep()

    @contextmanager
    def trial(self, row: str) -> Iterator[tuple[Trial, random.Random]]:
        """One more finished run of a row: its count, and the chance of this run alone."""
        trial = self.trials.setdefault(row, Trial(row))
        known = len(trial.trouble)
        yield trial, random.Random(f"{self.seed} {row} {trial.ends}")
        trouble = f": {'; '.join(trial.trouble[known:])}" if trial.trouble[known:] else ""
        print(f"{row}: {trial.done}, {trial.same} of {trial.ends} same{trouble}", flush=True)
        self.keep()

    def count(self, row: str) -> int:
        """How often it was done already."""
        return self.trials[row].done if row in self.trials else 0

    def judge(self, trial: Trial, name: str, project: Path | None = None) -> None:
        """Let a command finish and compare what it made."""
        project = project or self.project
        status, said = Command(project, name).end()
        found = made(project, name)
        trial.ends += 1
        trial.same += status == 0 and found == self.wanted[name]
        if status or found != self.wanted[name]:
            trial.trouble.append(f"{name}: {status}: {said[-1:]}" if status else "other bytes")
        look(trial, said)
        if left := left_in(project):
            trial.trouble.append(f"still there: {left}")

    def kills(self, name: str, kind: str, count: int) -> None:
        """Kill at random moments, many times on the way to one finished run."""
        row = f"{kind} of `{name}` killed"
        self.in_peace(name)
        while self.count(row) < count:
            with self.trial(row) as (trial, chance):
                forget(self.project, name)
                for _ in range(STARTS):
                    before = trial.done
                    command = Command(self.project, name)
                    while kill_one(command, kind, chance.uniform(0.1, 0.6 * self.seconds[name])):
                        trial.done += 1
                    _, said = command.end()
                    look(trial, said)
                    if trial.done == before or trial.done >= count:
                        break
                self.judge(trial, name)

    def damaged_caches(self, count: int) -> None:
        """Change bytes of objects of the cache, delete the outputs, run again."""
        row = "objects of the cache damaged"
        self.in_peace("run")
        while self.count(row) < count:
            with self.trial(row) as (trial, chance):
                forget(self.project, "run")
                Command(self.project, "run").end()
                damage(self.project, chance)
                trial.done += 1
                self.judge(trial, "run")

    def at_once(self) -> None:
        """Two commands together, in every pairing, begun within a second."""
        for one, other in combinations_with_replacement(("run", "sweep", "dvc repro"), 2):
            row = f"`{one}` and `{other}` at once"
            judged = sorted({"run" if name == "dvc repro" else name for name in (one, other)})
            for name in judged:
                self.in_peace(name)
            if self.count(row):
                continue
            with self.trial(row) as (trial, chance):
                forget(self.project, one)
                first = Command(self.project, one)
                time.sleep(chance.uniform(0, 1))
                second = Command(self.project, other)
                for name, command in ((one, first), (other, second)):
                    status, said = command.end()
                    if name != "dvc repro":  # DVC's own command waits for nobody
                        look(trial, said)
                        if status:
                            trial.trouble.append(f"{name}: {said[-1:]}")
                trial.done += 1
                for name in judged:
                    self.judge(trial, name)

    def full_disks(self, name: str, count: int) -> None:
        """A command on a file system with too little room, which gets some afterwards."""
        row = f"disk full under `{name}`"
        self.in_peace(name)
        place = self.base / "disk"
        place.mkdir(exist_ok=True)
        while self.count(row) < count:
            mount = ["mount", "-t", "tmpfs", "-o", f"size={ROOMY}", "tmpfs", str(place)]
            if subprocess.run(mount, capture_output=True).returncode:
                print(f"{row}: left out, it needs Linux and root", flush=True)
                return
            try:
                with self.trial(row) as (trial, chance):
                    project = make_project(place / "project", self.project)
                    forget(project, name)
                    bare = taken(place)
                    if name not in self.room:
                        Command(project, name).end()
                        self.room[name] = taken(place) - bare
                        forget(project, name)
                    room = bare + int(chance.uniform(0.02, 0.95) * self.room[name])
                    remount(place, room)
                    status, said = Command(project, name).end()
                    if status == 0 or not any("no space left" in line for line in said):
                        trial.trouble.append(f"{room - bare} bytes: {status}: {said[-1:]}")
                    look(trial, said)
                    trial.done += 1
                    remount(place, ROOMY)
                    self.judge(trial, name, project)
            finally:
                subprocess.run(["umount", "-l", str(place)], capture_output=True)


def look(trial: Trial, said: list[str]) -> None:
    """Nobody is to be told of our insides."""
    if any("Traceback" in line for line in said):
        trial.trouble.append(f"a traceback: {said[-1]}")


def kill_one(command: Command, kind: str, seconds: float) -> bool:
    """Kill a process of a kind after some seconds, or the next one that comes; whether one was."""
    process, deadline = command.process, time.monotonic() + seconds
    while process.poll() is None:
        if time.monotonic() >= deadline:
            for pid in victims(process.pid, kind):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    if kind == "driver":
                        process.wait()
                    return True
        time.sleep(0.03)
    return False


def victims(command: int, kind: str) -> Iterator[int]:
    """Processes of a kind below a command, the youngest first."""
    if kind == "driver":
        yield command
        return
    with suppress(psutil.Error):
        for child in reversed(psutil.Process(command).children(recursive=True)):
            with suppress(psutil.Error):
                if any(KNOWN_BY[kind] in word for word in child.cmdline()):
                    yield child.pid


def taken(place: Path) -> int:
    """Bytes that are taken on a disk."""
    disk = os.statvfs(place)
    return (disk.f_blocks - disk.f_bfree) * disk.f_frsize


def remount(place: Path, room: int) -> None:
    """Make a file system in memory larger or smaller."""
    words = ["mount", "-o", f"remount,size={room}", str(place)]
    subprocess.run(words, check=True, capture_output=True)


def table(trials: list[Trial], commit: str) -> str:
    """The trials as a table in Markdown."""
    killed = [t for t in trials if t.name.endswith("killed")]
    sums = [sum(getattr(t, key) for t in killed) for key in ("done", "ends", "same")]
    lines = ["| what | times | finished runs compared | same bytes |", "|---|--:|--:|--:|"]
    lines += [f"| {t.name} | {t.done} | {t.ends} | {t.same} |" for t in killed]
    lines += [f"| **kills together** | {' | '.join(map(str, sums))} |"]
    lines += [f"| {t.name} | {t.done} | {t.ends} | {t.same} |" for t in trials if t not in killed]
    return "\n".join([f"On the code of {commit}:", "", *lines])


def write(text: str) -> None:
    """Put the table between its marks in docs/tests.md."""
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        sys.exit(f"chaos: {PAGE} has no marks {BEGIN} and {END}")
    PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=63, help="in all rows together")
    parser.add_argument("--others", type=int, default=2, help="damaged caches, each full disk")
    parser.add_argument("--only", default="", help="rows with this in their name")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=1e6)
    parser.add_argument("--folder", type=Path, required=True, help="of its own; it stays")
    parser.add_argument("--afresh", action="store_true", help="forget what the folder knows")
    parser.add_argument("--write", action="store_true", help="the table into docs/tests.md")
    chosen = parser.parse_args()
    base = chosen.folder.resolve()
    if base.exists() and any(base.iterdir()) and not (base / "so-far.json").is_file():
        sys.exit(f"chaos: {base} is none of ours: name a new folder")
    if chosen.afresh:
        shutil.rmtree(base, ignore_errors=True)
    chaos = Chaos(base, chosen.seed, chosen.minutes)
    share = -(-chosen.kills // len(KILLED))
    rows: list[tuple[str, Callable[[], None]]] = [
        (f"{kind} of {name} killed", partial(chaos.kills, name, kind, share))
        for name, kind in KILLED
    ]
    rows += [
        ("cache damaged", partial(chaos.damaged_caches, chosen.others)),
        ("at once", chaos.at_once),
        ("disk full under run", partial(chaos.full_disks, "run", chosen.others)),
        ("disk full under sweep", partial(chaos.full_disks, "sweep", chosen.others)),
    ]
    for name, row in rows:
        if chosen.only in name:
            row()
    trials = list(chaos.trials.values())
    text = table(trials, chaos.commit)
    print(text)
    if chosen.write:
        write(text)
    sys.exit(1 if any(trial.trouble or trial.same < trial.ends for trial in trials) else 0)


if __name__ == "__main__":
    main()
