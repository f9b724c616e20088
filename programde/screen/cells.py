"""What each cell holds: guides, distinct targets, controls alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from programde.screen.screen import Screen, Unit


def guides_per_cell(screen: Screen) -> np.ndarray:
    """Number of guides present in each cell (N,)."""
    return np.bincount(screen.guides.indices, minlength=screen.n_cells)


def targets_per_cell(screen: Screen, ntc_labels: Sequence[str]) -> np.ndarray:
    """Number of distinct non-control targets that each cell's guides have (N,)."""
    labels = set(ntc_labels)
    count = np.zeros(screen.n_cells, dtype=np.int64)
    for unit in screen.target_units([t for t in screen.target_columns() if t not in labels]):
        count[screen.treated_cells(unit)] += 1
    return count


def nt_only_cells(screen: Screen, ntc_labels: Sequence[str]) -> np.ndarray:
    """Which cells (N,) hold at least one non-targeting guide and no other guide."""
    columns = screen.target_columns()
    control = [column for label in dict.fromkeys(ntc_labels) for column in columns.get(label, ())]
    present = guides_per_cell(screen)
    held = np.bincount(screen.guides[:, control].indices, minlength=screen.n_cells)
    return (held > 0) & (held == present)


def guides_with_cells(screen: Screen, unit: Unit) -> str:
    """The guides of a unit that any cell holds, with their cells: ``g1 (120), g2 (85)``."""
    sizes = np.diff(screen.guides.indptr)
    return ", ".join(
        f"{guide} ({sizes[column]:,})"
        for guide, column in zip(unit.guides, unit.columns, strict=True)
        if sizes[column]
    )
