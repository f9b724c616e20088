"""Exact tails of independent draws for units against one pool, given the propensity.

A statistic's event {T_k >= t_k} is {sum x_i a_ik >= threshold_k} (see `tails.linearised`), with
a_ik = R0_ik - u_i'zeta_k - tau_k in the controls. Cumulants of all tests need one reading of R0 for
several units; only the few tests that these do not settle need their summands written out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from programde.crt.pooled.control_pool import ControlPool, PoolOutcome
from programde.crt.pooled.pooled_unit import PooledUnit, Summed
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
    p : (n + m,) float64
        Propensities by slot, then of the added cells.
    m : (k,) float64
        Q'p.
    threshold : (K,) float64
    zeta : (B, r, K) float64
        What a_k takes off R0_k - t_k, by features.
    own : (m, K) float64
        Summands of the added cells.
    """

    unit: PooledUnit
    found: Summed
    p: np.ndarray
    m: np.ndarray
    threshold: np.ndarray
    zeta: np.ndarray
    own: np.ndarray

    @classmethod
    def of(cls, unit: PooledUnit, found: Summed, p: np.ndarray) -> PooledEvent:
        """The events {beta_k >= the observed one}."""
        from programde.crt.kernels.by_batch import weighted_products

        pool = unit.pool
        sums = np.empty((pool.n_batches, pool.features.shape[0]))
        products = np.empty((*sums.shape, sums.shape[1]))
        weighted_products(pool.features, pool.first, pool.ranks, unit.live, p, sums, products)
        own = p[pool.n_cells :]
        m = unit.along(sums[:, :, None], own[:, None])[:, 0]
        trace = np.einsum("brk,brs,bsk->", unit.M, products, unit.M, optimize=True)
        q = unit.q_added
        trace += (own * (1.0 - own)) @ np.einsum("ij,ij->i", q, q)
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
            own=found.own[: own.size] - q @ taken - t,
        )


def pooled_tails(
    pool: ControlPool, outcome: PoolOutcome, events: Sequence[PooledEvent]
) -> list[LogTails]:
    """Both tails (K,) of the tests of each of some units."""
    from programde.crt.kernels.pooled_cumulants import pooled_cumulants

    tails: list[LogTails] = []
    for begin in range(0, len(events), _TOGETHER):
        some = events[begin : begin + _TOGETHER]
        cumulants = np.stack([own_cumulants(event.p[pool.n_cells :], event.own) for event in some])
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
            spread = float(event.p @ (1.0 - event.p))
            write = partial(_write, outcome, event, own)
            sums = PooledSums(event.threshold, own, spread, write)
            tails.append(tails_of_sums(sums, SCREEN_LEVEL))
    return tails


def summands(
    outcome: PoolOutcome, unit: PooledUnit, found: Summed, which: np.ndarray
) -> np.ndarray:
    """The unit's residuals of programs `which` (J,) in all cells that take part (J, n): the pool's
    slots, then the added cells."""
    pool = unit.pool
    rows = np.empty((which.size, unit.n_cells))
    H = found.H[:, which]
    at = 0
    for b in np.flatnonzero(unit.live):
        lo, hi = pool.segments[b]
        along = (unit.M[b] @ H).T @ pool.features[:, lo:hi]
        np.subtract(outcome.residual[which, lo:hi], along, out=rows[:, at : at + hi - lo])
        at += hi - lo
    rows[:, at:] = (found.own[: unit.added.size, which] - unit.q_added @ H).T
    return rows


def _write(
    outcome: PoolOutcome, event: PooledEvent, cumulants: np.ndarray, which: np.ndarray
) -> BernoulliSums:
    """The law with the summands of these tests written out."""
    unit, effect = event.unit, event.found.effect[which]
    basis = unit.written()
    return BernoulliSums(
        summands(outcome, unit, event.found, which),
        effect,
        1.0 - 2.0 * (event.m @ basis),
        event.threshold[which],
        np.ascontiguousarray(unit.used(event.p)),
        basis.T,
        effect,
        cumulants[which],
    )


def own_cumulants(p: np.ndarray, a: np.ndarray) -> np.ndarray:
    """Cumulants (K, 4) of the sums of a (m, K) over added cells of propensities p (m,)."""
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
    threshold : (K,)
        Of the tests.
    cumulants : (K, 4)
        Of the sums.
    count_variance
        Variance of the number of treated cells.
    write
        Gives the law of some tests (J,), their summands written out.
    """

    def __init__(
        self,
        threshold: np.ndarray,
        cumulants: np.ndarray,
        count_variance: float,
        write: Callable[[np.ndarray], BernoulliSums],
    ):
        self.threshold, self.cumulants = threshold, cumulants
        self.half_span = np.zeros(threshold.shape)
        self.count_variance = count_variance
        self._write = write
        self._which = np.empty(0, dtype=np.int64)
        self._written: BernoulliSums | None = None

    def enumerated(self) -> None:
        """Units of so few cells have populations of their own."""

    def _some(self, which: np.ndarray) -> tuple[BernoulliSums, np.ndarray]:
        """The law of these tests and maybe others, and their places in it."""
        if self._written is None or np.setdiff1d(which, self._which).size:
            self._which = np.union1d(self._which, which)
            self._written = self._write(self._which)
        return self._written, np.searchsorted(self._which, which)

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
