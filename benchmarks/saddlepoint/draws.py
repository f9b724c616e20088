"""Exact draws of both statistics under both samplers, counted against thresholds as they come.

Written apart from the library's samplers, so that the truth does not share their code. Two ways:

* plain draws: the share of draws with T >= t;
* importance draws from the law tilted towards t, each weighted with its exact likelihood ratio:
  unbiased whatever the tilt, and precise at probabilities of which plain draws see nothing.

In either, T is the statistic itself, not its linearisation.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def _next(state):
    """xorshift64*: a uniform in (0, 1); state (1,) uint64, never 0."""
    x = state[0]
    x ^= x >> np.uint64(12)
    x ^= x << np.uint64(25)
    x ^= x >> np.uint64(27)
    state[0] = x
    return ((x * np.uint64(2685821657736338717)) >> np.uint64(11)) * 1.1102230246251565e-16 + 5e-17


@njit(nogil=True, cache=True, fastmath=True)
def _add(total, rows, i):
    for d in range(rows.shape[1]):
        total[d] += rows[i, d]


@njit(nogil=True, cache=True)
def _statistics(total, count, n_cells, n_programs, n_basis, T):
    """T (2 n_programs,): OLS coefficients, then rank-biserial effects; 0 where undefined.

    total holds the sums of residuals, centred ranks, basis and log ratio over the drawn cells.
    """
    d = float(count)
    for j in range(2 * n_programs, 2 * n_programs + n_basis):
        d -= total[j] * total[j]
    pairs = count * (n_cells - count)
    for k in range(n_programs):
        T[k] = total[k] / d if d > 1e-9 * count else 0.0
        T[n_programs + k] = 2.0 * total[n_programs + k] / pairs if pairs > 0 else 0.0


@njit(nogil=True, cache=True)
def _tally(T, weight, upper, lower, hits, squares):
    """Add a draw to hits and squares (2, 2K, L): T >= upper (2K, L) and T <= lower (2K, L)."""
    for j in range(T.size):
        for level in range(upper.shape[1]):
            if T[j] >= upper[j, level] - 1e-9 * abs(upper[j, level]):
                hits[0, j, level] += weight
                squares[0, j, level] += weight * weight
            if T[j] <= lower[j, level] + 1e-9 * abs(lower[j, level]):
                hits[1, j, level] += weight
                squares[1, j, level] += weight * weight


@njit(nogil=True, cache=True)
def bernoulli_draws(p, rows, n_programs, n_basis, constant, n_draws, seed, upper, lower):
    """Tail sums of independent draws x_i ~ Bernoulli(p_i).

    Parameters
    ----------
    p : (n,)
        In descending order, cut into blocks of nearly equal p: geometric skips by the block's
        largest p, then thinning.
    rows : (n, 2 K + q + 1)
        Residuals, centred ranks, basis, log likelihood ratio of a drawn cell.
    constant : float
        Log likelihood ratio of drawing no cell.
    n_draws, seed
    upper, lower : (2 K, L)

    Returns
    -------
    hits, squares : (2, 2 K, L)
        Sums of weights and of their squares.
    """
    n = p.size
    begins = [0]
    for i in range(n):
        if p[i] < 0.75 * p[begins[-1]]:
            begins.append(i)
    begins.append(n)
    blocks = np.array(begins)
    state = np.empty(1, dtype=np.uint64)
    state[0] = np.uint64(seed) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(1)
    skip_scale = np.empty(blocks.size - 1)
    for b in range(skip_scale.size):
        skip_scale[b] = 1.0 / np.log1p(-min(p[blocks[b]], 1.0 - 1e-15))
    hits = np.zeros((2, 2 * n_programs, upper.shape[1]))
    squares = np.zeros_like(hits)
    total = np.empty(rows.shape[1])
    T = np.empty(2 * n_programs)
    last = rows.shape[1] - 1
    for _ in range(n_draws):
        total[:] = 0.0
        count = 0
        for b in range(skip_scale.size):
            i, end = blocks[b], blocks[b + 1]
            top = p[i]
            while True:
                skip = np.log(_next(state)) * skip_scale[b]
                if skip >= end - i:
                    break
                i += int(skip)
                if _next(state) * top < p[i]:
                    _add(total, rows, i)
                    count += 1
                i += 1
        _statistics(total, count, n, n_programs, n_basis, T)
        _tally(T, np.exp(constant + total[last]), upper, lower, hits, squares)
    return hits, squares


@njit(nogil=True, cache=True)
def stratified_draws(
    starts, totals, rows, n_programs, n_basis, constant, accept, alias, n_draws, seed, upper, lower
):
    """Tail sums of draws of totals[s] cells without replacement from each stratum.

    rows are in the order of the strata. accept, alias (n,) are Walker tables of each stratum's
    odds: with unequal odds a stratum is drawn with replacement until no cell comes twice, which
    is the conditional Poisson law; empty tables mean equal odds (partial shuffle).
    Returns as `bernoulli_draws`.
    """
    n = rows.shape[0]
    state = np.empty(1, dtype=np.uint64)
    state[0] = np.uint64(seed) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(1)
    hits = np.zeros((2, 2 * n_programs, upper.shape[1]))
    squares = np.zeros_like(hits)
    total = np.empty(rows.shape[1])
    T = np.empty(2 * n_programs)
    last = rows.shape[1] - 1
    places = np.arange(n)
    seen = np.full(n, -1)
    stamp = 0
    tilted = accept.size > 0
    for _ in range(n_draws):
        total[:] = 0.0
        count = 0
        for s in range(totals.size):
            lo = starts[s]
            size = starts[s + 1] - lo
            m = totals[s]
            count += m
            if not tilted:
                for j in range(m):
                    other = lo + j + int(_next(state) * (size - j))
                    places[lo + j], places[other] = places[other], places[lo + j]
                    _add(total, rows, places[lo + j])
                continue
            j = 0
            stamp += 1
            while j < m:
                u = _next(state) * size
                i = int(u)
                i = lo + (i if u - i < accept[lo + i] else alias[lo + i])
                if seen[i] == stamp:
                    j = 0
                    stamp += 1
                    continue
                seen[i] = stamp
                places[lo + j] = i
                j += 1
            for j in range(m):
                _add(total, rows, places[lo + j])
        _statistics(total, count, n, n_programs, n_basis, T)
        _tally(T, np.exp(constant + total[last]), upper, lower, hits, squares)
    return hits, squares


@njit(nogil=True, cache=True)
def walker(starts, odds):
    """Walker's alias tables (accept, alias) of each stratum's odds."""
    accept = np.ones(odds.size)
    alias = np.zeros(odds.size, dtype=np.int64)
    for s in range(starts.size - 1):
        lo, hi = starts[s], starts[s + 1]
        size = hi - lo
        share = odds[lo:hi] * (size / odds[lo:hi].sum())
        small = [0 for _ in range(0)]
        large = [0 for _ in range(0)]
        for i in range(size):
            if share[i] < 1.0:
                small.append(i)
            else:
                large.append(i)
        while len(small) > 0 and len(large) > 0:
            i = small.pop()
            j = large[-1]
            accept[lo + i] = share[i]
            alias[lo + i] = j
            share[j] -= 1.0 - share[i]
            if share[j] < 1.0:
                small.append(large.pop())
    return accept, alias


@njit(nogil=True, cache=True)
def log_symmetric(starts, totals, odds):
    """sum over strata of log [ e_m(odds) / C(n, m) ], by the recurrence over cells, rescaled."""
    result = 0.0
    for s in range(totals.size):
        lo, hi, m = starts[s], starts[s + 1], totals[s]
        e = np.zeros(m + 1)
        e[0] = 1.0
        scale = 0.0
        mean = odds[lo:hi].mean()
        for i in range(lo, hi):
            for j in range(min(m, i - lo + 1), 0, -1):
                e[j] += odds[i] / mean * e[j - 1]
            top = e.max()
            if top > 1e200:
                e /= top
                scale += np.log(top)
        result += np.log(e[m]) + scale + m * np.log(mean)
        for j in range(m):
            result -= np.log((hi - lo - j) / (j + 1.0))
    return result
