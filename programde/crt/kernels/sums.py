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
from programde.crt.kernels.random_numbers import fill_swaps, new_stream, resamples_holding
from programde.crt.kernels.rows import CACHE_LINE, LANES, add_rows, add_vector

OPTIONS = {"nogil": True, "cache": True, "error_model": "numpy"}


@njit(**OPTIONS)
def bernoulli_sums(gap, rows, n_draws, key, sums, counts):  # pragma: no cover - compiled
    """Add to `sums` (B, D) float32 and `counts` (B,) int64; `rows` (n, D), `gap` (n,)."""
    width = rows.shape[1]
    flat = rows.reshape(rows.size)
    total = sums.reshape(sums.size)
    stream = new_stream(key)
    hits = np.empty(n_draws, np.int64)
    for i in range(gap.size):
        found = resamples_holding(gap[i], n_draws, stream, hits)
        start = i * width
        for j in range(found):
            counts[hits[j]] += 1
            at = hits[j] * width
            for d in range(0, width, LANES):
                add_vector(total, at + d, flat, start + d)


@njit(**OPTIONS)
def bernoulli_indices(gap, n_draws, key):  # pragma: no cover - compiled
    """The draws of `bernoulli_sums` as (indptr (B + 1,), indices), cells ascending."""
    hits = np.empty(n_draws, np.int64)
    counts = np.zeros(n_draws + 1, np.int64)
    stream = new_stream(key)
    for i in range(gap.size):
        for j in range(resamples_holding(gap[i], n_draws, stream, hits)):
            counts[hits[j] + 1] += 1
    indptr = np.cumsum(counts)
    indices = np.empty(indptr[-1], np.int64)
    fill = indptr[:-1].copy()
    stream = new_stream(key)
    for i in range(gap.size):
        for j in range(resamples_holding(gap[i], n_draws, stream, hits)):
            indices[fill[hits[j]]] = i
            fill[hits[j]] += 1
    return indptr, indices


@njit(inline="always")
def shuffle(cells, size, m, counter, swaps):  # pragma: no cover - compiled
    """Partial Fisher-Yates: cells[:m] become a simple random sample of cells[:size]."""
    fill_swaps(counter, size, m, swaps)
    for j in range(m):
        k = swaps[j]
        chosen = cells[k]
        cells[k] = cells[j]
        cells[j] = chosen


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
    swaps = np.empty(largest, np.int64)
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
        for b in range(n_draws):
            shuffle(cells, size, m, counter, swaps)
            add_rows(total, b * width, flat, cells, m, width)


@njit(**OPTIONS)
def stratified_indices(order, starts, totals, n_draws, key):  # pragma: no cover - compiled
    """The draws of `stratified_sums` as (indptr (B + 1,), indices), unsorted within a draw."""
    n1 = totals.sum()
    indptr = np.arange(n_draws + 1) * n1
    indices = np.empty(n_draws * n1, np.int64)
    counter = np.empty(1, np.uint64)
    counter[0] = np.uint64(key)
    swaps = np.empty(order.size, np.int64)
    done = 0
    for s in range(totals.size):
        first, size, m = starts[s], starts[s + 1] - starts[s], totals[s]
        if m == 0:
            continue
        cells = order[first : first + size].copy()
        for b in range(n_draws):
            shuffle(cells, size, m, counter, swaps)
            for j in range(m):
                indices[indptr[b] + done + j] = cells[j]
        done += m
    return indptr, indices
