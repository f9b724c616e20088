"""Half of the programs are 0 in many cells, the more the lower they would be."""

import numpy as np
from scipy.special import expit

from benchmarks.validity.simulated import Simulated, high_moi

ABOUT = "high MOI; half of the programs 0 in about a third of cells"


def zeros(rng: np.random.Generator, logs: np.ndarray) -> np.ndarray:
    """More zeros where the log-usage is low."""
    often = np.arange(logs.shape[1]) % 2 == 0
    return often & (rng.random(logs.shape) < expit(-1.0 - 1.5 * logs))


def make(rng: np.random.Generator) -> Simulated:
    """A screen."""
    return high_moi(rng, zeros=zeros)
