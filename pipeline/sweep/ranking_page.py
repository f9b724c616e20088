"""The page of a sweep: the table of settings, their control QQ plots, each metric by each axis."""

from __future__ import annotations

import math
import os
import textwrap
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
from matplotlib.figure import Figure

from pipeline.files import write_text
from pipeline.sweep.agreement import COUNT, agreement
from pipeline.sweep.choosing_k import Choice, across_programs, section_of_choice
from pipeline.sweep.ranking_table import ORDER, POWER, Ranking, name_of, natural, short
from pipeline.sweep.recommendation import by_other_shares, recommendation
from pipeline.sweep.record import word_of
from programde.report.blocks import Block, Link, Table
from programde.report.control_groups import LABELS
from programde.report.lettering import in_pictures
from programde.report.page import Section, render_page
from programde.report.pictures import drawn_or_missing
from programde.report.qq_plots import qq_small_multiples
from programde.report.style import display_name, new_figure, styled
from programde.report.verdict import Verdict

PAGE = "index.html"
INTERVAL = "interval"
INFLATION_INTERVAL = "interval of inflation"
POWER_INTERVAL = "interval of known effects found"
REPORT = "report"

#: Metrics of the pictures: name, what people read, the right value (None: the more the better).
SHOWN = (
    ("ntc/rate_05", "controls at p ≤ 0.05", 0.05),
    ("ntc/rate_01", "controls at p ≤ 0.01", 0.01),
    ("ntc/lambda_mean", "inflation λ", 1.0),
    ("ntc/lambda_tail", "inflation λ, 1 % tail", 1.0),
    ("ntc/ks", "distance from uniform (KS)", 0.0),
    (POWER, "known effects found", None),
    ("discoveries/bh10", "discoveries at BH 10 %", None),
    ("truth/power_bh10", "power at BH 10 %", None),
    ("truth/fdr_bh10", "false among them", 0.10),
)
#: The table's columns: name, what people read, how it is written.
COLUMNS = (
    ("ntc/rate_05", "controls at p ≤ 0.05", "percent"),
    (INTERVAL, "95 % interval", "text"),
    ("ntc/lambda_mean", "inflation", "fixed"),
    (INFLATION_INTERVAL, "95 % interval", "text"),
    (POWER, "known effects found", "percent"),
    (POWER_INTERVAL, "95 % interval", "text"),
    ("discoveries/bh10", "discoveries", "count"),
    ("truth/power_bh10", "power", "percent"),
    ("truth/fdr_bh10", "false", "percent"),
)
MOST_PANELS = 48
COLOURS = {
    "calibrated": "#009E73",
    "too few controls to tell": "#E69F00",
    "conservative": "#0072B2",
    "inflated": "#D55E00",
}
MARKS = {"calibrated": "o", "too few controls to tell": "D", "conservative": "v", "inflated": "^"}


#: Stands in the page for a run's report, until it is known where the page lies.
REPORT_OF = "report-of:"


def write_page(ranking: Ranking, folder: Path, choice: Choice | None = None) -> str:
    """Write the page and its pictures into `folder`; its text, for `leading_to`.

    Parameters
    ----------
    choice
        What there is to know for the choice of K, where the settings differ in it.
    """
    sections = [_table(ranking)]
    if ranking.failed:
        sections.append(_without_result(ranking.failed))
    if choice is not None:
        sections.append(section_of_choice(choice, folder))
    if ranking.axes:
        how = (
            "Each mark is one setting; a grey line joins settings that differ in that choice "
            "alone; the dark line is the right value."
        )
        picture = drawn_or_missing(
            "Each metric by each choice",
            lambda: metrics_by_axis(ranking),
            folder / "metrics",
            how,
        )
        sections.append(Section("What matters", [picture], anchor="axes"))
    if ranking.hits is not None and len(ranking.table) > 1:
        sections.append(_agreement(ranking, ranking.hits))
    panels = _panels(ranking)
    if panels:
        notes = dict(zip(panels, ranking.table["verdict"], strict=False))
        how = "Best setting first. Calibrated control p-values follow the diagonal."
        if len(ranking.table) > MOST_PANELS:
            how += f" The first {MOST_PANELS} settings."
        picture = drawn_or_missing(
            "Control groups, setting by setting",
            lambda: qq_small_multiples(panels, notes=notes),
            folder / "qq",
            how,
        )
        sections.append(Section("Why to believe it", [picture], anchor="qq"))
    facts = {"settings": str(len(ranking.table))}
    facts |= {word: str((ranking.table["verdict"] == word).sum()) for word in ORDER}
    if ranking.failed:
        facts["without a result"] = str(len(ranking.failed))
    page = render_page(
        "Which setting is calibrated?",
        ranking.title,
        overall(ranking),
        facts,
        sections,
        footer="Made by programDE from the record in MLflow.",
        question="Is the first setting calibrated?",
    )
    write_text(folder / PAGE, leading_to(page, ranking, folder))
    return page


def leading_to(page: str, ranking: Ranking, folder: Path) -> str:
    """The page as it is to stand in `folder`: links lead from there to the settings' reports."""
    for run, report in ranking.reports.items():
        where = quote(Path(os.path.relpath(report, folder)).as_posix())
        page = page.replace(f'"{REPORT_OF}{run}"', f'"{where}"')
    return page


def _without_result(failed: list[tuple[str, str]]) -> Section:
    """Points that failed or were refused."""
    table = Table(pd.DataFrame(failed, columns=["setting", "reason"]), limit=60)
    lead = "These settings take no part in the ranking."
    return Section("Without a result", [table], lead, "failed")


def overall(ranking: Ranking) -> Verdict:
    """The word for the first setting as the pick of all of them."""
    table, best = ranking.table, ranking.table.iloc[0]
    name = name_of(best, ranking.axes) or "the one setting"
    n = int((table["verdict"] == "calibrated").sum())
    sentence = f"{n} of {len(table)} settings are calibrated on their control groups"
    sentence += ", each judged alone. " if len(table) > 1 else ". "
    if ranking.questions:
        return across_programs(ranking, sentence)
    tied = int((table["rank"] == 1).sum())
    if tied > 1:
        sentence += f"{tied} share the first rank. "
    sentence += f"First: {name}"
    if "truth/power_bh10" in best and not math.isnan(best["truth/power_bh10"]):
        sentence += f", which finds {100 * best['truth/power_bh10']:.0f} % of the true effects"
    word = best["verdict"]
    if len(table) > 1:
        word = word_of({str(key): value for key, value in best.items()}, len(table)).word
        sentence += f". As the pick of {len(table)} by the same controls: {word}"

    def named(row: Any) -> str:
        return name_of(row, ranking.axes) or "the one setting"

    advice = recommendation(table, ranking.powers, named, word)
    others = by_other_shares(table, ranking.powers, named)
    return Verdict(word, f"{sentence}. {advice} {others}".rstrip())


def _table(ranking: Ranking) -> Section:
    table = ranking.table.copy()
    if "ntc/rate_05_low" in table:
        ends = zip(table["ntc/rate_05_low"], table["ntc/rate_05_high"], strict=True)
        table[INTERVAL] = [
            _in_one_line(f"{100 * low:.1f} to {100 * high:.1f} %") for low, high in ends
        ]
    if "ntc/lambda_mean_low" in table:
        ends = zip(table["ntc/lambda_mean_low"], table["ntc/lambda_mean_high"], strict=True)
        table[INFLATION_INTERVAL] = [_in_one_line(f"{low:.2f} to {high:.2f}") for low, high in ends]
    if ranking.powers is not None:
        table[POWER_INTERVAL] = [_percents(ranking, run) for run in table["run"]]
    for axis in ranking.axes:  # a browser breaks lines at a hyphen
        table[axis] = table[axis].map(short).str.replace("-", "\N{NON-BREAKING HYPHEN}")
    chosen = [(name, label, kind) for name, label, kind in COLUMNS if name in table]
    if ranking.reports:
        links_to = {run: Link("open", f"{REPORT_OF}{run}") for run in table["run"]}
        table[REPORT] = table["run"].map(links_to)
    links = [REPORT] if ranking.reports else []
    shown = table[["rank", *links, *ranking.axes, "verdict", *(name for name, _, _ in chosen)]]
    lead = (
        "Settings whose controls are calibrated come first; among them those that find more of "
        "the known effects that were put into control cells. "
        "Do not pick a setting by its discoveries: an inflated one finds more as well. "
        "Settings that share a rank tie: neither the controls nor the known effects tell them "
        "apart. Each word is that of the setting's own report."
    )
    if ranking.questions:
        lead += (
            f" Settings are ranked at each {' and '.join(ranking.questions)} by itself: other "
            "programs are other questions, and less is found of more and narrower ones."
        )
    if "truth/fdr_bh10" in table:
        what = "Power and the share" if "truth/power_bh10" in table else "The share"
        verb = "are" if what.startswith("Power") else "is"
        lead += f" {what} of false discoveries {verb} against the known truth."
    labels = {name: label for name, label, _ in chosen} | {axis: axis for axis in ranking.axes}
    formats = {name: kind for name, _, kind in chosen}
    title = "Settings, best first"
    if ranking.questions:
        title += f" at each {' and '.join(ranking.questions)}"
    blocks: list[Block] = [Table(shown, title, "", labels, formats, limit=60)]
    return Section("The settings", blocks, lead, "settings")


def _percents(ranking: Ranking, run: str) -> str:
    assert ranking.powers is not None
    if run not in ranking.powers.mix:
        return ""
    low, high = ranking.powers.interval(run)
    return _in_one_line(f"{100 * low:.0f} to {100 * high:.0f} %")


def _in_one_line(words: str) -> str:
    return words.replace(" ", "\N{NO-BREAK SPACE}")


def _agreement(ranking: Ranking, hits: pd.DataFrame) -> Section:
    """Hits x settings, those on which settings differ."""
    n = len(ranking.table)
    columns = [c for c in hits.columns if c.isdigit()]
    names = [c for c in hits.columns if c not in (*columns, COUNT)]
    differ = hits[hits[COUNT] < n]
    by = [", ".join(c for c in columns if row[c]) for _, row in differ.iterrows()]
    shown = differ[[*names, COUNT]].assign(found_by=by)
    table = Table(
        shown,
        "Hits that not all settings find",
        "Settings by their place in the table above. All hits x settings: hits.csv.",
        {COUNT: "found by", "found_by": "settings"},
        limit=20,
    )
    return Section("Do they agree?", [table], agreement(hits, n), "agreement")


def _panels(ranking: Ranking) -> dict[str, dict[str, object]]:
    """Control p-values of every setting, kind by kind."""
    panels: dict[str, dict[str, object]] = {}
    for _, row in ranking.table.head(MOST_PANELS).iterrows():
        table = ranking.controls.get(row["run"])
        if table is None:
            continue
        kinds = [column for column in table.columns if column not in LABELS]
        words = f"{row['rank']}. {name_of(row, ranking.axes)}"
        name = "\n".join(textwrap.wrap(words, 36, break_on_hyphens=False))
        panels[name] = {display_name(kind): table[kind].dropna() for kind in kinds}
    return panels


@styled
def metrics_by_axis(ranking: Ranking) -> Figure:
    """Small panels: rows are metrics, columns the axes of the sweep, a mark per setting."""
    table, axes = ranking.table, ranking.axes[:6]
    shown = [(key, label, right) for key, label, right in SHOWN if key in table]
    figure = new_figure(2.2 + 2.3 * len(axes), 0.8 + 1.75 * len(shown))
    grid = figure.subplots(len(shown), len(axes), squeeze=False, sharey="row", sharex="col")
    for column, axis in enumerate(axes):
        levels = sorted(table[axis].astype(str).unique(), key=natural)
        others = [other for other in ranking.axes if other != axis]
        alike = table.groupby(others, sort=True).ngroup() if others else pd.Series(0, table.index)
        place = table[axis].astype(str).map(levels.index)
        place += (alike / max(1, alike.max()) - 0.5) * 0.36 if alike.max() else 0.0
        for row, (key, label, right) in enumerate(shown):
            ax = grid[row][column]
            if right is not None:
                ax.axhline(right, color="#444444", linewidth=1.0, zorder=1)
            for _, same in table.groupby(alike):
                x = place[same.index].sort_values()
                ax.plot(x, table.loc[x.index, key], color="#C4C4C4", linewidth=0.8, zorder=2)
            for word in ORDER:
                chosen = table["verdict"] == word
                ax.scatter(
                    place[chosen],
                    table.loc[chosen, key],
                    s=20,
                    marker=MARKS[word],
                    color=COLOURS[word],
                    linewidths=0,
                    zorder=3,
                )
            ax.set_xlim(-0.5, len(levels) - 0.5)
            ticks = range(0, len(levels), math.ceil(len(levels) / 12))
            ax.set_xticks(
                ticks, [in_pictures(levels[i], 22) for i in ticks], rotation=30, ha="right"
            )
            if column == 0:
                ax.set_ylabel(label, fontsize=8.5)
            if row == 0:
                ax.set_title(in_pictures(axis, 40))
    words = [word for word in ORDER if (table["verdict"] == word).any()]
    handles = [
        grid[0][0].scatter([], [], marker=MARKS[word], color=COLOURS[word], label=word)
        for word in words
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure
