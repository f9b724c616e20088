"""The real stages, run in this process as the command line would run them."""

from __future__ import annotations

import copy
import importlib
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import command_line

ROOT = Path(__file__).parents[2]
STAGES = ("prepare", "crt", "ntc_null", "calibrate", "diagnostics")


def project_folder(folder: Path) -> Path:
    """A folder with conf/ and dvc.yaml, in which stages can be run by hand."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(ROOT / "conf", folder / "conf", dirs_exist_ok=True)
    shutil.copy(ROOT / "dvc.yaml", folder)
    return folder


def _configured_once(conf: Path) -> dict[str, Any] | None:
    """What Hydra makes of the words of this folder: the stages of a run have the same."""
    files = tuple((path, path.stat().st_mtime_ns) for path in sorted(conf.rglob("*.yaml")))
    key = (tuple(sys.argv[1:]), files)
    if key not in _CONFIGURED:
        _CONFIGURED[key] = _CONFIGURE(conf)
    return copy.deepcopy(_CONFIGURED[key])


_CONFIGURE = command_line.configured
_CONFIGURED: dict[Any, dict[str, Any] | None] = {}


def run_stage(patch: pytest.MonkeyPatch, folder: Path, stage: str, *words: str) -> None:
    """`python -m pipeline.STAGE WORDS` in `folder`.

    Raises
    ------
    SystemExit
        As the command leaves with a status.
    """
    module = importlib.import_module(f"pipeline.stages.{stage}")
    with patch.context() as here:
        here.chdir(folder)
        here.setattr(sys, "argv", [f"pipeline/stages/{stage}.py", *words])
        here.setattr("warnings.showwarning", None)  # the stage sets its own; this puts it back
        here.setenv("HYDRA_FULL_ERROR", "1")
        here.setenv("CI", "true")
        here.setattr(command_line, "configured", _configured_once)
        module.main()
