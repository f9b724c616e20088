"""The smallest effect that a test would have seen, from its standard error."""

from __future__ import annotations

import pandas as pd
from scipy import special

#: Power of the smallest effect that counts as seen.
WANTED = 0.8


def run_threshold(results: pd.DataFrame, level: float) -> float:
    """The p-value up to which tests of a run were hits at a q-value of `level`.

    Where there is no hit, the smallest threshold of Benjamini and Hochberg: `level` / tests.
    """
    hits = results.loc[results["q_value"] <= level, "p_value"]
    if len(hits):
        return float(hits.max())
    return level / max(int(results["p_value"].notna().sum()), 1)


def with_mde80(results: pd.DataFrame, level: float, side: str = "both") -> pd.DataFrame:
    """Tidy results with the column `mde80`.

    Parameters
    ----------
    results
        As `results_table` gives them.
    level
        The q-value at which something counts as found.
    side
        Of the p-values.

    Returns
    -------
    DataFrame
        `mde80` at the end: the smallest absolute effect, in the unit of the effects, that would
        have been found with 80 % power at the run's own threshold p*,

            (z(1 - p* / 2) + z(0.8)) se,

        with 1 - p* in the place of 1 - p* / 2 where the test is one-sided. se is the standard
        error, or the standard deviation of the null draws where the statistic has none; NaN where
        there is neither, and where nothing was tested.
    """
    threshold = run_threshold(results, level) / (2 if side == "both" else 1)
    reach = -special.ndtri(threshold) + special.ndtri(WANTED)
    error = results["effect_se"].fillna(results["null_sd"])
    return results.assign(mde80=(reach * error).where(results["p_value"].notna()))


def smallest_seen(results: pd.DataFrame, of: str = "target") -> pd.DataFrame:
    """The smallest effect that would have been seen, target by target.

    Returns
    -------
    DataFrame
        condition (where there are several), `of`, n_treated, and mde80: the median over programs.
        The least sensitive first.
    """
    by = [name for name in ("condition", of) if name in results]
    table = results.dropna(subset=["mde80"]).groupby(by, sort=False, as_index=False)
    seen = table.agg(n_treated=("n_treated", "first"), mde80=("mde80", "median"))
    return seen.sort_values("mde80", ascending=False, kind="stable", ignore_index=True)
