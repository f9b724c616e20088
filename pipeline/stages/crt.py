"""Stage crt: effects, raw p-values and null summaries of every target and program."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from pipeline.files import replacing_folder, write_json, write_table
from pipeline.stages.arguments import comparison, run_options, which_targets, workers
from pipeline.stages.entry import Options, already_said, note, stage
from pipeline.stages.paths import CHECKPOINT, CONTROL, CRT, GUIDE_EFFECTS, GUIDES, SCREEN, UNITS
from programde.analysis.separation import told_left_out, unit_support
from programde.analysis.targets import run_targets
from programde.analysis.tested_units import condition_levels, units_to_test, without_controls
from programde.controls.concordance import guide_concordance
from programde.crt.checkpoint import Checkpoint
from programde.crt.control_group import ControlGroup, choose_control
from programde.crt.results import CRTResult
from programde.crt.statistics import make_statistic
from programde.screen.chosen import let_go
from programde.screen.guides import check_ntc_labels
from programde.screen.screen import Screen
from programde.screen.store import load_screen


def guides_alone(
    screen: Screen, o: Options, where: dict[str, Any], by_condition: bool = False
) -> CRTResult:
    """Least-squares effects of each guide alone, over all cells or in those of each condition."""
    options = run_options(
        o, 0, where["executor"],
        statistic=make_statistic("ols"), min_treated=2, tails=False, shifts=False,
    )  # fmt: skip
    how = {**comparison(o), **which_targets(o), "by_condition": by_condition, **where}
    return run_targets(screen, options, unit="guide", **how)


def agreement(alone: CRTResult, screen: Screen) -> pd.DataFrame:
    """Whether the guides of each target agree."""
    effects = pd.DataFrame(alone.effect, alone.units, alone.programs)
    errors = pd.DataFrame(alone.effect_se, alone.units, alone.programs)
    return guide_concordance(effects, errors, screen.guide_to_target)


def guide_effects(alone: CRTResult, screen: Screen) -> pd.DataFrame:
    """Each guide alone on each program, one row per pair (and condition)."""
    n = len(alone.programs)
    table = pd.DataFrame(
        {
            "guide": np.repeat(np.array(alone.units, dtype=object), n),
            "target": np.repeat([screen.guide_to_target[g] for g in alone.units], n),
            "program": np.tile(np.array(alone.programs, dtype=object), len(alone.units)),
            "effect": alone.effect.ravel(),
            "effect_se": alone.effect_se.ravel(),
            "n_treated": np.repeat(alone.n_treated, n),
        }
    )
    if any(alone.condition):
        table.insert(0, "condition", np.repeat(np.array(alone.condition, dtype=object), n))
    return table


def tested(
    screen: Screen, o: Options, control: ControlGroup, alone: pd.DataFrame, where: dict[str, Any]
) -> pd.DataFrame:
    """Test all units, save what that gives; what stands behind each of them, as a table."""
    labels = check_ntc_labels(screen.guide_to_target, o.data.ntc_labels)
    units = units_to_test(
        screen,
        labels,
        o.analysis.targets,
        o.analysis.unit,
        exclude_targets=o.analysis.exclude_targets,
        exclude_guides=o.analysis.exclude_guides,
    )
    levels = condition_levels(screen) if o.analysis.by_condition else [""]
    result = run_targets(
        screen,
        run_options(o, o.n_resamples, where["executor"]),
        unit=o.analysis.unit,
        **comparison(o),
        **which_targets(o),
        **where,
    )
    with replacing_folder(CRT) as folder:
        result.save(folder)
        write_table(alone, folder / GUIDE_EFFECTS)
    let_go()
    return unit_support(
        screen,
        units,
        control,
        result.probability,
        levels=levels,
        drop_empty_batches=o.analysis.drop_empty_batches,
        target_of=screen.guide_to_target if o.analysis.unit == "guide" else None,
    )


@stage("crt")
def main(o: Options) -> None:
    screen = load_screen(SCREEN)
    already_said(screen.notes)
    labels = check_ntc_labels(screen.guide_to_target, o.data.ntc_labels)
    control = choose_control(
        without_controls(screen, labels, o.analysis.exclude_guides),
        o.analysis.control,
        labels,
        o.analysis.cells_with_other_targets,
    )
    with workers(o) as executor, Checkpoint(f"{CHECKPOINT}crt") as checkpoint:
        where = {"executor": executor, "checkpoint": checkpoint}
        alone = guides_alone(screen, o, where)
        agree, effects = agreement(alone, screen), guide_effects(alone, screen)
        if o.analysis.by_condition:
            effects = guide_effects(guides_alone(screen, o, where, True), screen)
        del alone  # of tens of thousands of guides it is large
        support = tested(screen, o, control, effects, where)
    separated = int((support["note"] != "").sum())
    if separated:
        note(f"{separated} of {len(support)} units are separated from their controls: see {UNITS}")
    write_table(support, UNITS)
    write_table(agree, GUIDES)
    about = {"kind": control.kind, "reason": control.reason, "warning": control.warning}
    write_json(CONTROL, {**about, "left_out": told_left_out(support)})


if __name__ == "__main__":
    main()
