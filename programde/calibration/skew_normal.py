"""P-values from a skew-normal law fitted to the moments of each test's null draws.

With B null draws of a statistic T, mean m and standard deviation s (dividing by B), z = (T - m)/s.
SN(xi, omega, alpha) gets the draws' mean, standard deviation and skewness on the z scale (0, 1, g;
abs(g) > 0.995 is taken as 0.9 * 0.995), and the p-value is a tail F of that law:

    right   p = P(Z >= z)
    left    p = P(Z <= z)
    both    p = min(1, 2 * tail on the side of the null median on which z lies)

(skew-normal smoothing of resampled nulls: Barry et al. 2021, Genome Biology 22:344, and 2024,
Genome Biology 25:124.) A fitted law can be wrong, so the draws judge it first, by two checks on
both of its sides. The checks see the null draws alone, never the observed statistic. So whether a
law is refused tells nothing about where z lies, and mixing smooth with counted p-values keeps the
null calibrated.

Tail check. S being the fitted tail beyond the draws' quantile at tail level c, S/c should be 1.
For draws of the law itself log(S/c) has a standard error of about sqrt((1 - c) / (B c)), less what
the fit absorbs. The law is refused where, at any of c = 0.02, 0.05, ..., 0.20 in either tail,

    |log(S/c)| > sqrt((2.25)^2 (1 - c) / (B c) + 0.05^2)

0.05 is the misfit that is tolerated however many draws there are: without it every law would be
refused at large B, none being exactly skew-normal.

Outlier check. If the law holds, B S(largest draw) follows the exponential law of mean 1, and so
does B F(smallest draw). Below 0.005 (probability 0.5 %) a draw lies further out than the law
explains; above 7 (probability 0.1 %) the draws end long before the law does. Either refuses it.

False refusals, for draws that do come from a skew-normal law, 20,000 sets of B = 1023 draws each
(standard error at most 0.003; `tests/calibration/test_skew_normal_checks.py` repeats it in small):

    alpha (skewness)     0 (0)    1 (0.14)   2 (0.45)   3 (0.67)   5 (0.85)
    tail check           0.002    0.002      0.009      0.054      0.198
    outlier check        0.005    0.006      0.008      0.022      0.109
    either               0.006    0.008      0.016      0.066      0.225

Towards the largest possible skewness (0.995) it is the moment fit that fails: the fitted thin tail
hangs on the sampled skewness, and those refusals are deserved. The rate of p <= 1e-5, over 1e-5,
in 2,000 such sets with 10,000 observed values each was 1.6, 1.5, 2.1, 2.6 under the laws that were
accepted at alpha = 1, 2, 3, 5, and 6, 52, 224 under those that were refused at alpha = 2, 3, 5 (the
excess at alpha <= 1 is the sampling error of three moments from 1023 draws). Laws of other shapes
are refused, of such sets: Student t with 5 degrees of freedom 98 %; exponential, Laplace, uniform,
Poisson of mean 2: all.

Where a law is refused the p-value is the empirical one and `fallback` says why.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from programde.calibration.empirical import empirical_p, side_from_code
from programde.calibration.skew_normal_law import (
    parameters_from_moments,
    upper_tail,
    upper_tail_bulk,
)
from programde.crt.null_summary import TAIL_LEVELS, NullSummary, summarise
from programde.errors import InputError, check_choice
from programde.tails.formulas import SIDES

#: Reasons in `SkewNormal.fallback`.
FEW_DRAWS = "fewer than 20 null draws"
NO_SPREAD = "null draws are all equal"
TAIL_MISFIT = "skew-normal tail does not fit the null draws"
OUTLIER = "extreme null draw does not fit the skew-normal"

MIN_DRAWS = 20
_CHECKED = slice(0, None, 3)  # neighbouring levels tell almost the same: every third is enough
_CHECKED_LEVELS = TAIL_LEVELS[_CHECKED]
_TAIL_CRITICAL = 2.25
_TAIL_TOLERANCE = 0.05
_EXTREME_LOW, _EXTREME_HIGH = 0.005, 7.0
_SMALLEST_P = np.finfo(np.float64).tiny


@dataclass(frozen=True)
class SkewNormal:
    """Skew-normal calibration of G x K tests.

    Attributes
    ----------
    p : (G, K) float64
        P-values: of the fitted law, or empirical where it was refused; NaN where there is no test.
        Never 0: what is smaller than 2.2e-308 is given as that.
    parameters : (G, K, 3) float64
        xi, omega, alpha on the z scale of each test; also where the law was refused. NaN where
        nothing could be fitted.
    fallback : (G, K) object
        "" or why the empirical p-value was taken.
    """

    p: np.ndarray
    parameters: np.ndarray
    fallback: np.ndarray


def calibrate(effect: np.ndarray, null: NullSummary, side: str = "both") -> SkewNormal:
    """Skew-normal p-values of G x K tests in one vectorised pass.

    Parameters
    ----------
    effect : (G, K)
        Observed statistics, on the scale of the null draws. NaN gives p = NaN.
    null
        Summary of the null draws of the same tests.
    side
        "both", "left" or "right".

    Returns
    -------
    SkewNormal

    Raises
    ------
    InputError
        If `effect` and `null` have different shapes.
    OptionError
        For an unknown side.
    """
    check_choice("side", side, SIDES)
    effect = np.asarray(effect, dtype=np.float64)
    if effect.shape != null.mean.shape:
        raise InputError(
            f"effect has shape {effect.shape} but the null summary {null.mean.shape}; give both "
            "for the same units and programs"
        )
    p = np.where(np.isfinite(effect), empirical_p(null, side), np.nan)
    parameters = np.full((*effect.shape, 3), np.nan)
    fallback = np.full(effect.shape, "", dtype=object)

    present = null.n_draws > 0
    with np.errstate(invalid="ignore"):
        known = present & np.isfinite(null.mean) & np.isfinite(null.sd)
        spread = known & ~_no_spread(null)
    fitted = spread & np.isfinite(null.skewness) & (null.n_draws >= MIN_DRAWS)
    at = np.nonzero(fitted)
    parameters[at] = np.stack(parameters_from_moments(0.0, 1.0, null.skewness[at]), axis=-1)
    tail_misfit, outlier = _refused(parameters[at], _z_scale(null, at), null.n_draws)

    tested = np.isfinite(effect)
    fallback[tested & known & ~spread] = NO_SPREAD
    fallback[tested & spread & ~fitted] = FEW_DRAWS
    reasons = np.where(tail_misfit, TAIL_MISFIT, np.where(outlier, OUTLIER, ""))
    fallback[at] = np.where(tested[at], reasons, "")

    smooth = fitted & tested
    smooth[at] &= ~(tail_misfit | outlier)
    if smooth.any():
        p[smooth] = _smooth_p(effect, null, parameters, smooth, side)
    return SkewNormal(p=p, parameters=parameters, fallback=fallback)


def skew_normal_from_moments(
    mean: np.ndarray | float,
    sd: np.ndarray | float,
    skewness: np.ndarray | float,
    observed: np.ndarray | float,
    side: str = "both",
) -> np.ndarray:
    """P-values of the skew-normal law with given null moments, without draws and without checks.

    Parameters
    ----------
    mean, sd, skewness, observed
        Null moments (population standard deviation) and observed statistics; arrays that
        broadcast together.
    side
        "both" (twice the smaller tail, at most 1), "left" or "right".

    Returns
    -------
    np.ndarray, float64
        In [2.2e-308, 1]; NaN where an input is not finite or the sd is not positive.

    Raises
    ------
    OptionError
        For an unknown side.
    """
    check_choice("side", side, SIDES)
    mean, sd, skewness, observed = np.broadcast_arrays(
        *(np.asarray(x, dtype=np.float64) for x in (mean, sd, skewness, observed))
    )
    p = np.full(mean.shape, np.nan)
    good = np.isfinite(mean) & np.isfinite(sd) & np.isfinite(skewness) & np.isfinite(observed)
    good &= sd > 0
    xi, omega, alpha = parameters_from_moments(0.0, 1.0, skewness[good])
    u = ((observed[good] - mean[good]) / sd[good] - xi) / omega
    if side == "both":
        tails = np.minimum(upper_tail(u, alpha), upper_tail(-u, -alpha))
        p[good] = np.minimum(1.0, 2.0 * tails)
    else:
        sign = 1.0 if side == "right" else -1.0
        p[good] = upper_tail(sign * u, sign * alpha)
    return np.maximum(p, _SMALLEST_P)


def _no_spread(null: NullSummary) -> np.ndarray:
    """Tests whose draws are all equal, up to the rounding of their mean."""
    size = np.maximum(np.abs(null.minimum), np.abs(null.maximum))
    return (null.maximum <= null.minimum) | (null.sd <= 1e-12 * size)


@dataclass(frozen=True)
class _Draws:
    """What the checks look at, for n tests on the z scale."""

    lower: np.ndarray  # (n, 7) quantiles at _CHECKED_LEVELS
    upper: np.ndarray  # (n, 7) quantiles at 1 - _CHECKED_LEVELS
    minimum: np.ndarray  # (n,)
    maximum: np.ndarray  # (n,)


def _z_scale(null: NullSummary, at: tuple[np.ndarray, ...]) -> _Draws:
    mean, sd = null.mean[at], null.sd[at]
    return _Draws(
        lower=(null.lower[..., _CHECKED][at] - mean[:, None]) / sd[:, None],
        upper=(null.upper[..., _CHECKED][at] - mean[:, None]) / sd[:, None],
        minimum=(null.minimum[at] - mean) / sd,
        maximum=(null.maximum[at] - mean) / sd,
    )


def _refused(parameters: np.ndarray, draws: _Draws, n_draws: int) -> tuple[np.ndarray, np.ndarray]:
    """Both checks of the module's docstring.

    Parameters
    ----------
    parameters : (n, 3)
        xi, omega, alpha on the scale of `draws`.

    Returns
    -------
    tail_misfit, outlier : (n,) bool
    """
    xi, omega, alpha = (parameters[:, j, None] for j in range(3))
    allowed = np.sqrt(
        _TAIL_CRITICAL**2 * (1 - _CHECKED_LEVELS) / (max(n_draws, 1) * _CHECKED_LEVELS)
        + _TAIL_TOLERANCE**2
    )
    tail_misfit = np.zeros(len(parameters), dtype=bool)
    outlier = np.zeros(len(parameters), dtype=bool)
    for sign, quantiles, extreme in (
        (1.0, draws.upper, draws.maximum),
        (-1.0, draws.lower, draws.minimum),
    ):
        points = np.concatenate([quantiles, extreme[:, None]], axis=1)
        tail = upper_tail_bulk(sign * (points - xi) / omega, sign * alpha)
        # written so that NaN, which compares as False, refuses
        tail_misfit |= ~(np.abs(np.log(tail[:, :-1] / _CHECKED_LEVELS)) <= allowed).all(axis=1)
        expected_beyond = n_draws * tail[:, -1]
        outlier |= ~((expected_beyond >= _EXTREME_LOW) & (expected_beyond <= _EXTREME_HIGH))
    return tail_misfit, outlier


def _smooth_p(
    effect: np.ndarray, null: NullSummary, parameters: np.ndarray, chosen: np.ndarray, side: str
) -> np.ndarray:
    """Tail of the fitted laws for the chosen tests; the left tail as a reflected right one."""
    xi, omega, alpha = np.moveaxis(parameters[chosen], -1, 0)
    observed = effect[chosen]
    z = (observed - null.mean[chosen]) / null.sd[chosen]
    if side == "both":
        sign = np.where(observed > null.median[chosen], 1.0, -1.0)
    else:
        sign = np.full(z.shape, 1.0 if side == "right" else -1.0)
    tail = upper_tail(sign * (z - xi) / omega, sign * alpha)
    if side == "both":
        tail = np.minimum(1.0, 2.0 * tail)
    return np.maximum(tail, _SMALLEST_P)


def fit_skew_normal(y: np.ndarray) -> tuple[float, float, float, float, float]:
    """Method-of-moments fit to a sample.

    Parameters
    ----------
    y : (B,)
        Sample, for example null z-scores.

    Returns
    -------
    xi, omega, alpha, mean, sd : float
        Parameters on the scale of `y`; the standard deviation divides by B.

    Raises
    ------
    InputError
        If `y` is not a vector, holds NaN or infinity, or has no spread.
    """
    null = _summary_of(y)
    if bool(_no_spread(null)[0, 0]):
        raise InputError(f"all {null.n_draws} values are equal; a law needs values that differ")
    mean, sd = float(null.mean[0, 0]), float(null.sd[0, 0])
    xi, omega, alpha = parameters_from_moments(mean, sd, null.skewness[0, 0])
    return float(xi), float(omega), float(alpha), mean, sd


def check_sn_tail(y: np.ndarray, xi: float, omega: float, alpha: float) -> bool:
    """True where both tails of a sample fit the law: the tail check of the module's docstring.

    Parameters
    ----------
    y : (B,)
        Null draws, on the scale of the parameters.
    xi, omega, alpha
        The fitted law.

    Raises
    ------
    InputError
        If `y` is not a vector or holds NaN or infinity.
    """
    return not _check_sample(y, xi, omega, alpha)[0]


def check_for_outliers(y: np.ndarray, xi: float, omega: float, alpha: float) -> bool:
    """True where the extremes of a sample speak against the law: the outlier check.

    Parameters and errors as `check_sn_tail`.
    """
    return _check_sample(y, xi, omega, alpha)[1]


def fit_and_evaluate_skew_normal(
    z: float, null: np.ndarray, side_code: int | str = 0
) -> np.ndarray:
    """Fit, check and evaluate for one test from explicit draws.

    Parameters
    ----------
    z
        Observed statistic, on the scale of `null`.
    null : (B,)
        Null draws, for example z-scores.
    side_code
        0 (both), -1 (left), 1 (right), or the side's name.

    Returns
    -------
    np.ndarray, shape (4,)
        xi, omega, alpha (on the scale of `null`) and p; p = -1 where the law is refused, NaN
        where z is NaN. Parameters are NaN where nothing could be fitted.

    Raises
    ------
    InputError
        If `null` is not a vector or holds NaN or infinity.
    """
    side = side_from_code(side_code)
    summary = _summary_of(null, z)
    result = calibrate(np.full((1, 1), z, dtype=np.float64), summary, side)
    xi, omega, alpha = result.parameters[0, 0]
    mean, sd = summary.mean[0, 0], summary.sd[0, 0]
    p = -1.0 if result.fallback[0, 0] else result.p[0, 0]
    return np.array([mean + sd * xi, sd * omega, alpha, p])


def _summary_of(y: np.ndarray, observed: float = np.nan) -> NullSummary:
    sample = np.asarray(y, dtype=np.float64)
    if sample.ndim != 1 or sample.size == 0 or not np.isfinite(sample).all():
        raise InputError(
            f"a sample of shape {sample.shape} with {np.sum(~np.isfinite(sample))} values that "
            "are not finite; give a vector of finite numbers"
        )
    return summarise(sample[:, None], np.array([observed], dtype=np.float64))


def _check_sample(y: np.ndarray, xi: float, omega: float, alpha: float) -> tuple[bool, bool]:
    null = _summary_of(y)
    draws = _Draws(
        lower=null.lower[0][:, _CHECKED],
        upper=null.upper[0][:, _CHECKED],
        minimum=null.minimum[0],
        maximum=null.maximum[0],
    )
    tail_misfit, outlier = _refused(np.array([[xi, omega, alpha]]), draws, null.n_draws)
    return bool(tail_misfit[0]), bool(outlier[0])
