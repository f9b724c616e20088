"""Noise with three degrees of freedom; in every third program 5 % of cells lie far below."""

import numpy as np

from benchmarks.validity.simulated import Simulated, high_moi

ABOUT = "high MOI; t noise (3 degrees), 5 % of cells far off"


def noise(rng: np.random.Generator, n: int, k: int) -> np.ndarray:
    """t with 3 degrees of freedom, and lumps."""
    own = rng.standard_t(3, (n, k)) / np.sqrt(3)
    lumpy = np.arange(k) % 3 == 0
    return own - 8.0 * (lumpy & (rng.random((n, k)) < 0.05))


def make(rng: np.random.Generator) -> Simulated:
    """A screen."""
    return high_moi(rng, noise=noise)
