"""Sorting cells into strata: bins by edges, and a counting sort, compiled."""

from __future__ import annotations

import numpy as np

from programde.compiled import njit

CHUNK = 1024


@njit(nogil=True, cache=True, error_model="numpy")
def bins_by_edges(values, edges, codes):  # pragma: no cover - compiled
    """codes[i] = number of `edges` (ascending) that are <= values[i]."""
    for first in range(0, values.size, CHUNK):
        some = values[first : first + CHUNK]
        code = codes[first : first + CHUNK]
        for i in range(some.size):
            code[i] = 0
        for e in range(edges.size):
            edge = edges[e]
            for i in range(some.size):
                code[i] += np.int32(some[i] >= edge)


#: Bits of a double that `order_statistics` sorts into buckets by: exponent and 8 of the mantissa.
SHIFT = np.int64(44)


@njit(nogil=True, cache=True, error_model="numpy")
def order_statistics(values, ranks, out):  # pragma: no cover - compiled
    """out[j] = the ranks[j]-th smallest (from 0) of positive `values`; `ranks` ascending.

    Buckets by the leading bits, which order as the doubles do, then sorts only the buckets that
    hold a wanted rank: one quarter of the time of a full sort.
    """
    bits = values.view(np.int64)
    smallest, largest = bits[0], bits[0]
    for i in range(bits.size):
        smallest = min(smallest, bits[i])
        largest = max(largest, bits[i])
    base = smallest >> SHIFT
    n_buckets = (largest >> SHIFT) - base + 1
    ends = np.zeros(n_buckets + 1, np.int64)
    for i in range(bits.size):
        ends[(bits[i] >> SHIFT) - base + 1] += 1
    for b in range(n_buckets):
        ends[b + 1] += ends[b]
    # slot[b]: where the wanted bucket b is gathered; -1 for the others
    slot = np.full(n_buckets, -1, np.int64)
    gathered = np.int64(0)
    b = 0
    for j in range(ranks.size):
        while ends[b + 1] <= ranks[j]:
            b += 1
        if slot[b] < 0:
            slot[b] = gathered
            gathered += ends[b + 1] - ends[b]
    pool = np.empty(gathered, np.float64)
    fill = slot.copy()
    for i in range(bits.size):
        at = (bits[i] >> SHIFT) - base
        if fill[at] >= 0:
            pool[fill[at]] = values[i]
            fill[at] += 1
    b = 0
    ready = -1
    for j in range(ranks.size):
        while ends[b + 1] <= ranks[j]:
            b += 1
        first = slot[b]
        if ready != b:
            pool[first : first + ends[b + 1] - ends[b]].sort()
            ready = b
        out[j] = pool[first + ranks[j] - ends[b]]


@njit(nogil=True, cache=True, error_model="numpy")
def stratum_codes(bins, n_bins, batch, burden, n_burden, codes, sizes):  # pragma: no cover
    """codes[i] = (batch, bin, burden bin) as one number; `sizes` counts the cells of each."""
    for i in range(bins.size):
        code = (batch[i] * n_bins + bins[i]) * n_burden + burden[i]
        codes[i] = code
        sizes[code] += 1


@njit(nogil=True, cache=True, error_model="numpy")
def counting_sort(codes, renumber, starts, order):  # pragma: no cover - compiled
    """`order` lists cells by stratum, ascending within one; `renumber` maps codes to strata.

    starts[s] is where stratum s begins; `codes` are replaced by strata.
    """
    fill = starts.copy()
    for i in range(codes.size):
        stratum = renumber[codes[i]]
        codes[i] = stratum
        order[fill[stratum]] = i
        fill[stratum] += 1
