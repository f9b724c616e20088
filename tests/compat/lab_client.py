"""What a lab's pipeline does with the original, from its MuData to its files.

Written from a description of such a client; `test_lab_client` runs it. Of the original's client
only the import line would differ: ``from src.sceptre import ...``.
"""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
from statsmodels.stats.multitest import multipletests

from programde import (
    build_ntc_group_inputs,
    compute_ntc_group_null_pvals_parallel,
    crt_pvals_for_ntc_groups_ensemble,
    crt_pvals_for_ntc_groups_ensemble_skew,
    limit_threading,
    make_ntc_groups_ensemble,
    prepare_crt_inputs,
    qq_plot_ntc_pvals,
    run_all_genes_union_crt,
)


def convert(mdata, covariates: list[str], log_covariates: list[str]) -> anndata.AnnData:
    """The usages' modality with the keys that the test asks for."""
    home = mdata["cNMF"]
    adata = anndata.AnnData(obs=home.obs.copy())
    usage = np.asarray(home.X, dtype=float)
    adata.obsm["cnmf_usage"] = usage / usage.sum(axis=1, keepdims=True)
    table = home.obs[covariates].copy()
    for name in log_covariates:
        table[f"log_{name}"] = np.log1p(home.obs[name])
    adata.obsm["covar"] = table
    adata.obsm["guide_assignment"] = home.obsm["guide_assignment"]
    adata.uns["guide_names"] = list(home.uns["guide_names"])
    adata.uns["guide2gene"] = dict(
        zip(home.uns["guide_names"], home.uns["guide_targets"], strict=True)
    )
    adata.uns["program_names"] = list(home.var_names)
    return adata


def run(
    mdata,
    folder: Path,
    k: int,
    *,
    categorical_key: str,
    covariates: list[str],
    log_covariates: list[str],
    ntc_labels: list[str],
    number_guide: int = 6,
    number_permutations: int = 1024,
) -> list[Path]:
    """One file and one picture per level of the condition; the files."""
    import matplotlib.pyplot as plt

    limit_threading(1)
    adata = convert(mdata, covariates, log_covariates)
    label = "_".join([*covariates, *(f"log_{name}" for name in log_covariates)]) or "no_covariates"
    written = []
    for condition in sorted(adata.obs[categorical_key].unique()):
        part = adata[adata.obs[categorical_key] == condition].copy()
        inputs = prepare_crt_inputs(
            adata=part, usage_key="cnmf_usage", covar_key="covar",
            guide_assignment_key="guide_assignment", guide2gene_key="guide2gene",
        )  # fmt: skip
        out = run_all_genes_union_crt(
            inputs=inputs, B=number_permutations - 1, n_jobs=2, calibrate_skew_normal=True,
            return_raw_pvals=True, return_skew_normal=True,
        )  # fmt: skip
        guides, frequency, to_bin, signatures = build_ntc_group_inputs(
            inputs=inputs, ntc_label=ntc_labels, group_size=number_guide, n_bins=10
        )
        groups = make_ntc_groups_ensemble(
            ntc_guides=guides, ntc_freq=frequency, real_gene_bin_sigs=signatures,
            guide_to_bin=to_bin, n_ensemble=3, seed0=7, group_size=number_guide, max_groups=None,
        )  # fmt: skip
        given = {"inputs": inputs, "ntc_groups_ens": groups, "B": number_permutations - 1}
        raw = crt_pvals_for_ntc_groups_ensemble(seed0=23, **given)
        skew = crt_pvals_for_ntc_groups_ensemble_skew(seed0=23, **given)
        null = compute_ntc_group_null_pvals_parallel(n_jobs=2, backend="threading", **given)
        ax = qq_plot_ntc_pvals(
            pvals_raw_df=out["pvals_raw_df"], guide2gene=part.uns["guide2gene"],
            ntc_genes=ntc_labels, pvals_skew_df=out["pvals_df"], null_pvals=null,
            ntc_group_pvals_ens=raw, ntc_group_pvals_skew_ens=skew, show_ntc_ensemble_band=True,
            show_all_pvals=True, title=f"{k} programs, {condition}",
        )  # fmt: skip
        path = folder / f"{k}_CRT_{label}_{condition}.txt"
        ax.figure.savefig(path.with_suffix(".png"))
        plt.close(ax.figure)

        melting = {"id_vars": "index", "var_name": "program_name"}
        p = out["pvals_df"].reset_index().melt(**melting, value_name="p-value")
        beta = out["betas_df"].reset_index().melt(**melting, value_name="log2FC")
        table = p.merge(beta, on=["index", "program_name"])
        table = table.rename(columns={"index": "target_name"})
        table["adj_pval"] = multipletests(table["p-value"], method="fdr_bh")[1]
        columns = ["target_name", "program_name", "log2FC", "p-value", "adj_pval"]
        table[columns].to_csv(path, sep="\t", index=False)
        written.append(path)
    return written
