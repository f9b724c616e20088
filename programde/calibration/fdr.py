"""Multiple testing: q-values over all tests that were made.

Benjamini and Hochberg (1995, J. R. Stat. Soc. B 57:289), m p-values sorted upwards:

    q_(i) = min over j >= i of min(1, m p_(j) / j)

Storey (2002, J. R. Stat. Soc. B 64:479) multiplies by an estimate of the share of true nulls,

    pi0(l) = min(1, (1 + #{p > l}) / (m (1 - l)))

in which the 1 makes the estimate conservative in small samples (Storey, Taylor and Siegmund 2004,
J. R. Stat. Soc. B 66:187). A small l counts changed tests among the nulls, a large l leaves few
p-values to count. Of l = 0.05, 0.10, ... the first is taken at which the estimate no longer falls
(right-boundary procedure: Liang and Nettleton 2012, J. R. Stat. Soc. B 74:163), since what it
stops at is not the luckiest of all estimates. The choice by smallest estimated mean square error
(the bootstrap of Storey et al.) is: 200 tests, half of them changed, gave a false discovery rate
of 0.121 at q <= 0.1 with it, and 0.096 with this rule.

NaN stay NaN and do not count in m; likewise tests that are left out on purpose.
"""

from __future__ import annotations

import numpy as np

from programde.errors import InputError, OptionError

#: Values of lambda among which `storey` chooses.
LAMBDAS = np.round(np.arange(0.05, 0.951, 0.05), 2)
_LARGEST_LATTICE = 20_000


def benjamini_hochberg(p: np.ndarray, include: np.ndarray | None = None) -> np.ndarray:
    """Benjamini-Hochberg adjusted p-values.

    Parameters
    ----------
    p : any shape
        P-values in [0, 1]; NaN where no test was made.
    include : bool, broadcastable to `p`
        Tests that take part; all where not given. To leave out whole units of a (G, K) array
        give shape (G, 1).

    Returns
    -------
    np.ndarray, shape of `p`, float64
        NaN where `p` is NaN or the test does not take part.

    Raises
    ------
    InputError
        If a p-value that takes part lies outside [0, 1].
    """
    p, used = _checked(p, include)
    q = np.full(p.shape, np.nan)
    q[used] = _step_up(p[used])
    return q


def storey(
    p: np.ndarray,
    lambdas: float | np.ndarray = LAMBDAS,
    include: np.ndarray | None = None,
) -> np.ndarray:
    """Storey's q-values: Benjamini-Hochberg's times the estimated share of true nulls.

    Parameters
    ----------
    p, include
        As in `benjamini_hochberg`.
    lambdas
        One value in [0, 1), or several from which one is chosen; 0 gives Benjamini-Hochberg. At
        one value the rate of false discoveries is controlled in finite samples too, if the null
        p-values are independent.

    Returns
    -------
    np.ndarray, shape of `p`, float64

    Raises
    ------
    InputError
        If a p-value that takes part lies outside [0, 1].
    OptionError
        If a lambda lies outside [0, 1).
    """
    p, used = _checked(p, include)
    q = np.full(p.shape, np.nan)
    q[used] = _pi0(p[used], lambdas) * _step_up(p[used])
    return q


def storey_pi0(
    p: np.ndarray,
    lambdas: float | np.ndarray = LAMBDAS,
    include: np.ndarray | None = None,
) -> float:
    """Estimated share of true nulls among the tests, the factor in `storey`; NaN without tests.

    Parameters and errors as `storey`.
    """
    p, used = _checked(p, include)
    return _pi0(p[used], lambdas)


def _checked(p: np.ndarray, include: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """P-values as float64 and which of them take part."""
    p = np.asarray(p, dtype=np.float64)
    used = ~np.isnan(p)
    if include is not None:
        used &= np.broadcast_to(np.asarray(include, dtype=bool), p.shape)
    outside = int(np.count_nonzero((p[used] < 0) | (p[used] > 1)))
    if outside:
        raise InputError(f"{outside} p-values lie outside [0, 1]; give p-values or NaN")
    return p, used


def _step_up(p: np.ndarray) -> np.ndarray:
    m = p.size
    order = np.argsort(p, kind="stable")
    scaled = p[order] * m / np.arange(1, m + 1)
    q = np.empty(m)
    q[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return q


def _pi0(p: np.ndarray, lambdas: float | np.ndarray) -> float:
    levels = np.atleast_1d(np.asarray(lambdas, dtype=np.float64))
    if levels.size == 0 or not ((levels >= 0) & (levels < 1)).all():
        raise OptionError(f"lambdas={lambdas!r}: give one or more values in [0, 1)")
    m = p.size
    if m == 0:
        return float("nan")
    levels = np.sort(levels)
    above = m - np.searchsorted(np.sort(p), levels, side="right")
    # at lambda = 0 the share is 1 by definition, p-values of exactly 0 or not
    estimate = np.where(levels > 0, np.minimum(1.0, (1 + above) / (m * (1 - levels))), 1.0)
    stops = np.nonzero(np.diff(estimate) >= 0)[0] + 1
    return float(estimate[stops[0] if stops.size else -1])


def is_bh_adjusted_like(p: np.ndarray) -> bool:
    """True where values look like Benjamini-Hochberg adjusted p-values rather than p-values.

    A QQ plot of adjusted values says nothing about calibration, and they are easily passed by
    mistake. Every non-decreasing vector in [0, 1] is the adjustment of some p-values, so no test
    can be certain; this one reads the trace that the running minimum leaves. Among true nulls
    m p_(j) / j wanders about one level, and its running minimum has long plateaus: many values are
    exactly equal. P-values from a continuous law have no ties. Counted p-values have, but theirs
    are all multiples of one 1/n, n = B + 1, and those of plateaus, m p_(j) / j for many j, are not.

    Parameters
    ----------
    p : any shape
        Values to look at; NaN are skipped. Values of exactly 1 are skipped too: they stand for
        tests that could not be made as well as for capped ones.

    Returns
    -------
    bool
        True where at least 20 values are left and either more than half of them are one value
        above 0.5, or at least a fifth of them equal another one and the repeated values are not
        multiples of one 1/n with n up to 20,000. Not recognised: adjusted values of which nearly
        all are discoveries, since those have hardly a plateau.
    """
    values = np.asarray(p, dtype=np.float64).ravel()
    values = values[np.isfinite(values) & (values != 1.0)]
    if values.size < 20 or (values < 0).any() or (values > 1).any():
        return False
    distinct, counts = np.unique(values, return_counts=True)
    if 2 * counts.max() > values.size and distinct[np.argmax(counts)] > 0.5:
        return True
    repeated = counts > 1
    if counts[repeated].sum() < 0.2 * values.size:
        return False
    return not _on_a_lattice(distinct[repeated])


def _on_a_lattice(values: np.ndarray) -> bool:
    """Whether all values are multiples of one 1/n, n <= 20,000, up to rounding."""
    n = np.arange(1.0, _LARGEST_LATTICE + 1)
    for value in values:
        multiple = n * value
        n = n[np.abs(multiple - np.round(multiple)) < 1e-9]
        if n.size == 0:
            return False
    return True
