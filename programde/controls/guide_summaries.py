"""What the NTC null needs of the cells: a few numbers per guide and per unit, batch by batch.

With Q an orthonormal basis of the covariates, R = Y - QQ'Y the outcome's residuals and x an
indicator of treated cells (Frisch, Waugh and Lovell):

    score s = R'x,    information d = x'M_C x = n1 - ||Q'x||^2,    effect beta = s / d,

with standard error sigma / sqrt(d), sigma^2 = sum R^2 / (n - p) per program. Scores and
information of guides that share no more cells than chance has it add up, which is why sums over
guides are enough to exchange guides between units. Where the guides of one unit occur together
(two guides on one vector), the score of their sum has variance sigma^2 z'M_C z with z the number of
guides per cell, more than sigma^2 times the sum of their d; that ratio is kept as `overlap`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from programde.crt.population import Population, population_of
from programde.crt.propensity import PropensityModel, PropensitySolver, call_propensity
from programde.screen.screen import Screen

_ENTRIES = 20_000_000  # nonzeros of the unit indicators held at a time


@dataclass(frozen=True)
class Sums:
    """Summaries of J indicators (guides or units) in one population.

    Attributes
    ----------
    n1 : (J,) float64
        Treated cells.
    d : (J,) float64
        Information, in cells.
    score : (J, K) float64
        Sums of outcome residuals over the treated cells.
    projection : (J, p) float64 or None
        Q'x; not kept where units have been summed up already.
    overlap : (J,) float64
        For units: z'M_C z over the sum of their guides' d, at least 1; for guides: 1.
    pbar : (J,) float64 or None
        Mean log odds of the fitted propensity, where asked for.
    """

    n1: np.ndarray
    d: np.ndarray
    score: np.ndarray
    projection: np.ndarray | None
    overlap: np.ndarray
    pbar: np.ndarray | None = None


@dataclass(frozen=True)
class Batch:
    """A batch, or all cells.

    Attributes
    ----------
    label
        Name of the batch; "all" for all cells.
    n_cells
        Number of its cells.
    variance : (K,) float64
        Residual variance of each program; 0 for a program that is constant in it.
    guides : Sums
        One row per guide of the screen.
    units : Sums
        One row per unit: the union of its guides.
    """

    label: str
    n_cells: int
    variance: np.ndarray
    guides: Sums
    units: Sums


def residual_outcome(population: Population) -> tuple[np.ndarray, np.ndarray]:
    """Residuals R (n, K) of the outcome on the covariates, and their variance (K,)."""
    Q, Y = population.basis, population.outcome
    residual = Y - Q @ (Q.T @ Y)
    freedom = max(Y.shape[0] - Q.shape[1], 1)
    variance = np.einsum("ij,ij->j", residual, residual) / freedom
    spread = np.einsum("ij,ij->j", Y, Y) / max(Y.shape[0], 1)
    return residual, np.where(variance > 1e-20 * spread.max(initial=0.0), variance, 0.0)


def indicator_sums(
    Q: np.ndarray,
    residual: np.ndarray,
    indicators: sparse.csc_matrix,
    overlap: np.ndarray | None = None,
) -> Sums:
    """Summaries of the columns of an (n, J) 0/1 matrix, given Q (n, p) and residuals (n, K)."""
    X = sparse.csr_matrix(indicators.T, dtype=np.float64)
    n1 = np.asarray(X.sum(axis=1)).ravel()
    projection = np.asarray(X @ Q)
    d = n1 - np.einsum("ij,ij->i", projection, projection)
    score = np.asarray(X @ residual)
    return Sums(
        n1=n1,
        d=np.where(d > 1e-9 * n1, d, 0.0),
        score=score,
        projection=projection,
        overlap=np.ones(n1.size) if overlap is None else overlap,
    )


def union_sums(
    Q: np.ndarray,
    residual: np.ndarray,
    guides: sparse.csc_matrix,
    guide_sums: Sums,
    sets: Sequence[np.ndarray],
) -> Sums:
    """Summaries of unions of guides.

    Parameters
    ----------
    Q : (n, p)
        Orthonormal basis of the covariates.
    residual : (n, K)
        Residual outcome.
    guides : (n, J) csc_matrix of 0/1
    guide_sums
        `indicator_sums` of `guides`.
    sets
        Columns of the guides of each unit.

    Returns
    -------
    Sums
        One row per unit.
    """
    parts: list[Sums] = []
    if guide_sums.projection is None:
        raise ValueError("guide_sums needs its projection")
    size = np.array([guide_sums.n1[s].sum() for s in sets])
    block = np.cumsum(size) // _ENTRIES if len(sets) else np.empty(0)
    for which in np.unique(block):
        chosen = [sets[i] for i in np.flatnonzero(block == which).tolist()]
        lengths = [len(s) for s in chosen]
        rows = np.concatenate([np.asarray(s, dtype=np.int64) for s in chosen])
        columns = np.repeat(np.arange(len(chosen)), lengths)
        members = sparse.csc_matrix(
            (np.ones(rows.size, dtype=np.int32), (rows, columns)),
            shape=(guides.shape[1], len(chosen)),
        )
        count = sparse.csc_matrix(guides.astype(np.int32) @ members)
        squares = np.asarray(count.multiply(count).sum(axis=0)).ravel()
        together = members.T @ guide_sums.projection
        information = squares - np.einsum("ij,ij->i", together, together)
        alone = np.asarray(members.T @ guide_sums.d)
        ratio = np.divide(information, alone, out=np.ones(len(chosen)), where=alone > 0)
        count.data[:] = 1
        parts.append(indicator_sums(Q, residual, count, np.maximum(ratio, 1.0)))
    if not parts:
        empty = np.empty(0)
        return Sums(empty, empty, np.empty((0, residual.shape[1])), Q[:0], empty)
    return Sums(
        *[
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("n1", "d", "score", "projection", "overlap")
        ]
    )


def mean_log_odds(
    population: Population, treated: Sequence[np.ndarray], model: PropensityModel | None = None
) -> np.ndarray:
    """pbar of each unit: the mean over cells of log(p / (1 - p)), p its fitted propensity.

    Parameters
    ----------
    population
        The cells and their covariates.
    treated
        Places of the treated cells of each unit.
    model
        A propensity of the user's own, f(C, x) -> p or (p, model); None: the ridge-penalised
        logistic regression, whose mean log odds is the mean covariate row times its coefficients.

    Returns
    -------
    (units,) float64
        The log odds of the share of treated cells where a fit did not converge or no cell is
        treated.
    """
    C = population.covariates
    n = C.shape[0]
    share = np.array([np.clip(t.size, 0.5, n - 0.5) / n for t in treated])
    simple = np.log(share) - np.log1p(-share)
    usable = np.array([0 < t.size < n for t in treated], dtype=bool)
    some = [t for t, good in zip(treated, usable, strict=True) if good]
    answer = simple.copy()
    if model is None:
        fit = PropensitySolver(C, population.intercept).fit(some)
        fitted = fit.theta @ C.mean(axis=0)
        answer[usable] = np.where(fit.converged, fitted, simple[usable])
        return answer
    values = []
    for places in some:
        p, _ = call_propensity(model, C, places)
        values.append(float(np.mean(np.log(p) - np.log1p(-p))))
    answer[usable] = values
    return answer


def summarise_batch(
    screen: Screen,
    cells: np.ndarray | None,
    label: str,
    sets: Sequence[np.ndarray],
    pbar_of: str = "",
    model: PropensityModel | None = None,
) -> Batch | None:
    """Summaries of all guides and of the given units in some cells of a screen.

    Parameters
    ----------
    screen
        The screen.
    cells : (n,) int or None
        The cells, ascending; None for all. Covariates that are constant or aliased in them are
        dropped by rank.
    label
        Name of the batch.
    sets
        Guide columns of each unit.
    pbar_of
        "guides" or "units": which need the mean log odds of their propensity; "" for none.
    model
        See `mean_log_odds`.

    Returns
    -------
    Batch or None
        None where the cells do not outnumber the covariates by at least two.
    """
    population = population_of(screen, cells)
    if population.n_cells < population.covariates.shape[1] + 2:
        return None
    guides = sparse.csc_matrix(screen.guides if cells is None else screen.guides[cells])
    residual, variance = residual_outcome(population)
    of_guides = indicator_sums(population.basis, residual, guides)
    of_units = union_sums(population.basis, residual, guides, of_guides, sets)
    if pbar_of:
        held = [
            guides.indices[guides.indptr[j] : guides.indptr[j + 1]] for j in range(guides.shape[1])
        ]
        if pbar_of == "guides":
            of_guides = replace(of_guides, pbar=mean_log_odds(population, held, model))
        else:
            treated = [np.unique(np.concatenate([held[j] for j in s])) for s in sets]
            of_units = replace(of_units, pbar=mean_log_odds(population, treated, model))
    return Batch(label, population.n_cells, variance, of_guides, of_units)
