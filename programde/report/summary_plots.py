"""Rates of control p-values, power against the truth, and what came in, as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import (
    FixedLocator,
    FuncFormatter,
    MaxNLocator,
    NullLocator,
    PercentFormatter,
)
from scipy import special

from programde.report.findings import with_truth
from programde.report.lettering import in_pictures
from programde.report.metrics import LEVELS
from programde.report.style import (
    BLUE,
    GREEN,
    GREY,
    VERMILLION,
    curve_styles,
    display_name,
    figure_of,
    inches,
    panels,
    styled,
)
from programde.report.ticks import names_at, unnamed
from programde.report.verdict import TOLERANCE

from ..errors import InputError

#: So many bars have their names beneath them.
_NAMED = 30


@styled
def rates_figure(
    metrics: Mapping[str, Mapping[str, float | int]], *, title: str | None = None
) -> Figure:
    """How often control p-values fall at or below 0.05, 0.01, 0.001, relative to the level.

    Parameters
    ----------
    metrics
        Kind of p-value -> what `calibration_metrics` returned. A dot is the rate over its level
        with its 95 % interval; 1 is calibrated, the grey zone is what the verdict accepts. Rates
        of 0 are drawn at the left edge as "0".
    title
        Title of the whole.

    Returns
    -------
    Figure
        Of matplotlib.

    Raises
    ------
    InputError
        There is no kind, or none with a test.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from programde import pl
    >>> from programde.report.metrics import calibration_metrics
    >>> p = pd.DataFrame(np.random.default_rng(0).uniform(size=(20, 10)))
    >>> figure = pl.rates(calibration_metrics({"raw": p}, n_boot=20))
    >>> [ax.get_title(loc="left") for ax in figure.axes]
    ['p ≤ 0.05', 'p ≤ 0.01', 'p ≤ 0.001']
    """
    kinds = [kind for kind, numbers in metrics.items() if numbers.get("n_tests", 0)]
    if not kinds:
        raise InputError("no kind of p-value has a control test; there is no rate to draw")
    names = [display_name(kind) for kind in kinds]
    axes = panels(
        7.6,
        1.5 + 0.34 * len(kinds),
        (1.0,) * len(LEVELS),
        left=0.2 + inches(names, 8.5),
        top=0.6 if title else 0.34,
        right=0.3,
        gap=0.45,
    )
    left, right = 0.1, 10.0
    for ax, (name, level) in zip(axes, LEVELS.items(), strict=True):
        accepted = TOLERANCE[name]
        ax.axvspan(max(left / 2, 1 - accepted), 1 + accepted, color="#EDEDED", linewidth=0)
        ax.axvline(1.0, color=GREY, linewidth=1.0)
        for row, (kind, style) in enumerate(curve_styles(kinds).items()):
            ends = [metrics[kind][f"rate_{name}{end}"] / level for end in ("_low", "", "_high")]
            low, at, high = np.clip(ends, left, right)
            ax.plot([low, high], [row, row], color=style["color"], linewidth=1.8)
            marker = style["marker"] if ends[1] > 0 else "$0$"
            ax.plot([at], [row], marker=marker or "o", color=style["color"], markersize=6.5)
        ax.set_xscale("log")
        ax.set_xlim(left * 0.93, right)
        ax.xaxis.set_major_locator(FixedLocator([0.1, 0.3, 1, 3, 10]))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter(FuncFormatter(_times))
        ax.set_title(f"p ≤ {level:g}", fontweight="normal")
        ax.set_ylim(len(kinds) - 0.4, -0.6)
        unnamed(ax.yaxis)
    names_at(axes[0].yaxis, range(len(kinds)), names, length=0)
    axes[1].set_xlabel("observed rate / expected rate among control tests")
    return _titled(axes, title)


@styled
def truth_figure(
    results: pd.DataFrame,
    truth: pd.DataFrame,
    *,
    level: float = 0.1,
    min_effect: float = 0.0,
    title: str | None = None,
) -> Figure:
    """Estimated against true effects, power by true effect, realised against nominal FDR.

    Parameters
    ----------
    results
        Columns `target, program, effect, p_value, q_value`.
    truth : DataFrame, targets x programs
        True effects, 0 for none.
    level
        Level of the q-value at which power is shown.
    min_effect
        A test whose absolute true effect is at most this counts as null.
    title
        Title of the whole.

    Returns
    -------
    Figure
        Of matplotlib.

    Raises
    ------
    InputError
        As `truth_metrics`.

    Examples
    --------
    >>> import pandas as pd
    >>> from programde import pl
    >>> results = pd.DataFrame(
    ...     {"target": ["A", "A", "B", "B"], "program": ["p0", "p1"] * 2,
    ...      "effect": [0.8, 0.1, -0.6, 0.0], "p_value": [1e-9, 0.4, 1e-6, 0.9],
    ...      "q_value": [4e-9, 0.5, 2e-6, 0.9]}
    ... )
    >>> truth = pd.DataFrame([[0.9, 0.0], [-0.5, 0.0]], ["A", "B"], ["p0", "p1"])
    >>> [ax.get_title(loc="left") for ax in pl.truth(results, truth).axes]
    ['Effects', 'Power at q ≤ 0.1', 'False discoveries']
    """
    table = with_truth(results, truth, min_effect=min_effect)
    table = table[table["p_value"].notna()]
    real = table["is_real"].to_numpy()
    hit = (table["q_value"] <= level).to_numpy()
    axes = panels(10.2, 3.7, (1.0, 1.0, 1.0), right=0.3, top=0.6 if title else 0.34)
    left, middle, right = axes
    _draw_estimates(left, table, real, hit)
    _draw_power(middle, np.abs(table["true_effect"].to_numpy())[real], hit[real], level)
    _draw_fdr(right, table["q_value"].to_numpy(), real, level)
    return _titled(axes, title)


def _draw_estimates(ax: Axes, table: pd.DataFrame, real: np.ndarray, hit: np.ndarray) -> None:
    x, y = table["true_effect"].to_numpy(), table["effect"].to_numpy()
    groups = (
        (~hit, "#B5B5B5", ".", "not declared"),
        (hit & real, BLUE, "o", "declared, true"),
        (hit & ~real, VERMILLION, "X", "declared, false"),
    )
    for which, color, marker, label in groups:
        text = f"{label} ({int(which.sum()):,})"
        ax.scatter(x[which], y[which], s=16, marker=marker, color=color, linewidths=0, label=text)
    ends = [np.nanmin(np.r_[x, 0.0]), np.nanmax(np.r_[x, 0.0])]
    ax.plot(ends, ends, color=GREY, linewidth=0.8, zorder=0)
    ax.set(xlabel="true effect", ylabel="estimated effect", title="Effects")
    ax.legend(loc="upper left", handletextpad=0.2, borderaxespad=0.1)
    low, high = ax.get_ylim()
    ax.set_ylim(low, high + 0.3 * (high - low))  # room for the legend


def _draw_power(ax: Axes, size: np.ndarray, hit: np.ndarray, level: float) -> None:
    ax.set(
        xlabel="absolute true effect", ylabel="power", title=f"Power at q ≤ {level:g}", ylim=(0, 1)
    )
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    if not size.size:
        ax.text(0.5, 0.5, "no true effect among the tests", transform=ax.transAxes, ha="center")
        return
    edges = np.unique(np.quantile(size, np.linspace(0, 1, min(8, max(1, size.size // 8)) + 1)))
    group = np.clip(np.searchsorted(edges, size, side="right") - 1, 0, max(0, len(edges) - 2))
    at, power, low, high = [], [], [], []
    for g in np.unique(group):
        k, n = int(hit[group == g].sum()), int((group == g).sum())
        at.append(float(size[group == g].mean()))
        power.append(k / n)
        low.append(float(special.betaincinv(k, n - k + 1, 0.025)) if k else 0.0)
        high.append(float(special.betaincinv(k + 1, n - k, 0.975)) if k < n else 1.0)
    ax.vlines(at, low, high, color=GREEN, linewidth=1.4)
    ax.plot(at, power, color=GREEN, marker="o", linewidth=1.4, markersize=5, clip_on=False)
    overall = float(hit.mean())
    ax.axhline(overall, color=GREY, linewidth=0.8, linestyle=(0, (4, 3)))
    ax.text(0.98, 0.03, f"overall {overall:.0%}", transform=ax.transAxes, ha="right", fontsize=8.5)
    ax.set_xlim(left=0)


def _draw_fdr(ax: Axes, q: np.ndarray, real: np.ndarray, level: float) -> None:
    grid = np.union1d(np.linspace(0.005, 0.5, 100), [level])
    declared = np.array([(q <= at).sum() for at in grid])
    false = np.array([((q <= at) & ~real).sum() for at in grid])
    realised = false / np.maximum(1, declared)
    ax.plot([0, 0.5], [0, 0.5], color=GREY, linewidth=0.8)
    ax.plot(grid, realised, color=BLUE, linewidth=1.6)
    here = int(np.argmin(np.abs(grid - level)))
    ax.plot([grid[here]], [realised[here]], marker="o", color=BLUE, markersize=6)
    ax.annotate(
        f"{false[here]:,} of {declared[here]:,} false",
        (grid[here], realised[here]),
        xytext=(6, -4 if realised[here] > 0.06 else 6),
        textcoords="offset points",
        fontsize=8.5,
        va="top" if realised[here] > 0.06 else "bottom",
    )
    ax.set(xlabel="nominal level (q)", ylabel="share of false among declared")
    ax.set(title="False discoveries", xlim=(0, 0.5), ylim=(0, max(0.5, 1.05 * realised.max())))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0, decimals=0))


@styled
def input_figure(
    treated_per_target: pd.Series,
    guides_per_cell: np.ndarray | pd.Series,
    zeros_per_program: pd.Series,
    *,
    few: int = 10,
    title: str | None = None,
) -> Figure:
    """What came in: treated cells per target, guides per cell, exact zeros per program.

    Parameters
    ----------
    treated_per_target
        Target -> number of treated cells.
    guides_per_cell : (cells,) int
        Number of guides in each cell.
    zeros_per_program
        Program -> share of cells (0 to 1) with a usage of exactly 0.
    few
        A line at this number of treated cells; targets below it are counted in the title.
    title
        Title of the whole.

    Returns
    -------
    Figure
        Of matplotlib.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from programde import pl
    >>> cells, zeros = pd.Series({"A": 40, "B": 4}), pd.Series({"p0": 0.2})
    >>> pl.inputs(cells, np.array([1, 1, 2]), zeros).axes[1].get_title(loc="left")
    'Guides per cell, median 1'
    """
    named = [at for at in (treated_per_target, zeros_per_program) if len(at) <= _NAMED]
    names = [in_pictures(name, 16) for at in named for name in at.index]
    axes = panels(
        10.2,
        3.4,
        (1.25, 1.0, 1.25),
        below=max(0.5, 0.15 + inches(names, 8.0)),
        top=0.6 if title else 0.34,
    )
    left, middle, right = axes
    treated = treated_per_target.sort_values(ascending=False, kind="stable")
    below = int((treated < few).sum())
    note = f", {below:,} below {few}" if below else ""
    _draw_ranked(left, treated, BLUE, log=True)
    left.axhline(few, color=VERMILLION, linewidth=1.0, linestyle=(0, (4, 3)))
    left.set(title=f"Treated cells per target{note}", ylabel="cells (log scale)")
    counts = np.bincount(np.asarray(guides_per_cell, dtype=np.int64))
    if counts.size > 26:
        counts = np.r_[counts[:25], counts[25:].sum()]
    middle.bar(np.arange(counts.size), counts / max(1, counts.sum()), color=GREEN, width=0.85)
    median = float(np.median(guides_per_cell)) if len(guides_per_cell) else 0.0
    middle.set(
        title=f"Guides per cell, median {median:g}", xlabel="guides", ylabel="share of cells"
    )
    middle.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    middle.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    if counts.size == 26:
        middle.set_xlabel("guides (last bar: 25 or more)")
    zeros = zeros_per_program.sort_values(ascending=False, kind="stable")
    _draw_ranked(right, zeros, "#8C6D00", log=False)
    right.set(title="Exact zeros per program", ylabel="share of cells", ylim=(0, 1))
    right.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    return _titled(axes, title)


def _draw_ranked(ax: Axes, values: pd.Series, color: str, *, log: bool) -> None:
    """Bars from the largest to the smallest, named where there is room; a step line beyond."""
    at = np.arange(len(values))
    if log:
        ax.set_yscale("symlog", linthresh=1.0)
        top = float(values.max()) if len(values) else 1.0
        ax.set_ylim(0, max(12.0, 1.6 * top))
        ticks = [0, *[10**k for k in range(7) if 10**k <= 1.6 * top]]
        ax.yaxis.set_major_locator(FixedLocator(ticks))
        ax.yaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    if len(values) <= _NAMED:
        ax.bar(at, values, color=color, width=0.8)
        names = [in_pictures(name, 16) for name in values.index]
        size = 8 if len(values) <= 20 else 7
        names_at(ax.xaxis, at, names, length=0, labelsize=size, labelrotation=90)
    else:
        ax.fill_between(at, values.to_numpy(dtype=np.float64), step="mid", color=color, alpha=0.35)
        ax.step(at, values, where="mid", color=color, linewidth=1.2)
        ax.set_xlabel(f"{len(values):,}, from most to fewest")


def _titled(axes: Sequence[Axes], title: str | None) -> Figure:
    """The figure of some panels, with its title."""
    figure = figure_of(axes[0])
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=10.5, fontweight="bold")
    return figure


def _times(value: float, _: int) -> str:
    return f"{value:g}×"
