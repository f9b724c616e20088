"""Stage calibrate: from null summaries to calibrated p-values, q-values and the results table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from pipeline.crossfit import save_crossfit
from pipeline.io import replacing_folder, write_table
from pipeline.paths import CROSSFIT, CRT, NTC_NULL, NTC_P_VALUES, OMNIBUS, RESULTS, RESULTS_CSV
from pipeline.paths import SCREEN as SCREEN_FOLDER
from pipeline.stage import Options, stage
from pipeline.testing import comparison, n_jobs, progress, run_options
from programde.analysis.calibrating import Calibrated, calibrate, raw_p
from programde.analysis.tables import ntc_table, omnibus_table, results_table
from programde.analysis.testing import NTCNull, run_ntc_groups, run_targets
from programde.crt.results import CRTResult
from programde.screen.screen import Screen
from programde.screen.store import load_screen

Revisit = Callable[[Any], object]


def revisits(screen: Screen, o: Options) -> tuple[Revisit, Revisit]:
    """For calibrations that need each unit's law: the targets and the control groups, no draws."""
    options = run_options(o, 0)

    def targets(visit: Any) -> object:
        return run_targets(screen, options, unit=o.analysis.unit, visit=visit, **comparison(o))

    def groups(visit: Any) -> object:
        controls = o.controls.as_dict()
        return run_ntc_groups(
            screen, options, seed=o.seed, visit=visit, **comparison(o), **controls
        )

    return targets, groups


def own_options(o: Options) -> dict[str, Any]:
    """The options of the calibration itself."""
    options = o.calibrate.as_dict()
    options.pop("kind")
    if o.calibrate.kind == "ntc_empirical":
        options |= {"ntc_labels": o.data.ntc_labels, "seed": o.seed}
        options |= {"n_jobs": n_jobs(o), "progress": progress()}
    return options


def control_p_values(
    controls: CRTResult, method: str, side: str, revisit: Revisit
) -> dict[str, np.ndarray]:
    """P-values of the control groups, of every kind that is at hand, by kind."""
    kinds: dict[str, np.ndarray] = {}
    if controls.null.n_draws > 0:
        kinds["raw"] = raw_p(controls, side)
        kinds["skew_normal"] = calibrate(controls, "skew_normal", side).p_value
    if method == "saddlepoint":
        kinds[method] = calibrate(controls, method, side, revisit).p_value
    return kinds


def with_holdout(table: pd.DataFrame, calibrated: Calibrated) -> pd.DataFrame:
    """The control p-values and, against the NTC guides themselves, those of held-out ones."""
    crossfit = getattr(calibrated.evidence, "crossfit", None)
    if not crossfit:
        return table
    held_out = crossfit["meta"]["pvals_holdout"].rename_axis(index="group", columns="program")
    rows = held_out.stack(future_stack=True).rename(calibrated.method).reset_index()
    rows["group"] = rows["group"].astype(str)
    return pd.concat([table, rows.assign(partition=0, condition="")], ignore_index=True)


@stage("calibrate")
def main(o: Options) -> None:
    screen = load_screen(SCREEN_FOLDER)
    result, controls = CRTResult.load(CRT), NTCNull.load(NTC_NULL)
    method, side, adjust = o.calibrate.kind, o.side, o.fdr.adjust
    targets, groups = revisits(screen, o)
    calibrated = calibrate(result, method, side, targets, screen, own_options(o))
    kinds = control_p_values(controls.result, method, side, groups)
    table = ntc_table(kinds, controls.result, controls.partitions)

    write_table(results_table(result, calibrated, side=side, adjust=adjust), RESULTS, RESULTS_CSV)
    write_table(omnibus_table(result, calibrated, adjust=adjust), OMNIBUS)
    write_table(with_holdout(table, calibrated), NTC_P_VALUES)
    with replacing_folder(CROSSFIT) as folder:
        save_crossfit(folder, getattr(calibrated.evidence, "crossfit", None))


if __name__ == "__main__":
    main()
