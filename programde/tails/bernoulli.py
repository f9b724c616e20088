"""Tails of weighted sums of independent Bernoulli variables: root, contour and their driver.

The upper tail of one test, with summands a in units of the null standard deviation:
1. the root of K'(l) = s and the Lugannani-Rice ingredients (`bernoulli_root`);
2. where that is too rough, inversion along the contour (`inversion`).
Cells with p > 1/2 are followed by their absence, which changes nothing but the numerics.
A draw without treated cells, or without others, has the statistic 0 by definition (as the
samplers' draws have) and counts in the tail that holds 0: t has the sign of tau, and with tau = 0
the statistic is the sum itself.

A statistic whose event is not quite linear gives its curvature: a matrix B (n, q) and g with
    {T >= t} = {sum x a + g (||B'(x - p)||^2 - E ||B'(x - p)||^2) >= s},
exactly (OLS: B = Q, g = t; rank sum: B = 1, g = t / 2). Then s is replaced by
    s - g (E~ ||B'(x - p)||^2 - E ||B'(x - p)||^2),
E~ being the expectation under the law tilted to the event itself, and the root is found again;
draws of one cell are counted with their exact statistic.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from programde.compiled import njit
from programde.tails.bernoulli_kernels import (
    FAST,
    bernoulli_cumulants_kernel,
    bernoulli_root,
    logarithm,
)
from programde.tails.inversion import ENUMERATED, count_single, curvature_shift, invert_bernoulli
from programde.tails.roots import MOVED, N_COLUMNS, PASSES, ROOT, Inverted, Roots

_SHIFT_SEEN = 0.003  # a change of log p by the curvature below this is left alone


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def log_no_cell(p):
    """log P(no cell is drawn) = sum log(1 - p), p <= 1/2."""
    total = 0.0
    for i in range(p.size):
        total += logarithm(1.0 - p[i])
    return total


@njit(nogil=True, cache=True, error_model="numpy")
def standardised(row, tau, v, threshold, flip, sd, sign, a):
    """Fill a (n,) = flip sign (row - tau v) / sd; returns (threshold, its rounding) on that scale.

    flip (n,) is -1 for cells followed by their absence, whose sum moves to the threshold.
    """
    factor = sign / sd
    always = 0.0
    size = 0.0
    for i in range(a.size):
        x = (row[i] - tau * v[i]) * factor
        if flip[i] < 0.0:
            always += x
            x = -x
        a[i] = x
        size = max(size, abs(x))
    s = threshold * factor
    return s - always, 1e-10 * (size + abs(s))


@njit(nogil=True, cache=True, error_model="numpy")
def solve_bernoulli(
    Wt, tau, v, threshold, p, flip, cumulants, which, g, Bt, square, cross, constant, out
):
    """Roots for the tests `which` (J,) of one unit, each on the side where its statistic lies.

    Wt (K, n), tau, threshold, g (K,), v, p (n,) <= 1/2, flip (n,), cumulants (K, 4), the
    curvature's Bt, square, cross, constant as in `curvature_shift`; out (J, N_COLUMNS) as
    `bernoulli_root`, the passes negative where there is no root.
    """
    a = np.empty(p.size)
    for j in range(which.size):
        k = which[j]
        sd = np.sqrt(cumulants[k, 1])
        z = (threshold[k] - cumulants[k, 0]) / sd
        sign = 1.0 if z >= 0.0 else -1.0
        s, _ = standardised(Wt[k], tau[k], v, threshold[k], flip, sd, sign, a)
        z = abs(z)
        skew = sign * cumulants[k, 2] / sd**3
        excess = cumulants[k, 3] / sd**4
        guess = z - skew * z * z / 2.0 + (skew * skew / 2.0 - excess / 6.0) * z**3
        guess = min(max(guess, 0.3 * z), 1.5 * z)
        passes = bernoulli_root(a, p, s, guess, out[j])
        curvature = sign * g[k] / sd
        if curvature != 0.0 and Bt.shape[0] > 0 and passes > 0:
            before = 0.0
            for _ in range(4):
                l = out[j, ROOT]
                # ||B'd||^2 <= ||d||^2 for orthonormal B: most tests end here
                if abs(l * curvature) * out[j, MOVED] < _SHIFT_SEEN:
                    break
                shift = -curvature * curvature_shift(a, p, l, Bt, square, cross, constant, 0.0)
                if abs(l * (shift - before)) < _SHIFT_SEEN:
                    break
                before = shift
                more = bernoulli_root(a, p, s + shift, l, out[j])
                passes = passes + more + 1 if more > 0 else more
                if more < 0:
                    break
        out[j, PASSES] = passes


@dataclass(frozen=True, eq=False)
class Curvature:
    """Curvature of K events, with the basis B (n, q) that they share (see the module).

    Attributes
    ----------
    g : (K,)
        Coefficients.
    Bt : (q, n)
        B'.
    square, cross : (n,)
        Sums of squares of B's rows, and B B'p.
    constant
        ||B'p||^2 - sum p (1 - p) square.
    """

    g: np.ndarray
    Bt: np.ndarray
    square: np.ndarray
    cross: np.ndarray
    constant: float

    @property
    def shared(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
        """What the events share, as the kernels take it."""
        return self.Bt, self.square, self.cross, self.constant


class BernoulliSums:
    """The null law of K sums sum_i x_i (W_ik - tau_k v_i), x_i ~ Bernoulli(p_i) independent.

    Parameters
    ----------
    Wt : (K, n) float64, C order
        Summands, program by program.
    tau, threshold : (K,)
    v, p : (n,)
        p strictly between 0 and 1.
    basis : (n, q), optional
        Curvature B, in Fortran order for speed; with `curvature` (K,) its coefficient g.
    cumulants : (K, 4), optional
        Of the sums, where they are at hand.
    """

    def __init__(
        self,
        Wt: np.ndarray,
        tau: np.ndarray,
        v: np.ndarray,
        threshold: np.ndarray,
        p: np.ndarray,
        basis: np.ndarray | None = None,
        curvature: np.ndarray | None = None,
        cumulants: np.ndarray | None = None,
    ):
        self.Wt, self.tau, self.v, self.threshold = Wt, tau, v, threshold
        if cumulants is None:
            cumulants = np.empty((1, *tau.shape, 4))
            bernoulli_cumulants_kernel(Wt, tau[None], v[None], p[None], cumulants)
            cumulants = cumulants[0]
        self.cumulants = cumulants
        self.count_variance = float(p @ (1.0 - p))
        self.half_span = np.zeros(tau.shape)  # the number of cells drawn varies: no lattice
        self._any_flipped = bool(p.max(initial=0.0) > 0.5)
        self._flip = np.where(p > 0.5, -1.0, 1.0) if self._any_flipped else np.ones(p.size)
        self._p = np.where(p > 0.5, 1.0 - p, p) if self._any_flipped else p
        self._basis, self._curvature = basis, curvature

    @cached_property
    def curvature(self) -> Curvature:
        """Of the K events; with no rows in Bt and g = 0 where they are linear."""
        if self._basis is None or self._curvature is None:
            empty = np.empty(0)
            none = np.empty((0, self._p.size))
            return Curvature(np.zeros(self.tau.shape), none, empty, empty, 0.0)
        Bt = np.ascontiguousarray(np.asarray(self._basis, dtype=np.float64).T)
        if self._any_flipped:
            Bt = Bt * self._flip
        square = np.einsum("ji,ji->i", Bt, Bt)
        mean = Bt @ self._p
        constant = float(mean @ mean - (self._p * (1.0 - self._p)) @ square)
        g = np.asarray(self._curvature, dtype=np.float64)
        return Curvature(g, Bt, square, mean @ Bt, constant)

    def roots(self, which: np.ndarray) -> Roots:
        """Saddlepoints of the tests `which` (J,), each on the side where its statistic lies."""
        out = np.full((which.size, N_COLUMNS), np.nan)
        solve_bernoulli(
            self.Wt, self.tau, self.v, self.threshold, self._p, self._flip, self.cumulants, which,
            self.curvature.g, *self.curvature.shared, out,
        )  # fmt: skip
        return Roots.from_columns(out)

    def _standardised(self, k: int, sign: float) -> tuple[np.ndarray, float, float]:
        """(summands, threshold, rounding) of test k on the scale of its standard deviation."""
        a = np.empty(self._p.size)
        sd = np.sqrt(self.cumulants[k, 1])
        s, rounding = standardised(
            self.Wt[k], self.tau[k], self.v, self.threshold[k], self._flip, sd, sign, a
        )
        return a, s, rounding

    def invert(self, which: np.ndarray, sign: np.ndarray, start: np.ndarray) -> Inverted:
        """`invert_bernoulli` for tests `which` (J,) and tails sign (J,), +1 upper or -1 lower.

        start (J,) a guess of the saddlepoint.
        """
        log_none = log_no_cell(self._p)
        odds_sum = float((self._p / (1.0 - self._p)).sum())
        flipped = self._flip < 0.0
        curvature = self.curvature
        found = np.empty((which.size, 4))
        for j, k in enumerate(which):
            a, s, rounding = self._standardised(k, sign[j])
            found[j] = invert_bernoulli(
                a, self._p, s, start[j], log_none, odds_sum, rounding, flipped,
                self._any_flipped, sign[j] * curvature.g[k] / np.sqrt(self.cumulants[k, 1]),
                *curvature.shared,
            )  # fmt: skip
            t = self.tau[k] if self.tau[k] != 0.0 else self.threshold[k]
            if sign[j] * t <= 0.0:
                found[j, 0] = np.logaddexp(found[j, 0], self._log_undefined)
        return Inverted(*found.T)

    def enumerated(self) -> tuple[np.ndarray, float] | None:
        """(logarithms of both tails (2, K), that of the rarest draw) from all draws of a screen of
        few cells; None for others."""
        if self._p.size > ENUMERATED:
            return None
        which = np.flatnonzero(self.cumulants[:, 1] > 0.0)
        logs = np.full((2, self.tau.size), np.nan)
        for row, sign in zip(logs, (1.0, -1.0), strict=True):
            signs, start = np.full(which.size, sign), np.ones(which.size)
            row[which] = self.invert(which, signs, start).log_p
        return logs, float(np.log(self._p).sum())

    @cached_property
    def _log_undefined(self) -> float:
        """log P(no cell, or in enumerated screens all cells, are drawn)."""
        if self._p.size <= ENUMERATED:
            up = self._flip < 0.0
            none = np.where(up, np.log(self._p), np.log1p(-self._p)).sum()
            every = np.where(up, np.log1p(-self._p), np.log(self._p)).sum()
            return float(np.logaddexp(none, every))
        return -np.inf if self._any_flipped else float(log_no_cell(self._p))

    def end(self, k: int, sign: float) -> tuple[float, bool]:
        """(log probability of the draw of largest sum, whether s lies above that sum).

        The draw of all cells with a > 0; where there is none, no cell or the best single one.
        Where single cells reach s by the curvature of their event, theirs is the probability.
        """
        a, s, rounding = self._standardised(k, sign)
        up = a > 0.0
        largest = float(a[up].sum())
        best = int(np.argmax(a))
        alone = not (up.any() or self._any_flipped)
        if not s > (a[best] if alone else largest) - rounding:
            return -np.inf, False
        g = sign * self.curvature.g[k] / np.sqrt(self.cumulants[k, 1])
        _, *of_cells = self.curvature.shared
        singles = count_single(a, self._p, s - rounding, log_no_cell(self._p), g, *of_cells)
        if singles > 0.0:
            return float(np.log(singles)), True
        log_p = float(np.where(up, np.log(self._p), np.log1p(-self._p)).sum())
        if alone:
            log_p += float(np.log(self._p[best]) - np.log1p(-self._p[best]))
        return log_p, True
