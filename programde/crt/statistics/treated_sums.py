"""Sums over treated cells without a copy of their rows."""

from __future__ import annotations

import numpy as np


def sum_rows(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """``values[places].sum(axis=0)`` (K,) float64, `values` (n, K), one row after another."""
    from programde.crt.kernels.summary import sum_rows as kernel

    out = np.zeros(values.shape[1])
    kernel(values, places, out)
    return out
