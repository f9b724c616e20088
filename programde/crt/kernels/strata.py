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


#: Propensities whose doubles agree in the bits above these (exponent and 10 of the mantissa: to one
#: part in a thousand) are one value to `expected_bins`.
LIKE = np.int64(42)
#: Moves the borders between such values off the round numbers, where propensities of a few levels
#: lie and rounding would decide. About .382 of their distance.
OFF_ROUND = np.int64(1_680_022_000_537)
#: Propensities below this count as this much.
LEAST = 2.0**-40


@njit(nogil=True, cache=True, error_model="numpy")
def expected_bins(
    p, order, starts, most, treated_wanted, untreated_wanted, codes, cells, expected
):  # pragma: no cover - compiled
    """Cut each parent's cells at quantiles of their cumulated propensity.

    Parent s holds the cells order[starts[s]:starts[s + 1]], E = sum of p of them expected to be
    treated and U = sum of 1 - p not to be. It is cut into
    B = min(most, E / treated_wanted, U / untreated_wanted) bins, rounded down, at least 1. A value
    of p belongs to the bin in which the middle of its share of E lies, so like values are never
    parted, in whatever order the cells come.

    codes[i] = s * most + bin of cell i; `cells` and `expected` sum each code's cells and p.
    """
    for s in range(starts.size - 1):
        first, last = starts[s], starts[s + 1]
        if first == last:
            continue
        lowest, highest, total = 1.0, LEAST, 0.0
        for j in range(first, last):
            value = max(p[order[j]], LEAST)
            lowest, highest = min(lowest, value), max(highest, value)
            total += value
        ends = np.array([lowest, highest]).view(np.int64)
        base = (ends[0] + OFF_ROUND) >> LIKE
        share = np.zeros(((ends[1] + OFF_ROUND) >> LIKE) - base + 1)
        values = np.empty(last - first)
        for j in range(first, last):
            values[j - first] = max(p[order[j]], LEAST)
        bits = values.view(np.int64)
        for j in range(values.size):
            share[((bits[j] + OFF_ROUND) >> LIKE) - base] += values[j]
        n_bins = min(float(most), total / treated_wanted, (values.size - total) / untreated_wanted)
        n_bins = max(1.0, np.floor(n_bins))
        bin_of = np.empty(share.size, np.int64)
        before = 0.0
        for b in range(share.size):
            place = n_bins * (before + 0.5 * share[b]) / total
            bin_of[b] = min(np.int64(place + 1e-9), np.int64(n_bins) - 1)
            before += share[b]
        for j in range(values.size):
            i = order[first + j]
            code = s * most + bin_of[((bits[j] + OFF_ROUND) >> LIKE) - base]
            codes[i] = code
            cells[code] += 1
            expected[code] += values[j]


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
