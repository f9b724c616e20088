"""The plain way: one gene after another, with the textbook's formulas and everybody's libraries.

Propensity by scikit-learn's logistic regression as it comes; resamples as rows of a scipy sparse
matrix; sums as sparse products; least squares from summaries, beta = (x'Y - x'C A C'Y) /
(x'x - x'C A C'x) with A = (C'C)^-1; ranks by scipy; skew-normal law by moments and
`scipy.stats.skewnorm`. What all genes share (A, C'Y, ranks) is computed once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse, stats

from benchmarks.problems import Way
from programde.screen.screen import Screen


@dataclass(frozen=True, eq=False)
class Shared:
    """What all genes have in common."""

    C: np.ndarray
    Y: np.ndarray
    A: np.ndarray
    CTY: np.ndarray
    ranks: np.ndarray
    batch: np.ndarray


def shared(screen: Screen) -> Shared:
    """Inverse of C'C, C'Y, ranks, batch numbers."""
    C, Y = screen.covariates, screen.clr
    labels = np.zeros(len(C)) if screen.batch is None else screen.batch.astype(str)
    return Shared(
        C=C,
        Y=Y,
        A=np.linalg.inv(C.T @ C),
        CTY=C.T @ Y,
        ranks=stats.rankdata(Y, axis=0),
        batch=np.unique(labels, return_inverse=True)[1],
    )


def propensity(C: np.ndarray, x: np.ndarray) -> np.ndarray:
    """p (n,) of one gene."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=1.0, max_iter=1000).fit(C[:, 1:], x)
    return np.clip(model.predict_proba(C[:, 1:])[:, 1], 1e-6, 1 - 1e-6)


def bernoulli_draws(p: np.ndarray, n_draws: int, rng: np.random.Generator) -> sparse.csr_matrix:
    """Resamples as rows (B, n)."""
    chosen = [np.flatnonzero(rng.random(p.size) < p) for _ in range(n_draws)]
    return as_rows(chosen, p.size)


def stratified_draws(
    p: np.ndarray, x: np.ndarray, batch: np.ndarray, n_draws: int, rng: np.random.Generator
) -> sparse.csr_matrix:
    """Resamples as rows (B, n): permutations within batch x twenty bins of propensity."""
    edges = np.quantile(p, np.linspace(0, 1, 21)[1:-1])
    code = batch * 20 + np.searchsorted(edges, p, side="right")
    strata = [np.flatnonzero(code == c) for c in np.unique(code)]
    totals = [int(x[cells].sum()) for cells in strata]
    pairs = [(cells, m) for cells, m in zip(strata, totals, strict=True) if m]
    chosen = [
        np.concatenate([rng.choice(cells, m, replace=False) for cells, m in pairs])
        for _ in range(n_draws)
    ]
    return as_rows(chosen, p.size)


def as_rows(chosen: list[np.ndarray], n: int) -> sparse.csr_matrix:
    """Lists of cells as rows of ones."""
    ends = np.concatenate([[0], np.cumsum([cells.size for cells in chosen])])
    cells = np.concatenate(chosen)
    return sparse.csr_matrix((np.ones(cells.size), cells, ends), shape=(len(chosen), n))


def least_squares(data: Shared, X: sparse.csr_matrix) -> np.ndarray:
    """Coefficient of each row of X (B, n) in the regression of Y on it and C: (B, K)."""
    XC = X @ data.C
    size = np.asarray(X.sum(axis=1)).ravel()
    projected = XC @ data.A
    denominator = size - np.einsum("bj,bj->b", projected, XC)
    return (X @ data.Y - projected @ data.CTY) / denominator[:, None]


def rank_biserial(data: Shared, X: sparse.csr_matrix) -> np.ndarray:
    """2 U / (n1 (n - n1)) - 1 of each row of X: (B, K)."""
    n = X.shape[1]
    n1 = np.asarray(X.sum(axis=1))
    U = X @ data.ranks - n1 * (n1 + 1) / 2
    return 2 * U / (n1 * (n - n1)) - 1


def smooth_p(observed: np.ndarray, null: np.ndarray) -> np.ndarray:
    """Two-sided p-values (K,) from skew-normal laws fitted to the null draws by moments."""
    p = np.empty(observed.size)
    for k in range(observed.size):
        draws = null[:, k]
        mean, sd = draws.mean(), draws.std()
        skew = np.clip(stats.skew(draws), -0.9, 0.9)
        share = np.abs(skew) ** (2 / 3)
        delta2 = np.pi / 2 * share / (share + ((4 - np.pi) / 2) ** (2 / 3))
        delta = np.sign(skew) * np.sqrt(delta2)
        alpha = delta / np.sqrt(1 - delta2)
        omega = 1 / np.sqrt(1 - 2 * delta2 / np.pi)
        law = stats.skewnorm(alpha, loc=-omega * delta * np.sqrt(2 / np.pi), scale=omega)
        z = (observed[k] - mean) / sd
        above = observed[k] >= np.median(draws)
        p[k] = min(1.0, 2 * (law.sf(z) if above else law.cdf(z)))
    return p


def test_gene(
    data: Shared, treated: np.ndarray, way: Way, n_draws: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Effects (K,) and p-values (K,) of one gene."""
    x = np.zeros(len(data.C))
    x[treated] = 1.0
    p = propensity(data.C, x)
    if way.sampler == "bernoulli_index":
        X = bernoulli_draws(p, n_draws, rng)
    else:
        X = stratified_draws(p, x, data.batch, n_draws, rng)
    statistic = least_squares if way.statistic == "ols" else rank_biserial
    observed = statistic(data, as_rows([treated], len(x)))[0]
    null = statistic(data, X)
    if way.smooth:
        return observed, smooth_p(observed, null)
    return observed, (1 + (np.abs(null) >= np.abs(observed)).sum(axis=0)) / (n_draws + 1)
