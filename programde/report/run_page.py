"""The report of a run: one self-contained page that a biologist reads from top to bottom.

The order is that of the questions: Is this run calibrated? What was found? Where is the evidence?
(Does it agree with the known truth?) What came in? What could not be tested? How was it made, and
where are the files? Facts arrive as plain tables; each part of the page is made from them in
`what_was_found`, `why_believe_it` and `what_came_in`, and put in order here.
"""

from __future__ import annotations

import os
from pathlib import Path

from programde.report import more_was_found, what_came_in, what_was_found, why_believe_it
from programde.report.details import hit_details
from programde.report.facts import Comparison, Facts
from programde.report.page import Section, render_page
from programde.report.pictures import NONE, Pictures
from programde.report.positive_controls import counts
from programde.report.style import write_atomically
from programde.report.touched import touched
from programde.report.verdict import Word
from programde.report.what_was_missed import missed_section

TITLE = "Which target shifts which program?"
COMPARED = {
    "complement": "all other cells",
    "nt_cells": "cells with non-targeting guides only",
    "unperturbed_cells": "cells without any guide",
}


def write_run_page(path: str | os.PathLike[str], facts: Facts, pictures: Pictures = NONE) -> Path:
    """Write the page, to a temporary file first, then moved.

    Equal facts and pictures give equal bytes: the page holds no date.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    InputError
        A picture is no PNG.
    """
    opens, opened = None, None
    if facts.hit_cells:
        opens, opened = hit_details(facts, facts.hit_cells, facts.guide_effects)
    facts = facts.with_faces()
    judged = why_believe_it.judgement(facts)
    page = render_page(
        TITLE,
        _compared_with(facts.comparison),
        judged,
        _headline_numbers(facts),
        _sections(facts, pictures, Path(path).parent, opens, judged.word),
        picture=pictures.named.get("qq_ntc"),
        warnings=_warnings(facts.comparison),
        opened=opened,
        footer="Made by programDE. This page holds everything it shows and needs no network.",
    )
    return write_atomically(path, page.encode("utf-8"))


def _sections(
    facts: Facts, pictures: Pictures, folder: Path, opens: what_was_found.Opens, word: Word
) -> list[Section]:
    """The parts of the page, in order."""
    return [
        what_was_found.found(facts, pictures, opens, word),
        *_missed(facts, pictures),
        *touched(facts, pictures),
        *more_was_found.similar(facts, pictures),
        why_believe_it.evidence(facts, pictures),
        *more_was_found.positive_controls(facts, pictures),
        *why_believe_it.truth(facts, pictures),
        *what_was_found.conditions(facts, pictures),
        *more_was_found.contrasts(facts, pictures),
        *what_was_found.guides(facts),
        why_believe_it.held_out(facts, pictures),
        what_came_in.came_in(facts, pictures),
        what_came_in.untested(facts),
        what_came_in.made(facts),
        *what_came_in.files(facts, folder),
    ]


def _missed(facts: Facts, pictures: Pictures) -> list[Section]:
    """What would have been missed, where something is known of it."""
    if facts.missed is None:
        return []
    shown = pictures.some("power")
    return [missed_section(facts.missed, facts.smallest_seen, facts.effect_label, shown)]


def _compared_with(comparison: Comparison) -> str:
    """Who treated cells were compared with, and why."""
    told = f"Perturbed cells against {COMPARED[comparison.kind]} ({comparison.reason})."
    return f"{told} {comparison.left_out}".rstrip()


def _warnings(comparison: Comparison) -> list[str]:
    """What makes the whole run doubtful."""
    text = comparison.warning
    return [f"{text[0].upper()}{text[1:]}."] if text else []


def _headline_numbers(facts: Facts) -> dict[str, str]:
    """The cards beside the verdict."""
    results, of = facts.results, facts.tested
    hits = results[results["q_value"] <= facts.level]
    numbers = {
        "cells": facts.inputs.numbers["cells"],
        "programs": facts.inputs.numbers["programs"],
        f"{of}s": results[of].nunique(),
        "tests": int(results["p_value"].notna().sum()),
        f"hits at q ≤ {facts.level:g}": len(hits),
        f"{of}s with hits": hits[of].nunique(),
    }
    shown = {words: f"{number:,}" for words, number in numbers.items()}
    if facts.positive is not None and len(facts.positive):
        known = counts(facts.positive)
        shown["positive controls found"] = f"{known['found']:,} of {known['tested']:,}"
    return shown
