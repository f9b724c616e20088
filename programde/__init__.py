"""programDE: which target gene shifts which gene program, with calibrated p-values.

Everything named here is imported when it is first used, so that ``import programde`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:  # for type checkers and editors, which do not run __getattr__
    from programde.analysis.calibrating import calibrate as calibrate
    from programde.analysis.tables import (
        omnibus_table as omnibus_table,
    )
    from programde.analysis.tables import (
        results_table as results_table,
    )
    from programde.analysis.testing import (
        run_ntc_groups as run_ntc_groups,
    )
    from programde.analysis.testing import (
        run_targets as run_targets,
    )
    from programde.calibration.empirical import (
        compute_empirical_p_value as compute_empirical_p_value,
    )
    from programde.calibration.empirical import (
        compute_null_pvals_from_null_stats as compute_null_pvals_from_null_stats,
    )
    from programde.calibration.empirical import (
        crt_null_pvals_from_null_stats_fast as crt_null_pvals_from_null_stats_fast,
    )
    from programde.calibration.fdr import is_bh_adjusted_like as is_bh_adjusted_like
    from programde.calibration.skew_normal import (
        check_for_outliers as check_for_outliers,
    )
    from programde.calibration.skew_normal import (
        check_sn_tail as check_sn_tail,
    )
    from programde.calibration.skew_normal import (
        fit_and_evaluate_skew_normal as fit_and_evaluate_skew_normal,
    )
    from programde.calibration.skew_normal import (
        fit_skew_normal as fit_skew_normal,
    )
    from programde.controls.empirical_null import run_ntc_empirical_null as run_ntc_empirical_null
    from programde.controls.groups import (
        build_ntc_group_inputs as build_ntc_group_inputs,
    )
    from programde.controls.groups import (
        make_ntc_groups_ensemble as make_ntc_groups_ensemble,
    )
    from programde.controls.groups import (
        make_ntc_groups_matched_by_freq as make_ntc_groups_matched_by_freq,
    )
    from programde.controls.guide_sets import (
        sample_ntc_pseudogenes_with_replacement as sample_ntc_pseudogenes_with_replacement,
    )
    from programde.controls.guide_sets import (
        split_ntc_units as split_ntc_units,
    )
    from programde.controls.pseudogenes import empirical_pvals_vs_ntc as empirical_pvals_vs_ntc
    from programde.controls.summaries import compute_ols_denom as compute_ols_denom
    from programde.crt.engine import RunOptions as RunOptions
    from programde.crt.propensity import fit_propensity_logistic as fit_propensity_logistic
    from programde.crt.samplers import (
        Bernoulli as Bernoulli,
    )
    from programde.crt.samplers import (
        StratifiedPermutation as StratifiedPermutation,
    )
    from programde.crt.samplers.stratified import compute_bins as compute_bins
    from programde.crt.statistics import (
        OLS as OLS,
    )
    from programde.crt.statistics import (
        UTest as UTest,
    )
    from programde.diagnostics.metrics import calibration_metrics as calibration_metrics
    from programde.diagnostics.ntc_plots import (
        make_ntc_empirical_qq_plots as make_ntc_empirical_qq_plots,
    )
    from programde.diagnostics.qq import (
        bootstrap_qq_envelope as bootstrap_qq_envelope,
    )
    from programde.diagnostics.qq import (
        expected_quantiles as expected_quantiles,
    )
    from programde.diagnostics.qq import (
        qq_coords as qq_coords,
    )
    from programde.diagnostics.qq import (
        qq_expected_grid as qq_expected_grid,
    )
    from programde.errors import (
        InputError as InputError,
    )
    from programde.errors import (
        OptionError as OptionError,
    )
    from programde.errors import (
        ProgramDEError as ProgramDEError,
    )
    from programde.errors import (
        ProgramDEWarning as ProgramDEWarning,
    )
    from programde.original.crt import (
        run_all_genes_union_crt as run_all_genes_union_crt,
    )
    from programde.original.crt import (
        run_one_gene_union_crt as run_one_gene_union_crt,
    )
    from programde.original.diagnostics import (
        collect_gene_diagnostics as collect_gene_diagnostics,
    )
    from programde.original.diagnostics import (
        collect_ntc_group_diagnostics as collect_ntc_group_diagnostics,
    )
    from programde.original.diagnostics import (
        compute_unit_diagnostics as compute_unit_diagnostics,
    )
    from programde.original.diagnostics import (
        oracle_propensity_const as oracle_propensity_const,
    )
    from programde.original.diagnostics import (
        summarize_diagnostics as summarize_diagnostics,
    )
    from programde.original.draws import (
        bernoulli_index_sampler as bernoulli_index_sampler,
    )
    from programde.original.draws import (
        crt_betas_for_gene as crt_betas_for_gene,
    )
    from programde.original.draws import (
        crt_index_sampler_fast_numba as crt_index_sampler_fast_numba,
    )
    from programde.original.draws import (
        crt_pvals_for_gene as crt_pvals_for_gene,
    )
    from programde.original.draws import (
        stratified_permutation_sampler as stratified_permutation_sampler,
    )
    from programde.original.inputs import (
        CRTInputs as CRTInputs,
    )
    from programde.original.inputs import (
        prepare_crt_inputs as prepare_crt_inputs,
    )
    from programde.original.ntc import (
        crt_pvals_for_guide_set as crt_pvals_for_guide_set,
    )
    from programde.original.ntc import (
        crt_pvals_for_ntc_groups_ensemble as crt_pvals_for_ntc_groups_ensemble,
    )
    from programde.original.ntc import (
        crt_pvals_for_ntc_groups_ensemble_skew as crt_pvals_for_ntc_groups_ensemble_skew,
    )
    from programde.original.null import (
        compute_gene_null_pvals as compute_gene_null_pvals,
    )
    from programde.original.null import (
        compute_guide_set_null_pvals as compute_guide_set_null_pvals,
    )
    from programde.original.null import (
        compute_ntc_group_null_pvals_parallel as compute_ntc_group_null_pvals_parallel,
    )
    from programde.original.null import (
        crt_null_stats_for_test as crt_null_stats_for_test,
    )
    from programde.original.plots import qq_plot_ntc_pvals as qq_plot_ntc_pvals
    from programde.original.shapes import CRTGeneResult as CRTGeneResult
    from programde.original.storing import store_results_in_adata as store_results_in_adata
    from programde.screen.composition import clr_from_usage as clr_from_usage
    from programde.screen.covariates import (
        encode_categorical_covariates as encode_categorical_covariates,
    )
    from programde.screen.guides import (
        build_gene_to_cols as build_gene_to_cols,
    )
    from programde.screen.guides import (
        compute_guide_burden as compute_guide_burden,
    )
    from programde.screen.guides import (
        to_csc_matrix as to_csc_matrix,
    )
    from programde.screen.guides import (
        union_obs_idx_from_cols as union_obs_idx_from_cols,
    )
    from programde.screen.readers.anndata import (
        add_burden_covariate as add_burden_covariate,
    )
    from programde.screen.readers.anndata import (
        get_covar_matrix as get_covar_matrix,
    )
    from programde.screen.readers.anndata import (
        get_from_adata_any as get_from_adata_any,
    )
    from programde.screen.readers.anndata import (
        get_program_names as get_program_names,
    )
    from programde.screen.readers.anndata import (
        read_h5ad as read_h5ad,
    )
    from programde.screen.readers.anndata import (
        screen_from_anndata as screen_from_anndata,
    )
    from programde.screen.screen import Screen as Screen
    from programde.screen.synthetic import make_sceptre_style_synth as make_sceptre_style_synth
    from programde.screen.write_back import write_back as write_back
    from programde.threads import limit_threading as limit_threading

#: Module -> the public names it holds.
_HOMES: dict[str, tuple[str, ...]] = {
    "analysis.testing": ("run_ntc_groups", "run_targets"),
    "analysis.calibrating": ("calibrate",),
    "analysis.tables": ("omnibus_table", "results_table"),
    "crt.engine": ("RunOptions",),
    "crt.samplers": ("Bernoulli", "StratifiedPermutation"),
    "crt.statistics": ("OLS", "UTest"),
    "diagnostics.metrics": ("calibration_metrics",),
    "screen.screen": ("Screen",),
    "screen.write_back": ("write_back",),
    "threads": ("limit_threading",),
    "errors": ("InputError", "OptionError", "ProgramDEError", "ProgramDEWarning"),
    "original.inputs": ("CRTInputs", "prepare_crt_inputs"),
    "original.crt": ("run_all_genes_union_crt", "run_one_gene_union_crt"),
    "original.shapes": ("CRTGeneResult",),
    "original.storing": ("store_results_in_adata",),
    "original.null": (
        "compute_gene_null_pvals",
        "compute_guide_set_null_pvals",
        "compute_ntc_group_null_pvals_parallel",
        "crt_null_stats_for_test",
    ),
    "original.ntc": (
        "crt_pvals_for_guide_set",
        "crt_pvals_for_ntc_groups_ensemble",
        "crt_pvals_for_ntc_groups_ensemble_skew",
    ),
    "original.draws": (
        "bernoulli_index_sampler",
        "crt_betas_for_gene",
        "crt_index_sampler_fast_numba",
        "crt_pvals_for_gene",
        "stratified_permutation_sampler",
    ),
    "original.diagnostics": (
        "collect_gene_diagnostics",
        "collect_ntc_group_diagnostics",
        "compute_unit_diagnostics",
        "oracle_propensity_const",
        "summarize_diagnostics",
    ),
    "controls.groups": (
        "build_ntc_group_inputs",
        "make_ntc_groups_ensemble",
        "make_ntc_groups_matched_by_freq",
    ),
    "controls.empirical_null": ("run_ntc_empirical_null",),
    "controls.guide_sets": ("sample_ntc_pseudogenes_with_replacement", "split_ntc_units"),
    "controls.pseudogenes": ("empirical_pvals_vs_ntc",),
    "controls.summaries": ("compute_ols_denom",),
    "diagnostics.ntc_plots": ("make_ntc_empirical_qq_plots",),
    "original.plots": ("qq_plot_ntc_pvals",),
    "diagnostics.qq": (
        "bootstrap_qq_envelope",
        "expected_quantiles",
        "qq_coords",
        "qq_expected_grid",
    ),
    "calibration.skew_normal": (
        "check_for_outliers",
        "check_sn_tail",
        "fit_and_evaluate_skew_normal",
        "fit_skew_normal",
    ),
    "calibration.empirical": (
        "compute_empirical_p_value",
        "compute_null_pvals_from_null_stats",
        "crt_null_pvals_from_null_stats_fast",
    ),
    "calibration.fdr": ("is_bh_adjusted_like",),
    "crt.propensity": ("fit_propensity_logistic",),
    "crt.samplers.stratified": ("compute_bins",),
    "screen.composition": ("clr_from_usage",),
    "screen.covariates": ("encode_categorical_covariates",),
    "screen.guides": (
        "build_gene_to_cols",
        "compute_guide_burden",
        "to_csc_matrix",
        "union_obs_idx_from_cols",
    ),
    "screen.readers.anndata": (
        "add_burden_covariate",
        "get_covar_matrix",
        "get_from_adata_any",
        "get_program_names",
        "read_h5ad",
        "screen_from_anndata",
    ),
    "screen.synthetic": ("make_sceptre_style_synth",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'programde' has no attribute {name!r}")
    value = getattr(import_module(f"programde.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
