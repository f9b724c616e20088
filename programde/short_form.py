"""What an object shows of itself on a prompt and in a notebook: a heading and a few lines."""

from __future__ import annotations

import html
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

#: Longest line, and the names that are listed of many.
WIDTH, NAMED = 96, 5


def listed(names: Sequence[object], most: int = NAMED) -> str:
    """The first few of some names, and how many there are."""
    shown = ", ".join(str(name) for name in names[:most])
    return f"{len(names):,}: {shown}{', ...' if len(names) > most else ''}"


def as_text(title: str, facts: Mapping[str, object]) -> str:
    """A heading and a line per fact; lines are cut to the width."""
    room = max((len(name) for name in facts), default=0)
    lines = [f"    {name:<{room}}  {_flat(value)}" for name, value in facts.items()]
    return "\n".join(line[: WIDTH - 1] + "…" if len(line) > WIDTH else line
                     for line in (title, *lines))  # fmt: skip


def as_html(title: str, facts: Mapping[str, object]) -> str:
    """The same as a small table."""
    rows = "".join(
        f"<tr><th style='text-align:left'>{html.escape(name)}</th>"
        f"<td style='text-align:left'>{html.escape(_flat(value))}</td></tr>"
        for name, value in facts.items()
    )
    return f"<div><b>{html.escape(title)}</b><table>{rows}</table></div>"


def _flat(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) < 2 * WIDTH else text[: 2 * WIDTH] + "…"


class ShortForm(ABC):
    """Shows `_facts()` in place of all that an object holds."""

    @abstractmethod
    def _facts(self) -> tuple[str, Mapping[str, object]]:
        """Heading, and name of a fact -> what it is."""

    def __repr__(self) -> str:
        return as_text(*self._facts())

    def _repr_html_(self) -> str:
        return as_html(*self._facts())
