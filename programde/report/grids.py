"""Tables to work with: sorted, searched, filtered, copied and downloaded on the page itself.

The values travel as JSON inside the page, names once each; what is printed, or seen where scripts
are off, is a static table of the first rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from programde.report.blocks import cells, formats_of, headers
from programde.report.templates import json_in_html

#: How a column may be filtered.
FILTERS = ("text", "at_most", "at_least", "sign")
_DIGITS = 4
#: What names are, where a table says nothing else of them.
HELPS = {
    "target": "The gene, or other element, whose guides the treated cells hold.",
    "guide": "A guide of the target.",
    "program": "A program of genes: its name, and its label or the genes that lead it.",
    "condition": "The cells in which this was tested.",
}


@dataclass(frozen=True)
class Grid:
    """A table to work with.

    Attributes
    ----------
    frame
        Its rows, in the order in which they are first shown.
    title, note, how
        As of `blocks.Table`.
    name
        Of the table within the page, and of the file that is downloaded.
    labels, formats, helps
        Column -> its heading, its format (`blocks.KINDS`), what it means.
    filters
        Column -> one of FILTERS; others have none.
    limit
        Rows of the static table.
    total
        Rows that there are, where the page holds but the first of them.
    where_the_rest_is
        A sentence on that.
    opens
        For each row the place of its details (see `details`), or None.
    """

    frame: pd.DataFrame
    title: str
    name: str
    note: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    formats: Mapping[str, str] = field(default_factory=dict)
    helps: Mapping[str, str] = field(default_factory=dict)
    filters: Mapping[str, str] = field(default_factory=dict)
    limit: int = 25
    total: int | None = None
    where_the_rest_is: str = ""
    opens: Sequence[int | None] | None = None
    how: str = ""

    def prepared(self) -> dict[str, Any]:
        """The table as its template takes it."""
        formats = formats_of(self.frame, self.formats)
        helps = {**HELPS, **self.helps}
        shown = self.frame.iloc[: self.limit]
        total = len(self.frame) if self.total is None else self.total
        rest = f"{total - len(shown):,} more rows are not shown here." if total > len(shown) else ""
        if not len(self.frame):
            return {
                "kind": "table",
                "title": self.title,
                "note": self.note,
                "how": self.how,
                "shown": [],
                "folded": "",
            }
        columns = [
            {
                "field": name,
                "label": self.labels.get(name, name),
                "kind": kind,
                "help": helps.get(name, ""),
                "filter": self.filters.get(name, ""),
            }
            for name, kind in formats.items()
        ]
        data: dict[str, Any] = {
            "columns": columns,
            "n": len(self.frame),
            "total": total,
            "values": {
                name: _values(self.frame[column], formats[name])
                for name, column in zip(formats, self.frame.columns, strict=True)
            },
        }
        if self.opens is not None:
            data["opens"] = list(self.opens)
        return {
            "kind": "grid",
            "id": self.name,
            "title": self.title,
            "note": f"{self.note} {self.where_the_rest_is}".strip(),
            "how": self.how,
            "columns": headers(self.frame, formats, self.labels, helps),
            "shown": cells(shown, formats),
            "rest": f"{rest} {self.where_the_rest_is}".strip() if rest else "",
            "data": json_in_html(data),
        }


def _values(column: pd.Series, kind: str) -> Any:
    """A column for JSON: names once each, with the place of each row's; numbers to four digits."""
    if kind == "text":
        at, words = pd.factorize(column.map(lambda v: None if pd.isna(v) else str(v)))
        return {"words": [str(word) for word in words], "at": at.tolist()}
    return numbers(column.to_numpy(dtype=np.float64), 0 if kind == "count" else _DIGITS)


def numbers(values: np.ndarray, digits: int = _DIGITS) -> list[float | int | None]:
    """Numbers for JSON, to some significant digits (0: whole); None where there is none."""
    made: list[float | int | None] = []
    for value in np.asarray(values, dtype=np.float64).ravel().tolist():
        if not np.isfinite(value):
            made.append(None)
        elif digits == 0 or value == int(value):
            made.append(round(value))
        else:
            made.append(float(f"{value:.{digits}g}"))
    return made
