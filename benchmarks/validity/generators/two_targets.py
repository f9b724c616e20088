"""As `low_moi`, and a tenth of the cells holds a second guide."""

import numpy as np

from benchmarks.validity.simulated import Simulated, low_moi

ABOUT = "low MOI; 10 % of cells with a second target"


def make(rng: np.random.Generator) -> Simulated:
    """A screen."""
    return low_moi(rng, second=0.1)
