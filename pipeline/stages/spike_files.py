"""Known effects in control cells, from stage to stage: their tests, and their p-values."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from pipeline.files import read_json, read_table, write_json, write_table

if TYPE_CHECKING:  # to read tables, nothing of what made them is needed
    from programde.controls.spike_results import Spikes

ABOUT, TABLE = "about.json", "table.parquet"


def save_spikes(folder: Path, spikes: Spikes | None, why_not: str = "") -> None:
    """Write tests of spiked sets, or why there are none."""
    write_json(folder / ABOUT, {"why_not": why_not})
    if spikes is not None:
        spikes.save(folder)


def why_no_spikes(folder: Path) -> str:
    """Why `save_spikes` wrote no tests; empty where it did."""
    return str(read_json(folder / ABOUT)["why_not"])


def save_table(folder: Path, table: pd.DataFrame | None, about: dict[str, Any]) -> None:
    """Write the p-values of spiked sets and what is to be known of them; `why_not` for none."""
    write_json(folder / ABOUT, about)
    if table is not None:
        write_table(table, folder / TABLE)


def load_table(folder: Path) -> tuple[pd.DataFrame | None, dict[str, Any]]:
    """Read what `save_table` wrote."""
    about = read_json(folder / ABOUT)
    return (None if about["why_not"] else read_table(folder / TABLE)), about
