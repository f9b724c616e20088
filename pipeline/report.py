"""What the report shows: which pictures, in which order, with which words."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.paths import METRICS, OMNIBUS, RESULTS, RESULTS_CSV
from programde.diagnostics import plots
from programde.diagnostics.blocks import Block, Picture, Table
from programde.diagnostics.page import Section
from programde.diagnostics.report import Report
from programde.screen.screen import Screen

PACKAGES = ("programde", "numpy", "scipy", "pandas", "numba", "scikit-learn", "anndata")


@dataclass
class Facts:
    """All that the report is made from."""

    screen: Screen
    results: pd.DataFrame
    omnibus: pd.DataFrame
    guides: pd.DataFrame
    control: dict[str, str]
    controls: dict[str, pd.DataFrame]
    metrics: dict[str, dict[str, Any]]
    used: str
    truth: pd.DataFrame | None
    truth_metrics: dict[str, Any] | None
    crossfit: dict[str, Any] | None
    input_summary: dict[str, Any]
    input_targets: pd.DataFrame
    input_programs: pd.DataFrame
    options: dict[str, Any]
    level: float


def draw(facts: Facts, folder: Path) -> dict[str, Path]:
    """Draw all pictures into `folder`; name -> path."""
    results, level = facts.results, facts.level
    label = "rank-biserial" if facts.options["test"]["kind"] == "utest" else "log-ratio"
    drawn: dict[str, Any] = {
        "volcano": plots.volcano(results, level=level, effect_label=f"effect ({label})"),
        "heatmap": plots.effect_heatmap(_unique_genes(results), level=level),
        "inputs": _inputs(facts),
    }
    tested = {kind: table for kind, table in facts.controls.items() if table.size}
    if tested:
        drawn["qq_ntc"] = plots.qq_panel(
            tested,
            band_for=facts.used if facts.used in tested else None,
            band_m=_tests_of_one_partition(tested, facts.used),
            scatter={"targets": results["p_value"].dropna()},
            title="Control groups against chance",
        )
        drawn["rates"] = plots.rates_figure(facts.metrics)
    if facts.truth is not None:
        drawn["truth"] = plots.truth_figure(results, facts.truth, level=level)
    for condition, part in _by_condition(results):
        title = f"{condition}"
        drawn[f"volcano_{_slug(condition)}"] = plots.volcano(part, level=level, title=title)
    paths = {
        name: plots.save_png(picture, folder / f"{name}.png") for name, picture in drawn.items()
    }
    return {**paths, **_crossfit(facts, folder)}


def compose_page(facts: Facts, pictures: dict[str, Path]) -> Report:
    """The page, ready to be written."""
    control, warning = _control(facts)
    numbers = facts.input_summary["numbers"]
    return Report(
        title="Which target shifts which program?",
        subtitle=control,
        results=facts.results,
        metrics=facts.metrics,
        kind=facts.used,
        picture=_picture(pictures, "qq_ntc", "Control groups of non-targeting guides", QQ)
        if "qq_ntc" in pictures
        else None,
        facts={"cells": int(numbers["cells"]), "programs": int(numbers["programs"])},
        omnibus=facts.omnibus.sort_values("p_acat", kind="stable"),
        evidence=[*warning, *_evidence(pictures)],
        findings=[
            _picture(pictures, "volcano", "Effect and evidence", VOLCANO, narrow=True),
            _picture(pictures, "heatmap", "Targets and programs", HEATMAP),
            _guide_table(facts),
        ],
        truth=[_picture(pictures, "truth", "Found and true effects", TRUTH)]
        if "truth" in pictures
        else [],
        truth_metrics=facts.truth_metrics,
        inputs=[_picture(pictures, "inputs", "The screen", INPUTS), *_remarks(facts)],
        notes=list(facts.screen.notes),
        more=_conditions(facts, pictures),
        settings={key: facts.options[key] for key in facts.options if key not in BESIDE},
        versions={"python": platform.python_version(), **_versions()},
        fingerprint=facts.options["data"].get("fingerprint")
        or f"built-in screen, seed {facts.options['data'].get('seed')}",
        files={
            str(RESULTS_CSV): "every target x program",
            str(RESULTS): "the same, as parquet",
            str(OMNIBUS): "every target: does it shift any program?",
            str(METRICS): "the numbers of this page",
        },
        level=facts.level,
    )


QQ = (
    "Each point is the p-value of a group of non-targeting guides on a program. Calibrated "
    "p-values follow the diagonal; above it there is more evidence than there should be."
)
VOLCANO = "Right: the program rises when the target is perturbed; up: the stronger evidence."
HEATMAP = "Orange: the program rises; blue: it falls; the deeper, the stronger the evidence."
RATES = "A dot on the line is right; the bar is its 95 % interval."
TRUTH = "What was found against what was put into this screen."
INPUTS = "How many cells stand behind each target, guides per cell, and zeros per program."
CROSSFIT = "Guides held out against the others (holdout) should follow the diagonal."
BESIDE = ("compute", "inputs", "tracking")


def _picture(
    pictures: dict[str, Path], name: str, title: str, how: str, narrow: bool = False
) -> Picture:
    return Picture(title, pictures[name].read_bytes(), how, narrow)


def _evidence(pictures: dict[str, Path]) -> list[Block]:
    blocks: list[Block] = []
    if "rates" in pictures:
        blocks.append(_picture(pictures, "rates", "How often controls look like hits", RATES))
    for name in pictures:
        if name.startswith("crossfit"):
            title = name.removeprefix("crossfit_").replace("_", " ")
            blocks.append(_picture(pictures, name, f"Held-out controls, {title}", CROSSFIT, True))
    return blocks


def _control(facts: Facts) -> tuple[str, list[Block]]:
    """Who treated cells were compared with, and a warning where that is no null."""
    words = {"complement": "all other cells", "nt_cells": "cells with non-targeting guides only"}
    kind = facts.control["kind"]
    text = f"Perturbed cells against {words[kind]} ({facts.control['reason']})."
    if kind == "complement" and facts.input_summary["numbers"]["guides_per_cell_median"] <= 1:
        return text, [
            "Warning: with one guide per cell, all other cells are perturbed too, and are no "
            "picture of chance; compare with analysis.control=nt_cells."
        ]
    return text, []


def _inputs(facts: Facts) -> Any:
    screen = facts.screen
    treated = facts.input_targets.set_index("target")["n_treated"]
    zeros = facts.input_programs.set_index("program")["at_floor"]
    per_cell = np.bincount(screen.guides.indices, minlength=screen.n_cells)
    return plots.input_figure(treated, per_cell, zeros)


def _remarks(facts: Facts) -> list[Block]:
    remarks = facts.input_summary["remarks"]
    return ["Worth a look:", list(remarks)] if remarks else []


def _guide_table(facts: Facts) -> Block:
    """Hits whose guides disagree, the worst first."""
    table = facts.guides
    hits = facts.results.loc[facts.results["q_value"] <= facts.level, ["gene", "program"]]
    hits = hits.drop_duplicates().rename(columns={"gene": "target"})
    shown = hits.merge(table, on=["target", "program"]).sort_values("heterogeneity_p")
    columns = ["target", "program", "n_guides", "sign_agreement", "heterogeneity_p", "i_squared"]
    columns += ["leading_guide", "z", "z_without_leading"]
    return Table(
        shown[columns],
        "Do the guides of a hit agree?",
        "Each guide alone, by least squares. Low agreement, or a z that vanishes without the "
        "leading guide, means that one guide carries the hit.",
        {"sign_agreement": "same sign", "heterogeneity_p": "p, guides differ"},
        {"sign_agreement": "percent", "i_squared": "percent"},
        limit=8,
    )


def _conditions(facts: Facts, pictures: dict[str, Path]) -> list[Section]:
    sections = []
    for condition, part in _by_condition(facts.results):
        hits = int((part["q_value_within"] <= facts.level).sum())
        lead = f"{hits:,} tests with q <= {facts.level:g} within this condition."
        picture = _picture(pictures, f"volcano_{_slug(condition)}", condition, VOLCANO, True)
        sections.append(Section(f"In {condition}", [picture], lead))
    return sections


def _by_condition(results: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    if "condition" not in results:
        return []
    return [(str(level), part) for level, part in results.groupby("condition", sort=True)]


def _unique_genes(results: pd.DataFrame) -> pd.DataFrame:
    """One row per gene and program: where there are conditions, a gene once for each."""
    if "condition" not in results:
        return results
    return results.assign(gene=results["gene"] + " in " + results["condition"])


def _tests_of_one_partition(tables: dict[str, pd.DataFrame], used: str) -> int | None:
    """Partitions repeat the same guides: as many p-values as one holds make the band."""
    table = tables.get(used)
    if table is None:
        table = next(iter(tables.values()))
    n_partitions = table.index.get_level_values("partition").nunique()
    return max(1, int(table.notna().sum().sum()) // n_partitions)


def _crossfit(facts: Facts, folder: Path) -> dict[str, Path]:
    """The cross-fit pictures of the NTC empirical null, where there is one."""
    if facts.crossfit is None:
        return {}
    effects = facts.results.pivot_table(index="gene", columns="program", values="effect")
    out = {"ntc_crossfit": facts.crossfit, "betas_df": effects}
    made = plots.make_ntc_empirical_qq_plots(
        out, folder, n_programs=4, make_per_batch=False, seed=facts.options["report"]["seed"]
    )
    names = [path.stem.removeprefix("qq_ntc_empirical_").removesuffix("_meta") for path in made]
    return {f"crossfit_{name}": path for name, path in zip(names, made, strict=True)}


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _slug(text: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in text)
