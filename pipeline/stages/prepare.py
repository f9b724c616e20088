"""Stage prepare: the screen, read, checked, aligned and transformed."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd

from pipeline.files import replacing_folder, write_json, write_table
from pipeline.stages.entry import Options, note, stage
from pipeline.stages.paths import INPUT_REPORT, PROGRAMS, SCREEN, TRUTH
from programde.analysis.covariate_check import check_covariates
from programde.errors import ProgramDEWarning
from programde.io import READERS
from programde.io.control_pairs import check_positive_controls
from programde.io.pairs import check_pairs
from programde.screen.chosen import is_stored
from programde.screen.composition import Floor
from programde.screen.guides import check_ntc_labels, compute_guide_burden
from programde.screen.input_report import input_report
from programde.screen.screen import Screen
from programde.screen.store import save_screen

#: Column of the covariate table by which cells may be stratified; not a covariate of the model.
BURDEN = "log1p_non_ntc_guides_per_cell"

#: Keys of data that say how results are read, not what the screen is.
BESIDE_THE_SCREEN = ("ntc_labels", "effect_of_guides", "positive_controls")
#: Files that are none of the screen's.
OTHER_FILES = ("pairs", "positive_controls", "gene_sets")


def read(o: Options) -> tuple[Screen, pd.DataFrame]:
    """The screen, and its true effects (targets x programs; empty where they are not known)."""
    data = o.data.as_dict()
    kind = data.pop("kind")
    for key in BESIDE_THE_SCREEN:
        data.pop(key)
    data.pop("fingerprint", None)
    build = {"floor": floor(o.usage), **o.covariates.as_dict()}
    if kind != "synthetic":
        files = {k: where for k, where in o.inputs.as_dict().items() if k not in OTHER_FILES}
        memory = o.compute.memory
        return READERS[kind](**files, **data, **build, memory=memory), pd.DataFrame()
    from programde.io.anndata import screen_from_anndata
    from programde.screen.synthetic import make_sceptre_style_synth, true_effects

    condition = data.pop("condition_key")
    adata = make_sceptre_style_synth(**data)
    screen = screen_from_anndata(adata, usage_key="usage", condition_key=condition, **build)
    return screen, true_effects(adata)


def floor(usage: Options) -> Floor:
    """The floor of the usages."""
    return Floor(**usage.as_dict())


def with_burden(screen: Screen, ntc_labels: list[str]) -> Screen:
    """The screen with each cell's guide burden among what it may be stratified by."""
    table = screen.covariate_table
    if table is None:
        names = range(screen.n_cells) if is_stored(screen) else screen.cell_names
        table = pd.DataFrame(index=names)
    if BURDEN in table:
        return screen
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ProgramDEWarning)  # all of it was told before
        burden = compute_guide_burden(
            screen.guides,
            guide_names=screen.guide_names,
            guide2gene=screen.guide_to_target,
            ntc_labels=ntc_labels,
        )
    return replace(screen, covariate_table=table.assign(**{BURDEN: np.asarray(burden)}))


def on_disk(screen: Screen, looked_at: int) -> list[str]:
    """What is to be known of a screen that is not in memory."""
    if not is_stored(screen):
        return []
    told = (
        f"usages of {screen.n_cells:,} cells x {screen.n_programs:,} programs stay on disk "
        "(compute.memory): targets are tested in groups whose cells fit"
    )
    if looked_at < screen.n_cells:
        told += f", and the check of covariates looked at {looked_at:,} cells"
    return [told]


def in_one_line(numbers: dict[str, float | int]) -> str:
    """What came in, before any long work."""
    return (
        f"screen: {numbers['cells']:,} cells x {numbers['programs']:,} programs, "
        f"{numbers['targets']:,} targets ({numbers['guides']:,} guides, "
        f"{numbers['guides_per_cell_median']:g} per cell, median), "
        f"{numbers['treated_per_target_min']:,} to {numbers['treated_per_target_max']:,} treated "
        f"cells per target, {numbers['batches']:,} batches, "
        f"{numbers['usages_at_floor']:.0%} of the usages "
        + (f"at the floor of {numbers['floor']:.2g}" if numbers["floor"] else "are 0")
    )


@stage("prepare")
def main(o: Options) -> None:
    screen, truth = read(o)
    said: list[str] = []
    labels = check_ntc_labels(screen.guide_to_target, o.data.ntc_labels, notes=said)
    screen = replace(screen, notes=(*screen.notes, *said))
    targets = list(screen.target_columns())
    check_pairs(o.pairs, targets, screen.program_names)
    check_positive_controls(o.data.positive_controls or (), targets, screen.program_names)
    screen = with_burden(screen, labels)
    report = input_report(screen, ntc_labels=labels)
    check = check_covariates(screen)
    kept = on_disk(screen, int(check.numbers.get("cells_looked_at", screen.n_cells)))
    screen = replace(screen, notes=(*screen.notes, *kept))
    report.remarks.extend([check.sentence] if check.sentence else [])
    print(in_one_line(report.numbers), flush=True)
    for remark in [*kept, *report.remarks]:
        note(remark)
    with replacing_folder(SCREEN) as folder:
        save_screen(screen, folder)
    with replacing_folder(INPUT_REPORT) as folder:
        write_json(folder / "summary.json", {"numbers": report.numbers, "remarks": report.remarks})
        write_table(report.targets, folder / "targets.parquet")
        write_table(report.programs, folder / PROGRAMS)
        write_table(report.batches, folder / "batches.parquet")
        about = {"numbers": check.numbers, "sentence": check.sentence}
        write_json(folder / "covariate_check.json", about)
        write_table(check.targets, folder / "covariate_check_targets.parquet")
        write_table(check.programs, folder / "covariate_check_programs.parquet")
    write_table(truth, TRUTH)


if __name__ == "__main__":
    main()
