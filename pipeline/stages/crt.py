"""Stage crt: effects, raw p-values and null summaries of every target and program."""

from __future__ import annotations

import pandas as pd

from pipeline.files import replacing_folder, write_json, write_table
from pipeline.stages.arguments import comparison, run_options, which_targets
from pipeline.stages.entry import Options, note, stage
from pipeline.stages.paths import CONTROL, CRT, GUIDES, SCREEN, UNITS
from programde.analysis.separation import told_left_out, unit_support
from programde.analysis.targets import (
    condition_levels,
    run_targets,
    units_to_test,
    without_controls,
)
from programde.controls.concordance import guide_concordance
from programde.crt.control_group import ControlGroup, choose_control
from programde.crt.statistics import make_statistic
from programde.screen.guides import check_ntc_labels
from programde.screen.screen import Screen
from programde.screen.store import load_screen


def guides_alone(screen: Screen, o: Options) -> pd.DataFrame:
    """Whether the guides of each target agree: their least-squares effects, each guide alone."""
    options = run_options(o, 0, statistic=make_statistic("ols"), min_treated=2, tails=False)
    how = {**comparison(o), **which_targets(o), "by_condition": False}
    result = run_targets(screen, options, unit="guide", **how)
    effects = pd.DataFrame(result.effect, result.units, result.programs)
    errors = pd.DataFrame(result.effect_se, result.units, result.programs)
    return guide_concordance(effects, errors, screen.guide_to_target)


def tested(screen: Screen, o: Options, control: ControlGroup) -> pd.DataFrame:
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
        run_options(o, o.n_resamples),
        unit=o.analysis.unit,
        **comparison(o),
        **which_targets(o),
    )
    with replacing_folder(CRT) as folder:
        result.save(folder)
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
    labels = check_ntc_labels(screen.guide_to_target, o.data.ntc_labels)
    control = choose_control(
        without_controls(screen, labels, o.analysis.exclude_guides),
        o.analysis.control,
        labels,
        o.analysis.cells_with_other_targets,
    )
    support = tested(screen, o, control)
    separated = int((support["note"] != "").sum())
    if separated:
        note(f"{separated} of {len(support)} units are separated from their controls: see {UNITS}")
    write_table(support, UNITS)
    write_table(guides_alone(screen, o), GUIDES)
    about = {"kind": control.kind, "reason": control.reason, "warning": control.warning}
    write_json(CONTROL, {**about, "left_out": told_left_out(support)})


if __name__ == "__main__":
    main()
