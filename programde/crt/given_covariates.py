"""Null laws of a population's tests given the covariates' sums over treated cells.

The propensity is estimated from the very cells that are tested, which makes C'(x - p) = 0: taken
for the true one it gives p-values that are too large. Given C'x the law of the treated cells does
not depend on the propensity's coefficients at all:

* exact tails are those of S'x given C'x (`tails.conditional`);
* draws take the first-order form: of a drawn S'x_b that part is taken away which a refit of the
  propensity would take up (`tails.first_order`). On the scale of the effect,

      T_b = effect + c (S'x_b - S'x - Gamma'C'(x_b - x)),    Gamma = (C'WC)^-1 C'W S,

  with c the effect per unit of the sum, so that {T_b >= effect} is the first-order event.

S is the statistic's outcome with all covariates taken out of it; C are those columns that the
unit's propensity can carry (`Population.rung_of`). Given all of them, and so in the common case,
taking covariates out of S changes nothing; given fewer, it keeps the others from confounding.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import numpy as np

from programde.crt.population import Population
from programde.crt.protocols import Law, PreparedStatistic, SumStatistic
from programde.crt.statistics.treated_sums import sum_rows
from programde.tails.conditional import ConditionalLaw, lattice_spans
from programde.tails.conditional_fit import AtRoot
from programde.tails.first_order import corrected_draws, gamma_of_rows
from programde.tails.log_tails import LogTails


def sum_statistic(statistic: PreparedStatistic) -> SumStatistic | None:
    """The statistic, where given C'x it is a sum over treated cells; else None."""
    # not isinstance, which would make every attribute of the protocol
    return statistic if hasattr(statistic, "per_sum") else None  # type: ignore[return-value]


class GivenCovariates:
    """The laws of one population, made as they are asked for, from any thread.

    Parameters
    ----------
    population, statistic
        The cells, and the statistic prepared for them.
    by_program : (K, n) float64, optional
        The statistic's residual by program, C order, where it is at hand.
    draws
        Whether draws will be asked for as well, which take the same residual.
    """

    def __init__(
        self,
        population: Population,
        statistic: SumStatistic,
        by_program: np.ndarray | None = None,
        draws: bool = False,
    ):
        self._population = population
        self._statistic = statistic
        self._by_program = by_program
        self._draws = draws
        self._laws: dict[int, ConditionalLaw] = {}
        self._of_basis: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self._residual: np.ndarray | None = None
        self._rows: np.ndarray | None = None
        self._making = threading.Lock()

    def _law(self, rung: int) -> ConditionalLaw:
        with self._making:
            if rung not in self._laws:
                if self._by_program is None:
                    residual = self._statistic.residual()
                    self._by_program = np.ascontiguousarray(residual.T)
                    if self._draws:
                        self._residual = residual
                people = self._population
                whole = rung == 0
                self._laws[rung] = ConditionalLaw(
                    self._by_program,
                    people.covariates if whole else people.covariates[:, people.rungs[rung]],
                    # a residual has the outcome's lattice given all covariates alone
                    spans=lattice_spans(self._statistic.outcome()) if whole else None,
                    basis=people.basis[:, : people.rungs[rung].size],
                )
            return self._laws[rung]

    def _summands(self) -> tuple[np.ndarray, np.ndarray]:
        """The residual (n, K), and the rows that a sampler sums."""
        with self._making:
            if self._residual is None or self._rows is None:
                self._residual = self._statistic.residual()
                self._rows = self._statistic.residual_rows()
            return self._residual, self._rows

    def tails(
        self,
        treated: Sequence[np.ndarray],
        propensity: Callable[[int], np.ndarray | None],
        probabilities: Callable[[int, np.ndarray], None],
        coefficients: Callable[[int, AtRoot | None], None] | None = None,
    ) -> list[LogTails]:
        """Both tails (K,) of each of some units.

        Parameters
        ----------
        treated
            Places of each unit's treated cells.
        propensity
            propensity(u) (n,) of the u-th unit, asked where no fit without a ridge exists.
        probabilities
            Called with (u, (n,) probabilities of treatment, in no particular order).
        coefficients : callable, optional
            Called with (u, coefficients of the propensity's columns in a fit without a ridge, None
            where there are none): the fit with one begins there.
        """
        found: dict[int, LogTails] = {}
        rungs = np.array([self._population.rung_of(places.size) for places in treated])
        for rung in np.unique(rungs).tolist():
            which = np.flatnonzero(rungs == rung).tolist()

            def p(i: int, which: list[int] = which) -> np.ndarray | None:
                return propensity(which[i])

            def see(i: int, mean: np.ndarray, which: list[int] = which) -> None:
                probabilities(which[i], mean)

            def keep(i: int, root: AtRoot | None, which: list[int] = which) -> None:
                if coefficients is not None:
                    coefficients(which[i], root)

            some = [treated[u] for u in which]
            tails = self._law(rung).tails(some, p=p, probabilities=see, coefficients=keep)
            found.update(zip(which, tails, strict=True))
        return [found[u] for u in range(len(treated))]

    def null_statistics(
        self, law: Law, treated: np.ndarray, effect: np.ndarray, n_draws: int, key: np.ndarray
    ) -> np.ndarray:
        """Draws T (B, K) of a unit in the first-order form, to be compared with its effect (K,).

        Parameters
        ----------
        law
            Of the resampled indicator.
        treated
            Places of the unit's treated cells.
        effect : (K,)
        n_draws
            Number B of draws.
        key : (4,) uint64
            The random stream.
        """
        people, statistic = self._population, self._statistic
        K = people.n_programs
        q = people.rungs[people.rung_of(treated.size)].size
        residual, rows = self._summands()
        sums, _ = law.sums(rows, n_draws, key)
        gamma = self._gamma(people.rung_of(treated.size), law.mean())
        columns = sum_rows(people.basis, treated)[:q]
        draws = corrected_draws(sums[:, :K], sums[:, K : K + q], gamma, columns)
        return effect + statistic.per_sum(treated) * (draws - sum_rows(residual, treated))

    def _gamma(self, rung: int, p: np.ndarray) -> np.ndarray:
        """Gamma (q, K) of a unit with propensities p (n,), of the first q columns of the basis."""
        law = self._law(rung)
        found = law.gamma(p)
        if found is None:
            people = self._population
            q = people.rungs[rung].size
            return gamma_of_rows(self._summands()[1], people.n_programs, q, p)
        if rung not in self._of_basis:
            basis = self._population.basis[:, : self._population.rungs[rung].size]
            self._of_basis[rung] = law.strata.products(basis)
        local, shared = self._of_basis[rung]
        return np.einsum("qbj,kbj->qk", local, found[0]) + shared @ found[1].T
