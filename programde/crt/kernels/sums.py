"""Drawing resamples and summing rows over the treated cells, in one pass, without index lists.

`bernoulli_sums` goes cell by cell: the resamples that hold the cell are found by geometric skips
(no work for the resamples that do not), and the cell's row is added to their accumulators. The
B x D accumulators stay in the L2 cache and each row is read from memory once.

`stratified_sums` goes stratum by stratum: for each resample a partial Fisher-Yates shuffle of the
stratum draws exactly m_s of its n_s cells (a shuffle may go on from any permutation), whose rows
are added up in registers and then to that resample's accumulator. Work is proportional to B * n1.

The `*_indices` twins make the same draws and list them instead.
"""

from __future__ import annotations

import numpy as np

from programde.compiled import njit
from programde.crt.kernels.random_numbers import (
    BLOCK,
    END,
    ONE,
    fill_exponentials,
    fill_swaps,
    new_stream,
    next_holding,
)
from programde.crt.kernels.rows import CACHE_LINE, LANES, add_rows, add_vector

OPTIONS = {"nogil": True, "cache": True, "error_model": "numpy"}


@njit(**OPTIONS)
def bernoulli_sums(gap, rows, n_draws, key, sums, counts):  # pragma: no cover - compiled
    """Add to `sums` (B, D) float32 and `counts` (B,) int64; `rows` (n, D), `gap` (n,)."""
    width = rows.shape[1]
    flat = rows.reshape(rows.size)
    total = sums.reshape(sums.size)
    counter, exponentials, exponents = new_stream(key)
    at = END
    for i in range(gap.size):
        start = i * width
        b = np.int64(-1)
        while True:  # `next_holding`, written out: called, it takes three times as long
            if at == END:
                fill_exponentials(counter, exponentials, exponents)
                at = np.uint64(0)
            b += 1 + np.int64(exponentials[at] * gap[i])
            at += ONE
            if b >= n_draws:
                break
            counts[np.uint64(b)] += 1
            for d in range(0, width, LANES):
                add_vector(total, b * width + d, flat, start + d)


@njit(**OPTIONS)
def bernoulli_sums_at(
    gap, where, rows, tail, n_draws, key, sums, counts
):  # pragma: no cover - compiled
    """`bernoulli_sums` whose i-th row is rows[where[i]], or tail[where[i] - n] from n rows on.

    `sums` (B, E) has the width of `tail` (m, E), at least that of `rows` (n, D).
    """
    n, width = rows.shape
    stride = sums.shape[1]
    flat = rows.reshape(rows.size)
    further = tail.reshape(tail.size)
    total = sums.reshape(sums.size)
    counter, exponentials, exponents = new_stream(key)
    at = END
    for i in range(gap.size):
        place = np.int64(where[i])
        b = np.int64(-1)
        while True:
            if at == END:
                fill_exponentials(counter, exponentials, exponents)
                at = np.uint64(0)
            b += 1 + np.int64(exponentials[at] * gap[i])
            at += ONE
            if b >= n_draws:
                break
            counts[np.uint64(b)] += 1
            if place < n:
                for d in range(0, width, LANES):
                    add_vector(total, b * stride + d, flat, place * width + d)
            else:
                for d in range(0, stride, LANES):
                    add_vector(total, b * stride + d, further, (place - n) * stride + d)


@njit(**OPTIONS)
def bernoulli_indices(gap, n_draws, key):  # pragma: no cover - compiled
    """The draws of `bernoulli_sums` as (indptr (B + 1,), indices), cells ascending."""
    counts = np.zeros(n_draws + 1, np.int64)
    counter, exponentials, exponents = new_stream(key)
    at = END
    for i in range(gap.size):
        b, at = next_holding(-1, gap[i], at, counter, exponentials, exponents)
        while b < n_draws:
            counts[b + 1] += 1
            b, at = next_holding(b, gap[i], at, counter, exponentials, exponents)
    indptr = np.cumsum(counts)
    indices = np.empty(indptr[-1], np.int64)
    fill = indptr[:-1].copy()
    counter, exponentials, exponents = new_stream(key)
    at = END
    for i in range(gap.size):
        b, at = next_holding(-1, gap[i], at, counter, exponentials, exponents)
        while b < n_draws:
            indices[fill[b]] = i
            fill[b] += 1
            b, at = next_holding(b, gap[i], at, counter, exponentials, exponents)
    return indptr, indices


@njit(inline="always")
def shuffle(cells, m, swaps, first):  # pragma: no cover - compiled
    """Partial Fisher-Yates: cells[:m] become a simple random sample, by m swaps from `first` on."""
    for j in range(np.uint64(m)):
        k = swaps[np.uint64(first) + j]
        chosen = cells[k]
        cells[k] = cells[j]
        cells[j] = chosen


@njit(nogil=True, error_model="numpy")
def bounds_of(size, m, n_draws, bounds):  # pragma: no cover - compiled
    """Fill `bounds` for as many shuffles of m out of `size` as are made at once; how many."""
    at_once = max(1, min(bounds.size // m, n_draws))
    for b in range(at_once):
        for j in range(m):
            bounds[b * m + j] = np.uint64(size - j)
    return at_once


@njit(**OPTIONS)
def stratified_sums(order, starts, totals, rows, n_draws, key, sums):  # pragma: no cover - compiled
    """Add to `sums` (B, D) float32; strata are `order[starts[s]:starts[s + 1]]`."""
    width = rows.shape[1]
    total = sums.reshape(sums.size)
    counter = np.empty(1, np.uint64)
    counter[0] = np.uint64(key)
    largest = 0
    for s in range(totals.size):
        largest = max(largest, starts[s + 1] - starts[s])
    spare = np.empty(largest * width + LANES, np.float32)
    # on a cache line, as `rows.aligned_zeros`
    skip = (-spare.ctypes.data % CACHE_LINE) // 4
    flat = spare[skip:]
    cells = np.empty(largest, np.int64)
    bounds = np.empty(max(largest, BLOCK), np.uint64)
    swaps = np.empty(bounds.size, np.uint64)
    for s in range(totals.size):
        first, size, m = starts[s], starts[s + 1] - starts[s], totals[s]
        if m == 0:
            continue
        # rows side by side: drawing at random from pages all over `rows` is twice as slow
        for k in range(size):
            source = order[first + k]
            for d in range(width):
                flat[k * width + d] = rows[source, d]
            cells[k] = k * width
        at_once = bounds_of(size, m, n_draws, bounds)
        for begin in range(0, n_draws, at_once):
            end = min(begin + at_once, n_draws)
            fill_swaps(counter, size, bounds[: (end - begin) * m], swaps)
            for b in range(begin, end):
                shuffle(cells, m, swaps, (b - begin) * m)
                add_rows(total, b * width, flat, cells, m, width)


@njit(**OPTIONS)
def stratified_sums_at(
    order, starts, totals, where, rows, tail, n_draws, key, sums
):  # pragma: no cover - compiled
    """`stratified_sums` with rows as in `bernoulli_sums_at`."""
    n = rows.shape[0]
    stride = sums.shape[1]
    total = sums.reshape(sums.size)
    counter = np.empty(1, np.uint64)
    counter[0] = np.uint64(key)
    largest = 0
    for s in range(totals.size):
        largest = max(largest, starts[s + 1] - starts[s])
    spare = np.empty(largest * stride + LANES, np.float32)
    skip = (-spare.ctypes.data % CACHE_LINE) // 4
    flat = spare[skip:]
    cells = np.empty(largest, np.int64)
    bounds = np.empty(max(largest, BLOCK), np.uint64)
    swaps = np.empty(bounds.size, np.uint64)
    for s in range(totals.size):
        first, size, m = starts[s], starts[s + 1] - starts[s], totals[s]
        if m == 0:
            continue
        for k in range(size):
            source = np.int64(where[order[first + k]])
            target = flat[k * stride : (k + 1) * stride]
            copied = rows[source] if source < n else tail[source - n]
            for d in range(copied.size):
                target[d] = copied[d]
            for d in range(copied.size, stride):
                target[d] = 0.0
            cells[k] = k * stride
        at_once = bounds_of(size, m, n_draws, bounds)
        for begin in range(0, n_draws, at_once):
            end = min(begin + at_once, n_draws)
            fill_swaps(counter, size, bounds[: (end - begin) * m], swaps)
            for b in range(begin, end):
                shuffle(cells, m, swaps, (b - begin) * m)
                add_rows(total, b * stride, flat, cells, m, stride)


@njit(**OPTIONS)
def stratified_indices(order, starts, totals, n_draws, key):  # pragma: no cover - compiled
    """The draws of `stratified_sums` as (indptr (B + 1,), indices), unsorted within a draw."""
    n1 = totals.sum()
    indptr = np.arange(n_draws + 1) * n1
    indices = np.empty(n_draws * n1, np.int64)
    counter = np.empty(1, np.uint64)
    counter[0] = np.uint64(key)
    largest = 0
    for s in range(totals.size):
        largest = max(largest, starts[s + 1] - starts[s])
    bounds = np.empty(max(largest, BLOCK), np.uint64)
    swaps = np.empty(bounds.size, np.uint64)
    done = 0
    for s in range(totals.size):
        first, size, m = starts[s], starts[s + 1] - starts[s], totals[s]
        if m == 0:
            continue
        cells = order[first : first + size].copy()
        at_once = bounds_of(size, m, n_draws, bounds)
        for begin in range(0, n_draws, at_once):
            end = min(begin + at_once, n_draws)
            fill_swaps(counter, size, bounds[: (end - begin) * m], swaps)
            for b in range(begin, end):
                shuffle(cells, m, swaps, (b - begin) * m)
                for j in range(m):
                    indices[indptr[b] + done + j] = cells[j]
        done += m
    return indptr, indices
