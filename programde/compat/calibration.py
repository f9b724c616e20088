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

    Examples
    --------
    >>> import numpy as np, programde as pde
    >>> pde.compute_empirical_p_value(np.array([-1.0, 0.5, 2.0]), 1.5, 0)
    0.5
    """
    return empirical.compute_empirical_p_value(null_statistics, z_orig, side)


def compute_null_pvals_from_null_stats(null_stats: np.ndarray, side_code: int = 0) -> np.ndarray:
    """Leave-one-out p-values of draws: each is judged by all of them.

    Parameters
    ----------
    null_stats : (B,) or (B, K)
        Null draws.
    side_code
        0 both (by absolute values), -1 left, 1 right.

    Returns
    -------
    float64, shape of `null_stats`
        Multiples of 1/B; see `programde.calibration.empirical`.

    Examples
    --------
    >>> import numpy as np, programde as pde
    >>> pde.compute_null_pvals_from_null_stats(np.array([-3.0, 1.0, 2.0, 0.5])).tolist()
    [0.25, 0.75, 0.5, 1.0]
    """
    return empirical.compute_null_pvals_from_null_stats(null_stats, side_code)


def crt_null_pvals_from_null_stats_fast(T_null: np.ndarray, two_sided: bool = True) -> np.ndarray:
    """Leave-one-out p-values of draws, two-sided or right-sided.

    Parameters
    ----------
    T_null : (B,) or (B, K)
        Null draws.
    two_sided
        By absolute values; False: large values are extreme.

    Returns
    -------
    float64, shape of `T_null`
        Multiples of 1/B.

    Examples
    --------
    >>> import numpy as np, programde as pde
    >>> pde.crt_null_pvals_from_null_stats_fast(np.array([-3.0, 1.0, 2.0, 0.5]), False).tolist()
    [1.0, 0.5, 0.25, 0.75]
    """
    return empirical.crt_null_pvals_from_null_stats_fast(T_null, two_sided)


def crt_null_pvals_from_null_stats_matrix(
    beta_null_bk: np.ndarray, two_sided: bool = True
) -> np.ndarray:
    """`crt_null_pvals_from_null_stats_fast` of a matrix, column by column.

    Parameters
    ----------
    beta_null_bk : (B, K)
        Null draws.
    two_sided
        By absolute values; False: large values are extreme.

    Returns
    -------
    (B, K) float64
        Multiples of 1/B.

    Examples
    --------
    >>> import numpy as np, programde as pde
    >>> draws = np.array([[-3.0, 1.0], [1.0, 2.0]])
    >>> pde.crt_null_pvals_from_null_stats_matrix(draws).tolist()
    [[0.5, 1.0], [1.0, 0.5]]
    """
    draws = np.asarray(beta_null_bk, dtype=np.float64)
    if draws.ndim != 2:
        raise InputError(f"beta_null_bk has shape {draws.shape}; give draws x programs")
    return empirical.crt_null_pvals_from_null_stats_fast(draws, two_sided)


def is_bh_adjusted_like(pvals: np.ndarray) -> bool:
    """Whether values look like adjusted p-values rather than raw ones.

    Parameters
    ----------
    pvals
        Values of any shape; see `programde.calibration.fdr.is_bh_adjusted_like`.

    Returns
    -------
    bool
        True where they look adjusted.

    Examples
    --------
    >>> import numpy as np, programde as pde
    >>> pde.is_bh_adjusted_like(np.random.default_rng(0).uniform(size=500))
    False
    """
    return fdr.is_bh_adjusted_like(np.asarray(pvals))


def fit_skew_normal(y: np.ndarray) -> np.ndarray:
    """Fit a skew-normal law to a sample by its first three moments.

    Parameters
    ----------
    y : (n,)
        The sample.

    Returns
    -------
    (5,) float64
        Location xi, scale omega, shape alpha of the law; mean and standard deviation of `y`.

    Raises
    ------
    InputError
        If `y` is not a vector, holds NaN or infinity, or has no spread.

    Examples
    --------
    A sample without skewness gives a normal law:

    >>> import numpy as np, programde as pde
    >>> pde.fit_skew_normal(np.array([-1.0, 0.0, 1.0])).round(3).tolist()
    [0.0, 0.816, 0.0, 0.0, 0.816]
    """
    return np.array(skew_normal.fit_skew_normal(y), dtype=np.float64)


def fit_skew_normal_funct_numba(y: np.ndarray) -> np.ndarray:
    """`fit_skew_normal` by its other name.

    Parameters
    ----------
    y : (n,)
        The sample.

    Returns
    -------
    (5,) float64
        As `fit_skew_normal`.

    Examples
    --------
    >>> import numpy as np, programde as pde
    >>> pde.fit_skew_normal_funct_numba(np.array([-1.0, 0.0, 1.0])).shape
    (5,)
    """
    return fit_skew_normal(y)


def check_sn_tail(
    y_sorted: np.ndarray,
    xi_hat: float,
    omega_hat: float,
    alpha_hat: float,
    ratio_thresh: float = 2.0,
) -> bool:
    """Whether both tails of a sample fit a skew-normal law within a factor.

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

    Returns
    -------
    bool
        True where they fit.

    Examples
    --------
    >>> import numpy as np, programde as pde
    >>> draws = np.random.default_rng(0).normal(size=999)
    >>> xi, omega, alpha, *_ = pde.fit_skew_normal(draws)
    >>> pde.check_sn_tail(draws, xi, omega, alpha)
    True
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
    """Whether a draw lies further from the mean than so many draws explain.

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

    Returns
    -------
    bool
        True where there is such a draw.

    Examples
    --------
    >>> import numpy as np, programde as pde
    >>> draws = np.random.default_rng(0).normal(size=999)
    >>> pde.check_for_outliers(draws, 0.0, 1.0), pde.check_for_outliers(draws, 0.0, 0.2)
    (False, True)
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
    """Fit a skew-normal law to null draws, check it, and take the p-value from it.

    Parameters
    ----------
    z_orig
        Observed statistic.
    null_statistics : (B,)
        Null draws.
    side_code
        0 both, -1 left, 1 right.

    Returns
    -------
    (4,) float64
        Location xi, scale omega, shape alpha, and the p-value, which is -1 where the fit is
        refused; see `programde.calibration.skew_normal.fit_and_evaluate_skew_normal`.

    Examples
    --------
    >>> import numpy as np, programde as pde
    >>> draws = np.random.default_rng(0).normal(size=999)
    >>> *law, p = pde.fit_and_evaluate_skew_normal(4.0, draws, 0)
    >>> bool(1e-5 < p < 1e-3)
    True
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
