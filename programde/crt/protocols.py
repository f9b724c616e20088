"""What the engine asks of samplers and statistics: the seams, as types.

A sampler knows nothing of statistics, a statistic nothing of samplers. Each is a small frozen
dataclass of options with a name; prepared for a population it holds what all units share; a law is
the null distribution of one unit's treatment indicator x~.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, Self, runtime_checkable

import numpy as np

from programde.crt.population import Population
from programde.tails.linearised import Linearised
from programde.tails.log_tails import LogTails


class Law(Protocol):
    """The law of one unit's resampled indicator x~ over n cells."""

    def sums(
        self, rows: np.ndarray, n_draws: int, key: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Sums (B, D) float32 of `rows` (n, D) float32 over the treated cells of each of B
        resamples, and their numbers of treated cells (B,) int64; `key` (4,) uint64 names the
        random stream."""

    def indices(self, n_draws: int, key: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same draws as `sums`: resample b holds ``indices[indptr[b]:indptr[b + 1]]``."""

    def mean(self) -> np.ndarray:
        """E x~ (n,)."""

    def count_moments(self) -> tuple[float, float]:
        """Mean and variance of the number of treated cells."""

    def covariance_trace(self, basis: np.ndarray, squares: np.ndarray | None = None) -> float:
        """trace(Q' V Q), V the covariance of x~ and Q = `basis` (n, p); `squares` (n,) the sums
        of squares of Q's rows, where they are at hand."""


@runtime_checkable
class ExactLaw(Law, Protocol):
    """A law whose tails can be computed. A sampler may do without: its tests are then calibrated
    by draws."""

    @classmethod
    def exact_tails(
        cls, summands: np.ndarray, laws: Sequence[Self], events: Sequence[Linearised]
    ) -> list[LogTails]:
        """Tails (K,) of some units of one population, which share the reading of `summands`.

        Parameters
        ----------
        summands : (K, n) float64, C order
            Of the statistic, program by program.
        laws, events
            Law of each unit, and the events of its K tests.
        """


class PreparedSampler(Protocol):
    """A sampler in one population."""

    def law(self, p: np.ndarray, treated: np.ndarray) -> Law:
        """The law of a unit with propensity `p` (n,), whose treated cells stand at `treated`."""


class Sampler(Protocol):
    """Options of a sampler.

    A sampler that treats cells independently by their propensity may say so by an attribute
    `given_covariates` that is true: its law is then taken given the covariates' sums over treated
    cells (`crt.given_covariates`).
    """

    @property
    def name(self) -> str:
        """By which it is chosen."""

    def prepare(self, population: Population) -> PreparedSampler:
        """What all units of a population share."""


class PreparedStatistic(Protocol):
    """A statistic in one population of n cells and K programs."""

    @property
    def rows(self) -> np.ndarray:
        """What a sampler sums over treated cells: (n, D) float32, D a multiple of 16."""

    @property
    def summands(self) -> np.ndarray:
        """The part of it that belongs to the programs: (n, K) float64."""

    def observed(self, treated: np.ndarray) -> np.ndarray:
        """Effect (K,) float64 of a unit whose treated cells stand at `treated`."""

    def why_untestable(self, treated: np.ndarray) -> str:
        """A reason where `observed` cannot be computed, else an empty string."""

    def finish(self, sums: np.ndarray, n_treated: np.ndarray) -> np.ndarray:
        """Effects (B, K) float64 of resamples from `sums` (B, D) and `n_treated` (B,)."""

    def standard_errors(self, treated: list[np.ndarray], effects: np.ndarray) -> np.ndarray:
        """Of the effects (G, K) of G units; NaN where the statistic has none."""

    def linearise(self, t: np.ndarray, law: Law) -> Linearised:
        """The events {effect_k >= t_k}, t (K,), as linear inequalities in x."""


class SumStatistic(PreparedStatistic, Protocol):
    """A statistic that is a sum over treated cells, once the covariates' own sums are given.

    With C the covariates, effect_k = per_sum * sum_{treated} residual_k + a constant, given C'x.
    A statistic may do without: it is then calibrated given the propensity.
    """

    def per_sum(self, treated: np.ndarray) -> float:
        """How much of an effect one unit of the sum is, for a unit with these treated cells."""

    def outcome(self) -> np.ndarray:
        """What is summed, as it came (n, K) float64: it may lie on a lattice."""

    def residual(self) -> np.ndarray:
        """The same with the covariates taken out (n, K) float64."""

    def residual_rows(self) -> np.ndarray:
        """[residual | basis], padded as `rows`: (n, D) float32."""


class Statistic(Protocol):
    """Options of a statistic."""

    @property
    def name(self) -> str:
        """By which it is chosen."""

    def prepare(self, population: Population) -> PreparedStatistic:
        """What all units of a population share."""
