"""Saddlepoint calibration: p-values from the null law itself, without resampling.

Under either sampler the null law of a linearised statistic is that of a sum over cells,
S = sum_i x_i a_i, of which everything is known. For the tests of one unit:

1. exact null cumulants of all K sums (one pass over the cells);
2. their Edgeworth p-value, kept where it is above the screening level and its next-order terms
   are small (branch "moments");
3. the saddlepoint and the second-order Lugannani-Rice tail (branch "saddlepoint");
4. where the second order still moves it by more than a percent, or few cells dominate: numerical
   inversion along the line through the saddlepoint (branch "inversion"), which has no such limit;
5. where that fails too, Chernoff's bound, or the probability of the most extreme draw: upper
   bounds or honest orders of magnitude, and marked as such (branches "chernoff", "end").

Each tail is computed on its own side, in logarithms; a two-sided p-value is twice the smaller
tail, at most 1. Whether screening is enough is asked of the two-sided p-value, for both tails. A
p-value is never below 1e-300 and never made up: what cannot be tested is NaN.
Formulas and measured accuracy: docs/saddlepoint.md.
"""

from __future__ import annotations

import numpy as np

from programde.errors import InputError
from programde.tails.bernoulli import BernoulliSums
from programde.tails.formulas import BRANCHES, FALLBACK
from programde.tails.ladder import SCREEN_LEVEL, tails_of_sums
from programde.tails.log_tails import LogTails
from programde.tails.permutation import StratifiedSums

__all__ = [
    "BRANCHES",
    "FALLBACK",
    "LogTails",
    "bernoulli_cumulants",
    "bernoulli_tails",
    "program_major",
    "stratified_cumulants",
    "stratified_tails",
]


def program_major(W: np.ndarray) -> np.ndarray:
    """W (n, K) as the (K, n) C-ordered float64 array that the kernels read.

    Free where W is a Fortran-ordered float64 array; a copy otherwise. A caller with many units
    makes it once: ``W = np.asfortranarray(W)``.
    """
    return np.ascontiguousarray(np.asarray(W, dtype=np.float64).T)


def bernoulli_tails(
    W: np.ndarray,
    tau: np.ndarray,
    v: np.ndarray,
    threshold: np.ndarray,
    p: np.ndarray,
    *,
    basis: np.ndarray | None = None,
    curvature: np.ndarray | None = None,
    cumulants: np.ndarray | None = None,
    screen_level: float = SCREEN_LEVEL,
) -> LogTails:
    """Both tails of the K tests of a unit whose cells are redrawn as x_i ~ Bernoulli(p_i).

    The event of test k is {sum_i x_i (W_ik - tau_k v_i) >= threshold_k}, for the lower tail <=.

    Parameters
    ----------
    W : (n, K) float64
        Summands of the statistic; Fortran order saves a copy (`program_major`).
    tau, threshold : (K,) float64
    v : (n,) float64
        The linearisation. NaN in tau or threshold gives NaN.
    p : (n,) float64
        Propensities, inside (0, 1).
    basis, curvature : (n, q) and (K,), optional
        Curvature of the event (see `bernoulli`), basis best in Fortran order: exactly,
        {sum_i x_i a_ik + curvature_k (||basis'(x - p)||^2 - its null mean) >= threshold_k}.
    cumulants : (K, 4), optional
        Those of `bernoulli_cumulants`, where they are at hand.
    screen_level : float
        Two-sided p-values above this come from the cumulants where these suffice; 1 screens
        nothing.

    Returns
    -------
    LogTails
        Of shape (K,).

    Raises
    ------
    InputError
        If p leaves (0, 1) or shapes disagree.
    """
    tau, v, threshold = _checked(W, tau, v, threshold)
    p = np.ascontiguousarray(p, dtype=np.float64)
    if p.shape != v.shape:
        raise InputError(f"p has shape {p.shape} for {v.size} cells; give one per cell")
    outside = int(np.count_nonzero(~((p > 0.0) & (p < 1.0))))
    if outside:
        raise InputError(f"{outside} propensities lie outside (0, 1); clip them, say at 1e-6")
    sums = BernoulliSums(program_major(W), tau, v, threshold, p, basis, curvature, cumulants)
    return tails_of_sums(sums, screen_level)


def bernoulli_cumulants(W: np.ndarray, tau: np.ndarray, v: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Exact null cumulants of sum_i x_i (W_ik - tau_uk v_ui) for a block of units.

    Parameters
    ----------
    W : (n, K)
    tau : (U, K)
    v, p : (U, n)

    Returns
    -------
    (U, K, 4) float64
        Mean, variance, third and fourth cumulant.
    """
    from programde.tails.bernoulli_kernels import bernoulli_cumulants_kernel

    tau = np.ascontiguousarray(tau, dtype=np.float64)
    out = np.empty((*tau.shape, 4))
    v = np.ascontiguousarray(v, dtype=np.float64)
    p = np.ascontiguousarray(p, dtype=np.float64)
    bernoulli_cumulants_kernel(program_major(W), tau, v, p, out)
    return out


def stratified_tails(
    W: np.ndarray,
    tau: np.ndarray,
    v: np.ndarray,
    threshold: np.ndarray,
    order: np.ndarray,
    starts: np.ndarray,
    totals: np.ndarray,
    *,
    basis: np.ndarray | None = None,
    curvature: np.ndarray | None = None,
    screen_level: float = SCREEN_LEVEL,
) -> LogTails:
    """Both tails of the K tests of a unit whose cells are permuted within strata.

    Parameters
    ----------
    W, tau, v, threshold, basis, curvature, screen_level
        As in `bernoulli_tails`; but the curvature is used only where all draws are listed (at most
        `enumeration.FEW`): beyond, it was never seen to matter.
    order : (n,) int
        Cells, stratum after stratum.
    starts : (S + 1,) int
        Stratum s holds ``order[starts[s]:starts[s + 1]]``.
    totals : (S,) int
        Treated cells of each stratum.

    Returns
    -------
    LogTails
        Of shape (K,).

    Raises
    ------
    InputError
        If shapes disagree, or a total is negative or exceeds its stratum.
    """
    tau, v, threshold = _checked(W, tau, v, threshold)
    order, starts, totals = _checked_strata(order, starts, totals, v.size)
    law = (order, starts, totals)
    sums = StratifiedSums(program_major(W), tau, v, threshold, *law, basis, curvature)
    return tails_of_sums(sums, screen_level)


def stratified_cumulants(
    W: np.ndarray,
    tau: np.ndarray,
    v: np.ndarray,
    order: np.ndarray,
    starts: np.ndarray,
    totals: np.ndarray,
) -> np.ndarray:
    """Exact null cumulants (K, 4) of sum_i x_i (W_ik - tau_k v_i), x permuted within strata.

    Parameters as in `stratified_tails`; the result as in `bernoulli_cumulants`, for one unit.
    """
    tau, v, threshold = _checked(W, tau, v, np.zeros(np.shape(tau)))
    order, starts, totals = _checked_strata(order, starts, totals, v.size)
    return StratifiedSums(program_major(W), tau, v, threshold, order, starts, totals).cumulants


def _checked(
    W: np.ndarray, tau: np.ndarray, v: np.ndarray, threshold: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if np.ndim(W) != 2:
        raise InputError(f"W has shape {np.shape(W)}; give cells x programs")
    n, K = np.shape(W)
    v = np.ascontiguousarray(v, dtype=np.float64)
    tau = np.ascontiguousarray(tau, dtype=np.float64)
    threshold = np.ascontiguousarray(threshold, dtype=np.float64)
    if v.shape != (n,) or tau.shape != (K,) or threshold.shape != (K,):
        raise InputError(
            f"v, tau and threshold have shapes {v.shape}, {tau.shape}, {threshold.shape}; "
            f"W {np.shape(W)} asks for {(n,)}, {(K,)}, {(K,)}"
        )
    return tau, v, threshold


def _checked_strata(
    order: np.ndarray, starts: np.ndarray, totals: np.ndarray, n: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    order = np.ascontiguousarray(order, dtype=np.int64)
    starts = np.ascontiguousarray(starts, dtype=np.int64)
    totals = np.ascontiguousarray(totals, dtype=np.int64)
    if order.shape != (n,) or starts.shape != (totals.size + 1,) or starts[-1] != n:
        raise InputError(
            f"order, starts and totals have shapes {order.shape}, {starts.shape}, {totals.shape} "
            f"and end at cell {starts[-1] if starts.size else 'none'}; {n} cells are to be covered"
        )
    wrong = int(np.count_nonzero((totals < 0) | (totals > np.diff(starts))))
    if wrong:
        raise InputError(f"{wrong} strata have a negative total or more treated than cells")
    return order, starts, totals
