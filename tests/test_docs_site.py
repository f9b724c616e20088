"""The documentation holds together: its links lead somewhere, its notebooks run."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(
    [
        *DOCS.glob("*.md"),
        *DOCS.glob("*/*.md"),
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
    ]
)
NOTEBOOKS = sorted((DOCS / "tutorials").glob("*.md"))
#: Made when the documentation is built.
MADE = DOCS / "_made"


def prose(page: Path) -> str:
    """A page without its blocks and pieces of code."""
    text = re.sub(
        r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
    )
    return re.sub(r"`[^`\n]*`", "", text)


def anchors(page: Path) -> set[str]:
    """What a link to a heading of a page may name, as forges and Sphinx write it."""
    text = re.sub(
        r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
    )
    found = set()
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        words = re.sub(r"[^\w\- ]", "", heading.lower())
        found.add(words.strip().replace(" ", "-"))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, heading = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        assert there.exists() or MADE in there.parents, f"{target} is not there"
        if heading and there.suffix == ".md":
            assert heading in anchors(there), f"{target}: no such heading"


def test_the_front_page_of_the_site_names_every_page() -> None:
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    for listed in re.findall(r"^([a-z][\w/-]+)$", index, re.MULTILINE):
        assert (DOCS / f"{listed}.md").is_file(), listed
    assert "@rest@" in index  # docs/conf.py puts the others there


@pytest.mark.slow
@pytest.mark.parametrize("page", NOTEBOOKS, ids=lambda page: page.stem)
def test_a_notebook_runs(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By nbclient, in a process of its own, as the build of the documentation runs it."""
    nbclient = pytest.importorskip("nbclient", reason="the extra [docs] is not installed")
    nbformat = pytest.importorskip("nbformat", reason="the extra [docs] is not installed")
    pytest.importorskip("ipykernel", reason="the extra [docs] is not installed")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *filter(None, sys.path)]))
    monkeypatch.setenv("MPLBACKEND", "agg")
    text = page.read_text(encoding="utf-8")
    cells = re.findall(r"^```\{code-cell\}[^\n]*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert cells
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(one) for one in cells])
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    shown = [out for cell in notebook.cells for out in cell["outputs"]]
    assert any("image/png" in out.get("data", {}) for out in shown)
    assert not [out for out in shown if out["output_type"] == "error"]
