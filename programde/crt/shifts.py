"""Effects on scales that people and the test of direct effects ask for, whatever is tested.

With Q an orthonormal basis of the covariates, P = Q'x and d = n1 - ||P||^2 (see
`crt.statistics.ols`), the mean difference of values V between treated and other cells, covariates
adjusted for (Frisch and Waugh 1933), is

    (V'x - (Q'V)'P) / d,

so usage points need the sums of usages over treated cells and Q'V, once per population. Log-ratio
effects and their HC3 errors are those of the statistic `ols` where it tests log-ratios; beside
ranks, or another scale of the outcome, they are computed for this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from programde.crt.population import Population
from programde.crt.present_shifts import PresentShifts
from programde.crt.protocols import PreparedStatistic
from programde.crt.statistics.ols import COLLINEAR, OLS, PreparedOLS
from programde.crt.statistics.treated_sums import sum_rows


@dataclass(frozen=True, eq=False)
class Shifts:
    """Effects of G units on K programs, beside those that are tested.

    Attributes
    ----------
    log_ratio, log_ratio_se : (G, K) float64
        Least-squares effects on centred log-ratio usage and their HC3 standard errors; NaN where
        the usages have no floor, hence no logarithm.
    usage : (G, K) float64
        Differences of mean usage, covariates adjusted for: 0.01 is one usage point.
    above_floor : (G, K) float64
        Share of the cells of the unit's test in which the program lies above the floor.
    present, present_se, present_cells : (G, K) float64
        Shifts of log usage in the cells where the program is present, their standard errors, and
        the treated cells among these (`crt.present_shifts`); NaN where usages have no floor.
    """

    log_ratio: np.ndarray
    log_ratio_se: np.ndarray
    usage: np.ndarray
    above_floor: np.ndarray
    present: np.ndarray
    present_se: np.ndarray
    present_cells: np.ndarray

    @classmethod
    def empty(cls, n_units: int, n_programs: int) -> Shifts:
        """To be filled unit by unit."""
        return cls(*(np.full((n_units, n_programs), np.nan) for _ in fields(cls)))


class ShiftsOf:
    """Shifts in one population.

    Parameters
    ----------
    population
        The cells.
    statistic
        What is tested there.
    """

    def __init__(self, population: Population, statistic: PreparedStatistic):
        self._population = population
        self._adjust = population.basis.T @ population.usage
        self._above = (population.usage > population.floor * (1 + 1e-9)).mean(axis=0)
        self._present: PresentShifts | None = None
        if population.floor > 0.0:
            self._present = PresentShifts(population.usage, population.basis, population.floor)
        self._ols: PreparedOLS | None = None
        self._tested = population.transform == "clr" and isinstance(statistic, PreparedOLS)
        if not self._tested:
            log_ratio = log_ratios(population)
            if log_ratio is not None:
                self._ols = OLS().prepare(replace(population, outcome=log_ratio))

    def of(self, treated: Sequence[np.ndarray], effects: np.ndarray, errors: np.ndarray) -> Shifts:
        """Shifts of G units; `effects`, `errors` (G, K) are those of the statistic."""
        found = Shifts.empty(len(treated), self._population.n_programs)
        if self._tested:
            found.log_ratio[:], found.log_ratio_se[:] = effects, errors
        elif self._ols is not None:
            ols = self._ols
            found.log_ratio[:] = np.stack([ols.observed(places) for places in treated])
            found.log_ratio_se[:] = ols.standard_errors(list(treated), found.log_ratio)
        for g, places in enumerate(treated):
            projection = sum_rows(self._population.basis, places)
            d = places.size - projection @ projection
            if d > COLLINEAR * places.size:
                sums = sum_rows(self._population.usage, places)
                found.usage[g] = (sums - projection @ self._adjust) / d
            if self._present is not None:
                own = self._present.of(places)
                found.present[g], found.present_se[g], found.present_cells[g] = own
        found.above_floor[:] = self._above
        return found


def log_ratios(population: Population) -> np.ndarray | None:
    """Centred log-ratios (n, K) of a population's usages; None where some are not above 0."""
    if population.transform == "clr":
        return population.outcome
    if population.transform == "none" or not (population.usage > 0).all():
        return None
    logs = np.log(population.usage)
    return np.asarray(logs - logs.mean(axis=1, keepdims=True))
