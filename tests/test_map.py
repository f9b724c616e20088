"""The map in CONTRIBUTING.md shows the house as it is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
MAP = TEXT[TEXT.index("## The map of the house") : TEXT.index("**The walk of a usage row.**")]
ROOMS = sorted(
    str(folder.relative_to(ROOT))
    for top in ("programde", "pipeline", "programde_project")
    for folder in (ROOT / top, *(ROOT / top).rglob("*/"))
    if any(folder.glob("*.py"))
)


@pytest.mark.parametrize("room", ROOMS)
def test_every_module_is_on_the_map(room: str) -> None:
    modules = {path.stem for path in (ROOT / room).glob("*.py")} - {"__init__", "__main__"}
    missing = sorted(modules - set(re.findall(r"\w+", MAP)))
    assert not missing, f"put them into the map of CONTRIBUTING.md, at {room}/"


def test_the_map_names_nothing_twice_or_in_vain() -> None:
    there = {path.stem for room in ROOMS for path in (ROOT / room).glob("*.py")}
    listed = [
        word
        for line in MAP.splitlines()
        if re.match(r"      [a-z_ ]+$", line) or re.match(r"      [a-z_]+  ", line)
        for word in re.split(r"  +", line.strip())[0].split()
    ]
    assert not {word for word in listed if "_" in word} - there
