"""Tables and picture of ``docs/validity.md``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.pages import table
from benchmarks.saddlepoint.accuracy_report import update
from benchmarks.validity.competitors import COMPETITORS
from programde.report import style

#: Settings without draws that the picture shows, upwards, and what to call them.
SHOWN = {
    "ols-bernoulli_index-covariates-auto": "OLS, default",
    "utest-bernoulli_index-covariates-auto": "U-test, default",
    "ols-stratified_perm-strata-auto": "OLS, stratified",
    "utest-stratified_perm-strata-auto": "U-test, stratified",
    "ols-bernoulli_index-propensity-auto": "OLS, given the propensity",
    "utest-bernoulli_index-propensity-auto": "U-test, given the propensity",
    "ols-bernoulli_index-covariates-linear": "OLS, straight covariates",
    "ols_t-auto": "OLS t",
    "hc3-auto": "HC3",
    "gcm-auto": "GCM",
    "mannwhitney-linear": "Mann-Whitney",
    "seed-ols-bernoulli_index": "seed, OLS, skew-normal",
    "seed-utest-bernoulli_index": "seed, U-test, skew-normal",
}
#: Screens on which a null is a program that was not touched, its log-ratio moved or not.
TOUCHED = "strong_shifts"
NOTHING = (np.nan, np.nan)
#: What the picture shows; what lies beyond is put at its ends.
SEEN = (0.2, 400.0)
MARKERS = "osD^v<>pPXh*d8"
COLOURS = (style.BLUE, style.ORANGE, style.GREEN, style.PURPLE, style.VERMILLION, style.SKY)


def number(measured: Sequence[float], digits: int = 2) -> str:
    """Value and error, one digit less from 10 on; a dash where there is no value."""
    value, error = measured
    if not np.isfinite(value):
        return "–"
    if value >= 10:
        digits = max(digits - 1, 0)
    shown = f"{value:.{digits}f}"
    return shown if not np.isfinite(error) else f"{shown} ± {error:.{digits}f}"


def rows_of(results: dict[str, Any]) -> dict[tuple[str, str, str], dict[str, Any]]:
    """(generator, setting, calibration) -> row."""
    return {(r["generator"], r["setting"], r["calibration"]): r for r in results["rows"]}


def default_lines(results: dict[str, Any]) -> list[str]:
    """The default settings on every generator."""
    rows, body = rows_of(results), []
    for generator in _shown(results):
        for statistic, setting in results["default"].items():
            row = rows.get((generator, setting, "saddlepoint"))
            if row is None:
                continue
            null = row["null"]["15+"]
            before = rows.get((generator, results["before"][statistic], "saddlepoint"), {})
            # power of what is inflated is not a power
            sound = before.get("fdr", np.inf) <= 2 * row["fdr_meant"]
            gained = before["gain_of_default"] if sound else {}
            body.append([
                generator, statistic,
                *map(number, zip(null["rate"], null["error"], strict=True)),
                f"{number((row['fdr'], row['fdr_error']), 3)} ({row['fdr_meant']:.3f})",
                number(row["power all"], 3),
                number(gained.get("found all", NOTHING), 3),
                number(row["power <50"], 3),
                number(gained.get("found <50", NOTHING), 3),
                f"{null['tests'][0]:,.0f}",
            ])  # fmt: skip
    head = ["screens", "statistic", ".05", ".01", "1e-3", "1e-4", "FDR (meant)", "power",
            "gained", "n1 < 50", "gained", "null tests"]  # fmt: skip
    return table(head, body)


def direct_lines(results: dict[str, Any]) -> list[str]:
    """Calls of touched programs by p and by p of direct effects, default settings."""
    rows, body = rows_of(results), []
    words = {"saddlepoint": "q ≤ 0.1", "direct": "q_direct ≤ 0.1"}
    for statistic, setting in results["default"].items():
        for calibration, word in words.items():
            row = rows.get((TOUCHED, setting, calibration))
            if row is not None:
                body.append([
                    statistic, word, number((row["fdr"], row["fdr_error"]), 3),
                    number(row["power all"], 3), number(row["fair all"], 3), str(row["blocks"]),
                ])  # fmt: skip
    head = ["statistic", "called at", "not touched", "power", "power at a tenth false", "screens"]
    return table(head, body)


def _shown(results: dict[str, Any]) -> list[str]:
    """Generators whose nulls are log-ratios that stay."""
    return [name for name in results["generators"] if name != TOUCHED]


def size_lines(results: dict[str, Any]) -> list[str]:
    """Null rates of the default settings by treated cells."""
    rows, body = rows_of(results), []
    for generator in _shown(results):
        for statistic, setting in results["default"].items():
            row = rows.get((generator, setting, "saddlepoint"))
            if row is not None:
                few, many = row["null"]["15-49"], row["null"]["50+"]
                body.append([
                    generator, statistic,
                    *[number((null["rate"][j], null["error"][j])) if null["tests"][0] else "–"
                      for null in (few, many) for j in (1, 2, 3)],
                ])  # fmt: skip
    head = ["screens", "statistic", *[f"{size}: {level}" for size in ("15 to 49", "50 and more")
            for level in (".01", "1e-3", "1e-4")]]  # fmt: skip
    return table(head, body)


def _order(results: dict[str, Any]) -> list[tuple[str, str]]:
    seen = dict.fromkeys((r["setting"], r["calibration"]) for r in results["rows"])
    last = [key for key in seen if key[0].startswith("seed") or key[1] in COMPETITORS]
    # those of direct effects have a table of their own
    drawn = [
        key for key in seen if key[0].endswith("-draws") and key[1] not in ("saddlepoint", "direct")
    ]
    first = [key for key in seen if key[1] == "saddlepoint" and not key[0].endswith("-draws")]
    return [*first, *drawn, *last]


def _label(setting: str, calibration: str) -> str:
    return (
        setting
        if calibration in COMPETITORS
        else f"{setting.removesuffix('-draws')}, {calibration}"
    )


def rate_lines(results: dict[str, Any], level: int) -> list[str]:
    """Null rates over nominal at a level: settings x generators."""

    def cell(row: dict[str, Any] | None) -> str:
        if row is None:
            return ""
        null = row["null"]["15+"]
        return number((null["rate"][level], null["error"][level]))

    return _grid(results, cell)


def power_lines(results: dict[str, Any], what: str) -> list[str]:
    """Power, and the realised rate of false discoveries: settings x generators."""

    def cell(row: dict[str, Any] | None) -> str:
        if row is None:
            return ""
        fdr = f" ({row['fdr']:.2f})" if what == "power" else ""
        return number(row[f"{what} all"], 3) + fdr

    return _grid(results, cell)


def _grid(results: dict[str, Any], cell: Any) -> list[str]:
    rows = rows_of(results)
    names = [g for g in _shown(results) if any(key[0] == g for key in rows)]
    body = [[_label(s, c), *[cell(rows.get((g, s, c))) for g in names]] for s, c in _order(results)]
    return table(["", *[name.replace("_", " ") for name in names]], body)


def run_lines(results: dict[str, Any]) -> list[str]:
    """How much was computed, and with what."""
    commits: dict[str, int] = {}
    seconds = 0.0
    for row in results["rows"]:
        if row["calibration"] in ("saddlepoint", *COMPETITORS):
            seconds += row["seconds"] * row["blocks"]
        for commit, number_of in row["commits"].items():
            commits[commit] = commits.get(commit, 0) + number_of
    named = ", ".join(sorted(commits))
    hours = f"{seconds / 60:.0f} minutes in the tests, one thread, by the clock"
    screens = max((row["blocks"] for row in results["rows"]), default=0)
    return [f"Up to {screens} screens per generator; {hours}; revision {named}."]


def origin_lines(results: dict[str, Any]) -> list[str]:
    """Which rows were computed at which revision: the defaults by name, others counted."""
    found: dict[str, dict[str, list[str]]] = {}
    for row in results["rows"]:
        if row["calibration"] == "direct":
            continue
        names = [name for name, own in results["default"].items() if own == row["setting"]]
        for commit in row["commits"]:
            own = found.setdefault(commit, {})
            own.setdefault(names[0] if names else "others", []).append(row["generator"])
    body = []
    for commit, own in found.items():
        defaults = [f"{name}: {', '.join(own[name])}" for name in results["default"] if name in own]
        body.append([commit, "; ".join(defaults), f"{len(own.get('others', []))}"])
    return table(["revision", "rows of the default", "rows of other settings"], body)


@style.styled
def draw(results: dict[str, Any], path: Path) -> None:
    """Null rates at .01 and 1e-3, by setting, a mark per generator."""
    rows = rows_of(results)
    names = _shown(results)
    figure = style.new_figure(11.5, 7.0)
    axes = figure.subplots(1, 2, sharey=True)
    handles: dict[str, Any] = {}
    for axis, level, text in ((axes[0], 1, "p ≤ 0.01"), (axes[1], 2, "p ≤ 0.001")):
        for at, setting in enumerate(reversed(SHOWN)):
            calibration = "skew_normal" if setting.startswith("seed") else "saddlepoint"
            if setting.partition("-")[0] in COMPETITORS:
                calibration = setting.partition("-")[0]
            for j, generator in enumerate(names):
                row = rows.get((generator, setting, calibration))
                if row is None:
                    continue
                rate, error = (row["null"]["15+"][key][level] for key in ("rate", "error"))
                y = at + 0.6 * (j / max(len(names) - 1, 1) - 0.5)
                handles[generator] = axis.errorbar(
                    np.clip(rate, *SEEN), y, xerr=error, color=COLOURS[j % len(COLOURS)],
                    linewidth=0.8, marker=MARKERS[j % len(MARKERS)], markersize=4,
                    linestyle="none",
                )  # fmt: skip
        axis.axvline(1.0, color=style.BLACK, linewidth=0.8)
        axis.set_xscale("log")
        axis.set_xlim(SEEN[0] / 1.1, SEEN[1] * 1.1)
        axis.set_xticks([0.3, 1, 3, 10, 30, 100], ["0.3", "1", "3", "10", "30", "100"])
        axis.set_xlabel("share of true nulls, times nominal")
        axis.set_title(text)
    axes[0].set_yticks(range(len(SHOWN)), list(SHOWN.values())[::-1])
    names_shown = [name.replace("_", " ") for name in handles]
    figure.legend(handles.values(), names_shown, ncols=6, loc="outside lower center")
    style.save_png(figure, path)


def update_docs(results: dict[str, Any], docs: Path) -> None:
    """Tables and picture into the page."""
    page = docs / "validity.md"
    update(page, "default", default_lines(results))
    update(page, "rates01", rate_lines(results, 1))
    update(page, "rates001", rate_lines(results, 2))
    update(page, "power", power_lines(results, "power"))
    update(page, "sizes", size_lines(results))
    update(page, "direct", direct_lines(results))
    update(page, "fair", power_lines(results, "fair"))
    update(page, "run", run_lines(results))
    update(page, "origins", origin_lines(results))
    draw(results, docs / "validity.png")
