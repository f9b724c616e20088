"""Building blocks of the report page: escaped text, numbers as people write them, tables, pictures.

The page is one file: style inside, pictures as data URIs, no script, no reference to anywhere else.
"""

from __future__ import annotations

import base64
import html
import math
import numbers
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from programde.report.names import shortened
from programde.report.style import DPI, png_bytes

from ..errors import InputError

KINDS = ("text", "number", "fixed", "count", "p", "percent", "signed")


@dataclass(frozen=True)
class Picture:
    """A picture with its title and one plain sentence on how to read it.

    `image` is PNG bytes, the path of a PNG, or a matplotlib Axes or Figure. `narrow` pictures
    stand side by side where the screen is wide enough. `missing` says why there is none.
    """

    title: str
    image: bytes | Path | Axes | Figure
    how_to_read: str
    narrow: bool = False
    missing: str = ""


@dataclass(frozen=True)
class Table:
    """A table: the first `limit` rows are shown, up to `more` further ones on demand.

    `labels` renames columns for people, `formats` gives a column one of KINDS (default: by its
    type and name). The index is not shown.
    """

    frame: pd.DataFrame
    title: str = ""
    note: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    formats: Mapping[str, str] = field(default_factory=dict)
    limit: int = 25
    more: int = 200


@dataclass(frozen=True)
class Settings:
    """Key-value pairs, nested as they come, folded away under a title."""

    title: str
    values: Mapping[str, object]
    unfolded: bool = False


Block = str | Picture | Table | Settings | Sequence[str]


#: Letters that are no text, or turn the direction of what follows: left out of a page.
_NO_TEXT = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
#: A name longer than this loses its middle; the whole is shown when one points at it.
_LONGEST_NAME = 60


def escape(value: object) -> str:
    """Text safe inside HTML and inside double-quoted attributes."""
    return html.escape(_NO_TEXT.sub("", str(value)), quote=True)


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
    if isinstance(block, str):
        return f"<p>{escape(block)}</p>"
    if isinstance(block, Picture):
        return render_picture(block)
    if isinstance(block, Table):
        return render_table(block)
    if isinstance(block, Settings):
        return render_settings(block)
    return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in block) + "</ul>"


def render_picture(picture: Picture) -> str:
    """A figure with the picture inside the page and its sentence beneath the title."""
    kind = ' class="narrow"' if picture.narrow else ""
    if picture.missing:
        return (
            f"<figure{kind}><figcaption><b>{escape(picture.title)}</b></figcaption>"
            f'<p class="missing">This picture could not be drawn: {escape(picture.missing)}</p>'
            "</figure>"
        )
    image = picture.image
    if isinstance(image, Axes | Figure):
        content = png_bytes(image)
    else:
        content = image if isinstance(image, bytes) else Path(image).read_bytes()
    if not content.startswith(b"\x89PNG\r\n\x1a\n"):
        raise InputError(f"picture {picture.title!r} is no PNG; pass PNG bytes, a path or a figure")
    # at this width its letters are as large as those of the page, where the page is wide enough
    pixels = [int.from_bytes(content[at : at + 4], "big") for at in (16, 20)]
    width, height = (round(n * 96 / DPI) for n in pixels)
    data = base64.b64encode(content).decode("ascii")
    return (
        f"<figure{kind}><figcaption><b>{escape(picture.title)}</b> "
        f"<span>{escape(picture.how_to_read)}</span></figcaption>"
        f'<img src="data:image/png;base64,{data}" alt="{escape(picture.title)}" '
        f'width="{width}" height="{height}"></figure>'
    )


def render_table(table: Table) -> str:
    """A scrolling table; rows beyond `limit` fold away, rows beyond `limit + more` are counted."""
    frame = table.frame
    formats = {str(c): table.formats.get(str(c)) or guess_format(frame[c]) for c in frame.columns}
    for column, kind in formats.items():
        if kind not in KINDS:
            raise InputError(f"format {kind!r} of column {column!r} is not known; valid: {KINDS}")
    parts = [f"<h3>{escape(table.title)}</h3>" if table.title else ""]
    parts.append(f'<p class="note">{escape(table.note)}</p>' if table.note else "")
    if frame.empty:
        return "".join(parts) + '<p class="none">None.</p>'
    head = "".join(
        f"<th{_numeric(formats[str(c)])}>{escape(table.labels.get(str(c), c))}</th>"
        for c in frame.columns
    )
    shown = frame.iloc[: table.limit]
    hidden = frame.iloc[table.limit : table.limit + table.more]
    parts.append(_rows(shown, head, formats))
    if len(hidden):
        rest = len(frame) - len(shown)
        label = f"{len(hidden):,} more rows" + (f" of {rest:,}" if rest > len(hidden) else "")
        body = _rows(hidden, head, formats)
        parts.append(f"<details><summary>{label}</summary>{body}</details>")
    return "".join(parts)


def _rows(frame: pd.DataFrame, head: str, formats: Mapping[str, str]) -> str:
    body = []
    kinds = [formats[str(c)] for c in frame.columns]
    for row in frame.itertuples(index=False, name=None):
        cells = "".join(
            f"<td{_class(value, kind)}>{cell(value, kind)}</td>"
            for value, kind in zip(row, kinds, strict=True)
        )
        body.append(f"<tr>{cells}</tr>")
    return (
        f'<div class="table"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def _class(value: object, kind: str) -> str:
    """Numbers stand right; a text that brings its own line breaks gets no others."""
    return ' class="w"' if isinstance(value, str) and "\n" in value else _numeric(kind)


def _numeric(kind: str) -> str:
    return "" if kind == "text" else ' class="n"'


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


def render_settings(settings: Settings) -> str:
    """Nested key-value pairs as a folded definition table, keys joined by dots."""
    rows = "".join(
        f"<tr><th>{escape(key)}</th><td>{escape(value)}</td></tr>"
        for key, value in flatten(settings.values)
    )
    body = f'<div class="table"><table class="keys"><tbody>{rows}</tbody></table></div>'
    start = "<details open>" if settings.unfolded else "<details>"
    return f"{start}<summary>{escape(settings.title)}</summary>{body}</details>"


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
