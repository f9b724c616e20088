"""The genomic inflation factor lambda, at the median and in the tail, with its interval.

Devlin & Roeder 1999, Biometrics 55:997. Its logarithm has a t interval whose spread is that of a
bootstrap over units: the tests of one unit share cells.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from programde.report.checked_tables import Metrics

_MEDIAN_CHI2 = float(special.chdtri(1, 0.5))  # 0.4549
_TAIL = 0.01
_AT_ONCE = 300_000  # tests times replicates of the bootstrap


def inflation_factor(p_values: np.ndarray, quantile: float = 0.5) -> float:
    """Chi-square (1 df) at a quantile of the p-values, over what uniform p-values would give.

    At 0.5 this is the genomic inflation factor, median chi-square / 0.4549; 1 is calibrated.

    Parameters
    ----------
    p_values : (m,)
        Without NaN. Quantiles are read at the plotting positions (i - 1/2) / m.
    """
    at = np.quantile(p_values, quantile, method="hazen")
    return float(special.chdtri(1, at) / special.chdtri(1, quantile))


def inflation_factors(
    p: np.ndarray, unit_of_test: np.ndarray, weights: np.ndarray, n_independent: int
) -> Metrics:
    """`lambda` and `lambda_tail` with their 95 % intervals, by a bootstrap over units.

    Parameters
    ----------
    p, unit_of_test : (m,)
        P-values without NaN, and the unit of each.
    weights : (n_boot, n_units) int
        How often each unit is drawn in each replicate.
    n_independent
        Units that are independent of each other.
    """
    order = np.argsort(p, kind="stable")
    ordered, unit = p[order], unit_of_test[order]
    at = np.empty((len(weights), 2))
    block = max(1, _AT_ONCE // p.size)
    for b in range(0, len(weights), block):
        counts = np.take(weights[b : b + block], unit, axis=1)
        at[b : b + block] = _weighted_quantiles(ordered, counts, np.array([0.5, _TAIL]))
    boot = special.chdtri(1, at) / np.array([_MEDIAN_CHI2, special.chdtri(1, _TAIL)])
    numbers: Metrics = {}
    for j, (name, q) in enumerate((("lambda", 0.5), ("lambda_tail", _TAIL))):
        low, high = _log_t_interval(inflation_factor(p, q), boot[:, j], n_independent)
        numbers |= {name: inflation_factor(p, q), f"{name}_low": low, f"{name}_high": high}
    return numbers


def _log_t_interval(value: float, boot: np.ndarray, n_independent: int) -> tuple[float, float]:
    """value * exp(+- t s), s the bootstrap's spread of the logarithm; (0, inf) for one unit."""
    if n_independent < 2 or not 0.0 < value < np.inf:
        return 0.0, float("inf")
    positive = boot[(boot > 0) & np.isfinite(boot)]
    spread = np.std(np.log(positive)) * np.sqrt(n_independent / (n_independent - 1))
    reach = special.stdtrit(n_independent - 1.0, 0.975) * spread
    with np.errstate(over="ignore"):
        return float(value * np.exp(-reach)), float(value * np.exp(reach))


def _weighted_quantiles(ordered: np.ndarray, counts: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Hazen quantiles (rows, q) of a sorted vector; element i stands `counts[row, i]` times."""
    reach = np.cumsum(counts, axis=1)
    total = reach[:, -1:]
    position = np.clip(q * total + 0.5, 1, total)
    lower = np.floor(position)
    above = np.arange(len(counts))[:, None] * (total.max() + 1)
    raised = (reach + above).ravel()  # row upon row, so that one search serves all
    first, last = (
        ordered[np.searchsorted(raised, (at + above).astype(raised.dtype)) % reach.shape[1]]
        for at in (lower, np.minimum(lower + 1, total))
    )
    share = position - lower
    return np.asarray((1 - share) * first + share * last)


__all__ = ["inflation_factor", "inflation_factors"]
