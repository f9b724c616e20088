"""A lab's client of the original runs on ours with only its import line changed."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from tests.compat import lab_client

from .conftest import small_screen


@pytest.fixture
def mdata():
    """A MuData as PerturbNMF leaves it: two days, one gene that is untestable on day D3."""
    adata = small_screen(seed=2, n_cells=1000)
    guides = sparse.lil_matrix(adata.obsm["guide_assignment"])
    rng = np.random.default_rng(0)
    day = np.where(rng.random(adata.n_obs) < 0.5, "D1", "D3")
    lost = [j for j, g in enumerate(adata.uns["guide_names"]) if g.startswith("GENE5_")]
    guides[np.ix_(np.flatnonzero(day == "D3"), lost)] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mudata announces its own changes of defaults
        import anndata
        import mudata

        home = anndata.AnnData(
            adata.obsm["usage"] * 40.0,
            obs=pd.DataFrame(
                {
                    "day": day,
                    "batch": adata.obsm["covar"]["batch"].to_numpy(),
                    "n_counts": np.exp(adata.obsm["covar"]["log_depth"].to_numpy()),
                },
                index=adata.obs_names,
            ),
            var=pd.DataFrame(index=[str(k + 1) for k in range(5)]),
            obsm={"guide_assignment": guides.tocsr()},
            uns={
                "guide_names": adata.uns["guide_names"],
                "guide_targets": np.array(list(adata.uns["guide2gene"].values()), dtype=object),
            },
        )
        return mudata.MuData({"cNMF": home})


@pytest.mark.slow
@pytest.mark.brief
@pytest.mark.filterwarnings("ignore:1 unit.s. not testable:programde.errors.ProgramDEWarning")
def test_from_its_mudata_to_the_files_that_later_stages_read(mdata, tmp_path):
    written = lab_client.run(
        mdata, tmp_path, 5, categorical_key="day", covariates=["batch"],
        log_covariates=["n_counts"], ntc_labels=["non-targeting"], number_permutations=64,
    )  # fmt: skip
    assert [p.name for p in written] == [
        "5_CRT_batch_log_n_counts_D1.txt",
        "5_CRT_batch_log_n_counts_D3.txt",
    ]
    for path in written:
        assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
        table = pd.read_csv(path, sep="\t")
        assert list(table.columns) == [
            "target_name", "program_name", "log2FC", "p-value", "adj_pval",
        ]  # fmt: skip
        assert len(table) == 9 * 5
        assert set(table["program_name"]) == {1, 2, 3, 4, 5}
        assert "non-targeting" in set(table["target_name"])
        assert table[["log2FC", "p-value", "adj_pval"]].notna().all(axis=None)
        assert (table["adj_pval"] >= table["p-value"]).all()
        wide = table.pivot(index="target_name", columns="program_name", values="log2FC")
        assert np.isfinite(np.corrcoef(wide.drop(index="GENE5"))).all()
    lost = pd.read_csv(written[1], sep="\t").set_index("target_name").loc["GENE5"]
    assert (lost["p-value"] == 1).all()
    assert (lost["log2FC"] == 0).all()
