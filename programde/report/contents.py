"""What the report is made of, and in which order it is told."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import pandas as pd

from pipeline.stages.paths import ACROSS, GUIDES, METRICS, OMNIBUS, RESULTS, RESULTS_CSV, UNITS
from programde.report import sections
from programde.report.checked_tables import tested_column
from programde.report.pictures import Pictures
from programde.report.run_page import Report
from programde.screen.screen import Screen

PACKAGES = ("programde", "numpy", "scipy", "pandas", "numba", "scikit-learn", "anndata")
BESIDE = ("compute", "inputs", "tracking")
FILES = {
    RESULTS_CSV: "every target x program",
    RESULTS: "the same, as parquet",
    OMNIBUS: "every target: does it shift any program?",
    GUIDES: "every target x program: do its guides agree?",
    UNITS: "every target: its cells, its batches, separation",
    ACROSS: "every target x program over all conditions, where there are several",
    METRICS: "the numbers of this page",
}


@dataclass
class Facts:
    """All that the report is made from."""

    screen: Screen
    results: pd.DataFrame
    omnibus: pd.DataFrame
    across: pd.DataFrame
    guides: pd.DataFrame
    units: pd.DataFrame
    control: dict[str, str]
    controls: dict[str, pd.DataFrame]
    group_size: int
    metrics: dict[str, dict[str, Any]]
    used: str
    truth: pd.DataFrame | None
    truth_metrics: dict[str, Any] | None
    crossfit: dict[str, Any] | None
    why_no_crossfit: str
    input_summary: dict[str, Any]
    input_targets: pd.DataFrame
    input_programs: pd.DataFrame
    options: dict[str, Any]
    level: float

    def by_condition(self, table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
        """The parts of a table, one for each level of the condition; none without a condition."""
        if "condition" not in self.results:
            return []
        return [(str(level), part) for level, part in table.groupby("condition", sort=True)]


def compose_page(facts: Facts, pictures: Pictures) -> Report:
    """The page, ready to be written."""
    numbers = facts.input_summary["numbers"]
    data = facts.options["data"]
    tested = tested_column(facts.units)
    return Report(
        title="Which target shifts which program?",
        subtitle=sections.compared_with(facts),
        warnings=sections.warnings(facts),
        results=facts.results,
        metrics=facts.metrics,
        kind=facts.used,
        judgement=sections.judgement(facts),
        picture=pictures.get("qq_ntc"),
        facts={
            "cells": int(numbers["cells"]),
            "programs": int(numbers["programs"]),
            f"{tested}s tested": int(facts.units[tested].nunique()),
        },
        omnibus=facts.omnibus.sort_values("p_acat", kind="stable"),
        evidence=sections.evidence(facts, pictures),
        findings=sections.findings(pictures),
        truth=pictures.some("truth"),
        truth_metrics=facts.truth_metrics,
        inputs=sections.inputs(facts, pictures),
        notes=list(facts.screen.notes),
        more=[
            *sections.conditions(facts, pictures),
            *sections.guides(facts),
            sections.held_out(facts, pictures),
        ],
        settings={key: facts.options[key] for key in facts.options if key not in BESIDE},
        versions={"python": platform.python_version(), **_versions()},
        fingerprint=data.get("fingerprint") or f"built-in screen, seed {data.get('seed')}",
        files={str(path): holds for path, holds in FILES.items()},
        level=facts.level,
    )


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
