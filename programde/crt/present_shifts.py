"""Shifts of a program's usage in the cells where it is present, for the test of direct effects.

Where a program lies on the floor its log-ratio says nothing of how strong it is, and with many such
cells the floor's distance from the others makes most of the log-ratio's variance. In the cells C_k
in which program k lies above the floor, let y = log usage, C the covariates and x the indicator;
the least-squares coefficient of x in these cells (Frisch and Waugh 1933) is

    beta_k = sum over treated cells of C_k of r / d,    d = n1 - v'A^-1 v,

r the residual of y on C in C_k, A = C'C there, n1 and v the number of treated cells in C_k and the
sums of C over them. With SS the sum of squares of r about its mean in these n1 cells, and s^2 the
mean square of r in all of C_k,

    se_k^2 = SS / (n1 (n1 - 1)) + s^2 (1 / d - 1 / n1),

the spread of the treated cells for itself, that of the many others as one number.

No centring is needed to tell what was touched: where a target multiplies some usages, the total
before closing to 1 grows by exp(s), and every other program falls by s wherever it is present.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from programde.crt.statistics.ols import COLLINEAR

#: With fewer treated cells in which a program is present nothing is said of it.
FEWEST_CELLS = 30


class PresentShifts:
    """Present shifts in one population.

    Parameters
    ----------
    usage : (n, K) float64
        Floored usages.
    basis : (n, p) float64
        Orthonormal basis of the covariates.
    floor
        Usages up to it are absent.
    """

    def __init__(self, usage: np.ndarray, basis: np.ndarray, floor: float):
        self._usage, self._basis = usage, basis
        self._floor = floor * (1 + 1e-9)
        K, p = usage.shape[1], basis.shape[1]
        self._coefficients = np.full((K, p), np.nan)
        self._inverse = np.full((K, p, p), np.nan)
        self._variance = np.full(K, np.nan)
        for k in range(K):
            y = usage[:, k]
            present = np.flatnonzero(y > self._floor)
            if present.size < 2 * (p + 2):
                continue
            C, y = basis[present], np.log(y[present])
            gram = C.T @ C
            try:
                factor = cho_factor(gram)
            except np.linalg.LinAlgError:
                continue
            if np.diag(factor[0]).min(initial=1.0) ** 2 < 1e-10:
                continue
            self._inverse[k] = cho_solve(factor, np.eye(p))
            self._coefficients[k] = self._inverse[k] @ (C.T @ y)
            residual = y - C @ self._coefficients[k]
            self._variance[k] = residual @ residual / (present.size - p)

    def of(self, treated: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Shifts (K,) of log usage, their standard errors, and the treated cells they rest on, of a
        unit whose treated cells stand at `treated`; NaN where these are too few."""
        usage, C = self._usage[treated], self._basis[treated]
        present = (usage > self._floor).astype(np.float64)
        n1 = present.sum(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            r = (np.log(usage) - C @ self._coefficients.T) * present
            r[present == 0.0] = 0.0
            v = present.T @ C
            d = n1 - np.einsum("kp,kpq,kq->k", v, self._inverse, v, optimize=True)
            sums = r.sum(axis=0)
            spread = np.einsum("ik,ik->k", r, r) - sums**2 / n1
            shift = sums / d
            se = np.sqrt(spread / (n1 * (n1 - 1)) + self._variance * (1 / d - 1 / n1))
        good = (n1 >= FEWEST_CELLS) & (d > COLLINEAR * n1) & (se > 0)
        shift[~good] = se[~good] = np.nan
        return shift, se, n1
