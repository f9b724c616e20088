"""The map in CONTRIBUTING.md shows the house as it is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
MAP = TEXT[TEXT.index("## The map of the house") : TEXT.index("**The walk of a usage row.**")]
ROOMS = (
    "pipeline",
    "programde/analysis",
    "programde/controls",
    "programde/crt",
    "programde/screen",
)


@pytest.mark.parametrize("room", ROOMS)
def test_every_module_is_on_the_map(room: str) -> None:
    part = MAP[MAP.index(f"{room}/ ") :]
    part = part[: re.search(r"\n(\d  |   programde/)|```\n", part).start()]
    modules = {path.stem for path in (ROOT / room).glob("*.py")} - {"__init__"}
    named = set(re.findall(r"\w+", part))
    assert not modules - named, f"put them into the map of CONTRIBUTING.md, at {room}/"


def test_the_map_shows_nothing_that_is_not_there() -> None:
    there = {
        path.name for room in ("pipeline", "programde") for path in (ROOT / room).rglob("*.py")
    }
    named = set(re.findall(r"\w+\.py", MAP))
    assert not named - there
