"""Exact tails of independent draws for units against one pool, given the propensity.

A statistic's event {T_k >= t_k} is {sum x_i a_ik >= threshold_k} (see `tails.linearised`), with
a_ik = R0_ik - u_i'zeta_k - tau_k in the controls. Cumulants of all tests need one reading of R0 for
several units; only the few tests that these do not settle need their summands written out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from programde.crt.pooled.control_pool import ControlPool, PoolOutcome
from programde.crt.pooled.pooled_unit import PooledUnit, UnitOutcome
from programde.tails.bernoulli import BernoulliSums
from programde.tails.ladder import SCREEN_LEVEL, tails_of_sums
from programde.tails.log_tails import LogTails
from programde.tails.roots import Inverted, Roots

#: Units that share a reading of the outcome.
_TOGETHER = 4


@dataclass(frozen=True, eq=False)
class PooledEvent:
    """The events of a unit's K tests of least-squares effects, linearised; see
    `statistics.ols.PreparedOLS.linearise`.

    Attributes
    ----------
    unit, found
        The unit and its outcome.
    p : (n + n1,) float64
        Propensities by slot, then of the treated cells.
    m : (k,) float64
        Q'p.
    threshold : (K,) float64
    zeta : (B, r, K) float64
        What a_k takes off R0_k - t_k, by features.
    own : (n1, K) float64
        Summands of the treated cells.
    """

    unit: PooledUnit
    found: UnitOutcome
    p: np.ndarray
    m: np.ndarray
    threshold: np.ndarray
    zeta: np.ndarray
    own: np.ndarray

    @classmethod
    def of(cls, unit: PooledUnit, found: UnitOutcome, p: np.ndarray) -> PooledEvent:
        """The events {beta_k >= the observed one}."""
        from programde.crt.kernels.by_batch import weighted_products

        pool = unit.pool
        sums = np.empty((pool.n_batches, pool.features.shape[0]))
        products = np.empty((*sums.shape, sums.shape[1]))
        weighted_products(pool.features, pool.first, pool.ranks, unit.live, p, sums, products)
        own = p[pool.n_cells :]
        m = unit.along(sums[:, :, None], own[:, None])[:, 0]
        trace = np.einsum("brk,brs,bsk->", unit.M, products, unit.M, optimize=True)
        trace += (own * (1.0 - own)) @ np.einsum("ij,ij->i", unit.q, unit.q)
        t = found.effect
        threshold = t * (m @ m - trace)
        taken = found.H - 2.0 * np.outer(m, t)
        return cls(
            unit=unit,
            found=found,
            p=p,
            m=m,
            threshold=threshold,
            zeta=unit.M @ taken,
            own=found.own - unit.q @ taken - t,
        )


def pooled_tails(
    pool: ControlPool, outcome: PoolOutcome, events: Sequence[PooledEvent]
) -> list[LogTails]:
    """Both tails (K,) of the tests of each of some units."""
    from programde.crt.kernels.pooled_cumulants import pooled_cumulants

    tails: list[LogTails] = []
    for begin in range(0, len(events), _TOGETHER):
        some = events[begin : begin + _TOGETHER]
        cumulants = np.stack([_own_cumulants(event, pool.n_cells) for event in some])
        p = [event.p[: pool.n_cells] for event in some]
        pooled_cumulants(
            outcome.residual,
            pool.features,
            pool.first,
            pool.ranks,
            np.stack([event.unit.live for event in some]),
            np.stack([event.zeta for event in some]),
            np.stack([event.found.effect for event in some]),
            np.stack(p),
            cumulants,
        )
        for event, own in zip(some, cumulants, strict=True):
            tails.append(tails_of_sums(PooledSums(outcome, event, own), SCREEN_LEVEL))
    return tails


def _own_cumulants(event: PooledEvent, n: int) -> np.ndarray:
    """Cumulants (K, 4) of the sums over treated cells."""
    p, a = event.p[n:], event.own
    q = p * (1.0 - p)
    square = a * a
    return np.column_stack(
        [
            p @ a,
            q @ square,
            (q * (1.0 - 2.0 * p)) @ (square * a),
            (q * (1.0 - 6.0 * q)) @ (square * square),
        ]
    )


class PooledSums:
    """The null law of a unit's K linearised sums, as `tails.ladder` asks for it.

    Parameters
    ----------
    outcome
        Of the pool.
    event
        The events.
    cumulants : (K, 4)
        Of the sums.
    """

    def __init__(self, outcome: PoolOutcome, event: PooledEvent, cumulants: np.ndarray):
        self._outcome, self._event = outcome, event
        self.threshold, self.cumulants = event.threshold, cumulants
        self.half_span = np.zeros(event.threshold.shape)
        self.count_variance = float(event.p @ (1.0 - event.p))
        self._which = np.empty(0, dtype=np.int64)
        self._written: BernoulliSums | None = None

    def enumerated(self) -> None:
        """Units of so few cells have populations of their own."""

    def _some(self, which: np.ndarray) -> tuple[BernoulliSums, np.ndarray]:
        """The law with the summands of these tests written out, and their places in it."""
        missing = np.setdiff1d(which, self._which)
        if self._written is None or missing.size:
            self._which = np.union1d(self._which, which)
            self._written = self._write(self._which)
        return self._written, np.searchsorted(self._which, which)

    def _write(self, which: np.ndarray) -> BernoulliSums:
        event, unit, pool = self._event, self._event.unit, self._event.unit.pool
        n = unit.n_cells
        rows, effect = np.empty((which.size, n)), event.found.effect
        H = event.found.H[:, which]
        at = 0
        for b in np.flatnonzero(unit.live):
            lo, hi = pool.segments[b]
            along = (unit.M[b] @ H).T @ pool.features[:, lo:hi]
            np.subtract(self._outcome.residual[which, lo:hi], along, out=rows[:, at : at + hi - lo])
            at += hi - lo
        rows[:, at:] = (event.found.own[:, which] - unit.q @ H).T
        basis, p = self._basis
        sums = BernoulliSums(
            rows,
            effect[which],
            1.0 - 2.0 * (event.m @ basis.T),
            self.threshold[which],
            p,
            basis,
            effect[which],
            self.cumulants[which],
        )
        return sums

    @cached_property
    def _basis(self) -> tuple[np.ndarray, np.ndarray]:
        """Q (n, k) and p (n,) of the cells that take part, controls first."""
        unit, pool = self._event.unit, self._event.unit.pool
        basis = np.empty((unit.q.shape[1], unit.n_cells))
        at = 0
        for b in np.flatnonzero(unit.live):
            lo, hi = pool.segments[b]
            np.matmul(unit.M[b].T, pool.features[:, lo:hi], out=basis[:, at : at + hi - lo])
            at += hi - lo
        basis[:, at:] = unit.q.T
        return basis.T, np.ascontiguousarray(unit.used(self._event.p))

    def roots(self, which: np.ndarray) -> Roots:
        """See `tails.ladder.NullSums`."""
        sums, places = self._some(which)
        return sums.roots(places)

    def invert(self, which: np.ndarray, sign: np.ndarray, start: np.ndarray) -> Inverted:
        """See `tails.ladder.NullSums`."""
        sums, places = self._some(which)
        return sums.invert(places, sign, start)

    def end(self, k: int, sign: float) -> tuple[float, bool]:
        """See `tails.ladder.NullSums`."""
        sums, places = self._some(np.array([k]))
        return sums.end(int(places[0]), sign)
