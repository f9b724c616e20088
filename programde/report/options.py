"""How control p-values are judged: what can be chosen, checked."""

from __future__ import annotations

from dataclasses import dataclass

from programde.option_fields import MANY, check_options, option


@dataclass(frozen=True)
class ReportOptions:
    """The bootstrap behind the intervals of a report.

    Attributes
    ----------
    n_boot
        Bootstrap samples, over units.
    seed
        Their seed.
    """

    n_boot: int = option(1000, minimum=1, maximum=MANY)
    seed: int = option(7, minimum=0)

    def __post_init__(self) -> None:
        check_options(self)
