"""The page's templates, its stylesheet and its scripts: what lies in assets/, read once.

Everything that a template writes is escaped, but for what is marked as HTML here and in `blocks`.
Text that is no text (control letters, marks that turn the direction of what follows) is left out.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

_FOLDER = Path(__file__).parent
BLOCKS, PAGE = "assets/blocks.html.j2", "assets/page.html.j2"
STYLE, SCRIPT = "assets/style.css", "assets/page.js"
#: Tables to work with: Tabulator (MIT licence, beside it in tabulator.LICENSE), as published.
GRIDS, GRIDS_STYLE = "assets/tabulator.min.js", "assets/tabulator.min.css"

_NO_TEXT = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def clean(value: object) -> str:
    """A value as text, without letters that are none."""
    return _NO_TEXT.sub("", str(value))


def asset(name: str) -> str:
    """The text of one of these files."""
    return (_FOLDER / name).read_text(encoding="utf-8")


def markup(text: str) -> Markup:
    """Text that is HTML already."""
    from markupsafe import Markup

    return Markup(text)


@functools.cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    return Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda v: v if isinstance(v, Markup | int | float) else clean(v),
    )


def fill(template: str, **values: object) -> str:
    """A template with its values."""
    return _environment().get_template(template).render(**values)


def macro(name: str, value: object) -> str:
    """One of the macros of the building blocks, filled."""
    made: Any = getattr(_environment().get_template(BLOCKS).module, name)
    return str(made(value)).strip()


def json_in_html(content: Any) -> Markup:
    """JSON that nothing in it can end: no tag, no comment begins or closes inside."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return markup(_NO_TEXT.sub("", text).replace("<", "\\u003c").replace(">", "\\u003e"))


def policy(scripts: Sequence[str]) -> str:
    """What the page may do: show what is inside it, run these scripts and no others."""
    sums = (hashlib.sha256(script.encode("utf-8")).digest() for script in scripts)
    allowed = " ".join(f"'sha256-{base64.b64encode(s).decode('ascii')}'" for s in sums)
    script = allowed or "'none'"
    return (
        "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; "
        f"script-src {script}; base-uri 'none'; form-action 'none'"
    )
