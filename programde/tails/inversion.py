"""Inversion for one test under Bernoulli draws, with few draws and curved events done exactly.

Cells with p > 1/2 are followed by their absence (x -> 1 - x, a -> -a), so that "no cell" is the
most probable draw even where propensities separate. Draws of no and of exactly one cell are
counted one by one; draws of two or more go through the contour integral of `contour`,
on a contour that suits them. The draw without any treated cell is left to the caller: its
statistic is 0 by definition. `curvature_shift` is the expectation that moves the threshold of an
event that is not quite linear (see `bernoulli`).
"""

from __future__ import annotations

import numpy as np

from programde.compiled import njit
from programde.tails.bernoulli_kernels import FAST, exponential, tilted_slopes, tilted_sums
from programde.tails.contour import log_tail
from programde.tails.contour_grid import FREE, SMALL_ODDS, make_terms

ENUMERATED = 18  # up to so many cells every draw is looked at
_ALL_CELLS = np.int64(3000)  # no more cells of small odds than this are taken one by one


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy", forceinline=True)
def _pair_slope(a, p, c):
    """log(e^L - 1 - L1) and its slope at c: the law of draws of two or more cells.

    L = sum log(1 + o e^(c a)), L1 = sum o e^(c a), o = p / (1 - p).
    """
    total = 0.0
    slope = 0.0
    first = 0.0
    first_slope = 0.0
    for i in range(a.size):
        o = p[i] / (1.0 - p[i]) * exponential(c * a[i])
        total += np.log1p(o)
        slope += a[i] * o / (1.0 + o)
        first += o
        first_slope += a[i] * o
    rest = np.expm1(total) - first
    return np.log(rest), (slope * np.exp(total) - first_slope) / rest


@njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
def choose_contour(a, p, s, c, pairs):
    """A contour near the saddlepoint of the law, or with `pairs` that of two or more cells.

    Any c > 0 gives the same integral, but far from the saddlepoint as a small remainder of large
    terms. Returns c in [0.3, 60].
    """
    low = 0.3
    high = np.inf
    for _ in range(40):
        if pairs:
            value, slope = _pair_slope(a, p, c)
            near = 0.0
            usable = np.isfinite(value) and np.isfinite(slope)
        else:
            slope, spread, _ = tilted_slopes(a, p, c)
            near = np.sqrt(spread)
            usable = spread > 1e-60
        if usable and abs(slope - s) < near:
            break
        if usable and slope < s:
            low = c
        else:
            high = c
        if np.isinf(high):
            if c >= 60.0:
                break
            c = min(2.0 * c, 60.0)
            continue
        if high - low < 0.1 * high:
            return low
        c = 0.5 * (low + high)
    return c


@njit(nogil=True, cache=True, error_model="numpy")
def count_single(a, p, s, log_none, g, square, cross, constant):
    """P(exactly one cell is drawn and its draw reaches s), curvature g included."""
    total = 0.0
    for i in range(a.size):
        reached = a[i]
        if g != 0.0:
            reached += g * (square[i] - 2.0 * cross[i] + constant)
        if reached >= s:
            total += p[i] / (1.0 - p[i])
    return total * np.exp(log_none)


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy", forceinline=True)
def _tilted(a, p, c, t):
    """Fill t with the tilted probabilities."""
    for i in range(a.size):
        e = p[i] * exponential(c * a[i])
        t[i] = e / (1.0 - p[i] + e)


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy", forceinline=True)
def _dot(x, y):
    total = 0.0
    for i in range(x.size):
        total += x[i] * y[i]
    return total


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy", forceinline=True)
def _diagonal_terms(p, t, square, cross, none):
    """(sum (square - 2 cross) (t - none o), sum square t^2, sum o), o the tilted odds."""
    linear = 0.0
    diagonal = 0.0
    odds = 0.0
    for i in range(p.size):
        o = t[i] / (1.0 - t[i])
        linear += (square[i] - 2.0 * cross[i]) * (t[i] - none * o)
        diagonal += square[i] * t[i] * t[i]
        odds += o
    return linear, diagonal, odds


@njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
def curvature_shift(a, p, c, Bt, square, cross, constant, none):
    """E~ ||B'(x - p)||^2 - E ||B'(x - p)||^2 under the law tilted by c.

    Bt (q, n) = B', square (n,) = sum_j B_ij^2, cross = B B'p, constant = ||B'p||^2 - sum p (1 - p)
    square; none = the tilted probability of no cell, 0 where draws of no or one cell are not
    taken out.
    """
    t = np.empty(a.size)
    _tilted(a, p, c, t)
    linear, diagonal, odds = _diagonal_terms(p, t, square, cross, none)
    pairs = 0.0
    for j in range(Bt.shape[0]):
        pairs += _dot(Bt[j], t) ** 2
    return (linear + pairs - diagonal) / (1.0 - none * (1.0 + odds)) + constant


@njit(nogil=True, cache=True, error_model="numpy")
def enumerate_draws(a, p, s, flipped, g, Bt, square, cross, constant):
    """P(S >= s) over all 2^n draws, one cell changed at a time (Gray code), curvature included.

    flipped (n,) bool marks cells whose x is followed as 1 - x. The draws of no and of all cells,
    in which no statistic is defined, are left out.
    """
    n = a.size
    q = Bt.shape[0]
    drawn = np.zeros(n, dtype=np.bool_)
    sums = np.zeros(q)
    value = 0.0
    inner = 0.0
    log_p = 0.0
    treated = 0
    for i in range(n):
        log_p += np.log1p(-p[i])
        treated += flipped[i]
    result = 0.0
    for step in range(1 << n):
        if step > 0:
            i = 0
            while not (step >> i) & 1:
                i += 1
            sign = -1.0 if drawn[i] else 1.0
            drawn[i] = not drawn[i]
            value += sign * a[i]
            log_p += sign * (np.log(p[i]) - np.log1p(-p[i]))
            treated += 1 if drawn[i] != flipped[i] else -1
            if g != 0.0:
                inner += sign * cross[i]
                for j in range(q):
                    sums[j] += sign * Bt[j, i]
        if treated == 0 or treated == n:
            continue
        reached = value
        if g != 0.0:
            reached += g * (constant - 2.0 * inner)
            for j in range(q):
                reached += g * sums[j] * sums[j]
        if reached >= s:
            result += np.exp(log_p)
    return result


@njit(nogil=True, cache=True, error_model="numpy")
def invert_bernoulli(
    a, p, s, l, log_none, odds_sum, tolerance, flipped, any_flipped, g, Bt, square, cross, constant
):
    """log P(S >= s, at least one cell) by inversion, s anywhere in the support.

    a, p (n,) with p <= 1/2 (`flipped` cells count as drawn when they are not), a in units of the
    sum's standard deviation; l the saddlepoint or a guess of it; log_none = `log_no_cell(p)`,
    odds_sum = sum p / (1 - p); tolerance the rounding of s within which a draw counts as
    reaching it; g and Bt, square, cross, constant the curvature (`curvature_shift`; g = 0: none).
    Returns (log p, relative difference from half the nodes, nodes (negative: blurred), failed);
    log p is -inf where no draw was found to reach s.
    """
    n = a.size
    if n <= ENUMERATED:
        total = enumerate_draws(a, p, s - tolerance, flipped, g, Bt, square, cross, constant)
        return (np.log(total) if total > 0.0 else -np.inf), 0.0, 0, 0
    c = choose_contour(a, p, s, max(l, 0.7), False)
    k0, _, k2, _, _, _, _ = tilted_sums(a, p, c)
    log_rest = k0 - log_none
    alone = 0.0
    # draws of no or one cell are taken apart wherever they may be a part of the tail
    split = log_none + np.log1p(odds_sum) > min(k0 - c * s, 0.0) - 16.0
    if split:
        alone = count_single(a, p, s - tolerance, log_none, g, square, cross, constant)
        if any_flipped and g * constant >= s - tolerance:
            alone += np.exp(log_none)
        # P(two or more cells) <= (sum p)^2 / 2
        if 0.5 * odds_sum * odds_sum < 1e-3 * alone:
            return np.log(alone), 0.0, 0, 0
        if log_rest < 4.0:
            c = choose_contour(a, p, s, c, True)
            k0, _, k2, _, _, _, _ = tilted_sums(a, p, c)
            log_rest = k0 - log_none
    if g != 0.0:
        none = np.exp(-log_rest) if split else 0.0
        s -= g * curvature_shift(a, p, c, Bt, square, cross, constant, none)
    odds = np.empty(n)
    second = 0.0
    fourth = 0.0
    mass = 0.0
    for i in range(n):
        odds[i] = p[i] / (1.0 - p[i]) * exponential(c * a[i])
        q = odds[i] / (1.0 + odds[i]) ** 2
        mass += q
        second += q * a[i] * a[i]
        fourth += q * a[i] ** 4
    # with few draws the spread is that of a sum of at least two cells
    sd = np.sqrt(max(k2, 2.0 * second / max(mass, 1e-300)))
    if not (sd > 0.0 and fourth > 0.0):
        return (np.log(alone) if alone > 0.0 else -np.inf), 0.0, 0, 0 if alone > 0.0 else 1
    first = np.zeros(2, dtype=np.int64)
    first[1] = n
    limit = np.full(1, SMALL_ODDS)
    totals = np.full(1, -1)
    kinds = np.full(1, FREE)
    terms = make_terms(a, odds, first, limit, _ALL_CELLS)
    return log_tail(
        terms, totals, kinds, c, s - tolerance, sd, np.sqrt(fourth / second),
        k0 - c * (s - tolerance), log_rest if split else np.inf, alone, 0.0,
    )  # fmt: skip
