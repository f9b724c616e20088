"""Batch, depth and mito act on treatment and programs as they are."""

import numpy as np

from benchmarks.validity.simulated import Simulated, high_moi

ABOUT = "high MOI; covariates act straight"


def make(rng: np.random.Generator) -> Simulated:
    """A screen."""
    return high_moi(rng)
