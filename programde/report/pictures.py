"""The pictures of a run: which are drawn, and with which title and sentence they are shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from programde.forks import shared_out
from programde.report import picture_tables as tables_of
from programde.report.blocks import Block, Picture
from programde.report.contrasts import condition_contrasts, contrast_scatter
from programde.report.control_groups import of_condition, tests_of_one_partition
from programde.report.crossfit_plots import PREFIX, crossfit_panel, held_out_curves, most_varying
from programde.report.direct_plots import COLUMNS, by_target, mirror_figure
from programde.report.effect_plots import effect_heatmap, volcano
from programde.report.facts import Facts
from programde.report.hit_plots import positive_controls_plot
from programde.report.lettering import in_pictures, shortened
from programde.report.positive_controls import UNTESTED
from programde.report.power_plots import power_figure
from programde.report.qq_plots import qq_panel, qq_small_multiples
from programde.report.similarity import alike, program_tree, similarity_figure
from programde.report.style import file_names, styled, write_atomically
from programde.report.summary_plots import input_figure, rates_figure, truth_figure
from programde.report.vector import save_picture

from ..errors import tell

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
    "volcano": ("Effect and evidence", VOLCANO, False),
    "heatmap": ("Targets and programs", HEATMAP, False),
    "rates": (
        "How often controls look like hits",
        "A dot on the line is right; the bar is its 95 % interval.",
        False,
    ),
    "positive": (
        "Effects that should be there",
        "Bars are 95 % intervals. Green squares: found in the expected direction; open circles: "
        "not found; crosses: found in the other direction.",
        False,
    ),
    "power": (
        "What would have been found",
        "Share of known effects, put into sets of control cells, that were found; bands are 95 % "
        "intervals over sets. Right: the same for targets of other sizes, blue line's share.",
        False,
    ),
    "direct": (
        "Found, and expected of untouched programs",
        "On the line: a program moved as the other programs' shifts push an untouched one. Off the "
        "line: it was touched. The targets with most hits that may be mirror images.",
        False,
    ),
    "truth": ("Found and true effects", "What was found against what was put in.", False),
    "inputs": (
        "The screen",
        "How many cells stand behind each target, guides per cell, and usages at the floor (exact "
        "zeros, mostly) per program.",
        False,
    ),
    "similarity": (
        "Targets and programs that go together",
        "Orange: profiles of effects that are alike; blue: opposite ones. Effects are shrunken by "
        "their errors first.",
        False,
    ),
    "tree": (
        "Programs that move together",
        "The further right two programs meet, the more alike are the targets that move them; right "
        "of the line they correlate at 0.5 or more.",
        False,
    ),
    "contrast": (
        "One condition against the other",
        "On the line effects are equal; coloured ones differ.",
        True,
    ),
    "qq_conditions": (
        "Control groups, condition by condition",
        "As above, in the cells of each condition: curves should follow the diagonal.",
        False,
    ),
}
CROSSFIT = "Held-out guides should follow the diagonal; targets rise above it where they act."

#: Pairs of conditions that are drawn.
_MOST_PAIRS = 6

#: Names of pairs in the table beside the picture of similar targets.
_MOST_ALIKE = 60


@dataclass(frozen=True)
class Drawing:
    """What draws a picture, and what gives its data as a table."""

    draw: Callable[[], Axes | Figure]
    table: Callable[[], pd.DataFrame]


#: Name -> what draws the picture.
Drawn = dict[str, Drawing]


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
def draw_pictures(
    facts: Facts,
    folder: Path,
    tables: Path | None = None,
    seen_from_page: tuple[str, str] = ("plots", "figures"),
) -> Pictures:
    """Draw all pictures into `folder`, as SVG where that is small, else as PNG.

    A picture that cannot be drawn loses nothing else: its reason stands in its place, and is told.

    Parameters
    ----------
    facts
        Of the run.
    folder
        Where pictures are written.
    tables
        Where the data of each are written as CSV; None: nowhere.
    seen_from_page
        The two folders as the page links to them.
    """
    drawn: Drawn = {**_found(facts), **_controls(facts), **_positive(facts)}
    inputs = facts.inputs
    drawn["inputs"] = Drawing(
        lambda: input_figure(
            inputs.treated_cells, inputs.guides_per_cell, inputs.at_floor, few=facts.few
        ),
        partial(tables_of.of_inputs, inputs),
    )
    if (true := facts.truth) is not None:
        drawn["truth"] = Drawing(
            lambda: truth_figure(facts.results, true.effects, level=facts.level),
            partial(tables_of.of_truth, facts.results, true),
        )
    if (missed := facts.missed) is not None and (power := missed.power) is not None:
        drawn["power"] = Drawing(
            lambda: power_figure(power, missed.share, missed.n_treated, missed.planned()),
            partial(tables_of.of_power, missed),
        )
    how_shown = {name: _shown(name) for name in drawn}
    held, how_held = _held_out(facts)
    named = _made(drawn | held, how_shown | how_held, folder, tables, seen_from_page)
    return Pictures(
        {name: picture for name, picture in named.items() if name in drawn},
        {name: picture for name, picture in named.items() if name in held},
    )


def _shown(name: str) -> tuple[str, str, bool]:
    """Title, how to read it, whether it may stand beside another: of pictures there are several
    of, the title says which one."""
    kind, _, of = name.partition(" in ")
    title, how_to_read, narrow = SHOWN[kind]
    return (f"{title}: {of}" if kind == "contrast" else title), how_to_read, narrow


def _made(
    drawn: Drawn,
    shown: Mapping[str, tuple[str, str, bool]],
    folder: Path,
    tables: Path | None,
    seen_from_page: tuple[str, str],
) -> dict[str, Picture]:
    """Pictures with their files and the links to them."""
    files = file_names(drawn)

    def made(name: str) -> Picture:
        drawing, (title, how_to_read, narrow) = drawn[name], shown[name]
        picture = drawn_or_missing(title, drawing.draw, folder / files[name], how_to_read, narrow)
        if picture.missing or tables is None:
            return picture
        written = _write_table(drawing.table, tables / f"{files[name]}.csv", title)
        links = [f"{seen_from_page[1]}/{written}"] if written else []
        own = next(folder.glob(f"{files[name]}.*")).name
        return replace(picture, links=(f"{seen_from_page[0]}/{own}", *links))

    return dict(zip(drawn, shared_out(made, list(drawn)), strict=True))


def _write_table(table: Callable[[], pd.DataFrame], path: Path, title: str) -> str:
    """Write a picture's data; the name of the file, empty where that fails, which is told."""
    try:
        text = table().to_csv(index=False, lineterminator="\n")
    except Exception as error:
        tell(f"the data of picture {title!r} could not be written ({error}); nothing else is lost")
        return ""
    return write_atomically(path, text.encode("utf-8", "replace")).name


def drawn_or_missing(
    title: str,
    draw: Callable[[], Axes | Figure],
    path: Path,
    how_to_read: str,
    narrow: bool = False,
) -> Picture:
    """The picture drawn, also as a file (`path` without an ending); its place where that fails."""
    try:
        return Picture(title, save_picture(draw(), path).read_bytes(), how_to_read, narrow)
    except Exception as error:
        return _not_drawn(title, error, narrow)


def _not_drawn(title: str, error: Exception, narrow: bool) -> Picture:
    """The place of a picture that could not be drawn, with the reason; it is told once."""
    first = next(iter(str(error).splitlines()), "")
    reason = f"{type(error).__name__}: {shortened(first, 300)}"
    tell(f"the picture {title!r} could not be drawn ({reason}); nothing else is lost")
    return Picture(title, b"", "", narrow, missing=reason)


def _found(facts: Facts) -> Drawn:
    """Volcano and heatmap, over all and condition by condition."""
    label, level = f"effect ({facts.effect_label})", facts.level
    of, faces = facts.tested, facts.faces()
    tests = facts.results.assign(program=facts.results["program"].map(faces))
    results = tests
    if "condition" in results:  # a target stands once for each
        results = results.assign(**{of: results[of] + " in " + results["condition"]})
    drawn: Drawn = {
        "volcano": Drawing(
            partial(volcano, results, level=level, effect_label=label),
            partial(tables_of.of_tests, results, level),
        ),
        "heatmap": Drawing(
            partial(effect_heatmap, results, level=level),
            partial(tables_of.of_heatmap, results, level),
        ),
    }
    if all(c in results for c in COLUMNS) and len(by_target(results, level)):
        drawn["direct"] = Drawing(
            partial(mirror_figure, results, level=level),
            partial(tables_of.of_mirrors, results, level),
        )
    if len(alike(tests, level=level, most=1)):
        drawn["similarity"] = Drawing(
            partial(similarity_figure, tests, level=level),
            partial(tables_of.of_similarity, tests, level, _MOST_ALIKE),
        )
        drawn["tree"] = Drawing(
            partial(program_tree, tests, level=level),
            partial(tables_of.of_tree, tests, level),
        )
    drawn |= _contrasts(tests, level)
    for condition, part in facts.conditions():
        part = part.assign(q_value=part["q_value_within"], program=part["program"].map(faces))
        how: dict[str, Any] = {"level": level, "title": in_pictures(condition, 60)}
        drawn[f"volcano in {condition}"] = Drawing(
            partial(volcano, part, effect_label=label, **how),
            partial(tables_of.of_tests, part, level),
        )
        drawn[f"heatmap in {condition}"] = Drawing(
            partial(effect_heatmap, part, **how), partial(tables_of.of_heatmap, part, level)
        )
    return drawn


def _positive(facts: Facts) -> Drawn:
    """Positive controls, where some were tested."""
    tested = facts.positive
    if tested is None or not (tested["outcome"] != UNTESTED).any():
        return {}
    shown = tested.assign(program=tested["program"].map(facts.faces()))
    draw = partial(positive_controls_plot, shown, effect_label=f"effect ({facts.effect_label})")
    return {"positive": Drawing(draw, lambda: shown)}


def _contrasts(results: pd.DataFrame, level: float) -> Drawn:
    """Conditions against each other, pair by pair."""
    if "condition" not in results or results["condition"].nunique() < 2:
        return {}
    found = condition_contrasts(results)
    pairs = list(found.groupby(["first", "second"], sort=True))[:_MOST_PAIRS]
    return {
        f"contrast in {one} and {other}": Drawing(
            partial(contrast_scatter, part, level=level), partial(part.head, tables_of.MOST)
        )
        for (one, other), part in pairs
    }


def _controls(facts: Facts) -> Drawn:
    """What the control groups show: all kinds of p-values side by side."""
    tables = {kind: table for kind, table in facts.controls.p_values.items() if table.size}
    if not tables:
        return {}
    used = facts.controls.used if facts.controls.used in tables else None
    judged = tables[used] if used is not None else next(iter(tables.values()))
    tested = {f"{facts.tested}s": facts.results["p_value"].dropna()}
    drawn: Drawn = {
        "qq_ntc": Drawing(
            lambda: qq_panel(
                tables,
                band_for=used,
                band_m=tests_of_one_partition(judged),
                scatter=tested,
                title="Control groups against chance",
            ),
            partial(tables_of.of_curves, {**tables, **tested}),
        ),
        "rates": Drawing(
            partial(rates_figure, facts.controls.metrics),
            partial(tables_of.of_rates, facts.controls),
        ),
    }
    levels = [level for level, _ in facts.conditions()]
    if levels:
        panels = {level: of_condition(tables, level) for level in levels}
        drawn["qq_conditions"] = Drawing(
            partial(qq_small_multiples, panels, band_for=used),
            partial(tables_of.of_panels, panels),
        )
    return drawn


def _held_out(facts: Facts) -> tuple[Drawn, dict[str, tuple[str, str, bool]]]:
    """The pictures of the cross-fit, where there is one, and how they are shown."""
    crossfit = facts.controls.crossfit
    if crossfit is None:
        return {}, {}
    meta, info = crossfit["meta"], crossfit["info"]
    effects = facts.results.pivot_table(index=facts.tested, columns="program", values="effect")
    programs = most_varying(effects, meta["pvals_real"], 1)
    about = f"NTC units split {info['split']}" if "split" in info else ""
    drawn: Drawn = {}
    shown = {}
    found = held_out_curves(meta, programs, file_names(programs))
    for name, curves in found.items():
        what = in_pictures(curves.what, 40)
        panel = partial(crossfit_panel, curves, what, about, seed=facts.seed)
        key = f"{PREFIX}{name}"
        drawn[key] = Drawing(panel, partial(tables_of.of_curves, curves.named()))
        title = f"Held-out guides: {'all programs' if name == 'genelevel' else curves.what}"
        shown[key] = title, CROSSFIT, True
    return drawn, shown
