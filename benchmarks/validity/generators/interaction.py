"""Depth has another slope in each batch, on treatment and on programs."""

import numpy as np
import pandas as pd

from benchmarks.validity.simulated import Simulated, dummies, high_moi, straight_features

ABOUT = "high MOI; a slope of depth per batch in both"


def features(table: pd.DataFrame) -> np.ndarray:
    """Straight ones, and the products with batch."""
    products = dummies(table["batch"]) * table[["log_depth"]].to_numpy()
    return np.column_stack([straight_features(table), products])


def make(rng: np.random.Generator) -> Simulated:
    """A screen."""
    return high_moi(rng, features=features)
