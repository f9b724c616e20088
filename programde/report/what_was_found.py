"""What was found: hits, targets as a whole, conditions, and whether guides agree."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from programde.report.blocks import Block, Table
from programde.report.checked_tables import counted
from programde.report.evidence_map import evidence_map
from programde.report.facts import Facts
from programde.report.findings import carried_by_one_guide, hits_with_their_guides
from programde.report.grids import Grid
from programde.report.hit_tables import LABELS, MOST, grid_of_tests, programs, strongest, targets
from programde.report.page import Section
from programde.report.pictures import Pictures
from programde.report.verdict import Word

#: What names a test -> the place of what a click on it shows; None where nothing is to be shown.
Opens = Mapping[tuple[str, ...], int] | None

GUIDE_LABELS = {
    "n_guides": "guides",
    "sign_agreement": "same sign",
    "heterogeneity_p": "p, guides differ",
    "i_squared": "I²",
    "leading_guide": "leading guide",
    "z": "z, all guides",
    "z_without_leading": "z, without the leading guide",
}


def found(
    facts: Facts, pictures: Pictures, opens: Opens = None, word: Word = "calibrated"
) -> Section:
    """Hits, strongest first; their pictures; targets as a whole."""
    results, level, of = facts.results, facts.level, facts.tested
    hits = results[results["q_value"] <= level].sort_values(
        ["q_value", "p_value"], kind="stable", ignore_index=True
    )
    n_tests = int(results["p_value"].notna().sum())
    if len(hits):
        lead = (
            f"{len(hits):,} of {counted(n_tests, 'test')} {'has' if len(hits) == 1 else 'have'} "
            f"q ≤ {level:g}: {counted(hits[of].nunique(), of)} and "
            f"{counted(hits['program'].nunique(), 'program')} are involved. "
            + _false_among_hits(word, level)
        )
        blocks: list[Block] = [_hits(hits, facts, opens)]
    else:
        lead = f"None of {counted(n_tests, 'test')} has q ≤ {level:g}."
        best = results[results["p_value"].notna()].sort_values("p_value", kind="stable").head(10)
        title = "No hit; the ten tests with the smallest p"
        blocks = [grid_of_tests(best, title, "best", n_all=len(best))]
    blocks += pictures.some("volcano")
    whole_map = evidence_map(facts, pictures.named.get("heatmap")) if len(hits) else None
    blocks += pictures.some("heatmap") if whole_map is None else [whole_map]
    if (whole := targets(facts)) is not None:
        blocks.append(whole)
    blocks += [programs(facts), strongest(facts, opens)]
    return Section("What was found", blocks, lead, "found")


def _false_among_hits(word: Word, level: float) -> str:
    """What a q-value promises, as far as the controls allow it."""
    share = f"{100 * level:g} %"
    if word in ("calibrated", "conservative"):
        return f"At most {share} of such hits are expected to be false."
    if word == "inflated":
        return f"More than {share} of them may be false: control guides are hits too often."
    return (
        f"At most {share} of them are false if the test's assumptions hold; there are too few "
        "controls to check that."
    )


def _hits(hits: pd.DataFrame, facts: Facts, opens: Opens) -> Grid:
    rest = ""
    if len(hits) > MOST:
        rest = f"The first {MOST:,}; all {len(hits):,} are in results.parquet beside this page."
    note = (
        f"Effect: shift of the program in treated cells, in its unit ({facts.effect_label}); "
        "positive means "
        "the program rises when the target is perturbed. q: the share of false hits to expect "
        "among all tests with a q this small or smaller."
    )
    if opens:
        note += " A click on a hit, or Enter, shows its cells, guides and batches."
    return grid_of_tests(
        hits, "Hits, strongest first", "hits", n_all=len(hits), opens=opens, note=note, rest=rest
    )


def conditions(facts: Facts, pictures: Pictures) -> list[Section]:
    """One part for each condition, and one for all of them together."""
    made = []
    for level, part in facts.conditions():
        hits = part[part["q_value_within"] <= facts.level]
        lead = (
            f"{len(hits):,} of {part['p_value'].notna().sum():,} tests have q ≤ {facts.level:g} "
            "within this condition."
        )
        blocks = pictures.some(f"volcano in {level}", f"heatmap in {level}")
        made.append(Section(f"In {level}", blocks, lead))
    across = facts.over_conditions
    return [*made, _across(facts, across)] if made and across is not None else made


def _across(facts: Facts, across: pd.DataFrame) -> Section:
    best = across.dropna(subset=["p_value"]).sort_values("p_value", kind="stable")
    hits = int((best["q_value"] <= facts.level).sum())
    table = Table(
        best,
        "Strongest over all conditions",
        "Shifts in the same direction add up, opposite ones cancel.",
        LABELS,
        {"z": "fixed"},
        limit=12,
        how="Signed normal scores of the conditions, weighted by the square root of the treated "
        "cells (Stouffer's method).",
    )
    lead = (
        f"{hits:,} of {len(best):,} {facts.tested}s x programs have q ≤ {facts.level:g} over all."
    )
    if known := facts.controls.metrics.get("over_conditions"):
        rate, low, high = (100 * known[f"rate_05{end}"] for end in ("", "_low", "_high"))
        lead += (
            f" Control groups combined in the same way have p ≤ 0.05 in {rate:.1f} % of tests "
            f"({low:.1f} to {high:.1f} %)."
        )
    return Section("Over all conditions", [table], lead, "across")


def guides(facts: Facts) -> list[Section]:
    """Whether the guides of a target agree, and hits that rest on one of them."""
    if facts.tested == "guide" or facts.guides is None:
        return []
    # guides are compared over all cells, so with conditions the hits are those over all of them
    across = facts.over_conditions
    results = facts.results if across is None else across
    shown = hits_with_their_guides(results, facts.guides, level=facts.level)
    alone = carried_by_one_guide(results, facts.guides, level=facts.level)
    columns = ["target", "program", "n_guides", "sign_agreement", "heterogeneity_p", "i_squared"]
    columns += ["leading_guide", "z", "z_without_leading"]
    formats = {"sign_agreement": "percent", "i_squared": "percent", "z": "fixed"}
    formats |= {"z_without_leading": "fixed"}
    where = "" if across is None else " over all conditions"
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
