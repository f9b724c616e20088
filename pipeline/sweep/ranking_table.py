"""Points of a sweep read from MLflow and put in order, best first.

Settings are ranked first by the verdict on their control groups (calibrated, then too few controls
to tell, then conservative, then inflated), then by the share of known effects in control cells that
they find (`power_order`); where that was not measured by power against the truth, else by the
number of discoveries. The word of a setting is that of its own report: one rule for both.

All settings are judged by the same control guides. So one whose controls are too few counts as a
calibrated one where their intervals of inflation overlap: the controls do not tell them apart.
Settings that count alike share a rank where their power does not tell them apart either (where it
is not known, in any case). And the word for the first of m settings is asked with errors divided by
m: see `programde.report.verdict`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from pipeline.sweep.agreement import hits_by_setting
from pipeline.sweep.power_order import Powers, powers_of
from pipeline.sweep.tracking import DATASET_TAG, SETTING_TAG, Tracking
from programde.errors import OptionError
from programde.report.metrics import LEVELS
from programde.report.verdict import Verdict, verdict

#: Best first.
ORDER = ("calibrated", "too few controls to tell", "conservative", "inflated")

#: Not shown to be wrong: settings with these words tie where their intervals overlap.
TYING = ORDER[:2]

#: Share of known effects that a setting finds.
POWER = "power/found"
LEVEL = 0.1

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
    controls
        Run -> p-values of its control groups.
    powers
        Power of the settings by known effects; None where none was measured.
    hits
        Hits x settings, these named by their place: see `agreement.hits_by_setting`.
    """

    table: pd.DataFrame
    axes: list[str]
    runs: list[str]
    title: str
    controls: dict[str, pd.DataFrame] = field(default_factory=dict)
    powers: Powers | None = None
    hits: pd.DataFrame | None = None


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
    powers = _powers(tracking, table)
    table = _sorted(table, powers)
    controls, results = {}, {}
    for run in table["run"]:
        path = tracking.download(run, "ntc_p_values.parquet")
        if path is not None:
            controls[run] = pd.read_parquet(path)
        if (path := tracking.download(run, "reports/results.parquet")) is not None:
            results[run] = pd.read_parquet(path)
    levels = [run.data.params.get("fdr.level", LEVEL) for run in chosen]
    named = {str(i + 1): results[run] for i, run in enumerate(table["run"]) if run in results}
    hits = hits_by_setting(named, min(float(level) for level in levels))
    name = "all points on these data" if parent is None else tracking.name_of(parent)
    return Ranking(table, axes, list(table["run"]), name, controls, powers, hits)


def _powers(tracking: Tracking, table: pd.DataFrame) -> Powers | None:
    """Power of the settings, from what is kept with their runs."""
    found: dict[str, pd.DataFrame] = {}
    changes: dict[str, tuple[float, float]] = {}
    for _, row in table.iterrows():
        path = tracking.download(row["run"], "reports/power.csv")
        if path is not None and len(read := pd.read_csv(path)):
            found[row["run"]] = read
            switched, changed = (row.get(f"power/hits_{key}") for key in ("switched", "changed"))
            changes[row["run"]] = (float(switched or 0), float(changed or 0))
    return powers_of(found, changes) if found else None


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


def _sorted(table: pd.DataFrame, powers: Powers | None = None) -> pd.DataFrame:
    """Best first; a first column `rank`, and columns of power where it was measured."""
    found = "truth/power_bh10" if "truth/power_bh10" in table else "discoveries/bh10"
    keys = pd.DataFrame({"verdict": table["verdict"].map(ORDER.index)})
    if powers is not None:
        keys["verdict"] = _counted_as(table)
        table = table.assign(**{POWER: [powers.mean(run) for run in table["run"]]})
        keys["power"] = -table[POWER].fillna(-1)
        keys["word"] = table["verdict"].map(ORDER.index)
    keys["found"] = -table[found].fillna(-1) if found in table else 0
    if "ntc/ks" in table:
        keys["ks"] = table["ntc/ks"]
    order = keys.sort_values(list(keys.columns), kind="stable").index
    table = table.loc[order].reset_index(drop=True)
    table.insert(0, "rank", _ranks(table, powers))
    return table


def _counted_as(table: pd.DataFrame) -> list[int]:
    """Place of each word in `ORDER`; that of a calibrated one for settings with too few controls to
    be told apart from one."""
    words = table["verdict"].map(ORDER.index).tolist()
    ends = ("ntc/lambda_mean_low", "ntc/lambda_mean_high")
    sure = [i for i, place in enumerate(words) if place == 0]
    if not all(end in table for end in ends):
        return words
    low, high = (table[end].to_numpy(dtype=float) for end in ends)
    for i, place in enumerate(words):
        if place == 1 and any(low[i] <= high[j] and low[j] <= high[i] for j in sure):
            words[i] = 0
    return words


def _ranks(table: pd.DataFrame, powers: Powers | None = None) -> list[int]:
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
        if ties and powers is not None:
            ties = powers.alike(table["run"][i], table["run"][first])
        first = first if ties else i
        ranks.append(first + 1)
    return ranks
