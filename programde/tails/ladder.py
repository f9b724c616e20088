"""The ladder of branches by which each tail of a unit's tests is computed.

Where there are few draws all are listed. Else from cheap to dear, each step where the one before
is not good enough: the Edgeworth expansion of
the exact cumulants, the Lugannani-Rice tail at the saddlepoint, inversion along the contour, the
end of the support or Chernoff's bound. The laws themselves (`BernoulliSums`, `StratifiedSums`)
answer with cumulants, roots, inverted tails and ends.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from programde.tails.formulas import (
    CHERNOFF,
    END,
    ENUMERATION,
    INVERSION,
    MOMENTS,
    SADDLEPOINT,
    UNTESTABLE,
    combine_sides,
    edgeworth,
    lugannani_rice,
    other_tail,
)
from programde.tails.log_tails import LogTails
from programde.tails.roots import Inverted, Roots

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
#: ... no few summands dominate: sum q a^4 / (sum q a^2)^2 of the tilted law is below this (so that
#: sum q > 25 by Cauchy and Schwarz, and no tilted draw is ever empty: e^-25) ...
_DOMINANCE = 0.04
#: ... and the threshold is not next to the mean, where 1/u - 1/w has no digits.
_NEAR_MEAN = 0.05
#: With fewer uncertain cells than this, both tails of a test are inverted ...
_FEW_DRAWS = 10.0
#: ... where the logarithm of p exceeds this.
_LOG_BOTH = np.log(0.005)


class NullSums(Protocol):
    """The null law of a unit's K linearised sums, with the thresholds of its tests."""

    threshold: np.ndarray
    cumulants: np.ndarray
    count_variance: float

    @property
    def half_span(self) -> np.ndarray:
        """Half the lattice span of each sum (K,), 0 where there is none."""

    def enumerated(self) -> tuple[np.ndarray, float] | None:
        """(logarithms of both tails (2, K), upper first, and that of the rarest draw) from all
        draws, where these are few; None where they are many."""

    def roots(self, which: np.ndarray) -> Roots:
        """Saddlepoints of the tests `which` (J,), each on the side where its statistic lies."""

    def invert(self, which: np.ndarray, sign: np.ndarray, start: np.ndarray) -> Inverted:
        """Tails of the tests `which` (J,) on the sides sign (J,), +1 upper or -1 lower; start (J,)
        guesses of the saddlepoints."""

    def end(self, k: int, sign: float) -> tuple[float, bool]:
        """(log probability of the draw of largest sum, whether the threshold lies beyond it)."""


def tails_of_sums(sums: NullSums, screen_level: float) -> LogTails:
    """Both tails (K,) of one unit's tests.

    Parameters
    ----------
    sums
        Null law of K sums, with their thresholds.
    screen_level
        Two-sided p-values above this come from the cumulants where these suffice.
    """
    cumulants = sums.cumulants
    K = cumulants.shape[0]
    log_upper = np.full(K, np.nan)
    log_lower = np.full(K, np.nan)
    branch = np.full(K, UNTESTABLE, dtype=np.int8)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        sd = np.sqrt(cumulants[:, 1])
        z = (sums.threshold - cumulants[:, 0]) / sd
        shape = np.column_stack([cumulants[:, 2] / sd**3, cumulants[:, 3] / sd**4])
    live = np.flatnonzero(np.isfinite(z) & np.isfinite(shape).all(axis=1) & (sd > 0.0))
    every = sums.enumerated() if live.size else None
    if every is not None:
        (log_upper[live], log_lower[live]), rarest = every[0][:, live], every[1]
        branch[live] = ENUMERATION
        for tail in (log_upper, log_lower):
            # a threshold beyond all draws: the rarest of them
            beyond = live[np.isneginf(tail[live])]
            tail[beyond], branch[beyond] = rarest, END
    elif live.size:
        branch[live] = MOMENTS
        good = _screened(sums, live, z, shape, sd, log_upper, log_lower, screen_level)
        rest = live[~good]
        if rest.size:
            _solved(sums, rest, z[rest] >= 0.0, log_upper, log_lower, branch)
    mean, variance, third, fourth = cumulants.T
    rough = np.zeros(K, dtype=bool)
    return LogTails(
        log_lower, log_upper, branch, mean, variance, third, fourth, sums.threshold, rough
    )


def _screened(
    sums: NullSums,
    live: np.ndarray,
    z: np.ndarray,
    shape: np.ndarray,
    sd: np.ndarray,
    log_upper: np.ndarray,
    log_lower: np.ndarray,
    screen_level: float,
) -> np.ndarray:
    """Edgeworth tails of the tests `live`, stored; returns which of them are good enough.

    The two-sided p-value decides for both tails.
    """
    skewness, kurtosis = shape.T
    log_p, size = edgeworth(z[live], skewness[live], kurtosis[live])
    log_upper[live], log_lower[live] = log_p, other_tail(log_p)
    half_span = sums.half_span
    for k in live[half_span[live] > 0.0]:
        # on a lattice the continuity correction of either tail counts the value itself in full
        either = z[k] + np.array([-1.0, 1.0]) * half_span[k] / sd[k]
        log_p, _ = edgeworth(either, skewness[k], kurtosis[k])
        log_upper[k], log_lower[k] = log_p[0], other_tail(log_p[1])
    wanted = combine_sides(log_upper[live], log_lower[live], "both")
    with np.errstate(invalid="ignore"):
        good = (wanted > screen_level) & (size <= SCREEN_TOLERANCE * wanted)
        good &= np.abs(skewness[live]) < _SCREEN_SKEWNESS
        good &= np.abs(kurtosis[live]) < _SCREEN_KURTOSIS
    return good & (sums.count_variance >= _SCREEN_COUNT)


def _solved(
    sums: NullSums,
    rest: np.ndarray,
    upper: np.ndarray,
    log_upper: np.ndarray,
    log_lower: np.ndarray,
    branch: np.ndarray,
) -> None:
    """Saddlepoint or inverted tails of the tests `rest`, on the side `upper`; stored."""
    roots = sums.roots(rest)
    log_p, second = lugannani_rice(roots.exponent, roots.root, roots.k2, roots.k3, roots.k4)
    with np.errstate(invalid="ignore", divide="ignore"):
        trusted = (
            (roots.passes > 0)
            & np.isfinite(log_p)
            & (log_p <= 0.0)
            & (second < _SECOND_ORDER)
            & (roots.fourth < _DOMINANCE * roots.k2**2)
            & (np.sqrt(2.0 * np.maximum(roots.exponent, 0.0)) > _NEAR_MEAN)
        )
    _put(log_upper, log_lower, rest[trusted], upper[trusted], log_p[trusted])
    branch[rest[trusted]] = SADDLEPOINT
    rough = ~trusted
    if not rough.any():
        return
    which, own = rest[rough], upper[rough]
    codes, log_p, atoms = _inverted(sums, which, own, roots[rough])
    _put(log_upper, log_lower, which, own, log_p)
    branch[which] = codes
    # where single draws carry weight, P(T >= t) and P(T <= t) share that of t itself
    both = atoms & (log_p > _LOG_BOTH) & (codes != CHERNOFF)
    if both.any():
        codes, log_p, _ = _inverted(sums, which[both], ~own[both], None)
        done = codes == INVERSION
        target, up = which[both][done], ~own[both][done]
        log_upper[target[up]] = log_p[done][up]
        log_lower[target[~up]] = log_p[done][~up]


def _put(
    log_upper: np.ndarray,
    log_lower: np.ndarray,
    which: np.ndarray,
    upper: np.ndarray,
    log_p: np.ndarray,
) -> None:
    """Store tails that were computed on their own side, and their opposites."""
    own, other = which[upper], which[~upper]
    log_upper[own] = log_p[upper]
    log_lower[own] = other_tail(log_p[upper])
    log_lower[other] = log_p[~upper]
    log_upper[other] = other_tail(log_p[~upper])


def _inverted(
    sums: NullSums, which: np.ndarray, upper: np.ndarray, roots: Roots | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Steps 4 and 5 for tests `which` (J,) whose Lugannani-Rice tail is not good enough.

    roots None: the tail opposite to that of the roots. Returns codes, log p, and where single
    draws may carry weight.
    """
    sign = np.where(upper, 1.0, -1.0)
    start = np.full(which.size, 3.0)
    chernoff = np.zeros(which.size)  # e^(K - l s) at the root; 1 where not even that is known
    codes = np.full(which.size, INVERSION, dtype=np.int8)
    log_p = np.full(which.size, np.nan)
    nodes = np.zeros(which.size)
    if roots is not None:
        known = np.isfinite(roots.root)
        start[known] = np.clip(roots.root[known], 0.3, 60.0)
        rooted = np.isfinite(roots.exponent) & (roots.passes > 0)
        chernoff[rooted] = -roots.exponent[rooted]
        for j in np.flatnonzero(~rooted):
            log_end, beyond = sums.end(which[j], sign[j])
            if beyond:
                codes[j], log_p[j] = END, log_end
    rest = np.flatnonzero(codes == INVERSION)
    if rest.size:
        found = sums.invert(which[rest], sign[rest], start[rest])
        log_p[rest], nodes[rest] = found.log_p, found.nodes
        done = np.isfinite(found.log_p) & (found.log_p <= 1e-9)
        done &= (found.gap < 0.02) & (found.failed == 0)
        lost = rest[~done]
        codes[lost], log_p[lost] = CHERNOFF, chernoff[lost]
    atoms = (nodes <= 0) | (sums.count_variance < _FEW_DRAWS)
    return codes, np.minimum(log_p, 0.0), atoms
