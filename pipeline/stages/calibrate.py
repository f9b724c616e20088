"""Stage calibrate: from null summaries to calibrated p-values, q-values and the results table."""

from __future__ import annotations

from pipeline.files import read_json, read_table, replacing_folder, write_table
from pipeline.stages.arguments import n_jobs, progress
from pipeline.stages.crossfit_files import load_crossfit, save_crossfit
from pipeline.stages.entry import Options, stage
from pipeline.stages.paths import (
    ACROSS,
    CONTROL,
    CROSSFIT,
    CRT,
    INPUT_REPORT,
    NTC_GUIDE_P_VALUES,
    NTC_GUIDES,
    NTC_NULL,
    NTC_P_VALUES,
    NTC_SPIKES,
    OMNIBUS,
    PROGRAMS,
    SPIKES,
    UNITS,
)
from pipeline.stages.results_files import write_results
from pipeline.stages.spike_files import save_table, why_no_spikes
from programde.analysis.across_conditions import all_conditions
from programde.analysis.calibrate import Calibrated, calibrate
from programde.analysis.control_tables import control_table
from programde.analysis.detectable import with_mde80
from programde.analysis.ntc_null import NTCNull
from programde.analysis.prespecified import with_pairs
from programde.analysis.spike_tables import spike_table
from programde.analysis.tables import (
    effect_unit,
    omnibus_table,
    results_table,
    with_programs,
)
from programde.controls.control_units_file import load_control_units
from programde.controls.crossfit import CrossFit, cross_fit
from programde.controls.options import ComparisonOptions
from programde.controls.spike_results import Spikes
from programde.crt.results import CRTResult
from programde.errors import InputError, OptionError


def against_controls(result: CRTResult, o: Options) -> tuple[Calibrated, CrossFit | None, str]:
    """`ntc_empirical` by the control units of stage ntc_null, and its cross-fit."""
    control = read_json(CONTROL)
    if control["kind"] != "complement":  # effect and p-value of a row are of one comparison
        raise OptionError(
            f"analysis.control took {control['kind']} ({control['reason']}), but "
            "calibrate=ntc_empirical compares with all other cells: "
            "choose analysis.control=complement or calibrate=saddlepoint"
        )
    units, why_not = load_control_units(NTC_NULL)
    if units is None:
        raise InputError(why_not)
    options = {key: value for key, value in o.calibrate.as_dict().items() if key != "kind"}
    rules = ComparisonOptions.from_dict(options)
    made, why_not = load_crossfit(NTC_NULL / "crossfit")
    if made is None or rules != ComparisonOptions():  # stored is that by the default rules
        made = cross_fit(units, rules, n_jobs=n_jobs(o), progress=progress())
        why_not = units.why_none_held_out
    options |= {"n_jobs": n_jobs(o), "progress": progress()}
    found = calibrate(result, "ntc_empirical", o.side, controls=units, options=options)
    return found, made, why_not


def write_spikes(method: str, side: str) -> None:
    """P-values of sets of control cells with known effects."""
    about: dict[str, object] = {"why_not": why_no_spikes(NTC_NULL / NTC_SPIKES)}
    table = None
    if not about["why_not"]:
        spikes = Spikes.load(NTC_NULL / NTC_SPIKES)
        n_draws = spikes.spiked.null.n_draws
        about |= {
            "n_treated": spikes.n_treated,
            "effective_size": spikes.effective_size,
            "smallest_p": 1 / (n_draws + 1) if method == "none" else 0.0,
        }
        try:
            table = spike_table(spikes, method, side)
        except InputError as error:
            about["why_not"] = str(error)
    with replacing_folder(SPIKES) as folder:
        save_table(folder, table, about)


@stage("calibrate")
def main(o: Options) -> None:
    result, controls = CRTResult.load(CRT), NTCNull.load(NTC_NULL)
    method, side, adjust = o.calibrate.kind, o.side, o.fdr.adjust
    if method == "ntc_empirical":
        calibrated, crossfit, why_not = against_controls(result, o)
        table = control_table(controls, method, side, crossfit)
    else:
        calibrated = calibrate(result, method, side)
        crossfit, why_not = load_crossfit(NTC_NULL / "crossfit")
        table = control_table(controls, method, side)

    units = read_table(UNITS)
    single = "guide" in units  # guides were tested one by one
    target_of = dict(zip(units["guide"], units["target"], strict=True)) if single else None
    measured_in = effect_unit(o.test.kind, o.usage.transform)
    results = results_table(
        result,
        calibrated,
        adjust=adjust,
        target_of=target_of,
        unit=measured_in,
        direct_delta=o.fdr.direct_delta,
    )
    write_table(all_conditions(results, side, adjust), ACROSS)
    programs = read_table(INPUT_REPORT / PROGRAMS).set_index("program")
    results = with_mde80(results, o.fdr.level, side)
    told = with_programs(with_pairs(results, o.pairs, adjust), programs)
    write_results(told, o.report.csv_rows)
    omnibus = omnibus_table(result, calibrated, adjust=adjust, target_of=target_of)
    write_table(omnibus, OMNIBUS)
    write_table(table, NTC_P_VALUES)
    alone = NTCNull.load(NTC_NULL / NTC_GUIDES)
    write_table(control_table(alone, method, side), NTC_GUIDE_P_VALUES)
    write_spikes(method, side)
    with replacing_folder(CROSSFIT) as folder:
        save_crossfit(folder, crossfit, why_not)


if __name__ == "__main__":
    main()
