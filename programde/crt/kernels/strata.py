"""Sorting cells into strata: bins by edges, and a counting sort, compiled."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True, error_model="numpy")
def bins_by_edges(values, edges, codes):  # pragma: no cover - compiled
    """codes[i] = number of `edges` (ascending) that are <= values[i]."""
    for i in range(values.size):
        codes[i] = 0
    for e in range(edges.size):
        edge = edges[e]
        for i in range(values.size):
            codes[i] += np.int32(values[i] >= edge)


@njit(nogil=True, cache=True, error_model="numpy")
def counting_sort(codes, starts, order):  # pragma: no cover - compiled
    """`order` lists the cells by code, cells of one code ascending; starts[c] is where c begins."""
    fill = starts.copy()
    for i in range(codes.size):
        order[fill[codes[i]]] = i
        fill[codes[i]] += 1
