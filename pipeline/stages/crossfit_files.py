"""The cross-fit of NTC guides as a folder of tables, from one stage to the next."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from pipeline.files import read_json, write_json, write_table

if TYPE_CHECKING:  # to read tables, nothing of what made them is needed
    from programde.controls.crossfit import CrossFit, HeldOutTables

INDEX = "crossfit.json"
TABLES = ("pvals_real", "pvals_holdout")
SERIES = {"gene_real": "p", "gene_holdout": "p", "layer_holdout": "layer"}


def save_crossfit(folder: Path, crossfit: CrossFit | None, why_not: str = "") -> None:
    """Write a cross-fit, or why there is none."""
    if crossfit is None:
        write_json(folder / INDEX, {"made": False, "batches": [], "info": {"why_not": why_not}})
        return
    batches = list(crossfit["per_batch"])
    write_json(folder / INDEX, {"made": True, "batches": batches, "info": crossfit["info"]})
    parts: dict[str, Mapping[str, Any]] = {"meta": crossfit["meta"]}
    parts |= {f"batch_{i}": crossfit["per_batch"][batch] for i, batch in enumerate(batches)}
    for name, part in parts.items():
        for key in TABLES:
            write_table(part[key], folder / name / f"{key}.parquet")
        for key, column in SERIES.items():
            write_table(part[key].to_frame(column), folder / name / f"{key}.parquet")


def load_crossfit(folder: Path, per_batch: bool = True) -> tuple[CrossFit | None, str]:
    """Read what `save_crossfit` wrote: a cross-fit, or None and why there is none.

    Without `per_batch` only what holds over all batches, which is all that the report shows.
    """
    index = read_json(folder / INDEX)
    if not index["made"]:
        return None, index["info"].get("why_not", "")

    def part(name: str) -> HeldOutTables:
        def table(key: str) -> pd.DataFrame:
            return pd.read_parquet(folder / name / f"{key}.parquet")

        return {
            "pvals_real": table("pvals_real"),
            "pvals_holdout": table("pvals_holdout"),
            "gene_real": table("gene_real")["p"],
            "gene_holdout": table("gene_holdout")["p"],
            "layer_holdout": table("layer_holdout")["layer"],
        }

    names = index["batches"] if per_batch else []
    batches = {batch: part(f"batch_{i}") for i, batch in enumerate(names)}
    return {"info": index["info"], "meta": part("meta"), "per_batch": batches}, ""
