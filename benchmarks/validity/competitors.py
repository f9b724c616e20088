"""Tests that others use, written from their formulas, with the same cells and covariates.

R are the outcome's and e the indicator's residuals on the covariates C (n, p), Q an orthonormal
basis of C, d = e'e, beta = e'R / d, and r = R - e beta.

* `ols_t`: beta / sqrt(r'r / (n - p - 1) / d), against t with n - p - 1 degrees of freedom.
* `hc3`: variance sum e^2 r^2 / (1 - h)^2 / d^2, h the leverage in (C, x) (MacKinnon and White 1985,
  J. Econometrics 29:305), against the same t.
* `mannwhitney`: the rank sum's normal approximation with ties and continuity corrected; it knows
  of no covariates.
* `gcm`: generalised covariance measure (Shah and Peters 2020, Ann. Statist. 48:1514): the mean of
  (x - p) R over its standard error, p from a logistic regression on C; against the normal law.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, stdtr
from scipy.stats import rankdata

from benchmarks.validity.simulated import Simulated
from programde.crt.population import intercept_of
from programde.crt.propensity import PropensitySolver
from programde.screen.covariates import independent_columns


@dataclass(frozen=True)
class Cells:
    """The cells that some targets are tested in."""

    Y: np.ndarray
    C: np.ndarray
    Q: np.ndarray
    R: np.ndarray
    #: (target's row in the result, places of its treated cells)
    units: list[tuple[int, np.ndarray]]


@dataclass(frozen=True)
class Comparison:
    """What competitors are given: outcome (N, K), covariates (N, p), and who holds what.

    With one guide per cell a target is compared with cells that hold control guides alone, cells
    with another target left out, as programDE does; else with all other cells.
    """

    Y: np.ndarray
    C: np.ndarray
    held: np.ndarray
    controls: np.ndarray | None

    @classmethod
    def of(cls, Y: np.ndarray, C: np.ndarray, simulated: Simulated) -> Comparison:
        """From a simulated screen."""
        real = np.array([target != "NTC" for target in simulated.targets])
        held = simulated.held[:, real]
        controls = None if simulated.moi == "high" else np.logical_not(held.any(axis=1))
        return cls(Y, C, held, controls)

    def populations(self) -> Iterator[Cells]:
        """All targets in all cells, or each in its own."""
        if self.controls is None:
            units = [(g, np.flatnonzero(x)) for g, x in enumerate(self.held.T)]
            yield _cells(self.Y, self.C, units)
            return
        alone = self.held.sum(axis=1) == 1
        for g, x in enumerate(self.held.T):
            keep = np.flatnonzero(self.controls | (x & alone))
            C = self.C[keep]
            C = C[:, independent_columns(C)]
            yield _cells(self.Y[keep], C, [(g, np.flatnonzero(x[keep]))])


def _cells(Y: np.ndarray, C: np.ndarray, units: list[tuple[int, np.ndarray]]) -> Cells:
    Q = np.linalg.qr(C)[0]
    return Cells(Y, C, Q, Y - Q @ (Q.T @ Y), units)


def compare(method: str, comparison: Comparison) -> np.ndarray:
    """Two-sided p-values (G, K); NaN where fewer than ten cells are treated."""
    found = np.full((comparison.held.shape[1], comparison.Y.shape[1]), np.nan)
    for cells in comparison.populations():
        test = _METHODS[method](cells)
        for row, treated in cells.units:
            if treated.size >= 10:
                found[row] = test(treated)
    return found


Test = Callable[[np.ndarray], np.ndarray]


def _ols(cells: Cells, robust: bool) -> Test:
    n, p = cells.C.shape
    squares = np.einsum("ij,ij->j", cells.R, cells.R)
    leverage = np.einsum("ij,ij->i", cells.Q, cells.Q)

    def test(treated: np.ndarray) -> np.ndarray:
        e = -cells.Q @ cells.Q[treated].sum(axis=0)
        e[treated] += 1.0
        d = e @ e
        beta = e @ cells.R / d
        if robust:
            r = cells.R - np.outer(e, beta)
            weight = (e / (1 - leverage - e * e / d)) ** 2
            variance = weight @ (r * r) / d**2
        else:
            variance = (squares - beta * beta * d) / (n - p - 1) / d
        return 2.0 * stdtr(n - p - 1, -np.abs(beta) / np.sqrt(variance))

    return test


def _mannwhitney(cells: Cells) -> Test:
    n = len(cells.Y)
    ranks = rankdata(cells.Y, axis=0)
    ties = np.array([(t**3 - t).sum() for t in (_counts(y) for y in cells.Y.T)])

    def test(treated: np.ndarray) -> np.ndarray:
        n1 = treated.size
        off = ranks[treated].sum(axis=0) - n1 * (n + 1) / 2
        variance = n1 * (n - n1) / 12 * (n + 1 - ties / (n * (n - 1)))
        z = np.maximum(np.abs(off) - 0.5, 0.0) / np.sqrt(variance)
        return np.asarray(2.0 * ndtr(-z))

    return test


def _counts(y: np.ndarray) -> np.ndarray:
    return np.unique(y, return_counts=True)[1].astype(np.float64)


def _gcm(cells: Cells) -> Test:
    solver = PropensitySolver(cells.C, intercept_of(cells.C))
    squares = cells.R**2
    n = len(cells.R)

    def test(treated: np.ndarray) -> np.ndarray:
        e = -solver.probabilities(solver.fit([treated]).theta[0])
        e[treated] += 1.0
        mean = e @ cells.R / n
        sd = np.sqrt((e * e) @ squares / n - mean**2)
        return np.asarray(2.0 * ndtr(-np.sqrt(n) * np.abs(mean) / sd))

    return test


_METHODS: dict[str, Callable[[Cells], Test]] = {
    "ols_t": lambda cells: _ols(cells, robust=False),
    "hc3": lambda cells: _ols(cells, robust=True),
    "mannwhitney": _mannwhitney,
    "gcm": _gcm,
}
#: Method -> models of the covariates with which it is run.
COMPETITORS: dict[str, tuple[str, ...]] = {
    "ols_t": ("linear", "auto"),
    "hc3": ("linear", "auto"),
    "gcm": ("linear", "auto"),
    "mannwhitney": ("linear",),
}
