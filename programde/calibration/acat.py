"""One p-value per unit from its p-values over programs, without draws: a truncated Cauchy sum.

The Cauchy combination ACAT (Liu and Xie 2020, J. Am. Stat. Assoc. 115:393) averages cot(pi p_k).
Under a wide class of dependences its tail is that of a Cauchy variable, so small p-values hold
without knowing how programs depend. But cot falls to minus infinity at p = 1: one p-value near 1
outweighs any number of hits. Two-sided p-values capped at 1, counted ones, and discrete statistics
reach 1 all the time. Taking p_k = 1 for 1 - 1/K, as Liu and Xie advise, mends one of them; seven
of them still turn a smallest p of 0.01 among 15 into more than 0.5.

So p-values above one half, which speak for nothing, are not let speak against:

    X = sum over k of w_k max(0, cot(pi p_k)),   sum of w_k = 1,   p = P(X0 >= X)

X0 is X for independent uniform p-values. Its law is used, not the Cauchy approximation, which
would be off by the factor 1 + O(log K / X) now that nothing cancels. max(0, cot(pi p)) has density
1 / (pi (1 + y^2)) for y > 0 and the Laplace transform

    L(s) = 1/2 + f(s) / pi,   f(s) = integral over y > 0 of exp(-s y) / (1 + y^2)

f being the auxiliary function of the sine and cosine integrals (Abramowitz and Stegun 5.2.7). On
the two sides of its cut L(-u) = 1/2 - f(u) / pi + exp(+-iu). Folding the inversion integral around
the cut, as Ramsay (2006, Commun. Stat. Theory Methods 35:2177) does for sums of Pareto variables,

    P(X0 > x) = 1/pi  integral over u > 0 of  exp(-u x) Im prod_k L_+(-w_k u) / u

whose integrand is of the size of the result however small that is. Below x = 0.75, where p is
above 0.4 and the integrand grows, the transform is inverted by Talbot's contour (Abate and Valko
2004, Int. J. Numer. Meth. Eng. 60:979). If no p-value is below one half, p = 1.

What holds
* Independent programs: exactly uniform, but for the atom 2^-K at 1.
* Never above min(1, c K min p). For K = 2, 5, 15, 60, 200, 1000 and equal weights c = 1.09, 1.28,
  1.67, 2.45, 3.31, 4.62, below 1 + log K throughout; the largest ratio is reached near K min p =
  0.25, and it falls to 1 with p: 1.06 and 1.08 at K min p = 0.01 with K = 15 and 60.
  Bonferroni's K min p is never above 1 K min p, but finds less where many programs shift a little
  (K = 60, every z shifted by 1.2, level 0.05: 63 against 86 %; one z shifted by 3.2: equal), and
  is conservative where programs depend (0.13 to 0.44 of nominal at correlation 0.9).
* Dependent programs, rates over nominal at 0.05, 0.01, 1e-3, 1e-4 (equicorrelated normal z,
  two-sided p; Monte Carlo error 1 to 9 %): K = 15, correlation 0.5: 1.08, 1.17, 1.14, 1.12
  (ACAT 1.23, 1.23, 1.16, 1.12); K = 60: 1.13, 1.26, 1.12, 1.02 (ACAT 1.34, 1.34, 1.13, 1.02).
  At correlation 0.9 0.84 to 1.25; at 0.2, and for centred log-ratios, whose programs are
  negatively correlated, 0.83 to 1.12. Tolerance to rely on: 1.35 times nominal. Where that is too
  much, the max statistic from draws (`programde.crt.max_statistic`) knows the dependence.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import special

from programde.errors import InputError

_SMALLEST_P = np.finfo(np.float64).tiny
_CONTOUR_BELOW = 0.75  # smaller combined statistics are inverted along Talbot's contour
_CAUCHY_ABOVE = 1e12  # there 1 / (pi x) is right to 1e-10
_MANY = 300  # p-values, from which on p above 0.9 is rounded up to 1
_ROWS = 4096  # at a time: 80 nodes each

# Integral of exp(-v) g(v) over v > 0 by the double exponential rule, v = exp(t - exp(-t)). With 80
# nodes the tail is right to 1e-14 for a g as smooth as here.
_T = np.linspace(-4.5, 4.2, 80)
_V = np.exp(_T - np.exp(-_T))
_V_WEIGHT = _V * (1.0 + np.exp(-_T)) * (_T[1] - _T[0]) * np.exp(-_V)


def acat(p: np.ndarray, axis: int = 1, weights: np.ndarray | None = None) -> np.ndarray:
    """Truncated Cauchy combination of p-values along an axis.

    Parameters
    ----------
    p : (G, K), or any shape that has `axis`
        P-values in [0, 1]. NaN are left out; their weight goes to the others. 0 is taken as
        2.2e-308. A single known p-value comes back as it is.
    axis
        Axis over which to combine.
    weights
        Non-negative, broadcastable to `p`; equal where not given.

    Returns
    -------
    np.ndarray
        Shape of `p` without `axis`; NaN where no p-value is known or no weight is positive.

    Raises
    ------
    InputError
        If a p-value lies outside [0, 1] or a weight is negative or not finite.

    Examples
    --------
    >>> import numpy as np, programde as pde
    >>> pde.acat(np.array([[0.01, 0.4, 0.99], [0.3, np.nan, np.nan]])).round(3).tolist()
    [0.032, 0.3]
    """
    p = np.asarray(p, dtype=np.float64)
    known = ~np.isnan(p)
    outside = int(np.count_nonzero(known & ~((p >= 0) & (p <= 1))))
    if outside:
        raise InputError(f"{outside} p-values lie outside [0, 1]; give p-values or NaN")
    weight = np.broadcast_to(1.0 if weights is None else np.asarray(weights, np.float64), p.shape)
    bad = int(np.count_nonzero(~((weight >= 0) & np.isfinite(weight))))
    if bad:
        raise InputError(f"{bad} weights are negative or not finite; give weights >= 0")
    p = np.moveaxis(p, axis, -1)
    weight = np.moveaxis(np.where(known, weight, 0.0), axis, -1)
    shape = p.shape[:-1]
    combined = _combine(p.reshape(-1, p.shape[-1]), weight.reshape(-1, p.shape[-1]))
    return combined.reshape(shape)


def _combine(p: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """One p-value for each row; a weight of 0 leaves its p-value out."""
    used = weight > 0
    n_used = used.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = weight / weight.sum(axis=1, keepdims=True)
        against = np.where(used, np.maximum(p, _SMALLEST_P), 1.0)
        cotangent = np.where(against < 0.5, 1.0 / np.tan(np.pi * against), 0.0)
    statistic = np.where(used, share * cotangent, 0.0).sum(axis=1)
    combined = np.ones(len(p))
    equal = np.where(used, share, 1.0).min(axis=1) * n_used > 1.0 - 1e-12
    several = (n_used > 1) & (statistic > 0)
    for rows, alike in ((several & equal, True), (several & ~equal, False)):
        found = np.flatnonzero(rows)
        for start in range(0, len(found), _ROWS):
            part = found[start : start + _ROWS]
            shares = None if alike else share[part]
            combined[part] = _tail(statistic[part], n_used[part], shares)
    one = n_used == 1
    combined[one] = np.where(used, p, 0.0).sum(axis=1)[one]
    combined[n_used == 0] = np.nan
    return np.maximum(combined, _SMALLEST_P)


def _tail(x: np.ndarray, n: np.ndarray, shares: np.ndarray | None) -> np.ndarray:
    """P(X0 > x) for `n` p-values of equal weight, or of the weights in the rows of `shares`."""
    alike = n if shares is None else 1.0 / (shares**2).sum(axis=1)
    # of very many p-values the sum is never so small, and there is no digit left to invert with
    sure = (alike > _MANY) & (x < np.log(alike) / np.pi - 1.0)
    with np.errstate(under="ignore"):
        tail = np.where(sure, 1.0, 1.0 / (np.pi * x))
        for rows, invert in (
            (~sure & (x >= _CONTOUR_BELOW) & (x < _CAUCHY_ABOVE), _around_cut),
            (~sure & (x < _CONTOUR_BELOW), _along_contour),
        ):
            if rows.any():
                tail[rows] = invert(x[rows], n[rows], None if shares is None else shares[rows])
    return np.clip(tail, 0.0, 1.0)


def _around_cut(x: np.ndarray, n: np.ndarray, shares: np.ndarray | None) -> np.ndarray:
    def above_cut(u: np.ndarray) -> np.ndarray:
        sine, cosine = special.sici(u)
        f = cosine * np.sin(u) + (np.pi / 2 - sine) * np.cos(u)
        return 0.5 - f / np.pi + np.exp(1j * u)

    transform = _product(above_cut, _V / x[:, None], n, shares)
    return (transform.imag / _V * _V_WEIGHT).sum(axis=1) / np.pi


def _along_contour(x: np.ndarray, n: np.ndarray, shares: np.ndarray | None) -> np.ndarray:
    least = 0.1 if shares is None else 0.1 * n * shares.max(axis=1)  # of the sum, not the mean
    reach = np.maximum(x, least / n)
    k = np.arange(1, 24)
    angle = k * np.pi / 24
    radius = 2 * 24 / 5
    node = np.r_[radius, radius * angle * (1 / np.tan(angle) + 1j)]
    turn = 1 + 1j * (angle + (angle / np.tan(angle) - 1) / np.tan(angle))
    weight = np.r_[0.5, turn] * np.exp(node)
    s = node / reach[:, None]
    transform = (1 - _product(_laplace, s, n, shares)) / s
    tail = 2 / (5 * reach) * (weight * transform).real.sum(axis=1)
    # below that the law is nearly flat: a straight line from the atom's edge
    edge = 1.0 - 0.5**n
    return edge + (tail - edge) * (x / reach)


def _laplace(s: np.ndarray) -> np.ndarray:
    """1/2 + f(s) / pi for Im s >= 0, continued to Re s < 0 across the imaginary axis."""
    first = np.exp(-1j * s) * special.exp1(-1j * s)
    second = special.exp1(1j * s) - np.where(s.real < 0, 2j * np.pi, 0.0)
    return 0.5 + (first - np.exp(1j * s) * second) / (2j * np.pi)


def _product(
    transform: Callable[[np.ndarray], np.ndarray],
    s: np.ndarray,
    n: np.ndarray,
    shares: np.ndarray | None,
) -> np.ndarray:
    """Transform of the weighted sum at the nodes `s` of each row."""
    if shares is None:
        return transform(s / n[:, None]) ** n[:, None]
    product = np.ones(s.shape, dtype=np.complex128)
    for k in range(shares.shape[1]):
        rows = shares[:, k] > 0
        product[rows] *= transform(s[rows] * shares[rows, k, None])
    return product
