"""A population with everything its units share, made once."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from programde.crt.given_covariates import GivenCovariates, sum_statistic
from programde.crt.options import RunOptions
from programde.crt.population import Population, intercept_of
from programde.crt.propensity import PropensityFit, PropensitySolver, call_propensity
from programde.crt.protocols import Law
from programde.crt.shifts import ShiftsOf
from programde.streams import stream_key
from programde.tails.conditional_fit import AtRoot


class PreparedPopulation:
    """A population with everything its units share.

    Attributes
    ----------
    population, options
        As given; the population with the statistic's `cells_per_column`, where it has one.
    statistic, sampler
        Those of the options, prepared for the population; not there where it has no cells.
    given
        The null laws given covariates; None where they are those given the propensity.
    """

    def __init__(self, population: Population, options: RunOptions):
        per_column = getattr(options.statistic, "cells_per_column", population.per_column)
        if per_column != population.per_column:
            population = replace(population, per_column=per_column)
        self.population = population
        self.options = options
        self.given: GivenCovariates | None = None
        self._by_program: np.ndarray | None = None
        self._shifts: ShiftsOf | None = None
        self._solvers: dict[int, PropensitySolver] = {}
        self._making = threading.Lock()
        if population.n_cells == 0:
            return  # no unit of it is testable
        self.statistic = options.statistic.prepare(population)
        self.sampler = options.sampler.prepare(population)
        sums = sum_statistic(self.statistic)
        if asks_given_covariates(options) and sums is not None and population.has_constant:
            self.given = GivenCovariates(population, sums, draws=options.n_resamples > 0)

    @property
    def solver(self) -> PropensitySolver:
        """Fits propensities on all covariates."""
        return self._solver(0)

    def _solver(self, rung: int) -> PropensitySolver:
        with self._making:
            if rung not in self._solvers:
                people = self.population
                columns = people.covariates[:, people.rungs[rung]]
                self._solvers[rung] = PropensitySolver(columns, intercept_of(columns))
            return self._solvers[rung]

    @property
    def summands_by_program(self) -> np.ndarray:
        """The statistic's summands by program, (K, n) C-ordered, for whoever goes along cells."""
        with self._making:  # threads share the population: made by the first that asks
            if self._by_program is None:
                self._by_program = np.ascontiguousarray(self.statistic.summands.T)
            return self._by_program

    @property
    def shifts(self) -> ShiftsOf:
        """Effects as log-ratios and usage points, whatever is tested."""
        with self._making:
            if self._shifts is None:
                self._shifts = ShiftsOf(self.population, self.statistic)
            return self._shifts

    def why_untestable(self, treated: np.ndarray) -> str:
        """Why a unit cannot be tested, in a few words; empty where it can."""
        return self.why_too_few(treated.size) or str(self.statistic.why_untestable(treated))

    def why_too_few(self, n_treated: int, left_out: int = 0) -> str:
        """Why so many treated cells are no test, where so many cells are left out of it."""
        n_control = self.population.n_cells - left_out - n_treated
        if n_treated == 0:
            return "no treated cells"
        if n_control == 0:
            return "no control cells"
        if n_treated < self.options.min_treated:
            return f"{n_treated} treated cells, fewer than {self.options.min_treated}"
        if n_control < self.options.min_control:
            return f"{n_control} control cells, fewer than {self.options.min_control}"
        return ""

    def laws(
        self, treated: Sequence[np.ndarray], guesses: Sequence[AtRoot | None] = ()
    ) -> Iterator[tuple[Law | None, str]]:
        """Each unit's law, or None with the reason why it has none.

        guesses: by unit, a fit without a ridge from which the propensity's begins, or None.
        """
        if self.options.propensity is not None:
            for places in treated:
                p, _ = call_propensity(self.options.propensity, self.population.covariates, places)
                yield self.sampler.law(p, places), ""
            return
        rungs = np.array([self.population.rung_of(places.size) for places in treated])
        fits: dict[int, tuple[int, PropensityFit, int]] = {}
        for rung in np.unique(rungs).tolist():
            which = np.flatnonzero(rungs == rung).tolist()
            begin = [guesses[g] for g in which] if guesses else ()
            fit = self._solver(rung).fit([treated[g] for g in which], begin)
            fits |= {g: (rung, fit, i) for i, g in enumerate(which)}
        for g, places in enumerate(treated):
            rung, fit, i = fits[g]
            if not fit.converged[i]:
                yield None, f"propensity did not converge in {fit.steps[i]} steps"
                continue
            yield self.sampler.law(self._solver(rung).probabilities(fit.theta[i]), places), ""

    def propensity(self, treated: np.ndarray) -> np.ndarray | None:
        """Fitted propensities (n,) of one unit; None where the fit did not converge."""
        law, _ = next(iter(self.laws([treated])))
        return None if law is None else law.mean()

    def null_statistics(self, law: Law, name: str, n_resamples: int | None = None) -> np.ndarray:
        """The null draws T (B, K) of a unit, given the propensity; `n_resamples` in the place of
        the options'."""
        key = stream_key(self.options.seed, "crt", name)
        n_draws = self.options.n_resamples if n_resamples is None else n_resamples
        sums, counts = law.sums(self._rows, n_draws, key)
        return self.statistic.finish(sums, counts)

    @property
    def _rows(self) -> np.ndarray:
        with self._making:  # made by the first thread that asks, where a statistic makes them late
            return self.statistic.rows

    def draws(self, law: Law, treated: np.ndarray, effect: np.ndarray, name: str) -> np.ndarray:
        """The null draws T (B, K) of a unit with effects (K,), given what the options say."""
        if self.given is None:
            return self.null_statistics(law, name)
        key = stream_key(self.options.seed, "crt", name)
        n_draws = self.options.n_resamples
        return self.given.null_statistics(law, treated, effect, n_draws, key)


def asks_given_covariates(options: RunOptions) -> bool:
    """Whether the options ask for null laws given covariates: the sampler has its say."""
    independent = getattr(options.sampler, "given_covariates", False)
    return options.given == "covariates" and bool(independent)
