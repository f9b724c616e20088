"""One hit, and lists of effects, as pictures: usages of its cells, effects with their intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from programde.report.checked_tables import need_columns, tested_column
from programde.report.lettering import in_pictures
from programde.report.positive_controls import FOUND, MISSED, OTHER_WAY, UNTESTED
from programde.report.style import (
    BLUE,
    GREEN,
    GREY,
    VERMILLION,
    axes_or_new,
    inches,
    panels,
    styled,
)
from programde.report.ticks import names_at

from ..errors import InputError

#: Half the width of a 95 % interval, in standard errors.
_REACH = 1.959963984540054
#: Outcome -> marker, colour.
_LOOKS = {
    FOUND: ("s", GREEN),
    OTHER_WAY: ("X", VERMILLION),
    MISSED: ("o", GREY),
}


@styled
def violin(
    treated: Sequence[float] | np.ndarray,
    control: Sequence[float] | np.ndarray,
    *,
    labels: tuple[str, str] = ("control", "treated"),
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Usages of a program in treated and control cells; cells without it are counted below.

    The body of a violin is the density of the cells that use the program, on a square-root scale
    (Gaussian kernel, Scott's bandwidth); the bar under it is as long as the share of those that do
    not. Lines mark quartiles of all cells.

    Parameters
    ----------
    treated, control : (n,) float
        Usages, 0 where a cell does not use the program.
    labels
        Of the control and the treated cells.
    title
        Title.
    ax
        Where to draw; None: a figure of its own.

    Returns
    -------
    Axes
        Of matplotlib.

    Raises
    ------
    InputError
        A group without cells, or a usage below 0.

    Examples
    --------
    >>> from programde import pl
    >>> ax = pl.violin([0.0, 0.2, 0.3, 0.25], [0.0, 0.0, 0.1, 0.15])
    >>> ax.get_ylabel()
    'usage of the program'
    """
    from scipy import stats  # slow to import

    groups = []
    for values, word in ((control, "control"), (treated, "treated")):
        usages = np.asarray(values, dtype=np.float64)
        usages = usages[np.isfinite(usages)]
        if not usages.size or usages.min() < 0:
            what = "is below 0" if usages.size else "is there at all"
            raise InputError(f"{word}: a usage {what}; give usages of cells, from 0 on")
        groups.append(np.sqrt(usages))
    ax = axes_or_new(ax, 4.2, 4.0, below=0.62)
    top = max(max(g.max() for g in groups), 1e-9)
    for at, (roots, color) in enumerate(zip(groups, (GREY, VERMILLION), strict=True)):
        zero = float((roots == 0).mean())
        inside = roots[roots > 0]
        if np.unique(inside).size > 1:
            grid = np.linspace(inside.min(), inside.max(), 120)
            width = stats.gaussian_kde(inside)(grid)
            width *= 0.4 / width.max()
            ax.fill_betweenx(grid, at - width, at + width, color=color, alpha=0.45, linewidth=0)
        elif inside.size:
            ax.plot([at], [inside[0]], marker="o", color=color)
        if zero:
            ax.plot([at - 0.4 * zero, at + 0.4 * zero], [0, 0], color=color, linewidth=5,
                    solid_capstyle="butt", clip_on=False)  # fmt: skip
        for level, size in zip(np.quantile(roots, [0.25, 0.5, 0.75]), (1, 2, 1), strict=True):
            ax.plot([at - 0.12 * size, at + 0.12 * size], [level, level], color="#222222",
                    linewidth=size)  # fmt: skip
    names = [
        f"{in_pictures(name, 24)}\n{g.size:,} cells, {(g == 0).mean():.0%} without"
        for name, g in zip(labels, groups, strict=True)
    ]
    names_at(ax.xaxis, [0, 1], names)
    ax.set(xlim=(-0.6, 1.6), ylim=(-0.02 * top, 1.05 * top), ylabel="usage of the program")
    ax.yaxis.set_major_formatter(FuncFormatter(lambda root, _: f"{max(root, 0) ** 2:.2g}"))
    if title:
        ax.set_title(in_pictures(title, 60))
    return ax


@styled
def forest(
    table: pd.DataFrame,
    *,
    effect_label: str = "effect",
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Effects with their 95 % intervals, one line each, in the order of the table.

    Parameters
    ----------
    table
        Columns `name, effect, effect_se`; `n_treated` (shown in brackets) and `together` (true
        where a row is all the others together: a square) where there are such.
    effect_label
        What an effect is.
    title
        Title.
    ax
        Where to draw; None: a figure of its own.

    Returns
    -------
    Axes
        Of matplotlib.

    Raises
    ------
    InputError
        A column is missing, or there is no row.

    Examples
    --------
    >>> import pandas as pd
    >>> from programde import pl
    >>> guides = pd.DataFrame(
    ...     {"name": ["g1", "g2"], "effect": [0.4, 0.6], "effect_se": [0.1, 0.2]}
    ... )
    >>> [label.get_text() for label in pl.forest(guides).get_yticklabels()]
    ['g1', 'g2']
    """
    need_columns(table, ("name", "effect", "effect_se"), "table of effects")
    if table.empty:
        raise InputError("the table of effects has no row")
    names = [in_pictures(name, 30) for name in table["name"]]
    if "n_treated" in table:
        names = [f"{name} ({n:,.0f})" for name, n in zip(names, table["n_treated"], strict=True)]
    ax = _lines(ax, names)
    together = table.get("together", pd.Series(False, table.index)).to_numpy(dtype=bool)
    for row, (at, se) in enumerate(zip(table["effect"], table["effect_se"], strict=True)):
        color = VERMILLION if at > 0 else BLUE
        size = (3.0, "s", 8) if together[row] else (1.5, "o", 5)
        if np.isfinite(se):
            ax.plot([at - _REACH * se, at + _REACH * se], [row, row], color=color,
                    linewidth=size[0])  # fmt: skip
        ax.plot([at], [row], marker=size[1], markersize=size[2], color=color)
    ax.set_xlabel(effect_label)
    if title:
        ax.set_title(in_pictures(title, 60))
    return ax


@styled
def positive_controls_plot(
    tested: pd.DataFrame,
    *,
    effect_label: str = "effect",
    most: int = 30,
    ax: Axes | None = None,
) -> Axes:
    """Positive controls with their intervals: found (green squares), missed, found the other way.

    Parameters
    ----------
    tested
        As `positive_controls.judged_controls` gives them: `target, program, effect, outcome`, and
        `effect_se, condition, guide` where there are such.
    effect_label
        What an effect is.
    most
        The first so many are drawn.
    ax
        Where to draw; None: a figure of its own.

    Returns
    -------
    Axes
        Of matplotlib.

    Raises
    ------
    InputError
        A column is missing, or none was tested.

    Examples
    --------
    >>> import pandas as pd
    >>> from programde import pl
    >>> tested = pd.DataFrame(
    ...     {"target": ["IRF1"], "program": ["p1"], "effect": [-0.5], "effect_se": [0.1],
    ...      "outcome": ["found"]}
    ... )
    >>> pl.positive_controls(tested).get_legend().get_texts()[0].get_text()
    'found (1)'
    """
    need_columns(tested, ("target", "program", "effect", "outcome"), "table of positive controls")
    done = tested[tested["outcome"] != UNTESTED]
    if done.empty:
        raise InputError("no positive control was tested")
    shown = done.head(most)
    where = [f" in {in_pictures(c, 14)}" for c in shown["condition"]] if "condition" in shown else (
        [""] * len(shown)
    )  # fmt: skip
    pairs = zip(shown[tested_column(shown)], shown["program"], where, strict=True)
    ax = _lines(ax, [f"{in_pictures(t, 18)}{w} · {in_pictures(p, 30)}" for t, p, w in pairs])
    errors = shown["effect_se"] if "effect_se" in shown else pd.Series(np.nan, shown.index)
    lines = zip(shown["effect"], errors, shown["outcome"], strict=True)
    for row, (at, se, outcome) in enumerate(lines):
        marker, color = _LOOKS[outcome]
        if np.isfinite(se):
            ax.plot([at - _REACH * se, at + _REACH * se], [row, row], color=color, linewidth=1.5)
        ax.plot([at], [row], marker=marker, markersize=6, color=color,
                markerfacecolor="white" if outcome == MISSED else color)  # fmt: skip
    handles = [
        Line2D([], [], linestyle="", marker=marker, color=color,
               markerfacecolor="white" if word == MISSED else color,
               label=f"{word} ({int((done['outcome'] == word).sum())})")
        for word, (marker, color) in _LOOKS.items()
        if (done["outcome"] == word).any()
    ]  # fmt: skip
    ax.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1.0))
    more = "" if len(shown) == len(done) else f"; the first {len(shown)} of {len(done):,}"
    ax.set_xlabel(f"{effect_label}{more}")
    return ax


def _lines(ax: Axes | None, names: Sequence[str]) -> Axes:
    """Axes with a line for each name, the first on top, and 0 marked."""
    if ax is None:
        left = 0.25 + inches(names, 8)
        (ax,) = panels(left + 6.0, 0.95 + 0.21 * len(names), left=left, right=1.7, top=0.3)
    names_at(ax.yaxis, range(len(names)), names, length=0, labelsize=8)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.axvline(0, color=GREY, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
    return ax
