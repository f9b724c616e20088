"""Targets of 12 to 50 cells only."""

import numpy as np

from benchmarks.validity.simulated import Simulated, high_moi

ABOUT = "high MOI; 12 to 50 treated cells"


def make(rng: np.random.Generator) -> Simulated:
    """A screen."""
    return high_moi(rng, sizes=(12.0, 50.0))
