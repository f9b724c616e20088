"""Stage ntc_null: groups of non-targeting guides tested as if they were targets; control units."""

from __future__ import annotations

import warnings
from concurrent.futures import Executor
from typing import Any

from pipeline.files import replacing_folder
from pipeline.stages.arguments import (
    comparison,
    group_options,
    n_jobs,
    progress,
    run_options,
    which_targets,
    workers,
)
from pipeline.stages.crossfit_files import save_crossfit
from pipeline.stages.entry import Options, already_said, stage
from pipeline.stages.paths import CHECKPOINT, NTC_GUIDES, NTC_NULL, NTC_SPIKES, SCREEN
from pipeline.stages.spike_files import save_spikes
from programde.analysis.ntc_groups import run_ntc_groups
from programde.analysis.ntc_null import NTCNull
from programde.analysis.spiked_controls import run_spikes
from programde.analysis.targets import given_what_can_be
from programde.controls.control_units import ControlUnits, control_units
from programde.controls.control_units_file import save_control_units
from programde.controls.crossfit import CrossFit, cross_fit, too_few_guides
from programde.controls.options import ControlUnitOptions, CrossfitOptions, SpikeOptions
from programde.controls.spike_results import Spikes
from programde.crt.checkpoint import Checkpoint
from programde.crt.memory_need import memory_need
from programde.crt.options import RunOptions
from programde.errors import InputError, ProgramDEWarning
from programde.memory import budget
from programde.screen.chosen import brought_in, is_stored
from programde.screen.screen import Screen
from programde.screen.store import load_screen


def as_complement(screen: Screen) -> float:
    """Bytes that comparing with all cells takes."""
    sizes = (screen.n_cells, screen.n_programs, screen.covariates.shape[1])
    return memory_need(*sizes, n_units=0, n_resamples=0).total(1)


def units_of(screen: Screen, o: Options) -> tuple[ControlUnits | None, str]:
    """What targets are compared with by calibrate=ntc_empirical; None and why not."""
    if is_stored(screen):
        need, most = as_complement(screen), budget(o.compute.memory)
        if most is not None and need > most:
            return None, (
                f"control units are compared with all {screen.n_cells:,} cells, which takes "
                f"{need / 1e9:,.1f} GB, and {most / 1e9:,.1f} GB may be used (compute.memory)"
            )
        screen = brought_in(screen)
    options = ControlUnitOptions(**o.controls.units.as_dict())
    crossfit = CrossfitOptions(**o.crossfit.as_dict())
    try:
        made = control_units(
            screen,
            o.data.ntc_labels,
            options,
            crossfit=crossfit,
            seed=o.seed,
            exclude_guides=o.analysis.exclude_guides,
        )
        return made, ""
    except InputError as error:  # a screen may serve for all else and not for this
        return None, str(error)


def held_out(units: ControlUnits, o: Options) -> tuple[CrossFit | None, str]:
    """The cross-fit by the default rules of comparison; None and why not."""
    if few := too_few_guides(units, o.crossfit.min_guides):
        return None, few
    made = cross_fit(units, n_jobs=n_jobs(o), progress=progress())
    return made, units.why_none_held_out


def as_tested(screen: Screen, o: Options, executor: Executor | None = None) -> RunOptions:
    """The options of stage crt, which warns where the screen allows less than what is asked for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ProgramDEWarning)
        return given_what_can_be(screen, run_options(o, o.n_resamples, executor))


def tested(screen: Screen, o: Options, where: dict[str, Any], **instead: int) -> NTCNull:
    """Tests of groups of control guides; `group_size=1` for each guide alone."""
    how = {**comparison(o), **group_options(o), **instead, **where}
    return run_ntc_groups(screen, as_tested(screen, o, where["executor"]), seed=o.seed, **how)


def with_effects(screen: Screen, o: Options, where: dict[str, Any]) -> tuple[Spikes | None, str]:
    """Sets of control cells with known effects; None and why not."""
    options = SpikeOptions(**o.spikes.as_dict())
    if not options.n_sets:
        return None, "spikes.n_sets is 0"
    how = {**comparison(o), **which_targets(o), "unit": o.analysis.unit, **where}
    try:
        return run_spikes(screen, as_tested(screen, o, where["executor"]), options, **how), ""
    except InputError as error:  # too few control cells, say
        return None, str(error)


@stage("ntc_null")
def main(o: Options) -> None:
    screen = load_screen(SCREEN)
    already_said(screen.notes)
    with Checkpoint(f"{CHECKPOINT}ntc_null") as checkpoint:
        with workers(o) as executor:
            where = {"executor": executor, "checkpoint": checkpoint}
            groups = tested(screen, o, where)
            # the same guides looked at one by one: more evidence for the verdict
            guides = groups if groups.group_size == 1 else tested(screen, o, where, group_size=1)
            spikes, why_no_spikes = with_effects(screen, o, where)
        units, why_not = units_of(screen, o)
        crossfit, why_no_crossfit = held_out(units, o) if units else (None, why_not)
        with replacing_folder(NTC_NULL) as folder:
            groups.save(folder)
            guides.save(folder / NTC_GUIDES)
            save_control_units(folder, units, why_not)
            save_spikes(folder / NTC_SPIKES, spikes, why_no_spikes)
            save_crossfit(folder / "crossfit", crossfit, why_no_crossfit)


if __name__ == "__main__":
    main()
