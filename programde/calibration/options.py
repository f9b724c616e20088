"""From null to p-value to q-value: what can be chosen, checked."""

from __future__ import annotations

from dataclasses import dataclass

from programde.option_fields import check_options, option
from programde.tails.formulas import SIDES

ADJUSTMENTS = ("bh", "storey")


@dataclass(frozen=True)
class CalibrationOptions:
    """What every calibration is told.

    Attributes
    ----------
    side
        Alternative: ``"both"``, ``"left"`` (the program falls) or ``"right"`` (it rises).
    """

    side: str = option("both", choices=SIDES)

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True)
class FdrOptions:
    """Multiple testing.

    Attributes
    ----------
    adjust
        ``"bh"`` (Benjamini-Hochberg) or ``"storey"``.
    level
        The false discovery rate at which discoveries are counted.
    direct_delta
        By how much (log-ratio) the mirror image of other programs' shifts may be wrong, at most,
        where it is asked which programs were touched; see `calibration.direct`.
    """

    adjust: str = option("bh", choices=ADJUSTMENTS)
    level: float = option(0.1, above=0, below=1)
    direct_delta: float = option(0.1, minimum=0)

    def __post_init__(self) -> None:
        check_options(self)
