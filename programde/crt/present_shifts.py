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

A, C'y, y'y and the number of cells are sums over cells: of a population's cells they are summed
once for all its units; of control cells once for all units compared with them, and each unit adds
its own (`crt.pooled.pool_shifts`).

No centring is needed to tell what was touched: where a target multiplies some usages, the total
before closing to 1 grows by exp(s), and every other program falls by s wherever it is present.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from programde.crt.statistics.ols import COLLINEAR

#: With fewer treated cells in which a program is present nothing is said of it.
FEWEST_CELLS = 30
#: A column of which less than this is independent of those before it, squared, is none: there is no
#: shift where the covariates depend on each other among the cells with a program.
_DEPENDENT = 1e-10
#: Numbers that are laid out at a time.
_NUMBERS = 2**21


@dataclass(frozen=True, eq=False)
class PresentSums:
    """Sums over the cells in which each of K programs is present, C being r columns.

    Attributes
    ----------
    gram : (K, r, r) float64
        C'C.
    cross : (K, r) float64
        C'y, y log usage.
    square, count : (K,) float64
        y'y, and the number of cells.
    """

    gram: np.ndarray
    cross: np.ndarray
    square: np.ndarray
    count: np.ndarray

    @classmethod
    def none(cls, K: int, r: int) -> PresentSums:
        """Of no cells."""
        return cls(np.zeros((K, r, r)), np.zeros((K, r)), np.zeros(K), np.zeros(K))

    @classmethod
    def of(cls, usage: np.ndarray, columns: np.ndarray, floor: float) -> PresentSums:
        """Of cells with usages (n, K) and columns (n, r); present are usages above `floor`."""
        (n, K), r = usage.shape, columns.shape[1]
        row, column = np.tril_indices(r)
        pairs, cross = np.zeros((K, row.size)), np.zeros((K, r))
        square, count = np.zeros(K), np.zeros(K)
        size = max(64, _NUMBERS // max(row.size + 2 * K, 1))
        for begin in range(0, n, size):
            present, y = _logs(usage[begin : begin + size], floor)
            C = columns[begin : begin + size]
            pairs += present.T @ (C[:, row] * C[:, column])
            cross += y.T @ C
            square += np.einsum("ik,ik->k", y, y)
            count += present.sum(axis=0)
        gram = np.empty((K, r, r))
        gram[:, row, column] = gram[:, column, row] = pairs
        return cls(gram, cross, square, count)

    def __add__(self, other: PresentSums) -> PresentSums:
        return PresentSums(
            self.gram + other.gram,
            self.cross + other.cross,
            self.square + other.square,
            self.count + other.count,
        )


class PresentShifts:
    """Present shifts of the units of one population.

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
        sums = PresentSums.of(usage, basis, self._floor)
        gram, self._good = _regular(sums)
        self._inverse = np.linalg.inv(gram)
        self._coefficients = (self._inverse @ sums.cross[:, :, None])[:, :, 0]
        self._variance = _variance(sums, self._coefficients)

    def of(self, treated: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Shifts (K,) of log usage, their standard errors, and the treated cells they rest on, of a
        unit whose treated cells stand at `treated`; NaN where these are too few."""
        columns = self._basis[treated]
        present, y = _logs(self._usage[treated], self._floor)
        v = present.T @ columns
        along = (v[:, None, :] @ self._inverse @ v[:, :, None])[:, 0, 0]
        found = present, y, columns, self._coefficients, along, self._variance, self._good
        return _shifts(*found)


class SharedPresentShifts:
    """Present shifts of units compared with the same cells, of which some batches may take no part.

    Parameters
    ----------
    batches : list of PresentSums
        Of the shared cells of each of B batches, C being r columns in each.
    floor
        Usages up to it are absent.
    """

    def __init__(self, batches: Sequence[PresentSums], floor: float):
        self._floor = floor * (1 + 1e-9)
        self._gram = np.stack([own.gram for own in batches])
        self._cross = np.stack([own.cross for own in batches])
        self._square = np.stack([own.square for own in batches])
        self._count = np.stack([own.count for own in batches])

    def of(
        self, live: np.ndarray, M: np.ndarray, usage: np.ndarray, columns: np.ndarray, n_added: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """As `PresentShifts.of`, of a unit in the batches `live` (B,) bool.

        M (B, r, p) gives its orthonormal basis in the columns of each batch; its treated cells have
        usages (n1, K) and that basis (n1, p), and the first `n_added` of them are none of the
        shared cells.
        """
        present, y = _logs(usage, self._floor)
        K, p = present.shape[1], columns.shape[1]
        coefficients, along = np.full((K, p), np.nan), np.full(K, np.nan)
        variance, good = np.full(K, np.nan), np.zeros(K, dtype=bool)
        some = np.flatnonzero(present.sum(axis=0) >= FEWEST_CELLS)
        if some.size:
            own = slice(0, n_added)
            sums = self._within(live, M, some) + PresentSums.of(
                usage[own][:, some], columns[own], self._floor
            )
            gram, good[some] = _regular(sums)
            v = present[:, some].T @ columns
            solved = np.linalg.solve(gram, np.stack([sums.cross, v], axis=2))
            coefficients[some] = solved[:, :, 0]
            along[some] = np.einsum("kp,kp->k", v, solved[:, :, 1])
            variance[some] = _variance(sums, solved[:, :, 0])
        return _shifts(present, y, columns, coefficients, along, variance, good)

    def _within(self, live: np.ndarray, M: np.ndarray, some: np.ndarray) -> PresentSums:
        """Sums of the shared cells of the batches that take part, of some programs."""
        M, B = M[live], np.flatnonzero(live)[:, None]
        rows = M.reshape(-1, M.shape[2])
        half = (self._gram[B, some] @ M[:, None]).transpose(1, 0, 2, 3)
        cross = self._cross[B, some].transpose(1, 0, 2)
        return PresentSums(
            rows.T @ half.reshape(some.size, *rows.shape),
            cross.reshape(some.size, rows.shape[0]) @ rows,
            self._square[B, some].sum(axis=0),
            self._count[B, some].sum(axis=0),
        )


def _regular(sums: PresentSums) -> tuple[np.ndarray, np.ndarray]:
    """C'C (K, p, p), that of none in the place of what cannot be solved; where it can (K,)."""
    p = sums.cross.shape[1]
    good = sums.count >= 2 * (p + 2)
    gram = np.where(good[:, None, None], sums.gram, np.eye(p))
    good = good & ~(np.square(_cholesky_diagonals(gram)).min(axis=1, initial=1.0) < _DEPENDENT)
    gram[~good] = np.eye(p)
    return gram, good


def _variance(sums: PresentSums, coefficients: np.ndarray) -> np.ndarray:
    """Mean squares (K,) of the residuals."""
    rest = sums.square - np.einsum("kp,kp->k", coefficients, sums.cross)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(rest / (sums.count - sums.cross.shape[1]))


def _shifts(present, y, columns, coefficients, along, variance, good):
    """Shifts, standard errors and treated cells, along (K,) being v'A^-1 v; see the module."""
    n1 = present.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        r = y - (columns @ coefficients.T) * present
        d = n1 - along
        sums = r.sum(axis=0)
        spread = np.einsum("ik,ik->k", r, r) - sums**2 / n1
        shift = sums / d
        se = np.sqrt(spread / (n1 * (n1 - 1)) + variance * (1 / d - 1 / n1))
        good = good & (n1 >= FEWEST_CELLS) & (d > COLLINEAR * n1) & (se > 0)
    shift[~good] = se[~good] = np.nan
    return shift, se, n1


def _logs(usage: np.ndarray, floor: float) -> tuple[np.ndarray, np.ndarray]:
    """1 where a usage lies above the floor, and its logarithm there, else 0."""
    present = usage > floor
    y = np.log(usage, out=np.zeros(usage.shape), where=present)
    return present.astype(np.float64), y


def _cholesky_diagonals(gram: np.ndarray) -> np.ndarray:
    """Diagonals (K, p) of the Cholesky factors of matrices (K, p, p); 0 where there is none."""
    try:
        return np.einsum("kpp->kp", np.linalg.cholesky(gram))
    except np.linalg.LinAlgError:
        pass
    found = np.zeros(gram.shape[:2])
    for k, matrix in enumerate(gram):
        try:
            found[k] = np.diag(np.linalg.cholesky(matrix))
        except np.linalg.LinAlgError:
            continue
    return found
