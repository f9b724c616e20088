"""Names that look like numbers or like nothing go through all stages as they are."""

from __future__ import annotations

import runpy
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest

from pipeline import export
from pipeline.files import read_table, write_table

from .stages import ROOT, STAGES, project_folder, run_stage
from .test_report_contents import QUICK, one_guide_screen

#: A gene's Entrez number, a word that pandas reads as missing, and what pictures, pages and
#: spreadsheets take for something else.
LONG = "<script>alert('$') " + "long " * 60
TARGETS = {"T0": "NA", "T1": "7157", "T2": "=$\\frac$_%\"'", "T3": f"{LONG}\u05d0\U0001f9ec"}
DAYS = {"day 0": "NA", "day 3": "1e3"}
PROGRAMS = ["1", "2", "3", "10", "01"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project with a screen of such names."""
    screen = one_guide_screen()
    screen.obs["day"] = [DAYS[day] for day in screen.obs["day"]]
    usage = screen.obsm["cnmf_usage"]
    screen.obsm["cnmf_usage"] = pd.DataFrame(usage, screen.obs_names, PROGRAMS)
    guides = screen.uns["guide2gene"]
    screen.uns["guide2gene"] = {g: TARGETS.get(target, target) for g, target in guides.items()}
    made = project_folder(tmp_path / "project")
    screen.write_h5ad(made / "screen.h5ad")
    return made


@pytest.mark.slow
@pytest.mark.parametrize("by_condition", [False, True])
def test_names_stay_as_they_are(
    folder: Path, by_condition: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [f"data.path={folder}/screen.h5ad"]
    if by_condition:
        words += ["analysis.by_condition=true", "data.condition_key=day"]
    for stage in STAGES:
        run_stage(monkeypatch, folder, stage, *QUICK, *words)
    reports = folder / "reports"
    results = read_table(reports / "results.csv")
    assert list(dict.fromkeys(results["target"])) == list(TARGETS.values())
    assert list(dict.fromkeys(results["program"])) == PROGRAMS
    best = results.loc[results["p_value"].idxmin()]
    assert (best["target"], best["program"]) == ("NA", "1")
    page = (reports / "index.html").read_text(encoding="utf-8")
    alone = page[page.index("Hits carried by one guide") : page.index("All hits, the least")]
    assert "<td>NA</td>" in alone
    assert "T0g0" in alone
    if by_condition:
        assert set(results["condition"]) == set(DAYS.values())
        assert "In NA" in page
        across = read_table(reports / "across_conditions.csv")
        assert set(across["target"]) == set(TARGETS.values())
    assert "<script>alert" not in page
    assert "could not be drawn" not in page
    monkeypatch.chdir(folder)
    assert export.main(["spreadsheet"]) == 0
    neutral = read_table(reports / "results_spreadsheet.csv")
    assert list(neutral["target"].unique()) == [
        f"'{t}" if t.startswith("=") else t for t in TARGETS.values()
    ]
    pd.testing.assert_frame_equal(
        neutral.drop(columns="target"), results.drop(columns="target"), check_exact=True
    )
    written_back(folder)


def written_back(folder: Path) -> None:
    code = runpy.run_path(str(ROOT / "scripts" / "write_back.py"))
    target = folder / "out.h5ad"
    arguments = [f"{folder}/screen.h5ad", str(target), "--reports", str(folder / "reports")]
    assert code["main"](arguments) == 0
    omnibus = anndata.read_h5ad(target).uns["programde_omnibus"]
    assert set(omnibus["target"]) == set(TARGETS.values())
    assert set(omnibus.loc[omnibus["target"] == "NA", "top_program"]) == {"1"}


def test_tables_come_back_equal(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "target": ["NA", "007", None],
            "program": ["1", "1e3", "null"],
            "p_value": [0.1 + 0.2, np.nan, 1e-300],
            "n_treated": [1, 2, 3],
        }
    )
    for name in ("t.csv", "t.parquet"):
        write_table(table, tmp_path / name)
        back = read_table(tmp_path / name)
        pd.testing.assert_frame_equal(back, table, check_exact=True)
