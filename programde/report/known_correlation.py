"""The law of control inflation where it is known how programs go together.

How the tests of one guide are correlated over programs is a property of the cells, not of the
guides: thousands of cells know it where ten guides do not. With that correlation R (K, K) of z, two
estimates of a common inflation lambda have laws that hold no unknown:

* the mean bounded chi-square T of `mean_inflation`. Scores of programs i and j have the covariance
  v r_ij^2, v the variance of one (exact for z^2; the bound adds terms in r^4, below 0.4 % of v), so
  that Var T = v sum r^2 / n^2. It hears whatever makes p-values small, in the measure it does;
* the programs taken apart, Q = z'(R + I)^{-1} z per its expectation. Directions in which programs
  move together count less than in T, where they are most of the spread, so Q knows a *common*
  inflation far better (20 programs correlated by 0.2: 43 % of the variance). It hardly hears one
  of the leading direction alone, so it is never asked alone. R + I in R's place: directions
  without spread (centred log-ratios have one, programs that are copies more) count nothing, and a
  small error of R does no harm.

Both are taken as scaled, shifted gammas (Pearson's type III) with the standard error and skewness
that sums of weighted chi-squares have: sqrt(2 sum w^2) / sum w, sqrt(8) sum w^3 / (sum w^2)^1.5,
w the eigenvalues of R for T and of R (R + I)^{-1} for Q.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import special

from programde.report.checked_tables import Metrics
from programde.report.mean_inflation import CAP, inflation_at, mean_score_at
from programde.root_finding import bracketed_root

_MEAN = float(special.chdtr(3, CAP) + CAP * special.chdtrc(1, CAP))


def _moment(power: int) -> float:
    """Of the bounded chi-square over its mean."""
    factor = float(np.prod(np.arange(1, 2 * power, 2)))
    inside = factor * special.chdtr(2 * power + 1, CAP)
    return float(inside + CAP**power * special.chdtrc(1, CAP)) / _MEAN**power


_VARIANCE = _moment(2) - 1.0
#: By how much the bound lowers the skewness of a chi-square.
_LESS_SKEW = (_moment(3) - 3.0 * _moment(2) + 2.0) / _VARIANCE**1.5 / np.sqrt(8.0)


def known_law(
    z: np.ndarray, correlation: np.ndarray, n_partitions: int = 1, gain: float = 1.0
) -> Metrics:
    """What the limits of inflation need where the correlation of z is known.

    Parameters
    ----------
    z : (units, K)
        Signed z of the control units' tests, NaN where there is none, over all partitions.
    correlation : (K, K)
        Of z over programs, under the null.
    n_partitions
        How many times the same guides were cut into units.
    gain
        The variance of a mean over all partitions, over that of one: between 1 / n_partitions
        and 1.

    Returns
    -------
    dict
        `lambda_mean_null_error` and `lambda_mean_null_skew`, relative standard error and skewness
        of `lambda_mean`'s score; `lambda_apart`, the inflation with programs taken apart, its
        `_error` and `_skew`; `lambda_apart_overlap`, how far both are the same (their
        correlation). What is not known is left out.
    """
    numbers: Metrics = {}
    tested = np.isfinite(z)
    rows = tested.any(axis=1)
    if rows.sum() < 2:
        return numbers
    z, tested = z[rows], tested[rows]
    squares = correlation**2
    pairs = float(np.einsum("gi,ij,gj->", tested, squares, tested))
    repeats = n_partitions * gain  # 1 where every row were a unit of its own
    n_worth = len(z) / repeats
    value, vector = np.linalg.eigh(correlation)
    value = np.clip(value, 0.0, None)
    numbers["lambda_mean_null_error"] = float(np.sqrt(_VARIANCE * pairs * repeats) / tested.sum())
    numbers["lambda_mean_null_skew"] = float(_LESS_SKEW * _skewness(value, n_worth))
    whole = tested.all(axis=1)
    if 2 * whole.sum() < len(z):
        return numbers
    weight = value / (value + 1.0)
    along = np.clip(z[whole], -np.sqrt(CAP), np.sqrt(CAP)) @ vector
    mean = float((along**2 / (value + 1.0)).sum() / whole.sum() / weight.sum() / _MEAN)
    n_worth = whole.sum() / repeats
    numbers["lambda_apart"] = inflation_at(mean)
    numbers["lambda_apart_error"] = float(np.sqrt(2.0 * (weight**2).sum() / n_worth) / weight.sum())
    numbers["lambda_apart_skew"] = _skewness(weight, n_worth)
    numbers["lambda_apart_overlap"] = float(
        value @ weight / np.sqrt((value**2).sum() * (weight**2).sum())
    )
    return numbers


def gain_of_partitions(guides: Sequence[Sequence[object]] | None, n_partitions: int) -> float:
    """Variance of a mean over several partitions of the same guides, over that of one.

    Under the null z of a group is the sum of its guides' z, so that two groups of g guides that
    share s of them have z correlated by s / g and scores by its square: see `mean_inflation`, with
    g zeta / H = 1 / g. 1 where nobody tells who shares guides with whom.
    """
    if guides is None or n_partitions < 2:
        return 1.0
    drawn = [guide for one in guides for guide in one]
    repeats = len(set(drawn)) / len(drawn)
    return repeats + (1.0 - repeats) * len(guides) / len(drawn)


def is_known(metrics: Mapping[str, float | int]) -> bool:
    """Whether the law of `lambda_mean` is among the metrics."""
    return "lambda_mean_null_error" in metrics


def known_upper_limit(metrics: Mapping[str, float | int], error: float, most: float) -> float:
    """An upper limit of a common inflation that is wrong with probability `error`.

    It is the larger one of the two estimates' limits. Both are wrong together less often than each
    is, so each may be wrong somewhat more often, up to `most`: by how much follows from their
    correlation.

    Parameters
    ----------
    metrics
        What `mean_inflation` and `known_law` returned.
    error
        Probability that a common inflation lies beyond.
    most
        The largest error of either limit: how often an inflation that one estimate alone hears
        may go unseen.
    """
    each, apart = error, 0.0
    if "lambda_apart" in metrics:
        each = min(most, _error_of_each(error, metrics["lambda_apart_overlap"]))
        known = (metrics[f"lambda_apart{key}"] for key in ("", "_error", "_skew"))
        apart = _limit(each, *known)
    known = (metrics[f"lambda_mean{key}"] for key in ("", "_null_error", "_null_skew"))
    return max(apart, _limit(each, *known))


def _limit(error: float, value: float, spread: float, skew: float) -> float:
    """The inflation at which an estimate as small as `value` has probability `error`."""
    shape = 4.0 / skew**2
    at = 1.0 + spread * (special.gammaincinv(shape, error) - shape) / np.sqrt(shape)
    mean = float(mean_score_at(value)) if value > 0 else 0.0
    return inflation_at(mean / at) if at > 0 else np.inf


def _error_of_each(error: float, overlap: float) -> float:
    """The error at which two normal limits of this correlation are wrong together with `error`."""

    def too_much(at: float) -> float:
        # P(X < h, Y < h) = Phi(h) - 2 T(h, sqrt((1 - rho) / (1 + rho))), T Owen's
        slope = np.sqrt(max(0.0, 1.0 - overlap) / (1.0 + overlap))
        return float(special.ndtr(at) - 2.0 * special.owens_t(at, slope) - error)

    low = float(special.ndtri(error))
    return error if too_much(low) >= 0 else float(special.ndtr(bracketed_root(too_much, low, 3.0)))


def _skewness(weight: np.ndarray, n: float) -> float:
    return float(np.sqrt(8.0 / n) * (weight**3).sum() / max((weight**2).sum(), 1e-300) ** 1.5)
