"""The parts of the report: which tables and pictures, with which words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from programde.report.blocks import Block, Settings, Table
from programde.report.checked_tables import tested_column
from programde.report.findings import carried_by_one_guide
from programde.report.page import Section
from programde.report.pictures import Pictures
from programde.report.style import display_name
from programde.report.verdict import Verdict

if TYPE_CHECKING:
    from programde.report.contents import Facts

COMPARED = {"complement": "all other cells", "nt_cells": "cells with non-targeting guides only"}

#: What came in: the figures of the input report, in reading order, with their words.
NUMBERS = {
    "cells": "cells",
    "cells_without_guide": "... without a guide",
    "cells_with_one_guide": "... with one guide",
    "guides_per_cell_median": "guides per cell, median",
    "guides_per_cell_max": "guides per cell, most",
    "guides": "guides",
    "guides_without_target": "... without a target, not used",
    "guides_in_no_cell": "... found in no cell",
    "targets": "targets, controls among them",
    "treated_per_target_min": "treated cells per target, fewest",
    "treated_per_target_median": "treated cells per target, median",
    "programs": "programs",
    "usages_at_floor": "share of usages at the floor",
    "floor": "the floor",
    "covariate_columns": "columns of the covariates",
    "covariate_condition_number": "condition number of the covariates",
    "batches": "batches",
    "target_batch_pairs_without_treated": "targets x batches without a treated cell",
}

GUIDE_LABELS = {
    "n_guides": "guides",
    "sign_agreement": "same sign",
    "heterogeneity_p": "p, guides differ",
    "i_squared": "I²",
    "leading_guide": "leading guide",
    "z_without_leading": "z without it",
}


def compared_with(facts: Facts) -> str:
    """Who treated cells were compared with, and why."""
    control = facts.control
    return f"Perturbed cells against {COMPARED[control['kind']]} ({control['reason']})."


def warnings(facts: Facts) -> list[str]:
    """What makes the whole run doubtful."""
    text = facts.control["warning"]
    return [f"{text[0].upper()}{text[1:]}."] if text else []


def judgement(facts: Facts) -> Verdict | None:
    """The verdict where no control tells of the p-values in use; None where some do."""
    if facts.used in facts.metrics:
        return None
    why = f" ({facts.why_no_crossfit})" if facts.why_no_crossfit else ""
    kind = display_name(facts.used)
    return Verdict("not judged", f"No control guide was held out{why}, and only held-out ones "
                   f"can judge {kind} p-values.")  # fmt: skip


def evidence(facts: Facts, pictures: Pictures) -> list[Block]:
    """What the control groups show."""
    if facts.used not in facts.metrics:
        text = (
            "Control guides were tested by the other ways alone; this one has no p-value of them."
        )
        return [text, *pictures.some("rates", "qq_conditions")]
    used = facts.metrics[facts.used]
    partitions = int(used["n_partitions"])
    n, size = used["n_independent"], facts.group_size
    groups = f"{n:,} groups of {size} non-targeting guides"
    if size == 1:
        groups = f"{n:,} single non-targeting guides"
    if partitions > 1:
        groups += f", formed anew in each of {partitions} partitions of the guides"
    text = f"Behind this: {groups}; {used['n_tests']:,} tests in all."
    return [text, *pictures.some("rates", "qq_conditions")]


def findings(pictures: Pictures) -> list[Block]:
    """Pictures of what was found."""
    return pictures.some("volcano", "heatmap")


def guides(facts: Facts) -> list[Section]:
    """Whether the guides of a target agree, and hits that rest on one of them."""
    if "guide" in facts.results:  # guides were tested one by one
        return []
    # guides are compared over all cells, so with conditions the hits are those over all of them
    found = facts.across if len(facts.across) else facts.results
    hits = found.loc[found["q_value"] <= facts.level, ["target", "program"]]
    shown = hits.drop_duplicates().merge(facts.guides, on=["target", "program"])
    shown = shown.sort_values("heterogeneity_p", kind="stable")
    alone = carried_by_one_guide(found, facts.guides, level=facts.level)
    columns = ["target", "program", "n_guides", "sign_agreement", "heterogeneity_p", "i_squared"]
    columns += ["leading_guide", "z", "z_without_leading"]
    formats = {"sign_agreement": "percent", "i_squared": "percent", "z": "fixed"}
    formats |= {"z_without_leading": "fixed"}
    where = " over all conditions" if len(facts.across) else ""
    lead = (
        f"{len(alone):,} of {len(shown):,} hits{where} rest on a single guide."
        if len(shown)
        else "There is no hit whose guides could be compared."
    )
    blocks: list[Block] = [
        Table(
            alone[columns],
            "Hits carried by one guide",
            "Without the leading guide the others show less than one standard error in its "
            "direction: a single guide may act off target.",
            GUIDE_LABELS,
            formats,
            limit=10,
        ),
        Table(
            shown[columns],
            "All hits, the least agreement first",
            "Each guide alone, by least squares against the same controls. I²: the share of the "
            "variation between guides that is not sampling error; guides of one target often "
            "differ in strength.",
            GUIDE_LABELS,
            formats,
            limit=8,
        ),
    ]
    return [Section("Do the guides of a target agree?", blocks, lead, "guides")]


def conditions(facts: Facts, pictures: Pictures) -> list[Section]:
    """One part for each condition, and one for all of them together."""
    made = []
    for level, part in facts.by_condition(facts.results):
        hits = part[part["q_value_within"] <= facts.level]
        lead = (
            f"{len(hits):,} of {part['p_value'].notna().sum():,} tests have q ≤ {facts.level:g} "
            "within this condition."
        )
        blocks = pictures.some(f"volcano in {level}", f"heatmap in {level}")
        made.append(Section(f"In {level}", blocks, lead))
    if made and len(facts.across):
        made.append(_across(facts))
    return made


def _across(facts: Facts) -> Section:
    best = facts.across.dropna(subset=["p_value"]).sort_values("p_value", kind="stable")
    hits = int((best["q_value"] <= facts.level).sum())
    labels = {"n_conditions": "conditions", "n_up": "up", "n_down": "down"}
    table = Table(
        best.rename(columns={"p_value": "p", "q_value": "q"}),
        "Strongest over all conditions",
        "Signed normal scores of the conditions, weighted by the square root of the treated "
        "cells: shifts in the same direction add up, opposite ones cancel.",
        labels,
        {"z": "fixed"},
        limit=12,
    )
    lead = f"{hits:,} of {len(best):,} targets x programs have q ≤ {facts.level:g} over all."
    if known := facts.metrics.get("over_conditions"):
        lead += (
            f" Control groups combined in the same way have p ≤ 0.05 in {known['rate_05']:.1%} of "
            f"tests ({100 * known['rate_05_low']:.1f} to {100 * known['rate_05_high']:.1f} %)."
        ).replace("%", " %", 1)
    return Section("Over all conditions", [table], lead, "across")


def held_out(facts: Facts, pictures: Pictures) -> Section:
    """Control guides held out and tested against the others."""
    title = "Control guides against each other"
    if facts.crossfit is None:
        return Section(title, [f"Left out: {facts.why_no_crossfit}."], anchor="heldout")
    info, meta = facts.crossfit["info"], facts.crossfit["meta"]
    share = float((meta["pvals_holdout"].stack() <= 0.05).mean())
    lead = (
        f"Effects of held-out non-targeting guides against those of the others: {share:.1%} of "
        f"them have p ≤ 0.05 ({info['n_guides_A']} guides make the null, "
        f"{info['n_guides_B']} are held out)."
    ).replace("%", " %")
    note = (
        f"{info['note'][0].upper()}{info['note'][1:]}. These p-values come from non-targeting "
        "guides alone and trust no resampling model; few guides give few distinct values. They "
        "stand beside the p-values above and replace them under calibrate=ntc_empirical."
    )
    return Section(title, [note, *pictures.crossfit()], lead, "heldout")


def inputs(facts: Facts, pictures: Pictures) -> list[Block]:
    """What came in, in numbers and in a picture, and what deserves a look."""
    numbers = facts.input_summary["numbers"]
    known = {words: _number(key, numbers[key]) for key, words in NUMBERS.items() if key in numbers}
    blocks: list[Block] = [
        *pictures.some("inputs"),
        Settings("In numbers", known, unfolded=True),
        _units(facts),
    ]
    remarks = [*facts.input_summary["remarks"], *_separated(facts)]
    return [*blocks, "Worth a look:", remarks] if remarks else blocks


def _number(key: str, value: float) -> str:
    if key == "usages_at_floor":
        return f"{value:.1%}".replace("%", " %")
    return f"{value:,}" if isinstance(value, int) or value >= 1000 else f"{value:.3g}"


def _units(facts: Facts) -> Table:
    """What stands behind each test, the doubtful ones first."""
    table = facts.units
    shown = table.sort_values(["note", "n_treated"], ascending=[False, True], kind="stable")
    columns = ["condition", "guide", "target", "n_treated", "batches", "batches_left_out"]
    columns += ["highest_probability", "note"]
    return Table(
        shown[[c for c in columns if c in shown and (shown[c].fillna("") != "").any()]],
        "What stands behind each test",
        "Batches without a treated cell are left out of a test. The highest fitted "
        "probability of treatment tells whether treated cells have any like them among the "
        "controls: at 1 they have none.",
        {
            "n_treated": "treated cells",
            "batches_left_out": "batches left out",
            "highest_probability": "highest probability",
        },
        {"highest_probability": "number"},
        limit=6,
    )


def _separated(facts: Facts) -> list[str]:
    """Remarks on targets whose treated cells have no like among the controls, and on batches."""
    remarks = []
    table = facts.units
    of = tested_column(table)
    separated = table[table["note"].notna() & (table["note"] != "")]
    if len(separated):
        units = separated[of].astype(str)
        levels = separated["condition"].fillna("").astype(str)
        units = units.where(levels == "", units + " in " + levels)
        names = ", ".join(units.head(5)) + (" ..." if len(units) > 5 else "")
        remarks.append(
            f"{len(separated)} of {len(table)} {of}s are separated from their controls by the "
            f"covariates: {names}"
        )
    left_out = int((table["batches_left_out"] > 0).sum())
    if left_out:
        remarks.append(f"batches were left out of the tests of {left_out} of {len(table)} {of}s")
    return remarks
