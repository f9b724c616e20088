"""Who the treated cells of a unit are compared with, chosen once for a screen.

What decides is how many distinct *non-control targets* a cell holds, not how many guides: a vector
with two guides of one target, or a target's guide beside a control guide, perturbs one target.

* `complement`: all other cells. Right where cells hold many targets; with one target per cell the
  complement is full of perturbed cells and is no null.
* `nt_cells`: cells that hold only non-targeting guides, however many.
* `unperturbed_cells`: cells without any guide. Among them are cells whose guide was missed, and as
  a rule they differ in depth; so they are asked for by name and never chosen.
* `auto`: `nt_cells` where the median perturbed cell holds one target, else `complement`. A file
  with only some of a screen's guides looks as if few were there: `Screen.moi` ("high" or "low"),
  where it is known, is believed instead.

Against control cells (the second and third), a cell that holds another target as well is in neither
group (`cells_with_other_targets="drop"`): kept, the other target's effect would enter the treated
side and never the control side. Simulated, targets that do nothing come out below 0.05 in 7.0 % of
tests with 10 % of such cells and in 17.6 % with 30 % when these are kept, and in 5.1 and 4.9 % when
they are dropped (docs/control-cells.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from programde.errors import InputError, check_choice
from programde.screen.cells import guides_per_cell, nt_only_cells, targets_per_cell
from programde.screen.control_labels import resolved
from programde.screen.screen import Screen, Unit

CONTROLS = ("complement", "nt_cells", "unperturbed_cells", "auto")
OTHER_TARGETS = ("drop", "keep")
MOI = ("high", "low")

ONE_TARGET = (
    "with one target per cell almost all other cells are perturbed too, by other targets, and "
    "p-values come out too small; compare with cells of non-targeting guides (control nt_cells)"
)
UNPERTURBED = (
    "cells without a guide hold cells whose guide was missed, and as a rule differ in depth: "
    "depth must be among the covariates, and the control groups tell how well that does"
)
#: Dropping more than this share of the median target's treated cells is refused.
MOST_DROPPED = 0.5


@dataclass(frozen=True)
class ControlGroup:
    """The control group of a screen.

    Attributes
    ----------
    kind
        ``"complement"``, ``"nt_cells"`` or ``"unperturbed_cells"``.
    reason
        One sentence: why this one.
    cells : (N,) bool or None
        The control cells; None for the complement.
    warning
        What speaks against this control group; empty where nothing does.
    drop_others
        Whether treated cells that hold another target as well are in neither group.
    drop_siblings
        Whether cells that hold another guide of the unit's target, and none of the unit's, are in
        neither group.
    labels
        Labels of the non-targeting guides.
    """

    kind: str
    reason: str
    cells: np.ndarray | None
    warning: str = ""
    drop_others: bool = False
    drop_siblings: bool = False
    labels: tuple[str, ...] = ()


def choose_control(
    screen: Screen,
    control: str,
    ntc_labels: Sequence[str],
    cells_with_other_targets: str = "drop",
) -> ControlGroup:
    """Settle the control group.

    Parameters
    ----------
    screen
        The screen.
    control
        One of `CONTROLS`.
    ntc_labels
        Labels of the non-targeting guides.
    cells_with_other_targets
        ``"drop"`` or ``"keep"``; says nothing of the complement.

    Raises
    ------
    OptionError
        If `control` or `cells_with_other_targets` is not one of the words.
    InputError
        If control cells are asked for and there are none.
    """
    check_choice("control", control, CONTROLS)
    check_choice("cells_with_other_targets", cells_with_other_targets, OTHER_TARGETS)
    labels = tuple(resolved(list(screen.target_columns()), ntc_labels))
    targets = targets_per_cell(screen, labels)
    perturbed = targets[targets > 0]
    typical = float(np.median(perturbed)) if perturbed.size else 0.0
    several = float((perturbed > 1).mean()) if perturbed.size else 0.0
    says = f"the median perturbed cell holds {typical:g} target{'s' * (typical != 1)}"
    says += f", {several:.1%} of them several"
    low, says = (typical <= 1, says) if screen.moi is None else _stated(screen.moi, says)
    kind, reason = control, f"asked for; {says}"
    if control == "auto":
        kind = "nt_cells" if low and labels else "complement"
        reason = f"chosen because {says}"
    warning = ONE_TARGET if low else ""
    if kind == "complement":
        return ControlGroup("complement", reason, None, warning, False, True, labels)
    if kind == "unperturbed_cells":
        cells, warning = guides_per_cell(screen) == 0, UNPERTURBED
        lack = f"control={kind}: each of {screen.n_cells} cells holds a guide"
    else:
        cells, warning = nt_only_cells(screen, labels), ""
        lack = (
            f"control={kind}: none of {screen.n_cells} cells holds only guides of "
            f"{', '.join(labels) or '(no label given)'}"
        )
    drop = cells_with_other_targets == "drop"
    if cells.any():
        return ControlGroup(kind, reason, cells, warning, drop, True, labels)
    if control == "auto":
        reason = "no cell holds only non-targeting guides"
        warning = ONE_TARGET if low else ""
        return ControlGroup("complement", reason, None, warning, False, True, labels)
    raise InputError(f"{lack}; use control=complement")


def _stated(moi: str, says: str) -> tuple[bool, str]:
    """Whether few guides per cell are stated, and the words that say so."""
    check_choice("moi", moi, MOI)
    return moi == "low", f"moi={moi} is stated ({says})"


class Membership:
    """Which cells are in neither group of a unit's test, looked up unit by unit.

    Parameters
    ----------
    screen, control
        The screen and its control group.
    """

    def __init__(self, screen: Screen, control: ControlGroup):
        self._screen = screen
        self._drop = control.drop_others and control.cells is not None
        self._siblings = control.drop_siblings
        self._labels = set(control.labels)
        self._targets: dict[int, list[str]] = {}
        for target, columns in screen.target_columns().items():
            for column in columns:
                self._targets.setdefault(column, []).append(target)
        self._columns = screen.target_columns()
        controls = [c for label in self._labels for c in self._columns.get(label, ())]
        self._perturbing = np.ones(len(screen.guide_names), dtype=bool)
        self._perturbing[controls] = False
        self._guides = sparse.csc_matrix(screen.guides)
        #: Guides in each cell (N,) that are no controls.
        self._held = self._guides @ self._perturbing.astype(np.int64) if self._drop else None

    def of_other_targets(self, unit: Unit, treated: np.ndarray) -> np.ndarray:
        """Those of a unit's treated cells, ascending, that hold a guide of another target too."""
        if self._held is None:
            return treated[:0]
        own = self._own(unit)
        own = own[self._perturbing[own]]
        ends = [(self._guides.indptr[c], self._guides.indptr[c + 1]) for c in own.tolist()]
        if not treated.size or not ends:
            return treated[self._held[treated] > 0]
        cells = np.concatenate([self._guides.indices[lo:hi] for lo, hi in ends])
        counts = np.concatenate([self._guides.data[lo:hi] for lo, hi in ends])
        places = np.minimum(np.searchsorted(treated, cells), treated.size - 1)
        inside = treated[places] == cells  # other guides of the target are in other cells too
        of_own = np.bincount(places[inside], counts[inside], treated.size)
        return treated[self._held[treated] > of_own]

    def unclear(self, unit: Unit, treated: np.ndarray) -> np.ndarray:
        """Cells that are not treated by the unit and no control cells of it either.

        They hold another guide of the same target (where guides are tested one by one, or some
        are left out), or a guide of the unit between absent and present.
        """
        held = [treated[:0]]
        others = sorted(set(self._own(unit).tolist()) - set(unit.columns))
        if self._siblings and others:
            held.append(self._screen.treated_cells(Unit("", (), tuple(others))))
        if self._screen.ambiguous is not None:
            between = self._screen.ambiguous
            held += [between.indices[between.indptr[c] : between.indptr[c + 1]]
                     for c in unit.columns]  # fmt: skip
        if len(held) == 1:
            return treated[:0].astype(np.intp)
        return np.setdiff1d(np.concatenate(held), treated).astype(np.intp)

    def _own(self, unit: Unit) -> np.ndarray:
        """Columns of all guides of the unit's targets; control labels are no target."""
        targets = {t for c in unit.columns for t in self._targets.get(c, ())} - self._labels
        own = [c for target in targets for c in self._columns[target]]
        return np.array(sorted({*own, *unit.columns}), dtype=np.int64)


def left_out_cells(screen: Screen, units: Sequence[Unit], control: ControlGroup) -> np.ndarray:
    """Treated cells of each unit (G,) that are left out because they hold another target too.

    Raises
    ------
    InputError
        If that takes more than half of the median unit's treated cells: then this is no screen of
        one target per cell, and control cells are not what to compare with.
    """
    membership = Membership(screen, control)
    treated = [screen.treated_cells(unit) for unit in units]
    dropped = [
        membership.of_other_targets(unit, cells).size
        for unit, cells in zip(units, treated, strict=True)
    ]
    size = np.array([cells.size for cells in treated])
    lost = np.array(dropped, dtype=np.int64)
    share = float(np.median(lost[size > 0] / size[size > 0])) if (size > 0).any() else 0.0
    if share > MOST_DROPPED:
        raise InputError(
            f"control={control.kind} leaves out {share:.0%} of the median target's treated cells, "
            "since they hold another target as well: this is a screen of many targets per cell; "
            "use control=complement (or keep those cells: cells_with_other_targets=keep)"
        )
    return lost
