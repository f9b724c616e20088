"""Samplers: the law of the resampled indicator, given covariates.

A sampler knows nothing of statistics. It is a small frozen dataclass of options with a `name` and

    prepare(population) -> object with  law(p, treated) -> law

and a law of one unit draws, and tells its moments:

    sums(rows (n, D) float32, n_draws, key) -> (sums (B, D) float32, n_treated (B,))
    indices(n_draws, key) -> (indptr, indices)      the same draws, listed
    mean() -> (n,);  count_moments() -> (mean, variance)
    covariance_trace(basis (n, p), squares=None) -> float

To add one, write a module here and a line in `SAMPLERS`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from programde.crt.samplers.bernoulli import Bernoulli, BernoulliLaw
from programde.crt.samplers.stratified import StratifiedLaw, StratifiedPermutation
from programde.errors import check_choice, check_keywords

SAMPLERS: dict[str, Callable[..., Any]] = {
    Bernoulli.name: Bernoulli,
    StratifiedPermutation.name: StratifiedPermutation,
}


def make_sampler(name: str, **options: Any) -> Any:
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
