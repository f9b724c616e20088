"""Screens as those of `hidden_donors`, with the donor among the covariates."""

import numpy as np

from benchmarks.validity.generators.hidden_donors import features, with_donors
from benchmarks.validity.simulated import Simulated, high_moi

ABOUT = "high MOI; six donors, the donor among the covariates"


def make(rng: np.random.Generator) -> Simulated:
    """A screen."""
    shown = ("batch", "log_depth", "mito", "donor")
    return high_moi(rng, features=features, table=with_donors(rng), shown=shown)
