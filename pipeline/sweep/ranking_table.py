"""Points of a sweep read from the record and put in order, best first.

Settings are ranked first by the verdict on their control groups (calibrated, then too few controls
to tell, then conservative, then inflated), then by the share of known effects in control cells that
they find (`power_order`); where that was not measured by power against the truth. Never by the
number of discoveries, which says nothing of what is missed and rewards inflation. The word of a
setting is that of its own report: one rule for both.

All settings are judged by the same control guides. So one whose controls are too few counts as a
calibrated one where their intervals of inflation overlap: the controls do not tell them apart.
Settings that count alike share a rank where their power does not tell them apart either (where it
is not known, in any case), and so do settings with the same numbers. And the word for the first of
m settings is asked with errors divided by m: see `programde.report.verdict`.

Other programs are other questions: power falls as programs become more and narrower, whatever the
test. So settings are ranked at each number of programs by itself, and never across.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.sweep.agreement import hits_by_setting
from pipeline.sweep.power_order import Powers, powers_of
from pipeline.sweep.record import all_numbers, word_of
from pipeline.sweep.tracking import DATASET_TAG, POINT_TAG, SETTING_TAG, Tracking, kept
from pipeline.sweep.workspace import SWEEPS
from programde.errors import OptionError

#: Best first.
ORDER = ("calibrated", "too few controls to tell", "conservative", "inflated")

#: Not shown to be wrong: settings with these words tie where their intervals overlap.
TYING = ORDER[:2]

#: Share of known effects that a setting finds.
POWER = "power/found"
LEVEL = 0.1

#: Choices that name a setting better than the keys behind them.
CHOICES = ("data", "usage", "sampler", "test", "calibrate", "experiment")

#: What people call an axis, where its key is no name.
NAMES = {"data.k": "K", "data.density_threshold": "density threshold"}
#: Keys that say which programs there are: settings are compared where these agree.
PROGRAMS = ("data.k", "data.density_threshold", "data.usage_key")

#: Numbers of a run that say nothing of its result.
BESIDE = ("seconds/", "executed/", "stages/")


@dataclass
class Ranking:
    """Settings, best first.

    Attributes
    ----------
    table : DataFrame
        One row per setting: `rank` (shared by settings that tie; of those with the same programs),
        the axes, `verdict`, and all numbers of its run by their path (`ntc/rate_05`).
    axes
        What differs between the settings: choices (`sampler`) and keys (`sampler.n_bins`), by the
        name that people know.
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
    reports
        Run -> its report.
    failed
        Points without a result, with the reason.
    results
        Run -> its tidy results.
    level
        The q-value at which something counts as found.
    records
        Run -> what is kept of it in MLflow.
    """

    table: pd.DataFrame
    axes: list[str]
    runs: list[str]
    title: str
    controls: dict[str, pd.DataFrame] = field(default_factory=dict)
    powers: Powers | None = None
    hits: pd.DataFrame | None = None
    reports: dict[str, Path] = field(default_factory=dict)
    failed: list[tuple[str, str]] = field(default_factory=list)
    results: dict[str, pd.DataFrame] = field(default_factory=dict)
    level: float = LEVEL
    records: dict[str, Any] = field(default_factory=dict)

    @property
    def questions(self) -> list[str]:
        """Axes that are other programs; settings are ranked within their values."""
        return of_programs(self.axes)


def read(tracking: Tracking, parent: str | None = None) -> Ranking:
    """Read points from the record and rank them; of a setting that was run twice the newest counts.

    Raises
    ------
    OptionError
        There is no finished point.
    """
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
    records = {run.info.run_id: run for run in chosen}
    axes = varying([run.data.params for run in chosen])
    table = pd.DataFrame([_row(tracking, run, axes) for run in chosen])
    powers = _powers(tracking, table, records)
    named_axes = [name_of_axis(axis) for axis in axes]
    table = ordered(table, named_axes, powers)
    tables: dict[str, dict[str, pd.DataFrame]] = {}
    for name in ("ntc_p_values.parquet", "reports/results.parquet"):
        found = {run: tracking.download(records[run], name) for run in table["run"]}
        tables[name] = {run: pd.read_parquet(path) for run, path in found.items() if path}
    results = tables["reports/results.parquet"]
    level = min(float(run.data.params.get("fdr.level", LEVEL)) for run in chosen)
    named = {str(i + 1): results[run] for i, run in enumerate(table["run"]) if run in results}
    return Ranking(
        table,
        named_axes,
        list(table["run"]),
        "all points on these data" if parent is None else tracking.run(parent).info.run_name,
        controls=tables["ntc_p_values.parquet"],
        powers=powers,
        hits=hits_by_setting(named, level),
        reports=_reports(tracking, chosen),
        failed=[] if parent is None else tracking.failures(parent),
        results=results,
        level=level,
        records=records,
    )


def name_of_axis(axis: str) -> str:
    """What people call a key or choice."""
    return NAMES.get(axis, axis)


def name_of(row: Any, axes: list[str]) -> str:
    """A setting in a few words; a number of programs with what it is, as it says nothing alone."""
    values = {axis: short(row[axis]) for axis in axes}
    numbers = NAMES.values()
    return ", ".join(f"{axis} {v}" if axis in numbers else v for axis, v in values.items())


def short(value: Any) -> str:
    """A value as it is; four digits of a number that a sweeper thought of."""
    text = str(value)
    try:
        return text if len(text) < 9 else f"{float(text):.4g}"
    except ValueError:
        return text


def _reports(tracking: Tracking, runs: list[Any]) -> dict[str, Path]:
    """Run -> its report: the copy that is kept, or where that is elsewhere, that of its folder."""
    found = {}
    for run in runs:
        computed = tracking.root / SWEEPS / "points" / run.data.tags[POINT_TAG]
        found[run.info.run_id] = kept(run, "reports/index.html") or computed / "reports/index.html"
    return found


def _powers(tracking: Tracking, table: pd.DataFrame, records: dict[str, Any]) -> Powers | None:
    """Power of the settings, from what is kept with their runs."""
    found: dict[str, pd.DataFrame] = {}
    changes: dict[str, tuple[float, float]] = {}
    for _, row in table.iterrows():
        path = tracking.download(records[row["run"]], "reports/power.csv")
        if path is not None and len(read := pd.read_csv(path)):
            found[row["run"]] = read
            switched, changed = (row.get(f"power/hits_{key}") for key in ("switched", "changed"))
            changes[row["run"]] = (float(switched or 0), float(changed or 0))
    return powers_of(found, changes) if found else None


def varying(params: list[dict[str, str]]) -> list[str]:
    """What tells settings apart: choices, and the keys that no varying choice explains.

    The hash of a file is no axis: which file it is says the same in words.
    """
    keys = sorted({key for one in params for key in one})
    differing = [key for key in keys if len({one.get(key, "") for one in params}) > 1]
    axes = [key for key in CHOICES if key in differing]
    for key in differing:
        section = key.split(".")[0]
        if key in CHOICES or section in ("inputs", "compute", "tracking"):
            continue
        if key.startswith("data.fingerprint"):
            continue
        if section not in axes or not _explained(key, section, params):
            axes.append(key)
    told = {tuple(one.get(axis, "") for axis in axes) for one in params}
    if len(told) < len(params):
        axes += [key for key in differing if key.startswith("inputs.")]
    return axes


def _explained(key: str, section: str, params: list[dict[str, str]]) -> bool:
    """Whether a section's choice says all about a key of it."""
    seen: dict[str, str] = {}
    return all(seen.setdefault(one.get(section, ""), one.get(key, "")) == one.get(key, "")
               for one in params)  # fmt: skip


def _row(tracking: Tracking, run: Any, axes: list[str]) -> dict[str, Any]:
    """A setting's axes, its word, its numbers and its run."""
    path = tracking.download(run, "reports/metrics.json")
    numbers = run.data.metrics if path is None else all_numbers(path.parent)
    told = {name_of_axis(axis): _told(axis, run.data.params.get(axis, "")) for axis in axes}
    return {**told, "verdict": word_of(numbers).word, **numbers, "run": run.info.run_id}


def _told(axis: str, value: str) -> str:
    """A value for a narrow column: of a path its end."""
    return Path(value).name if axis.startswith("inputs.") else value


def of_programs(axes: list[str]) -> list[str]:
    """Those axes, by name, that say which programs there are."""
    return [axis for axis in axes if axis in map(name_of_axis, PROGRAMS)]


def ordered(table: pd.DataFrame, axes: list[str], powers: Powers | None = None) -> pd.DataFrame:
    """Best first, with a first column `rank`; where programs differ, those of each in turn."""
    questions = of_programs(axes)
    if not questions:
        return _sorted(table, powers)
    parts = {
        tuple(natural(str(value)) for value in values): _sorted(part, powers)
        for values, part in table.groupby(questions, sort=False)
    }
    return pd.concat([parts[values] for values in sorted(parts)], ignore_index=True)


def natural(text: str) -> tuple[int, float, str]:
    """A key to sort by: numbers by size, before words."""
    try:
        return (0, float(text), "")
    except ValueError:
        return (1, 0.0, text)


def _sorted(table: pd.DataFrame, powers: Powers | None = None) -> pd.DataFrame:
    """Best first; a first column `rank`, and columns of power where it was measured."""
    true = "truth/power_bh10"
    keys = pd.DataFrame({"verdict": table["verdict"].map(ORDER.index)})
    if powers is not None:
        keys["verdict"] = _counted_as(table)
        table = table.assign(**{POWER: [powers.mean(run) for run in table["run"]]})
        keys["power"] = -table[POWER].fillna(-1)
        keys["word"] = table["verdict"].map(ORDER.index)
    keys["found"] = -table[true].fillna(-1) if true in table else 0
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
    """Places of the sorted settings; those that tie with the first of them share its place, and
    those with the same numbers that of each other."""
    ends = ("ntc/lambda_mean_low", "ntc/lambda_mean_high")
    known = all(end in table for end in ends)
    ranks: list[int] = []
    numbers = table[[c for c in map(str, table) if "/" in c and not c.startswith(BESIDE)]]
    before = numbers.shift()
    same = (numbers.eq(before) | (numbers.isna() & before.isna())).all(axis=1) & bool(numbers.size)
    first = 0
    for i, word in enumerate(table["verdict"]):
        ties = i > 0 and known and word in TYING and table["verdict"][first] in TYING
        if ties:
            low, high = (table[end].to_numpy(dtype=float) for end in ends)
            ties = bool(low[i] <= high[first] and low[first] <= high[i])
        if ties and powers is not None:
            ties = powers.alike(table["run"][i], table["run"][first])
        if i > 0 and same.iloc[i]:
            ranks.append(ranks[-1])
            continue
        first = first if ties else i
        ranks.append(first + 1)
    return ranks
