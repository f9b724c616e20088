"""Sums over treated cells without a copy of their rows, and rows as samplers sum them."""

from __future__ import annotations

import numpy as np


def rows_of(*parts: np.ndarray) -> np.ndarray:
    """Parts (n, .) side by side, (n, D) float32, padded with zeros to a multiple of 16 columns."""
    from programde.crt.kernels.rows import aligned_zeros, padded

    rows = aligned_zeros(parts[0].shape[0], padded(sum(part.shape[1] for part in parts)))
    begin = 0
    for part in parts:
        rows[:, begin : begin + part.shape[1]] = part
        begin += part.shape[1]
    return rows


def sum_rows(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """``values[places].sum(axis=0)`` (K,) float64, `values` (n, K), one row after another."""
    from programde.crt.kernels.summary import sum_rows as kernel

    out = np.zeros(values.shape[1])
    kernel(values, places, out)
    return out
