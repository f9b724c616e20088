"""Least-squares effects of units that each leave a few cells out of a population that they share.

A guide alone is compared with all other cells but those that hold another guide of its target: each
guide has its own cells, and nearly all of them are everybody's. With the population's residuals R
and orthonormal basis Q (see `statistics.ols`), and D the cells that a unit leaves out, the basis of
what is left has the Gram matrix A = I - Q_D'Q_D, the residuals there are R - Q a, and

    a = -A^-1 Q_D'R_D,   d = n1 - v'A^-1 v,   beta = (sum R - a'v) / d,   v = Q'x,

sums over treated and left out cells alone. Their standard errors (HC3) are matrix products for all
units together, since (R - Q a)^2 is a sum of products of cells' numbers with units' numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from programde.crt.options import RunOptions
from programde.crt.population import LEAST_LEFT, MOST_MISSING
from programde.crt.statistics.ols import COLLINEAR, OLS, PreparedOLS
from programde.crt.statistics.treated_sums import sum_rows

#: Numbers per block of cells in the matrix products: 16 MB.
_NUMBERS = 2_000_000
_MOST_CELLS = 2048


def effects_alone(options: RunOptions) -> bool:
    """Whether least-squares effects and their errors are all that is asked for."""
    nothing_else = not (options.n_resamples or options.tails or options.shifts)
    return nothing_else and isinstance(options.statistic, OLS)


@dataclass(frozen=True, eq=False)
class LeftOut:
    """One unit in its own part of a population.

    Attributes
    ----------
    treated, without : int arrays
        Places of the treated cells and of those that are left out.
    inverse : (p, p) float64
        A^-1.
    v : (p,) float64
        Q'x.
    a : (p, K) float64
        What the residuals take back.
    d : float
        x'M x in the cells that are left.
    effect : (K,) float64
        beta; NaN where x is collinear with the covariates.
    """

    treated: np.ndarray
    without: np.ndarray
    inverse: np.ndarray
    v: np.ndarray
    a: np.ndarray
    d: float
    effect: np.ndarray

    @property
    def collinear(self) -> bool:
        return not self.d > COLLINEAR * self.treated.size


def left_out(statistic: PreparedOLS, treated: np.ndarray, without: np.ndarray) -> LeftOut | None:
    """A unit's effects; None where it leaves out so much that digits would be lost.

    Parameters
    ----------
    statistic
        Prepared for the population that the unit leaves cells out of.
    treated, without : int arrays
        Places in it, ascending, none in both.
    """
    n, p = statistic.basis.shape
    if without.size > MOST_MISSING * n:
        return None
    gone = statistic.basis[without]
    gram = np.eye(p) - gone.T @ gone
    if p and np.linalg.eigvalsh(gram)[0] < LEAST_LEFT:
        return None
    inverse = np.linalg.inv(gram)
    v = sum_rows(statistic.basis, treated)
    a = -inverse @ (gone.T @ statistic.summands[without])
    d = float(treated.size - v @ inverse @ v)
    effect = np.full(statistic.n_programs, np.nan)
    if d > COLLINEAR * treated.size:
        effect = (sum_rows(statistic.summands, treated) - v @ a) / d
    return LeftOut(treated, without, inverse, v, a, d, effect)


def errors_without(statistic: PreparedOLS, units: Sequence[LeftOut]) -> np.ndarray:
    """HC3 standard errors (G, K) of the effects of some units, none of them collinear."""
    from programde.crt.kernels.robust import hc3_weights_by_unit

    if len(units) == 1:  # BLAS multiplies a single row in another order: not in the last bit
        return errors_without(statistic, [units[0], units[0]])[:1]
    n, p = statistic.basis.shape
    K, G = statistic.n_programs, len(units)
    upper = np.triu_indices(p)
    twice = np.where(upper[0] == upper[1], 1.0, 2.0)
    slopes = np.stack([-unit.inverse @ unit.v for unit in units])
    leverages = np.stack([unit.inverse[upper] * twice for unit in units])
    inverse_d = np.array([1.0 / unit.d for unit in units])
    n_pairs = upper[0].size
    second = np.zeros((G, K + p * K + n_pairs))
    first = np.zeros((G, K + p))
    fourth = np.zeros(G)
    size = max(16, min(_MOST_CELLS, _NUMBERS // max(1, second.shape[1] + 2 * G)))
    edges = np.arange(0, n + size, size)
    inside = [np.searchsorted(unit.treated, edges) for unit in units]
    outside = [np.searchsorted(unit.without, edges) for unit in units]
    cubic = np.empty((G, size))
    features = np.empty((size, second.shape[1]))
    for block, begin in enumerate(range(0, n, size)):
        end = min(begin + size, n)
        Q, R = statistic.basis[begin:end], statistic.summands[begin:end]
        x = slopes @ Q.T
        pairs = Q[:, upper[0]] * Q[:, upper[1]]
        leverage = leverages @ pairs.T
        for g, unit in enumerate(units):
            x[g, unit.treated[inside[g][block] : inside[g][block + 1]] - begin] += 1.0
            x[g, unit.without[outside[g][block] : outside[g][block + 1]] - begin] = 0.0
        hc3_weights_by_unit(x, leverage, inverse_d, cubic[:, : end - begin], fourth)
        part = features[: end - begin]
        np.multiply(R, R, out=part[:, :K])
        by_column = part[:, K : K + p * K].reshape(end - begin, p, K)
        np.multiply(Q[:, :, None], R[:, None, :], out=by_column)
        part[:, K + p * K :] = pairs
        second += x @ part
        first[:, :K] += cubic[:, : end - begin] @ R
        first[:, K:] += cubic[:, : end - begin] @ Q
    a = np.stack([unit.a for unit in units])
    effects = np.stack([unit.effect for unit in units])
    crossed = second[:, K : K + p * K].reshape(G, p, K)
    squared = np.einsum(
        "gu,guk->gk", second[:, K + p * K :] * twice, a[:, upper[0]] * a[:, upper[1]]
    )
    squares = second[:, :K] - 2.0 * np.einsum("gjk,gjk->gk", a, crossed) + squared
    products = first[:, :K] - np.einsum("gj,gjk->gk", first[:, K:], a)
    with np.errstate(invalid="ignore"):
        variance = squares - 2.0 * effects * products + effects**2 * fourth[:, None]
        return np.asarray(np.sqrt(np.maximum(variance, 0.0)) * inverse_d[:, None])
