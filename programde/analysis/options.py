"""Who is tested against whom: the words of `run_targets` and `run_ntc_groups`, checked."""

from __future__ import annotations

from dataclasses import dataclass

from programde.crt.control_group import CONTROLS, OTHER_TARGETS
from programde.option_fields import check_options, option

UNITS = ("union", "guide")


@dataclass(frozen=True)
class Comparison:
    """Which units are tested, and in which cells.

    Attributes
    ----------
    control
        Who the treated cells are compared with; see `crt.control_group`.
    cells_with_other_targets
        Against control cells, whether cells that hold another target as well take part.
    unit
        ``"union"`` of a target's guides, or each ``"guide"`` alone.
    by_condition
        Repeat the analysis in the cells of each level of the screen's condition.
    drop_empty_batches
        Leave batches without a treated cell out of a unit's test.
    targets
        Targets to test, in this order; None for all but the controls.
    exclude_targets, exclude_guides
        Targets and guides that are left out, of the units and of the control cells.
    """

    control: str = option("auto", choices=CONTROLS)
    cells_with_other_targets: str = option("drop", choices=OTHER_TARGETS)
    unit: str = option("union", choices=UNITS)
    by_condition: bool = False
    drop_empty_batches: bool = True
    targets: tuple[str, ...] | None = None
    exclude_targets: tuple[str, ...] = ()
    exclude_guides: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_options(self)
