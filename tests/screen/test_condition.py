"""The condition by which an analysis is repeated: found, checked, stored."""

from __future__ import annotations

import numpy as np
import pytest

from programde.errors import InputError
from programde.screen.readers.anndata import read_h5ad, screen_from_anndata
from programde.screen.store import load_screen, save_screen
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
