"""How units are tested: the options of the engine."""

from __future__ import annotations

from dataclasses import dataclass

from programde.crt.propensity import PropensityModel
from programde.crt.protocols import Sampler, Statistic
from programde.option_fields import check_options, option
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
    n_resamples: int = option(1023, minimum=0)
    seed: int = 123
    propensity: PropensityModel | None = None
    min_treated: int = option(10, minimum=1)
    min_control: int = option(10, minimum=1)
    n_jobs: int = 1
    progress: bool | None = None
    tails: bool = True

    def __post_init__(self) -> None:
        check_options(self)
        worker_count(self.n_jobs)
