"""Every draw of a unit with few of them: permutations within strata, listed.

Up to `FEW` assignments the null law is what it is, and needs no approximation: each draw's sum is
formed, the event's curvature included, and those beyond the threshold are counted.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

#: Up to so many assignments all are looked at; 18 cells have at most 48,620.
FEW = 2**16


def number_of_draws(first: np.ndarray, total: np.ndarray) -> float:
    """Assignments of total[g] cells to stratum g of cells first[g] : first[g + 1]; infinity where
    they exceed `FEW` by far."""
    log = 0.0
    for size, m in zip(np.diff(first), total, strict=True):
        log += math.lgamma(size + 1) - math.lgamma(m + 1) - math.lgamma(size - m + 1)
        if log > 50.0:
            return math.inf
    return math.exp(log)


def all_draws(first: np.ndarray, total: np.ndarray) -> list[np.ndarray]:
    """For each stratum g its draws of total[g] cells, (draws, total[g]) places in the stratum."""
    sizes = np.diff(first)
    return [
        np.array(list(itertools.combinations(range(size), int(m))), dtype=np.int64)
        for size, m in zip(sizes, total, strict=True)
    ]


def all_sums(
    columns: np.ndarray, first: np.ndarray, draws: list[np.ndarray], flip: np.ndarray
) -> np.ndarray:
    """Sums of `columns` over the drawn cells, for every draw, less their mean.

    Parameters
    ----------
    columns : (n, D)
        Summands, stratum after stratum.
    first : (G + 1,) int
        Stratum g holds cells first[g] : first[g + 1].
    draws
        Draws of each stratum (`all_draws`).
    flip : (G,)
        1 where the listed cells are those drawn, -1 where they are those not drawn.

    Returns
    -------
    (N, D) float64
    """
    sums = np.zeros((1, columns.shape[1]))
    for g, chosen in enumerate(draws):
        rows = columns[first[g] : first[g + 1]]
        part = np.zeros((len(chosen), columns.shape[1]))
        for j in range(chosen.shape[1]):
            part += rows[chosen[:, j]]
        sums = (sums[:, None, :] + flip[g] * part[None]).reshape(-1, columns.shape[1])
    return sums - sums.mean(axis=0)
