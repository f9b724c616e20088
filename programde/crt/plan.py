"""Which cells each unit is compared with: units and their populations.

* `complement`: a unit's treated cells against all other cells. Right where cells hold many guides;
  with one guide per cell the complement is full of perturbed cells and is no null.
* `nt_cells`: a target's treated cells against the cells that hold only non-targeting guides; a
  group of non-targeting guides against the remaining such cells.
* `auto`: `nt_cells` where the median cell with any guide holds one guide, else `complement`.

Batches in which a unit has no treated cell tell nothing about it, and a logistic propensity
separates there; they are left out of that unit's population (`drop_empty_batches`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from programde.crt.engine import Deferred, Task
from programde.crt.population import population_of
from programde.errors import InputError, check_choice
from programde.screen.screen import Screen, Unit

CONTROLS = ("complement", "nt_cells", "auto")

ONE_GUIDE = (
    "with one guide per cell almost all other cells are perturbed too, by other targets, and "
    "p-values come out too small; compare with cells of non-targeting guides (control nt_cells)"
)


@dataclass(frozen=True)
class ControlGroup:
    """The control group of a screen.

    Attributes
    ----------
    kind
        ``"complement"`` or ``"nt_cells"``.
    reason
        One sentence: why this one.
    nt_only : (N,) bool or None
        Cells whose guides are all non-targeting; None for the complement.
    warning
        What speaks against this control group; empty where nothing does.
    """

    kind: str
    reason: str
    nt_only: np.ndarray | None
    warning: str = ""


def guides_per_cell(screen: Screen) -> np.ndarray:
    """Number of guides present in each cell (N,)."""
    return np.bincount(screen.guides.indices, minlength=screen.n_cells)


def nt_only_cells(screen: Screen, ntc_labels: Sequence[str]) -> np.ndarray:
    """Which cells (N,) hold at least one non-targeting guide and no other guide."""
    labels = set(ntc_labels)
    is_control = np.array([screen.guide_to_target.get(g) in labels for g in screen.guide_names])
    present = guides_per_cell(screen)
    control = screen.guides[:, np.flatnonzero(is_control)]
    held = np.bincount(control.indices, minlength=screen.n_cells)
    return (held > 0) & (held == present)


def choose_control(screen: Screen, control: str, ntc_labels: Sequence[str]) -> ControlGroup:
    """Settle the control group.

    Raises
    ------
    OptionError
        If `control` is not one of complement, nt_cells, auto.
    InputError
        If `nt_cells` is asked for and no cell holds only non-targeting guides.
    """
    check_choice("control", control, CONTROLS)
    present = guides_per_cell(screen)
    with_guides = present[present > 0]
    typical = float(np.median(with_guides)) if with_guides.size else 0.0
    says = f"the median cell with a guide holds {typical:g}"
    kind, reason = control, f"asked for; {says}"
    if control == "auto":
        kind = "nt_cells" if typical <= 1 and ntc_labels else "complement"
        reason = f"chosen because {says}"
    warning = ONE_GUIDE if typical <= 1 else ""
    if kind == "complement":
        return ControlGroup("complement", reason, None, warning)
    nt_only = nt_only_cells(screen, ntc_labels)
    if not nt_only.any():
        if control == "auto":
            reason = "no cell holds only non-targeting guides"
            return ControlGroup("complement", reason, None, warning)
        raise InputError(
            f"control=nt_cells: none of {screen.n_cells} cells holds only guides of "
            f"{', '.join(ntc_labels) or '(no label given)'}; use control=complement"
        )
    return ControlGroup("nt_cells", reason, nt_only)


def plan(
    screen: Screen,
    units: Sequence[Unit],
    control: ControlGroup,
    *,
    cells: np.ndarray | None = None,
    drop_empty_batches: bool = False,
    are_controls: bool = False,
    first_row: int = 0,
    suffix: str = "",
) -> Iterator[Task | Deferred]:
    """Units with their populations, made on the way.

    Parameters
    ----------
    screen
        The screen.
    units
        Units to test; row i of the result belongs to unit i.
    control
        The control group.
    cells : (N,) bool, optional
        Cells to consider at all (a condition, say); None for all.
    drop_empty_batches
        Leave the batches without a treated cell out of a unit's population.
    are_controls
        Whether the units are groups of non-targeting guides, tested among control cells.
    first_row
        Row of the first unit in the result.
    suffix
        Appended to units' names, from which their random streams derive.
    """
    treated_all = [screen.treated_cells(unit) for unit in units]
    base = np.ones(screen.n_cells, dtype=bool) if cells is None else cells.copy()
    codes = None
    if drop_empty_batches and screen.batch is not None:
        codes = np.unique(screen.batch.astype(str), return_inverse=True)[1].reshape(-1)
    own = control.kind == "nt_cells" and not are_controls
    if control.nt_only is not None and are_controls:
        base &= control.nt_only

    def task(packed: np.ndarray, rows: Sequence[int]) -> Task:
        chosen = np.unpackbits(packed, count=screen.n_cells).astype(bool)
        population = population_of(screen, None if chosen.all() else np.flatnonzero(chosen))
        return Task(
            population=population,
            names=[units[row].name + suffix for row in rows],
            treated=[population.locate(treated_all[row]) for row in rows],
            places=[row + first_row for row in rows],
        )

    # units that are tested in the same cells share a population
    shared: dict[bytes, list[int]] = {}
    for row, treated in enumerate(treated_all):
        mask = base
        if own:
            assert control.nt_only is not None
            mask = base & control.nt_only
            mask[treated] = base[treated]
        if codes is not None:
            present = np.zeros(codes.max() + 1, dtype=bool)
            present[codes[treated[base[treated]]]] = True
            if not present.all() and present.any():
                mask = mask & present[codes]
        key = np.packbits(mask).tobytes()
        if own:
            yield Deferred(partial(task, np.packbits(mask), [row]))
            continue
        shared.setdefault(key, []).append(row)
    for key, rows in shared.items():
        yield task(np.frombuffer(key, dtype=np.uint8), rows)
