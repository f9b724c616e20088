"""Points of a sweep read from MLflow and put in order, best first.

Settings are ranked first by the verdict on their control groups (calibrated, then too few controls
to tell, then conservative, then inflated), then by power where the truth is known, else by the
number of discoveries.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from pipeline.sweep.tracking import DATASET_TAG, SETTING_TAG, Tracking
from programde.errors import OptionError
from programde.report.verdict import verdict

#: Best first.
ORDER = ("calibrated", "too few controls to tell", "conservative", "inflated")

#: Choices that name a setting better than the keys behind them.
CHOICES = ("data", "usage", "sampler", "test", "calibrate", "experiment")


@dataclass
class Ranking:
    """Settings, best first.

    Attributes
    ----------
    table : DataFrame
        One row per setting: `rank`, the axes, `verdict`, and metrics by their name in MLflow.
    axes
        What differs between the settings: choices (`sampler`) and keys (`sampler.n_bins`).
    runs
        Run of each row.
    title
        What was ranked.
    """

    table: pd.DataFrame
    axes: list[str]
    runs: list[str]
    title: str
    controls: dict[str, pd.DataFrame] = field(default_factory=dict)


def read(tracking: Tracking, parent: str | None = None) -> Ranking:
    """Read points from MLflow and rank them; of a setting that was run twice the newest counts."""
    runs = tracking.points(parent)
    if not runs:
        raise OptionError("no finished point to rank: run python -m pipeline.sweep first")
    if parent is None:
        dataset = runs[0].data.tags.get(DATASET_TAG)
        runs = [run for run in runs if run.data.tags.get(DATASET_TAG) == dataset]
    newest: dict[str, Any] = {}
    for run in runs:
        newest.setdefault(run.data.tags.get(SETTING_TAG, run.info.run_id), run)
    chosen = sorted(newest.values(), key=lambda run: run.info.start_time)
    axes = varying([run.data.params for run in chosen])
    rows = [_row(run, axes) for run in chosen]
    table = pd.DataFrame(rows)
    table["run"] = [run.info.run_id for run in chosen]
    table = _sorted(table)
    controls = {}
    for run in table["run"]:
        path = tracking.download(run, "ntc_p_values.parquet")
        if path is not None:
            controls[run] = pd.read_parquet(path)
    name = "all points on these data" if parent is None else tracking.name_of(parent)
    return Ranking(table, axes, list(table["run"]), name, controls)


def varying(params: list[dict[str, str]]) -> list[str]:
    """What tells settings apart: choices, and the keys that no varying choice explains."""
    keys = sorted({key for one in params for key in one})
    differing = [key for key in keys if len({one.get(key, "") for one in params}) > 1]
    axes = [key for key in CHOICES if key in differing]
    for key in differing:
        section = key.split(".")[0]
        if key in CHOICES or section in ("inputs", "compute", "tracking"):
            continue
        if section not in axes or not _explained(key, section, params):
            axes.append(key)
    return axes


def _explained(key: str, section: str, params: list[dict[str, str]]) -> bool:
    """Whether a section's choice says all about a key of it."""
    seen: dict[str, str] = {}
    return all(seen.setdefault(one.get(section, ""), one.get(key, "")) == one.get(key, "")
               for one in params)  # fmt: skip


def _row(run: Any, axes: list[str]) -> dict[str, Any]:
    metrics = run.data.metrics
    ntc = {key.removeprefix("ntc/"): v for key, v in metrics.items() if key.startswith("ntc/")}
    word = verdict(ntc).word if "rate_05" in ntc else ORDER[1]
    return {**{axis: run.data.params.get(axis, "") for axis in axes}, "verdict": word, **metrics}


def _sorted(table: pd.DataFrame) -> pd.DataFrame:
    """Best first; a first column `rank`."""
    found = "truth/power_bh10" if "truth/power_bh10" in table else "discoveries/bh10"
    keys = pd.DataFrame({"verdict": table["verdict"].map(ORDER.index)})
    keys["found"] = -table[found].fillna(-1) if found in table else 0
    if "ntc/ks" in table:
        keys["ks"] = table["ntc/ks"]
    order = keys.sort_values(list(keys.columns), kind="stable").index
    table = table.loc[order].reset_index(drop=True)
    table.insert(0, "rank", range(1, len(table) + 1))
    return table
