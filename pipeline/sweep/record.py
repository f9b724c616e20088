"""What is recorded of a point: its name, parameters, data, numbers and tables, as plain values."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.files import read_json, read_table, size_of
from pipeline.stages import paths
from pipeline.stages.headline import headline
from pipeline.sweep.points import Point, dataset_id
from pipeline.sweep.workspace import StageRun
from programde.report.metrics import LEVELS
from programde.report.verdict import Verdict, verdict

#: Rows of a table that a browser shows.
MOST_ROWS = 1000
#: A file of more bytes stays where it is; a tag of this name and the file's says where.
MOST_BYTES, LARGE_TAG = 100_000_000, "programde.large"
#: Columns of the table of hits, those that a run has.
HIT_COLUMNS = (
    "condition", "guide", "target", "program", "effect", "effect_unit", "p_value", "q_value",
    "n_treated", "mde80", "program_label", "program_top_genes",
)  # fmt: skip


def run_name(point: Point) -> str:
    """A point's name for a narrow column: what varies, each in as few words as tell it apart.

    A choice goes without the name of its folder (``stratified``), a key without its section where
    no other key has its name (``k=30``), a file without its folder.
    """
    words = [word.partition("=") for word in point.name.split()]
    lasts = [key.rsplit(".", 1)[-1] for key, _, _ in words]
    told = []
    for (key, sign, value), last in zip(words, lasts, strict=True):
        value = Path(value).name if "/" in value else value
        short = last if lasts.count(last) == 1 else key
        told.append(value if key in point.choices or not sign else f"{short}={value}")
    return " ".join(told)


def flat_params(point: Point) -> dict[str, str]:
    """What was picked from each folder of conf/, and every key by its dotted name."""
    flat: dict[str, str] = {}

    def walk(tree: Mapping[str, Any], prefix: str) -> None:
        for key, value in tree.items():
            if isinstance(value, Mapping):
                walk(value, f"{prefix}{key}.")
            else:
                flat[f"{prefix}{key}"] = str(value)[:6000]

    walk(point.params, "")
    return {**flat, **point.choices}


def datasets(params: Mapping[str, Any]) -> list[dict[str, str]]:
    """The data of a setting: name, digest, and where they are from, one entry per file."""
    data, files = params["data"], params.get("inputs") or {}
    prints = data.get("fingerprint") or {}
    found = [
        {
            "name": Path(where).name,
            "digest": str(prints[key])[:36],
            "source_type": "local",
            "source": json.dumps({"uri": where}),
        }
        for key, where in files.items()
        if key in prints
    ]
    if found:
        return found
    made = {key: value for key, value in data.items() if key != "kind"}
    source = {"function": "programde.make_sceptre_style_synth", "arguments": made}
    return [
        {
            "name": str(data["kind"]),
            "digest": dataset_id(dict(params)),
            "source_type": "code",
            "source": json.dumps(source),
        }
    ]


def flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """The numbers of nested metrics by their path: ``ntc/rate_05``; what is not finite is left."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}/")
        elif isinstance(value, int | float) and math.isfinite(value):
            yield f"{prefix}{key}", float(value)


def all_numbers(reports: Path) -> dict[str, float]:
    """All numbers of a run, by their path; `reports` is its folder of that name."""
    return dict(flatten(read_json(reports / paths.METRICS.name)))


def shown_numbers(workspace: Path, stages: Sequence[StageRun]) -> dict[str, float]:
    """The numbers that MLflow shows as metrics: the headline, and what the stages took."""
    numbers = dict(flatten(headline(read_json(workspace / paths.METRICS))))
    numbers |= {f"seconds/{stage.stage}": stage.seconds for stage in stages}
    numbers["seconds/total"] = sum(stage.seconds for stage in stages)
    numbers["stages/executed"] = float(sum(stage.executed for stage in stages))
    return numbers


def tables(workspace: Path, level: float) -> dict[str, pd.DataFrame]:
    """Tables for a browser: all numbers, hits, and what the QQ and power pictures are drawn from.

    Files that are not there are left out.
    """
    numbers = all_numbers(workspace / paths.METRICS.parent)
    made = {"metrics": pd.DataFrame({"metric": list(numbers), "value": list(numbers.values())})}
    if (results := workspace / paths.RESULTS).exists():
        table = read_table(results)
        hits = table[table["q_value"] <= level].sort_values("q_value", kind="stable")
        columns = [name for name in HIT_COLUMNS if name in hits]
        made["hits"] = hits[columns].head(MOST_ROWS)
    for name, file in (("qq", paths.QQ_CURVE), ("power", paths.POWER_CURVE)):
        if (workspace / file).is_file():
            made[name] = read_table(workspace / file).head(MOST_ROWS)
    return made


def keep(client: Any, run: str, path: Path, place: str | None = None) -> None:
    """Copy a file or folder to a run of MLflow.

    Parameters
    ----------
    client
        MLflow's client.
    run
        The run.
    path
        What is to be kept. A file that takes more than `MOST_BYTES` stays where it is, and a tag
        (`LARGE_TAG` and its name) says where: its hits are a table of the run in any case.
    place
        Where among the run's files; None: at the top.
    """
    large = size_of(path) > MOST_BYTES
    if large and path.is_dir() and place is None:
        for part in sorted(path.iterdir()):
            keep(client, run, part, path.name)
    elif large:
        client.set_tag(run, f"{LARGE_TAG}.{path.name}", str(path.resolve()))
    elif path.is_dir():
        inside = path.name if place is None else f"{place}/{path.name}"
        client.log_artifacts(run, str(path), inside)
    elif path.is_file():
        client.log_artifact(run, str(path), place)


def describing(workspace: Path) -> dict[str, str]:
    """Tags that filter: the verdict, and who is compared with whom."""
    tags: dict[str, str] = {"verdict": word_of(all_numbers(workspace / paths.METRICS.parent)).word}
    if (control := workspace / paths.CONTROL).is_file():
        tags["control"] = str(read_json(control)["kind"])
    return tags


def word_of(metrics: Mapping[str, Any], n_settings: int = 1) -> Verdict:
    """The verdict on one setting from its numbers, which are finite ones only.

    Parameters
    ----------
    metrics
        By their path; those of control groups begin with ``ntc/``, those of single control guides
        with ``ntc_guides/``.
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
    nan, inf = float("nan"), float("inf")
    unknown = {f"rate_{at}{end}": nan for at in LEVELS for end in ("", "_low", "_high")}
    unknown |= {"lambda_mean_error": inf, "lambda_mean_low": 0.0, "lambda_mean_high": inf}
    return unknown | {"lambda": nan, "n_partitions": 1} | found
