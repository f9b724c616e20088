"""Which hits are found by which settings of a sweep."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

COUNT = "settings"


def hits_by_setting(results: Mapping[str, pd.DataFrame], level: float) -> pd.DataFrame:
    """Hits x settings.

    Parameters
    ----------
    results
        Setting -> its tidy results.
    level
        The q-value at which something counts as found.

    Returns
    -------
    DataFrame
        (condition, guide,) target, program; `settings`, how many find it; and one column of true
        and false per setting. What most settings find comes first.
    """
    found: dict[str, pd.Series] = {}
    names: list[str] = []
    for setting, table in results.items():
        names = [c for c in ("condition", "guide", "target", "program") if c in table]
        hits = table.loc[table["q_value"] <= level, names].astype(str)
        found[setting] = pd.Series(True, pd.MultiIndex.from_frame(hits), dtype=object)
    wide = pd.DataFrame(found)
    wide = wide.notna() if len(wide) else wide.astype(bool)
    count = wide.sum(axis=1).astype(int)
    order = count.sort_values(ascending=False, kind="stable").index
    table = wide.loc[order].reset_index(names=names) if len(wide) else pd.DataFrame(columns=names)
    table.insert(len(names), COUNT, count.loc[order].to_numpy() if len(wide) else [])
    return table


def agreement(table: pd.DataFrame, n_settings: int) -> str:
    """How far settings agree, in a sentence."""
    if table.empty:
        return "No setting has a hit."
    by_all = int((table[COUNT] == n_settings).sum())
    by_one = int((table[COUNT] == 1).sum())
    return (
        f"{by_all:,} of {len(table):,} hits are found by all {n_settings} settings, {by_one:,} by "
        "one alone."
    )
