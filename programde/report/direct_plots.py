"""Touched, or pushed by the others: each program's shift against the mirror image of the rest."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from programde.report.checked_tables import need_columns, tested_column
from programde.report.lettering import in_pictures
from programde.report.style import BLUE, GREY, VERMILLION, figure_of, panels, styled

COLUMNS = ("program", "q_value", "p_direct", "q_direct", "mirror", "log_ratio")


def mirror_hits(results: pd.DataFrame, level: float) -> pd.Series:
    """Which rows are hits that may be mirror images: found moved, and not found touched."""
    return (
        (results["q_value"] <= level)
        & results["p_direct"].notna()
        & ~(results["q_direct"] <= level)
    )


def by_target(results: pd.DataFrame, level: float) -> pd.DataFrame:
    """Per target: `hits`, how many of them are `touched`, `mirror` (may be mirror images) or
    `unknown` (no test); those with most mirror images first, targets without a hit left out.

    Raises
    ------
    InputError
        A column is missing.
    """
    need_columns(results, COLUMNS, "results table")
    keys = [c for c in ("condition", "guide", "target") if c in results]
    hit = results["q_value"] <= level
    counts = results[keys].assign(
        hits=hit,
        touched=hit & (results["q_direct"] <= level),
        mirror=mirror_hits(results, level),
        unknown=hit & results["p_direct"].isna(),
    )
    table = counts.groupby(keys, sort=False, as_index=False).sum()
    table = table[table["hits"] > 0]
    order = ["mirror", "hits"]
    return table.sort_values(order, ascending=False, kind="stable", ignore_index=True)


@styled
def mirror_figure(
    results: pd.DataFrame, *, level: float = 0.1, n_targets: int = 4, n_labels: int = 3
) -> Figure:
    """The targets with most mirror images: the log-ratio shift of each program against the shift
    that it would show were it untouched. On the diagonal lie mirror images; touched ones off it.

    Parameters
    ----------
    results
        Columns of `results_table`: `target, program, q_value, p_direct, q_direct, mirror,
        log_ratio`.
    level
        A hit has q <= `level`, a touched program q_direct <= `level` too.
    n_targets
        Panels, at most.
    n_labels
        Touched programs that are named, those farthest off the diagonal first.

    Raises
    ------
    InputError
        A column is missing.
    """
    shown = by_target(results, level).head(n_targets)
    of = tested_column(results)
    keys = [c for c in ("condition", of) if c in results]
    n = max(len(shown), 1)
    axes = panels(max(2.7 * n, 4.6), 3.5, [1.0] * n, below=0.95)
    figure = figure_of(axes[0])
    for ax, (_, target) in zip(axes, shown.iterrows(), strict=False):
        part = results[(results[keys] == target[keys]).all(axis=1) & results["mirror"].notna()]
        x, y = part["mirror"].to_numpy(), part["log_ratio"].to_numpy()
        touched = (part["q_direct"] <= level).to_numpy() & (part["q_value"] <= level).to_numpy()
        pushed = mirror_hits(part, level).to_numpy()
        ends = np.array([min(x.min(initial=0), 0), max(x.max(initial=0), 0)])
        room = 0.15 * np.ptp(ends) + 0.02
        ends += [-room, room]
        ax.plot(ends, ends, color=GREY, linewidth=1, zorder=1)
        ax.axhline(0, color="#DDDDDD", linewidth=0.8, zorder=0)
        rest = ~touched & ~pushed
        ax.scatter(x[rest], y[rest], s=12, color="#B5B5B5", linewidths=0, label="no hit")
        ax.scatter(
            x[pushed], y[pushed], s=26, facecolors="white", edgecolors=BLUE, linewidths=1.2,
            label="hit, maybe a mirror image",
        )  # fmt: skip
        ax.scatter(x[touched], y[touched], s=30, color=VERMILLION, marker="D", label="hit, touched")
        far = np.argsort(-np.abs(y - x) * touched, kind="stable")[: min(n_labels, touched.sum())]
        for i in far:
            word = in_pictures(str(part["program"].iloc[i]).split(" · ")[0], 16)
            left = x[i] > ends.mean()  # names stay inside their panel
            ax.annotate(word, (x[i], y[i]), xytext=(-5 if left else 5, 4), fontsize=8,
                        textcoords="offset points", ha="right" if left else "left")  # fmt: skip
        ax.set_xlim(*ends)
        ax.set_title(in_pictures(" in ".join(str(target[key]) for key in reversed(keys)), 40))
        ax.set_xlabel("expected if untouched (log-ratio)")
    axes[0].set_ylabel("found (log-ratio)")
    if len(shown):
        handles, words = axes[0].get_legend_handles_labels()
        figure.legend(handles, words, loc="lower center", ncols=3)
    else:
        axes[0].text(0.5, 0.5, "no hit", ha="center", transform=axes[0].transAxes)
    return figure
