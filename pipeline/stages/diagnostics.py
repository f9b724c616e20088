"""Stage diagnostics: calibration metrics, pictures and the report."""

from __future__ import annotations

import pandas as pd

from pipeline.files import replacing_folder, write_json, write_table
from pipeline.stages.entry import Options, stage
from pipeline.stages.paths import METRICS, PLOTS, POWER, REPORT
from pipeline.stages.run_facts import read_facts
from programde.report.control_groups import named_for_record
from programde.report.findings import discovery_counts
from programde.report.metrics import json_ready
from programde.report.pictures import draw_pictures
from programde.report.run_page import write_run_page

#: What is written where no power could be measured.
NO_POWER = pd.DataFrame(columns=["set", "share", "fold", "found"])


@stage("diagnostics")
def main(o: Options) -> None:
    facts = read_facts(o)
    with replacing_folder(PLOTS) as folder:
        write_run_page(REPORT, facts, draw_pictures(facts, folder))
    power = facts.missed.power if facts.missed else None
    write_table(NO_POWER if power is None else power.found, POWER)
    counts = discovery_counts(facts.results)
    write_json(
        METRICS,
        {
            **named_for_record(facts.controls.metrics, facts.controls.used, facts.controls.guides),
            "discoveries": {key.removeprefix("discoveries_"): n for key, n in counts.items()},
            "power": json_ready(facts.missed.metrics()) if facts.missed else {},
            "truth": facts.truth.metrics if facts.truth else {},
        },
    )


if __name__ == "__main__":
    main()
