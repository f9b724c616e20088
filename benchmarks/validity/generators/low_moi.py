"""One guide per cell, against cells of control guides."""

import numpy as np

from benchmarks.validity.simulated import Simulated, low_moi

ABOUT = "low MOI: one guide per cell, control guides"


def make(rng: np.random.Generator) -> Simulated:
    """A screen."""
    return low_moi(rng)
