"""The real stages, run in this process as the command line would run them."""

from __future__ import annotations

import importlib
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STAGES = ("prepare", "crt", "ntc_null", "calibrate", "diagnostics")


def project_folder(folder: Path) -> Path:
    """A folder with conf/ and dvc.yaml, in which stages can be run by hand."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(ROOT / "conf", folder / "conf", dirs_exist_ok=True)
    shutil.copy(ROOT / "dvc.yaml", folder)
    return folder


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
        module.main()
