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

Each tail is computed on its own side, in logarithms; two-sided is twice the smaller tail, at most
1. A p-value is never below 1e-300 and never made up: what cannot be tested is NaN.
Formulas and measured accuracy: docs/saddlepoint.md.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from programde.errors import InputError, check_choice

from .saddlepoint_bernoulli import BernoulliSums
from .saddlepoint_formulas import (
    BRANCHES,
    CHERNOFF,
    END,
    FALLBACK,
    INVERSION,
    MOMENTS,
    SADDLEPOINT,
    UNTESTABLE,
    combine_sides,
    edgeworth,
    lugannani_rice,
    other_tail,
)
from .saddlepoint_stratified import StratifiedSums

__all__ = [
    "BRANCHES",
    "FALLBACK",
    "Tails",
    "bernoulli_cumulants",
    "bernoulli_tails",
    "moment_skew_normal",
    "program_major",
    "stratified_cumulants",
    "stratified_tails",
]

SIDES = ("both", "left", "right")

#: Above this p-value the Edgeworth expansion may serve.
SCREEN_LEVEL = 0.005
#: It may leave out this share of itself by its own estimate (which proved to be ten times the
#: error), and serves only for laws whose skewness and excess kurtosis are below these: beyond, a
#: law may have several modes.
SCREEN_TOLERANCE = 0.02
_SCREEN_SKEWNESS, _SCREEN_KURTOSIS = 0.5, 0.6
#: ... and for draws whose number of uncertain cells is at least this (sum p (1 - p)).
_SCREEN_COUNT = 4.0
#: The Lugannani-Rice tail is trusted where its second-order term changes it by less than this ...
_SECOND_ORDER = 0.01
#: ... no few summands dominate: sum q a^4 / (sum q a^2)^2 of the tilted law is below this ...
_DOMINANCE = 0.04
#: ... the probability that a tilted draw is empty is below e^-this ...
_NOT_EMPTY = 15.0
#: ... and the threshold is not next to the mean, where 1/u - 1/w has no digits.
_NEAR_MEAN = 0.05
#: With fewer uncertain cells than this, both tails of a test are inverted where p exceeds e^...
_FEW_DRAWS = 10.0
_LOG_BOTH = np.log(0.005)


class Tails(NamedTuple):
    """Calibrated tests of one unit.

    Attributes
    ----------
    p_value : (K,) float64
        In [1e-300, 1], NaN where the null law has no spread or an input is not finite.
    branch : (K,) int8
        How it was computed: index into `BRANCHES` and `FALLBACK`.
    cumulants : (K, 4) float64
        Mean, variance, third and fourth cumulant of the linearised sum under the null law.
    """

    p_value: np.ndarray
    branch: np.ndarray
    cumulants: np.ndarray


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
    side: str = "both",
    *,
    basis: np.ndarray | None = None,
    bend: np.ndarray | None = None,
    screen_level: float = SCREEN_LEVEL,
) -> Tails:
    """P-values of the K tests of a unit whose cells are redrawn as x_i ~ Bernoulli(p_i).

    The event of test k is {sum_i x_i (W_ik - tau_k v_i) >= threshold_k}, for the lower tail <=.

    Parameters
    ----------
    W : (n, K) float64
        Summands of the statistic; Fortran order saves a copy (`program_major`).
    tau, threshold : (K,) float64
    v : (n,) float64
        The linearisation. NaN in tau or threshold gives p = NaN.
    p : (n,) float64
        Propensities, inside (0, 1).
    side : {"both", "left", "right"}
    basis, bend : (n, q) and (K,), optional
        Curvature of the event (see `saddlepoint_bernoulli`), basis best in Fortran order: exactly,
        {sum_i x_i a_ik + bend_k (||basis'(x - p)||^2 - its null mean) >= threshold_k}.
    screen_level : float
        P-values above this come from the cumulants where these suffice; 1 screens nothing.

    Returns
    -------
    Tails

    Raises
    ------
    InputError
        If p leaves (0, 1) or shapes disagree.
    OptionError
        For an unknown side.
    """
    tau, v, threshold = _checked(W, tau, v, threshold)
    p = np.ascontiguousarray(p, dtype=np.float64)
    if p.shape != v.shape:
        raise InputError(f"p has shape {p.shape} for {v.size} cells; give one per cell")
    outside = int(np.count_nonzero(~((p > 0.0) & (p < 1.0))))
    if outside:
        raise InputError(f"{outside} propensities lie outside (0, 1); clip them, say at 1e-6")
    sums = BernoulliSums(program_major(W), tau, v, threshold, p, basis, bend)
    return _tails(sums, side, screen_level)


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
    from .saddlepoint_kernels import bernoulli_cumulants_kernel

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
    side: str = "both",
    *,
    screen_level: float = SCREEN_LEVEL,
) -> Tails:
    """P-values of the K tests of a unit whose cells are permuted within strata.

    Parameters
    ----------
    W, tau, v, threshold, side, screen_level
        As in `bernoulli_tails`.
    order : (n,) int
        Cells, stratum after stratum.
    starts : (S + 1,) int
        Stratum s holds ``order[starts[s]:starts[s + 1]]``.
    totals : (S,) int
        Treated cells of each stratum.

    Returns
    -------
    Tails

    Raises
    ------
    InputError
        If shapes disagree, or a total is negative or exceeds its stratum.
    OptionError
        For an unknown side.
    """
    tau, v, threshold = _checked(W, tau, v, threshold)
    order, starts, totals = _checked_strata(order, starts, totals, v.size)
    sums = StratifiedSums(program_major(W), tau, v, threshold, order, starts, totals)
    return _tails(sums, side, screen_level)


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


def moment_skew_normal(
    cumulants: np.ndarray, threshold: np.ndarray, side: str = "both"
) -> np.ndarray:
    """P-values of the skew-normal law with the exact null moments: a check beside the others.

    Parameters
    ----------
    cumulants : (..., 4)
        Null cumulants of the linearised sums.
    threshold : (...)
        Their thresholds.
    side : {"both", "left", "right"}

    Returns
    -------
    (...) float64
    """
    from .skew_normal import skew_normal_from_moments

    mean, variance, third = cumulants[..., 0], cumulants[..., 1], cumulants[..., 2]
    with np.errstate(invalid="ignore", divide="ignore"):
        skewness = third / variance**1.5
        sd = np.sqrt(variance)
    return skew_normal_from_moments(mean, sd, skewness, threshold, side)


def _checked(W, tau, v, threshold):
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


def _checked_strata(order, starts, totals, n):
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


def _tails(sums, side: str, screen_level: float) -> Tails:
    """Steps 1 to 5 of the module's docstring for one unit's `sums` (BernoulliSums, say)."""
    check_choice("side", side, SIDES)
    cumulants = sums.cumulants
    K = cumulants.shape[0]
    log_upper = np.full(K, np.nan)
    log_lower = np.full(K, np.nan)
    branch = np.full(K, UNTESTABLE, dtype=np.int8)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        sd = np.sqrt(cumulants[:, 1])
        z = (sums.threshold - cumulants[:, 0]) / sd
        skewness = cumulants[:, 2] / sd**3
        kurtosis = cumulants[:, 3] / sd**4
    live = np.flatnonzero(np.isfinite(z) & np.isfinite(kurtosis) & (sd > 0.0))
    if live.size == 0:
        return Tails(np.full(K, np.nan), branch, cumulants)

    log_p, size = edgeworth(z[live], skewness[live], kurtosis[live])
    log_upper[live], log_lower[live] = log_p, other_tail(log_p)
    wanted = combine_sides(log_upper[live], log_lower[live], side)
    with np.errstate(invalid="ignore"):
        good = (wanted > screen_level) & (size <= SCREEN_TOLERANCE * wanted)
        good &= np.abs(skewness[live]) < _SCREEN_SKEWNESS
        good &= np.abs(kurtosis[live]) < _SCREEN_KURTOSIS
        good &= sums.count_variance >= _SCREEN_COUNT
    branch[live] = MOMENTS
    rest = live[~good]

    if rest.size:
        roots = sums.roots(rest)
        log_p, second = lugannani_rice(*roots[:, [1, 0, 2, 3, 4]].T)
        upper = z[rest] >= 0.0
        with np.errstate(invalid="ignore", divide="ignore"):
            trusted = (
                (roots[:, 7] > 0)
                & np.isfinite(log_p)
                & (log_p <= 0.0)
                & (second < _SECOND_ORDER)
                & (roots[:, 5] < _DOMINANCE * roots[:, 2] ** 2)
                & (np.sqrt(2.0 * np.maximum(roots[:, 1], 0.0)) > _NEAR_MEAN)
                & (sums.log_rest(rest, roots) > _NOT_EMPTY)
            )
        _put(log_upper, log_lower, rest[trusted], upper[trusted], log_p[trusted])
        branch[rest[trusted]] = SADDLEPOINT
        rough = ~trusted
        if rough.any():
            which, own = rest[rough], upper[rough]
            codes, log_p, atoms = _inverted(sums, which, own, roots[rough])
            _put(log_upper, log_lower, which, own, log_p)
            branch[which] = codes
            # where single draws carry weight, P(T >= t) and P(T <= t) share that of t itself
            both = atoms & (log_p > _LOG_BOTH) & (codes == INVERSION)
            if both.any():
                codes, log_p, _ = _inverted(sums, which[both], ~own[both], None)
                done = codes == INVERSION
                target, up = which[both][done], ~own[both][done]
                log_upper[target[up]] = log_p[done][up]
                log_lower[target[~up]] = log_p[done][~up]
    return Tails(combine_sides(log_upper, log_lower, side), branch, cumulants)


def _put(log_upper, log_lower, which, upper, log_p) -> None:
    """Store tails that were computed on their own side, and their opposites."""
    own, other = which[upper], which[~upper]
    log_upper[own] = log_p[upper]
    log_lower[own] = other_tail(log_p[upper])
    log_lower[other] = log_p[~upper]
    log_upper[other] = other_tail(log_p[~upper])


def _inverted(sums, which, upper, roots) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Steps 4 and 5 for tests `which` (J,) whose Lugannani-Rice tail is not good enough.

    roots None: the tail opposite to that of the roots. Returns codes, log p, and where single
    draws may carry weight.
    """
    start = np.full(which.size, 3.0)
    chernoff = np.zeros(which.size)
    if roots is not None:
        known = np.isfinite(roots[:, 0])
        start[known] = np.clip(roots[known, 0], 0.3, 60.0)
        # e^(K - l s) at the root; 1 where not even that is known
        known = np.isfinite(roots[:, 1]) & (roots[:, 7] > 0)
        chernoff[known] = -roots[known, 1]
    sign = np.where(upper, 1.0, -1.0)
    out = sums.invert(which, sign, start)
    log_p, gap, nodes, failed = out.T
    done = np.isfinite(log_p) & (log_p <= 1e-9) & (gap < 0.02) & (failed == 0)
    codes = np.full(which.size, INVERSION, dtype=np.int8)
    for j in np.flatnonzero(~done):
        log_end, beyond = sums.end(which[j], sign[j])
        codes[j] = END if beyond else CHERNOFF
        log_p[j] = log_end if beyond else chernoff[j]
    atoms = (nodes <= 0) | (sums.count_variance < _FEW_DRAWS)
    return codes, np.minimum(log_p, 0.0), atoms
