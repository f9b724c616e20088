"""Building blocks of the report page: escaped text, numbers as people write them, tables, pictures.

The page is one file: style, scripts and pictures are inside, nothing refers to anywhere else.
What a block holds is prepared here; how it is written stands in assets/blocks.html.j2.
"""

from __future__ import annotations

import base64
import html
import math
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from programde.report.lettering import shortened
from programde.report.style import DPI
from programde.report.templates import clean, macro, markup
from programde.report.vector import is_svg, picture_bytes, svg_size

from ..errors import InputError

KINDS = ("text", "number", "fixed", "count", "p", "percent", "signed")


@dataclass(frozen=True)
class Picture:
    """A picture with its title and one plain sentence on how to read it.

    `image` is PNG or SVG bytes, the path of such a file, or a matplotlib Axes or Figure. `narrow`
    pictures stand side by side where the screen is wide enough. `missing` says why there is none.
    `links` are files beside the page: the picture itself, and its data.
    """

    title: str
    image: bytes | Path | Axes | Figure
    how_to_read: str
    narrow: bool = False
    missing: str = ""
    links: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """A table: the first `limit` rows are shown, up to `more` further ones on demand.

    `labels` renames columns for people, `formats` gives a column one of KINDS (default: by its
    type and name). The index is not shown. With `folded` the table is behind these words; `how`
    tells, behind the word "How", how its numbers are made.
    """

    frame: pd.DataFrame
    title: str = ""
    note: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    formats: Mapping[str, str] = field(default_factory=dict)
    limit: int = 25
    more: int = 200
    folded: str = ""
    how: str = ""


@dataclass(frozen=True)
class Link:
    """A cell of a table that leads elsewhere, say to a page beside this one."""

    text: str
    where: str


@dataclass(frozen=True)
class Settings:
    """Key-value pairs, nested as they come, folded away under a title."""

    title: str
    values: Mapping[str, object]
    unfolded: bool = False


@dataclass(frozen=True)
class Paste:
    """A text to be pasted elsewhere, with a button that copies it."""

    title: str
    text: str
    note: str = ""


class Ready(Protocol):
    """A block that prepares itself, such as a table to work with (`grids.Grid`)."""

    def prepared(self) -> dict[str, Any]: ...


Block = str | Picture | Table | Settings | Paste | Ready | Sequence[str]


#: A name longer than this loses its middle; the whole is shown when one points at it.
_LONGEST_NAME = 60


def escape(value: object) -> str:
    """Text safe inside HTML and inside double-quoted attributes."""
    return html.escape(clean(value), quote=True)


def name(value: object) -> str:
    """A name as HTML; a long one is shortened, and whole when one points at it."""
    text = str(value)
    if len(text) <= _LONGEST_NAME:
        return escape(text)
    return f'<span title="{escape(text)}">{escape(shortened(text, _LONGEST_NAME))}</span>'


def render(block: Block) -> str:
    """HTML of one block: a sentence, a list of sentences, a picture, a table or settings.

    Raises
    ------
    InputError
        A picture is no PNG.
    """
    return macro("block", prepared(block))


def prepared(block: Block) -> dict[str, Any]:
    """A block as its template takes it. Raises as `render`."""
    if isinstance(block, str):
        return {"kind": "text", "text": block}
    if isinstance(block, Picture):
        return _picture(block)
    if isinstance(block, Table):
        return _table(block)
    if isinstance(block, Settings):
        return {
            "kind": "settings",
            "title": block.title,
            "rows": flatten(block.values),
            "unfolded": block.unfolded,
        }
    if isinstance(block, Paste):
        return {"kind": "paste", "title": block.title, "text": block.text, "note": block.note,
                "how": ""}  # fmt: skip
    if isinstance(block, Sequence):
        return {"kind": "list", "items": list(block)}
    return block.prepared()


def _picture(picture: Picture) -> dict[str, Any]:
    """The picture inside the page, and its sentence beneath the title."""
    shown: dict[str, Any] = {
        "kind": "picture",
        "title": picture.title,
        "how_to_read": picture.how_to_read,
        "narrow": picture.narrow,
        "missing": picture.missing,
        "links": [{"where": quote(path), "text": path} for path in picture.links],
    }
    if picture.missing:
        return shown
    image = picture.image
    if isinstance(image, Axes | Figure):
        content = picture_bytes(image)
    else:
        content = image if isinstance(image, bytes) else Path(image).read_bytes()
    # at this width its letters are as large as those of the page, where the page is wide enough
    if is_svg(content):
        kind, (width, height) = "svg+xml", svg_size(content)
    elif content.startswith(b"\x89PNG\r\n\x1a\n"):
        pixels = [int.from_bytes(content[at : at + 4], "big") for at in (16, 20)]
        kind, (width, height) = "png", (round(n * 96 / DPI) for n in pixels)
    else:
        raise InputError(
            f"picture {picture.title!r} is no PNG or SVG; pass its bytes, a path or a figure"
        )
    data = base64.b64encode(content).decode("ascii")
    return {**shown, "media": kind, "data": data, "width": width, "height": height}


def _table(table: Table) -> dict[str, Any]:
    """A scrolling table; rows beyond `limit` fold away, rows beyond `limit + more` are counted."""
    frame = table.frame
    shown = frame.iloc[: table.limit]
    hidden = frame.iloc[table.limit : table.limit + table.more]
    formats = formats_of(frame, table.formats)
    rest = len(frame) - len(shown)
    more = f" of {rest:,}" if rest > len(hidden) else ""
    return {
        "kind": "table",
        "title": table.title,
        "note": table.note,
        "how": table.how,
        "columns": headers(frame, formats, table.labels),
        "shown": cells(shown, formats),
        "hidden": cells(hidden, formats),
        "folded": table.folded,
        "summary": f"{len(hidden):,} more rows{more}",
    }


def formats_of(frame: pd.DataFrame, given: Mapping[str, str]) -> dict[str, str]:
    """Column -> one of KINDS, as given or by the column's type and name.

    Raises
    ------
    InputError
        A format is not known.
    """
    formats = {str(c): given.get(str(c)) or guess_format(frame[c]) for c in frame.columns}
    for column, kind in formats.items():
        if kind not in KINDS:
            raise InputError(f"format {kind!r} of column {column!r} is not known; valid: {KINDS}")
    return formats


def headers(
    frame: pd.DataFrame,
    formats: Mapping[str, str],
    labels: Mapping[str, str],
    helps: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:
    """The columns of a static table."""
    return [
        {
            "label": labels.get(str(c), str(c)),
            "number": formats[str(c)] != "text",
            "help": (helps or {}).get(str(c), ""),
        }
        for c in frame.columns
    ]


def cells(frame: pd.DataFrame, formats: Mapping[str, str]) -> list[list[dict[str, Any]]]:
    """The rows of a static table."""
    kinds = [formats[str(c)] for c in frame.columns]
    return [
        [
            {"css": _class(value, kind), "html": markup(cell(value, kind))}
            for value, kind in zip(row, kinds, strict=True)
        ]
        for row in frame.itertuples(index=False, name=None)
    ]


def _class(value: object, kind: str) -> str:
    """Numbers stand right; a text that brings its own line breaks gets no others."""
    if isinstance(value, str) and "\n" in value:
        return "w"
    return "" if kind == "text" else "n"


def guess_format(column: pd.Series) -> str:
    """A format by type, and for p- and q-values by name."""
    if pd.api.types.is_bool_dtype(column) or not pd.api.types.is_numeric_dtype(column):
        return "text"
    if pd.api.types.is_integer_dtype(column):
        return "count"
    name = str(column.name)
    return "p" if name in ("p", "q") or name.startswith(("p_", "q_")) else "number"


def cell(value: object, kind: str) -> str:
    """One value as HTML; missing values as a dash, never as a number."""
    if value is None or value is pd.NaT or value is pd.NA:
        return "–"
    if isinstance(value, Link):
        return f'<a href="{escape(value.where)}">{name(value.text)}</a>'
    if isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isnan(value):
        return "–"
    if kind == "text" or not isinstance(value, numbers.Real):
        text = str(value)
        return name(text) if "\n" not in text else escape(text).replace("\n", "<br>")
    number = float(value)
    if math.isinf(number):
        return "∞" if number > 0 else "−∞"
    if kind == "count":
        return f"{number:,.0f}".replace("-", "−")
    if kind == "percent":
        return f"{100 * number:.1f} %" if number == 0 or number >= 0.01 else f"{100 * number:.2g} %"
    if kind == "p":
        return p_text(number)
    # "#" keeps the zeros that say how precisely a number is known: -1.00, not -1
    text = f"{number:{'+#.3g' if kind == 'signed' else '.2f' if kind == 'fixed' else '#.3g'}}"
    if "e" in text:
        return p_text(number)
    return text.removesuffix(".").replace("-", "−")


def p_text(p: float) -> str:
    """0.034 as such, 3.4e-7 as 3.4 x 10^-7 with a real exponent."""
    if p == 0 or 1e-3 <= abs(p) < 1e4:
        return f"{p:.2g}" if abs(p) < 1 else f"{p:.3g}"
    mantissa, exponent = f"{p:.1e}".split("e")
    power = f"{int(exponent)}".replace("-", "−")
    return f"{mantissa.replace('-', '−')}&thinsp;×&thinsp;10<sup>{power}</sup>"


def flatten(values: Mapping[str, object], prefix: str = "") -> list[tuple[str, str]]:
    """Nested mappings as (dotted key, text) pairs, in their order."""
    pairs: list[tuple[str, str]] = []
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            pairs += flatten(value, f"{name}.")
        elif isinstance(value, list | tuple | np.ndarray):
            pairs.append((name, ", ".join(str(item) for item in value)))
        else:
            pairs.append((name, str(value)))
    return pairs
