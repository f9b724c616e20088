"""The workflows that the original's users know, from AnnData to picture, with this import line."""

from __future__ import annotations

import numpy as np
import pytest

from programde import (
    add_burden_covariate,
    build_ntc_group_inputs,
    compute_ntc_group_null_pvals_parallel,
    crt_pvals_for_ntc_groups_ensemble,
    crt_pvals_for_ntc_groups_ensemble_skew,
    limit_threading,
    make_ntc_empirical_qq_plots,
    make_ntc_groups_ensemble,
    prepare_crt_inputs,
    qq_plot_ntc_pvals,
    run_all_genes_union_crt,
    store_results_in_adata,
)

LABELS = ["non-targeting", "safe-targeting", "NTC"]


def test_from_anndata_to_stored_skew_normal_p_values(adata):
    limit_threading()
    inputs = prepare_crt_inputs(
        adata=adata,
        usage_key="cnmf_usage",
        covar_key="covar",
        guide_assignment_key="guide_assignment",
        guide2gene_key="guide2gene",
    )
    out = run_all_genes_union_crt(
        inputs=inputs, B=199, n_jobs=16, calibrate_skew_normal=True, return_skew_normal=True
    )
    store_results_in_adata(
        adata=adata,
        pvals_df=out["pvals_df"],
        betas_df=out["betas_df"],
        treated_df=out["treated_df"],
    )
    stored = adata.uns["crt_union_gene_program_pvals"]
    effects = adata.uns["crt_union_gene_program_betas"]
    moved = sorted((g, k) for g, e in adata.uns["gene_effects"].items() for k in np.flatnonzero(e))
    found = min(moved, key=lambda at: stored.loc[at[0], inputs.program_names[at[1]]])
    gene, program = found[0], inputs.program_names[found[1]]
    assert stored.loc[gene, program] < 0.001
    truth = adata.uns["gene_effects"][gene][found[1]]
    assert np.sign(effects.loc[gene, program]) == np.sign(truth)


@pytest.mark.parametrize("statistic", [{}, {"test_stat": "utest", "test_stat_kwargs": {}}])
def test_permutation_in_strata_of_batch_and_burden_with_grouped_controls(adata, statistic):
    import matplotlib.pyplot as plt

    table = add_burden_covariate(
        adata=adata,
        guide_assignment_key="guide_assignment",
        covar_key="covar",
        guide_names_key="guide_names",
        guide2gene_key="guide2gene",
        burden_key="log1p_non_ntc_guides_per_cell",
        ntc_labels=LABELS,
        include_ntc=False,
        use_log1p=True,
    )
    assert adata.obsm["covar"] is table or adata.obsm["covar"].equals(table)
    inputs = prepare_crt_inputs(adata=adata, covar_key="covar", batch_key="batch")
    sampler = {
        "resampling_method": "stratified_perm",
        "resampling_kwargs": {
            "n_bins": 5,
            "stratify_by_batch": True,
            "batch_key": "batch",
            "min_stratum_size": 2,
            "burden_key": "log1p_non_ntc_guides_per_cell",
            "n_burden_bins": 2,
            "burden_bin_method": "quantile",
            "burden_clip_quantiles": (0.0, 1.0),
        },
    }
    out = run_all_genes_union_crt(
        inputs=inputs,
        B=49,
        n_jobs=2,
        calibrate_skew_normal=True,
        return_raw_pvals=True,
        return_skew_normal=True,
        **sampler,
        **statistic,
    )
    guides, frequency, to_bin, signatures = build_ntc_group_inputs(
        inputs=inputs, ntc_label=LABELS, group_size=6, n_bins=10
    )
    groups = make_ntc_groups_ensemble(
        ntc_guides=guides,
        ntc_freq=frequency,
        real_gene_bin_sigs=signatures,
        guide_to_bin=to_bin,
        n_ensemble=2,
        seed0=7,
        group_size=6,
        max_groups=None,
    )
    given = {"inputs": inputs, "ntc_groups_ens": groups, "B": 49, **sampler, **statistic}
    raw = crt_pvals_for_ntc_groups_ensemble(seed0=23, **given)
    skew = crt_pvals_for_ntc_groups_ensemble_skew(seed0=23, **given)
    null = compute_ntc_group_null_pvals_parallel(n_jobs=8, backend="threading", **given)
    assert null.shape == (6 * 49 * 5,)
    ax = qq_plot_ntc_pvals(
        pvals_raw_df=out["pvals_raw_df"],
        guide2gene=adata.uns["guide2gene"],
        ntc_genes=LABELS,
        pvals_skew_df=out["pvals_df"],
        null_pvals=null,
        ntc_group_pvals_ens=raw,
        ntc_group_pvals_skew_ens=skew,
        show_ntc_ensemble_band=True,
        show_all_pvals=True,
        title="grouped controls",
    )
    assert len(ax.lines) > 3
    plt.close("all")


@pytest.mark.slow
def test_control_guides_as_the_null_with_cross_fitted_pictures(adata, tmp_path):
    inputs = prepare_crt_inputs(adata=adata, usage_key="cnmf_usage", covar_key="covar")
    out = run_all_genes_union_crt(
        inputs=inputs,
        null_method="ntc_empirical",
        qq_crossfit=True,
        null_kwargs={
            "ntc_labels": ["SAFE", "non-targeting", "NTC"],
            "guides_per_unit": 6,
            "n_ntc_units": 100,
            "batch_mode": "meta",
            "combine_method": "fisher",
            "matching": {
                "n_n1_bins": 3,
                "n_d_bins": 3,
                "min_ntc_per_bin": 20,
                "use_pbar": True,
                "n_pbar_bins": 2,
            },
            "min_treated": 10,
            "min_control": 10,
            "qq_crossfit_seed": 11,
            "qq_crossfit_frac_A": 0.5,
        },
    )
    assert out["pvals_df"].notna().all(axis=None)
    assert len(out.get("ntc_matching_info", {})) > 0
    written = make_ntc_empirical_qq_plots(
        out=out,
        out_dir=tmp_path / "qq",
        programs_to_plot="top_var",
        n_programs=1,
        make_per_batch=True,
        make_meta=True,
        envelope_boot=10,
        seed=0,
    )
    top = out["betas_df"].var().idxmax()
    assert {str(path.relative_to(tmp_path / "qq")) for path in written} == {
        "qq_ntc_empirical_genelevel_meta.png",
        f"qq_ntc_empirical_program_{top}_meta.png",
        *(
            f"per_batch/{batch}/qq_ntc_empirical_{what}.png"
            for batch in ("B1", "B2")
            for what in ("genelevel", f"program_{top}")
        ),
    }
