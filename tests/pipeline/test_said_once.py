"""A warning that every stage could repeat is said by the first, and kept for the report."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.stages import entry
from programde.screen.store import load_screen

from .stages import project_folder, run_stage

WORDS = (
    "data.N=400", "data.K=4", "data.n_target_genes=6", "data.guides_per_gene=2",
    "data.moi_mean=2.0", "data.ntc_labels=[GENE0]", "n_resamples=19", "spikes.n_sets=0",
    "controls.n_partitions=1", "report.n_boot=20",
    "covariates.add_intercept=false", "covariates.formula=linear", "covariates.standardize=false",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.brief
@pytest.mark.filterwarnings("always::programde.errors.ProgramDEWarning")
def test_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = project_folder(tmp_path)
    heard: dict[str, list[str]] = {}
    for stage in ("prepare", "crt", "ntc_null"):
        monkeypatch.setattr(entry, "_told", set())  # each stage is a process of its own
        run_stage(monkeypatch, folder, stage, *WORDS)
        lines = capsys.readouterr().err.splitlines()
        heard[stage] = [line for line in lines if line.startswith("warning:")]
    near = [line for line in heard["prepare"] if "named like controls" in line]
    assert len(near) == 1
    assert near[0].removeprefix("warning: ") in load_screen(folder / "data" / "screen").notes
    everything = [line for lines in heard.values() for line in lines]
    assert len(everything) == len(set(everything)), everything
