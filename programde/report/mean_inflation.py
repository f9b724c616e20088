"""Inflation from all control p-values at once, with an interval that knows what is dependent.

A rate at 0.05 looks at one p-value in twenty. If every z is sqrt(lambda) too large, the mean of
chi-square = z^2 tells more: it is the maximum likelihood estimate of lambda, whatever the
correlations. Here it is bounded, so that one guide with an effect of its own, or p-values on a
coarse grid, cannot carry it: with c the chi-square (1 df) at p = 0.001,

    score(p) = min(chi2(p), c) / E,   E = m(1),   m(lambda) = E min(lambda chi2, c)
             = lambda P(chi2_3 <= c / lambda) + c P(chi2_1 > c / lambda)

T is the mean score, `lambda_mean` the lambda at which T is expected (Huber's M-estimate of a
scale, his proposal 2): 1 is calibrated, as for the other lambdas.

Its variance. u_g is the sum of score - T over the tests of unit g, per mean number of tests. Its
variance is that of independent tests times a design effect, at least 1 (squares of normals are
never negatively correlated). The design effect is the mean of two estimates, from u_g and from the
same with p in place of the score, which has lighter tails. Its degrees of freedom are the number of
units less one, over 1 + 3 (1 - 1 / design effect): where one factor moves all programs of a unit,
u_g is as skewed as a chi-square, and its variance is known less well.

Several partitions of the same guides into groups. With m groups of g guides in each of P
partitions, the mean over partitions has the variance (Hoeffding 1948, Ann. Math. Stat. 19:293, for
a random part of all groups, H the variance of u)

    V = H / m  (1 / P + (1 - 1 / P) g zeta / H),   zeta the variance of E(u | one guide)

between H / m, as of one partition, and little above that of single guides. zeta is the variance
over guides of the mean u of their groups, less H / P, per 1 - 1 / P; g zeta / H is kept between
1 / g, its value for sums of independent z, and 1. It needs to know each group's guides; where they
are not told, V = H / m.

The interval is symmetric in 1 / T, T / (1 +- t se / T): the spread of positive skewed means grows
with them, faster than in proportion.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import special

from programde.report.checked_tables import Metrics

#: Where scores are bounded: the chi-square at p = 0.001.
CAP = float(special.chdtri(1, 1e-3))
_GRID = np.exp(np.linspace(-6.0, 6.0, 6001))
_SMALLEST_P = np.finfo(np.float64).tiny


def mean_score_at(inflation: np.ndarray | float) -> np.ndarray:
    """Expected score where every chi-square is `inflation` times too large; 1 at 1."""
    scale = np.asarray(inflation, dtype=np.float64)
    mean = scale * special.chdtr(3, CAP / scale) + CAP * special.chdtrc(1, CAP / scale)
    at_one = special.chdtr(3, CAP) + CAP * special.chdtrc(1, CAP)
    return mean / at_one


_GRID_SCORE = mean_score_at(_GRID)


def inflation_at(score: float) -> float:
    """The inverse of `mean_score_at`, from 0 to 403: as good as none and as endless."""
    return float(np.interp(score, _GRID_SCORE, _GRID)) if score > _GRID_SCORE[0] else 0.0


def mean_inflation(
    p: np.ndarray,
    unit_of_test: np.ndarray,
    n_independent: int,
    n_partitions: int = 1,
    guides: Sequence[Sequence[object]] | None = None,
) -> Metrics:
    """`lambda_mean` and what its interval needs.

    Parameters
    ----------
    p : (tests,)
        Control p-values without NaN.
    unit_of_test : (tests,) int
        Unit of each, 0 .. units - 1, over all partitions.
    n_independent
        Units in one partition.
    n_partitions
        How many times the same guides were cut into units.
    guides
        The guides of each unit.

    Returns
    -------
    dict
        `lambda_mean`, its 95 % interval `_low`, `_high`; `_error`, the standard error of the mean
        score over the mean score; `_df`, its degrees of freedom; `_units`, how many independent
        units it is worth: at most the number of guides.
    """
    n_units = int(unit_of_test.max()) + 1
    per_unit = p.size / n_units
    score = np.minimum(special.ndtri(np.maximum(p, _SMALLEST_P) / 2) ** 2, CAP)
    score = score / (special.chdtr(3, CAP) + CAP * special.chdtrc(1, CAP))
    mean = float(score.mean())
    sums = np.bincount(unit_of_test, score - mean, n_units) / per_unit
    gain, n_worth = 1.0, float(n_independent)
    if guides is not None and n_partitions > 1:
        gain, n_worth = _gain(sums, guides, n_independent, n_partitions)
    error, df = np.inf, 1.0
    if n_independent > 1 and mean > 0:
        # over all partitions the mean is known better, and takes less of the spread with it
        left = 1.0 - gain / n_independent
        plain = np.bincount(unit_of_test, p - p.mean(), n_units) / per_unit
        effects = [
            max(1.0, per_unit * np.mean(u**2) / (left * spread)) if spread > 0 else 1.0
            for u, spread in ((sums, score.var()), (plain, p.var()))
        ]
        effect = sum(effects) / 2
        tests = n_independent * per_unit
        error = float(np.sqrt(score.var() * effect * gain / tests) / mean)
        df = float(max(1.0, (n_worth - 1.0) / (1.0 + 3.0 * (1.0 - 1.0 / effect))))
    numbers: Metrics = {"lambda_mean": inflation_at(mean), "lambda_mean_error": error}
    numbers |= {"lambda_mean_df": df, "lambda_mean_units": n_worth}
    numbers["lambda_mean_low"] = inflation_limit(numbers, 0.025, upper=False)
    numbers["lambda_mean_high"] = inflation_limit(numbers, 0.025, upper=True)
    return numbers


def nothing_known() -> Metrics:
    """What `mean_inflation` would say of no test."""
    nan = float("nan")
    keys = ("", "_error", "_df", "_low", "_high")
    return {f"lambda_mean{key}": nan for key in keys} | {"lambda_mean_units": 0.0}


def inflation_limit(metrics: Mapping[str, float | int], error: float, *, upper: bool) -> float:
    """One-sided limit of `lambda_mean`, wrong with probability `error`.

    Parameters
    ----------
    metrics
        What `mean_inflation` returned.
    error
        Probability that the truth lies beyond.
    upper
        The upper limit; else the lower one.
    """
    value, spread = float(metrics["lambda_mean"]), float(metrics["lambda_mean_error"])
    if not np.isfinite(spread):
        return np.inf if upper else 0.0
    reach = spread * float(special.stdtrit(metrics["lambda_mean_df"], 1.0 - error))
    mean = float(mean_score_at(value)) if value > 0 else 0.0
    if not upper:
        return inflation_at(mean / (1.0 + reach))
    return inflation_at(mean / (1.0 - reach) if reach < 1.0 else np.inf)


def _gain(
    sums: np.ndarray, guides: Sequence[Sequence[object]], n_independent: int, n_partitions: int
) -> tuple[float, float]:
    """V over its value for one partition, and how many units the mean is worth."""
    unit = np.repeat(np.arange(len(guides)), [len(one) for one in guides])
    guide = pd.factorize(np.array([g for one in guides for g in one], dtype=object))[0]
    times = np.bincount(guide)
    size = len(guide) / len(guides)
    once, repeats = float(n_independent), 1.0 / float(times.mean())
    if len(times) < 3 or repeats >= 1.0:
        return 1.0, once
    around = np.bincount(guide, sums[unit]) / times
    spread = float(np.mean(sums**2))
    share = 1.0 / size
    if spread > 0:
        zeta = (float(np.var(around, ddof=1)) - spread * repeats) / (1.0 - repeats)
        share = min(1.0, max(share, size * zeta / spread))
    n_worth = len(times) - (len(times) - once) / n_partitions
    return repeats + (1.0 - repeats) * share, max(once, n_worth)
