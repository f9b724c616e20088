"""Stage diagnostics: calibration metrics, pictures and the report."""

from __future__ import annotations

from pipeline.files import replacing_folder, write_json
from pipeline.stages.entry import Options, stage
from pipeline.stages.paths import METRICS, PLOTS, REPORT
from pipeline.stages.run_facts import read_facts
from programde.report.control_groups import named_for_record
from programde.report.findings import discovery_counts
from programde.report.pictures import draw_pictures
from programde.report.run_page import write_run_page


@stage("diagnostics")
def main(o: Options) -> None:
    facts = read_facts(o)
    with replacing_folder(PLOTS) as folder:
        write_run_page(REPORT, facts, draw_pictures(facts, folder))
    counts = discovery_counts(facts.results)
    write_json(
        METRICS,
        {
            **named_for_record(facts.controls.metrics, facts.controls.used, facts.controls.guides),
            "discoveries": {key.removeprefix("discoveries_"): n for key, n in counts.items()},
            "truth": facts.truth.metrics if facts.truth else {},
        },
    )


if __name__ == "__main__":
    main()
