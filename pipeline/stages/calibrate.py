"""Stage calibrate: from null summaries to calibrated p-values, q-values and the results table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from pipeline.files import replacing_folder, write_table
from pipeline.stages.crossfit_files import save_crossfit
from pipeline.stages.entry import Options, stage
from pipeline.stages.options import n_jobs, progress
from pipeline.stages.paths import (
    ACROSS,
    CROSSFIT,
    CRT,
    NTC_NULL,
    NTC_P_VALUES,
    OMNIBUS,
    RESULTS,
    RESULTS_CSV,
)
from pipeline.stages.paths import SCREEN as SCREEN_FOLDER
from programde.analysis.across_conditions import across_conditions
from programde.analysis.calibrate import Calibrated, calibrate, raw_p
from programde.analysis.tables import ntc_table, omnibus_table, results_table
from programde.analysis.targets import NTCNull
from programde.controls.empirical_null import ntc_empirical_null
from programde.controls.groups import ntc_columns
from programde.controls.options import EmpiricalNullOptions
from programde.crt.control_group import choose_control
from programde.crt.results import CRTResult
from programde.errors import InputError, OptionError
from programde.screen.screen import Screen
from programde.screen.store import load_screen

#: Kind of the p-values of control groups that are combined over conditions.
OVER_CONDITIONS = "over_conditions"


def check_comparison(screen: Screen, o: Options) -> None:
    """Effect and p-value of a row must belong to one comparison; asked before the long work."""
    if o.calibrate.kind != "ntc_empirical":
        return
    chosen = choose_control(screen, o.analysis.control, o.data.ntc_labels)
    if chosen.kind != "complement":
        raise OptionError(
            f"analysis.control={o.analysis.control} took {chosen.kind} ({chosen.reason}), but "
            "calibrate=ntc_empirical compares with all other cells: "
            "choose analysis.control=complement or calibrate=saddlepoint"
        )


def own_options(o: Options) -> dict[str, Any]:
    """The options of the calibration itself."""
    options = o.calibrate.as_dict()
    options.pop("kind")
    if o.calibrate.kind == "ntc_empirical":
        options |= {"ntc_labels": o.data.ntc_labels, "seed": o.seed}
        options |= {"n_jobs": n_jobs(o), "progress": progress()}
    return options


def control_p_values(controls: CRTResult, side: str) -> dict[str, np.ndarray]:
    """P-values of the control groups, of every kind that is at hand, by kind."""
    kinds: dict[str, np.ndarray] = {}
    if controls.null.n_draws > 0:
        kinds["raw"] = raw_p(controls, side)
        kinds["skew_normal"] = calibrate(controls, "skew_normal", side).p_value
    if controls.tails is not None:  # a sampler may come without
        kinds["saddlepoint"] = calibrate(controls, "saddlepoint", side).p_value
    return kinds


def with_holdout(table: pd.DataFrame, calibrated: Calibrated) -> pd.DataFrame:
    """The control p-values and, against the NTC guides themselves, those of held-out ones."""
    crossfit = getattr(calibrated.evidence, "crossfit", None)
    if not crossfit:
        return table
    held_out = crossfit["meta"]["pvals_holdout"].rename_axis(index="group", columns="program")
    rows = held_out.stack(future_stack=True).rename(calibrated.method).reset_index()
    # sets that share guides are no independent evidence: those of one layer share none
    rows["partition"] = rows["group"].map(crossfit["meta"]["layer_holdout"])
    rows["group"] = rows["group"].astype(str)
    return pd.concat([table, rows.assign(condition="")], ignore_index=True)


def with_combined(
    table: pd.DataFrame, controls: NTCNull, p_value: np.ndarray, results: pd.DataFrame, side: str
) -> pd.DataFrame:
    """The control p-values and, where targets are combined over conditions, controls likewise."""
    if "condition" not in results or side != "both":
        return table
    unnamed = np.full(p_value.shape, "", dtype=object)
    groups = results_table(controls.result, Calibrated("", p_value, unnamed), level="group")
    across = across_conditions(groups).rename(columns={"p_value": OVER_CONDITIONS})
    across = across[["group", "program", OVER_CONDITIONS]].assign(condition="")
    parts = [
        across[across["group"].isin(partition.values())].assign(partition=number)
        for number, partition in enumerate(controls.partitions)
    ]
    return pd.concat([table, *parts], ignore_index=True)


def held_out_controls(
    screen: Screen, calibrated: Calibrated, o: Options
) -> tuple[dict[str, Any] | None, str]:
    """The cross-fit of the NTC guides, where there are enough; else None and why not."""
    if o.calibrate.kind == "ntc_empirical":
        made = getattr(calibrated.evidence, "crossfit", None)
        return made, "" if made else "not asked for: calibrate.crossfit=False"
    n_guides = len(ntc_columns(screen.guide_names, screen.guide_to_target, o.data.ntc_labels))
    if n_guides < o.crossfit.min_guides:
        least = o.crossfit.min_guides
        return None, f"{n_guides} non-targeting guides, fewer than crossfit.min_guides={least}"
    options = EmpiricalNullOptions(
        ntc_labels=tuple(o.data.ntc_labels),
        batch_mode="pooled" if screen.batch is None else "meta",
        n_ntc_units=o.crossfit.n_ntc_units,
        n_holdout_units=o.crossfit.n_holdout_units,
        min_treated=o.analysis.min_treated,
        min_control=o.analysis.min_control,
    )
    how = {"seed": o.seed, "crossfit": True, "n_jobs": n_jobs(o), "progress": progress()}
    try:
        return ntc_empirical_null(screen, None, options, **how).crossfit, ""
    except InputError as error:  # a screen may serve for all else and not for this
        return None, str(error)


def target_of(screen: Screen, unit: str) -> Mapping[str, str] | None:
    """The target of each guide, where guides were tested one by one."""
    return screen.guide_to_target if unit == "guide" else None


def combined(results: pd.DataFrame, side: str, adjust: str) -> pd.DataFrame:
    """Evidence over conditions; a header without rows where there are none, or one-sided ones."""
    if "condition" in results and side == "both":
        return across_conditions(results, adjust)
    return across_conditions(results.iloc[:0].assign(condition=""), adjust)


@stage("calibrate")
def main(o: Options) -> None:
    screen = load_screen(SCREEN_FOLDER)
    result, controls = CRTResult.load(CRT), NTCNull.load(NTC_NULL)
    method, side, adjust = o.calibrate.kind, o.side, o.fdr.adjust
    check_comparison(screen, o)
    calibrated = calibrate(result, method, side, screen=screen, options=own_options(o))
    kinds = control_p_values(controls.result, side)
    table = ntc_table(kinds, controls.result, controls.partitions)

    how = {"adjust": adjust, "target_of": target_of(screen, o.analysis.unit)}
    results = results_table(result, calibrated, side=side, **how)
    write_table(combined(results, side, adjust), ACROSS)
    write_table(results, RESULTS, RESULTS_CSV)
    write_table(omnibus_table(result, calibrated, **how), OMNIBUS)
    used = kinds.get("raw" if method == "none" else method)
    if used is not None:
        table = with_combined(table, controls, used, results, side)
    write_table(with_holdout(table, calibrated), NTC_P_VALUES)
    crossfit, why_not = held_out_controls(screen, calibrated, o)
    with replacing_folder(CROSSFIT) as folder:
        save_crossfit(folder, crossfit, why_not)


if __name__ == "__main__":
    main()
