"""All targets that have a hit, on all programs: a heatmap of any size, to be scrolled on the page.

It travels as one byte per test and is drawn where it is looked at; what is printed, or seen where
scripts are off, is the picture of the strongest (`effect_plots.effect_heatmap`).
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.cluster import hierarchy

from programde.report.blocks import Picture, prepared
from programde.report.checked_tables import tested_column
from programde.report.facts import Facts
from programde.report.qq import neg_log10
from programde.report.templates import json_in_html

#: -log10 p beyond which a colour does not change.
CAP = 20.0
#: Levels of a colour on each side of none.
STEPS = 50
#: Rows of the map: those with the smallest p-values.
MOST_ROWS = 3000
#: Up to here neighbours are ordered as well as can be, which takes the cube of the number.
_OPTIMAL = 250


@dataclass(frozen=True)
class EvidenceMap:
    """Signed evidence, targets x programs.

    Attributes
    ----------
    scores : DataFrame
        -log10 p with the sign of the effect, NaN where there was no test, in the order in which
        rows and columns are shown; the index is (condition, target).
    hits : DataFrame
        Which of them are hits.
    level
        A hit has q <= `level`.
    of
        What a row is.
    picture
        What is printed.
    n_rows
        Rows that there would be.
    """

    scores: pd.DataFrame
    hits: pd.DataFrame
    level: float
    of: str
    picture: Picture | None = None
    n_rows: int = 0

    def prepared(self) -> dict[str, Any]:
        """As its template takes it."""
        rows = [[str(part) for part in key] for key in self.scores.index]
        data = {
            "rows": rows,
            "columns": [str(name) for name in self.scores.columns],
            "codes": base64.b64encode(self.codes().tobytes()).decode("ascii"),
            "steps": STEPS,
            "cap": CAP,
            "level": self.level,
            "of": self.of,
        }
        left_out = self.n_rows - len(rows)
        more = f" The {len(rows):,} with the smallest p of {self.n_rows:,}." if left_out > 0 else ""
        return {
            "kind": "map",
            "title": f"All {self.of}s with a hit, on all programs",
            "note": "Orange: the program rises; blue: it falls; the deeper, the stronger the "
            f"evidence, up to p = 1e-{CAP:.0f}; + and − are hits. What is alike stands together, "
            f"on both axes.{more} Point at a cell to read it, click on a hit to open it.",
            "how": "",
            "picture": None if self.picture is None else prepared(self.picture),
            "data": json_in_html(data),
        }

    def codes(self) -> np.ndarray:
        """One byte per test: 0 no test; 1 to 2 STEPS + 1 the evidence, from the strongest that
        falls to the strongest that rises; hits lie 2 STEPS + 1 higher."""
        values = self.scores.to_numpy(dtype=np.float64)
        at = np.rint(np.clip(values / CAP, -1, 1) * STEPS) + STEPS + 1
        at = at + (2 * STEPS + 1) * self.hits.to_numpy()
        codes: np.ndarray = np.where(np.isfinite(values), at, 0).astype(np.uint8)
        return codes


def evidence_map(facts: Facts, picture: Picture | None) -> EvidenceMap | None:
    """The map of a run; None where there is no hit, or but one row or column."""
    results, of = facts.results, tested_column(facts.results)
    condition = results["condition"] if "condition" in results else pd.Series("", results.index)
    long = pd.DataFrame(
        {
            "condition": condition.astype(str),
            "name": results[of].astype(str),
            "program": results["program"].astype(str),
            "score": np.sign(results["effect"]) * neg_log10(results["p_value"]),
            "hit": results["q_value"] <= facts.level,
        }
    )
    keys = ["condition", "name"]
    if long.duplicated([*keys, "program"]).any():
        return None
    found = long.loc[long["hit"], keys].drop_duplicates()
    n_rows = len(found)
    if n_rows < 2 or long["program"].nunique() < 2:
        return None
    long = long.merge(found, on=keys)
    if n_rows > MOST_ROWS:
        best = long.groupby(keys, sort=False)["score"].agg(lambda s: s.abs().max())
        kept = best.sort_values(ascending=False, kind="stable").index[:MOST_ROWS]
        long = long.set_index(keys).loc[kept].reset_index()
    scores = long.pivot(index=keys, columns="program", values="score")
    hits = long.pivot(index=keys, columns="program", values="hit") == True  # noqa: E712
    rows, columns = order_of_likeness(scores), order_of_likeness(scores.T)
    return EvidenceMap(
        scores.iloc[rows, columns], hits.iloc[rows, columns], facts.level, of, picture, n_rows
    )


def order_of_likeness(scores: pd.DataFrame) -> np.ndarray:
    """Row order in which similar rows are neighbours (average linkage)."""
    values = np.clip(scores.fillna(0.0).to_numpy(dtype=np.float64), -CAP, CAP)
    if len(values) < 3:
        return np.arange(len(values))
    tree = hierarchy.linkage(values, "average", optimal_ordering=len(values) <= _OPTIMAL)
    return hierarchy.leaves_list(tree)
