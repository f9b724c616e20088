"""A population with everything its units share, made once."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import numpy as np

from programde.crt.options import RunOptions
from programde.crt.population import Population
from programde.crt.propensity import PropensitySolver, call_propensity
from programde.crt.protocols import Law
from programde.streams import stream_key


class PreparedPopulation:
    """A population with everything its units share.

    Attributes
    ----------
    population, options
        As given.
    statistic, sampler
        Those of the options, prepared for the population; not there where it has no cells.
    """

    def __init__(self, population: Population, options: RunOptions):
        self.population = population
        self.options = options
        self._by_program: np.ndarray | None = None
        self._making = threading.Lock()
        if population.n_cells == 0:
            return  # no unit of it is testable
        self.statistic = options.statistic.prepare(population)
        self.sampler = options.sampler.prepare(population)
        self.solver = PropensitySolver(population.covariates, population.intercept)

    @property
    def summands_by_program(self) -> np.ndarray:
        """The statistic's summands by program, (K, n) C-ordered, for whoever goes along cells."""
        with self._making:  # threads share the population: made by the first that asks
            if self._by_program is None:
                self._by_program = np.ascontiguousarray(self.statistic.summands.T)
            return self._by_program

    def why_untestable(self, treated: np.ndarray) -> str:
        """Why a unit cannot be tested, in a few words; empty where it can."""
        n_control = self.population.n_cells - treated.size
        if treated.size == 0:
            return "no treated cells"
        if n_control == 0:
            return "no control cells"
        if treated.size < self.options.min_treated:
            return f"{treated.size} treated cells, fewer than {self.options.min_treated}"
        if n_control < self.options.min_control:
            return f"{n_control} control cells, fewer than {self.options.min_control}"
        return str(self.statistic.why_untestable(treated))

    def laws(self, treated: Sequence[np.ndarray]) -> Iterator[tuple[Law | None, str]]:
        """Each unit's law, or None with the reason why it has none."""
        if self.options.propensity is not None:
            for places in treated:
                p, _ = call_propensity(self.options.propensity, self.population.covariates, places)
                yield self.sampler.law(p, places), ""
            return
        fit = self.solver.fit(treated)
        for g, places in enumerate(treated):
            if not fit.converged[g]:
                yield None, f"propensity did not converge in {fit.steps[g]} steps"
                continue
            yield self.sampler.law(self.solver.probabilities(fit.theta[g]), places), ""

    def null_statistics(self, law: Law, name: str, n_resamples: int | None = None) -> np.ndarray:
        """The null draws T (B, K) of a unit; `n_resamples` in the place of the options'."""
        key = stream_key(self.options.seed, "crt", name)
        n_draws = self.options.n_resamples if n_resamples is None else n_resamples
        sums, counts = law.sums(self.statistic.rows, n_draws, key)
        return self.statistic.finish(sums, counts)
