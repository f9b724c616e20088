"""The tables of what was found, to work with: hits, targets, programs, the strongest tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from programde.report.checked_tables import tested_column
from programde.report.facts import Facts
from programde.report.grids import Grid

#: Rows that the page holds of hits and of tests; all are in the files beside it.
MOST = 5000

LABELS = {
    "effect_se": "± SE",
    "p_value": "p",
    "p_raw": "p, raw",
    "q_value": "q",
    "q_value_within": "q, within",
    "q_prespecified": "q, prespecified",
    "n_treated": "treated cells",
    "n_control": "control cells",
    "p_max": "p, largest shift",
    "q_max": "q, largest shift",
    "p_acat": "p, combined",
    "q_max_within": "q, largest shift, within",
    "q_acat": "q, combined",
    "q_acat_within": "q, combined, within",
    "fallback": "to be known of the p-value",
    "top_program": "strongest in",
    "top_target": "strongest by",
    "top_effect": "effect there",
    "top_genes": "leading genes",
    "gene_sets": "gene sets of its genes",
    "n_conditions": "conditions",
    "n_up": "up",
    "n_down": "down",
    "at_floor": "cells without it",
    "mde80": "smallest effect found in 80 %",
}

HELPS = {
    "effect": "Shift of the program in treated cells, in the unit of the test. Positive: the "
    "program rises when the target is perturbed.",
    "effect_se": "Standard error of the effect.",
    "p_value": "How often chance alone gives so strong a shift.",
    "q_value": "Share of false hits to expect among all tests with a q this small or smaller.",
    "q_value_within": "The same, among the tests of this condition.",
    "q_prespecified": "The same, among the pairs that were named beforehand.",
    "n_treated": "Cells that hold a guide of the target.",
    "n_control": "Cells that they are compared with.",
    "p_max": "Whether any program is shifted, judged by the largest standardised shift, up or "
    "down, against its own redrawn labels.",
    "q_max": "False discovery rate of the p-value beside it, over targets.",
    "p_acat": "Whether any program is shifted, all p-values of the target combined.",
    "q_acat": "False discovery rate of the p-value beside it, over targets.",
    "fallback": "Why the p-value is not of the kind that was asked for.",
    "n_hits": "Tests at or below the level.",
    "n_up": "Hits that raise the program.",
    "n_down": "Hits that lower the program.",
    "top_genes": "Genes that lead the program's spectra.",
    "gene_sets": "The gene sets that its first genes belong to most clearly, up to three with "
    "q ≤ 0.05; all are in gene_sets.csv beside the page.",
    "at_floor": "Share of cells whose usage of the program is at the floor: hardly any, or none.",
    "mde80": "The smallest effect that this test would have found four times out of five.",
}

FILTERS = {
    **dict.fromkeys(
        (
            "condition",
            "guide",
            "target",
            "program",
            "top_program",
            "top_target",
            "top_genes",
            "gene_sets",
        ),
        "text",
    ),
    **dict.fromkeys(("p_value", "q_value", "q_value_within", "q_acat", "q_max"), "at_most"),
    **dict.fromkeys(("n_treated", "n_hits", "n_up", "n_down"), "at_least"),
    "effect": "sign",
    "top_effect": "sign",
}

_FORMATS = {"effect": "signed", "top_effect": "signed", "at_floor": "percent", "mde80": "number"}


def grid_of_tests(
    rows: pd.DataFrame, title: str, name: str, *, n_all: int, limit: int = 12,
    opens: Mapping[tuple[str, ...], int] | None = None, note: str = "", rest: str = "",
) -> Grid:  # fmt: skip
    """Tests, one per row, with the columns that are worth one."""
    columns = ["condition", "guide", "target", "program", "effect", "effect_se", "p_value"]
    columns += ["q_value", "q_value_within", "q_prespecified", "mde80", "n_treated"]
    columns += ["calibration", "fallback"]
    shown = rows[[c for c in columns if c in rows.columns]].head(MOST)
    for column in ("calibration", "fallback"):  # worth a column only where it tells rows apart
        if column in shown and shown[column].nunique(dropna=False) <= 1:
            shown = shown.drop(columns=column)
    empty = [c for c in ("effect_se", "q_prespecified", "mde80") if c in shown]
    shown = shown.drop(columns=[c for c in empty if shown[c].isna().all()])
    at = None if opens is None else [opens.get(key) for key in keys_of_tests(shown)]
    return _grid(shown, title, name, note, n_all, limit, at, rest)


def keys_of_tests(rows: pd.DataFrame) -> list[tuple[str, ...]]:
    """What names each test: condition, guide, target and program, as far as there are such."""
    columns = [c for c in ("condition", "guide", "target", "program") if c in rows]
    return list(rows[columns].astype(str).itertuples(index=False, name=None))


def strongest(facts: Facts, opens: Mapping[tuple[str, ...], int] | None = None) -> Grid:
    """The strongest tests, hits or not."""
    done = facts.results[facts.results["p_value"].notna()]
    best = done.sort_values("p_value", kind="stable")
    rest = ""
    if len(best) > MOST:
        rest = f"The {MOST:,} strongest; all {len(best):,} are in results.parquet beside this page."
    title = "All tests, the strongest first"
    return grid_of_tests(best, title, "tests", n_all=len(best), opens=opens, rest=rest)


def targets(facts: Facts) -> Grid | None:
    """Every target as a whole, with its hits."""
    if facts.omnibus is None:
        return None
    of = tested_column(facts.omnibus)
    keys = [c for c in ("condition", of) if c in facts.omnibus and c in facts.results]
    shown = _with_hits(facts.omnibus, facts, keys)
    if "p_acat" in shown:
        shown = shown.sort_values("p_acat", kind="stable")
    first = [*[c for c in ("condition", "guide", "target") if c in shown], "n_treated"]
    first += ["n_up", "n_down", "top_program", "top_effect", "p_acat", "q_acat", "p_max", "q_max"]
    order = [c for c in first if c in shown]
    shown = shown[[*order, *[c for c in shown.columns if c not in order]]]
    shown = shown.dropna(axis=1, how="all")
    note = (
        f"Does the {of} shift any program at all? Combined: from all its p-values, of the side "
        "asked for. Largest shift: from the largest one, up or down whatever side was asked for."
    )
    title = f"{of.capitalize()}s as a whole"
    return _grid(shown, title, f"{of}s", note, len(shown), 10, None, "")


def programs(facts: Facts) -> Grid:
    """Every program: what it is, and what moves it."""
    results = facts.results
    shown = pd.DataFrame({"program": list(dict.fromkeys(results["program"].astype(str)))})
    shown = _with_hits(shown, facts, ["program"])
    of = facts.tested
    best = results[results["p_value"].notna()].sort_values("p_value", kind="stable")
    best = best.astype({"program": str}).drop_duplicates("program").set_index("program")
    shown["top_target"] = [best[of].get(p) for p in shown["program"]]
    shown["top_effect"] = [best["effect"].get(p, np.nan) for p in shown["program"]]
    plain = {face: name for name, face in facts.shown_as.items()}
    names = [plain.get(p, p) for p in shown["program"]]
    if facts.programs is not None and (facts.programs["top_genes"] != "").any():
        genes = facts.programs["top_genes"]
        shown.insert(1, "top_genes", [genes.get(name, "") for name in names])
    if sets := facts.sets_of():
        shown.insert(min(2, shown.shape[1]), "gene_sets",
                     ["; ".join(sets.get(name, ())) for name in names])  # fmt: skip
    if len(facts.inputs.at_floor):
        shown["at_floor"] = [facts.inputs.at_floor.get(name, np.nan) for name in names]
    shown = shown.assign(hits=shown["n_up"] + shown["n_down"])
    shown = shown.sort_values("hits", ascending=False, kind="stable").drop(columns="hits")
    note = f"Up and down: {of}s whose perturbation raises or lowers the program."
    return _grid(shown, "Programs", "programs", note, len(shown), 10, None, "")


def _with_hits(table: pd.DataFrame, facts: Facts, keys: Sequence[str]) -> pd.DataFrame:
    """A table with the number of hits of each row that go up (`n_up`) and down (`n_down`)."""
    hits = facts.results[facts.results["q_value"] <= facts.level]
    counts = {}
    for name, right in (("n_up", hits["effect"] > 0), ("n_down", hits["effect"] < 0)):
        found = Counter(hits.loc[right, list(keys)].astype(str).itertuples(index=False, name=None))
        rows = table[list(keys)].astype(str).itertuples(index=False, name=None)
        counts[name] = [found[row] for row in rows]
    return table.assign(**counts)


def _grid(
    shown: pd.DataFrame, title: str, name: str, note: str, n_all: int, limit: int,
    opens: Sequence[int | None] | None, rest: str,
) -> Grid:  # fmt: skip
    return Grid(shown, title, name, note, LABELS, _FORMATS, HELPS, FILTERS, limit, n_all, rest,
                opens)  # fmt: skip
