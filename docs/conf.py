"""How `make docs` builds the documentation (Sphinx): into build/docs, nothing fetched.

Pages are Markdown, those of docs/tutorials with code that runs when they are built; the reference
comes from docstrings, the page of settings from conf/.
"""

from __future__ import annotations

import html
import os
import re
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from sphinx.errors import ExtensionError

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT))
os.environ["PYTHONPATH"] = str(ROOT)  # for the notebooks' own processes

from programde import __version__  # noqa: E402

project = "programDE"
author = "The programDE authors"
copyright = author
version = release = __version__
language = "en"

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "numpydoc",
    "myst_nb",
    "sphinx_copybutton",
]
exclude_patterns = ["_made/templates"]
templates_path: list[str] = []
html_theme = "furo"
html_title = f"programDE {version}"
html_static_path = ["_static"]
html_css_files = ["programde.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
# Blocks of pages that name no language are commands; examples of docstrings are known by their >>>
highlight_language = "sh"
pygments_style = "tango"
pygments_dark_style = "native"

# Pages as they are written for a reader of the files: links to files, headings as anchors
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
# What a page shows of its own code is made anew, and an error in it stops the build
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_execution_show_tb = True
nb_merge_streams = True
nb_output_stderr = "remove"  # progress bars
copybutton_exclude = ".linenos, .gp, .go"

# Names in backquotes are those of Python where there is such a thing, and else plain code
default_role = "py:obj"
autosummary_generate = True
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # shapes and meanings stand in the docstring
python_maximum_signature_line_length = 88
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
numpydoc_validation_checks: set[str] = set()  # tests/test_docstrings.py does that


def write_settings(app: Any) -> None:
    """docs/_made/settings.md: every key with its default and its meaning, as `programde keys`."""
    from programde_project.settings import settings

    lines = [
        "# All settings",
        "",
        "As `programde keys` prints them: a key, its default, what it means. They are words of a",
        "command line, `key=value`, or lines in `conf/`.",
        "",
    ]
    open_table = ""
    for one in settings(ROOT):
        part = one.choice or (one.key.split(".")[0] if "." in one.key else "General")
        if "\n" in one.meaning:  # a folder of conf/ and what can be picked of it
            lines += ["", f"## {one.key}", "", f"Default: `{one.default}`", ""]
            for choice in one.meaning.splitlines():
                name, _, meaning = choice.partition(": ")
                lines += [f"* `{one.key}={name}`: {_cell(meaning)}"]
            open_table = ""
            continue
        if part != open_table:
            lines += ["", f"## {part}", "", "| key | default | meaning |", "|---|---|---|"]
            open_table = part
        meaning = _cell(one.meaning) + (f" ({_cell(one.allowed)})" if one.allowed else "")
        lines.append(f"| `{one.key}` | `{_cell(one.default)}` | {meaning} |")
    made = HERE / "_made" / "settings.md"
    made.parent.mkdir(exist_ok=True)
    text = "\n".join(lines) + "\n"
    if not made.is_file() or made.read_text(encoding="utf-8") != text:
        made.write_text(text, encoding="utf-8")


def name_the_rest(app: Any, docname: str, source: list[str]) -> None:
    """Pages that docs/index.md does not name stand at the end of its list of how to do things."""
    if docname == "index":
        pages = sorted(page.stem for page in HERE.glob("*.md"))
        rest = [page for page in pages if f"\n{page}\n" not in source[0] and page != "index"]
        source[0] = source[0].replace("@rest@", "\n".join(rest))


def _cell(text: str) -> str:
    """Fit for a cell of a table."""
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;").replace("*", "\\*")


def name_its_page(app: Any, page: str, template: str, context: Any, doctree: Any) -> None:
    """From a name's code back to its page, whose anchor is the page's own name.

    All names of a file are taken for members of one module, also where two pages call it otherwise.
    """
    if page.startswith("_modules/"):
        other = r'(/_made/api/([\w.]*?(\w+))\.html#)[\w.]+\.\3"'
        context["body"] = re.sub(other, r'\1\2"', context["body"])


def check_links(app: Any, exception: Exception | None) -> None:
    """Every link between the pages that were made leads somewhere, anchors too."""
    if exception is not None or app.builder.name != "html":
        return
    pages = {p.resolve(): p.read_text(encoding="utf-8") for p in Path(app.outdir).rglob("*.html")}
    anchors = {
        page: set(map(html.unescape, re.findall(r'(?:id|name)="([^"]+)"', text)))
        for page, text in pages.items()
    }
    lost = set()
    for page, text in pages.items():
        for link in map(html.unescape, re.findall(r'(?:href|src)="([^"]+)"', text)):
            file, _, anchor = link.partition("#")
            if re.match(r"[a-z]+:", link):  # elsewhere
                continue
            there = (page.parent / unquote(file.split("?")[0])).resolve() if file else page
            known = not anchor or there not in anchors or unquote(anchor) in anchors[there]
            if not (there.exists() and known):
                lost.add(f"{page.relative_to(Path(app.outdir).resolve())}: {link}")
    if lost:
        raise ExtensionError("links that lead nowhere: " + "; ".join(sorted(lost)))


def setup(app: Any) -> None:
    app.connect("builder-inited", write_settings)
    app.connect("html-page-context", name_its_page)
    app.connect("build-finished", check_links)
    app.connect("source-read", name_the_rest)
