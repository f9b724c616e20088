"""How units are tested: the options of the engine."""

from __future__ import annotations

from dataclasses import dataclass

from programde.crt.propensity import PropensityModel
from programde.crt.protocols import Sampler, Statistic
from programde.errors import OptionError
from programde.memory import memory_bytes
from programde.option_fields import check_options, option
from programde.threads import worker_count

#: What a null law is taken given: the covariates' sums over treated cells, or the propensity.
GIVEN = ("covariates", "propensity")


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
        A user's own propensity model f(C, x) -> p or (p, model), with ``given="propensity"``; None
        for the logistic one.
    min_treated, min_control
        Units with fewer treated or control cells are not tested.
    n_jobs
        Threads, as joblib counts them.
    progress
        Whether to show a progress bar; None on interactive terminals only.
    tails
        Whether to compute both exact tails of each test while its null law is at hand
        (``calibrate(result, "saddlepoint")`` needs them).
    given
        ``"covariates"`` (the default): under independent draws (sampler `bernoulli_index`), null
        laws that allow for the propensity being estimated, see `crt.given_covariates`.
        ``"propensity"``: laws that take the fitted propensity for the true one. Other samplers have
        one law.
    shifts
        Whether to keep effects as log-ratios and in usage points too, of which direct effects and
        what the report says of a hit are made.
    memory
        Bytes that a run may use, or a text such as ``"4GB"``: a screen that stays in its file is
        brought in so that it keeps to them. None: half of what is free.

    Examples
    --------
    >>> import programde as pde
    >>> pde.RunOptions(pde.UTest(), pde.Bernoulli(), n_resamples=0).seed
    123
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
    given: str = option("covariates", choices=GIVEN)
    shifts: bool = True
    memory: float | str | None = None

    def __post_init__(self) -> None:
        check_options(self)
        if self.propensity is not None and self.given == "covariates":
            raise OptionError(
                "given=covariates takes a logistic propensity, fitted here; with a propensity of "
                "your own say given='propensity'"
            )
        worker_count(self.n_jobs)
        if self.memory is not None:
            memory_bytes(self.memory)
