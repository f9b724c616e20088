"""The verdict over a sweep: which setting is calibrated, and finds most?

Settings are ranked first by the verdict on their control groups (calibrated, then too few controls
to tell, then conservative, then inflated), then by the share of known effects in control cells that
they find: see `ranking_table`. Everything is read from MLflow, so points that were added later, one
by one or by another sweep, take part.

    python -m pipeline.sweep.ranking              all points on the data of the newest one
    python -m pipeline.sweep.ranking sweep=ID     those of one sweep (id of its MLflow run)

Each answer has a folder of its own in reports/sweep, whose index lists them, newest first; that of
a sweep is also kept with its run in MLflow.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.config.params import project_root
from pipeline.config.schema import register
from pipeline.files import read_json, replacing_folder, write_json, write_table, write_text
from pipeline.sweep.choosing_k import read_choice
from pipeline.sweep.points import Request, Settings
from pipeline.sweep.ranking_page import PAGE, leading_to, overall, write_page
from pipeline.sweep.ranking_table import Ranking, read
from pipeline.sweep.tracking import (
    ANSWER,
    DATASET_TAG,
    SWEEP_TAG,
    Tracking,
    folder_of,
)
from programde.errors import OptionError, ProgramDEError
from programde.report.blocks import Link, Table
from programde.report.page import Section, render_page
from programde.report.verdict import Verdict

FOLDER = Path("reports/sweep")
TABLE = "ranking.csv"
HITS = "hits.csv"
FAMILIES, MEMBERS, CHOICE = "families.csv", "family_members.csv", "choice_of_k.csv"
#: What the index says of an answer.
ABOUT = "sweep.json"


def rank(root: Path, tracking: Tracking, parent: str | None = None) -> Path:
    """Rank points and write the verdict into a folder of reports/sweep; the path of its page.

    Parameters
    ----------
    parent
        Run of the sweep whose points are ranked; None for all points on the newest one's data.

    Raises
    ------
    OptionError
        There is no finished point.
    """
    ranking = read(tracking, parent)
    choice = read_choice(tracking, ranking)
    sweep = None if parent is None else tracking.run(parent)
    folder = root / FOLDER / _name(ranking, sweep)
    about = _about(ranking, sweep)
    with replacing_folder(folder) as temporary:
        write_table(ranking.table, temporary / TABLE)
        if ranking.hits is not None:
            write_table(ranking.hits, temporary / HITS)
        if choice is not None:
            write_table(choice.table, temporary / CHOICE)
            if choice.families is not None and choice.members is not None:
                write_table(choice.families, temporary / FAMILIES)
                write_table(choice.members, temporary / MEMBERS)
        page = write_page(ranking, temporary, choice)
        write_json(temporary / ABOUT, about)
    write_index(root / FOLDER)
    if sweep is not None:
        with tempfile.TemporaryDirectory() as temporary_copy:
            copy = Path(temporary_copy) / ANSWER
            shutil.copytree(folder, copy)
            kept = folder_of(sweep)
            if kept is not None:
                write_text(copy / PAGE, leading_to(page, ranking, kept / ANSWER))
            tags = {"verdict": about["verdict"], "recommendation": about["sentence"]}
            tracking.keep_answer(sweep.info.run_id, copy, tags)
    return folder / PAGE


def _name(ranking: Ranking, sweep: Any | None) -> str:
    """The folder of an answer: what the sweep is called, and what identifies it."""
    if sweep is None:
        newest = max(ranking.records.values(), key=lambda run: run.info.start_time)
        return f"all-{newest.data.tags.get(DATASET_TAG, 'points')[:6]}"
    words = re.sub(r"[^A-Za-z0-9._=-]+", "-", ranking.title)[:60].strip("-.")
    return f"{words or 'sweep'}-{sweep.data.tags.get(SWEEP_TAG, sweep.info.run_id)[:6]}"


def _about(ranking: Ranking, sweep: Any | None) -> dict[str, Any]:
    """What the index says of an answer."""
    verdict = overall(ranking)
    tags = {} if sweep is None else sweep.data.tags
    return {
        "title": ranking.title,
        "when": time.strftime("%Y-%m-%d %H:%M"),
        "command": tags.get("programde.command", "python -m pipeline.sweep.ranking"),
        "settings": len(ranking.table),
        "without_result": len(ranking.failed),
        "verdict": verdict.word,
        "sentence": verdict.sentence,
    }


def write_index(folder: Path) -> None:
    """List the answers in a folder, newest first, on a page of their own."""
    listed = []
    for file in folder.glob(f"[!.]*/{ABOUT}"):
        listed.append({**read_json(file), "folder": file.parent.name})
    listed.sort(key=lambda about: (about["when"], about["folder"]), reverse=True)
    if not listed:
        return
    rows = [
        {
            "sweep": Link(about["title"], f"{about['folder']}/{PAGE}"),
            "when": about["when"],
            "settings": about["settings"],
            "without a result": about["without_result"],
            "verdict": about["verdict"],
            "what it says": about["sentence"],
        }
        for about in listed
    ]
    newest = listed[0]
    table = Table(pd.DataFrame(rows), "Newest first", limit=200)
    page = render_page(
        "Sweeps",
        f"The newest: {newest['title']}",
        Verdict(newest["verdict"], newest["sentence"]),
        {"sweeps": str(len(listed))},
        [Section("All sweeps", [table], anchor="sweeps")],
        footer="Made by programDE from the folders beside this page.",
        question="Is the first setting of the newest sweep calibrated?",
    )
    write_text(folder / PAGE, page)


def main() -> None:
    """Run the command line."""
    register()
    try:
        root = project_root()
        parent = None
        for argument in sys.argv[1:]:
            if not argument.startswith("sweep="):
                raise OptionError(f"{argument} is not an option; valid: sweep=ID")
            parent = argument.removeprefix("sweep=")
        settings = Settings(Request([], [], False), root / "conf")
        print(f"ranking: {rank(root, Tracking(root, **settings.tracking), parent)}")
    except ProgramDEError as error:
        print("ranking:", " ".join(str(error).split()), file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
