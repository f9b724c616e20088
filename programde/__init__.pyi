"""The public names and the modules that hold them."""

from .analysis.calibrate import calibrate as calibrate
from .analysis.tables import (
    omnibus_table as omnibus_table,
)
from .analysis.tables import (
    results_table as results_table,
)
from .analysis.ntc_groups import (
    run_ntc_groups as run_ntc_groups,
)
from .analysis.targets import (
    run_targets as run_targets,
)
from .calibration.empirical import (
    compute_empirical_p_value as compute_empirical_p_value,
)
from .calibration.empirical import (
    compute_null_pvals_from_null_stats as compute_null_pvals_from_null_stats,
)
from .calibration.empirical import (
    crt_null_pvals_from_null_stats_fast as crt_null_pvals_from_null_stats_fast,
)
from .calibration.fdr import is_bh_adjusted_like as is_bh_adjusted_like
from .calibration.skew_normal import (
    check_for_outliers as check_for_outliers,
)
from .calibration.skew_normal import (
    check_sn_tail as check_sn_tail,
)
from .calibration.skew_normal import (
    fit_and_evaluate_skew_normal as fit_and_evaluate_skew_normal,
)
from .calibration.skew_normal import (
    fit_skew_normal as fit_skew_normal,
)
from .compat.crt import (
    run_all_genes_union_crt as run_all_genes_union_crt,
)
from .compat.crt import (
    run_one_gene_union_crt as run_one_gene_union_crt,
)
from .compat.draws import (
    bernoulli_index_sampler as bernoulli_index_sampler,
)
from .compat.draws import (
    crt_betas_for_gene as crt_betas_for_gene,
)
from .compat.draws import (
    crt_index_sampler_fast_numba as crt_index_sampler_fast_numba,
)
from .compat.draws import (
    crt_pvals_for_gene as crt_pvals_for_gene,
)
from .compat.draws import (
    stratified_permutation_sampler as stratified_permutation_sampler,
)
from .compat.empirical import (
    compute_ols_denom as compute_ols_denom,
)
from .compat.empirical import (
    empirical_pvals_vs_ntc as empirical_pvals_vs_ntc,
)
from .compat.empirical import run_ntc_empirical_null as run_ntc_empirical_null
from .compat.empirical import (
    sample_ntc_pseudogenes_with_replacement as sample_ntc_pseudogenes_with_replacement,
)
from .compat.global_null import (
    collect_gene_diagnostics as collect_gene_diagnostics,
)
from .compat.global_null import (
    collect_ntc_group_diagnostics as collect_ntc_group_diagnostics,
)
from .compat.global_null import (
    compute_unit_diagnostics as compute_unit_diagnostics,
)
from .compat.global_null import (
    oracle_propensity_const as oracle_propensity_const,
)
from .compat.global_null import (
    summarize_diagnostics as summarize_diagnostics,
)
from .compat.inputs import (
    CRTInputs as CRTInputs,
)
from .compat.inputs import (
    prepare_crt_inputs as prepare_crt_inputs,
)
from .compat.ntc import (
    build_ntc_group_inputs as build_ntc_group_inputs,
)
from .compat.ntc import (
    crt_pvals_for_guide_set as crt_pvals_for_guide_set,
)
from .compat.ntc import (
    crt_pvals_for_ntc_groups_ensemble as crt_pvals_for_ntc_groups_ensemble,
)
from .compat.ntc import (
    crt_pvals_for_ntc_groups_ensemble_skew as crt_pvals_for_ntc_groups_ensemble_skew,
)
from .compat.ntc import (
    make_ntc_groups_ensemble as make_ntc_groups_ensemble,
)
from .compat.ntc import (
    make_ntc_groups_matched_by_freq as make_ntc_groups_matched_by_freq,
)
from .compat.null import (
    compute_gene_null_pvals as compute_gene_null_pvals,
)
from .compat.null import (
    compute_guide_set_null_pvals as compute_guide_set_null_pvals,
)
from .compat.null import (
    compute_ntc_group_null_pvals_parallel as compute_ntc_group_null_pvals_parallel,
)
from .compat.null import (
    crt_null_stats_for_test as crt_null_stats_for_test,
)
from .compat.plots import qq_plot_ntc_pvals as qq_plot_ntc_pvals
from .compat.shapes import CRTGeneResult as CRTGeneResult
from .compat.storing import store_results_in_adata as store_results_in_adata
from .controls.control_units import ControlUnits as ControlUnits
from .controls.control_units import control_units as control_units
from .controls.guide_sets import (
    split_ntc_units as split_ntc_units,
)
from .controls.options import (
    ComparisonOptions as ComparisonOptions,
)
from .controls.options import (
    ControlUnitOptions as ControlUnitOptions,
)
from .controls.options import (
    CrossfitOptions as CrossfitOptions,
)
from .crt.engine import RunOptions as RunOptions
from .crt.propensity import fit_propensity_logistic as fit_propensity_logistic
from .crt.samplers import (
    Bernoulli as Bernoulli,
)
from .crt.samplers import (
    StratifiedPermutation as StratifiedPermutation,
)
from .crt.samplers.stratified import compute_bins as compute_bins
from .crt.statistics import (
    OLS as OLS,
)
from .crt.statistics import (
    UTest as UTest,
)
from .errors import (
    InputError as InputError,
)
from .errors import (
    OptionError as OptionError,
)
from .errors import (
    ProgramDEError as ProgramDEError,
)
from .errors import (
    ProgramDEWarning as ProgramDEWarning,
)
from .io.anndata import (
    add_burden_covariate as add_burden_covariate,
)
from .io.anndata import (
    get_covar_matrix as get_covar_matrix,
)
from .io.anndata import (
    get_from_adata_any as get_from_adata_any,
)
from .io.anndata import (
    get_program_names as get_program_names,
)
from .io.anndata import (
    read_h5ad as read_h5ad,
)
from .io.anndata import (
    screen_from_anndata as screen_from_anndata,
)
from .io.write_back import write_back as write_back
from .report.crossfit_plots import make_ntc_empirical_qq_plots as make_ntc_empirical_qq_plots
from .report.metrics import calibration_metrics as calibration_metrics
from .report.qq import (
    bootstrap_qq_envelope as bootstrap_qq_envelope,
)
from .report.qq import (
    expected_quantiles as expected_quantiles,
)
from .report.qq import (
    qq_coords as qq_coords,
)
from .report.qq import (
    qq_expected_grid as qq_expected_grid,
)
from .screen.composition import clr_from_usage as clr_from_usage
from .screen.covariates import encode_categorical_covariates as encode_categorical_covariates
from .screen.guides import (
    build_gene_to_cols as build_gene_to_cols,
)
from .screen.guides import (
    compute_guide_burden as compute_guide_burden,
)
from .screen.guides import (
    to_csc_matrix as to_csc_matrix,
)
from .screen.guides import (
    union_obs_idx_from_cols as union_obs_idx_from_cols,
)
from .screen.screen import Screen as Screen
from .screen.synthetic import make_sceptre_style_synth as make_sceptre_style_synth
from .threads import limit_threading as limit_threading

__version__: str
__all__: list[str]
