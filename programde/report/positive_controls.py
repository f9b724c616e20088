"""Positive controls: effects that should be there, and whether they were found.

A target whose own gene is among the first genes of a program should shift that program, down where
guides lower their gene and up where they raise it; others are named by hand.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from programde.report.checked_tables import counted, need_columns

#: What guides do to their gene -> which way a program goes that it leads.
DIRECTIONS = {"lowers": -1, "raises": 1, None: 0}
FOUND, OTHER_WAY, MISSED, UNTESTED = "found", "found the other way", "not found", "not tested"
EXPECTED = {-1: "falls", 1: "rises", 0: "either"}
_SHOULD = {
    -1: " Guides lower their genes, so the programs should fall.",
    1: " Guides raise their genes, so the programs should rise.",
}
#: Columns of `expected_effects`.
COLUMNS = ("target", "program", "expected", "rank")


def expected_effects(
    own_genes: pd.DataFrame | None,
    named: Sequence[tuple[str, str, int]] = (),
    effect_of_guides: str | None = None,
) -> pd.DataFrame | None:
    """The positive controls of a screen.

    Parameters
    ----------
    own_genes
        `target, program, rank`, see `own_programs.own_gene_ranks`; None where nothing says which
        genes make the programs.
    named
        Target, program and sign of those named by hand; they win over their own genes.
    effect_of_guides
        ``"lowers"``, ``"raises"``, or None: not known, either direction counts.

    Returns
    -------
    DataFrame or None
        target, program, expected (-1, 0 or 1), rank (of the target's gene; NaN where it was named
        by hand). None where there is neither a spectrum nor a name.

    Examples
    --------
    >>> own = pd.DataFrame({"target": ["IRF1"], "program": ["p1"], "rank": [2]})
    >>> expected_effects(own, [("STAT1", "p1", 1)], "lowers")["expected"].tolist()
    [1, -1]
    """
    if own_genes is None and not named:
        return None
    by_hand = pd.DataFrame(list(named), columns=["target", "program", "expected"])
    by_hand = by_hand.assign(rank=np.nan)
    if own_genes is None or not len(own_genes):
        return by_hand[list(COLUMNS)]
    own = own_genes.assign(expected=DIRECTIONS[effect_of_guides])
    both = pd.concat([by_hand, own], ignore_index=True) if len(by_hand) else own
    both = both.drop_duplicates(["target", "program"], ignore_index=True)
    return both.astype({"expected": int, "rank": float})[list(COLUMNS)]


def judged_controls(results: pd.DataFrame, expected: pd.DataFrame, *, level: float) -> pd.DataFrame:
    """What became of the positive controls.

    Parameters
    ----------
    results
        `target, program, effect, p_value, q_value`, and `condition, effect_se, mde80, n_treated`
        where there are such; `guide` where guides were tested one by one: each of them is a test
        of what its target should do.
    expected
        As `expected_effects` gives them.
    level
        One is found where q <= `level` and the effect has the sign that is expected, if any.

    Returns
    -------
    DataFrame
        condition and guide (where there are such), target, program, outcome, expected (in a
        word), effect, effect_se, p_value, q_value, mde80, n_treated, rank; those named by hand
        first, then by rank. Pairs that are not in the results are left out.
    """
    need_columns(results, ("target", "program", "effect", "p_value", "q_value"), "results table")
    need_columns(expected, COLUMNS, "table of positive controls")
    columns = [
        "condition",
        "guide",
        "target",
        "program",
        "effect",
        "effect_se",
        "p_value",
        "q_value",
    ]
    columns += ["mde80", "n_treated"]
    here = results[[c for c in columns if c in results]].merge(expected, on=["target", "program"])
    right = (here["expected"] == 0) | (np.sign(here["effect"]) == here["expected"])
    hit = here["q_value"] <= level
    here["outcome"] = np.select(
        [here["p_value"].isna(), hit & right, hit], [UNTESTED, FOUND, OTHER_WAY], MISSED
    )
    here["expected"] = here["expected"].map(EXPECTED)
    names = [c for c in ("condition", "guide", "target", "program") if c in here]
    first = [*names, "outcome", "expected"]
    order = [*first, *[c for c in here.columns if c not in first]]
    return here[order].sort_values(
        ["rank", "p_value"], kind="stable", na_position="first", ignore_index=True
    )


def counts(tested: pd.DataFrame) -> dict[str, int]:
    """Numbers of positive controls: tested, found, other_way, untested."""
    outcome = tested["outcome"]
    return {
        "tested": int((outcome != UNTESTED).sum()),
        "found": int((outcome == FOUND).sum()),
        "other_way": int((outcome == OTHER_WAY).sum()),
        "untested": int((outcome == UNTESTED).sum()),
    }


def in_words(tested: pd.DataFrame, n_targets: int, level: float) -> str:
    """How many of them were found, and what they are."""
    if not len(tested):
        return (
            f"There is no positive control: none of the {n_targets:,} targets is a gene that leads "
            "a program, and data.positive_controls names none."
        )
    n = counts(tested)
    done = tested[tested["outcome"] != UNTESTED]
    parts = [f"{n['found']:,} of {counted(n['tested'], 'positive control')} found at q ≤ {level:g}"]
    if n["tested"]:
        parts[0] = parts[0].replace(" found", f" ({n['found'] / n['tested']:.0%}) found")
    if "guide" in tested:
        parts[0] += f", guide by guide; by at least one guide {_pairs(done)}"
    elif "condition" in tested:
        parts[0] += f", condition by condition; in at least one condition {_pairs(done)}"
    if n["other_way"]:
        parts.append(f"{n['other_way']:,} found in the direction that was not expected")
    if n["untested"]:
        parts.append(f"{n['untested']:,} could not be tested")
    small = float((done["p_value"] <= 0.05).mean()) if len(done) else 0.0
    by_hand = int(tested["rank"].isna().sum())
    own = tested[tested["rank"].notna()]
    said = "; ".join(parts) + f". {small:.0%} have p ≤ 0.05, 5 % would by chance."
    if len(own):
        said += (
            f" {own['target'].nunique():,} of {n_targets:,} targets are genes that lead a program, "
            f"which makes {len(own):,} of these tests"
            + (f"; {by_hand:,} named by hand." if by_hand else ".")
        )
        for sign, words in _SHOULD.items():
            if (own["expected"] == EXPECTED[sign]).all():
                said += words
        if (own["expected"] == EXPECTED[0]).all():
            said += " Either direction counts: data.effect_of_guides says which is expected."
    return said.replace("%", " %").replace("  %", " %")


def _pairs(done: pd.DataFrame) -> str:
    """How many pairs were found at least once, where each was tested several times."""
    found = (done["outcome"] == FOUND).groupby([done["target"], done["program"]]).any()
    return f"{int(found.sum()):,} of {counted(len(found), 'pair')} of target and program"
