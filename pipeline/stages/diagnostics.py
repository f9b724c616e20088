"""Stage diagnostics: calibration metrics, pictures and the report."""

from __future__ import annotations

from typing import Any

import pandas as pd

from pipeline.files import read_json, read_table, replacing_folder, write_json
from pipeline.stages.crossfit_files import load_crossfit
from pipeline.stages.entry import Options, stage
from pipeline.stages.paths import (
    ACROSS,
    CONTROL,
    CROSSFIT,
    GUIDES,
    INPUT_REPORT,
    METRICS,
    NTC_NULL,
    NTC_P_VALUES,
    OMNIBUS,
    PLOTS,
    REPORT,
    RESULTS,
    SCREEN,
    TRUTH,
    UNITS,
)
from programde.report.contents import Facts, compose_page
from programde.report.findings import discovery_counts, truth_metrics
from programde.report.metrics import calibration_metrics
from programde.report.pictures import draw
from programde.report.run_page import write_report
from programde.screen.store import load_screen

LABELS = ("partition", "condition", "group", "program")


def control_tables(ntc: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Kind of p-value -> control units x programs, units labelled by (partition, group, ...)."""
    tables = {}
    for kind in [column for column in ntc.columns if column not in LABELS]:
        table = ntc.pivot(index=["partition", "group", "condition"], columns="program", values=kind)
        tables[kind] = table.dropna(how="all")
    return tables


def control_metrics(tables: dict[str, pd.DataFrame], o: Options) -> dict[str, dict[str, Any]]:
    """Calibration metrics of every kind of control p-value."""
    metrics = {}
    for kind, table in tables.items():
        partition = table.index.get_level_values("partition").to_numpy()
        group = table.index.get_level_values("group").to_numpy()
        cluster = [f"{p}:{g}" for p, g in zip(partition, group, strict=True)]
        metrics[kind] = calibration_metrics(
            table.reset_index(drop=True),
            n_boot=o.report.n_boot,
            seed=o.report.seed,
            cluster=cluster,
            partition=list(partition),
        )
    return metrics


def flat(metrics: dict[str, dict[str, Any]], used: str) -> dict[str, dict[str, Any]]:
    """`ntc` for the kind in use, `ntc_KIND` for the others: names that sort and read well."""
    return {("ntc" if kind == used else f"ntc_{kind}"): one for kind, one in metrics.items()}


@stage("diagnostics")
def main(o: Options) -> None:
    results = read_table(RESULTS)
    tables = control_tables(read_table(NTC_P_VALUES))
    used = "raw" if o.calibrate.kind == "none" else o.calibrate.kind
    metrics = control_metrics(tables, o)
    truth = read_table(TRUTH)
    known = truth_metrics(results, truth) if len(truth) else None
    crossfit, why_not = load_crossfit(CROSSFIT)
    counts = discovery_counts(results)
    found = {key.removeprefix("discoveries_"): value for key, value in counts.items()}
    numbers = {**flat(metrics, used), "discoveries": found, "truth": known or {}}

    facts = Facts(
        screen=load_screen(SCREEN),
        results=results,
        omnibus=read_table(OMNIBUS),
        across=read_table(ACROSS),
        guides=read_table(GUIDES),
        units=read_table(UNITS),
        control=read_json(CONTROL),
        controls=tables,
        group_size=read_json(NTC_NULL / "groups.json")["group_size"],
        metrics=metrics,
        used=used,
        truth=truth if len(truth) else None,
        truth_metrics=known,
        crossfit=crossfit,
        why_no_crossfit=why_not,
        input_summary=read_json(INPUT_REPORT / "summary.json"),
        input_targets=read_table(INPUT_REPORT / "targets.parquet"),
        input_programs=read_table(INPUT_REPORT / "programs.parquet"),
        options=o.as_dict(),
        level=o.fdr.level,
    )
    with replacing_folder(PLOTS) as folder:
        write_report(REPORT, compose_page(facts, draw(facts, folder)))
    write_json(METRICS, numbers)


if __name__ == "__main__":
    main()
