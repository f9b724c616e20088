"""What was found: volcano plot, and a heatmap of signed -log10 p over targets and programs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from matplotlib.transforms import Bbox
from scipy.cluster import hierarchy

from programde.report.checked_tables import need_columns, tested_column
from programde.report.lettering import in_pictures
from programde.report.qq import neg_log10
from programde.report.style import (
    BLUE,
    GREY,
    VERMILLION,
    axes_or_new,
    figure_of,
    inches,
    panels,
    styled,
)
from programde.report.ticks import names_at

from ..errors import InputError

# Blue, white, vermillion: apart for every kind of colour blindness; light = nothing in greyscale.
DIVERGING = LinearSegmentedColormap.from_list(
    "programde", ["#08306B", BLUE, "#F7F7F7", VERMILLION, "#6B2600"]
).with_extremes(bad="#C9C9C9")
_LINEAR_TO = 10.0  # the -log10 p axis is linear up to here, logarithmic beyond
_CAP = 20.0  # colours of the heatmap end here


@styled
def volcano(
    results: pd.DataFrame,
    *,
    level: float = 0.1,
    n_labels: int = 10,
    effect_label: str = "effect (centred log-ratio of usage)",
    title: str | None = None,
    max_points: int = 20_000,
    ax: Axes | None = None,
) -> Axes:
    """Effect against -log10 p, one point per target x program; hits coloured, the top few named.

    The p axis is linear up to 10 and logarithmic beyond, so that p = 1e-300 leaves room for the
    rest. Hits that raise a program are orange triangles, hits that lower it blue ones.

    Parameters
    ----------
    results
        Columns `target, program, effect, p_value, q_value`, and `guide` where guides were tested
        one by one; rows without a p-value are left out.
    level
        A hit has q <= `level`.
    n_labels
        How many of the hits with the smallest p are named, as far as there is room.
    max_points
        Beyond this many other tests only an evenly spread part of them is drawn; hits are all.

    Raises
    ------
    InputError
        A column is missing.

    Examples
    --------
    >>> import pandas as pd
    >>> from programde import pl
    >>> results = pd.DataFrame(
    ...     {"target": ["A", "A", "B", "B"], "program": ["p0", "p1"] * 2,
    ...      "effect": [0.8, 0.1, -0.6, 0.0], "p_value": [1e-9, 0.4, 1e-6, 0.9],
    ...      "q_value": [4e-9, 0.5, 2e-6, 0.9]}
    ... )
    >>> ax = pl.volcano(results)
    >>> ax.get_ylabel()
    '−log10 p'
    >>> ax.figure.savefig("volcano.svg")  # doctest: +SKIP
    """
    need_columns(results, ("target", "program", "effect", "p_value", "q_value"), "results table")
    shown = results[results["p_value"].notna() & results["effect"].notna()]
    effect = shown["effect"].to_numpy(dtype=np.float64)
    height = neg_log10(shown["p_value"].to_numpy())
    hit = (shown["q_value"] <= level).to_numpy()
    ax = axes_or_new(ax, 10.8, 5.2, below=0.82)
    rest = np.flatnonzero(~hit)
    if rest.size > max_points:  # every n-th by p: the outline stays
        ordered = rest[np.argsort(height[rest], kind="stable")]
        rest = ordered[np.unique(np.linspace(0, rest.size - 1, max_points).astype(int))]
    ax.scatter(effect[rest], height[rest], s=6, color="#B5B5B5", linewidths=0, zorder=2)
    up = hit & (effect > 0)
    for which, marker, color, word in (
        (up, "^", VERMILLION, "raises"),
        (hit & ~up, "v", BLUE, "lowers"),
    ):
        label = f"{word} the program, q ≤ {level:g} ({int(which.sum()):,})"
        ax.scatter(
            effect[which],
            height[which],
            s=26,
            marker=marker,
            color=color,
            linewidths=0.4,
            edgecolors="white",
            zorder=3,
            label=label,
        )
    _effect_axes(ax, effect, height, effect_label)
    if title:
        ax.set_title(title)
    if not hit.any():
        text = f"no test has q ≤ {level:g}" if len(shown) else "no test could be done"
        ax.text(0.98, 0.97, text, transform=ax.transAxes, ha="right", va="top", color="#444444")
    else:
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=2)
        top = np.flatnonzero(hit)[np.argsort(-height[hit], kind="stable")][:n_labels]
        tested = shown[tested_column(shown)]
        programs = shown["program"]
        names = [
            f"{in_pictures(tested.iloc[i], 24)} · {in_pictures(programs.iloc[i], 32)}" for i in top
        ]
        _place_labels(ax, effect[top], height[top], names, np.c_[effect[hit], height[hit]])
    return ax


def _effect_axes(ax: Axes, effect: np.ndarray, height: np.ndarray, label: str) -> None:
    reach = 1.12 * max(float(np.abs(effect).max()) if effect.size else 0.0, 1e-12)
    top = max(float(height.max()) if height.size else 0.0, 1.5)
    ax.set_xlim(-reach, reach)
    ax.axvline(0, color=GREY, linewidth=0.8, zorder=1)
    ax.set_xlabel(label)
    ax.set_ylabel("−log10 p")
    if top > 3 * _LINEAR_TO:
        ax.set_yscale("symlog", linthresh=_LINEAR_TO, linscale=1.6)
        ticks = [t for t in (0, 2, 4, 6, 8, 10, 20, 50, 100, 200, 300) if t <= 1.05 * top]
        ax.yaxis.set_major_locator(FixedLocator(ticks))
        ax.yaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.axhline(_LINEAR_TO, color="#DDDDDD", linewidth=0.8, linestyle=(0, (2, 3)), zorder=1)
        ax.set_ylim(0, 1.35 * top)
    else:
        ax.set_ylim(0, 1.1 * top)


def _place_labels(
    ax: Axes, x: np.ndarray, y: np.ndarray, names: Sequence[str], points: np.ndarray
) -> None:
    """Name points, first come first placed; a name that finds no free place is left out."""
    figure = figure_of(ax)
    if figure.get_layout_engine() is not None:
        figure.draw_without_rendering()  # settles the layout, so that boxes in pixels are right
    to_pixels = ax.transData.transform
    scale = figure.dpi / 72
    frame = ax.get_window_extent()
    marks = to_pixels(points)
    taken: list[Bbox] = []
    offsets = [
        (r * np.cos(a), r * np.sin(a))
        for r in (9, 16, 26, 40, 58)
        for a in np.deg2rad([0, 180, 35, 145, 90, -35, 215, 65, 115, -90])
    ]
    for px, py, name in zip(x, y, names, strict=True):
        at = to_pixels((px, py))
        others = marks[np.hypot(*(marks - at).T) > 0.5]
        measured = ax.text(px, py, name, fontsize=8)
        size = measured.get_window_extent()
        measured.remove()
        for dx, dy in offsets:
            side = "left" if dx > 1 else "right" if dx < -1 else "center"
            led = np.hypot(dx, dy) >= 12
            left = at[0] + dx * scale - size.width * {"left": 0, "right": 1, "center": 0.5}[side]
            low = at[1] + dy * scale - size.height / 2
            box = Bbox.from_bounds(left, low, size.width, size.height)
            if led:  # by a line, which is to be free too
                box = Bbox.union([box, Bbox.from_bounds(at[0], at[1], 0, 0)])
            box = box.expanded(1.02, 1.1)
            inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 + 2
            inside = inside and frame.y0 <= box.y0 and box.y1 <= frame.y1
            near = Bbox.from_extents(
                box.x0 - 3 * scale, box.y0 - 2 * scale, box.x1 + 3 * scale, box.y1 + 2 * scale
            )
            covers = bool(near.count_contains(others)) if len(others) else False
            if inside and not covers and not any(box.overlaps(other) for other in taken):
                taken.append(box)
                line = {"arrowstyle": "-", "color": "#8C8C8C", "linewidth": 0.6, "shrinkB": 2}
                ax.annotate(
                    name,
                    (px, py),
                    xytext=(dx, dy),
                    textcoords="offset points",
                    fontsize=8,
                    ha=side,
                    va="center",
                    zorder=6,
                    path_effects=[withStroke(linewidth=2.2, foreground="white")],
                    arrowprops=line if led else None,
                )
                break
    # layout again, now without moving anything the boxes were measured against
    for text in ax.texts:
        text.set_in_layout(False)


@styled
def effect_heatmap(
    results: pd.DataFrame,
    *,
    level: float = 0.1,
    max_targets: int = 40,
    max_programs: int = 40,
    title: str | None = None,
) -> Figure:
    """Signed -log10 p over targets (rows) and programs (columns), similar ones side by side.

    Colour is the strength of the evidence, orange where the program rises and blue where it
    falls, ending at p = 1e-20; a test with q <= `level` is marked by + or − (so its sign survives
    greyscale); tests that could not be done are grey. Rows and columns are ordered by average
    linkage with optimal leaf order. A large screen shows its targets and programs with the
    smallest p-values, and the title says how many.

    Parameters
    ----------
    results
        Columns `target, program, effect, p_value, q_value`, one row per target x program; with
        `guide`, one row per guide x program, and guides are the rows.
    level
        A mark stands for q <= `level`.
    max_targets, max_programs
        Rows and columns shown at most.

    Raises
    ------
    InputError
        A column is missing, a target x program appears twice, or the table is empty.

    Examples
    --------
    >>> import pandas as pd
    >>> from programde import pl
    >>> results = pd.DataFrame(
    ...     {"target": ["A", "A", "B", "B"], "program": ["p0", "p1"] * 2,
    ...      "effect": [0.8, 0.1, -0.6, 0.0], "p_value": [1e-9, 0.4, 1e-6, 0.9],
    ...      "q_value": [4e-9, 0.5, 2e-6, 0.9]}
    ... )
    >>> pl.heatmap(results).axes[0].get_title(loc="left")
    'Evidence per target and program'
    """
    need_columns(results, ("target", "program", "effect", "p_value", "q_value"), "results table")
    of = tested_column(results)
    twice = results.duplicated([of, "program"])
    if twice.any() or results.empty:
        what = "is empty" if results.empty else f"holds {int(twice.sum())} {of} x program twice"
        raise InputError(f"results table {what}; a heatmap needs one row per {of} x program")
    score = np.sign(results["effect"]) * neg_log10(results["p_value"])
    long = results[[of, "program"]].assign(score=score, hit=results["q_value"] <= level)
    scores = long.pivot(index=of, columns="program", values="score")
    hits = long.pivot(index=of, columns="program", values="hit") == True  # noqa: E712
    n_targets, n_programs = scores.shape
    strength = scores.abs().fillna(0.0)
    targets = _strongest(strength.max(axis=1), max_targets)
    programs = _strongest(strength.loc[targets].max(axis=0), max_programs)
    scores, hits = scores.loc[targets, programs], hits.loc[targets, programs]
    rows, columns = _similar(scores), _similar(scores.T)
    scores, hits = scores.iloc[rows, columns], hits.iloc[rows, columns]
    figure = _draw_heatmap(scores, hits, level)
    parts = [title or f"Evidence per {of} and program"]
    if len(targets) < n_targets:
        parts.append(f"{len(targets)} of {n_targets:,} {of}s")
    if len(programs) < n_programs:
        parts.append(f"{len(programs)} of {n_programs:,} programs")
    note = f"\n{', '.join(parts[1:])} with the smallest p" if len(parts) > 1 else ""
    figure.axes[0].set_title(parts[0] + note)
    return figure


def _draw_heatmap(scores: pd.DataFrame, hits: pd.DataFrame, level: float) -> Figure:
    n_rows, n_columns = scores.shape
    width = min(16.0, max(4.8, 2.3 + 0.26 * n_columns))
    height = min(16.0, max(2.8, 1.5 + 0.2 * n_rows))
    font = 8 if max(n_rows, n_columns) <= 40 else 7
    rows = [in_pictures(name, 22) for name in scores.index]
    columns = [in_pictures(name, 32) for name in scores.columns]
    below, beside = 0.15 + inches(columns, font), 1.05
    # what stands around a small table may need more than the table
    width = max(width, inches(rows, font) + beside + 1.2)
    height = max(height, below + 0.55 + 0.2 * n_rows)
    (ax,) = panels(
        width, height, left=0.15 + inches(rows, font), right=beside, top=0.55, below=below
    )
    values = scores.to_numpy(dtype=np.float64)
    largest = np.nanmax(np.abs(values)) if np.isfinite(values).any() else 3.0
    end = float(np.clip(largest, 3.0, _CAP))
    image = ax.imshow(
        values, cmap=DIVERGING, norm=Normalize(-end, end), aspect="auto", interpolation="nearest"
    )
    size = 9 if n_columns <= 30 else 7
    y, x = np.nonzero(hits.to_numpy())
    marked = values[y, x]
    for word, rises, marker in (("raises", True, "+"), ("lowers", False, "_")):
        for color, deep in (("white", True), ("black", False)):
            here = ((marked > 0) == rises) & ((np.abs(marked) > 0.3 * end) == deep)
            at = (x[here], y[here], size**2 / 3, color)
            ax.scatter(*at, marker=marker, linewidths=1.1, label=word)
    names_at(ax.xaxis, range(n_columns), columns, length=0, labelsize=font, labelrotation=90)
    names_at(ax.yaxis, range(n_rows), rows, length=0, labelsize=font)
    for spine in ax.spines.values():
        spine.set_visible(False)
    across, down = np.arange(n_columns + 1) - 0.5, np.arange(n_rows + 1) - 0.5
    ax.vlines(across, -0.5, n_rows - 0.5, color="white", linewidth=0.6)
    ax.hlines(down, -0.5, n_columns - 0.5, color="white", linewidth=0.6)
    figure = figure_of(ax)
    room = height - 0.55 - below
    tall = min(3.2, room)
    place = ((width - beside + 0.14) / width, (below + (room - tall) / 2) / height)
    strip = figure.add_axes((*place, 0.18 / width, tall / height))
    bar = figure.colorbar(image, cax=strip, extend="both" if largest > end else "neither")
    bar.set_label(f"−log10 p with the sign of the effect\n+ / − : q ≤ {level:g}", fontsize=8)
    bar.outline.set_visible(False)  # type: ignore[operator]
    return figure


def _strongest(strength: pd.Series, n: int) -> list:
    return list(strength.sort_values(ascending=False, kind="stable").index[:n])


def _similar(scores: pd.DataFrame) -> np.ndarray:
    """Row order in which similar rows are neighbours (average linkage, optimal leaf order)."""
    values = np.clip(scores.fillna(0.0).to_numpy(dtype=np.float64), -_CAP, _CAP)
    if len(values) < 3:
        return np.arange(len(values))
    return hierarchy.leaves_list(hierarchy.linkage(values, "average", optimal_ordering=True))
