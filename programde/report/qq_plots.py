"""QQ plots: several kinds of p-values in one panel, small multiples, the NTC plot.

Points above the panel are not lost: they are drawn as triangles on its upper edge and counted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from programde.report.checked_tables import as_p_vector
from programde.report.inflation_factor import inflation_factor
from programde.report.lettering import in_pictures
from programde.report.qq import beta_band, qq_coords
from programde.report.style import (
    BLACK,
    GREY,
    axes_or_new,
    curve_styles,
    display_name,
    new_figure,
    styled,
)

from ..errors import InputError, OptionError, nearest

MAX_POINTS = 4000
Envelope = tuple[np.ndarray, np.ndarray, np.ndarray]
Points = tuple[np.ndarray, np.ndarray]


@styled
def qq_panel(
    curves: Mapping[str, object],
    *,
    band_for: str | None = None,
    band_m: int | None = None,
    envelope: Envelope | None = None,
    envelope_label: str = "95 % bootstrap envelope",
    scatter: Mapping[str, object] | None = None,
    looks: Mapping[str, str] | None = None,
    title: str | None = None,
    limits: tuple[float, float] | None = None,
    legend: bool = True,
    show_lambda: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """QQ curves of several sets of p-values in one panel, with the 95 % band of one of them.

    Parameters
    ----------
    curves
        Label -> p-values (any array or table, NaN left out). Known kinds ("raw", "skew_normal",
        "saddlepoint", "ntc_empirical", "null", ...) keep their look in every picture. Each curve
        has expected quantiles from its own number of p-values; an empty one is listed as such.
    band_for
        The curve that the band judges: the band is that of as many independent p-values. Default:
        the first curve with p-values. Programs of one unit are dependent, so a calibrated curve
        leaves this band more often than the 5 % of its name: see `programde.report.qq`.
    band_m
        Number of p-values for the band, where `band_for` holds repeats.
    envelope
        (expected, low, high) as -log10, drawn as a hatched ribbon.
    scatter
        Label -> p-values drawn as small grey points beneath the curves (all observed tests).
    looks
        Label -> known kind whose look it has, for labels with words of their own.
    limits
        Upper ends of the two axes; default: room for curves and band, points far above the band
        are drawn as triangles on the upper edge.
    legend, show_lambda
        Whether to draw the legend, and the genomic inflation factor in it.
    ax
        Where to draw; default: a new figure.

    Raises
    ------
    InputError
        A p-value outside 0 to 1.
    OptionError
        `band_for` is not among the curves.

    Examples
    --------
    >>> import numpy as np
    >>> from programde import pl
    >>> controls = np.random.default_rng(0).uniform(size=200)
    >>> pl.qq({"saddlepoint": controls}, band_for="saddlepoint").get_xlabel()
    'expected −log10 p'
    """
    vectors = {label: as_p_vector(p, f"curve {label!r}") for label, p in curves.items()}
    if band_for is not None and band_for not in vectors:
        raise OptionError(f"band_for={band_for!r} is not a curve{nearest(band_for, vectors)}")
    ax = axes_or_new(ax, 5.6, 5.4)
    judged = band_for or next((label for label, p in vectors.items() if p.size), None)
    m = band_m or (vectors[judged].size if judged is not None else 0)
    band = beta_band(m) if m else None
    extra = {k: as_p_vector(p, f"points {k!r}") for k, p in (scatter or {}).items()}
    points = {label: qq_coords(p, MAX_POINTS) for label, p in vectors.items()}
    clouds = {label: qq_coords(p, MAX_POINTS) for label, p in extra.items()}
    styles = curve_styles(vectors, looks)
    shown = _in_frame(points, clouds, styles)
    x_end, y_end = limits or _limits(shown, [*clouds.values()], band, envelope)
    if legend and limits is None:
        n_entries = len(vectors) + len(extra) + (band is not None) + (envelope is not None)
        y_end = _room_for_legend(shown, x_end, y_end, n_entries + 1)
    ax.plot([0, x_end], [0, x_end], color=GREY, linewidth=0.8, zorder=1)
    if band is not None and judged is not None:
        label = f"95 % band, {m:,} independent p-values"
        ax.fill_between(*band, color="#E3E3E3", linewidth=0, zorder=0.5, label=label)
    if envelope is not None:
        ax.fill_between(
            *envelope,
            facecolor="none",
            edgecolor="#9AA7B5",
            hatch="////",
            linewidth=0.6,
            zorder=0.8,
            label=envelope_label,
        )
    beyond = 0
    for label, (x, y) in clouds.items():
        ax.scatter(x, np.minimum(y, 2 * y_end), s=7, color="#A8A8A8", linewidths=0, zorder=1.5)
        ax.scatter([], [], s=14, color="#A8A8A8", linewidths=0, label=_entry(label, extra[label]))
        beyond += _mark_beyond(ax, x, y, (x_end, y_end), "#8C8C8C", extra[label])
    for label, style in styles.items():
        _draw_curve(ax, *points[label], y_end, style, _entry(label, vectors[label], show_lambda))
        edge = (x_end, y_end)
        beyond += _mark_beyond(ax, *points[label], edge, style["color"], vectors[label])
    if beyond:
        text = f"▲ {beyond:,} above"
        ax.annotate(
            text,
            (1, 1),
            xycoords="axes fraction",
            xytext=(0, 4),
            textcoords="offset points",
            ha="right",
            va="bottom",
            fontsize=8,
        )
    _finish(ax, x_end, y_end, title)
    if legend:
        key = ax.legend(loc="upper left", handlelength=2.6, borderaxespad=0.4, labelspacing=0.35)
        # points may lie behind it: its words come first, those above the frame are counted
        key.set(frame_on=True, zorder=6)
        key.get_frame().set(facecolor="white", edgecolor="none", alpha=0.9)
    return ax


@styled
def qq_small_multiples(
    panels: Mapping[str, Mapping[str, object]],
    *,
    n_columns: int | None = None,
    band_for: str | None = None,
    notes: Mapping[str, str] | None = None,
    title: str | None = None,
) -> Figure:
    """One small QQ panel per sweep point or condition, all on the same axes.

    Parameters
    ----------
    panels
        Panel title (of one line or several) -> {curve label -> p-values}. Labels keep their look
        across panels.
    n_columns
        Default: 2 to 4, by the number of panels.
    band_for
        The curve whose number of p-values makes the band; panels without it use their first.
    notes
        Panel title -> short text shown inside the panel (a verdict, say).
    title
        Title of the whole.

    Returns
    -------
    Figure
        Of matplotlib.

    Raises
    ------
    InputError
        There is no panel.

    Examples
    --------
    >>> from programde import pl
    >>> panels = {"day 0": {"raw": [0.1, 0.5]}, "day 3": {"raw": [0.3, 0.9]}}
    >>> [ax.get_title(loc="left") for ax in pl.qq_grid(panels).axes]
    ['day 0', 'day 3']
    """
    if not panels:
        raise InputError("no panel to draw: give at least one sweep point or condition")
    columns = n_columns or min(len(panels), 4 if len(panels) > 6 else 3 if len(panels) != 4 else 2)
    rows = math.ceil(len(panels) / columns)
    labels = list(dict.fromkeys(label for curves in panels.values() for label in curves))
    figure = new_figure(2.55 * columns + 0.5, 2.6 * rows + 0.75)
    grid = np.atleast_1d(np.asarray(figure.subplots(rows, columns, squeeze=False))).ravel()
    ends = [_panel_limits(curves, band_for) for curves in panels.values()]
    limits = (max(e[0] for e in ends), max(e[1] for e in ends))
    for i, (ax, (name, curves)) in enumerate(zip(grid, panels.items(), strict=False)):
        known = {label: curves[label] for label in labels if label in curves}
        judged = band_for if band_for in known else None
        qq_panel(known, band_for=judged, limits=limits, legend=False, ax=ax)
        if i + columns < len(panels):
            ax.set_xlabel("")
        if i % columns:
            ax.set_ylabel("")
        ax.set_title("\n".join(in_pictures(line, 36) for line in name.split("\n")), fontsize=8.5)
        if notes and name in notes:
            ax.text(0.04, 0.95, notes[name], transform=ax.transAxes, va="top", fontsize=8)
    for ax in grid[len(panels) :]:
        ax.set_axis_off()
    handles = []
    for label, style in curve_styles(labels).items():
        handles += grid[0].plot([], [], **_line(style), label=display_name(label))
    figure.legend(handles=handles, loc="outside lower center", ncols=min(4, len(handles)))
    if title:
        figure.suptitle(title, fontsize=11, fontweight="bold")
    return figure


def _panel_limits(curves: Mapping[str, object], band_for: str | None) -> tuple[float, float]:
    points = {k: qq_coords(p, MAX_POINTS) for k, p in curves.items()}
    judged = band_for if band_for in points else next(iter(points), None)
    m = as_p_vector(curves[judged], "curve").size if judged is not None else 0
    shown = _in_frame(points, {}, curve_styles(points))
    return _limits(shown, [], beta_band(m) if m else None, None)


def _in_frame(
    points: Mapping[str, Points], clouds: Mapping[str, Points], styles: Mapping[str, Mapping]
) -> list[Points]:
    """The parts of the curves that the frame must hold.

    Curves without markers are references (a null of a million draws, say): beside others they do
    not stretch the expected axis, which would squeeze what they are compared with.
    """
    judged = [xy for label, xy in points.items() if styles[label]["marker"] and xy[0].size]
    if not judged:
        return [*points.values()]
    end = max(float(x[0]) for x, _ in [*judged, *[xy for xy in clouds.values() if xy[0].size]])
    return [(x[x <= 1.05 * end], y[x <= 1.05 * end]) for x, y in points.values()]


def _room_for_legend(curves: Sequence[Points], x_end: float, y_end: float, n: int) -> float:
    """Raise the upper end where a curve would run into a legend of `n` lines at the upper left."""
    share = min(0.5, 0.03 + 0.036 * n)
    left = [y[(x < 0.66 * x_end) & (y <= y_end)] for x, y in curves]
    top = max([float(y.max()) for y in left if y.size], default=0.0)
    return max(y_end, top / (1.0 - share))


def _limits(
    curves: Sequence[Points],
    clouds: Sequence[Points],
    band: Envelope | None,
    envelope: Envelope | None,
) -> tuple[float, float]:
    """Ends of the axes.

    Everything expected, the ribbons, curves up to 2.2 times and single points up to 1.4 times the
    largest expected value: a hit at p = 1e-300 must not flatten what the plot is about.
    """
    x_end = max([float(x[0]) for x, _ in [*curves, *clouds] if x.size], default=1.0)
    curve_top = max([float(y[0]) for _, y in curves if y.size], default=1.0)
    cloud_top = max([float(y[0]) for _, y in clouds if y.size], default=1.0)
    ribbon_top = max([float(r[2].max()) for r in (band, envelope) if r is not None], default=1.0)
    y_end = max(
        x_end,
        min(curve_top, max(2.2 * x_end, 3.0)),
        min(cloud_top, max(1.4 * x_end, 3.0)),
        min(ribbon_top, max(2.2 * x_end, 3.0)),
    )
    return 1.05 * max(x_end, 0.5), 1.08 * y_end


def _line(style: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **style,
        "linewidth": 1.3,
        "markersize": 4.2,
        "markerfacecolor": "white",
        "markeredgewidth": 1.0,
    }


def _draw_curve(
    ax: Axes, x: np.ndarray, y: np.ndarray, y_end: float, style: Mapping[str, Any], label: str
) -> None:
    inside = y <= y_end
    marked = _spaced(x[inside], 0.14)
    line = {**_line(style), "alpha": 0.95, "zorder": 4 if not style["marker"] else 3}
    ax.plot(x[inside], y[inside], **line, markevery=list(marked), label=label)


def _spaced(x: np.ndarray, step: float) -> np.ndarray:
    """Indices of a falling `x` at least `step` apart; the first dozen closer, they are few."""
    keep: list[int] = []
    for i, value in enumerate(x):
        if not keep or x[keep[-1]] - value >= (step / 3 if len(keep) < 12 else step):
            keep.append(i)
    return np.array(keep, dtype=int)


def _mark_beyond(
    ax: Axes,
    x: np.ndarray,
    y: np.ndarray,
    edge: tuple[float, float],
    color: str,
    p: np.ndarray,
) -> int:
    """Triangles on the upper edge for points above it; returns how many p-values they are."""
    x_end, y_end = edge
    above = (y > y_end) & (x <= x_end)
    if above.any():
        ax.scatter(
            x[above],
            np.full(int(above.sum()), y_end),
            marker="^",
            s=24,
            facecolor="white",
            edgecolor=color,
            linewidths=1.0,
            zorder=5,
            clip_on=False,
        )
    return int((p < 10.0**-y_end).sum())


def _entry(label: str, p: np.ndarray, show_lambda: bool = False) -> str:
    if p.size == 0:
        return f"{display_name(label)}: no p-values"
    inflation = f", λ = {inflation_factor(p):.2f}" if show_lambda else ""
    return f"{display_name(label)} ({p.size:,}{inflation})"


def _finish(ax: Axes, x_end: float, y_end: float, title: str | None) -> None:
    ax.set_xlim(0, x_end)
    ax.set_ylim(0, y_end)
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=x_end >= 2.5))
    ax.yaxis.set_major_locator(MaxNLocator(7, integer=y_end >= 2.5))
    ax.set_xlabel("expected −log10 p", color=BLACK)
    ax.set_ylabel("observed −log10 p", color=BLACK)
    if title:
        ax.set_title(title)
