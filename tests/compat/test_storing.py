"""Results in an AnnData: written, read back, equal."""

from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import pytest

import programde as pde
from programde.errors import InputError

QUICK = {"B": 39, "n_jobs": 2, "progress": False}


@pytest.mark.slow
@pytest.mark.brief
def test_results_survive_writing_and_reading(adata, tmp_path):
    inputs = pde.prepare_crt_inputs(adata)
    out = pde.run_all_genes_union_crt(
        inputs, **QUICK, calibrate_skew_normal=True, return_skew_normal=True
    )
    pde.store_results_in_adata(
        adata,
        out["pvals_df"],
        out["betas_df"],
        out["treated_df"],
        pvals_skew_df=out["pvals_skew_df"],
        skew_params=out["skew_params"],
    )
    adata.write_h5ad(tmp_path / "screen.h5ad")
    back = anndata.read_h5ad(tmp_path / "screen.h5ad")
    prefix = "crt_union_gene_program"
    treated = back.uns[f"{prefix}_n_positive"]["n_union_positive_cells"]
    # pandas 3 reads texts as a type of their own, while the original's tables name by objects
    pd.testing.assert_series_equal(treated, out["treated_df"], check_index_type=False)
    for suffix, key in (
        ("pvals", "pvals_df"),
        ("betas", "betas_df"),
        ("pvals_skew", "pvals_skew_df"),
    ):
        stored = back.uns[f"{prefix}_{suffix}"]
        pd.testing.assert_frame_equal(
            stored, out[key], check_index_type=False, check_column_type=False
        )
    np.testing.assert_array_equal(back.uns[f"{prefix}_skew_params"], out["skew_params"])


def test_storing_refuses_tables_that_do_not_belong_together(adata, inputs):
    out = pde.run_all_genes_union_crt(inputs, **QUICK)
    p, beta, treated = out["pvals_df"], out["betas_df"], out["treated_df"]
    for wrong in (
        (p, beta.iloc[::-1], treated),
        (p, beta.iloc[:, ::-1], treated),
        (p, beta, treated.iloc[:3]),
    ):
        with pytest.raises(InputError, match="have different"):
            pde.store_results_in_adata(adata, *wrong)
    with pytest.raises(InputError, match="slash"):
        pde.store_results_in_adata(adata, p, beta, treated, prefix="a/b")
    with pytest.raises(InputError, match="skew_params"):
        pde.store_results_in_adata(adata, p, beta, treated, skew_params=np.zeros((2, 2, 3)))
    assert not any(key.startswith("crt_") for key in adata.uns)
    pde.store_results_in_adata(adata, p, beta, treated.to_frame(), prefix="mine")
    pd.testing.assert_frame_equal(adata.uns["mine_n_positive"], treated.to_frame())
