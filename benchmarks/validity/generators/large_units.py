"""Targets of 500 to 1,500 of 5,000 cells, strongly confounded."""

import numpy as np

from benchmarks.validity.simulated import Simulated, high_moi

ABOUT = "high MOI; 500 to 1,500 of 5,000 cells treated, strong confounding"


def make(rng: np.random.Generator) -> Simulated:
    """A screen."""
    return high_moi(
        rng, sizes=(500.0, 1_500.0), n_targets=80, into_treatment=0.8, into_programs=0.8
    )
