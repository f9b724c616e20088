"""Propensity: the probability that a cell is treated, given its covariates, for many units.

Ridge-penalised logistic regression of a unit's indicator x on the covariates C,

    minimise  sum_i [log(1 + exp(C_i theta)) - x_i C_i theta] + (ridge / 2) ||theta||^2,

the penalty sparing the intercept, solved by Newton's method until no linear predictor changes by
more than 1e-10: a loosely converged solver shifts probabilities by 1e-3, which shows in p-values.
All units share C; `fit_propensity` takes a block of them per call of one compiled kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from programde.errors import OptionError

if TYPE_CHECKING:  # it loads kernels
    from programde.tails.conditional_fit import AtRoot

#: Probabilities are kept inside [CLIP, 1 - CLIP].
CLIP = 1e-6
RIDGE = 1.0
TOLERANCE = 1e-10
MAX_STEPS = 100

#: A propensity of the user's own: f(C, x) -> p or (p, model).
PropensityModel = Callable[[np.ndarray, np.ndarray], np.ndarray | tuple[np.ndarray, object]]


@dataclass(frozen=True)
class PropensityFit:
    """Fitted coefficients of G units.

    Attributes
    ----------
    theta : (G, p) float64
        Coefficients, in the order of the covariates' columns.
    steps : (G,) int
        Newton steps taken.
    converged : (G,) bool
        Whether the tolerance was reached.
    """

    theta: np.ndarray
    steps: np.ndarray
    converged: np.ndarray


class PropensitySolver:
    """Fits units on one covariate matrix.

    Parameters
    ----------
    covariates : (n, p) float64
        Encoded covariates C, the intercept among them or not.
    intercept
        Column of the intercept, which is not penalised; None where there is none.
    ridge
        Penalty on the other coefficients.
    """

    def __init__(self, covariates: np.ndarray, intercept: int | None, ridge: float = RIDGE):
        n_columns = covariates.shape[1]
        first = [] if intercept is None else [intercept]
        self._order = first + [j for j in range(n_columns) if j != intercept]
        self._columns = np.ascontiguousarray(covariates[:, self._order].T)
        self._penalty = np.full(n_columns, float(ridge))
        if intercept is not None:
            self._penalty[0] = 0.0
        self._has_intercept = intercept is not None
        sums = self._columns.sum(axis=1)
        self._gram = np.vstack([self._columns @ self._columns.T, sums])
        self._reach = np.abs(self._columns).max(axis=1, initial=0.0)

    @property
    def n_cells(self) -> int:
        return self._columns.shape[1]

    def fit(
        self, treated: Sequence[np.ndarray], guesses: Sequence[AtRoot | None] = ()
    ) -> PropensityFit:
        """Fit a block of units, each given by the places of its treated cells.

        guesses: a fit without a ridge by unit, None for none; with it the fit ends within the
        tolerance of the same point.
        """
        from programde.crt.kernels.logistic import fit_block

        n_units, n_columns = len(treated), self._columns.shape[0]
        theta = np.zeros((n_units, n_columns))
        steps = np.zeros(n_units, dtype=np.int64)
        warm = np.zeros(n_units, dtype=bool)
        information = np.zeros(
            (n_units if any(g is not None for g in guesses) else 0, n_columns, n_columns)
        )
        for g, guess in enumerate(guesses):
            if guess is not None:
                theta[g], warm[g] = guess.theta[self._order], True
                information[g] = guess.information[np.ix_(self._order, self._order)]
        if n_columns and n_units:
            scores = np.stack([self._columns[:, places].sum(axis=1) for places in treated])
            start = np.zeros(n_units)
            if self._has_intercept:
                share = np.array([places.size for places in treated]) / self.n_cells
                share = np.clip(share, 0.5 / self.n_cells, 1 - 0.5 / self.n_cells)
                start = np.log(share) - np.log1p(-share)
            fit_block(
                self._columns,
                self._gram,
                scores,
                start,
                warm,
                information,
                self._penalty,
                self._reach,
                TOLERANCE,
                MAX_STEPS,
                theta,
                steps,
            )
        original = np.empty_like(theta)
        original[:, self._order] = theta
        return PropensityFit(theta=original, steps=np.abs(steps), converged=steps >= 0)

    def probabilities(self, theta: np.ndarray) -> np.ndarray:
        """p (n,) = 1 / (1 + exp(-C theta)), clipped to [1e-6, 1 - 1e-6]."""
        from programde.crt.kernels.logistic import probabilities

        out = np.empty(self.n_cells)
        ordered = np.ascontiguousarray(theta[self._order])
        probabilities(self._columns, ordered, CLIP, 1.0 - CLIP, out)
        return out


def call_propensity(
    model: PropensityModel, covariates: np.ndarray, treated: np.ndarray
) -> tuple[np.ndarray, object]:
    """Ask a user's own propensity model; returns (p clipped to [1e-6, 1 - 1e-6], model or None).

    Raises
    ------
    OptionError
        If what comes back is not n finite probabilities.
    """
    n = covariates.shape[0]
    x = np.zeros(n)
    x[treated] = 1.0
    answer = model(covariates, x)
    p, fitted = answer if isinstance(answer, tuple) else (answer, None)
    p = np.asarray(p, dtype=np.float64)
    if p.shape != (n,) or not np.isfinite(p).all() or p.min() < 0.0 or p.max() > 1.0:
        raise OptionError(
            f"propensity_model must return {n} probabilities in [0, 1]; "
            f"it returned shape {p.shape} with {int((~np.isfinite(p)).sum())} not finite"
        )
    return np.clip(p, CLIP, 1.0 - CLIP), fitted


def fit_propensity_logistic(
    C: np.ndarray, y01: np.ndarray, ridge: float = RIDGE
) -> tuple[np.ndarray, np.ndarray]:
    """Propensity of one unit.

    Parameters
    ----------
    C : (N, p)
        Covariates; a column of ones is taken for the intercept and not penalised.
    y01 : (N,)
        Indicator of treatment, 0 or 1.
    ridge
        Penalty (1 is scikit-learn's ``C=1``).

    Returns
    -------
    p : (N,) float64
        Probabilities, clipped to [1e-6, 1 - 1e-6].
    model : (p,) float64
        Coefficients.

    Raises
    ------
    OptionError
        If the shapes disagree, `y01` holds anything but 0 and 1, or Newton's method fails.
    """
    C = np.asarray(C, dtype=np.float64)
    y01 = np.asarray(y01)
    if C.ndim != 2 or y01.shape != (C.shape[0],):
        raise OptionError(f"C (N, p) and y01 (N,) disagree: {C.shape} and {y01.shape}")
    if not np.isin(y01, (0, 1)).all():
        raise OptionError("y01 must hold 0 and 1 only")
    constant = np.flatnonzero((C == 1.0).all(axis=0))
    solver = PropensitySolver(C, int(constant[0]) if constant.size else None, ridge)
    fit = solver.fit([np.flatnonzero(y01)])
    if not fit.converged[0]:
        raise OptionError(
            f"the logistic regression did not converge in {MAX_STEPS} steps; "
            "check C for aliased or extreme columns"
        )
    return solver.probabilities(fit.theta[0]), fit.theta[0]
