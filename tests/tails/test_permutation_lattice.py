"""Sums that lie on a lattice are told from those that do not, in strata of many cells."""

from __future__ import annotations

import numpy as np

from programde.tails.permutation import StratifiedSums


def half_spans(Wt: np.ndarray, treated: int) -> np.ndarray:
    n, K = Wt.shape[1], Wt.shape[0]
    sums = StratifiedSums(
        Wt, np.zeros(K), np.zeros(n), np.zeros(K), np.arange(n), np.array([0, n]),
        np.array([treated]),
    )  # fmt: skip
    return sums.half_span


def test_whole_numbers_have_a_span_of_one_and_smooth_ones_none():
    generator = np.random.default_rng(4)
    whole = generator.integers(0, 5, 4_000).astype(float)
    smooth = generator.normal(size=4_000)
    # thirds: the lattice of sums is three times as fine
    spans = half_spans(np.stack([whole, smooth, whole / 3.0]), 40)
    np.testing.assert_allclose(spans, [0.5, 0.0, 0.5 / 3.0], rtol=1e-9)
