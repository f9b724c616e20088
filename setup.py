"""What pyproject.toml cannot say: the wheel carries what `programde init` lays out.

In the checkout conf/, pipeline/ and dvc.yaml lie at the top, where DVC and Hydra look for them; in
the wheel they are data of the package `programde_project`, so that no package named `pipeline`
comes into anybody's environment.

README.md links to files beside it. A package index shows it alone, so where PROGRAMDE_REPOSITORY
says where the repository is (the workflow that publishes does), pictures and pages get the
addresses that they have there at the version's tag.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
LAID_OUT = ("conf", "pipeline", "dvc.yaml", ".dvcignore")
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", "*.nb?", "*.tmp", "run.yaml")


def front_page(text: str, repository: str, version: str) -> str:
    """README.md with its links to files as addresses in a repository; as it is without one."""
    if not repository:
        return text
    for picture, part in (("!", "raw"), ("", "blob")):
        pattern = rf"(?<!!)({re.escape(picture)}\[[^\]]*\]\()(?![a-z]+:|#)([^)\s]+)\)"
        text = re.sub(pattern, rf"\g<1>{repository.rstrip('/')}/{part}/v{version}/\g<2>)", text)
    return text


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


if __name__ == "__main__":
    where = os.environ.get("PROGRAMDE_REPOSITORY", "")
    init = (ROOT / "programde" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "(.*)"$', init, re.MULTILINE)
    setup(
        cmdclass={"build_py": WithTemplate},
        long_description=front_page(
            (ROOT / "README.md").read_text(encoding="utf-8"), where, found[1] if found else ""
        ),
        long_description_content_type="text/markdown",
        project_urls={"Source": where} if where else {},
    )
