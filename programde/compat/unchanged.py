"""Names of the original that are the library's own."""

from programde.crt.samplers.bins import compute_bins
from programde.report.crossfit_plots import make_ntc_empirical_qq_plots
from programde.screen.composition import clr_from_usage
from programde.screen.guides import build_gene_to_cols, to_csc_matrix, union_obs_idx_from_cols
from programde.threads import limit_threading

__all__ = [
    "build_gene_to_cols",
    "clr_from_usage",
    "compute_bins",
    "limit_threading",
    "make_ntc_empirical_qq_plots",
    "to_csc_matrix",
    "union_obs_idx_from_cols",
]
