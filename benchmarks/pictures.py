"""One picture of the measurements: ratios, where the time goes, growth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from benchmarks.pieces import PIECES
from programde.report import style

COLOURS = (
    style.BLUE,
    style.PURPLE,
    style.ORANGE,
    style.SKY,
    style.GREEN,
    style.YELLOW,
    style.GREY,
    style.VERMILLION,
    style.BLACK,
)
HATCHES = ("", "///", "", "...", "", "xxx", "", "\\\\\\", "")


def ratios(axes: Axes, found: dict[str, Any]) -> None:
    """Times faster than the baseline, with quartiles."""
    labels = list(found["ways"])
    at = np.arange(len(labels))[::-1]
    ratio = [found["ways"][label]["ratio"] for label in labels]
    middle = np.array([r["median"] for r in ratio])
    error = [[r["median"] - r["low"] for r in ratio], [r["high"] - r["median"] for r in ratio]]
    axes.barh(at, middle, xerr=error, color=style.SKY, edgecolor=style.BLACK, linewidth=0.6)
    ends = np.array([r["high"] for r in ratio])
    for y, label, value, end in zip(at, labels, middle, ends, strict=True):
        ours = 1e3 * found["ways"][label]["ours"]["median"]
        axes.text(end + 0.02 * ends.max(), y, f"{value:.0f} x  ({ours:.1f} ms)", va="center")
    axes.set_xlim(0, 1.35 * ends.max())
    axes.set_yticks(at, labels)
    axes.set_xlabel("times faster than the plain baseline, per gene and thread")


def stacked(axes: Axes, found: list[dict[str, Any]]) -> None:
    """Milliseconds per gene by piece."""
    at = np.arange(len(found))[::-1]
    left = np.zeros(len(found))
    for name, colour, hatch in zip(PIECES, COLOURS, HATCHES, strict=True):
        width = np.array([measured["milliseconds"][name]["median"] for measured in found])
        if width.max() < 0.02:
            continue
        axes.barh(at, width, left=left, color=colour, hatch=hatch, edgecolor="white", label=name)
        left += width
    axes.set_yticks(at, [measured["way"] for measured in found])
    axes.set_xlabel("milliseconds per gene")
    axes.set_title("Where the time goes")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=3)


def growth(axes: Axes, found: dict[str, Any]) -> None:
    """Cost relative to the middle, against size relative to the middle."""
    markers = dict(zip(found["middle"], "osD^v", strict=True))
    colours = dict(zip(found["middle"], COLOURS, strict=False))
    for number, (_, sizes) in enumerate(found["ways"].items()):
        for name, measured in sizes.items():
            x = np.array(measured["values"]) / found["middle"][name]
            y = np.array(measured["seconds"]) / np.interp(1.0, x, measured["seconds"])
            axes.plot(
                x,
                y,
                marker=markers[name],
                markersize=4,
                color=colours[name],
                linestyle=("-", (0, (4, 2)))[number],
                label=name if number == 0 else None,
            )
    ends = np.array(axes.get_xlim())
    ends = np.array([max(ends[0], 0.3), ends[1]])
    axes.plot(ends, ends, color=style.GREY, linewidth=1.0, zorder=0, label="linear")
    for scale in (axes.xaxis, axes.yaxis):
        scale.axes.grid(True)
        ticks = [0.25, 0.5, 1, 2, 4]
        getattr(axes, f"set_{scale.axis_name}scale")("log", base=2)
        getattr(axes, f"set_{scale.axis_name}ticks")(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xlabel("size, times the middle (solid: Bernoulli, dashed: stratified)")
    axes.set_ylabel("time, times the middle")
    axes.set_title("Growth")
    axes.legend(loc="upper left")


def _short(found: dict[str, Any]) -> str:
    """Cells and programs of a problem."""
    return " x ".join(str(found["problem"]).split(" x ")[:2])


@style.styled
def draw(results: dict[str, Any], path: Path) -> None:
    """Write the picture."""
    figure = style.new_figure(11.0, 8.2)
    axes = figure.subplots(2, 2)
    ratios(axes[0, 0], results["speed"][0])
    stacked(axes[0, 1], results["pieces"])
    growth(axes[1, 0], results["growth"])
    ratios(axes[1, 1], results["speed"][-1])
    axes[0, 0].set_title(f"Speed: {_short(results['speed'][0])}")
    axes[1, 1].set_title(f"Speed: {_short(results['speed'][-1])}")
    style.save_png(figure, path)
