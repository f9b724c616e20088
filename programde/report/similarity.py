"""Targets that act alike, and programs that move together.

A target's profile is its effect on every program. Noise would make profiles of weak targets look
alike at random, so effects are shrunken towards 0 first, program by program:

    b tau^2 / (tau^2 + s^2),   tau^2 = max(0, mean of b^2 - s^2 over targets)

the posterior mean under normal effects of variance tau^2 (empirical Bayes; Efron and Morris 1973,
J. Am. Stat. Assoc. 68:117). Likeness is the correlation of two profiles over programs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.cluster import hierarchy

from programde.report.checked_tables import need_columns, tested_column
from programde.report.effect_plots import DIVERGING
from programde.report.lettering import in_pictures
from programde.report.style import BLUE, GREY, figure_of, inches, panels, styled
from programde.report.ticks import names_at, unnamed

from ..errors import InputError

PAIRS = ["first", "second", "correlation", "n_same", "n_opposite"]


def effect_profiles(results: pd.DataFrame, *, level: float = 0.1) -> pd.DataFrame:
    """Shrunken effects of the targets that have a hit, targets x programs.

    Parameters
    ----------
    results
        Columns `target, program, effect, effect_se, q_value`; with `guide`, guides are the rows,
        with `condition`, each target stands once for each. Where the statistic has no standard
        error, `null_sd` takes its place.
    level
        A hit has q <= `level`.

    Returns
    -------
    DataFrame
        Tests that were not done are 0. Variances are taken over all targets, hits or not.
    """
    need_columns(results, ("target", "program", "effect", "q_value"), "results table")
    of = tested_column(results)
    names = results[of].astype(str)
    if "condition" in results:
        names = names + " in " + results["condition"].astype(str)
    error = results["effect_se"] if "effect_se" in results else pd.Series(np.nan, results.index)
    if "null_sd" in results:
        error = error.fillna(results["null_sd"])
    long = pd.DataFrame({"name": names, "program": results["program"].astype(str),
                         "effect": results["effect"], "error": error})  # fmt: skip
    effects = long.pivot(index="name", columns="program", values="effect")
    variances = long.pivot(index="name", columns="program", values="error") ** 2
    spread = (effects**2 - variances).mean(axis=0).clip(lower=0.0)
    weights = spread / (spread + variances.where(variances > 0))
    found = names[(results["q_value"] <= level).to_numpy()].unique()
    return (effects * weights).loc[found, list(dict.fromkeys(long["program"]))].fillna(0.0)


def correlations(profiles: pd.DataFrame) -> pd.DataFrame:
    """Correlation of every two rows; 0 where a row does not vary."""
    values = profiles.to_numpy(dtype=np.float64)
    centred = values - values.mean(axis=1, keepdims=True)
    length = np.sqrt((centred**2).sum(axis=1, keepdims=True))
    unit = np.divide(centred, length, out=np.zeros_like(centred), where=length > 0)
    return pd.DataFrame(np.clip(unit @ unit.T, -1, 1), profiles.index, profiles.index)


def alike(results: pd.DataFrame, *, level: float = 0.1, most: int = 1000) -> pd.DataFrame:
    """Pairs of targets by the correlation of their profiles, the most alike first.

    Returns
    -------
    DataFrame
        first, second, correlation, n_same and n_opposite: programs that both shift at `level`, in
        the same and in opposite directions. At most `most` pairs, those of the largest absolute
        correlation.
    """
    if not {"effect_se", "null_sd"} & set(results.columns):
        return pd.DataFrame(columns=PAIRS)  # without errors nothing tells effects from noise
    profiles = effect_profiles(results, level=level)
    if len(profiles) < 2 or profiles.shape[1] < 3:
        return pd.DataFrame(columns=PAIRS)
    r = correlations(profiles).to_numpy()
    one, other = np.triu_indices(len(profiles), 1)
    best = np.argsort(-np.abs(r[one, other]), kind="stable")[:most]
    one, other = one[best], other[best]
    signs = _signs_of_hits(results, profiles, level)
    both = signs[one] * signs[other]
    names = profiles.index.to_numpy(dtype=object)
    pairs = pd.DataFrame(
        {
            "first": names[one],
            "second": names[other],
            "correlation": r[one, other],
            "n_same": (both > 0).sum(axis=1),
            "n_opposite": (both < 0).sum(axis=1),
        }
    )
    return pairs.sort_values("correlation", ascending=False, kind="stable", ignore_index=True)


def n_alike(results: pd.DataFrame, *, level: float = 0.1, at: float = 0.8) -> tuple[int, int]:
    """How many pairs of targets with hits correlate at `at` or more, and at -`at` or less."""
    table = correlations(effect_profiles(results, level=level)).to_numpy()
    pairs = table[np.triu_indices(len(table), 1)]
    return int((pairs >= at).sum()), int((pairs <= -at).sum())


def _signs_of_hits(results: pd.DataFrame, profiles: pd.DataFrame, level: float) -> np.ndarray:
    """Sign of each hit, 0 for no hit, in the rows and columns of the profiles."""
    names = results[tested_column(results)].astype(str)
    if "condition" in results:
        names = names + " in " + results["condition"].astype(str)
    sign = np.sign(results["effect"]).where(results["q_value"] <= level, 0.0)
    long = pd.DataFrame({"name": names, "program": results["program"].astype(str), "sign": sign})
    table = long.pivot(index="name", columns="program", values="sign")
    return table.loc[profiles.index, profiles.columns].fillna(0.0).to_numpy()


@styled
def similarity_figure(
    results: pd.DataFrame, *, level: float = 0.1, max_targets: int = 60, max_programs: int = 60
) -> Figure:
    """Two clustered heatmaps of correlations: targets by their programs, programs by their targets.

    Parameters
    ----------
    results
        As of `effect_profiles`.
    level
        A hit has q <= `level`; targets without one are left out.
    max_targets, max_programs
        Those with the strongest profiles are shown.

    Returns
    -------
    Figure
        Of matplotlib.

    Raises
    ------
    InputError
        Fewer than two targets have a hit, or there are fewer than three programs.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from programde import pl
    >>> effects = np.array([[1.0, 0.9, -1.0], [-0.8, -1.0, 0.7]])
    >>> results = pd.DataFrame({"target": np.repeat(["A", "B"], 3),
    ...                         "program": ["p0", "p1", "p2"] * 2, "effect": effects.ravel(),
    ...                         "effect_se": 0.1, "q_value": 1e-9})
    >>> [ax.get_title(loc="left") for ax in pl.target_similarity(results).axes[:2]]
    ['Targets', 'Programs']
    """
    profiles = effect_profiles(results, level=level)
    if len(profiles) < 2 or profiles.shape[1] < 3:
        raise InputError("likeness needs two targets with hits and three programs")
    size = (profiles**2).sum(axis=1).sort_values(ascending=False, kind="stable")
    rows = profiles.loc[size.index[:max_targets]]
    size = (profiles**2).sum(axis=0).sort_values(ascending=False, kind="stable")
    columns = profiles[size.index[:max_programs]].T
    tables = [_clustered(correlations(rows)), _clustered(correlations(columns))]
    names = [[in_pictures(name, 26) for name in table.index] for table in tables]
    widths = tuple(max(1.4, 0.17 * len(table)) for table in tables)
    left = 0.2 + max(inches(part, 7) for part in names)
    axes = panels(
        min(16.0, 2 * left + sum(widths) + 1.2), min(13.0, max(widths) + 0.75), widths,
        left=left, below=0.3, top=0.4, right=0.9, gap=left + 0.1,
    )  # fmt: skip
    titles = (f"{tested_column(results).capitalize()}s", "Programs")
    for ax, table, words, title in zip(axes, tables, names, titles, strict=True):
        image = ax.imshow(table.to_numpy(), cmap=DIVERGING, vmin=-1, vmax=1, aspect="auto")
        unnamed(ax.xaxis)  # columns stand in the order of the rows
        names_at(ax.yaxis, range(len(words)), words, length=0, labelsize=7)
        ax.set_title(title)
        ax.set_xlabel("in the same order", fontsize=7)
    figure = figure_of(axes[0])
    bar = figure.colorbar(image, ax=axes[1], fraction=0.05, pad=0.03)
    bar.set_label("correlation of effect profiles", fontsize=8)
    return figure


@styled
def program_tree(
    results: pd.DataFrame, *, level: float = 0.1, most: int = 60, ax: Axes | None = None
) -> Axes:
    """Programs that move together, as a tree: they meet where their profiles correlate.

    A program's profile is its shrunken effects over the targets that have a hit; groups meet at the
    mean correlation between them (average linkage of 1 - r).

    Parameters
    ----------
    results
        As of `effect_profiles`.
    level
        A hit has q <= `level`.
    most
        Programs with the strongest profiles are shown.
    ax
        Where to draw; None: a figure of its own.

    Returns
    -------
    Axes
        Of matplotlib.

    Raises
    ------
    InputError
        Fewer than two targets have a hit, or there are fewer than three programs.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from programde import pl
    >>> effects = np.array([[1.0, 0.9, -1.0], [-0.8, -1.0, 0.7]])
    >>> results = pd.DataFrame({"target": np.repeat(["A", "B"], 3),
    ...                         "program": ["p0", "p1", "p2"] * 2, "effect": effects.ravel(),
    ...                         "effect_se": 0.1, "q_value": 1e-9})
    >>> [name.get_text() for name in pl.program_tree(results).get_yticklabels()]
    ['p2', 'p0', 'p1']
    """
    tree, names = program_linkage(results, level=level, most=most)
    drawn = hierarchy.dendrogram(tree, no_plot=True)
    leaves: Any = drawn["leaves"]
    shown = [in_pictures(names[leaf], 40) for leaf in leaves]
    if ax is None:
        beside = 0.25 + inches(shown, 8)
        (ax,) = panels(beside + 6.2, 0.95 + 0.19 * len(shown), right=beside, left=0.25, top=0.12)
    for across, up in zip(drawn["dcoord"], drawn["icoord"], strict=True):
        ax.plot(1 - np.array(across), np.array(up) / 10 - 0.5, color=BLUE, linewidth=1.1)
    low = min(1 - max(map(max, drawn["dcoord"])), 0.4)
    ax.axvline(0.5, color=GREY, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
    ax.set(xlim=(low - 0.05, 1.0), xlabel="correlation of effect profiles")
    ax.yaxis.tick_right()
    names_at(ax.yaxis, range(len(shown)), shown, length=0, labelsize=8)
    ax.set_ylim(len(shown) - 0.5, -0.5)
    ax.spines["left"].set_visible(False)
    return ax


def program_linkage(
    results: pd.DataFrame, *, level: float = 0.1, most: int = 60
) -> tuple[np.ndarray, list[str]]:
    """The tree of programs as scipy has it (heights 1 - r), and the names of its leaves.

    Raises as `program_tree`.
    """
    profiles = effect_profiles(results, level=level)
    if len(profiles) < 2 or profiles.shape[1] < 3:
        raise InputError("likeness needs two targets with hits and three programs")
    size = (profiles**2).sum(axis=0).sort_values(ascending=False, kind="stable")
    table = correlations(profiles[size.index[:most]].T)
    upper = np.triu_indices(len(table), 1)
    distance = np.maximum(1 - table.to_numpy()[upper], 0.0)
    tree = hierarchy.linkage(distance, "average", optimal_ordering=True)
    return tree, [str(name) for name in table.index]


def _clustered(table: pd.DataFrame) -> pd.DataFrame:
    """Rows and columns so that what is alike stands together (average linkage of 1 - r)."""
    if len(table) < 3:
        return table
    r = table.to_numpy()
    upper = np.triu_indices(len(r), 1)
    tree = hierarchy.linkage(np.maximum(1 - r[upper], 0.0), "average", optimal_ordering=True)
    order = hierarchy.leaves_list(tree)
    return table.iloc[order, order]
