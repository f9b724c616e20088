"""Conditions against each other: is an effect the same in both?

Conditions share guides and batches, not cells, so the errors of two conditions are independent, and

    z = (b1 - b2) / sqrt(s1^2 + s2^2)

is standard normal where the effects are equal.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from scipy import special

from programde.calibration.fdr import benjamini_hochberg
from programde.report.checked_tables import need_columns, tested_column
from programde.report.lettering import in_pictures
from programde.report.style import BLUE, GREY, VERMILLION, axes_or_new, styled

CONTRAST = ["program", "first", "second", "effect_first", "effect_second", "difference",
            "difference_se", "z", "p_value", "q_value", "q_value_within"]  # fmt: skip


def condition_contrasts(results: pd.DataFrame) -> pd.DataFrame:
    """Every two conditions compared, test by test.

    Parameters
    ----------
    results
        Columns `condition, target, program, effect` and `effect_se` (`null_sd` in its place where
        the statistic has none); `guide` where guides were tested one by one.

    Returns
    -------
    DataFrame
        target (or guide), program, first and second (the conditions), their effects, difference
        (first less second) with its standard error, z, two-sided p_value, and by Benjamini and
        Hochberg q_value over all rows, q_value_within over those of the same two conditions. Tests
        that were not done in both are left out; strongest first.
    """
    need_columns(results, ("condition", "target", "program", "effect"), "results table")
    of = tested_column(results)
    error = results["effect_se"] if "effect_se" in results else pd.Series(np.nan, results.index)
    if "null_sd" in results:
        error = error.fillna(results["null_sd"])
    table = results.assign(error=error)[[of, "program", "condition", "effect", "error"]].dropna()
    parts = []
    levels = sorted(table["condition"].unique())
    for first, second in combinations(levels, 2):
        one, other = (table[table["condition"] == level] for level in (first, second))
        both = one.merge(other, on=[of, "program"], suffixes=("_first", "_second"))
        difference = both["effect_first"] - both["effect_second"]
        se = np.hypot(both["error_first"], both["error_second"])
        parts.append(
            both[[of, "program", "effect_first", "effect_second"]].assign(
                first=first, second=second, difference=difference, difference_se=se,
                z=difference / se,
            )
        )  # fmt: skip
    if not parts or not sum(map(len, parts)):
        return pd.DataFrame(columns=[of, *CONTRAST])
    made = pd.concat(parts, ignore_index=True)
    made["p_value"] = 2 * special.ndtr(-made["z"].abs())
    made["q_value"] = benjamini_hochberg(made["p_value"].to_numpy())
    of_pair = made.groupby(["first", "second"], sort=False)["p_value"]
    made["q_value_within"] = of_pair.transform(lambda p: benjamini_hochberg(p.to_numpy()))
    return made[[of, *CONTRAST]].sort_values("p_value", kind="stable", ignore_index=True)


@styled
def contrast_scatter(
    contrasts: pd.DataFrame, *, level: float = 0.1, n_labels: int = 8, ax: Axes | None = None
) -> Axes:
    """Effects in one condition against those in another; those that differ are coloured.

    Parameters
    ----------
    contrasts
        Rows of one pair of conditions of `condition_contrasts`.
    level
        Effects differ at q <= `level`.
    n_labels
        How many of the strongest are named.
    ax
        Where to draw; None: a figure of its own.

    Returns
    -------
    Axes
        Of matplotlib.

    Examples
    --------
    >>> import pandas as pd
    >>> from programde import pl
    >>> from programde.report.contrasts import condition_contrasts
    >>> results = pd.DataFrame(
    ...     {"condition": ["day 0", "day 3"], "target": "A", "program": "p0",
    ...      "effect": [0.1, 0.9], "effect_se": [0.1, 0.1]}
    ... )
    >>> pl.condition_scatter(condition_contrasts(results)).get_xlabel()
    'effect in day 0'
    """
    need_columns(contrasts, ("effect_first", "effect_second", "q_value"), "contrasts")
    ax = axes_or_new(ax, 6.2, 5.6)
    x, y = contrasts["effect_first"].to_numpy(), contrasts["effect_second"].to_numpy()
    differ = (contrasts["q_value"] <= level).to_numpy()
    up = differ & (x > y)
    ax.scatter(x[~differ], y[~differ], s=7, color="#B5B5B5", linewidths=0)
    for which, marker, color in ((up, ">", VERMILLION), (differ & ~up, "^", BLUE)):
        ax.scatter(x[which], y[which], s=22, marker=marker, color=color, linewidths=0)
    reach = 1.1 * max(np.abs(x).max(initial=0.0), np.abs(y).max(initial=0.0), 1e-12)
    ax.plot([-reach, reach], [-reach, reach], color=GREY, linewidth=0.8)
    ax.axhline(0, color="#DDDDDD", linewidth=0.8, zorder=0)
    ax.axvline(0, color="#DDDDDD", linewidth=0.8, zorder=0)
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach))
    if len(contrasts):
        first = contrasts.iloc[0]
        ax.set_xlabel(f"effect in {in_pictures(first['first'], 30)}")
        ax.set_ylabel(f"effect in {in_pictures(first['second'], 30)}")
        of = tested_column(contrasts)
        for row in contrasts[differ].head(n_labels).to_dict("records"):
            words = f"{in_pictures(row[of], 20)} · {in_pictures(row['program'], 28)}"
            at = (row["effect_first"], row["effect_second"])
            ax.annotate(words, at, (4, 4), textcoords="offset points", fontsize=7)
    return ax
