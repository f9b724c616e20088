"""Ranks of all programs over the cells, ties averaged, by a radix sort, compiled.

The bits of a double, with the sign bit flipped where it is positive and all bits where it is
negative, order as unsigned integers do. A least-significant-digit radix sort takes them eleven
bits at a time and leaves out the digits that all cells share; comparison sorts take ten times as
long on the columns of a screen.

Neighbours that differ by rounding alone are tied. Floored usages are the floor over their cell's
sum, and clr values a difference of logarithms: cells that are equal by their data differ by a few
units in the last place, other ones on every processor. So values are tied where no step between
neighbours is above `TIED` such units, which is 9e-13 of their size at most.
"""

from __future__ import annotations

import numpy as np

from programde.compiled import njit

COLUMNS = 8
DIGIT = 11
SIZE = 1 << DIGIT
PASSES = 6
LOW = np.uint64(SIZE - 1)
SIGN = np.uint64(1 << 63)
S63 = np.uint64(63)
#: Units in the last place. Sums over a cell's programs are wrong by as many units as programs, at
#: most; a floor of 1e-6 sets cells with different numbers of floored programs 1e-6 apart.
TIED = np.uint64(4096)


@njit(nogil=True, cache=True, error_model="numpy")
def sort_keys(keys, places, other_keys, other_places, counts):  # pragma: no cover - compiled
    """Sort `keys` (n,) uint64 with `places`; True where the result is in the other arrays."""
    n = keys.size
    counts[:] = 0
    for i in range(n):
        key = keys[i]
        for digit in range(PASSES):
            counts[digit, (key >> np.uint64(DIGIT * digit)) & LOW] += 1
    swapped = False
    for digit in range(PASSES):
        shift = np.uint64(DIGIT * digit)
        place = counts[digit]
        source, from_places = keys, places
        target, to_places = other_keys, other_places
        if swapped:
            source, from_places = other_keys, other_places
            target, to_places = keys, places
        if place[(source[0] >> shift) & LOW] == n:
            continue
        total = 0
        for d in range(SIZE):
            count = place[d]
            place[d] = total
            total += count
        for i in range(n):
            key = source[i]
            d = (key >> shift) & LOW
            at = np.uint64(place[d])
            place[d] += 1
            target[at] = key
            to_places[at] = from_places[i]
        swapped = not swapped
    return swapped


@njit(nogil=True, cache=True, error_model="numpy")
def rank_sorted(keys, places, shift, out):  # pragma: no cover - compiled
    """out[place] = average rank (from 1) - shift, over runs of keys without a step above TIED."""
    n = keys.size
    first = 0
    while first < n:
        last = first
        while last + 1 < n and keys[last + 1] - keys[last] <= TIED:
            last += 1
        rank = 0.5 * (first + last) + 1.0 - shift
        for i in range(first, last + 1):
            out[places[i]] = rank
        first = last + 1


@njit(nogil=True, cache=True, error_model="numpy")
def centred_ranks(values, out):  # pragma: no cover - compiled
    """out (n, K) = ranks of each column of `values` (n, K, no NaN), less (n + 1) / 2."""
    n, n_columns = values.shape
    if n == 0:
        return
    keys = np.empty((COLUMNS, n), np.uint64)
    other_keys = np.empty(n, np.uint64)
    places = np.empty(n, np.int64)
    other_places = np.empty(n, np.int64)
    counts = np.empty((PASSES, SIZE), np.int64)
    ranks = np.empty((COLUMNS, n), np.float64)
    bits = keys.view(np.float64)
    for first in range(0, n_columns, COLUMNS):
        width = min(COLUMNS, n_columns - first)
        for i in range(n):
            for k in range(width):
                bits[k, i] = values[i, first + k] + 0.0  # -0 counts as 0
        for k in range(width):
            column = keys[k]
            for i in range(n):
                places[i] = i
                key = column[i]
                column[i] = ~key if key >> S63 else key | SIGN
            if sort_keys(column, places, other_keys, other_places, counts):
                rank_sorted(other_keys, other_places, 0.5 * (n + 1), ranks[k])
            else:
                rank_sorted(column, places, 0.5 * (n + 1), ranks[k])
        for i in range(n):
            for k in range(width):
                out[i, first + k] = ranks[k, i]


@njit(nogil=True, cache=True, error_model="numpy")
def order_keys(values, column, cells, keys, places):  # pragma: no cover - compiled
    """Fill keys and places (m,) of some cells of a column: doubles as integers of their order."""
    bits = keys.view(np.float64)
    for i in range(cells.size):
        places[i] = cells[i]
        bits[i] = values[cells[i], column] + 0.0  # -0 counts as 0
        key = keys[i]
        keys[i] = ~key if key >> S63 else key | SIGN


@njit(nogil=True, cache=True, error_model="numpy")
def centred_ranks_but_for(values, changed, alike, out):  # pragma: no cover - compiled
    """`centred_ranks` of columns of which each `alike` in a row differ in some cells alone.

    changed (m,): the places of these cells, ascending. All others are sorted once for `alike`
    columns, and the changed ones of each column are merged into them.
    """
    n, n_columns = values.shape
    m = changed.size
    rest = np.empty(n - m, np.int64)
    at = 0
    k = 0
    for i in range(n):
        if k < m and changed[k] == i:
            k += 1
        else:
            rest[at] = i
            at += 1
    kept, kept_other = np.empty(n - m, np.uint64), np.empty(n - m, np.uint64)
    own, own_other = np.empty(m, np.uint64), np.empty(m, np.uint64)
    kept_places, kept_spare = np.empty(n - m, np.int64), np.empty(n - m, np.int64)
    own_places, own_spare = np.empty(m, np.int64), np.empty(m, np.int64)
    keys = np.empty(n, np.uint64)
    places = np.empty(n, np.int64)
    counts = np.empty((PASSES, SIZE), np.int64)
    ranks = np.empty((COLUMNS, n), np.float64)
    for first in range(0, n_columns, COLUMNS):
        width = min(COLUMNS, n_columns - first)
        for k in range(width):
            column = first + k
            if column % alike == 0:
                order_keys(values, column, rest, kept, kept_places)
                if rest.size and sort_keys(kept, kept_places, kept_other, kept_spare, counts):
                    kept, kept_other = kept_other, kept
                    kept_places, kept_spare = kept_spare, kept_places
            order_keys(values, column, changed, own, own_places)
            if m and sort_keys(own, own_places, own_other, own_spare, counts):
                own, own_other = own_other, own
                own_places, own_spare = own_spare, own_places
            a = 0
            b = 0
            for i in range(n):
                if b == m or (a < n - m and kept[a] <= own[b]):
                    keys[i] = kept[a]
                    places[i] = kept_places[a]
                    a += 1
                else:
                    keys[i] = own[b]
                    places[i] = own_places[b]
                    b += 1
            rank_sorted(keys, places, 0.5 * (n + 1), ranks[k])
        for i in range(n):
            for k in range(width):
                out[i, first + k] = ranks[k, i]
