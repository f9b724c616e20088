"""Points of a sweep read from MLflow and put in order, best first.

Settings are ranked first by the verdict on their control groups (calibrated, then too few controls
to tell, then conservative, then inflated), then by power where the truth is known, else by the
number of discoveries. The word of a setting is that of its own report: one rule for both.

All settings are judged by the same control guides. So those that are not shown to be wrong and
whose intervals of inflation overlap share a rank: the controls do not tell them apart. And the word
for the first of m settings is asked with errors divided by m: see `programde.report.verdict`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from pipeline.sweep.tracking import DATASET_TAG, SETTING_TAG, Tracking
from programde.errors import OptionError
from programde.report.metrics import LEVELS
from programde.report.verdict import Verdict, verdict

#: Best first.
ORDER = ("calibrated", "too few controls to tell", "conservative", "inflated")

#: Not shown to be wrong: settings with these words tie where their intervals overlap.
TYING = ORDER[:2]

#: Choices that name a setting better than the keys behind them.
CHOICES = ("data", "usage", "sampler", "test", "calibrate", "experiment")


@dataclass
class Ranking:
    """Settings, best first.

    Attributes
    ----------
    table : DataFrame
        One row per setting: `rank` (shared by settings that tie), the axes, `verdict`, and metrics
        by their name in MLflow.
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
    word = word_of(metrics).word
    return {**{axis: run.data.params.get(axis, "") for axis in axes}, "verdict": word, **metrics}


def word_of(metrics: Mapping[str, Any], n_settings: int = 1) -> Verdict:
    """The verdict on one setting from its metrics in MLflow, which keeps finite numbers only.

    Parameters
    ----------
    metrics
        By their name in MLflow; those of control groups begin with ``ntc/``, those of single
        control guides with ``ntc_guides/``.
    n_settings
        From how many settings this one was picked.
    """
    groups, guides = _numbers(metrics, "ntc/"), _numbers(metrics, "ntc_guides/")
    if groups is None:
        return Verdict("too few controls to tell", "")
    return verdict(groups, guides, n_settings=n_settings)


def _numbers(metrics: Mapping[str, Any], prefix: str) -> dict[str, float] | None:
    found = {
        key.removeprefix(prefix): float(value)
        for key, value in metrics.items()
        if key.startswith(prefix) and not pd.isna(value)
    }
    if "rate_05" not in found or "lambda_mean" not in found:
        return None
    unknown = {f"rate_{at}{end}": np.nan for at in LEVELS for end in ("", "_low", "_high")}
    unknown |= {"lambda_mean_error": np.inf, "lambda_mean_low": 0.0, "lambda_mean_high": np.inf}
    return unknown | {"lambda": np.nan, "n_partitions": 1} | found


def _sorted(table: pd.DataFrame) -> pd.DataFrame:
    """Best first; a first column `rank`."""
    found = "truth/power_bh10" if "truth/power_bh10" in table else "discoveries/bh10"
    keys = pd.DataFrame({"verdict": table["verdict"].map(ORDER.index)})
    keys["found"] = -table[found].fillna(-1) if found in table else 0
    if "ntc/ks" in table:
        keys["ks"] = table["ntc/ks"]
    order = keys.sort_values(list(keys.columns), kind="stable").index
    table = table.loc[order].reset_index(drop=True)
    table.insert(0, "rank", _ranks(table))
    return table


def _ranks(table: pd.DataFrame) -> list[int]:
    """Places of the sorted settings; those that tie with the first of them share its place."""
    ends = ("ntc/lambda_mean_low", "ntc/lambda_mean_high")
    known = all(end in table for end in ends)
    ranks: list[int] = []
    first = 0
    for i, word in enumerate(table["verdict"]):
        ties = i > 0 and known and word in TYING and table["verdict"][first] in TYING
        if ties:
            low, high = (table[end].to_numpy(dtype=float) for end in ends)
            ties = bool(low[i] <= high[first] and low[first] <= high[i])
        first = first if ties else i
        ranks.append(first + 1)
    return ranks
