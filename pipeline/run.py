"""Run what changed, and say why where it cannot: python -m pipeline.run

The same as `dvc repro`, which is chatty, or with --quiet says nothing at all, not even why it
failed. Here the stages speak for themselves, and whatever DVC has to say becomes one line.

Two runs of one folder go one after the other. A signal reaches the stage that is running: nothing
is left behind, and the next call goes on.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline.config.params import project_root
from pipeline.files import parse_yaml
from pipeline.locks import held
from pipeline.signals import ENDED, INTERRUPTED, Signals
from pipeline.stages.entry import LOG, STAGE_LOG, logged
from pipeline.troubles import chain, killed, told_by_the_system
from pipeline.warm import warmed
from programde.errors import OptionError, ProgramDEError, nearest

#: Where a run says who it is.
LOCK = Path(".dvc/tmp/programde-run.lock")
#: Seconds between two looks at a folder in which another DVC works.
PAUSE = 1.0


class StageFailedError(ProgramDEError):
    """A stage ended with a status; it has told why itself, or `message` does."""

    def __init__(self, message: str, status: int = 1, told: bool = False) -> None:
        super().__init__(message)
        self.status, self.told = status, told


@contextlib.contextmanager
def alone(root: Path) -> Iterator[None]:
    """Hold the folder; whoever comes second is told who holds it, and waits."""
    owner = (root / LOCK).with_suffix(".pid")

    def told() -> None:
        who = owner.read_text().strip() if owner.is_file() else ""
        print(
            f"run: process {who or 'unknown'} is running this folder; waiting for it to end",
            file=sys.stderr,
            flush=True,
        )

    with held(root / LOCK, waiting=told):
        owner.write_text(f"{os.getpid()}\n")
        try:
            yield
        finally:
            owner.unlink(missing_ok=True)


def reproduce(root: Path, targets: Sequence[str] = ()) -> None:
    """Run or restore the stages that changed.

    Parameters
    ----------
    root
        The project's folder.
    targets
        Stages, with all that they need; none for the whole.

    Raises
    ------
    StageFailedError
        A stage failed, or DVC did; the message is one line.
    """
    from dvc.exceptions import DvcException

    from pipeline.sweep.repository import (
        dvc_repository,
        outputs_of,
        without_half_written,
        without_left_over,
    )

    logging.getLogger("dvc").setLevel(logging.WARNING)  # not which stage runs: they have bars
    log = root / LOG
    log.unlink(missing_ok=True)
    stages = parse_yaml((root / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    outputs = [name for entry in stages.values() for name in outputs_of(entry)]
    without_left_over(root, outputs, log.with_suffix(".lock"))
    os.environ[STAGE_LOG] = str(log)
    # a stage says `python`: this one, whatever the shell calls so
    path = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    os.environ["PATH"] = os.pathsep.join(path)
    said = False
    while True:
        try:
            with dvc_repository(root) as repo:
                for name in without_half_written(repo):
                    print(f"note: a killed run left half of {name}; made again", file=sys.stderr)
                repo.reproduce(list(targets) or None)
            return
        except DvcException as error:
            if (other := _another_dvc(error)) is None:
                raise _reason(error, log) from None
        except OSError as error:
            raise StageFailedError(_of_the_system(error, root)) from None
        if not said:
            told = f"run: process {other} runs dvc in this folder; waiting for it to end"
            print(told, file=sys.stderr, flush=True)
        said = True
        time.sleep(PAUSE)


def _another_dvc(error: BaseException) -> int | None:
    """The process that keeps us out, where it is alive and DVC's; numbers are given anew."""
    import psutil

    causes = list(chain(error))
    if not any(type(cause).__name__ == "LockError" for cause in causes):
        return None
    for number in re.findall(r"\(PID (\d+)\)", " ".join(map(str, causes))):
        with contextlib.suppress(psutil.Error):
            words = psutil.Process(int(number)).cmdline()
            if any(Path(word).name == "dvc" for word in words):
                return int(number)
    return None


def _reason(error: BaseException, log: Path) -> StageFailedError:
    """What became of a run, from the chain of DVC's errors and what the stage told."""
    causes = list(chain(error))
    for cause in causes:
        if isinstance(cause, OSError):
            return StageFailedError(_of_the_system(cause, log.parents[2]))
    kinds = {type(cause).__name__: cause for cause in reversed(causes)}
    corrupted = ("RWLockFileCorruptedError", "RWLockFileFormatError")
    known = ("StageCmdFailedError", *corrupted, "LockError")
    last = next((kinds[kind] for kind in known if kind in kinds), causes[-1])
    name = type(last).__name__
    said = " ".join(str(last).split())
    if name == "StageCmdFailedError":
        told = [entry for entry in logged(log) if entry["error"]]
        status = said.rsplit(" ", 1)[-1]
        if status in ("130", "143"):
            why = f"the stage was {INTERRUPTED if status == '130' else ENDED}"
            return StageFailedError(f"{why}; the same command goes on from here", int(status))
        if told:  # the stage itself has put it on stderr
            return StageFailedError(told[-1]["error"], told=True)
        if status in ("-9", "137"):
            return StageFailedError(f"{said}: {killed()}")
        return StageFailedError(said, told=status == "1")
    if name in corrupted:
        return StageFailedError(f"{said}: delete .dvc/tmp/rwlock and run again")
    if name == "LockError":
        return StageFailedError(f"another DVC works in this folder{_who_locks(log.parent, said)}")
    return StageFailedError(said or name)


def _who_locks(folder: Path, said: str) -> str:
    """Who keeps us out, and the file that goes where nobody does."""
    lock = folder / "lock"
    if "Unable to acquire" not in said or not lock.is_file():
        return f": {said}"
    # with core.hardlink_lock the file says who; else the system frees what a dead process held
    words = lock.read_text(errors="replace").split("|")
    who = f" ({words[1]}, process {words[2]})" if len(words) == 4 else ""
    return f"{who}: wait for it; where none runs any more, delete .dvc/tmp/lock and run again"


def _of_the_system(error: OSError, root: Path) -> str:
    """A full disk or a place that cannot be written to, in one line with the cure."""
    from pipeline.sweep.repository import cache_dir

    places = [root]
    with contextlib.suppress(Exception):  # the cache may be on another disk
        places.append(cache_dir(root))
    told = told_by_the_system(error, *places)
    return told or f"{error.filename or root}: {error.strerror or error}"


def run(root: Path, targets: Sequence[str] = ()) -> int:
    """Run a project; the status to leave with. What went wrong is one line on stderr."""
    failure: list[BaseException] = []

    ours = "-m pipeline.stages " in (root / "dvc.yaml").read_text(encoding="utf-8")

    def work() -> None:
        try:
            # loads while DVC does, where stages are ours; where they are not, nobody may ask
            with alone(root), warmed(root, {}, when_asked=not ours) as found:
                os.environ.update(found)
                reproduce(root, targets)
        except BaseException as error:
            failure.append(error)

    signals = Signals()
    signals.watch(threading.Thread(target=work, daemon=True))
    if signals.got:
        told = f"run: {signals.word()}; the same command goes on from here"
        print(told, file=sys.stderr, flush=True)
        return signals.status
    if not failure:
        return 0
    error = failure[0]
    if not isinstance(error, StageFailedError):
        raise error
    if not error.told:
        print(f"run: {error}", file=sys.stderr, flush=True)
    return error.status


def main() -> None:
    """Run the command line: names of stages, or nothing for all."""
    words = sys.argv[1:]
    try:
        if bad := [word for word in words if word.startswith("-") or "=" in word]:
            raise OptionError(
                f"{bad[0]} is no stage: settings are keys of conf/, and `python -m pipeline.sweep` "
                "takes them on the command line"
            )
        root = project_root()
        stages = parse_yaml((root / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
        if unknown := [word for word in words if word not in stages]:
            raise OptionError(f"there is no stage {unknown[0]!r}{nearest(unknown[0], stages)}")
        status = run(root, words)
    except ProgramDEError as error:
        print("run:", " ".join(str(error).split()), file=sys.stderr)
        sys.exit(1)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # a thread between two stages must not hold the user


if __name__ == "__main__":
    main()
