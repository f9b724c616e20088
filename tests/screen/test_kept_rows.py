"""A screen that is not in memory, through a folder: the same bytes, and not in memory after it."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest

import programde.screen.kept_rows as kept_rows
import programde.screen.matrix_rows as matrix_rows
import programde.screen.names as names
from programde.errors import InputError
from programde.io.anndata import read_h5ad
from programde.screen.chosen import is_stored
from programde.screen.composition import Floor
from programde.screen.store import load_screen, save_screen
from programde.screen.synthetic import make_sceptre_style_synth
from tests.screen.compare import assert_same_screen

pytestmark = pytest.mark.filterwarnings("ignore::programde.errors.ProgramDEWarning")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(kept_rows, "BLOCK", 100)
    monkeypatch.setattr(matrix_rows, "BLOCK", 100)
    monkeypatch.setattr(names, "AT_A_TIME", 90)


def plain(adata):
    adata.obsm["usage"] = adata.obsm["usage"].astype(np.float32)
    adata.obsm["covar"]["few"] = np.arange(450) % 3
    adata.obsm["covar"]["flag"] = np.arange(450) % 7 == 0
    return {"condition_key": "batch"}


def empty_and_unclosed(adata):
    adata.obsm["usage"] *= np.linspace(0.5, 40, 450)[:, None]
    adata.obsm["usage"][[0, 17, 449]] = 0.0
    return {"on_empty": "drop", "floor": Floor("none", transform="hellinger")}


def array_and_formula(adata):
    adata.obsm["covar"] = adata.obsm["covar"][["log_depth"]].to_numpy()
    return {"formula": "~ covar_0 ** 2", "batch_key": None}


@pytest.mark.slow
@pytest.mark.brief
@pytest.mark.parametrize("how", [plain, empty_and_unclosed, array_and_formula])
def test_there_and_back(how, tmp_path):
    adata = make_sceptre_style_synth(N=450, K=4, n_target_genes=5, seed=3)
    keys = how(adata)
    adata.obs_names = [f"zelle µ/{i}" for i in range(450)]
    if isinstance(adata.obsm["covar"], pd.DataFrame):
        adata.obsm["covar"].index = adata.obs_names
    adata.write_h5ad(tmp_path / "s.h5ad")
    before = read_h5ad(tmp_path / "s.h5ad", usage_key="usage", memory=1.0, **keys)
    for _ in range(2):  # an older one is replaced
        save_screen(before, tmp_path / "folder")
    (tmp_path / "s.h5ad").unlink()
    after = load_screen(tmp_path / "folder")
    again = pickle.loads(pickle.dumps(after))
    assert is_stored(after)
    before = read_back(before, adata, tmp_path, keys)
    for screen in (after, again):
        assert_same_screen(screen, before)
        assert (screen.floor, screen.transform, screen.notes) == (
            before.floor, before.transform, tuple(before.notes),
        )  # fmt: skip
        assert (screen.unfloored is None) == (before.unfloored is None)
        if before.unfloored is not None:
            assert (np.asarray(screen.unfloored) == np.asarray(before.unfloored)).all()
    assert (after.covariate_table is None) == (before.covariate_table is None)
    if before.covariate_table is not None:
        pd.testing.assert_frame_equal(after.covariate_table, before.covariate_table)
    assert [after.cell_names[-1]] == after.cell_names[-1:] == list(after.cell_names)[-1:]
    assert after.usage.source.dtype == (np.float32 if how is plain else np.float64)
    usage = tmp_path / "folder" / "usage_rows.npy"
    usage.write_bytes(usage.read_bytes()[:-8])
    with pytest.raises(InputError, match="is not what it was when it was opened"):
        after.usage[:3]
    with pytest.raises(InputError, match="is not whole"):
        load_screen(tmp_path / "folder")


def read_back(before, adata, folder, keys):
    """The same from the file: what it stayed in was deleted meanwhile."""
    adata.write_h5ad(folder / "s.h5ad")
    return read_h5ad(folder / "s.h5ad", usage_key="usage", memory=1.0, **keys)
