"""Statistic `ols`: the least-squares coefficient of the indicator, covariates adjusted for.

With Q an orthonormal basis of the covariates C and R = Y - Q Q'Y (Frisch-Waugh-Lovell), the
coefficient of x in the regression of Y on x and C is

    beta = R'x / d,   d = x'M x = n1 - ||Q'x||^2,   M = I - QQ',

so a resample needs only the sums of the rows of W = [R | Q] over its treated cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from programde.crt.population import Population
from programde.crt.protocols import Law
from programde.crt.statistics.treated_sums import rows_of, sum_rows
from programde.tails.linearised import Linearised

#: x is collinear with the covariates where d <= COLLINEAR * n1, observed and drawn alike; float32
#: sums know d to about a tenth of that.
COLLINEAR = 1e-6
IS_COLLINEAR = "collinear with the covariates"


@dataclass(frozen=True)
class OLS:
    """Least-squares effect on centred log-ratio usage.

    Examples
    --------
    >>> import programde as pde
    >>> pde.OLS()
    OLS()
    """

    name = "ols"
    #: Log-ratios alone are looked at: nobody need make the usages behind them.
    reads_usage = False

    def prepare(self, population: Population) -> PreparedOLS:
        """Residualise the outcome of a population."""
        basis = population.basis
        residual = basis @ (basis.T @ population.outcome)
        np.subtract(population.outcome, residual, out=residual)
        return PreparedOLS(residual, basis, population.outcome)


class PreparedOLS:
    """OLS in one population of n cells, K programs, p covariates.

    Attributes
    ----------
    summands : (n, K) float64
        Residuals R.
    rows : (n, D) float32
        [R | Q], padded with zeros to a multiple of 16 columns.
    """

    def __init__(self, residual: np.ndarray, basis: np.ndarray, outcome: np.ndarray):
        self.summands = residual
        self.basis = basis
        self.n_programs = residual.shape[1]
        self._width = self.n_programs + basis.shape[1]
        self._outcome = outcome

    @cached_property
    def rows(self) -> np.ndarray:
        """What a sampler sums."""
        return rows_of(self.summands, self.basis)

    def per_sum(self, treated: np.ndarray) -> float:
        """1 / d."""
        projection = sum_rows(self.basis, treated)
        return float(1.0 / (treated.size - projection @ projection))

    def outcome(self) -> np.ndarray:
        """Y."""
        return self._outcome

    def residual(self) -> np.ndarray:
        """R."""
        return self.summands

    def residual_rows(self) -> np.ndarray:
        """`rows`."""
        return self.rows

    def observed(self, treated: np.ndarray) -> np.ndarray:
        """beta (K,) float64; NaN where x is collinear with the covariates."""
        sums, projection = sum_rows(self.summands, treated), sum_rows(self.basis, treated)
        d = treated.size - projection @ projection
        if not d > COLLINEAR * treated.size:
            return np.full(self.n_programs, np.nan)
        return sums / d

    def why_untestable(self, treated: np.ndarray) -> str:
        """A reason where `observed` cannot be computed, else an empty string."""
        projection = sum_rows(self.basis, treated)
        d = treated.size - projection @ projection
        return "" if d > COLLINEAR * treated.size else IS_COLLINEAR

    def finish(self, sums: np.ndarray, n_treated: np.ndarray) -> np.ndarray:
        """beta (B, K) float64 from `sums` (B, D) and `n_treated` (B,).

        A resample without treated cells, or collinear with the covariates, has the value 0: it is
        a function of the draw like any other, so p-values stay valid.
        """
        from programde.crt.kernels.summary import scale_rows

        projection = sums[:, self.n_programs : self._width].astype(np.float64)
        d = n_treated - np.einsum("bj,bj->b", projection, projection)
        usable = d > COLLINEAR * np.maximum(n_treated, 1)
        inverse = np.divide(1.0, d, out=np.zeros_like(d), where=usable)
        out = np.empty((n_treated.size, self.n_programs))
        scale_rows(sums, inverse, out)
        return out

    def standard_errors(self, treated: list[np.ndarray], effects: np.ndarray) -> np.ndarray:
        """Heteroscedasticity-robust (HC3) standard errors of `effects` (G, K), for G units.

        With the residual indicator x~ = M x, residuals e = R - x~ beta and leverages
        h_i = ||q_i||^2 + x~_i^2 / d of the full design,

            se^2 = sum_i x~_i^2 e_i^2 / (1 - h_i)^2 / d^2        (MacKinnon and White 1985)

        expanded in beta, so that all units and programs are three matrix products per block of
        cells. A cell of leverage 1 under the covariates alone (the only one at its level of one)
        has x~ = e = 0, whatever its treatment, and is left out. NaN where a cell has leverage 1
        by its treatment (a single treated cell, for instance).

        Returns
        -------
        (G, K) float64
        """
        from programde.crt.kernels.robust import hc3_weights, squares

        if len(treated) == 1:  # BLAS multiplies a single row in another order: not in the last bit
            return self.standard_errors(treated * 2, np.repeat(effects, 2, axis=0))[:1]
        n, n_units = self.basis.shape[0], len(treated)
        projections = np.stack([sum_rows(self.basis, t) for t in treated])
        sizes = np.array([t.size for t in treated])
        d = sizes - np.einsum("gj,gj->g", projections, projections)
        base = np.einsum("ij,ij->i", self.basis, self.basis)
        alone = base > 1.0 - _ALONE
        base[alone] = 0.0
        second = np.zeros((n_units, self.n_programs))
        first = np.zeros((n_units, self.n_programs))
        fourth = np.zeros(n_units)
        bounds = [np.searchsorted(t, np.arange(0, n + _CELLS, _CELLS)) for t in treated]
        cubic = np.empty((n_units, _CELLS))
        square = np.empty((_CELLS, self.n_programs))
        for block, begin in enumerate(range(0, n, _CELLS)):
            end = min(begin + _CELLS, n)
            size = end - begin
            x = projections @ -self.basis[begin:end].T
            for g, places in enumerate(treated):
                x[g, places[bounds[g][block] : bounds[g][block + 1]] - begin] += 1.0
            x[:, alone[begin:end]] = 0.0
            hc3_weights(x, base[begin:end], 1.0 / d, cubic[:, :size], fourth)
            residual = self.summands[begin:end]
            squares(residual, square[:size])
            second += x @ square[:size]
            first += cubic[:, :size] @ residual
        with np.errstate(divide="ignore", invalid="ignore"):
            variance = second - 2.0 * effects * first + effects**2 * fourth[:, None]
            return np.sqrt(np.maximum(variance, 0.0)) / d[:, None]

    def linearise(self, t: np.ndarray, law: Law) -> Linearised:
        """The event {beta_k >= t_k} as a linear inequality in x, about the law's mean.

        With m = Q'Ex and V the covariance of x, ||Q'x||^2 ~ 2 m'Q'x - ||m||^2 + trace(Q'VQ), so
        d ~ sum_i x_i w_i + c with w_i = 1 - 2 (Qm)_i and c = ||m||^2 - trace(Q'VQ), and
        beta_k >= t is sum_i x_i (R_ik - t w_i) >= t c. What the line leaves out is
        t (||Q'(x - Ex)||^2 - trace(Q'VQ)), given as `basis` and `curvature`.

        Parameters
        ----------
        t : (K,)
            Thresholds.
        law
            The sampler's law of the unit.
        """
        columns, squares = self._of_basis
        m = self.basis.T @ law.mean()
        weights = 1.0 - 2.0 * (self.basis @ m)
        constant = m @ m - law.covariance_trace(self.basis, squares)
        t = np.asarray(t, dtype=np.float64)
        return Linearised(t, weights, t * constant, basis=columns, curvature=t)

    @cached_property
    def _of_basis(self) -> tuple[np.ndarray, np.ndarray]:
        """The basis column by column in memory, and its rows' sums of squares: all units' own."""
        return np.asfortranarray(self.basis), np.einsum("ij,ij->i", self.basis, self.basis)


#: A cell within this of leverage 1 says nothing about the effect.
_ALONE = 1e-9
#: Cells per block of the matrix products for standard errors.
_CELLS = 2048
