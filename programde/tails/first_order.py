"""The first-order form: statistics freed from the error of an estimated propensity.

Drawn indicators x ~ Bernoulli(p) take the fitted p for the truth; but p was fitted to the observed
x, which makes C'(x - p) = 0 (or nearly: a ridge leaves a rest), and so the observed statistic
varies less than the drawn ones. With w = p (1 - p) and

    Gamma = (C'WC)^-1 C'W S,   A = S - C Gamma,

observed and drawn statistic alike lose Gamma'C'(x - p), what a refit of p would take up of it to
first order: the event is {sum_i x_i A_i >= observed}, and the variance of A that of an efficient
score (Newey 1990, Journal of Applied Econometrics 5:99, section 3).
"""

from __future__ import annotations

import numpy as np

from programde.errors import InputError

from .bernoulli import BernoulliSums
from .conditional_fit import weighted_factors
from .covariate_strata import CovariateStrata
from .exact import program_major
from .first_order_kernels import project, weighted_sums
from .ladder import SCREEN_LEVEL, tails_of_sums
from .log_tails import LogTails


def gamma_of(S: np.ndarray, C: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Gamma (q, K) = (C'WC)^-1 C'W S, w = p (1 - p).

    Parameters
    ----------
    S : (n, K)
        Summands of the statistic.
    C : (n, q)
        Covariates, or any basis of their span.
    p : (n,)
        Propensities.
    """
    S, C, p = (np.asarray(value, dtype=np.float64) for value in (S, C, p))
    if S.ndim != 2 or C.ndim != 2 or not S.shape[0] == C.shape[0] == p.size:
        raise InputError(f"S, C and p disagree in cells: {S.shape}, {C.shape}, {p.shape}")
    # by square roots of the weights, so that a nearly separated unit loses no digits in C'WC
    root = np.sqrt(p * (1.0 - p))[:, None]
    weighted = C * root
    size = np.sqrt(np.einsum("ij,ij->j", weighted, weighted))
    size[size == 0.0] = 1.0
    u, d, vt = np.linalg.svd(weighted / size, full_matrices=False)
    inverse = np.divide(1.0, d, out=np.zeros_like(d), where=d > 1e-10 * d.max(initial=0.0))
    gamma = (vt.T * inverse) @ ((u * root).T @ S)
    return np.asarray(gamma / size[:, None])


def gamma_on_basis(S: np.ndarray, Q: np.ndarray, p: np.ndarray) -> np.ndarray:
    """`gamma_of` for an orthonormal basis Q (n, q) and clipped p, three times faster.

    The eigenvalues of Q'WQ lie between the least and the largest weight, which are at most 2.5e5
    apart for p in [1e-6, 1 - 1e-6]: ten digits are left.
    """
    weighted = Q * (p * (1.0 - p))[:, None]
    return np.linalg.solve(weighted.T @ Q, weighted.T @ S)


def gamma_of_rows(rows: np.ndarray, n_programs: int, n_columns: int, p: np.ndarray) -> np.ndarray:
    """`gamma_on_basis` of rows (n, D) = [S | Q | ...] in float32, in half the time.

    Products of float32 numbers leave six digits, of a correction of draws that are float32 sums.
    """
    K, end = n_programs, n_programs + n_columns
    weighted = rows[:, K:end] * (p * (1.0 - p)).astype(np.float32)[:, None]
    cross = (weighted.T @ rows[:, :end]).astype(np.float64)
    return np.linalg.solve(cross[:, K:], cross[:, :K])


def gamma_by_strata(
    S: np.ndarray, centre: np.ndarray, factor: np.ndarray, strata: CovariateStrata, p: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    """`gamma_of` in the columns of strata, in a third of the time.

    Parameters
    ----------
    S : (J, n) float32
        (s - centre) factor of each program's summands s, cells in the strata's order; J >= K a
        multiple of 4.
    centre, factor : (K,) float64
    strata : CovariateStrata
    p : (n,) float64
        Propensities, inside (0, 1), in the population's order.

    Returns
    -------
    tuple or None
        Coefficients of the local (K, B, k) and the shared (K, g) columns, good to six digits; None
        where that takes more than float32 has, or the strata are all there is.
    """
    if strata.saturated:
        return None
    p = np.ascontiguousarray(p[strata.order])
    factors = weighted_factors(strata, p)
    if factors is None:
        return None
    (B, k, g), J = strata.shape, S.shape[0]
    along, found = ((np.empty((J, B, k)), np.empty((J, g))) for _ in range(2))
    weighted_sums(S, strata.single, strata.n_local, strata.first, p, *along)
    live = np.ones(B, dtype=bool)
    project(strata.n_local, live, *factors, *along, *found, np.empty(J))
    spread = np.divide(1.0, factor, out=np.zeros_like(factor), where=factor > 0.0)
    local, shared = (part[: spread.size] for part in found)
    ones = strata.ones
    return (
        spread[:, None, None] * local + centre[:, None, None] * ones[0],
        spread[:, None] * shared + centre[:, None] * ones[1],
    )


def corrected_draws(
    drawn: np.ndarray, drawn_columns: np.ndarray, gamma: np.ndarray, expected: np.ndarray
) -> np.ndarray:
    """Sums S'x_b - Gamma'C'(x_b - p) of draws, or of the observed indicator.

    Parameters
    ----------
    drawn : (B, K)
        S'x_b.
    drawn_columns : (B, q)
        C'x_b.
    gamma : (q, K)
        Of `gamma_of`, of the same columns.
    expected : (q,)
        C'p.

    Returns
    -------
    (B, K) float64
    """
    return np.asarray(drawn, dtype=np.float64) - (drawn_columns - expected) @ gamma


def first_order_tails(
    S_t: np.ndarray,
    C: np.ndarray,
    p: np.ndarray,
    treated: np.ndarray,
    screen_level: float = SCREEN_LEVEL,
) -> LogTails:
    """Both first-order tails of a unit's tests, exact under x ~ Bernoulli(p).

    Parameters
    ----------
    S_t : (K, n) float64
        Summands by program: residuals of the outcome, or centred ranks.
    C : (n, q)
        Covariates of the propensity, or any basis of their span.
    p : (n,)
        Propensities, inside (0, 1); of a ridge fit or not.
    treated : (n1,) int
        Treated cells.
    screen_level : float
        As in `exact.bernoulli_tails`.

    Returns
    -------
    LogTails
    """
    A = np.asarray(S_t, dtype=np.float64).T - C @ gamma_of(np.asarray(S_t).T, C, p)
    At = program_major(A)
    # what is left of a summand in the span of the covariates is rounding
    spread = np.square(At).mean(axis=1)
    lost = ~(spread > 1e-20 * np.square(S_t).mean(axis=1))
    threshold = At[:, treated].sum(axis=1)
    threshold[lost] = np.nan
    zeros = np.zeros(At.shape[0])
    p = np.ascontiguousarray(p, dtype=np.float64)
    return tails_of_sums(BernoulliSums(At, zeros, np.zeros(p.size), threshold, p), screen_level)
