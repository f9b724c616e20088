"""What pyproject.toml cannot say: the wheel carries what `programde init` lays out.

In the checkout conf/, pipeline/ and dvc.yaml lie at the top, where DVC and Hydra look for them; in
the wheel they are data of the package `programde_project`, so that no package named `pipeline`
comes into anybody's environment.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
LAID_OUT = ("conf", "pipeline", "dvc.yaml", ".dvcignore")
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", "*.nb?", "*.tmp", "run.yaml")


class WithTemplate(build_py):
    """Copy the template beside the package that lays it out; an editable install needs no copy."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib) / "programde_project" / "template"
        shutil.rmtree(target, ignore_errors=True)  # what an earlier build left
        target.mkdir(parents=True)
        for name in LAID_OUT:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, target / name, ignore=LEFT_OUT)
            else:
                shutil.copy2(ROOT / name, target / name)


setup(cmdclass={"build_py": WithTemplate})
