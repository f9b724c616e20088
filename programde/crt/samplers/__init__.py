"""Samplers: the law of the resampled indicator, given covariates.

A sampler knows nothing of statistics. It is a small frozen dataclass of options with a `name`:
see `crt.protocols` for what it, and the laws it makes, must be able to do (`Sampler`,
`PreparedSampler`, `Law`; `ExactLaw` for exact tails).

To add one, write a module here and a line in `SAMPLERS`.
"""

from __future__ import annotations

from collections.abc import Callable

from programde.crt.protocols import Sampler
from programde.crt.samplers.bernoulli import Bernoulli, BernoulliLaw
from programde.crt.samplers.stratified import StratifiedLaw, StratifiedPermutation
from programde.errors import check_choice, check_keywords

SAMPLERS: dict[str, Callable[..., Sampler]] = {
    Bernoulli.name: Bernoulli,
    StratifiedPermutation.name: StratifiedPermutation,
}


def make_sampler(name: str, **options: object) -> Sampler:
    """A sampler by name; raises an OptionError on an unknown name or option."""
    kind = SAMPLERS[check_choice("sampler", name, SAMPLERS)]
    allowed = list(getattr(kind, "__dataclass_fields__", {}))
    check_keywords(f"sampler {name}", options, allowed)
    return kind(**options)


__all__ = [
    "SAMPLERS",
    "Bernoulli",
    "BernoulliLaw",
    "StratifiedLaw",
    "StratifiedPermutation",
    "make_sampler",
]
