"""The pictures of a run: which are drawn, and with which title and sentence they are shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from programde.report.blocks import Block, Picture
from programde.report.control_groups import of_condition, tests_of_one_partition
from programde.report.crossfit_plots import PREFIX, make_ntc_empirical_qq_plots
from programde.report.effect_plots import effect_heatmap, volcano
from programde.report.facts import Facts
from programde.report.qq_plots import qq_panel, qq_small_multiples
from programde.report.style import file_names, save_png, styled
from programde.report.summary_plots import input_figure, rates_figure, truth_figure

VOLCANO = "Right: the program rises when the target is perturbed; up: the stronger evidence."
HEATMAP = "Orange: the program rises; blue: it falls; the deeper, the stronger the evidence."

#: Name -> title, how to read it, and whether it may stand beside another picture.
SHOWN: dict[str, tuple[str, str, bool]] = {
    "qq_ntc": (
        "Control groups of non-targeting guides",
        "Each point is the p-value of a group of non-targeting guides on a program. Calibrated "
        "p-values follow the diagonal; above it there is more evidence than there should be.",
        False,
    ),
    "volcano": ("Effect and evidence", VOLCANO, True),
    "heatmap": ("Targets and programs", HEATMAP, False),
    "rates": (
        "How often controls look like hits",
        "A dot on the line is right; the bar is its 95 % interval.",
        False,
    ),
    "truth": ("Found and true effects", "What was found against what was put in.", False),
    "inputs": (
        "The screen",
        "How many cells stand behind each target, guides per cell, and usages at the floor (exact "
        "zeros, mostly) per program.",
        False,
    ),
    "qq_conditions": (
        "Control groups, condition by condition",
        "As above, in the cells of each condition: curves should follow the diagonal.",
        False,
    ),
}
CROSSFIT = "Held-out guides should follow the diagonal; targets rise above it where they act."

Drawn = dict[str, Axes | Figure]


@dataclass(frozen=True)
class Pictures:
    """Pictures by name, ready for the page; those of held-out guides apart."""

    named: Mapping[str, Picture]
    held_out: Mapping[str, Picture]

    def some(self, *names: str) -> list[Block]:
        """Those of these pictures that were drawn."""
        return [self.named[name] for name in names if name in self.named]

    def crossfit(self) -> list[Block]:
        """The pictures of held-out controls."""
        return list(self.held_out.values())


NONE = Pictures({}, {})


@styled
def draw_pictures(facts: Facts, folder: Path) -> Pictures:
    """Draw all pictures into `folder`, as PNG files."""
    drawn: Drawn = {**_found(facts), **_controls(facts)}
    inputs = facts.inputs
    drawn["inputs"] = input_figure(
        inputs.treated_cells, inputs.guides_per_cell, inputs.at_floor, few=facts.few
    )
    if facts.truth is not None:
        drawn["truth"] = truth_figure(facts.results, facts.truth.effects, level=facts.level)
    files = file_names(drawn)
    named = {}
    for name, picture in drawn.items():
        path = save_png(picture, folder / f"{files[name]}.png")
        title, how_to_read, narrow = SHOWN[name.split(" in ")[0]]
        named[name] = Picture(title, path.read_bytes(), how_to_read, narrow)
    return Pictures(named, _held_out(facts, folder))


def _found(facts: Facts) -> Drawn:
    """Volcano and heatmap, over all and condition by condition."""
    label, level = f"effect ({facts.effect_label})", facts.level
    of, results = facts.tested, facts.results
    if "condition" in results:  # a target stands once for each
        results = results.assign(**{of: results[of] + " in " + results["condition"]})
    drawn: Drawn = {
        "volcano": volcano(results, level=level, effect_label=label),
        "heatmap": effect_heatmap(results, level=level),
    }
    for condition, part in facts.conditions():
        part = part.assign(q_value=part["q_value_within"])
        drawn[f"volcano in {condition}"] = volcano(
            part, level=level, effect_label=label, title=condition
        )
        drawn[f"heatmap in {condition}"] = effect_heatmap(part, level=level, title=condition)
    return drawn


def _controls(facts: Facts) -> Drawn:
    """What the control groups show: all kinds of p-values side by side."""
    tables = {kind: table for kind, table in facts.controls.p_values.items() if table.size}
    if not tables:
        return {}
    used = facts.controls.used if facts.controls.used in tables else None
    judged = tables[used] if used is not None else next(iter(tables.values()))
    drawn: Drawn = {
        "qq_ntc": qq_panel(
            tables,
            band_for=used,
            band_m=tests_of_one_partition(judged),
            scatter={f"{facts.tested}s": facts.results["p_value"].dropna()},
            title="Control groups against chance",
        ),
        "rates": rates_figure(facts.controls.metrics),
    }
    levels = [level for level, _ in facts.conditions()]
    if levels:
        panels = {level: of_condition(tables, level) for level in levels}
        drawn["qq_conditions"] = qq_small_multiples(panels, band_for=used)
    return drawn


def _held_out(facts: Facts, folder: Path) -> dict[str, Picture]:
    """The pictures of the cross-fit, where there is one."""
    if facts.controls.crossfit is None:
        return {}
    effects = facts.results.pivot_table(index=facts.tested, columns="program", values="effect")
    out = {"ntc_crossfit": facts.controls.crossfit, "betas_df": effects}
    paths = make_ntc_empirical_qq_plots(
        out, folder, n_programs=3, make_per_batch=False, seed=facts.seed
    )
    pictures = {}
    for path in paths:
        name = path.stem.removeprefix(PREFIX).removesuffix("_meta")
        what = "all programs" if name == "genelevel" else name.removeprefix("program_")
        title = f"Held-out guides: {what}"
        pictures[name] = Picture(title, path.read_bytes(), CROSSFIT, narrow=True)
    return pictures
