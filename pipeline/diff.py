"""What differs between two runs, on one page: settings, hits won and lost, effects.

    python -m pipeline.diff A B            into reports/diff
    python -m pipeline.diff A B out=FOLDER

A and B are each a folder with a run (`.` is this one, sweeps/points/ID a point of a sweep), a run
in MLflow (its id, the beginning of it, or its name), or a git revision whose dvc.lock names a run.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pipeline.config.params import project_root
from pipeline.config.schema import register
from pipeline.files import replacing_folder, write_table, write_text
from pipeline.stages import paths
from pipeline.stages.headline import HEADLINE
from pipeline.sweep.difference import (
    BOTH,
    LOST,
    NAMES,
    WON,
    Done,
    counts,
    numbers_side_by_side,
    read_done,
    same_unit,
    settings_that_differ,
    side_by_side,
)
from pipeline.sweep.points import Request, Settings
from pipeline.sweep.record import word_of
from pipeline.sweep.repository import files_of_revision
from programde.errors import InputError, OptionError, ProgramDEError
from programde.report.blocks import Block, Table
from programde.report.lettering import in_pictures
from programde.report.page import Section, render_page
from programde.report.pictures import drawn_or_missing
from programde.report.style import BLUE, GREEN, GREY, VERMILLION, new_figure, styled

FOLDER, PAGE = Path("reports/diff"), "index.html"
#: What each kind of test is called and drawn as.
LOOK = {
    "": ("no hit of either", "#C4C4C4", "o", 7),
    BOTH: ("hits of both", GREEN, "o", 16),
    LOST: ("lost: hits of the first alone", VERMILLION, "v", 26),
    WON: ("won: hits of the second alone", BLUE, "^", 26),
}


@contextlib.contextmanager
def found(root: Path, words: str) -> Iterator[Done]:
    """The run that some words mean.

    Raises
    ------
    InputError
        There is none.
    """
    if Path(words).is_dir():
        yield read_done(words, Path(words))
        return
    with tempfile.TemporaryDirectory() as folder:
        yield read_done(words, _fetched(root, words, Path(folder)))


def _fetched(root: Path, words: str, folder: Path) -> Path:
    """A run of a git revision, or of MLflow, as a folder."""
    needed = (Path("params.yaml"), paths.RESULTS, paths.METRICS)
    if files_of_revision(root, words, needed, folder):
        return folder
    from pipeline.sweep.tracking import Tracking  # takes a second

    register()
    settings = Settings(Request([], [], False), root / "conf")
    tracking = Tracking(root, **settings.tracking)
    if (run := tracking.found(words)) is not None:
        for name in needed:
            source = tracking.download(run, str(name))
            if source is not None:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(source.read_bytes())
        return folder
    raise InputError(
        f"{words} is no folder, no run in MLflow and no git revision with a run; "
        "sweeps/points/ID, the id or name of a run, or HEAD"
    )


def write_difference(one: Done, other: Done, folder: Path) -> dict[str, int]:
    """Write the page and its tables into `folder`; how many hits were lost, won and kept."""
    settings, tests = settings_that_differ(one, other), side_by_side(one, other)
    number = counts(tests)
    names = {"first": one.name, "second": other.name}
    shared = tests["effect_first"].notna() & tests["effect_second"].notna()
    with replacing_folder(folder) as temporary:
        write_table(settings, temporary / "settings.csv")
        write_table(tests, temporary / "tests.csv")
        sections = [
            Section(
                "What was asked",
                [Table(settings, "Settings that differ", "", names, limit=60)],
                anchor="settings",
            ),
            Section("Hits won and lost", _hit_tables(tests, names), _sentence(number), "hits"),
            Section(
                "Effects against each other",
                _effects(one, other, tests, temporary)
                if shared.any()
                else ["No test is in both runs: their targets or programs have other names."],
                anchor="effects",
            ),
            Section(
                "Numbers",
                [Table(numbers_side_by_side(one, other, HEADLINE), "", "", names, limit=60)],
                anchor="numbers",
            ),
        ]
        page = render_page(
            "What differs between two runs",
            f"{one.name} and {other.name}",
            word_of(other.numbers),
            {"settings that differ": str(len(settings))}
            | {f"hits {word}": str(n) for word, n in number.items()},
            sections,
            footer="Made by programDE from two runs.",
            question=f"Is {other.name} calibrated?",
        )
        write_text(temporary / PAGE, page)
    return number


def _sentence(number: dict[str, int]) -> str:
    return (
        f"{number[BOTH]:,} hits are of both, {number[LOST]:,} of the first alone (lost), "
        f"{number[WON]:,} of the second alone (won), each at its own false discovery rate."
    )


def _hit_tables(tests: pd.DataFrame, names: dict[str, str]) -> list[Block]:
    """Hits that are of one run alone, the surest first."""
    columns = [name for name in NAMES if name in tests]
    shown = [f"{what}_{end}" for what in ("effect", "q_value") for end in ("first", "second")]
    labels = {
        f"{what}_{end}": f"{said}, {names[end]}"
        for what, said in (("effect", "effect"), ("q_value", "q"))
        for end in ("first", "second")
    }
    formats = {c: "p" if c.startswith("q") else "signed" for c in shown}
    return [
        Table(
            tests[tests["hit"] == word].sort_values(by)[[*columns, *shown]],
            title,
            "",
            labels,
            formats,
            limit=15,
        )
        for word, title, by in (
            (LOST, f"Lost: hits of {names['first']} alone", "q_value_first"),
            (WON, f"Won: hits of {names['second']} alone", "q_value_second"),
        )
    ]


def _effects(one: Done, other: Done, tests: pd.DataFrame, folder: Path) -> list[Block]:
    """The picture of effects, and how they go together."""
    alike = same_unit(one, other)
    what = "effect" if alike else "effect over its standard error (the units differ)"
    x, y = (
        tests[f"effect_{end}"] if alike else tests[f"effect_{end}"] / tests[f"effect_se_{end}"]
        for end in ("first", "second")
    )
    how = "On the line both runs say the same. Named: hits of one run alone, the surest."
    picture = drawn_or_missing(
        "Effects of both runs",
        lambda: effects_figure(tests.assign(x=x, y=y), what, one.name, other.name),
        folder / "effects",
        how,
    )
    rank = x.corr(y, method="spearman")
    hits = tests["hit"] != ""
    opposite = int((np.sign(x[hits]) * np.sign(y[hits]) < 0).sum())
    return [picture, f"Rank correlation of all effects: {rank:.3f}. "
            f"Of {int(hits.sum()):,} hits {opposite:,} have opposite signs."]  # fmt: skip


@styled
def effects_figure(tests: pd.DataFrame, what: str, first: str, second: str) -> Figure:
    """Effects `x` of the first run against `y` of the second, hits of one alone coloured."""
    figure = new_figure(6.4, 5.8)
    ax = figure.subplots()
    for word, (said, colour, marker, size) in LOOK.items():
        part = tests[tests["hit"] == word]
        ax.scatter(part["x"], part["y"], s=size, color=colour, marker=marker, linewidths=0,
                   label=f"{said} ({len(part):,})", zorder=2 if word else 1)  # fmt: skip
    reach = 1.05 * float(np.nanmax(np.abs(tests[["x", "y"]].to_numpy()), initial=1e-12))
    ax.plot([-reach, reach], [-reach, reach], color=GREY, linewidth=0.8, zorder=0)
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach))
    ax.set_xlabel(f"{what}, {in_pictures(first, 40)}")
    ax.set_ylabel(f"{what}, {in_pictures(second, 40)}")
    alone = tests[tests["hit"].isin([LOST, WON])]
    surest = alone[["q_value_first", "q_value_second"]].min(axis=1).nsmallest(8).index
    for _, row in alone.loc[surest].iterrows():
        words = f"{in_pictures(row['target'], 20)} · {in_pictures(row['program'], 20)}"
        ax.annotate(words, (row["x"], row["y"]), (4, 4), textcoords="offset points", fontsize=7)
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def main() -> None:
    """Run the command line."""
    try:
        root = project_root()
        folder, runs = FOLDER, []
        for word in sys.argv[1:]:
            if word.startswith("out="):
                folder = Path(word.removeprefix("out="))
            elif word.startswith("-"):
                print(__doc__)
                sys.exit(0 if word in ("-h", "--help") else 1)
            else:
                runs.append(word)
        if len(runs) != 2:
            raise OptionError(f"{len(runs)} runs are named: python -m pipeline.diff A B takes two")
        with found(root, runs[0]) as one, found(root, runs[1]) as other:
            number = write_difference(one, other, folder)
            for key, first, second in settings_that_differ(one, other).itertuples(index=False):
                print(f"{key}: {first} -> {second}")
        print(f"hits: {number[BOTH]} of both, {number[LOST]} lost, {number[WON]} won")
        print(f"page: {folder / PAGE}")
    except ProgramDEError as error:
        print("diff:", " ".join(str(error).split()), file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
