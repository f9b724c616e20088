"""The condition by which an analysis is repeated: found, checked, stored."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from programde.errors import InputError, ProgramDEWarning
from programde.io.anndata import read_h5ad, screen_from_anndata
from programde.io.cnmf import read_cnmf
from programde.io.guide_tables import read_guide_tables
from programde.io.mudata import read_h5mu
from programde.screen.store import load_screen, save_screen
from tests.io.conversions import (
    guide_modality,
    one_modality,
    program_names,
    write_cnmf,
    write_tables,
)
from tests.io.test_readers import COLUMNS, ORDER, SAME, write_h5mu
from tests.screen.small_screens import small_adata


def with_condition():
    adata = small_adata()
    adata.obs["stage"] = np.where(np.arange(adata.n_obs) % 3 == 0, "early", "late")
    return adata


def test_condition_is_found_in_obs_and_survives_storing(tmp_path):
    adata = with_condition()
    screen = screen_from_anndata(adata, condition_key="stage")
    assert list(screen.condition) == list(adata.obs["stage"])
    save_screen(screen, tmp_path / "screen")
    assert list(load_screen(tmp_path / "screen").condition) == list(screen.condition)
    adata.write_h5ad(tmp_path / "a.h5ad")
    assert list(read_h5ad(tmp_path / "a.h5ad", condition_key="stage").condition) == list(
        screen.condition
    )


def test_the_condition_of_cells_that_are_dropped_goes_with_them():
    adata = with_condition()
    adata.obsm["cnmf_usage"][[0, 7]] = 0
    with pytest.warns(ProgramDEWarning, match="dropped"):
        screen = screen_from_anndata(adata, condition_key="stage", on_empty="drop")
    assert list(screen.condition) == list(np.delete(adata.obs["stage"].to_numpy(), [0, 7]))


def test_condition_may_be_a_covariate_and_is_absent_unless_asked_for():
    adata = with_condition()
    assert screen_from_anndata(adata).condition is None
    screen = screen_from_anndata(adata, condition_key="batch")
    assert list(screen.condition) == list(screen.batch)


def test_a_condition_that_is_nowhere_or_has_gaps_is_refused():
    adata = with_condition()
    with pytest.raises(InputError, match=r"condition_key='stag'.*did you mean 'stage'"):
        screen_from_anndata(adata, condition_key="stag")
    adata.obs["stage"] = adata.obs["stage"].where(adata.obs["stage"] == "early")
    with pytest.raises(InputError, match="condition column 'stage'"):
        screen_from_anndata(adata, condition_key="stage")


@pytest.mark.slow
@pytest.mark.brief
def test_every_source_finds_the_same_condition_without_making_it_a_covariate(tmp_path):
    adata = with_condition()
    expected = list(adata.obs["stage"])
    plain = screen_from_anndata(adata)
    by = {"condition_key": "stage"}

    parts = one_modality(adata, SAME)
    parts["cNMF"].obs = parts["cNMF"].obs.assign(stage=expected)
    here = read_h5mu(write_h5mu(parts, tmp_path / "here.h5mu"), **by, **COLUMNS)
    parts = one_modality(adata, SAME)
    parts["rna"] = parts["rna"][ORDER].copy()
    parts["rna"].obs["stage"] = np.array(expected)[ORDER]
    there = read_h5mu(write_h5mu(parts, tmp_path / "there.h5mu"), **by, **COLUMNS)
    parts = guide_modality(adata, ORDER)
    parts["guide"].obs["stage"] = np.array(expected)[ORDER]
    keys = {"usage_modality": "gene", "usage_key": "cnmf_usage", "guide_layer": "assigned"}
    apart = read_h5mu(write_h5mu(parts, tmp_path / "apart.h5mu"), **by, **keys)

    adata.write_h5ad(tmp_path / "a.h5ad")
    write_cnmf(adata, tmp_path, ORDER, "k_4.dt_0_5")
    cnmf = read_cnmf(tmp_path, 4, 0.5, screen=tmp_path / "a.h5ad", **by)

    adata.obsm["covar"] = adata.obsm["covar"].assign(stage=expected)
    tables = write_tables(adata, tmp_path, ORDER)
    usage = pd.DataFrame(adata.obsm["cnmf_usage"], adata.obs_names, program_names(adata))
    long = read_guide_tables(usage, **tables, **by, **COLUMNS, guide_threshold=2)
    for screen in (here, there, apart, long):
        assert list(screen.condition) == expected
        np.testing.assert_allclose(screen.covariates, plain.covariates, atol=1e-12)
    assert list(cnmf.condition) == list(np.array(expected)[ORDER])
    with pytest.raises(InputError, match=r"no obs table has a column 'stag'.*did you mean"):
        read_h5mu(tmp_path / "here.h5mu", condition_key="stag", **COLUMNS)


def test_cells_without_a_condition_are_missing_cells(tmp_path):
    adata = with_condition()
    parts = one_modality(adata, SAME)
    parts["rna"] = parts["rna"][:50].copy()
    parts["rna"].obs["stage"] = adata.obs["stage"].iloc[:50]
    path = write_h5mu(parts, tmp_path / "s.h5mu")
    with pytest.raises(InputError, match="10 of 60 in usages of modality 'cNMF'"):
        read_h5mu(path, condition_key="stage", **COLUMNS)
    with pytest.warns(ProgramDEWarning, match="50 cells matched"):
        screen = read_h5mu(path, condition_key="stage", on_missing="drop", **COLUMNS)
    assert list(screen.condition) == list(adata.obs["stage"].iloc[:50])
