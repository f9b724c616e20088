import numpy as np
import pytest

from programde.errors import ProgramDEWarning
from programde.io.anndata import screen_from_anndata
from programde.screen.input_report import at_floor, condition_number, input_report
from tests.screen.small_screens import small_adata


def test_figures_equal_direct_counts():
    adata = small_adata(n=200)
    usage = adata.obsm["cnmf_usage"]
    usage[np.random.default_rng(0).random(usage.shape) < 0.3] = 0
    usage[:, 0] += 0.1
    usage /= usage.sum(axis=1, keepdims=True)
    with pytest.warns(ProgramDEWarning, match="exact zeros"):
        screen = screen_from_anndata(adata)
    report = input_report(screen)
    G = adata.obsm["guide_assignment"].toarray() > 0
    batch = adata.obsm["covar"]["batch"].to_numpy()
    for j, row in enumerate(report.targets.itertuples()):
        treated = G[:, 2 * j] | G[:, 2 * j + 1]
        assert (row.n_treated, row.n_control) == (treated.sum(), 200 - treated.sum())
        share = G[:, 2 * j : 2 * j + 2].sum(axis=0).max() / treated.sum()
        assert row.largest_guide_share == share
        for level in "ABC":
            assert report.batches.loc[row.target, level] == (treated & (batch == level)).sum()
    assert report.targets["is_control"].tolist() == [False, False, True]
    np.testing.assert_array_equal(at_floor(screen), usage <= screen.floor)
    np.testing.assert_allclose(report.programs["at_floor"], (usage <= screen.floor).mean(axis=0))
    numbers = report.numbers
    assert numbers["guides_per_cell_mean"] == G.sum(axis=1).mean()
    assert numbers["cells_without_guide"] == (G.sum(axis=1) == 0).sum()
    assert numbers["batches"] == 3
    assert report.remarks == []


def test_covariate_r2_equals_one_minus_residual_over_total():
    screen = screen_from_anndata(small_adata(n=200))
    y = screen.clr[:, 1]
    residual = np.linalg.lstsq(screen.covariates, y)[1][0]
    expected = 1 - residual / ((y - y.mean()) ** 2).sum()
    assert input_report(screen).programs["covariate_r2"][1] == pytest.approx(expected, abs=1e-12)


def test_condition_number_does_not_depend_on_units():
    C = np.random.default_rng(1).normal(size=(50, 3))
    assert condition_number(C * [1, 1e6, 1e-6]) == pytest.approx(condition_number(C))
    unit = C / np.linalg.norm(C, axis=0)
    assert condition_number(C) == pytest.approx(np.linalg.cond(unit))
    assert condition_number(np.empty((5, 0))) == 1


def test_remarks():
    adata = small_adata()
    G = adata.obsm["guide_assignment"].toarray()
    in_c = (adata.obsm["covar"]["batch"] == "C").to_numpy()
    G[:, :2] = 0
    G[np.flatnonzero(~in_c)[:5], 0] = 1
    adata.obsm["guide_assignment"] = G
    adata.uns["guide2gene"] = {f"g{j}": f"T{j // 2}" for j in range(6)}
    remarks = " | ".join(input_report(screen_from_anndata(adata)).remarks)
    assert "1 of 3 targets have fewer than 10 treated cells" in remarks
    assert "no target is named like a non-targeting control" in remarks
    assert "1 targets have over 80 % of their cells from one guide" in remarks
    assert "1 targets have no treated cell in at least one batch" in remarks


def test_a_screen_without_covariates_is_remarked_on():
    screen = screen_from_anndata(small_adata(), covar_key=None)
    assert "there are no covariates" in input_report(screen).remarks[0]
