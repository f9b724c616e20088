"""Tails of sums under draws without replacement within strata: set-up, lattice, inversion.

See `permutation_kernels` for the law. Sums on a lattice (ranks: totals are fixed, so the sum of
ranks moves in steps of 1 or 1/2) get the continuity correction of Daniels 1987, section 6: with
span d the threshold is the midpoint s - d / 2 and u = (2 / d) sinh(l d / 2) sqrt(K''); so the
result is P(S >= s), the observed value included, and not the mid-p value.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from scipy.special import gammaln

from programde.compiled import njit
from programde.tails.contour import log_tail
from programde.tails.contour_factors import series_coefficient, series_start, small_sums
from programde.tails.contour_grid import LAPLACE, LONGEST_SERIES, group_rule, make_terms
from programde.tails.enumeration import FEW, all_draws, all_sums, number_of_draws
from programde.tails.permutation_kernels import (
    cumulants_of_strata,
    fill_strata,
    strata_root,
    strata_tilt,
)
from programde.tails.roots import N_COLUMNS, PASSES, ROOT, SPAN, Inverted, Roots

_GATHER_ABOVE = np.int64(400)  # strata of more cells of small odds than this go on a grid
_SPAN_SEEN = 1e-4  # a lattice finer than this many standard deviations is none
_SAME = 1e-9  # values closer than this many standard deviations are the same
_TOGETHER = 32  # programs whose draws are listed together, which bounds the memory
_LOOK_AT = 64  # programs without ties among so many cells are no coarse lattice ...
_FINE_ABOVE = 2000  # ... and with more cells than this a fine one does not matter to screening


@njit(nogil=True, cache=True, error_model="numpy")
def lattice_span(a, first):
    """Span of the lattice on which sums over strata with fixed totals lie; 0 where there is none.

    The greatest common divisor of all differences within strata, in standard deviations, by
    Euclid's algorithm with nearest remainders; the longest difference tells the span best.
    """
    span = 0.0
    most = 0.0
    for g in range(first.size - 1):
        for i in range(first[g] + 1, first[g + 1]):
            gap = abs(a[i] - a[first[g]])
            while gap > _SAME:
                if span == 0.0:
                    span, gap = gap, 0.0
                else:
                    steps = np.round(gap / span)
                    rest = abs(gap - steps * span)
                    if rest <= 1e-5 * span:
                        if steps > most:
                            span, most = gap / steps, steps
                        break
                    span, gap, most = rest, span, 0.0
                if span < _SPAN_SEEN:
                    return 0.0
    return span


@njit(nogil=True, cache=True, error_model="numpy")
def midpoint(a, first, total, s, span):
    """Half a span below the lowest point of the lattice that reaches s."""
    offset = 0.0
    for g in range(total.size):
        offset += total[g] * a[first[g]]
    return offset + span * (np.ceil((s - offset) / span - 1e-6) - 0.5)


@njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
def _choose_contour(a, first, total, s, c, z, w):
    """A contour near the saddlepoint (see `choose_contour`), and K'' there; fills z and w."""
    low = 0.3
    high = np.inf
    k2 = 0.0
    for _ in range(40):
        k0, k1, k2, _, _, _ = strata_tilt(a, first, total, c, z, w)
        usable = k2 > 1e-60 and np.isfinite(k0)
        if usable and abs(k1 - s) < np.sqrt(k2):
            break
        if usable and k1 < s:
            low = c
        else:
            high = c
        if np.isinf(high):
            if c >= 60.0:
                break
            c = min(2.0 * c, 60.0)
            continue
        if high - low < 0.1 * high:
            if not usable:
                c = low
                _, _, k2, _, _, _ = strata_tilt(a, first, total, c, z, w)
            break
        c = 0.5 * (low + high)
    return c, k2


@njit(nogil=True, cache=True, error_model="numpy")
def invert_strata(a, first, total, s, l, tolerance, span):
    """log P(S >= s) by inversion; arguments and result as `invert_bernoulli`."""
    n = a.size
    G = total.size
    if G == 1 and total[0] == 1:
        hits = 0
        for i in range(n):
            hits += a[i] >= s - tolerance
        return (np.log(hits / n) if hits > 0 else -np.inf), 0.0, 0, 0
    z = np.full(G, 0.0)
    odds = np.empty(n)
    c, k2 = _choose_contour(a, first, total, s, max(l, 0.7), z, odds)
    kinds = np.empty(G, dtype=np.int64)
    limit = np.empty(G)
    second = 0.0
    fourth = 0.0
    for g in range(G):
        lo, hi = first[g], first[g + 1]
        for i in range(lo, hi):
            odds[i] *= z[g]
            q = odds[i] / (1.0 + odds[i]) ** 2
            second += q * a[i] * a[i]
            fourth += q * a[i] ** 4
        kinds[g], limit[g] = group_rule(odds, lo, hi, total[g])
    terms = make_terms(a, odds, first, limit, _GATHER_ABOVE)
    if span == 0.0:
        s -= tolerance
    log_front = _log_mgf(terms, odds, first, total, kinds, z) - c * s
    sd = np.sqrt(max(k2, 0.0))
    if not (sd > 0.0 and fourth > 0.0 and np.isfinite(log_front)):
        return -np.inf, 1.0, 0, 1
    return log_tail(
        terms, total, kinds, c, s, sd, np.sqrt(fourth / second), log_front, np.inf, 0.0, span
    )


@njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
def _log_mgf(terms, odds, first, total, kinds, z):
    """K(c) = sum over strata of log [ e_m(odds / z) / e_m(1) ], by the contour's own formulas."""
    small_start, _, _, weights, single_start, single_angle, single_odds, _ = terms
    now = np.ones(single_angle.size, dtype=np.complex128)
    f = np.empty(4, dtype=np.complex128)
    scratch = np.empty(LONGEST_SERIES + 1, dtype=np.complex128)
    tilted = single_odds / (1.0 + single_odds)
    result = 0.0
    for g in range(total.size):
        lo, hi = first[g], first[g + 1]
        n = hi - lo
        m = total[g]
        result -= m * np.log(z[g])
        if kinds[g] == LAPLACE:
            q = 0.0
            for i in range(lo, hi):
                q += odds[i] / (1.0 + odds[i]) ** 2
                result += np.log1p(odds[i])
            start = m / (n - m)
            result -= 0.5 * np.log(q)
            result -= n * np.log1p(start) - m * np.log(start) - 0.5 * np.log(m * (n - m) / n)
            continue
        small_sums(weights, small_start[g], small_start[g + 1], f)
        none = series_start(f, m)
        e_m = series_coefficient(
            f, none, now, tilted, single_start[g], single_start[g + 1], m, scratch
        )
        result += np.log(e_m.real) - np.log(none)
        for i in range(single_start[g], single_start[g + 1]):
            result += np.log1p(single_odds[i])
        for j in range(m):
            result -= np.log((n - j) / (j + 1.0))
    return result


@njit(nogil=True, cache=True, error_model="numpy")
def solve_strata(Wt, tau, v, cells, first, total, flip, gap, cumulants, which, out):
    """Roots for the tests `which` (J,); gap (K,) = threshold - mean; out (J, N_COLUMNS).

    As `solve_bernoulli`, but (2 / d) sinh(l d / 2) for l on a lattice of span d, told as SPAN.
    """
    a = np.empty(cells.size)
    w = np.empty(cells.size)
    z = np.empty(total.size)
    for j in range(which.size):
        k = which[j]
        sd = np.sqrt(cumulants[k, 1])
        sign = 1.0 if gap[k] >= 0.0 else -1.0
        fill_strata(Wt[k], tau[k], v, cells, first, total, flip, sign / sd, a)
        s = abs(gap[k]) / sd
        span = lattice_span(a, first)
        out[j, SPAN] = span
        if span > 0.0:
            s = midpoint(a, first, total, s, span)
        if not s > 0.0:
            out[j, PASSES] = -1.0
            continue
        skew = sign * cumulants[k, 2] / sd**3
        excess = cumulants[k, 3] / sd**4
        guess = s - skew * s * s / 2.0 + (skew * skew / 2.0 - excess / 6.0) * s**3
        for g in range(z.size):
            z[g] = 0.0
        guess = min(max(guess, 0.3 * s), 1.5 * s)
        out[j, PASSES] = strata_root(a, first, total, s, guess, z, w, out[j])
        if span > 0.0:
            out[j, ROOT] = 2.0 / span * np.sinh(0.5 * span * out[j, ROOT])


class StratifiedSums:
    """The null law of K sums sum_i x_i (W_ik - tau_k v_i), x permuted within strata.

    Parameters
    ----------
    Wt : (K, n) float64, C order
        Summands, program by program.
    tau, threshold : (K,)
    v : (n,)
    order : (n,) int64
        Cells, stratum after stratum.
    starts : (S + 1,) int64
    totals : (S,) int64
        Treated cells of each stratum.
    basis, curvature : (n, q) and (K,), optional
        Curvature of the event; used where all draws are listed, where it matters most.
    """

    def __init__(
        self,
        Wt: np.ndarray,
        tau: np.ndarray,
        v: np.ndarray,
        threshold: np.ndarray,
        order: np.ndarray,
        starts: np.ndarray,
        totals: np.ndarray,
        basis: np.ndarray | None = None,
        curvature: np.ndarray | None = None,
    ):
        self.Wt, self.tau, self.threshold = Wt, tau, threshold
        sizes = np.diff(starts)
        varying = np.flatnonzero((totals > 0) & (totals < sizes))
        full = np.flatnonzero((totals == sizes) & (sizes > 0))
        self._cells = _cells_of(order, starts, varying)
        self._v = v[self._cells]
        size = sizes[varying].astype(np.int64)
        self._first = np.concatenate([[0], np.cumsum(size)]).astype(np.int64)
        drawn = totals[varying].astype(np.int64)
        self._flip = np.where(2 * drawn > size, -1.0, 1.0)
        self._total = np.where(self._flip < 0, size - drawn, drawn)
        self.count_variance = float((drawn * (size - drawn) / size).sum())
        self.cumulants = np.empty((tau.size, 4))
        cumulants_of_strata(
            Wt, tau, v, self._cells, self._first, self._total, self._flip, self.cumulants
        )
        self._basis, self._curvature = basis, curvature
        always = _cells_of(order, starts, full)
        self.cumulants[:, 0] += Wt[:, always].sum(axis=1) - tau * v[always].sum()

    def enumerated(self) -> tuple[np.ndarray, float] | None:
        """(logarithms of both tails (2, K), that of one draw) from all draws, where these are few;
        None where they are many."""
        if not number_of_draws(self._first, self._total) <= FEW:
            return None
        draws = all_draws(self._first, self._total)
        square = np.zeros(1)
        if self._basis is not None:
            basis = np.asarray(self._basis)[self._cells]
            square = (all_sums(basis, self._first, draws, self._flip) ** 2).sum(axis=1)
            square -= square.mean()
        logs = np.full((2, self.tau.size), np.nan)
        for lo in range(0, self.tau.size, _TOGETHER):
            k = slice(lo, lo + _TOGETHER)
            columns = self.Wt[k, self._cells].T - self._v[:, None] * self.tau[k]
            reached = all_sums(columns, self._first, draws, self._flip)
            if self._curvature is not None:
                reached += square[:, None] * np.asarray(self._curvature)[k]
            slack = 1e-9 * np.abs(reached).max(axis=0)
            with np.errstate(divide="ignore", invalid="ignore"):
                logs[0, k] = np.log((reached >= self._gap[k] - slack).mean(axis=0))
                logs[1, k] = np.log((reached <= self._gap[k] + slack).mean(axis=0))
        return logs, -float(sum(np.log(len(chosen)) for chosen in draws))

    @cached_property
    def half_span(self) -> np.ndarray:
        """Half the lattice span of each sum (K,), 0 where there is none or it is of no weight."""
        half = np.zeros(self.tau.size)
        if self._cells.size == 0:
            return half
        look = np.sort(self.Wt[:, self._cells[:_LOOK_AT]], axis=1)
        tied = (np.diff(look, axis=1) <= 0.0).sum(axis=1) >= look.shape[1] // 2
        if self._cells.size <= _FINE_ABOVE:
            tied[:] = True
        for k in np.flatnonzero(tied & (self.cumulants[:, 1] > 0.0)):
            a, _, _ = self._standardised(k, 1.0)
            half[k] = 0.5 * lattice_span(a, self._first) * np.sqrt(self.cumulants[k, 1])
        return half

    @cached_property
    def _gap(self) -> np.ndarray:
        return self.threshold - self.cumulants[:, 0]

    def roots(self, which: np.ndarray) -> Roots:
        """Saddlepoints of the tests `which` (J,), each on the side where its statistic lies."""
        out = np.full((which.size, N_COLUMNS), np.nan)
        solve_strata(
            self.Wt, self.tau, self._v, self._cells, self._first, self._total, self._flip,
            self._gap, self.cumulants, which, out,
        )  # fmt: skip
        return Roots.from_columns(out)

    def _standardised(self, k: int | np.integer, sign: float) -> tuple[np.ndarray, float, float]:
        """(summands, threshold, rounding) of test k on the scale of its standard deviation."""
        a = np.empty(self._cells.size)
        sd = np.sqrt(self.cumulants[k, 1])
        strata = (self._cells, self._first, self._total, self._flip)
        fill_strata(self.Wt[k], self.tau[k], self._v, *strata, sign / sd, a)
        s = sign * self._gap[k] / sd
        return a, s, 1e-10 * (abs(s) + np.abs(a).max())

    def invert(self, which: np.ndarray, sign: np.ndarray, start: np.ndarray) -> Inverted:
        """`invert_strata` for tests `which` (J,) and tails sign (J,); see `BernoulliSums`."""
        found = np.empty((which.size, 4))
        for j, k in enumerate(which):
            a, s, rounding = self._standardised(k, sign[j])
            span = lattice_span(a, self._first)
            if span > 0.0:
                s = midpoint(a, self._first, self._total, s, span)
            found[j] = invert_strata(a, self._first, self._total, s, start[j], rounding, span)
        return Inverted(*found.T)

    def end(self, k: int, sign: float) -> tuple[float, bool]:
        """(log probability of the draws of largest sum, whether s lies at or above that sum)."""
        a, s, rounding = self._standardised(k, sign)
        largest = 0.0
        log_p = 0.0
        for g, m in enumerate(self._total):
            values = np.sort(a[self._first[g] : self._first[g + 1]])
            largest += values[-m:].sum()
            # which of the cells equal to the m-th largest are drawn is left to chance
            slack = 1e-10 * (abs(values[-m]) + abs(values[-1]))
            above = np.count_nonzero(values > values[-m] + slack)
            tied = np.count_nonzero(np.abs(values - values[-m]) <= slack)
            log_p += _log_choices(tied, m - above) - _log_choices(values.size, m)
        return log_p, bool(s > largest - 10.0 * rounding)


def _log_choices(n: int | np.integer, m: int | np.integer) -> float:
    return float(gammaln(n + 1) - gammaln(m + 1) - gammaln(n - m + 1))


def _cells_of(order: np.ndarray, starts: np.ndarray, strata: np.ndarray) -> np.ndarray:
    """Cells of the given strata, stratum after stratum; unsigned, which spares the kernels a
    check for places counted from the end."""
    parts = [order[starts[s] : starts[s + 1]] for s in strata]
    return np.concatenate([np.empty(0, dtype=np.uint32), *parts]).astype(np.uint32)
