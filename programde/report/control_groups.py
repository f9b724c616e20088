"""P-values of control groups: the kinds side by side, and how uniform each of them is.

What is independent is told by the labels. A group of guides is resampled whole, whatever condition
it was tested in, and the same guides cut into groups once more (another partition) are a repeat,
not new evidence. Held-out sets of guides stand here too, with their layer as partition: sets of one
layer share no guide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from programde.report.checked_tables import Metrics
from programde.report.metrics import calibration_metrics

#: Columns of the table of control p-values that say which test a row is; the others are p-values.
LABELS = ("partition", "condition", "group", "program", "sign")
_ROW = ["partition", "group", "condition"]


def tables_by_kind(ntc: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Kind of p-value -> control groups x programs.

    Parameters
    ----------
    ntc
        One row per partition, condition, group and program; a column per kind of p-value, and
        `sign` where they are two-sided.

    Returns
    -------
    dict
        Tables with rows labelled by (partition, group, condition), without empty rows.
    """
    tables = {}
    for kind in [column for column in ntc.columns if column not in LABELS]:
        table = ntc.pivot(index=_ROW, columns="program", values=kind)
        tables[kind] = table.dropna(how="all")
    return tables


def signs_of(ntc: pd.DataFrame) -> pd.DataFrame | None:
    """Signs of effects, rows and columns as in `tables_by_kind`; None where the table has none."""
    if "sign" not in ntc:
        return None
    return ntc.pivot(index=_ROW, columns="program", values="sign").dropna(how="all")


def metrics_by_kind(
    tables: Mapping[str, pd.DataFrame],
    n_boot: int = 1000,
    seed: int = 0,
    guides: Mapping[str, Sequence[str]] | None = None,
    signs: pd.DataFrame | None = None,
    correlation: pd.DataFrame | None = None,
) -> dict[str, Metrics]:
    """Calibration metrics of every kind of control p-value; see `calibration_metrics`.

    Parameters
    ----------
    tables
        What `tables_by_kind` returned.
    n_boot, seed
        Of the bootstrap.
    guides
        Group -> its guides. A kind that was tested on other sets goes without.
    signs, correlation
        See `signs_of` and `calibration_metrics`; a kind with tests of no sign goes without.
    """
    metrics = {}
    for kind, table in tables.items():
        partition = table.index.get_level_values("partition")
        group = table.index.get_level_values("group")
        told = guides is not None and group.isin(list(guides)).all()
        metrics[kind] = calibration_metrics(
            table.reset_index(drop=True),
            n_boot=n_boot,
            seed=seed,
            cluster=[f"{p}:{g}" for p, g in zip(partition, group, strict=True)],
            partition=list(partition),
            guides=[guides[name] for name in group] if told and guides else None,
            signs=_of_table(signs, table),
            correlation=correlation,
        )
    return metrics


def _of_table(signs: pd.DataFrame | None, table: pd.DataFrame) -> pd.DataFrame | None:
    """The signs of a table's tests; None where one of them has none."""
    if signs is None:
        return None
    found = signs.reindex(index=table.index, columns=table.columns)
    return found if (found.notna() | table.isna()).to_numpy().all() else None


def named_for_record(
    metrics: Mapping[str, Metrics], used: str, guides: Mapping[str, Metrics] | None = None
) -> dict[str, Any]:
    """`ntc` for the kind in use, `ntc_KIND` for the others: names that sort and read well.

    Those of `guides`, control guides one by one, are `ntc_guides` and `ntc_guides_KIND`.
    """
    looks = (("ntc", metrics), ("ntc_guides", guides or {}))
    return {
        (name if kind == used else f"{name}_{kind}"): one
        for name, look in looks
        for kind, one in look.items()
    }


def tests_of_one_partition(table: pd.DataFrame) -> int:
    """How many p-values one partition holds: the others repeat the same guides."""
    n_partitions = table.index.get_level_values("partition").nunique()
    return max(1, int(table.notna().sum().sum()) // max(1, n_partitions))


def of_condition(tables: Mapping[str, pd.DataFrame], level: str) -> dict[str, pd.DataFrame]:
    """The rows of one condition, for the kinds that have some."""
    found = {}
    for kind, table in tables.items():
        here = table.index.get_level_values("condition") == level
        if here.any():
            found[kind] = table[here]
    return found
