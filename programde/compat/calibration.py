"""P-values from draws, and the skew-normal law, with the parameters of the original."""

from __future__ import annotations

import numpy as np
from scipy import stats

from programde.calibration import empirical, fdr, skew_normal
from programde.calibration.skew_normal_law import upper_tail_bulk
from programde.errors import InputError, OptionError

#: Tail levels at which a fitted law is compared with draws.
_LEVELS = np.array([0.02, 0.05, 0.1, 0.2])


def compute_empirical_p_value(
    null_statistics: np.ndarray, z_orig: float | np.ndarray, side: int | str
) -> float | np.ndarray:
    """Empirical p-value of an observed statistic from null draws.

    Parameters
    ----------
    null_statistics : (B,) or (B, K)
        Null draws.
    z_orig : scalar or (K,)
        Observed statistic.
    side
        0 both (by absolute values), -1 left, 1 right.

    Returns
    -------
    float, or (K,) float64
        (1 + number of draws at least as extreme) / (B + 1).
    """
    return empirical.compute_empirical_p_value(null_statistics, z_orig, side)


def compute_null_pvals_from_null_stats(null_stats: np.ndarray, side_code: int = 0) -> np.ndarray:
    """Leave-one-out p-values of draws (B,) or (B, K); see `calibration.empirical`."""
    return empirical.compute_null_pvals_from_null_stats(null_stats, side_code)


def crt_null_pvals_from_null_stats_fast(T_null: np.ndarray, two_sided: bool = True) -> np.ndarray:
    """Leave-one-out p-values of draws: two-sided, or right-sided where `two_sided` is False."""
    return empirical.crt_null_pvals_from_null_stats_fast(T_null, two_sided)


def crt_null_pvals_from_null_stats_matrix(
    beta_null_bk: np.ndarray, two_sided: bool = True
) -> np.ndarray:
    """`crt_null_pvals_from_null_stats_fast` of a matrix (B, K), column by column."""
    draws = np.asarray(beta_null_bk, dtype=np.float64)
    if draws.ndim != 2:
        raise InputError(f"beta_null_bk has shape {draws.shape}; give draws x programs")
    return empirical.crt_null_pvals_from_null_stats_fast(draws, two_sided)


def is_bh_adjusted_like(pvals: np.ndarray) -> bool:
    """Whether values look like adjusted p-values; see `calibration.fdr.is_bh_adjusted_like`."""
    return fdr.is_bh_adjusted_like(np.asarray(pvals))


def fit_skew_normal(y: np.ndarray) -> np.ndarray:
    """Method-of-moments fit to a sample: xi, omega, alpha, mean, sd, as an array (5,) float64.

    Raises
    ------
    InputError
        If `y` is not a vector, holds NaN or infinity, or has no spread.
    """
    return np.array(skew_normal.fit_skew_normal(y), dtype=np.float64)


def fit_skew_normal_funct_numba(y: np.ndarray) -> np.ndarray:
    """`fit_skew_normal`."""
    return fit_skew_normal(y)


def check_sn_tail(
    y_sorted: np.ndarray,
    xi_hat: float,
    omega_hat: float,
    alpha_hat: float,
    ratio_thresh: float = 2.0,
) -> bool:
    """True where both tails of a sample fit a skew-normal law within a factor.

    At the sample's quantiles of level c = 0.02, 0.05, 0.1 and 0.2 in either tail, the law's tail
    must lie between c / ratio_thresh and c * ratio_thresh. (P-values do not hang on this check:
    theirs allows for the number of draws, see `programde.calibration.skew_normal`.)

    Parameters
    ----------
    y_sorted : (B,)
        Null draws; they need not be sorted.
    xi_hat, omega_hat, alpha_hat
        The fitted law, on the scale of the draws.
    ratio_thresh
        The factor, above 1.
    """
    draws = _sample(y_sorted)
    _check_ratio(ratio_thresh)
    for sign, levels in ((1.0, 1.0 - _LEVELS), (-1.0, _LEVELS)):
        at = (np.quantile(draws, levels) - xi_hat) / omega_hat
        tail = upper_tail_bulk(sign * at, np.full(at.shape, sign * alpha_hat))
        if not (np.abs(np.log(tail / _LEVELS)) <= np.log(ratio_thresh)).all():
            return False
    return True


def check_for_outliers(
    null_sorted: np.ndarray, mu: float, sd: float, ratio_thresh: float = 1.5
) -> bool:
    """True where a draw lies further from the mean than so many draws explain.

    The largest of B normal draws lies at about the quantile 1 - 1/(2B) of their law. A draw at
    more than `ratio_thresh` times that distance from `mu`, on either side, is an outlier.
    (P-values do not hang on this check, see `programde.calibration.skew_normal`.)

    Parameters
    ----------
    null_sorted : (B,)
        Null draws; they need not be sorted.
    mu, sd
        Their mean and standard deviation.
    ratio_thresh
        The factor, above 1.
    """
    draws = _sample(null_sorted)
    _check_ratio(ratio_thresh)
    if not sd > 0:
        raise InputError(f"sd={sd!r} must be positive")
    expected = stats.norm.isf(0.5 / draws.size)
    return bool(np.abs((draws - mu) / sd).max() > ratio_thresh * max(float(expected), 1.0))


def fit_and_evaluate_skew_normal(
    z_orig: float, null_statistics: np.ndarray, side_code: int
) -> np.ndarray:
    """Fit, check and evaluate: [xi, omega, alpha, p]; p = -1 where the fit is refused.

    See `programde.calibration.skew_normal.fit_and_evaluate_skew_normal`.
    """
    return skew_normal.fit_and_evaluate_skew_normal(z_orig, null_statistics, side_code)


def _sample(values: np.ndarray) -> np.ndarray:
    draws = np.asarray(values, dtype=np.float64)
    if draws.ndim != 1 or draws.size == 0 or not np.isfinite(draws).all():
        raise InputError(f"draws of shape {draws.shape}: give a vector of finite numbers")
    return draws


def _check_ratio(ratio: float) -> None:
    if not ratio > 1:
        raise OptionError(f"ratio_thresh={ratio!r} must be above 1")
