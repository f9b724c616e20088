"""Stage diagnostics: calibration metrics, pictures and the report."""

from __future__ import annotations

import pandas as pd

from pipeline.files import replacing_folder, write_json, write_table
from pipeline.stages.entry import Options, stage
from pipeline.stages.headline import headline
from pipeline.stages.paths import (
    CURVES,
    FIGURES,
    GENE_SETS,
    METRICS,
    PLOTS,
    POWER,
    POWER_CURVE,
    QQ_CURVE,
    REPORT,
    SUMMARY,
)
from pipeline.stages.run_facts import read_facts
from programde.report.control_groups import named_for_record
from programde.report.facts import Facts
from programde.report.findings import discovery_counts
from programde.report.metrics import json_ready
from programde.report.pictures import draw_pictures
from programde.report.positive_controls import counts as found_of
from programde.report.qq import qq_coords
from programde.report.run_page import write_run_page

#: What is written where no power could be measured.
NO_POWER = pd.DataFrame(columns=["set", "share", "fold", "found"])
#: Points of a curve that others draw.
MOST_POINTS = 400


def qq_curve(facts: Facts) -> pd.DataFrame:
    """The QQ plot of control groups by the p-values in use, -log10."""
    table = facts.controls.p_values.get(facts.controls.used)
    expected, observed = qq_coords([] if table is None else table, MOST_POINTS)
    return pd.DataFrame({"expected": expected[::-1], "observed": observed[::-1]})


def power_curve(facts: Facts) -> pd.DataFrame:
    """Power against fold change, with its interval."""
    power = facts.missed.power if facts.missed else None
    if facts.missed is None or power is None:
        return pd.DataFrame(columns=["fold", "power", "low", "high"])
    curve = power.curve(facts.missed.share)
    return pd.DataFrame(
        {"fold": curve.folds, "power": curve.power, "low": curve.low, "high": curve.high}
    )


@stage("diagnostics")
def main(o: Options) -> None:
    facts = read_facts(o)
    with replacing_folder(PLOTS) as folder, replacing_folder(FIGURES) as tables:
        write_run_page(REPORT, facts, draw_pictures(facts, folder, tables))
    power = facts.missed.power if facts.missed else None
    write_table(NO_POWER if power is None else power.found, POWER)
    write_table(facts.gene_sets, GENE_SETS)
    counts = discovery_counts(facts.results)
    numbers = {
        **named_for_record(facts.controls.metrics, facts.controls.used, facts.controls.guides),
        "discoveries": {key.removeprefix("discoveries_"): n for key, n in counts.items()},
        "power": json_ready(facts.missed.metrics()) if facts.missed else {},
        "positive_controls": {} if facts.positive is None else found_of(facts.positive),
        "truth": facts.truth.metrics if facts.truth else {},
    }
    write_json(METRICS, numbers)
    write_json(SUMMARY, headline(numbers))
    with replacing_folder(CURVES) as folder:
        write_table(qq_curve(facts), folder / QQ_CURVE.name)
        write_table(power_curve(facts), folder / POWER_CURVE.name)


if __name__ == "__main__":
    main()
