"""Running a project's own commands in its folder, on this very interpreter."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

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


def call(folder: Path, arguments: Sequence[str]) -> int:
    """Run ``python ARGUMENTS`` in a project's folder; its exit status."""
    try:
        done = subprocess.run([sys.executable, *arguments], cwd=folder, env=environment(folder))
    except KeyboardInterrupt:
        return 130  # the command was interrupted too, and has said so
    return done.returncode


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
