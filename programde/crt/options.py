"""How units are tested: the options of the engine."""

from __future__ import annotations

from dataclasses import dataclass

from programde.crt.propensity import PropensityModel
from programde.crt.protocols import Sampler, Statistic
from programde.errors import OptionError
from programde.threads import worker_count


@dataclass(frozen=True)
class RunOptions:
    """How units are tested.

    Parameters
    ----------
    statistic, sampler
        From `statistics` and `samplers`.
    n_resamples
        Number B of resamples; 0 for none (then only effects and exact tails are at hand).
    seed
        Seed of all random streams.
    propensity
        A user's own propensity model f(C, x) -> p or (p, model); None for the ridge logistic one.
    min_treated, min_control
        Units with fewer treated or control cells are not tested.
    n_jobs
        Threads, as joblib counts them.
    progress
        Whether to show a progress bar; None on interactive terminals only.
    tails
        Whether to compute both exact tails of each test while its null law is at hand
        (``calibrate(result, "saddlepoint")`` needs them).
    """

    statistic: Statistic
    sampler: Sampler
    n_resamples: int = 1023
    seed: int = 123
    propensity: PropensityModel | None = None
    min_treated: int = 1
    min_control: int = 1
    n_jobs: int = 1
    progress: bool | None = None
    tails: bool = True

    def __post_init__(self) -> None:
        if self.n_resamples < 0:
            raise OptionError(f"n_resamples={self.n_resamples} must not be negative")
        worker_count(self.n_jobs)
