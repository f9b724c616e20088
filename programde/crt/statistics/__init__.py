"""Statistics: per-cell summands and a closing formula.

A statistic knows nothing of samplers. It is a small frozen dataclass of options with a `name`: see
`crt.protocols` for what it must be able to do (`Statistic`, `PreparedStatistic`).

To add one, write a module here and a line in `STATISTICS`.
"""

from __future__ import annotations

from collections.abc import Callable

from programde.crt.protocols import Statistic
from programde.crt.statistics.ols import OLS
from programde.crt.statistics.utest import UTest
from programde.errors import check_choice, check_keywords
from programde.tails.linearised import Linearised

STATISTICS: dict[str, Callable[..., Statistic]] = {OLS.name: OLS, UTest.name: UTest}


def make_statistic(name: str, **options: object) -> Statistic:
    """A statistic by name; raises an OptionError on an unknown name or option."""
    kind = STATISTICS[check_choice("statistic", name, STATISTICS)]
    check_keywords(f"statistic {name}", options, list(getattr(kind, "__dataclass_fields__", {})))
    return kind(**options)


__all__ = ["OLS", "STATISTICS", "Linearised", "UTest", "make_statistic"]
