"""One unit's tests for the accuracy grid: cells, outcomes, propensity, both laws and statistics.

The linearisations are written out here from their formulas, apart from `programde.crt`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit
from scipy.stats import rankdata

from programde.tails.exact import LogTails, bernoulli_tails, stratified_tails

OUTCOMES = ("normal", "heavy", "real")
STATISTICS = ("ols", "utest")
N_BINS = 20


@dataclass(frozen=True, eq=False)
class Problem:
    """Cells with K outcomes, and a unit's propensity and strata in them.

    Attributes
    ----------
    R, ranks : (n, K)
        Residuals and centred ranks.
    Q : (n, q)
        Orthonormal basis of the covariates.
    p : (n,)
        Propensity, descending.
    order, starts, totals
        Strata: 20 bins of equal size by propensity; totals by largest remainders of sum p.
    """

    outcomes: tuple[str, ...]
    R: np.ndarray
    ranks: np.ndarray
    Q: np.ndarray
    p: np.ndarray
    order: np.ndarray
    starts: np.ndarray
    totals: np.ndarray

    @property
    def pi(self) -> np.ndarray:
        """Treated share of each cell's stratum."""
        out = np.empty(self.p.size)
        sizes = np.diff(self.starts)
        out[self.order] = np.repeat(self.totals / sizes, sizes)
        return out


def real_outcome(path: Path | None) -> np.ndarray | None:
    """CLR of the program with most zeros among those in half of the cells; None if absent."""
    if path is None or not path.exists():
        return None
    import anndata

    usage = np.asarray(anndata.read_h5ad(path).obsm["cnmf_usage"], dtype=np.float64)
    usage /= usage.sum(axis=1, keepdims=True)
    floored = np.maximum(usage, np.quantile(usage[usage > 0], 1e-4))
    log = np.log(floored / floored.sum(axis=1, keepdims=True))
    zeros = (usage == 0).mean(axis=0)
    k = int(np.argmin(np.abs(zeros - 0.5)))
    return (log - log.mean(axis=1, keepdims=True))[:, k]


def make_problem(
    n1: int, confounded: bool, real: np.ndarray | None, n: int = 20_000, seed: int = 0
) -> Problem:
    """A problem of n cells with about n1 treated; strongly confounded or with flat propensity."""
    rng = np.random.default_rng([seed, n1, confounded])
    depth = rng.standard_normal(n)
    batch = rng.integers(0, 4, n)
    C = np.column_stack(
        [np.ones(n), depth, rng.standard_normal(n), *(batch == b for b in (1, 2, 3))]
    )
    eta = 2.0 * depth + 1.5 * (batch == 1) if confounded else np.zeros(n)
    level = brentq(lambda b: expit(b + eta).sum() - n1, -60, 20)
    p = np.clip(expit(level + eta), 1e-6, 1 - 1e-6)
    shift = 0.5 * depth + 0.3 * (batch == 1)
    columns = [rng.standard_normal(n) + shift]
    columns.append(np.where(rng.random(n) < 0.05, -13.0, 0.0) + rng.standard_normal(n) + shift)
    outcomes: tuple[str, ...] = OUTCOMES[:2]
    if real is not None:
        # its values in the order of the covariates and noise, so that it is confounded as well
        values = np.sort(rng.choice(real, n, replace=n > real.size))
        columns.append(values[rankdata(shift + rng.standard_normal(n)).astype(np.int64) - 1])
        outcomes = OUTCOMES
    Y = np.column_stack(columns)
    down = np.argsort(-p, kind="stable")
    C, Y, p = C[down], Y[down], p[down]
    Q = np.linalg.qr(C)[0]
    R = Y - Q @ (Q.T @ Y)
    ranks = rankdata(Y, axis=0) - (n + 1) / 2
    starts = np.linspace(0, n, N_BINS + 1).astype(np.int64)
    expected = np.add.reduceat(p, starts[:-1])
    totals = np.floor(expected).astype(np.int64)
    left = n1 - totals.sum()
    if left > 0:
        totals[np.argsort(totals - expected, kind="stable")[:left]] += 1
    return Problem(outcomes, R, ranks, Q, p, np.arange(n), starts, totals)


@dataclass(frozen=True)
class Linear:
    """{T >= t} = {sum x (W - tau v) + curvature (||basis'(x - Ex)||^2 - mean) >= threshold}."""

    W: np.ndarray
    tau: np.ndarray
    v: np.ndarray
    threshold: np.ndarray
    basis: np.ndarray
    curvature: np.ndarray


def linearise(problem: Problem, statistic: str, sampler: str, t: np.ndarray) -> Linear:
    """Second-order expansion of the events {T_k >= t_k} about the null mean."""
    n = problem.p.size
    mean = problem.p if sampler == "bernoulli" else problem.pi
    sizes = np.diff(problem.starts)
    if statistic == "ols":
        Q = problem.Q
        m = Q.T @ mean
        if sampler == "bernoulli":
            trace = ((mean * (1 - mean))[:, None] * Q**2).sum()
        else:
            share = problem.totals / sizes
            factor = share * (1 - share) * sizes / (sizes - 1)
            parts = np.split(Q[problem.order], problem.starts[1:-1])
            trace = sum(
                f * ((part - part.mean(axis=0)) ** 2).sum()
                for f, part in zip(factor, parts, strict=True)
            )
        return Linear(problem.R, t, 1.0 - 2.0 * (Q @ m), t * (m @ m - trace), Q, t)
    count = mean.sum()
    variance = (mean * (1 - mean)).sum() if sampler == "bernoulli" else 0.0
    slope = 0.5 * t * (n - 2.0 * count)
    level = 0.5 * t * count * (n - count) - slope * count - 0.5 * t * variance
    return Linear(problem.ranks, slope, np.ones(n), level, np.ones((n, 1)), 0.5 * t)


def tails(
    problem: Problem, statistic: str, sampler: str, t: np.ndarray, **options: Any
) -> LogTails:
    """The library's tails of {T_k >= t_k} and {T_k <= t_k}."""
    curved = options.pop("curved", True)
    line = linearise(problem, statistic, sampler, t)
    W = np.asfortranarray(line.W)
    if sampler == "bernoulli":
        return bernoulli_tails(
            W,
            line.tau,
            line.v,
            line.threshold,
            problem.p,
            basis=line.basis if curved else None,
            curvature=line.curvature if curved else None,
            **options,
        )
    return stratified_tails(
        W, line.tau, line.v, line.threshold,
        problem.order, problem.starts, problem.totals, **options,
    )  # fmt: skip


def only(problem: Problem, k: int) -> Problem:
    """The same problem with outcome k alone."""
    return Problem(
        problem.outcomes[k : k + 1], problem.R[:, k : k + 1], problem.ranks[:, k : k + 1],
        problem.Q, problem.p, problem.order, problem.starts, problem.totals,
    )  # fmt: skip


def threshold_at(
    problem: Problem,
    statistic: str,
    sampler: str,
    k: int,
    level: float,
    side: str,
    pilot: np.ndarray,
) -> float:
    """t at which the library's one-sided p-value of outcome k is `level`.

    pilot : draws of T, whose mean and spread bracket the search.
    """
    one = only(problem, k)
    centre, spread = float(np.mean(pilot)), float(np.std(pilot))
    sign = 1.0 if side == "right" else -1.0

    def excess(z: float) -> float:
        t = np.array([centre + sign * z * spread])
        return float(np.log(tails(one, statistic, sampler, t).p_value(side)[0] / level))

    high = 2.0
    while excess(high) > 0.0 and high < 60.0:
        high *= 1.4
    low = 0.0
    for _ in range(40):
        z = 0.5 * (low + high)
        value = excess(z)
        low, high = (z, high) if value > 0.0 else (low, z)
        if abs(value) < 0.02 or high - low < 1e-4:
            break
    return centre + sign * z * spread
