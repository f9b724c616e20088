"""Statistics that end the worker that computes them, for the tests of workers that are killed."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

import numpy as np

from programde.crt.statistics import OLS


@dataclass(frozen=True)
class Deadly(OLS):
    """Kills its process, as the system does where memory runs out."""

    def prepare(self, population) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def one_and_the_same(C: np.ndarray, x: np.ndarray) -> np.ndarray:
    """A propensity of one's own that workers can import."""
    return np.full(len(C), x.mean())
