"""What is tested: the targets of a screen as units, and in which levels of the condition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from programde.analysis.options import UNITS
from programde.errors import InputError, check_choice, nearest, some
from programde.screen.screen import Screen, Unit


def units_to_test(
    screen: Screen,
    ntc_labels: Sequence[str] = (),
    targets: Sequence[str] | None = None,
    kind: str = "union",
    *,
    exclude_targets: Sequence[str] = (),
    exclude_guides: Sequence[str] = (),
) -> list[Unit]:
    """Units of the real targets: one per target (`union`) or one per guide (`guide`).

    Parameters
    ----------
    screen, ntc_labels
        The screen and the labels of its controls.
    targets
        Targets to test, in this order; None for all but the controls.
    kind
        ``"union"`` or ``"guide"``.
    exclude_targets
        Targets that are not tested.
    exclude_guides
        Guides that no unit holds. Cells with no other guide of the same target are then in neither
        group of its test.

    Raises
    ------
    InputError
        If a target or guide named here does not exist, or no target is left.
    """
    check_choice("unit", kind, UNITS)
    columns = screen.target_columns()
    for target in (*(targets or ()), *exclude_targets):
        if target not in columns:
            raise InputError(f"target {target!r} has no guide{nearest(target, columns)}")
    absent = [guide for guide in exclude_guides if guide not in set(screen.guide_names)]
    if absent:
        raise InputError(
            f"exclude_guides: there is no guide {some([repr(g) for g in absent])}"
            f"{nearest(absent[0], screen.guide_names)}"
        )
    wanted = list(targets) if targets is not None else [t for t in columns if t not in ntc_labels]
    names, out = screen.guide_names, set(exclude_guides)
    kept = {
        target: [c for c in columns[target] if names[c] not in out]
        for target in wanted
        if target not in set(exclude_targets)
    }
    kept = {target: of_target for target, of_target in kept.items() if of_target}
    if not kept:
        cure = "exclude_targets and exclude_guides leave none" if wanted else (
            "every guide belongs to a control label"
        )  # fmt: skip
        raise InputError(f"there is no target to test: {cure}")
    if kind == "union":
        return [
            Unit(target, tuple(names[c] for c in of_target), tuple(of_target))
            for target, of_target in kept.items()
        ]
    return [Unit(names[c], (names[c],), (c,)) for of_target in kept.values() for c in of_target]


def without_controls(
    screen: Screen, labels: Sequence[str], exclude_guides: Sequence[str]
) -> Screen:
    """The screen in which the excluded guides that are controls have no target any more.

    They are in no control group then, and cells that hold them are no control cells.
    """
    lost = {g for g in exclude_guides if screen.guide_to_target.get(g) in set(labels)}
    if not lost:
        return screen
    kept = {guide: t for guide, t in screen.guide_to_target.items() if guide not in lost}
    return replace(screen, guide_to_target=kept)


def condition_levels(screen: Screen) -> list[str]:
    """Levels of the screen's condition, sorted.

    Raises
    ------
    InputError
        If the screen has no condition.
    """
    if screen.condition is None:
        raise InputError("the screen has no condition; name its column by condition_key")
    return [str(level) for level in np.unique(screen.condition.astype(str))]
