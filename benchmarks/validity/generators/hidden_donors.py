"""Six donors differ in who is treated and in programs, and nobody wrote down the donor."""

import numpy as np
import pandas as pd

from benchmarks.validity.simulated import (
    Simulated,
    draw_covariates,
    dummies,
    high_moi,
    straight_features,
)

ABOUT = "high MOI; six donors that are not among the covariates"


def with_donors(rng: np.random.Generator) -> pd.DataFrame:
    """The usual covariates, and the donor."""
    table = draw_covariates(rng)
    table["donor"] = rng.choice([f"d{i}" for i in range(6)], len(table))
    return table


def features(table: pd.DataFrame) -> np.ndarray:
    """Straight ones, and the donors."""
    return np.column_stack([straight_features(table), dummies(table["donor"])])


def make(rng: np.random.Generator) -> Simulated:
    """A screen."""
    return high_moi(rng, features=features, table=with_donors(rng))
