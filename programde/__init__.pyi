"""The public names and the modules that hold them."""

from . import get as get
from . import io as io
from . import pl as pl
from . import tl as tl
from .analysis.calibrate import calibrate as calibrate
from .analysis.cost import plan_run as plan_run
from .analysis.ntc_groups import run_ntc_groups as run_ntc_groups
from .analysis.spike_tables import spike_table as spike_table
from .analysis.spiked_controls import run_spikes as run_spikes
from .analysis.tables import omnibus_table as omnibus_table
from .analysis.tables import results_table as results_table
from .analysis.targets import run_targets as run_targets
from .calibration.acat import acat as acat
from .compat.adata import THREAD_ENV_VARS as THREAD_ENV_VARS
from .compat.adata import add_burden_covariate as add_burden_covariate
from .compat.adata import compute_guide_burden as compute_guide_burden
from .compat.adata import encode_categorical_covariates as encode_categorical_covariates
from .compat.adata import get_covar_matrix as get_covar_matrix
from .compat.adata import get_from_adata_any as get_from_adata_any
from .compat.adata import get_program_names as get_program_names
from .compat.calibration import check_for_outliers as check_for_outliers
from .compat.calibration import check_sn_tail as check_sn_tail
from .compat.calibration import compute_empirical_p_value as compute_empirical_p_value
from .compat.calibration import (
    compute_null_pvals_from_null_stats as compute_null_pvals_from_null_stats,
)
from .compat.calibration import (
    crt_null_pvals_from_null_stats_fast as crt_null_pvals_from_null_stats_fast,
)
from .compat.calibration import (
    crt_null_pvals_from_null_stats_matrix as crt_null_pvals_from_null_stats_matrix,
)
from .compat.calibration import fit_and_evaluate_skew_normal as fit_and_evaluate_skew_normal
from .compat.calibration import fit_skew_normal as fit_skew_normal
from .compat.calibration import fit_skew_normal_funct_numba as fit_skew_normal_funct_numba
from .compat.calibration import is_bh_adjusted_like as is_bh_adjusted_like
from .compat.crt import run_all_genes_union_crt as run_all_genes_union_crt
from .compat.crt import run_one_gene_union_crt as run_one_gene_union_crt
from .compat.draws import bernoulli_index_sampler as bernoulli_index_sampler
from .compat.draws import compute_ols_denom as compute_ols_denom
from .compat.draws import compute_ols_denom_reference as compute_ols_denom_reference
from .compat.draws import crt_betas_for_gene as crt_betas_for_gene
from .compat.draws import crt_index_sampler_fast_numba as crt_index_sampler_fast_numba
from .compat.draws import crt_pvals_for_gene as crt_pvals_for_gene
from .compat.draws import stratified_permutation_sampler as stratified_permutation_sampler
from .compat.empirical import NTCNullResult as NTCNullResult
from .compat.empirical import run_ntc_empirical_null as run_ntc_empirical_null
from .compat.global_null import collect_gene_diagnostics as collect_gene_diagnostics
from .compat.global_null import collect_ntc_group_diagnostics as collect_ntc_group_diagnostics
from .compat.global_null import compute_unit_diagnostics as compute_unit_diagnostics
from .compat.global_null import summarize_diagnostics as summarize_diagnostics
from .compat.global_null import write_summary as write_summary
from .compat.inputs import CRTInputs as CRTInputs
from .compat.inputs import prepare_crt_inputs as prepare_crt_inputs
from .compat.ntc import crt_pvals_for_guide_set as crt_pvals_for_guide_set
from .compat.ntc import crt_pvals_for_guide_set_skew as crt_pvals_for_guide_set_skew
from .compat.ntc import crt_pvals_for_ntc_groups_ensemble as crt_pvals_for_ntc_groups_ensemble
from .compat.ntc import (
    crt_pvals_for_ntc_groups_ensemble_skew as crt_pvals_for_ntc_groups_ensemble_skew,
)
from .compat.ntc_partitions import build_ntc_group_inputs as build_ntc_group_inputs
from .compat.ntc_partitions import guide_frequency as guide_frequency
from .compat.ntc_partitions import make_ntc_groups_ensemble as make_ntc_groups_ensemble
from .compat.ntc_partitions import (
    make_ntc_groups_matched_by_freq as make_ntc_groups_matched_by_freq,
)
from .compat.ntc_pvals import (
    compute_ntc_empirical_pvals_crossfit as compute_ntc_empirical_pvals_crossfit,
)
from .compat.ntc_pvals import (
    compute_ntc_empirical_pvals_gene_agg_crossfit as compute_ntc_empirical_pvals_gene_agg_crossfit,
)
from .compat.ntc_pvals import empirical_pvals_vs_ntc as empirical_pvals_vs_ntc
from .compat.ntc_pvals import (
    sample_ntc_pseudogenes_with_replacement as sample_ntc_pseudogenes_with_replacement,
)
from .compat.ntc_pvals import split_ntc_units as split_ntc_units
from .compat.null import compute_gene_null_pvals as compute_gene_null_pvals
from .compat.null import compute_guide_set_null_pvals as compute_guide_set_null_pvals
from .compat.null import (
    compute_ntc_group_null_pvals_parallel as compute_ntc_group_null_pvals_parallel,
)
from .compat.null import crt_null_stats_for_test as crt_null_stats_for_test
from .compat.plots import qq_plot_ntc_pvals as qq_plot_ntc_pvals
from .compat.propensity import fit_propensity_logistic as fit_propensity_logistic
from .compat.propensity import oracle_propensity_const as oracle_propensity_const
from .compat.qq import bootstrap_qq_envelope as bootstrap_qq_envelope
from .compat.qq import expected_quantiles as expected_quantiles
from .compat.qq import plot_qq_curves as plot_qq_curves
from .compat.qq import qq_coords as qq_coords
from .compat.qq import qq_expected_grid as qq_expected_grid
from .compat.shapes import CRTGeneResult as CRTGeneResult
from .compat.storing import store_results_in_adata as store_results_in_adata
from .compat.synthetic import MockAdata as MockAdata
from .compat.synthetic import SyntheticTruth as SyntheticTruth
from .compat.synthetic import make_sceptre_style_synth as make_sceptre_style_synth
from .compat.synthetic import make_synthetic_adata as make_synthetic_adata
from .controls.control_units import ControlUnits as ControlUnits
from .controls.control_units import control_units as control_units
from .controls.options import ComparisonOptions as ComparisonOptions
from .controls.options import ControlUnitOptions as ControlUnitOptions
from .controls.options import CrossfitOptions as CrossfitOptions
from .controls.options import SpikeOptions as SpikeOptions
from .crt.checkpoint import Checkpoint as Checkpoint
from .crt.engine import RunOptions as RunOptions
from .crt.samplers import Bernoulli as Bernoulli
from .crt.samplers import StratifiedPermutation as StratifiedPermutation
from .crt.samplers.bins import compute_bins as compute_bins
from .crt.statistics import OLS as OLS
from .crt.statistics import UTest as UTest
from .errors import InputError as InputError
from .errors import OptionError as OptionError
from .errors import ProgramDEError as ProgramDEError
from .errors import ProgramDEWarning as ProgramDEWarning
from .io.anndata import read_h5ad as read_h5ad
from .io.anndata import screen_from_anndata as screen_from_anndata
from .io.write_back import write_back as write_back
from .report.crossfit_plots import make_ntc_empirical_qq_plots as make_ntc_empirical_qq_plots
from .screen.composition import clr_from_usage as clr_from_usage
from .screen.guides import build_gene_to_cols as build_gene_to_cols
from .screen.guides import to_csc_matrix as to_csc_matrix
from .screen.guides import union_obs_idx_from_cols as union_obs_idx_from_cols
from .screen.screen import Screen as Screen
from .threads import limit_threading as limit_threading
from .tl import calibration_metrics as calibration_metrics
from .workers import cluster as cluster

__version__: str
__all__: list[str]
