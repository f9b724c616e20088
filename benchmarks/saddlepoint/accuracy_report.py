"""The accuracy grid as tables and a picture."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from benchmarks.pages import table
from programde.report import style

#: (smallest number of treated cells, hits of the truth, lowest and highest ratio)
TARGETS = ((15, 1000, 0.9, 1.1), (1, 200, 0.8, 1.25))
_SHADES = ("#08306B", style.BLUE, style.SKY, style.GREEN, style.YELLOW, style.ORANGE, "#A63603")
_MARKERS = "osD^vP*"

Row = dict[str, Any]


def truth(row: Row) -> tuple[float, float]:
    """(true tail, its relative standard error): plain and importance draws by precision."""
    estimates = []
    if row["hits"] > 0:
        p = row["hits"] / row["draws"]
        estimates.append((p, p * np.sqrt((1.0 - p) / row["hits"])))
    if row.get("truth_importance", 0.0) > 0.0 and row["importance_error"] > 0.0:
        estimates.append((row["truth_importance"], row["importance_error"]))
    if not estimates:
        return np.nan, np.inf
    value, error = np.array(estimates).T
    # relative errors, or the smaller estimate of two would seem the surer
    weight = (value / error) ** 2
    return float(weight @ value / weight.sum()), float(1.0 / np.sqrt(weight.sum()))


def ratio(row: Row) -> float:
    """Computed p over the counted share of plain draws."""
    return row["p"] * row["draws"] / row["hits"]


def known(rows: Iterable[Row], error: float = 0.05) -> list[Row]:
    """Points whose truth is known to this relative standard error."""
    return [row for row in rows if truth(row)[1] <= error]


def _range(values: Sequence[float]) -> str:
    if len(values) == 0:
        return ""
    low, high = min(values), max(values)
    return f"{_short(low)} to {_short(high)}"


def _short(value: float) -> str:
    return f"{value:.2f}" if 0.01 <= value < 100 else f"{value:.0e}"


def _cells(rows: list[Row]) -> list[str]:
    sure = known(rows)
    ours = [row["p"] / truth(row)[0] for row in sure]
    fitted = [row["skew_normal"][1] / truth(row)[0] for row in sure]
    moments = [row["moment_skew_normal"] / truth(row)[0] for row in sure]
    typical = float(np.exp(np.sqrt(np.mean(np.log(ours) ** 2)))) if ours else np.nan
    return [
        str(len(sure)),
        _range(ours),
        f"{typical - 1:.1%}" if ours else "",
        _range(fitted),
        _range(moments),
    ]


_HEADER = ("points", "saddlepoint", "its typical error", "skew-normal fit", "moment skew-normal")


def _by(rows: list[Row], label: str, key: Callable[[Row], Any], name: Callable[[Any], str]):
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    lines = [[name(value), *_cells(group)] for value, group in groups.items()]
    return [*table([label, *_HEADER], lines), ""]


def within(rows: list[Row], target: tuple[int, int, float, float]) -> dict[str, Any]:
    """How many points of a target there are, keep it, and miss it by more than chance.

    Beyond chance: three standard errors of the count away from the target's range.
    """
    smallest, hits, low, high = target
    asked = [row for row in rows if row["n1"] >= smallest and row["hits"] >= hits]
    ratios = np.array([ratio(row) for row in asked])
    slack = 3.0 / np.sqrt([row["hits"] for row in asked])
    beyond = (ratios * (1.0 + slack) < low) | (ratios * (1.0 - slack) > high)
    return {
        "asked": len(asked),
        "kept": int(((ratios >= low) & (ratios <= high)).sum()),
        "beyond": [row for row, miss in zip(asked, beyond, strict=True) if miss],
        "missed": [row for row, r in zip(asked, ratios, strict=True) if not low <= r <= high],
    }


def table_lines(rows: list[Row]) -> list[str]:
    """Tables and counts, in Markdown."""
    draws = " or ".join(f"{n:.0e}" for n in sorted({row["draws"] for row in rows}))
    lines = [
        f"{len(rows):,} points, {draws} plain draws each; the ratio of computed to true tail, "
        "smallest to largest, where the truth is known to 5 % (plain and importance draws taken "
        "together). The fit is to 1,023 draws, the median of twenty.",
        "",
        *_by(rows, "n1", lambda row: row["n1"], str),
        *_by(rows, "p", lambda row: row["level"], lambda level: f"{level:.0e}"),
        *_by(rows, "outcome", lambda row: row["outcome"], str),
        *_by(
            rows,
            "test",
            lambda row: (row["sampler"], row["statistic"], row["propensity"]),
            lambda value: ", ".join(value),
        ),
    ]
    for target in TARGETS:
        smallest, hits, low, high = target
        found = within(rows, target)
        lines.append(
            f"* n1 >= {smallest}, truth of at least {hits:,} hits: {found['kept']:,} of "
            f"{found['asked']:,} points within {low} to {high}; "
            f"{len(found['beyond'])} miss it by more than three standard errors of the count."
        )
        lines += [f"  * {describe(row)}" for row in found["missed"][:20]]
    branches: dict[str, int] = {}
    for row in rows:
        branches[row["branch"]] = branches.get(row["branch"], 0) + 1
    lines.append("* Branches: " + ", ".join(f"{k} {v:,}" for k, v in branches.items()) + ".")
    return lines


def describe(row: Row) -> str:
    """One point in words."""
    value, error = truth(row)
    return (
        f"n1 = {row['n1']}, {row['propensity']}, {row['sampler']}, {row['statistic']}, "
        f"{row['outcome']}, {row['side']}, p = {row['p']:.2e} ({row['branch']}): "
        f"{row['hits']:,} hits, ratio {ratio(row):.3f} "
        f"(with importance draws {row['p'] / value:.3f} +- {error:.3f})"
    )


def _scatter(axes: Axes, rows: list[Row], value: Callable[[Row], float], sizes: list[int]) -> None:
    for j, n1 in enumerate(sizes):
        here = [row for row in rows if row["n1"] == n1]
        axes.plot(
            [truth(row)[0] * 10 ** (0.09 * (j - (len(sizes) - 1) / 2)) for row in here],
            [value(row) / truth(row)[0] for row in here],
            _MARKERS[j % 7],
            color=_SHADES[j % 7],
            markersize=3.5,
            markeredgewidth=0.3,
            markeredgecolor="#333333",
            alpha=0.85,
        )
    axes.axhline(1.0, color=style.BLACK, linewidth=0.8, zorder=0)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.grid(True)


@style.styled
def draw(rows: list[Row], path: Path) -> None:
    """Ratios against the true tail, by outcome: saddlepoint above, skew-normal below."""
    sure = known(rows)
    outcomes = list(dict.fromkeys(row["outcome"] for row in rows))
    sizes = sorted({row["n1"] for row in rows})
    titles = {
        "normal": "normal outcome",
        "heavy": "heavy-tailed (5 % of cells at -13)",
        "real": "CLR usage of a published screen",
    }
    figure = style.new_figure(11.0, 7.0)
    grid = figure.subplots(2, len(outcomes), squeeze=False, sharex=True, sharey="row")
    for column, outcome in enumerate(outcomes):
        here = [row for row in sure if row["outcome"] == outcome]
        top, bottom = grid[0, column], grid[1, column]
        top.axhspan(0.9, 1.1, color=style.PALE, zorder=0)
        _scatter(top, here, lambda row: row["p"], sizes)
        _scatter(bottom, here, lambda row: row["skew_normal"][1], sizes)
        ticks = [0.8, 0.9, 1.0, 1.1, 1.25, 1.4]
        top.set_ylim(0.78, 1.45)
        top.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        top.set_yticks([], minor=True)
        bottom.set_ylim(1e-6, 1e6)
        top.set_title(titles.get(outcome, outcome))
        bottom.set_xlabel("true tail probability (sizes side by side)")
    grid[0, 0].set_ylabel("saddlepoint / truth")
    grid[1, 0].set_ylabel("skew-normal fit to 1,023 draws / truth")
    marks = [
        Line2D([], [], linestyle="", marker=_MARKERS[j % 7], color=_SHADES[j % 7], label=str(n1))
        for j, n1 in enumerate(sizes)
    ]
    grid[0, -1].legend(handles=marks, title="treated cells", loc="upper left", ncols=2)
    style.save_png(figure, path)


def update(path: Path, name: str, lines: list[str]) -> None:
    """Put the lines between a page's marks ``<!-- name: begin -->`` and ``<!-- name: end -->``."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    text = path.read_text(encoding="utf-8")
    before, _, rest = text.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise SystemExit(f"{path}: no marks {begin} and {end}; put them where the table goes")
    temporary = path.with_suffix(".tmp")
    temporary.write_text(
        before + begin + "\n" + "\n".join(lines).rstrip() + "\n" + end + after, encoding="utf-8"
    )
    os.replace(temporary, path)
