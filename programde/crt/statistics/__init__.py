"""Statistics: per-cell summands and a closing formula.

A statistic knows nothing of samplers. It is a small frozen dataclass of options with a `name` and

    prepare(population) -> object with
        rows (n, D) float32         what a sampler sums over treated cells, D a multiple of 16
        summands (n, K) float64     the part of it that belongs to the programs
        observed(treated) -> effect (K,) float64
        why_untestable(treated) -> str
        finish(sums (B, D), n_treated (B,)) -> effect (B, K) float64
        standard_errors(treated of G units, effects (G, K)) -> (G, K)
        linearise(t (K,), law) -> Linearised

To add one, write a module here and a line in `STATISTICS`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from programde.crt.statistics.ols import OLS
from programde.crt.statistics.utest import UTest
from programde.errors import check_choice, check_keywords
from programde.tails.linearised import Linearised

STATISTICS: dict[str, Callable[..., Any]] = {OLS.name: OLS, UTest.name: UTest}


def make_statistic(name: str, **options: Any) -> Any:
    """A statistic by name; raises an OptionError on an unknown name or option."""
    kind = STATISTICS[check_choice("statistic", name, STATISTICS)]
    check_keywords(f"statistic {name}", options, list(getattr(kind, "__dataclass_fields__", {})))
    return kind(**options)


__all__ = ["OLS", "STATISTICS", "Linearised", "UTest", "make_statistic"]
