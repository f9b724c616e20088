"""Depth acts by a smooth step and mito by its logarithm's bend: curves that are no square."""

import numpy as np
import pandas as pd

from benchmarks.validity.simulated import Simulated, high_moi, straight_features

ABOUT = "high MOI; a smooth step of depth and an exponential of mito in both"


def features(table: pd.DataFrame) -> np.ndarray:
    """Straight ones, tanh of depth, and exp of mito."""
    step = np.tanh(2 * table["log_depth"].to_numpy())
    grows = np.exp(0.7 * table["mito"].to_numpy())
    curved = np.column_stack([step, grows])
    return np.column_stack(
        [straight_features(table), (curved - curved.mean(axis=0)) / curved.std(axis=0)]
    )


def make(rng: np.random.Generator) -> Simulated:
    """A screen."""
    return high_moi(rng, features=features)
