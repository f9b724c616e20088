"""Results into an AnnData, so that they survive writing and reading."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from programde.errors import InputError


def store_results_in_adata(
    adata: Any,
    pvals_df: pd.DataFrame,
    betas_df: pd.DataFrame,
    treated_df: pd.DataFrame | pd.Series,
    prefix: str = "crt_union_gene_program",
    pvals_skew_df: pd.DataFrame | None = None,
    skew_params: np.ndarray | None = None,
) -> None:
    """Store results in ``adata.uns``, from where h5ad keeps them unchanged.

    Parameters
    ----------
    adata
        AnnData; modified.
    pvals_df, betas_df : (G, K) DataFrame
        Stored as ``uns[f"{prefix}_pvals"]`` and ``_betas``.
    treated_df : (G,) Series
        Treated cells, as ``_n_positive``, a table of one column.
    prefix
        Begin of the keys.
    pvals_skew_df : (G, K) DataFrame, optional
        As ``_pvals_skew``.
    skew_params : (G, K, 3), optional
        As ``_skew_params``.

    Raises
    ------
    InputError
        Tables of different genes or programs, or a prefix with a slash.

    Examples
    --------
    >>> import programde as pde
    >>> adata = pde.make_sceptre_style_synth(N=400, K=3, n_target_genes=4, seed=0)
    >>> inputs = pde.prepare_crt_inputs(adata, usage_key="usage")
    >>> out = pde.run_all_genes_union_crt(inputs, ["GENE00000"], B=99, n_jobs=1)
    >>> pde.store_results_in_adata(adata, out["pvals_df"], out["betas_df"], out["treated_df"])
    >>> adata.uns["crt_union_gene_program_pvals"].shape
    (1, 3)
    """
    if "/" in prefix:
        raise InputError(f"prefix={prefix!r}: a key of an h5ad file cannot hold a slash")
    treated = (
        treated_df.to_frame(treated_df.name or "n_union_positive_cells")
        if isinstance(treated_df, pd.Series)
        else treated_df
    )
    tables = {"pvals": pvals_df, "betas": betas_df, "n_positive": treated}
    if pvals_skew_df is not None:
        tables["pvals_skew"] = pvals_skew_df
    for name, table in tables.items():
        if list(table.index) != list(pvals_df.index):
            raise InputError(f"{name} and pvals have different genes, or in another order")
        if name != "n_positive" and list(table.columns) != list(pvals_df.columns):
            raise InputError(f"{name} and pvals have different programs, or in another order")
    if skew_params is not None and np.shape(skew_params)[:2] != pvals_df.shape:
        raise InputError(
            f"skew_params has shape {np.shape(skew_params)} for {pvals_df.shape[0]} genes x "
            f"{pvals_df.shape[1]} programs"
        )
    for name, table in tables.items():
        adata.uns[f"{prefix}_{name}"] = table.copy()
    if skew_params is not None:
        adata.uns[f"{prefix}_skew_params"] = np.array(skew_params, dtype=np.float64)
