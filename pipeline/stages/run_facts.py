"""The facts of a run, read from what the stages before diagnostics left."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pipeline.files import read_json, read_table
from pipeline.stages import paths
from pipeline.stages.crossfit_files import load_crossfit
from pipeline.stages.entry import Options, already_said
from pipeline.stages.spike_files import load_table
from programde.analysis.detectable import smallest_seen
from programde.analysis.gene_sets import gene_set_table, no_gene_sets
from programde.analysis.hit_cells import HitCells, hit_cells
from programde.analysis.ntc_null import load_correlation
from programde.analysis.switching import switching
from programde.analysis.tested_units import without_controls
from programde.crt.control_group import choose_control
from programde.errors import tell
from programde.io.gmt import read_gmt
from programde.report.control_groups import metrics_by_kind, signs_of, tables_by_kind
from programde.report.details import strongest_hits
from programde.report.facts import Comparison, Controls, Facts, Inputs, Metrics, Truth
from programde.report.findings import truth_metrics
from programde.report.own_programs import n_leading, own_gene_ranks
from programde.report.positive_controls import expected_effects
from programde.report.power import Missed
from programde.screen.guides import check_ntc_labels
from programde.screen.screen import Screen
from programde.screen.spectra import top_genes
from programde.screen.store import load_screen

#: Sections of the configuration that say where and how fast, not what.
BESIDE = ("compute", "inputs", "tracking")
FILES = {
    paths.RESULTS_CSV: "every target x program",
    paths.RESULTS: "the same, as parquet",
    paths.OMNIBUS: "every target: does it shift any program?",
    paths.GUIDES: "every target x program: do its guides agree?",
    paths.UNITS: "every target: its cells, its batches, separation",
    paths.ACROSS: "every target x program over all conditions",
    paths.POWER: "power: share of known effects that were found",
    paths.GENE_SETS: "gene sets of each program's genes (report.gene_sets)",
    paths.METRICS: "the numbers of this page",
    paths.FIGURES / "volcano.csv": "what a picture shows; each has its own beside it",
}


def controls(o: Options) -> Controls:
    """What the control groups show."""
    table = read_table(paths.NTC_P_VALUES)
    tables = tables_by_kind(table)
    crossfit, why_not = load_crossfit(paths.CROSSFIT, per_batch=False)
    groups = read_json(paths.NTC_NULL / "groups.json")
    return Controls(
        used="raw" if o.calibrate.kind == "none" else o.calibrate.kind,
        p_values=tables,
        metrics=metrics_by_kind(
            tables,
            o.report.n_boot,
            o.report.seed,
            groups["guides"],
            signs_of(table),
            load_correlation(paths.NTC_NULL),
        ),
        guides=single_guides(o) if groups["group_size"] > 1 else {},
        group_size=groups["group_size"],
        crossfit=crossfit,
        why_no_crossfit=why_not,
    )


def single_guides(o: Options) -> dict[str, Metrics]:
    """What control guides show one by one."""
    table = read_table(paths.NTC_GUIDE_P_VALUES)
    return metrics_by_kind(
        tables_by_kind(table),
        o.report.n_boot,
        o.report.seed,
        signs=signs_of(table),
        correlation=load_correlation(paths.NTC_NULL),
    )


def expected(o: Options, screen: Screen, results: pd.DataFrame) -> pd.DataFrame | None:
    """The positive controls: targets whose own gene leads a program, and those named by hand."""
    spectra = screen.spectra
    targets = list(results["target"].unique())
    own = None
    if spectra is not None:
        own = own_gene_ranks(top_genes(spectra, n_leading(spectra.shape[1])), targets)
    return expected_effects(own, o.data.positive_controls or (), o.data.effect_of_guides)


def gene_sets(o: Options, screen: Screen) -> pd.DataFrame:
    """The gene sets that programs' leading genes belong to; empty where none were given."""
    if o.report.gene_sets is None:
        return no_gene_sets()
    spectra = screen.spectra
    if spectra is None:
        tell("report.gene_sets is not used: nothing says which genes make the programs")
        return no_gene_sets()
    return gene_set_table(spectra, read_gmt(o.inputs.gene_sets))


def behind_hits(o: Options, screen: Screen, results: pd.DataFrame) -> list[HitCells]:
    """The cells behind the strongest hits."""
    hits = strongest_hits(results, o.fdr.level, o.report.n_opened)
    if not len(hits):
        return []
    labels = check_ntc_labels(screen.guide_to_target, o.data.ntc_labels)
    without = o.analysis.exclude_guides
    control = choose_control(
        without_controls(screen, labels, without),
        read_json(paths.CONTROL)["kind"],
        labels,
        o.analysis.cells_with_other_targets,
    )
    memory = o.compute.memory
    return hit_cells(screen, hits, control, exclude_guides=without, memory=memory)


def inputs(screen: Screen) -> Inputs:
    """What came in."""
    already_said(screen.notes)
    summary = read_json(paths.INPUT_REPORT / "summary.json")
    targets = read_table(paths.INPUT_REPORT / "targets.parquet").set_index("target")
    programs = read_table(paths.INPUT_REPORT / paths.PROGRAMS).set_index("program")
    return Inputs(
        numbers=summary["numbers"],
        remarks=summary["remarks"],
        treated_cells=targets["n_treated"],
        at_floor=programs["at_floor"],
        guides_per_cell=np.bincount(screen.guides.indices, minlength=screen.n_cells),
        notes=screen.notes,
    )


def missed(o: Options, screen: Screen, results: pd.DataFrame) -> Missed:
    """Power by known effects in control cells, and how the means of hits changed."""
    table, about = load_table(paths.SPIKES)
    numbers = {key: value for key, value in about.items() if key != "why_not"}
    if table is None:
        return Missed(None, about["why_not"])
    labels = check_ntc_labels(screen.guide_to_target, o.data.ntc_labels)
    of = "guide" if "guide" in results else "target"
    columns = screen.target_columns()
    hits = results.loc[results["q_value"] <= o.fdr.level, [of, "program"]].drop_duplicates()
    units = {
        name: screen.unit(name, [name] if of == "guide" else
                          [screen.guide_names[c] for c in columns[name]])
        for name in hits[of].unique()
    }  # fmt: skip
    control = choose_control(screen, read_json(paths.CONTROL)["kind"], labels)
    pairs = hits.itertuples(index=False, name=None)
    how = switching(screen, units, pairs, control, o.compute.memory)
    return Missed(
        table,
        "",
        **numbers,
        switched=float(how["switched"].abs().sum()),
        changed=float(how["changed"].abs().sum()),
    )


def read_facts(o: Options) -> Facts:
    """All that the report is made from."""
    results, effects = read_table(paths.RESULTS), read_table(paths.TRUTH)
    screen = load_screen(paths.SCREEN)
    built_in = f"built-in screen, seed {o.data.as_dict().get('seed')}"
    programs = read_table(paths.INPUT_REPORT / paths.PROGRAMS).set_index("program")
    return Facts(
        results=results,
        programs=programs[["label", "top_genes"]],
        controls=controls(o),
        comparison=Comparison(**read_json(paths.CONTROL)),
        inputs=inputs(screen),
        omnibus=read_table(paths.OMNIBUS),
        across=read_table(paths.ACROSS),
        guides=read_table(paths.GUIDES),
        units=read_table(paths.UNITS),
        expected=expected(o, screen, results),
        gene_sets=gene_sets(o, screen),
        hit_cells=behind_hits(o, screen, results),
        guide_effects=read_table(paths.CRT / paths.GUIDE_EFFECTS),
        truth=Truth(effects, truth_metrics(results, effects)) if len(effects) else None,
        missed=missed(o, screen, results),
        smallest_seen=smallest_seen(results, "guide" if "guide" in results else "target"),
        level=o.fdr.level,
        few=o.analysis.min_treated,
        effect_label=results["effect_unit"].iloc[0],
        usage_label=screen.effect_unit,
        seed=o.report.seed,
        settings={key: value for key, value in o.as_dict().items() if key not in BESIDE},
        fingerprint=o.data.as_dict().get("fingerprint") or built_in,
        files={str(path): holds for path, holds in FILES.items()},
    )
