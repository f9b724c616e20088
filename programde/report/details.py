"""What a click on a hit shows: its cells, its guides, its batches and conditions, as plain data.

The page holds it for the strongest hits; how it is drawn stands in assets/page.js.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pandas as pd

from programde.report.facts import Facts
from programde.report.grids import numbers
from programde.report.hit_tables import MOST, keys_of_tests

Keys = dict[tuple[str, ...], int]
#: Guides of one target, and batches, that are drawn.
_MOST_LINES = 24


class Cells(Protocol):
    """The cells behind a hit, see `programde.analysis.hit_cells.HitCells`."""

    @property
    def treated(self) -> np.ndarray: ...
    @property
    def control(self) -> np.ndarray: ...
    @property
    def zeros_treated(self) -> float: ...
    @property
    def zeros_control(self) -> float: ...
    @property
    def n_treated(self) -> int: ...
    @property
    def n_control(self) -> int: ...
    @property
    def batches(self) -> pd.DataFrame: ...


def strongest_hits(results: pd.DataFrame, level: float, most: int) -> pd.DataFrame:
    """The rows of a results table that are hits, strongest first, at most `most` of them."""
    hits = results[results["q_value"] <= level]
    return hits.sort_values(["q_value", "p_value"], kind="stable").head(most)


def hit_details(
    facts: Facts, cells: Sequence[Cells], guide_effects: pd.DataFrame | None
) -> tuple[Keys, dict[str, Any]]:
    """What the page shows of its strongest hits.

    Parameters
    ----------
    facts
        Of the run.
    cells
        Those behind the first ``len(cells)`` rows of `strongest_hits`.
    guide_effects
        Columns ``guide, target, program, effect, effect_se, n_treated``: each guide alone; and
        ``condition`` where the analysis was repeated by it.

    Returns
    -------
    tuple
        What names a test (see `hit_tables.keys_of_tests`, programs as they are shown) -> its place;
        and the details, ready for JSON.
    """
    faces = facts.faces()
    hits = strongest_hits(facts.results, facts.level, MOST)
    shown = hits.assign(program=[faces.get(str(p), str(p)) for p in hits["program"]])
    opens = {key: at for at, key in enumerate(keys_of_tests(shown)[: len(cells)])}
    asked = hits.head(len(cells))[["target", "program"]].drop_duplicates()
    alone = _by_test(guide_effects, asked)
    agree = _by_test(facts.guides, asked)
    everywhere = _by_test(facts.results if "condition" in facts.results else None, asked)
    of, sets = facts.tested, facts.sets_of()
    made: list[dict[str, Any]] = []
    for row, face, behind in zip(
        _rows(hits.head(len(cells))), shown["program"], cells, strict=False
    ):
        test = (str(row["target"]), str(row["program"]))
        here = str(row.get("condition", ""))
        effect, se, p, q = numbers(
            np.array([row["effect"], row.get("effect_se", np.nan), row["p_value"], row["q_value"]])
        )
        made.append(
            {
                "target": str(row[of]),
                "program": face,
                "condition": here,
                "effect": effect,
                "se": se,
                "p": p,
                "q": q,
                "n_treated": behind.n_treated,
                "n_control": behind.n_control,
                "usage": {"treated": numbers(behind.treated), "control": numbers(behind.control)},
                "zeros": {"treated": behind.zeros_treated, "control": behind.zeros_control},
                "guides": _guides(alone.get(test, []), here) if of == "target" else [],
                "batches": _lines(_rows(behind.batches), "batch"),
                "conditions": _lines(
                    [one for one in everywhere.get(test, []) if one[of] == row[of]], "condition"
                ),
                "notes": _about(facts, str(row["program"]), sets)
                + (_notes(row, agree.get(test, [])) if of == "target" else [])
                + _touched(row, facts.level),
            }
        )
    every = [
        {
            "target": str(target),
            "program": program,
            "condition": condition,
            "effect": effect,
            "at": at if at < len(made) else None,
        }
        for at, (target, program, condition, effect) in enumerate(
            zip(
                shown[of],
                shown["program"],
                shown.get("condition", pd.Series("", shown.index)).astype(str),
                numbers(shown["effect"].to_numpy(dtype=np.float64)),
                strict=True,
            )
        )
    ]
    units = {"unit": facts.effect_label, "unit_of_means": facts.usage_label}
    return opens, {**units, "hits": made, "all": every}


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def _by_test(
    table: pd.DataFrame | None, asked: pd.DataFrame
) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Rows by target and program, of the pairs asked for."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    if table is not None:
        for row in _rows(table.merge(asked, on=["target", "program"])):
            found.setdefault((str(row["target"]), str(row["program"])), []).append(row)
    return found


def _guides(rows: Sequence[Mapping[Any, Any]], condition: str) -> list[dict[str, Any]]:
    """Each guide alone, in the cells that the hit was found in."""
    return _lines(
        [row for row in rows if str(row.get("condition", condition)) == condition], "guide"
    )


def _lines(rows: Sequence[Mapping[Any, Any]], name: str) -> list[dict[str, Any]]:
    """Effects with their errors, for a forest plot."""
    made = []
    for row in rows[:_MOST_LINES]:
        at, se = numbers(np.array([row["effect"], row.get("effect_se", np.nan)], dtype=np.float64))
        if at is not None:
            made.append({"name": str(row[name]), "at": at, "se": se, "n": row.get("n_treated")})
    return made


def _notes(row: Mapping[Any, Any], agree: Sequence[Mapping[Any, Any]]) -> list[str]:
    """Sentences on a hit."""
    notes = []
    if agree and (one := agree[0])["n_guides"] > 1:
        # guides are compared over all cells, so with conditions not over those of the hit alone
        where = "Over all conditions " if "condition" in row else ""
        notes.append(
            f"{where}{one['n_same_sign']} of {one['n_guides']} guides point the same way. Without "
            f"the leading one ({one['leading_guide']}) the others show z = "
            f"{_signed(one['z_without_leading'])}; all together z = {_signed(one['z'])} (each "
            "guide alone, by least squares, weighted by its error)."
        )
    elif agree:
        notes.append("The target has one guide here: nothing tells whether another would agree.")
    if np.isfinite(row.get("mde80", np.nan)):
        notes.append(
            f"An effect of {row['mde80']:.2g} would have been found four times out of five."
        )
    if row.get("fallback"):
        notes.append(f"The p-value is not of the kind that was asked for: {row['fallback']}.")
    return notes


def _about(facts: Facts, program: str, sets: Mapping[str, Sequence[str]]) -> list[str]:
    """What is known of the program."""
    said = []
    if facts.programs is not None and program in facts.programs.index:
        genes = str(facts.programs.loc[program, "top_genes"])
        said += [f"Genes that lead {program}: {genes}."] if genes else []
    if belongs := sets.get(program):
        said.append(f"They belong to {'; '.join(belongs)}.")
    return [" ".join(said)] if said else []


def _touched(row: Mapping[Any, Any], level: float) -> list[str]:
    """Whether the program was touched itself, or may be the mirror image of others' shifts."""
    if "p_direct" not in row:
        return []
    if not np.isfinite(row["p_direct"]):
        why = row.get("direct_reason")
        return (
            [f"Spill-over: it cannot be told whether it was touched itself ({why})."] if why else []
        )
    found, mirror = _signed(row["log_ratio"], 2), _signed(row["mirror"], 2)
    shifts = (
        f"usages sum to one, and the other shifts of the target alone would move this program by "
        f"{mirror} (log-ratio); found is {found} (q of being touched {row['q_direct']:.2g})."
    )
    if row["q_direct"] <= level:
        return [f"Spill-over: touched itself; {shifts}"]
    return [f"Spill-over: may be a mirror image; {shifts}"]


def _signed(z: float, digits: int = 1) -> str:
    return f"{z:.{digits}f}".replace("-", "−")
