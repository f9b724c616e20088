"""What came in, what could not be tested, how the numbers were made, and where the files are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import pandas as pd

from programde.report.blocks import Block, Link, Paste, Settings, Table
from programde.report.checked_tables import counted, tested_column
from programde.report.facts import Facts, installed_versions
from programde.report.findings import untested_by_reason
from programde.report.methods import methods_paragraph
from programde.report.page import Section
from programde.report.pictures import Pictures

#: The figures of the input report, in reading order, with their words.
NUMBERS = {
    "cells": "cells",
    "cells_without_guide": "... without a guide",
    "cells_with_one_guide": "... with one guide",
    "cells_with_one_target": "cells with one target (controls aside)",
    "cells_with_several_targets": "... with several targets",
    "cells_with_controls_only": "... with control guides only",
    "guides_per_cell_median": "guides per cell, median",
    "guides_per_cell_max": "guides per cell, most",
    "guides": "guides",
    "guides_without_target": "... without a target, not used",
    "guides_in_no_cell": "... found in no cell",
    "targets": "targets, controls among them",
    "treated_per_target_min": "treated cells per target, fewest",
    "treated_per_target_median": "treated cells per target, median",
    "programs": "programs",
    "usages_at_floor": "share of usages at the floor",
    "floor": "the floor",
    "covariate_columns": "columns of the covariates",
    "covariate_condition_number": "condition number of the covariates",
    "batches": "batches",
    "target_batch_pairs_without_treated": "targets x batches without a treated cell",
}


def came_in(facts: Facts, pictures: Pictures) -> Section:
    """The screen in numbers and in a picture, what deserves a look, what was changed."""
    numbers = facts.inputs.numbers
    known = {words: _number(key, numbers[key]) for key, words in NUMBERS.items() if key in numbers}
    blocks: list[Block] = [*pictures.some("inputs"), Settings("In numbers", known, unfolded=True)]
    remarks = list(facts.inputs.remarks)
    if facts.units is not None:
        blocks.append(_behind_each_test(facts.units))
        remarks += _separated(facts.units)
    if remarks:
        blocks += ["Worth a look:", remarks]
    if facts.inputs.notes:
        blocks += ["Changed on the way in, on your behalf:", list(facts.inputs.notes)]
    else:
        blocks.append("Nothing was changed on the way in.")
    return Section("What came in", blocks, anchor="inputs")


def _number(key: str, value: float) -> str:
    if key == "usages_at_floor":
        return f"{value:.1%}".replace("%", " %")
    return f"{value:,}" if isinstance(value, int) or value >= 1000 else f"{value:.3g}"


def _behind_each_test(units: pd.DataFrame) -> Table:
    """What stands behind each test, the doubtful ones first."""
    shown = units.sort_values(["note", "n_treated"], ascending=[False, True], kind="stable")
    columns = ["condition", "guide", "target", "n_treated", "batches", "batches_left_out"]
    columns += ["highest_probability", "note"]
    return Table(
        shown[[c for c in columns if c in shown and (shown[c].fillna("") != "").any()]],
        "What stands behind each test",
        "Batches without a treated cell are left out of a test. The highest fitted "
        "probability of treatment tells whether treated cells have any like them among the "
        "controls: at 1 they have none.",
        {
            "n_treated": "treated cells",
            "batches_left_out": "batches left out",
            "highest_probability": "highest probability",
        },
        {"highest_probability": "number"},
        limit=6,
    )


def _separated(units: pd.DataFrame) -> list[str]:
    """Remarks on targets whose treated cells have no like among the controls, and on batches."""
    remarks = []
    of = tested_column(units)
    separated = units[units["note"].fillna("") != ""]
    if len(separated):
        names = separated[of].astype(str)
        levels = separated["condition"].fillna("").astype(str)
        names = names.where(levels == "", names + " in " + levels)
        first = ", ".join(names.head(5)) + (" ..." if len(names) > 5 else "")
        remarks.append(
            f"{len(separated)} of {len(units)} {of}s are separated from their controls by the "
            f"covariates: {first}"
        )
    left_out = int((units["batches_left_out"] > 0).sum())
    if left_out:
        remarks.append(f"batches were left out of the tests of {left_out} of {len(units)} {of}s")
    return remarks


def untested(facts: Facts) -> Section:
    """What could not be tested, and why."""
    results = facts.results
    missing = int(results["p_value"].isna().sum())
    title = "What could not be tested"
    if not missing:
        return Section(title, [], f"All {len(results):,} tests were done.", "untested")
    lead = f"{missing:,} of {counted(len(results), 'test')} could not be done: no p-value."
    return Section(title, [Table(untested_by_reason(results))], lead, "untested")


def made(facts: Facts) -> Section:
    """How the numbers were made."""
    note = "For a methods section; the provenance changes with configuration, input and versions."
    blocks: list[Block] = [Paste("Methods, to be pasted", methods_paragraph(facts), note)]
    given = facts.fingerprint
    if given:
        values = given if isinstance(given, Mapping) else {"input": given}
        blocks.append(Settings("Input fingerprint", values, unfolded=True))
    if facts.settings:
        blocks.append(Settings("Configuration", facts.settings))
    blocks.append(Settings("Versions", installed_versions()))
    lead = "The same configuration, versions and input give the same numbers."
    return Section("How this was made", blocks, lead, "made")


def files(facts: Facts, folder: Path) -> list[Section]:
    """Where the tables are, as seen from the page's folder."""
    if not facts.files:
        return []
    rows = []
    for path, what in facts.files.items():
        seen = _seen_from(folder, path)
        beside = seen != path or not Path(path).is_absolute()
        rows.append({"file": Link(seen, quote(seen)) if beside else seen, "holds": what})
    lead = "They lie beside this page; sent alone, it holds the numbers of its tables itself."
    return [Section("Files", [Table(pd.DataFrame(rows), limit=200)], lead, "files")]


def _seen_from(folder: Path, path: str) -> str:
    """The path as seen from a folder, where it lies below it."""
    full, base = Path(path).resolve(), folder.resolve()
    return str(full.relative_to(base)) if full.is_relative_to(base) else str(path)
