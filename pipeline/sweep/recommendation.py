"""Which setting to take, in a sentence; or that it cannot be told."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from pipeline.sweep.power_order import ALIKE, Powers
from pipeline.sweep.record import word_of
from programde.report.power import USUAL_SHARE

#: Words of settings that may be recommended.
SOUND = ("calibrated", "too few controls to tell")


def recommendation(
    table: pd.DataFrame, powers: Powers | None, name: Callable[[Any], str], word: str
) -> str:
    """The sentence.

    Parameters
    ----------
    table
        Settings, best first: `rank`, `verdict`, `run`.
    powers
        Their power by known effects; None where none was measured.
    name
        A setting in a few words.
    word
        The verdict on the first one as the pick of all.
    """
    first = table.iloc[0]
    if word not in SOUND:
        return "Recommended: none, since the control groups of no setting look like chance."
    if powers is None:
        return "Recommended: cannot be told, since the power of no setting was measured."
    if pd.isna(powers.mean(first["run"])):
        return f"Recommended: cannot be told, since the power of {name(first)} was not measured."
    top = table[table["rank"] == first["rank"]]
    low, high = powers.interval(first["run"])
    finds = (
        f"{name(first)} finds {100 * powers.mean(first['run']):.0f} % of the known effects put "
        f"into control cells (95 % interval {100 * low:.0f} to {100 * high:.0f} %)"
    )
    if len(top) == len(table) and len(table) > 1:
        words = f"Recommended: cannot be told among these {len(table)} settings"
        return f"{words}, whose power differs by at most {ALIKE:g} or by chance; {finds}."
    if len(top) > 1:
        others = "; ".join(name(row) for _, row in top.iloc[1:4].iterrows())
        more = f" and {len(top) - 4} more" if len(top) > 4 else ""
        return f"Recommended: {finds}; {others}{more} cannot be told from it."
    return f"Recommended: {finds}, more than any other."


def by_other_shares(table: pd.DataFrame, powers: Powers | None, name: Callable[[Any], str]) -> str:
    """What would be first if all cells scaled, or if all switched; empty where it is the same."""
    sound = table[table["verdict"].isin(SOUND)]
    if powers is None or sound.empty:
        return ""
    runs = sound["run"].tolist()
    scale, switch = powers.first("scale", runs), powers.first("switch", runs)
    if scale is None or switch is None or scale == switch:
        return ""
    rows = sound.set_index("run", drop=False)
    why = f"as in the hits of these settings (drawn towards {100 * USUAL_SHARE:.0f} % where these "
    why += "say little)"
    if math.isclose(powers.share, USUAL_SHARE):
        why = "as is usual: there are no hits that would say it of this screen"
    return (
        f"Power is told with {100 * powers.share:.0f} % of a change by cells that switch on or "
        f"off, {why}. If all cells scaled and none switched, "
        f"{name(rows.loc[scale])} would find most; if all of it were switching, "
        f"{name(rows.loc[switch])}."
    )


def objective(metrics: Mapping[str, Any]) -> float:
    """What a sweeper that seeks the best setting is to make large.

    Parameters
    ----------
    metrics
        Numbers of a run by their path.

    Returns
    -------
    float
        Power by known effects; less 1 where the controls speak against the p-values, so that any
        sound setting is better than any other; -1 where no power was measured.
    """
    power = float(metrics.get("power/mix", -1.0))
    return power if power < 0 or word_of(metrics).word in SOUND else power - 1.0
