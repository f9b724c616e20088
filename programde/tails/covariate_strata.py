"""Covariates stratum by stratum: the columns that strata have to themselves, and those they share.

The span of the covariates C (n, p) is written as a direct sum: for each stratum b of cells the
functions that vanish outside b (*local*: its intercept, and its slopes where the model holds
interactions with the strata), and an orthonormal basis of what is orthogonal to all of these
(*global*). With Q an orthonormal basis of C and Q_b its rows in b, the local functions are Q v with
v an eigenvector of Q_b'Q_b of eigenvalue 1: then Q v has all of its length inside b.

Strata are found in the 0/1 columns of C: combinations of factors where the model holds every
combination's indicator, else the factor of most levels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from programde.errors import InputError

_SAME = 1e-8
#: More distinct rows than this are not a set of strata.
_MOST_STRATA = 2000


@dataclass(frozen=True, eq=False)
class CovariateStrata:
    """Covariates of a population, sorted and split.

    Attributes
    ----------
    order : (n,) int64
        Cells, stratum after stratum; all arrays below are in this order of cells.
    first : (B + 1,) int64
        Stratum b holds places first[b] .. first[b + 1] of `order`.
    columns : (k + g, n) float64
        Row j < k: each stratum's local column j (zeros where it has fewer). The others: global.
    n_local : (B,) int64
        Local columns of each stratum.
    from_covariates : (p, B, k), (p, g) float64
        Coefficients of each covariate in these columns.
    indicators : (I, n) bool
        Sets of cells whose number of treated cells is fixed by C'x.
    saturated
        Whether the strata's intercepts are all there is: C'x fixes each stratum's number of treated
        cells and nothing else.
    absent : (m,) int or None
        Places of `order` that hold no cell; columns and summands may be anything there.
    """

    order: np.ndarray
    first: np.ndarray
    columns: np.ndarray
    n_local: np.ndarray
    from_covariates: tuple[np.ndarray, np.ndarray]
    indicators: np.ndarray
    saturated: bool
    absent: np.ndarray | None = None

    @property
    def n_global(self) -> int:
        return self.columns.shape[0] - int(self.n_local.max(initial=0))

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """B strata, at most k local columns in each, g global ones."""
        return self.n_local.size, int(self.n_local.max(initial=0)), self.n_global

    @cached_property
    def indicator_sizes(self) -> np.ndarray:
        """(I,) cells of each set of `indicators`."""
        return self.indicators.sum(axis=1)

    @cached_property
    def reach(self) -> tuple[np.ndarray, np.ndarray]:
        """Largest absolute value of each column: local (B, k), global (g,)."""
        k = int(self.n_local.max(initial=0))
        local = np.zeros((self.n_local.size, k))
        for b, (lo, hi) in enumerate(pairwise(self.first)):
            local[b] = np.abs(self.columns[:k, lo:hi]).max(axis=1, initial=0.0)
        return local, np.abs(self.columns[k:]).max(axis=1, initial=0.0)

    @cached_property
    def place(self) -> np.ndarray:
        """(n,) where each cell lies in `order`."""
        place = np.empty(self.order.size, dtype=np.int64)
        place[self.order] = np.arange(self.order.size)
        return place

    @cached_property
    def single(self) -> np.ndarray:
        """`columns` in float32."""
        return self.columns.astype(np.float32)

    @cached_property
    def row_of(self) -> np.ndarray:
        """(k + g,) rows of `columns`, for kernels."""
        return np.arange(self.columns.shape[0], dtype=np.int64)

    @cached_property
    def ones(self) -> tuple[np.ndarray, np.ndarray]:
        """Coefficients (B, k), (g,) of the intercept."""
        return self.sums(np.arange(self.order.size))

    def sums(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sums of the columns over cells given by their places in `order`: local (B, k), global."""
        k = int(self.n_local.max(initial=0))
        values = self.columns[:, places]
        stratum = np.searchsorted(self.first, places, side="right") - 1
        local = np.zeros((self.n_local.size, k))
        np.add.at(local, stratum, values[:k].T)
        return local, values[k:].sum(axis=1)

    def products(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Products of values (n, q), of cells in the population's order, with the columns: local
        (q, B, k), shared (q, g)."""
        B, k, _ = self.shape
        some = values[self.order]
        local = np.zeros((values.shape[1], B, k))
        for b, (lo, hi) in enumerate(pairwise(self.first)):
            local[:, b] = some[lo:hi].T @ self.columns[:k, lo:hi].T
        return local, some.T @ self.columns[k:].T

    @cached_property
    def to_covariates(self) -> np.ndarray:
        """(p, B k + g) that takes coefficients in these columns to those of the covariates."""
        local, shared = self.from_covariates
        from_covariates = np.concatenate([local.reshape(local.shape[0], -1), shared], axis=1)
        return np.linalg.pinv(from_covariates.T)

    def coefficients(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Coefficients (B, k), (g,) of the linear predictor C theta."""
        local, shared = self.from_covariates
        return np.tensordot(theta, local, axes=1), theta @ shared


def strata_of(
    covariates: np.ndarray, batch: np.ndarray | None = None, basis: np.ndarray | None = None
) -> CovariateStrata:
    """Sort and split covariates.

    Parameters
    ----------
    covariates : (n, p) float64
        Of full column rank, the intercept in their span.
    batch : (n,) integer codes, optional
        Strata to use in the place of those found; they need not belong to the covariates.
    basis : (n, p) float64, optional
        An orthonormal basis of their span, where it is at hand.

    Raises
    ------
    InputError
        If the covariates are not finite, or no intercept is in their span.
    """
    C = np.asarray(covariates, dtype=np.float64)
    if C.ndim != 2 or not np.isfinite(C).all():
        raise InputError(f"covariates of shape {C.shape} must be a finite cells x columns matrix")
    n, p = C.shape
    Q = _orthonormal(C) if basis is None else basis
    ones = Q.sum(axis=0)
    if abs(ones @ ones - n) > _SAME * n:
        raise InputError("the conditional law needs an intercept among the covariates")
    binary = ((C == 0.0) | (C == 1.0)).all(axis=0)
    codes, saturated = _strata(C, binary, Q, batch)
    order = np.argsort(codes, kind="stable")
    first = np.searchsorted(codes[order], np.arange(codes.max(initial=0) + 2)).astype(np.int64)
    Q = Q[order]
    B = first.size - 1
    shared_only = binary | ~_inside_one(C, codes, B)
    if B > 1 and shared_only.all():
        local = _intercepts(Q, first)
    else:
        local = _local(Q, first)
    k = max((part.shape[1] for part in local), default=0)
    taken = np.concatenate([Q[lo:hi].T @ part for lo, hi, part in _parts(first, local)], axis=1)
    # what is orthogonal, inside the span, to all that is local
    u, size, _ = np.linalg.svd(taken, full_matrices=True)
    rank = int(np.count_nonzero(size > 0.5))
    shared = Q @ u[:, rank:]
    columns = np.zeros((k + shared.shape[1], n))
    columns[k:] = shared.T
    from_local = np.zeros((p, B, k))
    C_sorted = C[order]
    for b, (lo, hi, part) in enumerate(_parts(first, local)):
        columns[: part.shape[1], lo:hi] = part.T
        from_local[:, b, : part.shape[1]] = C_sorted[lo:hi].T @ part
    return CovariateStrata(
        order=order,
        first=first,
        columns=columns,
        n_local=np.array([part.shape[1] for part in local], dtype=np.int64),
        from_covariates=(from_local, C_sorted.T @ shared),
        indicators=_indicators(C[:, binary], codes, order, Q),
        saturated=saturated,
    )


def _orthonormal(C):
    scale = np.sqrt(np.einsum("ij,ij->j", C, C))
    Q, R = np.linalg.qr(C / np.where(scale > 0.0, scale, 1.0))
    if C.shape[1] == 0 or np.abs(np.diag(R)).min() < 1e-10:
        raise InputError("the conditional law needs covariates of full column rank")
    return Q


def _parts(first, local):
    return zip(first[:-1], first[1:], local, strict=True)


def _fixed(member, Q) -> bool:
    """Whether the indicator of a set of cells lies in the span of Q."""
    size = int(np.count_nonzero(member))
    along = member.astype(np.float64) @ Q
    return bool(abs(along @ along - size) <= _SAME * max(size, 1))


def _all_fixed(codes, Q) -> bool:
    sums = np.column_stack([np.bincount(codes, weights=column) for column in Q.T])
    size = np.bincount(codes)
    return bool((np.abs(np.einsum("ij,ij->i", sums, sums) - size) <= _SAME * size).all())


def _codes_of_rows(rows):
    """Codes of distinct rows, or None where there are too many."""
    codes = np.zeros(rows.shape[0], dtype=np.int64)
    for column in rows.T:
        # distinct values of one column times those before: stays small, or is given up
        own = column.astype(np.int64)
        if not (((own == 0) | (own == 1)) & (own == column)).all():
            values, own = np.unique(column, return_inverse=True)
            if values.size > _MOST_STRATA:
                return None
        codes = codes * (own.max(initial=0) + 1) + own
        present = np.bincount(codes) > 0
        codes = (np.cumsum(present) - 1)[codes]
        if codes.max(initial=0) >= _MOST_STRATA:
            return None
    return codes


def _groups(binary_columns):
    """Neighbouring 0/1 columns of which no cell has two: a factor's levels but the first."""
    groups: list[list[int]] = []
    current: list[int] = []
    used = None
    for j, column in enumerate(binary_columns.T):
        if column.all():
            continue
        if current and not (used * column).any():
            current.append(j)
            used = used + column
        else:
            if current:
                groups.append(current)
            current, used = [j], column.copy()
    return [*groups, current] if current else groups


def _strata(C, binary, Q, batch):
    """(codes (n,), whether their indicators span all of C)."""
    n, p = C.shape
    # most covariates show at once that they have more distinct rows than columns
    few = np.unique(C[:: max(1, n // (8 * p + 8))], axis=0).shape[0] <= p
    distinct = _codes_of_rows(C) if few else None
    if distinct is not None and distinct.max(initial=0) + 1 == p:
        return distinct, True
    if batch is not None:
        return np.unique(np.asarray(batch), return_inverse=True)[1], False
    groups = _groups(C[:, binary])
    if not groups:
        return np.zeros(n, dtype=np.int64), False
    combined = _codes_of_rows(C[:, binary])
    if combined is not None and combined.max() + 1 <= p and _all_fixed(combined, Q):
        return combined, False
    largest = max(groups, key=len)
    level = C[:, binary][:, largest] @ np.arange(1.0, len(largest) + 1.0)
    return np.unique(level, return_inverse=True)[1], False


def _inside_one(C, codes, B):
    """Which columns are zero outside one stratum."""
    held = [np.bincount(codes, weights=column != 0.0, minlength=B) > 0.0 for column in C.T]
    return np.sum(held, axis=1) <= 1


def _intercepts(Q, first):
    """Each stratum's intercept where it is in the span, else nothing."""
    local = []
    for lo, hi in pairwise(first):
        along = Q[lo:hi].sum(axis=0)
        fixed = hi > lo and abs(along @ along - (hi - lo)) <= _SAME * (hi - lo)
        local.append(np.full((hi - lo, int(fixed)), 1.0 / np.sqrt(max(hi - lo, 1))))
    return local


def _local(Q, first):
    """Orthonormal basis of what vanishes outside each stratum, within the span."""
    if first.size == 2:
        return [Q]
    local = []
    for lo, hi in pairwise(first):
        value, vector = np.linalg.eigh(Q[lo:hi].T @ Q[lo:hi])
        local.append(Q[lo:hi] @ vector[:, value > 1.0 - _SAME])
    return local


def _indicators(binary_columns, codes, order, Q):
    """Sets of cells whose number of treated is fixed: strata, 0/1 columns, and what factors
    leave."""
    n = codes.size
    sets = [codes == b for b in range(codes.max(initial=0) + 1)]
    sets += [column == 1.0 for column in binary_columns.T]
    for group in _groups(binary_columns):
        sets.append(binary_columns[:, group].sum(axis=1) == 0.0)
    sets = [member[order] for member in sets]
    sets = [member for member in sets if 0 < np.count_nonzero(member) < n and _fixed(member, Q)]
    return np.array(sets, dtype=bool).reshape(-1, n)
