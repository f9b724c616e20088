"""What a call, a control and a source is, from the command line."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from programde.crt.results import CRTResult
from programde.screen.store import load_screen

from .stages import project_folder, run_stage

TARGETS = ["A", "A", "B", "B", "NTC_1", "NTC_2", "NTC_3", "NTC_4"]
QUICK = ("n_resamples=19", "usage=fixed", "usage.eps=1e-4")


@pytest.fixture
def counts(tmp_path: Path) -> tuple[Path, np.ndarray, list[str]]:
    """A zarr store of a screen with UMI counts as guides, the calls, and the words that name it."""
    rng = np.random.default_rng(5)
    n = 400
    held = rng.integers(8, size=n)
    calls = np.zeros((n, 8), dtype=bool)
    calls[np.arange(n), held] = True
    umi = np.where(calls, rng.integers(20, 90, calls.shape), rng.random(calls.shape) < 0.3)
    guides = [f"g{j}" for j in range(8)]
    names = [f"c{i}" for i in range(n)]
    adata = AnnData(
        obs=pd.DataFrame(index=names),
        obsm={
            "cnmf_usage": rng.dirichlet(np.ones(3), n),
            "covar": pd.DataFrame({"depth": rng.normal(size=n)}, index=names),
            "guide_assignment": sparse.csr_matrix(umi.astype(np.float32)),
        },
        uns={"guide_names": np.array(guides, object), "guide_targets": np.array(TARGETS, object)},
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of zarr, about itself
        adata.write_zarr(tmp_path / "s.zarr")
    return tmp_path, calls, ["data=h5ad", f"data.path={tmp_path}/s.zarr", *QUICK]


@pytest.mark.slow
@pytest.mark.filterwarnings("default::programde.errors.ProgramDEWarning")
def test_counts_and_labels_are_told_and_settled(
    counts: tuple[Path, np.ndarray, list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    where, calls, words = counts
    folder = project_folder(where / "project")
    run_stage(monkeypatch, folder, "prepare", *words, "data.ntc_labels=[NTC_1]")
    told = capfd.readouterr().err
    assert "holds counts, not calls of 0 and 1" in told
    assert told.count("3 target(s) are named like controls and are not in ntc_labels: NTC_2") == 1
    assert "ntc_labels=['NTC_1', 'NTC_*']" in told
    words += ["data.guide_threshold=20", "data.guide_absent_below=1", "data.ntc_labels=[NTC_*]"]
    run_stage(monkeypatch, folder, "prepare", *words)
    assert "warning" not in capfd.readouterr().err
    screen = load_screen(folder / "data" / "screen")
    np.testing.assert_array_equal(screen.guides.toarray(), calls)
    assert screen.ambiguous is not None
    assert screen.ambiguous.nnz > 0
    burden = screen.covariate_table["log1p_non_ntc_guides_per_cell"]  # type: ignore[index]
    np.testing.assert_allclose(burden, np.log1p(calls[:, :4].sum(axis=1)))


@pytest.mark.slow
def test_patterns_hold_in_the_stages_after(
    counts: tuple[Path, np.ndarray, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    where, _, words = counts
    found = []
    for name, labels in (("pattern", "NTC_*"), ("names", "NTC_1,NTC_2,NTC_3,NTC_4")):
        folder = project_folder(where / name)
        given = [*words, "data.guide_threshold=20", f"data.ntc_labels=[{labels}]"]
        given += ["analysis.control=nt_cells"]
        for stage in ("prepare", "crt"):
            run_stage(monkeypatch, folder, stage, *given)
        found.append(CRTResult.load(folder / "data" / "crt"))
    pattern, names = found
    assert pattern.units == names.units == ["A", "B"]
    np.testing.assert_array_equal(pattern.effect, names.effect)
    np.testing.assert_array_equal(pattern.n_control, names.n_control)
