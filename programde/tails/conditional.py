"""The conditional law: tails of S'x given C'x, exact under an estimated propensity.

If x_i ~ Bernoulli(p_i) independently with logit p in the span of the covariates C, then C'x is
sufficient for the coefficients, and the law of S'x given C'x depends on nothing unknown. Given C'x
(an intercept being in C) the number of treated cells and the denominator of the least-squares
coefficient are constants, so a tail of S'x, S the outcome, its residual or its centred ranks, is
one of the coefficient or of the rank-biserial effect. It is computed

1. exactly, where C is one factor or factors with all interactions: the law is that of a
   permutation within their cells (branch "permutation");
2. for tests that the first-order form finds unremarkable, from its exact cumulants ("first order",
   see `first_order_kernels`);
3. else by the double saddlepoint, r* of two logistic fits ("conditional", `conditional_tests`),
   blended with 2 in log p between `TAKES_OVER` and `ALONE`;
4. where a fit does not exist, by the first-order tails under the propensity at hand ("separated").

No fit has a ridge. Cells whose treatment C'x fixes (a batch, or a factor's level, with no or only
treated cells) are left out instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from scipy.special import log_ndtr

from programde.errors import InputError

from .conditional_fit import AtRoot, UnitFit
from .conditional_tests import (
    LEFT,
    N_RESULTS,
    RIGHT,
    SMOOTHNESS,
    TEST_PASSES,
    residual_cumulants,
    tests,
)
from .covariate_strata import CovariateStrata, strata_of
from .first_order import first_order_tails, gamma_by_strata
from .first_order_kernels import first_order_sums, project, standardise, sums_of_treated
from .formulas import (
    CHERNOFF,
    CONDITIONAL,
    END,
    FIRST_ORDER,
    LOG_SMALLEST,
    PERMUTATION,
    SEPARATED,
    UNTESTABLE,
    edgeworth,
    other_tail,
)
from .ladder import SCREEN_LEVEL, tails_of_sums
from .log_tails import LogTails
from .permutation import StratifiedSums

#: Two-sided p-values below this have the conditional law's share, below `ALONE` its alone.
TAKES_OVER, ALONE = 0.05, 0.02
#: With this many treated cells both laws agree within a percent there: no blend.
_MANY = 300
#: A test is marked (`rough`) where its tilted law is less smooth than this (`smoothness`).
ROUGH = 0.13
_TOLERANCE = 1e-3
_MAX_PASSES = 40
#: Less of a variance than this beside C is rounding: the summands lie in the span of C.
_ALIASED = 1e-7
_LOOK_AT = 500
#: Units that share a reading of the summands; no result depends on it.
_TOGETHER = 4
#: Gamma counts for the third and fourth cumulants where it takes up this share of the variance of
#: a unit of fifty treated cells (of others in proportion).
_GAMMA_COUNTS = 1e-3
#: The cumulants' tail serves where its third order is this share of it, as in `ladder`.
_SCREEN_TOLERANCE, _SKEWNESS, _KURTOSIS, _COUNT = 0.02, 0.5, 0.6, 4.0


class ConditionalLaw:
    """Tails of sums over treated cells given C'x, for the units of one population.

    Parameters
    ----------
    S_t : (K, n) float64, C order
        Summands by program.
    covariates : (n, p) float64
        Those of the propensity: of full column rank, the intercept in their span.
    batch : (n,) integer codes, optional
        Strata by which cells are sorted; found in the covariates otherwise. No result depends on
        them beyond rounding.
    spans : (K,) float64, optional
        Lattice spans of the outcome (`lattice_spans`), 0 for none.
    strata : CovariateStrata, optional
        Those of the covariates, where they are at hand.
    screened : bool
        Whether the first-order form may serve where it finds nothing remarkable.
    basis : (n, p) float64, optional
        An orthonormal basis of the covariates' span, where it is at hand.
    """

    def __init__(
        self,
        S_t: np.ndarray,
        covariates: np.ndarray,
        batch: np.ndarray | None = None,
        spans: np.ndarray | None = None,
        strata: CovariateStrata | None = None,
        screened: bool = True,
        basis: np.ndarray | None = None,
    ):
        self.S_t = np.ascontiguousarray(S_t, dtype=np.float64)
        self.covariates = np.asarray(covariates, dtype=np.float64)
        if self.S_t.ndim != 2 or self.S_t.shape[1] != self.covariates.shape[0]:
            raise InputError(
                f"S_t has shape {self.S_t.shape} for covariates {self.covariates.shape}; "
                "give programs x cells and cells x columns"
            )
        self.strata = strata_of(self.covariates, batch, basis) if strata is None else strata
        K, n = self.S_t.shape
        self.n_programs = K
        self.screened = screened
        spans = np.zeros(K) if spans is None else np.asarray(spans, dtype=np.float64)
        # on one scale, so that neither float32 nor fourth powers run out of range
        self._centre, self._factor, self._reach = np.empty(K), np.empty(K), np.empty(K)
        rows = 0 if self.strata.saturated else -4 * (-K // 4)
        self._sorted = np.zeros((rows, n), dtype=np.float32)
        standardise(
            self.S_t, self.strata.order, self._centre, self._factor, self._reach, self._sorted
        )
        self._constant = self._factor == 0.0
        self._half_span = 0.5 * spans * self._factor

    def tails(
        self,
        treated: Sequence[np.ndarray],
        p: Callable[[int], np.ndarray | None] | None = None,
        theta: Sequence[np.ndarray] | None = None,
        probabilities: Callable[[int, np.ndarray], None] | None = None,
        coefficients: Callable[[int, AtRoot | None], None] | None = None,
    ) -> list[LogTails]:
        """Both tails of the K tests of each of some units.

        Parameters
        ----------
        treated : (n1,) int of each unit
            Places of its treated cells in the population.
        p : callable, optional
            p(u) (n,) gives the propensities of the u-th of these units, for first-order tails where
            the conditional law fails; where it gives None, or without it, such tests are NaN.
        theta : (p,) float64 of each unit, optional
            Coefficients of a fit of x on the covariates, ridge or not: a start that saves a pass.
        probabilities : callable, optional
            Called with (u, (n,) probabilities of treatment of the u-th unit's cells, in no
            particular order), fitted without a ridge; with those of `p` where no fit exists.
        coefficients : callable, optional
            Called with (u, coefficients of the same fit, or None where they are not at hand).

        Returns
        -------
        list of LogTails (K,)
            Branches "first order", "conditional", "permutation", "separated", "untestable" (and
            those of bounds, see `exact`, of a permutation law). A tail is `rough` where few cells
            of a lumpy outcome decide, or C'x leaves the treated cells hardly any freedom.
        """
        treated = [np.asarray(places, dtype=np.int64) for places in treated]
        if self.strata.saturated:
            return [
                self._permuted(places, None if probabilities is None else partial(probabilities, u))
                for u, places in enumerate(treated)
            ]
        found: list[LogTails] = []
        for begin in range(0, len(treated), _TOGETHER):
            some = range(begin, min(begin + _TOGETHER, len(treated)))
            fits = [
                UnitFit(self.strata, treated[u], None if theta is None else theta[u]) for u in some
            ]
            moments = self._moments([fit for fit in fits if fit.exists])
            for u, fit in zip(some, fits, strict=True):
                tails = self._tails(fit, next(moments)) if fit.exists else self._nothing(fit)
                lost = np.flatnonzero(tails.branch == SEPARATED)
                at_hand = p(u) if p is not None and (lost.size or not fit.exists) else None
                if lost.size and at_hand is not None:
                    self._separated(treated[u], at_hand, lost, tails)
                mean = self._mean(fit, treated[u]) if fit.exists else at_hand
                if probabilities is not None and mean is not None:
                    probabilities(u, mean)
                if coefficients is not None:
                    coefficients(u, fit.at_root(self.strata) if fit.exists else None)
                found.append(tails)
        return found

    def gamma(self, p: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """`gamma_by_strata` of the summands at propensities p (n,)."""
        return gamma_by_strata(self._sorted, self._centre, self._factor, self.strata, p)

    def _mean(self, fit: UnitFit, treated: np.ndarray) -> np.ndarray:
        """Probabilities of treatment (n,): 1 where a whole set of cells is treated."""
        mean, places = fit.p.copy(), self.strata.place[treated]
        mean[places[mean[places] == 0.0]] = 1.0
        return mean

    def _nothing(self, fit: UnitFit) -> LogTails:
        tails = LogTails.empty(self.n_programs)
        tails.branch[:] = UNTESTABLE if fit.empty else SEPARATED
        tails.branch[self._constant] = UNTESTABLE
        return tails

    def _permuted(self, treated: np.ndarray, see: Callable[[np.ndarray], None] | None) -> LogTails:
        strata = self.strata
        x = np.zeros(strata.order.size, dtype=np.int64)
        x[strata.place[treated]] = 1
        totals = np.add.reduceat(x, strata.first[:-1])
        K = self.n_programs
        threshold = self.S_t[:, treated].sum(axis=1)
        law = (strata.order, strata.first, totals)
        sums = StratifiedSums(self.S_t, np.zeros(K), np.ones(x.size), threshold, *law)
        tails = tails_of_sums(sums, SCREEN_LEVEL)
        tails.branch[~np.isin(tails.branch, (UNTESTABLE, CHERNOFF, END))] = PERMUTATION
        if see is not None:
            sizes = np.diff(strata.first)
            see(np.repeat(totals / sizes, sizes))
        return tails

    def _separated(self, treated, p, which, tails: LogTails) -> None:
        """First-order tails of the tests `which`, stored."""
        found = first_order_tails(self.S_t[which], self.covariates, p, treated)
        found.branch[:] = np.where(np.isnan(found.log_left), UNTESTABLE, SEPARATED)
        tails.put(which, found)

    def _moments(self, fits: list[UnitFit]) -> Iterator[_Moments]:
        """First-order moments of some units, in one reading of the summands."""
        if not fits:
            return
        strata, U, K = self.strata, len(fits), self._sorted.shape[0]
        B, k, g = strata.shape
        local, shared = np.empty((U, K, B, k)), np.empty((U, K, g))
        bend, cumulants = np.empty((U, K)), np.empty((U, K, 4))
        lost_l, lost_g = np.empty((U, B, k)), np.empty((U, g))
        first_order_sums(
            self._sorted, strata.single, strata.n_local, strata.first,
            np.stack([fit.live for fit in fits]), np.stack([fit.p for fit in fits]),
            *(np.stack(parts) for parts in zip(*(fit.factors for fit in fits), strict=True)),
            local, shared, bend, lost_l, lost_g, cumulants,
        )  # fmt: skip
        K = self.n_programs
        for u, fit in enumerate(fits):
            along = (local[u, :K], shared[u, :K])
            yield self._moments_of(
                fit, along, bend[u, :K], (lost_l[u], lost_g[u]), cumulants[u, :K]
            )

    def _moments_of(self, fit: UnitFit, along, bend, lost, cumulants) -> _Moments:
        strata = self.strata
        gamma = (np.empty(along[0].shape), np.empty(along[1].shape))
        square = np.zeros(self.n_programs)
        project(strata.n_local, fit.live, *fit.factors, *along, *gamma, square)
        treated = np.empty(self.n_programs)
        sums_of_treated(self.S_t, fit.treated, self._centre, self._factor, treated)
        # C'(x - p) is 0 but for where Newton's method ended
        gap = treated - cumulants[:, 0] - _along(gamma, fit.rest)
        gap += 0.5 * (bend - _along(gamma, lost))
        with np.errstate(invalid="ignore", divide="ignore"):
            variance = cumulants[:, 1] - square
            variance[~(variance > _ALIASED * cumulants[:, 1])] = np.nan
            share = square / cumulants[:, 1]
        far = np.flatnonzero(share > _GAMMA_COUNTS * max(fit.count_variance / 50.0, 0.2))
        if far.size:
            exact = np.empty((far.size, 2))
            residual_cumulants(
                self._sorted, far, fit.columns, strata.n_local, strata.first, fit.live, fit.base,
                *gamma, exact,
            )  # fmt: skip
            cumulants[far, 2:] = exact
        sd = np.sqrt(variance)
        # to first order the determinant is moved to the root, as is f
        log_det = fit.log_det + float(np.vdot(lost[0], fit.step[0]) + lost[1] @ fit.step[1])
        return _Moments(
            gap / sd, cumulants[:, 2] / sd**3, cumulants[:, 3] / sd**4, gamma, treated, log_det
        )

    def _tails(self, fit: UnitFit, moments: _Moments) -> LogTails:
        z, skewness, kurtosis = moments.z, moments.skewness, moments.kurtosis
        exists = np.isfinite(z) & ~self._constant
        log_right, size = edgeworth(z, skewness, kurtosis)
        log_left = other_tail(log_right)
        branch = np.where(exists, FIRST_ORDER, UNTESTABLE).astype(np.int8)
        log_right[~exists] = log_left[~exists] = np.nan
        p = np.exp(np.minimum(log_left, log_right) + np.log(2.0))
        with np.errstate(invalid="ignore"):
            good = (size <= _SCREEN_TOLERANCE * p) & (np.abs(skewness) < _SKEWNESS)
            good &= (np.abs(kurtosis) < _KURTOSIS) & (self._half_span == 0.0)
        good &= self.screened and fit.count_variance >= _COUNT
        level = ALONE if fit.treated.size >= _MANY else TAKES_OVER
        which = np.flatnonzero(exists & ~(good & (p >= level)))
        rough = np.zeros(self.n_programs, dtype=bool)
        if which.size:
            found = self._conditional(fit, moments, which)
            done = (found[:, TEST_PASSES] > 0) & np.isfinite(found[:, [RIGHT, LEFT]]).all(axis=1)
            right, left = log_ndtr(-found[:, RIGHT]), log_ndtr(found[:, LEFT])
            if level > ALONE:
                # the share of the cumulants' tail falls from 1 to 0 in log p
                blend = good[which]
                with np.errstate(invalid="ignore", divide="ignore"):
                    share = np.log(p[which] / ALONE) / np.log(TAKES_OVER / ALONE)
                share = np.clip(share[blend], 0.0, 1.0)
                right[blend] += share * (log_right[which] - right)[blend]
                left[blend] += share * (log_left[which] - left)[blend]
            log_right[which], log_left[which] = right, left
            branch[which] = np.where(done, CONDITIONAL, SEPARATED)
            rough[which] = done & ((found[:, SMOOTHNESS] < ROUGH) | fit.hardly_free)
        one, nothing = np.where(exists, 1.0, np.nan), np.where(exists, 0.0, np.nan)
        return LogTails(
            np.maximum(log_left, LOG_SMALLEST), np.maximum(log_right, LOG_SMALLEST), branch,
            nothing, one, skewness, kurtosis, z, rough,
        )  # fmt: skip

    def _conditional(self, fit: UnitFit, moments: _Moments, which: np.ndarray) -> np.ndarray:
        """(J, 6) of `conditional_tests.tests` for programs `which` (J,)."""
        strata = self.strata
        out = np.full((which.size, N_RESULTS), np.nan)
        single = fit.columns is strata.single
        # what takes float64 is rare: a few programs at a time
        few = which.size if single else _TOGETHER
        for begin in range(0, which.size, few):
            some = which[begin : begin + few]
            S = self._sorted if single else self._sorted[some].astype(np.float64)
            tests(
                S, some if single else np.arange(some.size), some, self._half_span,
                moments.treated, fit.columns, strata.row_of, strata.n_local, strata.first,
                fit.live, fit.base, fit.f, moments.log_det, *fit.factors, *fit.target, *fit.step,
                *strata.reach, self._reach, *moments.gamma, _TOLERANCE, _MAX_PASSES,
                out[begin : begin + few],
            )  # fmt: skip
        return out


class _Moments(NamedTuple):
    """First-order law of one unit's tests, standardised: sums of A (K,), Gamma, the sums of the
    standardised summands over treated cells (K,), and log det C'WC at the root."""

    z: np.ndarray
    skewness: np.ndarray
    kurtosis: np.ndarray
    gamma: tuple[np.ndarray, np.ndarray]
    treated: np.ndarray
    log_det: float


def _along(gamma, sums):
    """Gamma'v (K,) for sums v of the columns."""
    return np.einsum("kbj,bj->k", gamma[0], sums[0]) + gamma[1] @ sums[1]


def conditional_tails(
    S_t: np.ndarray,
    covariates: np.ndarray,
    treated: np.ndarray,
    p: np.ndarray | None = None,
    theta: np.ndarray | None = None,
    *,
    batch: np.ndarray | None = None,
    spans: np.ndarray | None = None,
) -> LogTails:
    """Both tails of one unit's K tests; see `ConditionalLaw`, which units of a population share."""
    law = ConditionalLaw(S_t, covariates, batch, spans)
    return law.tails(
        [treated], None if p is None else lambda _: p, None if theta is None else [theta]
    )[0]


def lattice_spans(outcome: np.ndarray, most: int = 64) -> np.ndarray:
    """Lattice span of each program's outcome (n, K): the largest d of which all differences are
    multiples, where there are at most `most` distinct values; else 0.

    To be taken of the outcome or the ranks themselves: residuals hide a lattice.
    """
    spans = np.zeros(outcome.shape[1])
    outcome = np.asarray(outcome, dtype=np.float64)
    first = np.sort(outcome[:_LOOK_AT], axis=0)
    distinct = 1 + np.count_nonzero(np.diff(first, axis=0), axis=0)
    for k in np.flatnonzero(distinct <= most):
        values = np.unique(outcome[:, k])
        if 1 < values.size <= most:
            spans[k] = _common_divisor(np.diff(values))
    return spans


def _common_divisor(steps: np.ndarray) -> float:
    """The largest number of which all steps are multiples, to rounding; 0 where there is none."""
    smallest = 1e-6 * steps.max()
    d = steps[0]
    for step in steps[1:]:
        while step > smallest:
            d, step = step, d - step * np.floor(d / step + 1e-9)
        if d < 100.0 * smallest:
            return 0.0
    return float(d)
