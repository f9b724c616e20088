"""Propensity models as the original calls them: p and a model with its coefficients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from programde.crt import propensity
from programde.errors import OptionError, check_keywords, tell

#: Settings of a solver that decide nothing here, and those values that ask for nothing else.
_SOLVER = (
    "solver", "tol", "random_state", "verbose", "warm_start", "fit_intercept", "class_weight",
    "dual", "intercept_scaling", "l1_ratio", "multi_class",
)  # fmt: skip
_said: set[str] = set()


def ignored(setting: str, value: object, why: str) -> None:
    """Say that a setting is ignored, once per setting and session."""
    if setting not in _said:
        _said.add(setting)
        tell(f"{setting}={value!r} is ignored: {why}")


@dataclass(frozen=True)
class LogisticModel:
    """A fitted logistic regression, by the attribute names of scikit-learn.

    Attributes
    ----------
    coef_ : (1, p) float64
        Coefficients in the order of C's columns; 0 at a column of ones, whose coefficient is the
        intercept.
    intercept_ : (1,) float64
        The intercept; 0 where C has no column of ones.
    classes_ : (2,)
        0 and 1.
    """

    coef_: np.ndarray
    intercept_: np.ndarray
    classes_: np.ndarray

    def decision_function(self, C: np.ndarray) -> np.ndarray:
        """Linear predictors (n,) of cells with covariates C (n, p)."""
        values: np.ndarray = np.asarray(C, dtype=np.float64) @ self.coef_[0] + self.intercept_[0]
        return values

    def predict_proba(self, C: np.ndarray) -> np.ndarray:
        """(n, 2): probabilities of control and of treatment."""
        p = 1.0 / (1.0 + np.exp(-self.decision_function(C)))
        return np.stack([1.0 - p, p], axis=1)


def fit_propensity_logistic(
    C: np.ndarray,
    y01: np.ndarray,
    penalty: str | None = "l2",
    C_value: float = 1.0,
    max_iter: int = 200,
    n_jobs: int = 1,
    **kwargs: Any,
) -> tuple[np.ndarray, LogisticModel]:
    """Propensity of one unit by ridge logistic regression.

    Parameters
    ----------
    C : (N, p)
        Covariates; a column of ones is taken for the intercept and not penalised.
    y01 : (N,)
        Indicator of treatment, 0 or 1.
    penalty
        ``"l2"``; another one is ignored, and that is said once.
    C_value
        Inverse of the penalty, as scikit-learn has it.
    max_iter, n_jobs, **kwargs
        Settings of a solver. Newton's method runs until nothing changes, so they are ignored, and
        that is said once.

    Returns
    -------
    p : (N,) float64
        Probabilities, clipped to [1e-6, 1 - 1e-6].
    model : LogisticModel
        With ``coef_`` and ``intercept_``.

    Raises
    ------
    OptionError
        If the shapes disagree, `y01` holds anything but 0 and 1, `C_value` is not positive, or
        Newton's method fails.

    Examples
    --------
    >>> import numpy as np, programde as pde
    >>> p, model = pde.fit_propensity_logistic(np.ones((4, 1)), np.array([1, 0, 0, 0]))
    >>> p.round(3).tolist(), model.intercept_.round(3).tolist()
    ([0.25, 0.25, 0.25, 0.25], [-1.099])
    """
    check_keywords("fit_propensity_logistic", kwargs, _SOLVER)
    if not C_value > 0:
        raise OptionError(f"C_value={C_value!r} must be positive")
    if penalty != "l2":
        ignored("penalty", penalty, "the penalty is l2; C_value sets its strength")
    why = "the fit runs until nothing changes"
    for name, value, usual in (("max_iter", max_iter, 200), ("n_jobs", n_jobs, 1)):
        if value != usual:
            ignored(name, value, why)
    for name, value in kwargs.items():
        ignored(name, value, why)
    p, theta = propensity.fit_propensity_logistic(C, y01, 1.0 / C_value)
    values = np.asarray(C, dtype=np.float64)
    ones = np.flatnonzero((values == 1.0).all(axis=0))[:1]
    coefficients = theta.copy()
    coefficients[ones] = 0.0
    intercept = theta[ones] if ones.size else np.zeros(1)
    return p, LogisticModel(coefficients[None, :], intercept, np.array([0, 1]))


def oracle_propensity_const(C: np.ndarray, y01: np.ndarray) -> np.ndarray:
    """The propensity of a screen without confounding: every cell's is the treated share.

    Parameters
    ----------
    C : (N, p)
        Covariates; only their number of rows matters.
    y01 : (N,)
        Indicator of treatment.

    Returns
    -------
    (N,) float64
        To be passed as `propensity_model`.

    Examples
    --------
    >>> import numpy as np, programde as pde
    >>> pde.oracle_propensity_const(np.ones((4, 1)), np.array([1, 0, 0, 0])).tolist()
    [0.25, 0.25, 0.25, 0.25]
    """
    return np.full(len(C), float(np.mean(y01)))
