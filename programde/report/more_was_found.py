"""Beyond single hits: positive controls, targets that act alike, conditions against each other."""

from __future__ import annotations

import pandas as pd

from programde.report.blocks import Block
from programde.report.checked_tables import counted
from programde.report.contrasts import condition_contrasts
from programde.report.facts import Facts
from programde.report.grids import Grid
from programde.report.page import Section
from programde.report.pictures import Pictures
from programde.report.positive_controls import in_words
from programde.report.similarity import alike, n_alike

_MOST = 1000

_LABELS = {
    "first": "one",
    "second": "the other",
    "n_same": "programs moved alike",
    "n_opposite": "programs moved oppositely",
    "effect_first": "effect in the one",
    "effect_second": "effect in the other",
    "difference_se": "± SE",
    "p_value": "p",
    "q_value": "q",
    "q_value_within": "q, within",
    "z": "z of the difference",
    "rank": "rank of its gene",
    "effect_se": "± SE",
    "expected": "expected to",
    "mde80": "smallest effect found in 80 %",
    "n_treated": "treated cells",
}
_HELPS = {
    "correlation": "Of the two profiles of effects over all programs, effects shrunken by their "
    "errors: 1 acts alike, -1 oppositely.",
    "n_same": "Programs that both move, in the same direction.",
    "n_opposite": "Programs that both move, in opposite directions.",
    "difference": "Effect in the one condition less effect in the other.",
    "z": "The difference in its standard errors.",
    "q_value_within": "The share of false ones to expect, among the differences of these two "
    "conditions alone.",
    "rank": "Place of the target's gene among the genes that lead the program; a dash where the "
    "pair was named by hand.",
    "expected": "What the program should do when the target is perturbed.",
    "outcome": "Found: q at or below the level, in the direction that is expected.",
}
_FILTERS = {
    **dict.fromkeys(
        ("first", "second", "target", "guide", "program", "condition", "outcome"), "text"
    ),
    **dict.fromkeys(("p_value", "q_value", "q_value_within", "rank"), "at_most"),
    **dict.fromkeys(("n_same", "n_opposite"), "at_least"),
    **dict.fromkeys(("correlation", "difference", "effect"), "sign"),
}
_FORMATS = {
    "correlation": "fixed",
    "z": "fixed",
    "rank": "count",
    **dict.fromkeys(("effect", "difference", "effect_first", "effect_second"), "signed"),
}


def positive_controls(facts: Facts, pictures: Pictures) -> list[Section]:
    """Effects that should be there: were they found?"""
    tested = facts.positive
    if tested is None:
        return []
    lead = in_words(tested, facts.results["target"].nunique(), facts.level)
    blocks: list[Block] = [*pictures.some("positive")]
    if len(tested):
        rest = f"The first {_MOST:,} of {len(tested):,}." if len(tested) > _MOST else ""
        shown = tested.head(_MOST).dropna(axis=1, how="all")
        title = "Positive controls, one by one"
        blocks.append(_grid(shown, title, "positives", "", len(tested), rest))
    return [Section("Were positive controls found?", blocks, lead, "positive")]


def similar(facts: Facts, pictures: Pictures) -> list[Section]:
    """Which targets act alike."""
    pairs = alike(facts.results, level=facts.level, most=_MOST)
    if not len(pairs):
        return []
    close, opposite = n_alike(facts.results, level=facts.level)
    of = facts.tested
    lead = (
        f"Of {of}s with hits {counted(close, 'pair')} {'has' if close == 1 else 'have'} profiles "
        f"of effects that correlate at 0.8 or more, {opposite:,} at -0.8 or less."
    ).replace("-0.8", "−0.8")
    note = (
        f"Profiles are effects over all programs; only {of}s with a hit. "
        "Usages sum to 1 in a cell, so what raises one program lowers others: read high "
        "correlations together with the programs that both move."
    )
    how = (
        "Effects are shrunken by their errors before they are correlated: an effect b with error s "
        "becomes b t / (t + s²), t the variance of true effects on that program (empirical Bayes)."
    )
    blocks: list[Block] = [*pictures.some("similarity", "tree")]
    first = f"; the {_MOST:,} that are most alike or most opposite" if len(pairs) == _MOST else ""
    blocks.append(_grid(pairs, f"Pairs, the most alike first{first}", "pairs", note, how=how))
    return [Section(f"Which {of}s act alike?", blocks, lead, "alike")]


def contrasts(facts: Facts, pictures: Pictures) -> list[Section]:
    """Whether effects differ between conditions."""
    if "condition" not in facts.results or facts.results["condition"].nunique() < 2:
        return []
    found = condition_contrasts(facts.results)
    if not len(found):
        return []
    differ = int((found["q_value"] <= facts.level).sum())
    lead = (
        f"{differ:,} of {len(found):,} effects differ between two conditions at "
        f"q ≤ {facts.level:g}."
    )
    note = "q is over all differences."
    if found[["first", "second"]].drop_duplicates().shape[0] > 1:
        note = "q is over all differences; q, within, over those of the same two conditions."
    else:  # there the two are the same
        found = found.drop(columns="q_value_within")
    how = (
        "Conditions share guides and batches, not cells, so the errors of two effects are "
        "independent: z is their difference in its own standard errors, and normal where they are "
        "equal."
    )
    rest = f"The first {_MOST:,} of {len(found):,}." if len(found) > _MOST else ""
    shown = found.head(_MOST)
    grid = _grid(
        shown, "Differences, the clearest first", "differences", note, len(found), rest, how
    )
    return [Section("Do conditions differ?", [*pictures.some(*_scatters(pictures)), grid], lead,
                    "differ")]  # fmt: skip


def _scatters(pictures: Pictures) -> list[str]:
    return [name for name in pictures.named if name.startswith("contrast in ")]


def _grid(
    frame: pd.DataFrame, title: str, name: str, note: str = "", total: int | None = None,
    rest: str = "", how: str = "",
) -> Grid:  # fmt: skip
    return Grid(frame, title, name, note, _LABELS, _FORMATS, _HELPS, _FILTERS, 12, total, rest,
                how=how)  # fmt: skip
