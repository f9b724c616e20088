"""The fit of one unit's indicator on the covariates alone, without a ridge: its tests' base."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from .arrow_kernels import factor, solve_arrow
from .conditional_kernels import DECREMENT, LEAST, LOG_DET, N_FOUND, PASSES, fit, one_pass
from .covariate_strata import CovariateStrata

#: Newton's method ends at this decrement for each treated (or control) cell, and at `_LOOSEST` at
#: the latest: what is left is taken along to second order, at an error of its root.
_TOLERANCE, _LOOSEST = 1e-6, 1e-3
#: Where less of a column is independent of the others, float32 does not tell how much.
_DELICATE = 1e-3
_MAX_PASSES = 30
#: Where nothing is known, the first step moves no linear predictor by more than this.
_FIRST_STEP = 8.0
#: So many treated (or control) cells more than columns leave the conditional law something to vary.
_SPARE = 2


class AtRoot(NamedTuple):
    """A fit in the covariates' own columns: coefficients theta (p,), and C'WC (p, p) of the last
    pass before the root."""

    theta: np.ndarray
    information: np.ndarray


class UnitFit:
    """Maximum likelihood of x on C among the cells whose treatment C'x leaves open.

    Parameters
    ----------
    strata : CovariateStrata
    treated : (n1,) int
        Treated cells, in the population's order.
    theta : (p,) float64, optional
        Coefficients to start from.

    Attributes
    ----------
    treated : (n1',) int
        Those treated cells that take part.
    empty : bool
        No cell's treatment is open.
    exists : bool
        The fit was found; what follows belongs to it alone.
    p : (n,) float64
        Fitted probabilities in the strata's order; 0 where a cell takes no part.
    columns, base
        The strata's columns and p, in float32 where that will do.
    live : (B,) bool
        Strata that take part.
    target, rest : (B, k) and (g,)
        C'x, and C'(x - p).
    step
        What is left to go to the root, (B, k) and (g,).
    factors
        Of C'WC, as `conditional_kernels.fit` leaves them, and the columns skipped.
    hardly_free : bool
        There are about as many columns as treated cells, or as control cells.
    log_det, f : float
        Log determinant of C'WC, and the least f with p as the base.
    """

    def __init__(
        self, strata: CovariateStrata, treated: np.ndarray, theta: np.ndarray | None = None
    ):
        p0, places, inside = _taking_part(strata, strata.place[treated])
        self.treated = treated[inside]
        n_open = int(np.count_nonzero(p0))
        self.empty = places.size == 0 or places.size == n_open
        self.exists = False
        if self.empty:
            return
        p0 *= places.size / n_open
        self.live = np.array([bool(p0[lo:hi].any()) for lo, hi in pairwise(strata.first)])
        self.target = strata.sums(places)
        B, k, g = strata.shape
        a, b = np.zeros((B, k)), np.zeros(g + 1)
        share = places.size / n_open
        if theta is None:
            # Newton's first step from the constant: the columns are orthonormal
            weight = share * (1.0 - share)
            a = (self.target[0] - share * strata.ones[0]) / weight
            b[:g] = (self.target[1] - share * strata.ones[1]) / weight
            largest = np.abs(a * strata.reach[0]).sum(axis=1).max(initial=0.0)
            largest += np.abs(b[:g] * strata.reach[1]).sum()
            size = min(1.0, _FIRST_STEP / max(largest, _FIRST_STEP))
            a, b = size * a, size * b
        else:
            intercept = np.log(share) - np.log1p(-share)
            local, shared = strata.coefficients(np.asarray(theta, dtype=np.float64))
            a = local - intercept * strata.ones[0]
            b[:g] = shared - intercept * strata.ones[1]
        self._share = share
        for self.columns in (strata.single, strata.columns):
            self._root = a.copy(), b.copy()
            found, exact = self._fit(strata, p0)
            if exact or (found[PASSES] > 0 and found[LEAST] > _DELICATE):
                break
        self.passes = int(found[PASSES])
        if not self.passes > 0:
            return
        _, _, skip_l, _, skip_g = self.factors
        self.step = self.rest[0].copy(), self.rest[1].copy()
        solve_arrow(strata.n_local, self.live, *self.factors, self.rest[1].size, *self.step)
        self.base = self.p.astype(self.columns.dtype, copy=False)
        self.log_det, self.f = float(found[LOG_DET]), -0.5 * float(found[DECREMENT])
        self.count_variance = float(np.einsum("i,i->", self.p, 1.0 - self.p))
        self.exists = bool(np.isfinite(self.log_det) and np.isfinite(self.f))
        n_columns = int(
            strata.n_local[self.live].sum() + g - skip_l[self.live].sum() - skip_g.sum()
        )
        self.hardly_free = min(places.size, n_open - places.size) < n_columns + _SPARE

    def at_root(self, strata: CovariateStrata) -> AtRoot | None:
        """The covariates' coefficients; None where cells take no part."""
        if not self.live.all():
            return None
        Ll, V, skip_l, Lg, skip_g = self.factors
        if skip_l.any() or skip_g.any():
            return None
        (a, b), intercept = self._root, np.log(self._share) - np.log1p(-self._share)
        local, shared = a + intercept * strata.ones[0], b[:-1] + intercept * strata.ones[1]
        theta = np.asarray(strata.to_covariates @ np.concatenate([local.ravel(), shared]))
        of_local, of_shared = strata.from_covariates
        g = shared.size
        own = [of_local[:, b] @ Ll[b] + of_shared @ V[b, :, :g].T for b in range(self.live.size)]
        half = np.concatenate([*own, of_shared @ Lg[:g, :g]], axis=1)
        return AtRoot(theta, half @ half.T)

    def _fit(self, strata, p0) -> tuple[np.ndarray, bool]:
        """Results of `conditional_kernels.fit`, and whether it was in float64."""
        B, k, g = strata.shape
        self.factors = (
            np.zeros((B, k, k)), np.zeros((B, k, g + 1)), np.zeros((B, k), dtype=bool),
            np.zeros((g + 1, g + 1)), np.zeros(g, dtype=bool),
        )  # fmt: skip
        self.p = np.zeros(p0.size)
        self.rest = np.zeros((B, k)), np.zeros(g + 1)
        out = np.zeros(N_FOUND)
        fewer = min(self.treated.size, np.count_nonzero(p0) - self.treated.size)
        tolerance = min(_TOLERANCE * max(fewer, 1), _LOOSEST)
        # s takes no part in this fit: any n numbers serve in its place
        fit(
            self.columns, strata.row_of, strata.n_local, strata.first, self.live, self.columns[0],
            False, p0.astype(self.columns.dtype), self.target[0], np.append(self.target[1], 0.0),
            strata.reach[0], np.append(strata.reach[1], 0.0), tolerance, _MAX_PASSES,
            *self._root, self.p, *self.rest, *self.factors, out,
        )  # fmt: skip
        self.rest = self.rest[0], self.rest[1][:g]
        return out, self.columns is strata.columns


def weighted_factors(strata: CovariateStrata, p: np.ndarray) -> tuple[np.ndarray, ...] | None:
    """Factors of C'WC, w = p (1 - p) (n,) in the strata's order, as `UnitFit.factors`; None where
    float32 does not tell its columns apart."""
    B, k, g = strata.shape
    live = np.ones(B, dtype=bool)
    base = p.astype(np.float32)
    Ll, V = np.zeros((B, k, k)), np.zeros((B, k, g + 1))
    skip_l, skip_g = np.zeros((B, k), dtype=bool), np.zeros(g + 1, dtype=bool)
    left, whole = np.zeros((g + 1, g + 1)), np.zeros(g + 1)
    _, log_det, least = one_pass(
        strata.single, strata.row_of, strata.n_local, strata.first, live, strata.single[0], False,
        base, np.zeros((B, k)), np.zeros(g + 1), np.zeros(0, dtype=np.float32), np.zeros((B, k)),
        np.zeros(g + 1), Ll, V, skip_l, left, whole, True,
    )  # fmt: skip
    Lg = np.zeros((g + 1, g + 1))
    log_det += factor(left, Lg, g, skip_g, True)
    if not np.isfinite(log_det) or skip_g.any():
        return None
    share = np.square(np.diag(Lg)[:g]) / whole[:g]
    if min(least, share.min(initial=1.0)) < _DELICATE:
        return None
    return Ll, V, skip_l, Lg, skip_g[:g]


def _taking_part(strata: CovariateStrata, places: np.ndarray):
    """1 for the cells (n,) whose treatment C'x leaves open, 0 for others; the places of the treated
    among them, and which of all treated cells these are."""
    sizes = strata.indicator_sizes
    inside = np.ones(places.size, dtype=bool)
    open_cells = np.ones(strata.order.size)
    if strata.absent is not None:
        open_cells[strata.absent] = 0.0
    drawn = strata.indicators[:, places].sum(axis=1)
    while True:
        fixed = np.flatnonzero((sizes > 0) & ((drawn == 0) | (drawn == sizes)))
        if fixed.size == 0:
            return open_cells, places[inside], inside
        open_cells[strata.indicators[fixed].any(axis=0)] = 0.0
        inside = open_cells[places] > 0.0
        sizes = (strata.indicators & (open_cells > 0.0)).sum(axis=1)
        drawn = strata.indicators[:, places[inside]].sum(axis=1)
