"""The cross-fit of the NTC empirical null as a folder of tables, from one stage to the next."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.files import read_json, write_json, write_table

INDEX = "crossfit.json"
TABLES = ("pvals_real", "pvals_holdout")
SERIES = ("gene_real", "gene_holdout")


def save_crossfit(folder: Path, crossfit: dict[str, Any] | None, why_not: str = "") -> None:
    """Write a cross-fit, or why there is none."""
    batches = list(crossfit["per_batch"]) if crossfit else []
    info = crossfit.get("info", {}) if crossfit else {"why_not": why_not}
    write_json(folder / INDEX, {"made": bool(crossfit), "batches": batches, "info": info})
    if not crossfit:
        return
    parts = {"meta": crossfit["meta"]}
    parts |= {f"batch_{i}": crossfit["per_batch"][batch] for i, batch in enumerate(batches)}
    for name, part in parts.items():
        for key in TABLES:
            write_table(part[key], folder / name / f"{key}.parquet")
        for key in SERIES:
            write_table(part[key].to_frame("p"), folder / name / f"{key}.parquet")


def load_crossfit(folder: Path) -> tuple[dict[str, Any] | None, str]:
    """Read what `save_crossfit` wrote: a cross-fit, or None and why there is none."""
    index = read_json(folder / INDEX)
    if not index["made"]:
        return None, index["info"].get("why_not", "")

    def part(name: str) -> dict[str, Any]:
        tables = {key: pd.read_parquet(folder / name / f"{key}.parquet") for key in TABLES}
        series = {key: pd.read_parquet(folder / name / f"{key}.parquet")["p"] for key in SERIES}
        return {**tables, **series}

    batches = {batch: part(f"batch_{i}") for i, batch in enumerate(index["batches"])}
    return {"info": index["info"], "meta": part("meta"), "per_batch": batches}, ""
