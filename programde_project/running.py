"""Running a project's own commands in its folder, on this very interpreter."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from programde.errors import InputError, OptionError
from programde_project import layout

REPORT = Path("reports/index.html")


def need_pipeline() -> None:
    """Refuse early where DVC and Hydra are not installed.

    Raises
    ------
    OptionError
        Says what to install.
    """
    absent = [name for name in ("hydra", "dvc") if importlib.util.find_spec(name) is None]
    if absent:
        raise OptionError("this needs DVC and Hydra: pip install 'programde[pipeline]'")


def environment(folder: Path) -> dict[str, str]:
    """The environment of a project's commands: this interpreter first, nobody is told anything."""
    path = os.pathsep.join(filter(None, [str(Path(sys.executable).parent), os.environ.get("PATH")]))
    own = {"DVC_NO_ANALYTICS": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    return {**os.environ, **own, "PATH": path, "PWD": str(folder)}


#: What ends a command: Ctrl-C, a system that stops it, a terminal that is closed.
ENDING = tuple(n for name in ("SIGINT", "SIGTERM", "SIGHUP") if (n := getattr(signal, name, None)))
#: Seconds in which an interrupt has reached the command from the terminal as well.
PAUSE = 1.0


def call(folder: Path, arguments: Sequence[str]) -> int:
    """Run ``python ARGUMENTS`` in a project's folder; its exit status.

    What is sent to this process is the command's to answer: it says so, ends its stages, and
    leaves with 130 or 143.
    """
    got: list[tuple[float, int]] = []

    def hear(number: int, frame: FrameType | None) -> None:
        got.append((time.monotonic(), number))

    # `nohup` has a command live on without its terminal
    heard = [n for n in ENDING if signal.getsignal(n) != signal.SIG_IGN]
    before = {number: signal.signal(number, hear) for number in heard}
    try:
        command = [sys.executable, *arguments]
        process = subprocess.Popen(command, cwd=folder, env=environment(folder))
        while (status := process.poll()) is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.1)
            if got and (got[0][1] != signal.SIGINT or time.monotonic() > got[0][0] + PAUSE):
                process.send_signal(got.pop(0)[1])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 128 - status if status < 0 else status


def find_project(where: str | None) -> Path:
    """The project that a command is about.

    Parameters
    ----------
    where
        A project's folder, or a screen that was run here; None: this folder, or the project in it
        that was run last.

    Raises
    ------
    InputError
        There is none.
    """
    here = Path.cwd()
    if where is not None:
        named = Path(where).expanduser()
        for folder in (named, here / f"{named.stem}_programde"):
            if folder.is_dir() and layout.is_project(folder):
                return folder.resolve()
        raise InputError(f"{where} is no project; programde run, or programde init, makes one")
    if layout.is_project(here):
        return here
    inside = [folder for folder in here.glob("*_programde") if layout.is_project(folder)]
    if not inside:
        raise InputError(f"{here} is no project and holds none: programde run SCREEN makes one")
    return max(inside, key=lambda folder: _when(folder)).resolve()


def _when(folder: Path) -> float:
    """When a project was last computed."""
    lock = folder / "dvc.lock"
    return lock.stat().st_mtime if lock.is_file() else 0.0
