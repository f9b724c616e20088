"""The names of the original, and the modules that hold them."""

from .adata import THREAD_ENV_VARS as THREAD_ENV_VARS
from .adata import add_burden_covariate as add_burden_covariate
from .adata import compute_guide_burden as compute_guide_burden
from .adata import encode_categorical_covariates as encode_categorical_covariates
from .adata import get_covar_matrix as get_covar_matrix
from .adata import get_from_adata_any as get_from_adata_any
from .adata import get_program_names as get_program_names
from .calibration import check_for_outliers as check_for_outliers
from .calibration import check_sn_tail as check_sn_tail
from .calibration import compute_empirical_p_value as compute_empirical_p_value
from .calibration import compute_null_pvals_from_null_stats as compute_null_pvals_from_null_stats
from .calibration import crt_null_pvals_from_null_stats_fast as crt_null_pvals_from_null_stats_fast
from .calibration import (
    crt_null_pvals_from_null_stats_matrix as crt_null_pvals_from_null_stats_matrix,
)
from .calibration import fit_and_evaluate_skew_normal as fit_and_evaluate_skew_normal
from .calibration import fit_skew_normal as fit_skew_normal
from .calibration import fit_skew_normal_funct_numba as fit_skew_normal_funct_numba
from .calibration import is_bh_adjusted_like as is_bh_adjusted_like
from .crt import run_all_genes_union_crt as run_all_genes_union_crt
from .crt import run_one_gene_union_crt as run_one_gene_union_crt
from .draws import bernoulli_index_sampler as bernoulli_index_sampler
from .draws import compute_ols_denom as compute_ols_denom
from .draws import compute_ols_denom_reference as compute_ols_denom_reference
from .draws import crt_betas_for_gene as crt_betas_for_gene
from .draws import crt_index_sampler_fast_numba as crt_index_sampler_fast_numba
from .draws import crt_pvals_for_gene as crt_pvals_for_gene
from .draws import stratified_permutation_sampler as stratified_permutation_sampler
from .empirical import NTCNullResult as NTCNullResult
from .empirical import run_ntc_empirical_null as run_ntc_empirical_null
from .global_null import collect_gene_diagnostics as collect_gene_diagnostics
from .global_null import collect_ntc_group_diagnostics as collect_ntc_group_diagnostics
from .global_null import compute_unit_diagnostics as compute_unit_diagnostics
from .global_null import summarize_diagnostics as summarize_diagnostics
from .global_null import write_summary as write_summary
from .inputs import CRTInputs as CRTInputs
from .inputs import prepare_crt_inputs as prepare_crt_inputs
from .ntc import crt_pvals_for_guide_set as crt_pvals_for_guide_set
from .ntc import crt_pvals_for_guide_set_skew as crt_pvals_for_guide_set_skew
from .ntc import crt_pvals_for_ntc_groups_ensemble as crt_pvals_for_ntc_groups_ensemble
from .ntc import crt_pvals_for_ntc_groups_ensemble_skew as crt_pvals_for_ntc_groups_ensemble_skew
from .ntc_partitions import build_ntc_group_inputs as build_ntc_group_inputs
from .ntc_partitions import guide_frequency as guide_frequency
from .ntc_partitions import make_ntc_groups_ensemble as make_ntc_groups_ensemble
from .ntc_partitions import make_ntc_groups_matched_by_freq as make_ntc_groups_matched_by_freq
from .ntc_pvals import compute_ntc_empirical_pvals_crossfit as compute_ntc_empirical_pvals_crossfit
from .ntc_pvals import (
    compute_ntc_empirical_pvals_gene_agg_crossfit as compute_ntc_empirical_pvals_gene_agg_crossfit,
)
from .ntc_pvals import empirical_pvals_vs_ntc as empirical_pvals_vs_ntc
from .ntc_pvals import (
    sample_ntc_pseudogenes_with_replacement as sample_ntc_pseudogenes_with_replacement,
)
from .ntc_pvals import split_ntc_units as split_ntc_units
from .null import compute_gene_null_pvals as compute_gene_null_pvals
from .null import compute_guide_set_null_pvals as compute_guide_set_null_pvals
from .null import compute_ntc_group_null_pvals_parallel as compute_ntc_group_null_pvals_parallel
from .null import crt_null_stats_for_test as crt_null_stats_for_test
from .plots import qq_plot_ntc_pvals as qq_plot_ntc_pvals
from .propensity import fit_propensity_logistic as fit_propensity_logistic
from .propensity import oracle_propensity_const as oracle_propensity_const
from .qq import bootstrap_qq_envelope as bootstrap_qq_envelope
from .qq import expected_quantiles as expected_quantiles
from .qq import plot_qq_curves as plot_qq_curves
from .qq import qq_coords as qq_coords
from .qq import qq_expected_grid as qq_expected_grid
from .shapes import CRTGeneResult as CRTGeneResult
from .storing import store_results_in_adata as store_results_in_adata
from .synthetic import MockAdata as MockAdata
from .synthetic import SyntheticTruth as SyntheticTruth
from .synthetic import make_sceptre_style_synth as make_sceptre_style_synth
from .synthetic import make_synthetic_adata as make_synthetic_adata
from .unchanged import build_gene_to_cols as build_gene_to_cols
from .unchanged import clr_from_usage as clr_from_usage
from .unchanged import compute_bins as compute_bins
from .unchanged import limit_threading as limit_threading
from .unchanged import make_ntc_empirical_qq_plots as make_ntc_empirical_qq_plots
from .unchanged import to_csc_matrix as to_csc_matrix
from .unchanged import union_obs_idx_from_cols as union_obs_idx_from_cols

__all__: list[str]
