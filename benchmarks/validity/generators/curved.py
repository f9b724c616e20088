"""Depth acts squared, on treatment and on programs."""

import numpy as np
import pandas as pd

from benchmarks.validity.simulated import Simulated, high_moi, straight_features

ABOUT = "high MOI; depth² in treatment and programs"


def features(table: pd.DataFrame) -> np.ndarray:
    """Straight ones, and the square."""
    square = (table["log_depth"] ** 2 - 1) / np.sqrt(2)
    return np.column_stack([straight_features(table), square])


def make(rng: np.random.Generator) -> Simulated:
    """A screen."""
    return high_moi(rng, features=features)
