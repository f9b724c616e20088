"""The pictures of the report: drawn into files, shown with a title and a sentence on reading."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from programde.report import plots
from programde.report.blocks import Block, Picture
from programde.report.checked_tables import tested_column

if TYPE_CHECKING:
    from programde.report.contents import Facts

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


class Pictures:
    """Files of pictures, by name."""

    def __init__(self, paths: dict[str, Path]) -> None:
        self.paths = paths

    def get(self, name: str) -> Picture | None:
        """A picture with its words; None where it was not drawn."""
        if name not in self.paths:
            return None
        base = name.split(" in ")[0]
        if name.startswith("crossfit_"):
            what = name.removeprefix("crossfit_")
            what = "all programs" if what == "genelevel" else what.removeprefix("program_")
            title, how, narrow = f"Held-out guides: {what}", CROSSFIT, True
        else:
            title, how, narrow = SHOWN[base]
        return Picture(title, self.paths[name].read_bytes(), how, narrow)

    def some(self, *names: str) -> list[Block]:
        """Those of these pictures that were drawn."""
        return [picture for name in names if (picture := self.get(name)) is not None]

    def crossfit(self) -> list[Block]:
        """The pictures of held-out controls."""
        return self.some(*[name for name in self.paths if name.startswith("crossfit_")])


def draw(facts: Facts, folder: Path) -> Pictures:
    """Draw all pictures into `folder`."""
    results, level = facts.results, facts.level
    label = "rank-biserial" if facts.options["test"]["kind"] == "utest" else "log-ratio"
    unique = _unique_rows(results)
    drawn: dict[str, Any] = {
        "volcano": plots.volcano(unique, level=level, effect_label=f"effect ({label})"),
        "heatmap": plots.effect_heatmap(unique, level=level),
        "inputs": _inputs(facts),
        **_controls(facts),
    }
    if facts.truth is not None:
        drawn["truth"] = plots.truth_figure(results, facts.truth, level=level)
    for condition, part in facts.by_condition(results):
        part = part.assign(q_value=part["q_value_within"])
        drawn[f"volcano in {condition}"] = plots.volcano(
            part, level=level, effect_label=f"effect ({label})", title=condition
        )
        drawn[f"heatmap in {condition}"] = plots.effect_heatmap(part, level=level, title=condition)
    files = plots.file_names(drawn)
    paths = {name: plots.save_png(it, folder / f"{files[name]}.png") for name, it in drawn.items()}
    return Pictures({**paths, **_crossfit(facts, folder)})


def _controls(facts: Facts) -> dict[str, Any]:
    """What the control groups show: all kinds of p-values side by side."""
    tested = {kind: table for kind, table in facts.controls.items() if table.size}
    if not tested:
        return {}
    drawn: dict[str, Any] = {
        "qq_ntc": plots.qq_panel(
            tested,
            band_for=facts.used if facts.used in tested else None,
            band_m=_tests_of_one_partition(tested, facts.used),
            scatter={"targets": facts.results["p_value"].dropna()},
            title="Control groups against chance",
        ),
        "rates": plots.rates_figure(facts.metrics),
    }
    levels = [level for level, _ in facts.by_condition(facts.results)]
    if levels:
        drawn["qq_conditions"] = plots.qq_small_multiples(
            {
                level: {
                    kind: table[table.index.get_level_values("condition") == level]
                    for kind, table in tested.items()
                    if level in table.index.get_level_values("condition")
                }
                for level in levels
            },
            band_for=facts.used if facts.used in tested else None,
        )
    return drawn


def _unique_rows(results: pd.DataFrame) -> pd.DataFrame:
    """One row per target and program: where there are conditions, a target once for each."""
    if "condition" not in results:
        return results
    of = tested_column(results)
    return results.assign(**{of: results[of] + " in " + results["condition"]})


def _tests_of_one_partition(tables: dict[str, pd.DataFrame], used: str) -> int | None:
    """Partitions repeat the same guides: as many p-values as one holds make the band."""
    table = tables.get(used)
    if table is None:
        table = next(iter(tables.values()))
    n_partitions = table.index.get_level_values("partition").nunique()
    return max(1, int(table.notna().sum().sum()) // n_partitions)


def _inputs(facts: Facts) -> Any:
    screen = facts.screen
    treated = facts.input_targets.set_index("target")["n_treated"]
    zeros = facts.input_programs.set_index("program")["at_floor"]
    per_cell = np.bincount(screen.guides.indices, minlength=screen.n_cells)
    few = facts.options["analysis"]["min_treated"]
    return plots.input_figure(treated, per_cell, zeros, few=few)


def _crossfit(facts: Facts, folder: Path) -> dict[str, Path]:
    """The cross-fit pictures of the NTC empirical null, where there is one."""
    if facts.crossfit is None:
        return {}
    of = tested_column(facts.results)
    effects = facts.results.pivot_table(index=of, columns="program", values="effect")
    out = {"ntc_crossfit": facts.crossfit, "betas_df": effects}
    made = plots.make_ntc_empirical_qq_plots(
        out, folder, n_programs=3, make_per_batch=False, seed=facts.options["report"]["seed"]
    )
    names = [path.stem.removeprefix("qq_ntc_empirical_").removesuffix("_meta") for path in made]
    return {f"crossfit_{name}": path for name, path in zip(names, made, strict=True)}
