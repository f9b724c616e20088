"""A screen that stays on disk through all stages: what comes out is that of the one in memory."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import programde.crt.gathering as gathering
import programde.crt.study as study
from pipeline.config.explain import compose_config
from pipeline.config.resolve import resolve
from pipeline.config.schema import register
from programde.crt.gathering import groups_of
from programde.errors import InputError, OptionError
from programde.screen.chosen import is_stored, row_bytes
from tests.sharing import made_once, shared_folder

from .conftest import render_nothing
from .wires import TESTED, WORDS, wired_screen
from .wiring import ROOT, Run, call, first_run, run_again, set_keys

pytestmark = [pytest.mark.slow, pytest.mark.wiring]

STAGES = (*TESTED, "diagnostics")
MORE = ("analysis.control=nt_cells", "spikes.n_sets=3", "spikes.n_unspiked_sets=4",
        "spikes.fold_changes=[1.5,3.0]", "fdr.level=0.5")  # fmt: skip
TABLES = (
    "data/input_report/targets.parquet", "data/input_report/programs.parquet",
    "data/input_report/covariate_check_targets.parquet",
    "data/input_report/covariate_check_programs.parquet", "data/crt/guide_effects.parquet",
    "reports/guide_concordance.csv", "reports/units.csv", "reports/results.parquet",
    "reports/omnibus.csv", "data/ntc_p_values.parquet", "data/ntc_guide_p_values.parquet",
    "data/spikes/table.parquet", "data/crossfit/meta/pvals_real.parquet", "reports/power.csv",
)  # fmt: skip
#: For `test_wiring`.
WIRED = {"compute.memory"}
#: What takes no such room as a screen, and what Python and the libraries take.
NOTHING, ENOUGH = "compute.memory=1KB", "compute.memory=400MB"


def run_both(folder: Path) -> None:
    """All stages on the same screen, in memory and on disk; and the cells of the groups."""
    folder.mkdir(parents=True)
    adata = wired_screen()
    adata.obsm["cnmf_usage"] = adata.obsm["cnmf_usage"].astype(np.float32)
    adata.write_h5ad(folder / "screen.h5ad")
    words = (*WORDS, *MORE, f"data.path={folder / 'screen.h5ad'}")
    groups = []

    def in_parts(screen, units, control, room, n_jobs):
        room = (int(control.cells.sum()) + 70) * row_bytes(screen)
        for group in groups_of(screen, units, control, room, n_jobs):
            groups.append(group.screen.n_cells)
            yield group

    with pytest.MonkeyPatch.context() as patch:
        render_nothing(patch)
        first_run(folder / "held", words, STAGES)
        patch.setattr(gathering, "TOGETHER", 1)
        patch.setattr(study, "groups_of", in_parts)
        first_run(folder / "stored", (*words, NOTHING), ["prepare"])
        set_keys(folder / "stored", [ENOUGH])
        for stage in STAGES[1:]:
            call(folder / "stored", stage)
    (folder / "groups.json").write_text(json.dumps(groups))


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> tuple[Run, Run, list[int]]:
    """What `run_both` makes."""
    place = shared_folder(tmp_path_factory, "stored") / "runs"
    made_once(place, lambda: run_both(place))
    groups = json.loads((place / "groups.json").read_text())
    return Run(place / "held"), Run(place / "stored"), groups


def test_it_stays_on_disk_and_is_tested_in_groups(runs):
    held, stored, groups = runs
    assert is_stored(stored.screen)
    assert not is_stored(held.screen)
    assert stored.screen.usage.source.dtype == np.float32
    assert len(groups) > 4
    assert max(groups) < held.screen.n_cells
    assert any("stay on disk" in note for note in stored.screen.notes)
    assert "stay on disk" in (stored.folder / "reports/index.html").read_text(encoding="utf-8")


def test_every_table_is_the_same(runs):
    held, stored, _ = runs
    for name in TABLES:
        one, other = stored.table(name), held.table(name)
        pd.testing.assert_frame_equal(one, other, rtol=1e-8, atol=1e-10, obj=name)


def test_numbers_of_the_report_are_the_same(runs):
    held, stored, _ = runs
    for name in ("reports/metrics.json", "data/input_report/summary.json", "data/control.json"):
        one, other = (json.dumps(run.json(name), sort_keys=True) for run in (stored, held))
        for a, b in zip(one.split(), other.split(), strict=True):
            assert a == b or float(a.strip(",}")) == pytest.approx(float(b.strip(",}")), rel=1e-8)
    pages = [
        (run.folder / "reports/index.html").read_text(encoding="utf-8") for run in (held, stored)
    ]
    counts = [page.count('"usage":{"treated"') for page in pages]
    assert counts[0] == counts[1] > 0


def test_the_complement_that_does_not_fit_is_refused_at_once(runs, tmp_path):
    stored = runs[1]
    with pytest.raises(InputError, match=r"compares with all 500 cells, which takes 0\.3 GB, and"):
        run_again(stored.folder, tmp_path / "run",
                  ["analysis.control=complement", "compute.memory=100MB"])  # fmt: skip


def test_memory_reruns_nothing_and_changes_no_result(runs, tmp_path):
    held = runs[0]
    assert run_again(held.folder, tmp_path / "a", ["compute.memory=2GB"])[0].executed == ()
    after, changed = run_again(held.folder, tmp_path / "b", ["compute.memory=2GB"], always=True)
    assert (after.executed, changed) == (TESTED, set())


def test_what_is_no_amount_is_refused_when_it_is_composed():
    register()
    with pytest.raises(OptionError, match=r"compute\.memory='much' is no amount of memory"):
        resolve(compose_config(ROOT / "conf", ["compute.memory=much"]))
