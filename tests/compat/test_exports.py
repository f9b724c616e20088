"""What can be imported from `programde`, and how its functions are called."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import programde as pde

REQUIRED = inspect.Parameter.empty
NAMES = [
    "limit_threading",
    "prepare_crt_inputs",
    "CRTInputs",
    "run_all_genes_union_crt",
    "run_one_gene_union_crt",
    "CRTGeneResult",
    "store_results_in_adata",
    "compute_gene_null_pvals",
    "compute_guide_set_null_pvals",
    "compute_ntc_group_null_pvals_parallel",
    "build_ntc_group_inputs",
    "make_ntc_groups_ensemble",
    "make_ntc_groups_matched_by_freq",
    "crt_pvals_for_ntc_groups_ensemble",
    "crt_pvals_for_ntc_groups_ensemble_skew",
    "crt_pvals_for_guide_set",
    "make_ntc_empirical_qq_plots",
    "qq_plot_ntc_pvals",
    "add_burden_covariate",
    "compute_guide_burden",
    "clr_from_usage",
    "get_covar_matrix",
    "encode_categorical_covariates",
    "union_obs_idx_from_cols",
    "fit_propensity_logistic",
    "fit_skew_normal",
    "compute_empirical_p_value",
    "check_sn_tail",
    "check_for_outliers",
    "fit_and_evaluate_skew_normal",
    "compute_null_pvals_from_null_stats",
    "crt_null_pvals_from_null_stats_fast",
    "crt_null_stats_for_test",
    "qq_expected_grid",
    "expected_quantiles",
    "qq_coords",
    "bootstrap_qq_envelope",
    "is_bh_adjusted_like",
    "crt_index_sampler_fast_numba",
    "bernoulli_index_sampler",
    "stratified_permutation_sampler",
    "crt_pvals_for_gene",
    "crt_betas_for_gene",
    "compute_bins",
    "build_gene_to_cols",
    "get_program_names",
    "get_from_adata_any",
    "to_csc_matrix",
    "run_ntc_empirical_null",
    "sample_ntc_pseudogenes_with_replacement",
    "split_ntc_units",
    "empirical_pvals_vs_ntc",
    "compute_ols_denom",
    "compute_unit_diagnostics",
    "collect_gene_diagnostics",
    "collect_ntc_group_diagnostics",
    "summarize_diagnostics",
    "oracle_propensity_const",
    "make_sceptre_style_synth",
    # the library's own way, from a screen to a table
    "Screen",
    "read_h5ad",
    "screen_from_anndata",
    "RunOptions",
    "OLS",
    "UTest",
    "Bernoulli",
    "StratifiedPermutation",
    "run_targets",
    "run_ntc_groups",
    "calibrate",
    "calibration_metrics",
    "results_table",
    "omnibus_table",
    "write_back",
]

# positional parameters in order with their defaults; what follows them is keyword-only
SIGNATURES: dict[str, dict[str, object]] = {
    "limit_threading": {"n_threads": 1},
    "prepare_crt_inputs": {
        "adata": REQUIRED,
        "usage_key": "cnmf_usage",
        "covar_key": "covar",
        "guide_assignment_key": "guide_assignment",
        "guide_names_key": "guide_names",
        "guide2gene_key": "guide2gene",
        "eps_quantile": 1e-4,
        "add_intercept": True,
        "standardize": True,
        "numeric_as_category_threshold": 20,
        "batch_key": "batch",
        "clamp_threads": True,
    },
    "run_all_genes_union_crt": {
        "inputs": REQUIRED,
        "genes": None,
        "B": 1023,
        "n_jobs": 8,
        "base_seed": 123,
        "propensity_model": None,
        "backend": "threading",
        "resampling_method": "bernoulli_index",
        "resampling_kwargs": None,
        "null_method": "crt",
        "null_kwargs": None,
        "qq_crossfit": False,
        "calibrate_skew_normal": False,
        "skew_normal_side_code": 0,
        "return_skew_normal": False,
        "return_raw_pvals": False,
        "return_format": "dict",
        "test_stat": "ols",
        "test_stat_kwargs": None,
    },
    "CRTGeneResult": {
        "gene": REQUIRED,
        "pvals": REQUIRED,
        "betas": REQUIRED,
        "n_treated": REQUIRED,
        "pvals_sn": None,
        "skew_params": None,
        "pvals_raw": None,
    },
    "store_results_in_adata": {
        "adata": REQUIRED,
        "pvals_df": REQUIRED,
        "betas_df": REQUIRED,
        "treated_df": REQUIRED,
        "prefix": "crt_union_gene_program",
        "pvals_skew_df": None,
        "skew_params": None,
    },
    "run_one_gene_union_crt": {"gene": REQUIRED, "inputs": REQUIRED},
    "compute_gene_null_pvals": {
        "gene": REQUIRED,
        "inputs": REQUIRED,
        "B": 1023,
        "base_seed": 123,
    },
    "compute_guide_set_null_pvals": {"guide_idx": REQUIRED, "inputs": REQUIRED, "B": 1023},
    "compute_ntc_group_null_pvals_parallel": {
        "inputs": REQUIRED,
        "ntc_groups_ens": REQUIRED,
        "B": REQUIRED,
        "base_seed": 123,
        "n_jobs": 8,
        "backend": "threading",
    },
    "build_ntc_group_inputs": {
        "inputs": REQUIRED,
        "ntc_label": "NTC",
        "group_size": 6,
        "n_bins": 20,
    },
    "make_ntc_groups_ensemble": {
        "ntc_guides": REQUIRED,
        "ntc_freq": REQUIRED,
        "real_gene_bin_sigs": REQUIRED,
        "guide_to_bin": REQUIRED,
        "n_ensemble": REQUIRED,
        "seed0": REQUIRED,
        "group_size": 6,
        "max_groups": None,
        "drop_remainder": True,
    },
    "crt_pvals_for_ntc_groups_ensemble": {
        "inputs": REQUIRED,
        "ntc_groups_ens": REQUIRED,
        "B": REQUIRED,
        "seed0": REQUIRED,
    },
    "crt_pvals_for_ntc_groups_ensemble_skew": {
        "inputs": REQUIRED,
        "ntc_groups_ens": REQUIRED,
        "B": REQUIRED,
        "seed0": REQUIRED,
    },
    "make_ntc_empirical_qq_plots": {
        "out": REQUIRED,
        "out_dir": REQUIRED,
        "programs_to_plot": "top_var",
        "n_programs": 6,
        "make_per_batch": True,
        "make_meta": True,
        "envelope_boot": 200,
        "seed": 0,
    },
    "qq_plot_ntc_pvals": {"pvals_raw_df": REQUIRED, "guide2gene": REQUIRED, "ntc_genes": REQUIRED},
    "clr_from_usage": {"U": REQUIRED, "eps_quantile": 1e-4},
    "union_obs_idx_from_cols": {"G_csc": REQUIRED, "cols": REQUIRED},
    "fit_propensity_logistic": {"C": REQUIRED, "y01": REQUIRED},
    "fit_skew_normal": {"y": REQUIRED},
    "compute_empirical_p_value": {"null": REQUIRED, "z": REQUIRED},
    "fit_and_evaluate_skew_normal": {"z": REQUIRED, "null": REQUIRED},
    "compute_null_pvals_from_null_stats": {"null_stats": REQUIRED, "side_code": 0},
    "crt_null_pvals_from_null_stats_fast": {"T_null": REQUIRED, "two_sided": True},
    "crt_index_sampler_fast_numba": {"p": REQUIRED, "B": REQUIRED, "seed": REQUIRED},
    "stratified_permutation_sampler": {
        "x_obs": REQUIRED,
        "p_hat": REQUIRED,
        "B": REQUIRED,
        "seed": REQUIRED,
        "batch_raw": None,
        "n_bins": 20,
        "stratify_by_batch": True,
        "min_stratum_size": 2,
        "burden_values": None,
        "n_burden_bins": 8,
        "burden_bin_method": "quantile",
        "burden_clip_quantiles": (0.0, 1.0),
    },
    "crt_pvals_for_gene": dict.fromkeys(
        ("indptr", "indices", "C", "Y", "A", "CTY", "obs_idx", "B"), REQUIRED
    ),
    "crt_betas_for_gene": dict.fromkeys(
        ("indptr", "indices", "C", "Y", "A", "CTY", "obs_idx", "B"), REQUIRED
    ),
    "compute_bins": {
        "values": REQUIRED,
        "n_bins": REQUIRED,
        "method": "quantile",
        "clip_quantiles": (0.0, 1.0),
    },
    "build_gene_to_cols": {"guide_names": REQUIRED, "guide2gene": REQUIRED},
    "get_program_names": {"adata": REQUIRED, "n_programs": REQUIRED},
    "get_from_adata_any": {"adata": REQUIRED, "key": REQUIRED},
    "to_csc_matrix": {"G": REQUIRED},
    "make_sceptre_style_synth": {
        "N": 50_000,
        "K": 70,
        "n_target_genes": 300,
        "guides_per_gene": 6,
        "ntc_frac_guides": 0.15,
        "moi_mean": 5.5,
        "frac_causal_genes": 0.10,
        "n_effect_programs": 3,
        "effect_size": 0.6,
        "n_cov_extra": 6,
        "confound_strength": 0.0,
        "eps_near_zero": 1e-6,
        "sprinkle_near_zero_frac": 0.15,
        "seed": 0,
    },
}
KEYWORDS = {
    "compute_gene_null_pvals": {"side_code": 0},
    "run_all_genes_union_crt": {"calibration": "none", "adjust": "bh", "progress": None},
    "qq_plot_ntc_pvals": {"pvals_skew_df": None, "null_pvals": None, "null_stats": None},
    "add_burden_covariate": {
        "guide_assignment_key": "guide_assignment",
        "covar_key": "covar",
        "guide_names_key": "guide_names",
        "guide2gene_key": "guide2gene",
    },
}


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_is_there_and_documented(name):
    assert name in pde.__all__
    assert name in dir(pde)
    assert (getattr(pde, name).__doc__ or "").strip()


@pytest.mark.parametrize("name", SIGNATURES)
def test_positional_parameters_keep_name_order_and_default(name):
    parameters = inspect.signature(getattr(pde, name)).parameters
    positional = {
        key: p.default for key, p in parameters.items() if p.kind is p.POSITIONAL_OR_KEYWORD
    }
    expected = SIGNATURES[name]
    assert list(positional)[: len(expected)] == list(expected)
    for key, default in expected.items():
        if default is REQUIRED:
            assert positional[key] is REQUIRED, key
        else:
            assert positional[key] == default, key


@pytest.mark.parametrize("name", KEYWORDS)
def test_keyword_parameters(name):
    parameters = inspect.signature(getattr(pde, name)).parameters
    for key, default in KEYWORDS[name].items():
        assert parameters[key].kind is inspect.Parameter.KEYWORD_ONLY
        assert parameters[key].default == default


def test_each_public_name_is_imported_from_the_module_that_the_stub_names():
    stub = Path(str(pde.__file__)).with_suffix(".pyi").read_text(encoding="utf-8")
    seen = {
        alias.asname: node.module
        for node in ast.parse(stub).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert sorted(seen) == sorted(pde.__all__)
    for name, module in seen.items():
        assert getattr(pde, name) is getattr(import_module(f"programde.{module}"), name)


def test_importing_programde_imports_nothing_heavy():
    heavy = ("numpy", "pandas", "scipy", "numba", "anndata", "matplotlib", "sklearn")
    code = f"import sys, programde; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="attribute '?run_everything"):
        pde.run_everything  # noqa: B018
    with pytest.raises(ImportError):
        from programde import run_everything  # noqa: F401


def test_the_synthetic_screens_go_by_the_original_s_test_module_too():
    from tests.synthetic_data import make_sceptre_style_synth

    assert make_sceptre_style_synth is pde.make_sceptre_style_synth
