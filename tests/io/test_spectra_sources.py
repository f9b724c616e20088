"""Spectra wherever they are, aligned to the programs by name."""

import warnings

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from programde.errors import InputError, ProgramDEWarning
from programde.io.anndata import read_h5ad, screen_from_anndata
from programde.io.cnmf import cnmf_spectra, find_usages, read_cnmf
from programde.io.mudata import read_h5mu, screen_from_mudata
from programde.io.text_tables import read_numbers
from tests.io.conversions import mudata_of, one_modality, program_names, write_cnmf
from tests.screen.small_screens import small_adata

SAME = np.arange(60)
COLUMNS = {"covar_columns": ["depth", "batch", "mito"]}


def weights(rows=4, genes=5):
    return np.arange(rows * genes, dtype=float).reshape(rows, genes)


def test_spectra_in_varm(tmp_path):
    adata = small_adata()
    whole = AnnData(
        sparse.csr_matrix((60, 5), dtype=np.float32), obs=adata.obs, obsm=dict(adata.obsm),
        uns=dict(adata.uns), var=pd.DataFrame(index=list("ABCDE")),
    )  # fmt: skip
    whole.varm["cnmf_spectra"] = weights().T
    whole.write_h5ad(tmp_path / "s.h5ad")
    for screen in (screen_from_anndata(whole), read_h5ad(tmp_path / "s.h5ad")):
        assert screen.spectra.loc["program_2"].tolist() == weights()[2].tolist()
        assert list(screen.spectra) == list("ABCDE")
    assert screen_from_anndata(whole, spectra_key=None).spectra is None
    with pytest.raises(InputError, match=r"spectra_key='weights' is not in varm"):
        screen_from_anndata(whole, spectra_key="weights")
    whole.varm["cnmf_spectra"] = weights().T[:, :3]  # of another K
    with pytest.warns(ProgramDEWarning, match="left out, as they do not fit the programs"):
        assert screen_from_anndata(whole).spectra is None


def test_loadings_of_a_modality(tmp_path):
    adata = small_adata()
    parts = one_modality(adata, SAME)
    genes = list(parts["rna"].var_names)
    parts["cNMF"].varm["loadings"] = weights(genes=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mudata_of(parts).write(tmp_path / "s.h5mu")
    screen = read_h5mu(tmp_path / "s.h5mu", **COLUMNS)
    assert list(screen.spectra) == genes
    np.testing.assert_array_equal(screen.spectra, weights(genes=3))
    parts["cNMF"].varm["loadings"] = weights(genes=7)
    screen = screen_from_mudata(mudata_of(parts), **COLUMNS)
    assert screen.spectra is None
    assert any("carry no gene names" in note for note in screen.notes)


def test_spectra_beside_the_usages(tmp_path):
    adata = small_adata()
    write_cnmf(adata, tmp_path, SAME, "k_4.dt_1e-05")
    usages = find_usages(tmp_path, 4, 1e-5)
    with pytest.raises(InputError, match="k=4 dt=1e-06; there are run: k=4 dt=1e-05"):
        find_usages(tmp_path, 4, 1e-6)
    names = program_names(adata)
    assert cnmf_spectra(usages, names) is None
    tpm = pd.DataFrame(weights() * 10, names[::-1], list("ABCDE"))
    tpm.to_csv(tmp_path / "run.gene_spectra_tpm.k_4.dt_1e-05.txt", sep="\t")
    np.testing.assert_array_equal(cnmf_spectra(usages, names), tpm.loc[names])
    score = pd.DataFrame(weights(), ["1", "2", "3", "4"], list("ABCDE"))
    score.iloc[0, 0] = np.nan
    score.to_csv(tmp_path / "run.gene_spectra_score.k_4.dt_1e-05.txt", sep="\t")
    numbered = [f"program_{k}" for k in (1, 2, 3, 4)]
    np.testing.assert_array_equal(cnmf_spectra(usages, numbered), score)
    with pytest.warns(ProgramDEWarning, match="gene_spectra_score.* are left out"):
        np.testing.assert_array_equal(cnmf_spectra(usages, names), tpm.loc[names])
    adata.write_h5ad(tmp_path / "s.h5ad")
    (tmp_path / "run.gene_spectra_score.k_4.dt_1e-05.txt").unlink()
    screen = read_cnmf(tmp_path, 4, 1e-5, screen=tmp_path / "s.h5ad")
    np.testing.assert_array_equal(screen.spectra, tpm.loc[names])


@pytest.mark.slow
def test_spectra_of_many_genes(tmp_path):
    wide = pd.DataFrame(np.random.default_rng(0).random((2, 70_000)), ["1", "2"])
    wide.columns = [f"ENSG{j:011d}" for j in range(70_000)]
    wide.to_csv(tmp_path / "w.txt", sep="\t")
    np.testing.assert_array_equal(read_numbers(tmp_path / "w.txt"), wide)
