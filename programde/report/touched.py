"""Which hits are programs that were touched, and which may be the others' mirror image."""

from __future__ import annotations

import pandas as pd

from programde.report.blocks import Block, Table
from programde.report.checked_tables import counted
from programde.report.direct_plots import COLUMNS, by_target
from programde.report.facts import Facts
from programde.report.page import Section
from programde.report.pictures import Pictures

TITLE = "Touched, or pushed by other programs?"
NOTE = (
    "Usages sum to one, so a program that rises pushes the log-ratios of all others down, and the "
    "other way round. Touched: q_direct, the share of false ones among programs said to be touched "
    "beyond that mirror image, is at or below the level as well."
)
LABELS = {"says": "", "hits": "hits", "touched": "touched", "mirror": "maybe mirror images"}


def touched(facts: Facts, pictures: Pictures) -> list[Section]:
    """A sentence per target with hits, and the picture; nothing where direct effects were not
    tested or there is no hit."""
    results = facts.results
    if any(column not in results for column in COLUMNS):
        return []
    table = by_target(results, facts.level)
    if table.empty:
        return []
    told = table.assign(says=[sentence(row) for _, row in table.iterrows()])
    mirrors, hits = int(table["mirror"].sum()), int(table["hits"].sum())
    lead = (
        f"{mirrors:,} of {counted(hits, 'hit')} may be the mirror image of other programs' shifts"
    )
    if unknown := int(table["unknown"].sum()):
        reasons = results.loc[(results["q_value"] <= facts.level), "direct_reason"]
        why = reasons[reasons != ""].iloc[0] if (reasons != "").any() else "no standard error"
        lead += f"; of {unknown:,} it cannot be told ({why})"
    blocks: list[Block] = [
        Table(told[[c for c in told if c not in ("unknown",)]], "Target by target", NOTE, LABELS)
    ]
    return [Section(TITLE, [*blocks, *pictures.some("direct")], lead + ".", "touched")]


def sentence(row: pd.Series) -> str:
    """What is to be said of one target."""
    hits = int(row["hits"])
    if row["unknown"] == hits:
        return "it cannot be told which programs were touched"
    if not row["mirror"]:
        return "all were touched" if hits > 1 else "it was touched"
    if hits == 1:
        return "the hit may be the others' mirror image"
    return f"{int(row['mirror'])} of {hits} hits may be the others' mirror image"
