"""Sampler `bernoulli_index`: each cell is treated independently with its propensity.

    x~_i ~ Bernoulli(p_i),  i = 1..n, independently over cells and resamples.

For each cell only the resamples that hold it are visited, by geometric skips, so the cost of B
resamples is proportional to B * sum(p) and not to B * n.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from programde.crt.population import Population
from programde.crt.propensity import CLIP
from programde.tails.linearised import Linearised
from programde.tails.log_tails import LogTails


@dataclass(frozen=True, eq=False)
class BernoulliLaw:
    """The law of one unit's resampled indicator.

    Attributes
    ----------
    p : (n,) float64
        Inclusion probabilities, inside (0, 1).
    """

    p: np.ndarray

    @property
    def _gap(self) -> np.ndarray:
        if self.p.size and self.p.min() < CLIP:
            return -1.0 / np.log1p(-self.p)
        # five times faster, and down to 1e-6 within 1e-10 of it
        return -1.0 / np.log(1.0 - self.p)

    def sums(
        self, rows: np.ndarray, n_draws: int, key: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Sums of `rows` over the treated cells of each resample.

        Parameters
        ----------
        rows : (n, D) float32, C-contiguous
            D a multiple of 16.
        n_draws
            Number B of resamples.
        key : (4,) uint64
            From `streams.stream_key`.

        Returns
        -------
        sums : (B, D) float32
        n_treated : (B,) int64
        """
        from programde.crt.kernels.rows import aligned_zeros
        from programde.crt.kernels.sums import bernoulli_sums

        sums = aligned_zeros(n_draws, rows.shape[1])
        counts = np.zeros(n_draws, dtype=np.int64)
        bernoulli_sums(self._gap, rows, n_draws, np.uint64(key[0]), sums, counts)
        return sums, counts

    def sums_at(
        self, where: np.ndarray, rows: np.ndarray, tail: np.ndarray, n_draws: int, key: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """`sums` with the row of cell i at ``where[i]`` of `rows` (n, D), or, from n on, of `tail`
        (m, E), whose width E the sums have; E is a multiple of 16 and not below D."""
        from programde.crt.kernels.rows import aligned_zeros
        from programde.crt.kernels.sums import bernoulli_sums_at

        sums = aligned_zeros(n_draws, tail.shape[1])
        counts = np.zeros(n_draws, dtype=np.int64)
        stream = np.uint64(key[0])
        bernoulli_sums_at(self._gap, where, rows, tail, n_draws, stream, sums, counts)
        return sums, counts

    def indices(self, n_draws: int, key: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same draws as `sums`: resample b holds ``indices[indptr[b]:indptr[b + 1]]``."""
        from programde.crt.kernels.sums import bernoulli_indices

        return bernoulli_indices(self._gap, n_draws, np.uint64(key[0]))

    def mean(self) -> np.ndarray:
        """E x~ (n,)."""
        return self.p

    def count_moments(self) -> tuple[float, float]:
        """Mean and variance of the number of treated cells."""
        return float(self.p.sum()), float((self.p * (1 - self.p)).sum())

    def covariance_trace(self, basis: np.ndarray, squares: np.ndarray | None = None) -> float:
        """trace(Q' V Q), V the covariance of x~ and Q = `basis` (n, p).

        squares (n,): the sums of squares of Q's rows, where they are at hand.
        """
        if squares is None:
            squares = np.einsum("ij,ij->i", basis, basis)
        return float((self.p * (1 - self.p)) @ squares)

    @classmethod
    def exact_tails(
        cls, summands: np.ndarray, laws: Sequence[BernoulliLaw], events: Sequence[Linearised]
    ) -> list[LogTails]:
        """Exact tails of some units; see `crt.protocols.ExactLaw`."""
        from programde.tails.exact import bernoulli_cumulants, bernoulli_tails

        W = summands.T
        cumulants = bernoulli_cumulants(
            W,
            np.stack([event.tau for event in events]),
            np.stack([event.weights for event in events]),
            np.stack([law.p for law in laws]),
        )
        return [
            bernoulli_tails(
                W,
                event.tau,
                event.weights,
                event.threshold,
                law.p,
                basis=event.basis,
                curvature=event.curvature,
                cumulants=own,
            )
            for law, event, own in zip(laws, events, cumulants, strict=True)
        ]


@dataclass(frozen=True)
class Bernoulli:
    """Independent Bernoulli draws from the propensity.

    Examples
    --------
    >>> import programde as pde
    >>> pde.RunOptions(pde.OLS(), pde.Bernoulli()).sampler
    Bernoulli()
    """

    name = "bernoulli_index"
    given_covariates = True

    def prepare(self, population: Population) -> Bernoulli:
        """Nothing is shared by the units of a population."""
        return self

    def law(self, p: np.ndarray, treated: np.ndarray) -> BernoulliLaw:
        """The law of a unit with propensity `p` (n,); its treated cells do not matter."""
        return BernoulliLaw(p)
