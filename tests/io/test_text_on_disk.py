"""Usages of text tables that do not fit into memory: the same screen, from a temporary file."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from programde.errors import InputError
from programde.io.cnmf import read_cnmf
from programde.io.day_folder import read_folder
from programde.io.guide_tables import read_guide_tables
from programde.io.text_tables import number_rows, read_numbers
from programde.screen.chosen import is_stored
from programde.screen.synthetic import make_sceptre_style_synth
from tests.io.conversions import mudata_of
from tests.screen.compare import assert_same_screen

pytestmark = [
    pytest.mark.filterwarnings("ignore::programde.errors.ProgramDEWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning:mudata"),
]
N, K = 500, 4


@pytest.fixture
def adata():
    made = make_sceptre_style_synth(N=N, K=K, n_target_genes=5, seed=3)
    return made


def usages(adata, path, scale=7.0):
    table = pd.DataFrame(adata.obsm["usage"] * scale, adata.obs_names, range(1, K + 1))
    table.to_csv(path, sep="," if ".csv" in str(path) else "\t")


@pytest.mark.slow
@pytest.mark.brief
@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("beside", ["h5ad", "h5mu", "folder"])
def test_cnmf(beside, ending, adata, tmp_path):
    usages(adata, tmp_path / f"run.usages.k_{K}.dt_0_5.consensus.txt{ending}")
    adata.obsm["covar"]["lane"] = np.arange(N) % 2
    if beside == "h5mu":
        guides = AnnData(
            adata.obsm["guide_assignment"].tocsr(),
            obs=pd.DataFrame(index=adata.obs_names),
            var=pd.DataFrame(
                {"intended_target_name": list(adata.uns["guide2gene"].values())},
                index=adata.uns["guide_names"],
            ),
            obsm={"covar": adata.obsm["covar"]},
        )
        mudata_of({"guide": guides[::-1].copy()}).write(tmp_path / "cells_D1.h5mu")
        keys = {"screen": tmp_path / "cells_D1.h5mu", "on_missing": "drop"}
    else:
        adata[::-1].copy().write_h5ad(tmp_path / "cells_D1.h5ad")
        keys = {"screen": tmp_path / "cells_D1.h5ad", "on_missing": "drop"}

    def read(memory):
        if beside == "folder":
            return read_folder(tmp_path, day="D1", k=K, memory=memory)
        return read_cnmf(tmp_path, K, 0.5, memory=memory, **keys)

    stored, held = read(1.0), read("1TB")
    assert is_stored(stored)
    assert not is_stored(held)
    assert stored.program_names == held.program_names == [f"program_{k + 1}" for k in range(K)]
    assert stored.notes == held.notes
    assert_same_screen(stored, held, tol=1e-10)
    file = Path(stored.usage.source.path)
    assert file.is_file()
    del stored
    gc.collect()
    assert not file.parent.exists()


def test_tables(adata, tmp_path):
    usages(adata, tmp_path / "usage.csv", 1.0)
    guides = adata.obsm["guide_assignment"].tocoo()
    names = np.asarray(adata.uns["guide_names"])
    calls = pd.DataFrame({"cell": adata.obs_names[guides.row], "guide": names[guides.col]})
    targets = pd.Series(adata.uns["guide2gene"])
    library = pd.DataFrame({"guide_id": targets.index, "intended_target_name": targets.values})
    keys = {"value_column": None, "on_missing": "drop"}
    tables = tmp_path / "usage.csv", calls, library, adata.obsm["covar"]
    stored, held = (read_guide_tables(*tables, memory=m, **keys) for m in (1.0, "1TB"))
    assert is_stored(stored)
    assert stored.program_names == held.program_names
    assert_same_screen(stored, held, tol=1e-10)


@pytest.mark.slow
@pytest.mark.brief
def test_the_same_is_refused_and_nothing_is_left(adata, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    path = tmp_path / "usage.csv"
    usages(adata, path)
    assert number_rows(path, "1TB") is None
    assert (number_rows(path, 1.0).read(0, N) == read_numbers(path).to_numpy()).all()
    lines = path.read_text().splitlines()
    for wrong in ("x,1,2,3,much", "x,1,2,3"):
        path.write_text("\n".join([*lines, wrong]) + "\n")
        with pytest.raises(InputError, match=r"usage\.csv cannot be read"):
            number_rows(path, 1.0)
    gc.collect()
    assert not list((tmp_path / "scratch").iterdir())
