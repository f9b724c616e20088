"""What the package says of itself holds together."""

from __future__ import annotations

import re
import runpy
import tomllib
from pathlib import Path

import yaml

import programde

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_oldest_set_is_the_lower_bounds():
    lower = {}
    for requirement in PROJECT["dependencies"]:
        name, bound = re.fullmatch(r"([\w-]+)>=([\d.]+)(?:,<\d+)?", requirement).groups()
        lower[name] = bound
    pinned = dict(
        line.split("==") for line in (ROOT / "requirements/oldest.in").read_text().splitlines()
        if "==" in line and not line.startswith("#")
    )  # fmt: skip

    def padded(version):
        parts = [int(part) for part in version.split(".")]
        return parts + [0] * (3 - len(parts))

    assert {name: padded(v) for name, v in lower.items()} == {
        name: padded(v) for name, v in pinned.items()
    }
    for name, version in pinned.items():
        assert (
            f"\n{name.replace('_', '-')}=={version} "
            in "\n" + (ROOT / "requirements/oldest.lock").read_text()
        )


def test_the_versions_that_are_told_are_those_of_the_two_sets():
    page = (ROOT / "docs/installation.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| (\w+) \| ([\d.]+) \| ([\d.]+) \|$", page, re.MULTILINE)
    assert told[0] == ("Python", "3.11", "3.13")
    locks = {
        name: (ROOT / f"requirements/{name}.lock").read_text() for name in ("oldest", "newest")
    }
    for name, oldest, newest in told[1:]:
        assert f"\n{name}=={oldest} " in "\n" + locks["oldest"]
        assert f"\n{name}=={newest}." in "\n" + locks["newest"]


def test_the_library_alone_brings_no_pipeline():
    names = {re.split(r"[><=\[]", one)[0] for one in PROJECT["dependencies"]}
    assert not names & {
        "dvc",
        "hydra-core",
        "mlflow",
        "click",
        "omegaconf",
        "joblib",
        "scikit-learn",
    }
    for name in ("oldest", "newest"):
        lock = (ROOT / f"requirements/{name}.lock").read_text()
        assert not re.search(r"^(dvc|hydra-core|mlflow)==", lock, re.MULTILINE)
        assert "://" not in lock


def test_one_version_everywhere():
    about = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert about["version"] == programde.__version__
    assert "version" in PROJECT["dynamic"]
    assert [author["name"] for author in about["authors"]] == [
        author["name"] for author in PROJECT["authors"]
    ]


def test_types_are_announced():
    assert (ROOT / "programde/py.typed").is_file()


def test_the_front_page_shows_its_pictures_where_it_stands_alone():
    front_page = runpy.run_path(str(ROOT / "setup.py"))["front_page"]
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert front_page(text, "", "1.2.3") == text
    shown = front_page(text, "x://forge/owner/name/", "1.2.3")
    assert "](x://forge/owner/name/raw/v1.2.3/docs/img/readme.png)" in shown
    assert "](x://forge/owner/name/blob/v1.2.3/docs/inputs.md)" in shown
    assert not re.search(r"\]\((?!x:)", shown)


def test_workflows_are_readable_and_run_what_is_here():
    made = (ROOT / "Makefile").read_text()
    script = (ROOT / ".ci" / "run").read_text()
    for target in re.findall(r"^\s*make ([a-z-]+)$", script, re.MULTILINE):
        assert re.search(rf"^{re.escape(target)}:", made, re.MULTILINE), target
    for file in sorted((ROOT / ".github" / "workflows").glob("*.yml")):
        flow = yaml.safe_load(file.read_text())
        lines = [step["run"] for job in flow["jobs"].values() for step in job["steps"]
                 if "run" in step]  # fmt: skip
        assert lines
        for target in re.findall(r"\bmake ([a-z-]+)", "\n".join(lines)):
            assert re.search(rf"^{re.escape(target)}", made, re.MULTILINE), (file.name, target)
    ci = (ROOT / ".github/workflows/ci.yml").read_text()
    assert "bash .ci/run" in ci
    assert "make docs" in ci
    publish = yaml.safe_load((ROOT / ".github/workflows/publish.yml").read_text())
    assert publish[True]["push"] == {"tags": ["v*"]}  # YAML reads `on` as a truth value
