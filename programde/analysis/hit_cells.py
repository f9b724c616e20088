"""What the cells of a hit look like: usages of treated and control cells, and batch by batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from programde.crt.control_group import ControlGroup, Membership
from programde.screen.chosen import in_parts, is_stored
from programde.screen.screen import Screen, Unit

N_QUANTILES = 50


@dataclass(frozen=True)
class HitCells:
    """The cells behind one test.

    Attributes
    ----------
    treated, control : (n_quantiles,) float64
        Usages of the program at the quantiles (i + 1/2) / n_quantiles, before the floor.
    zeros_treated, zeros_control
        Share of cells whose usage is 0 (at the floor, where usages before it are not kept).
    n_treated, n_control
        Numbers of cells.
    batches : DataFrame
        ``batch``, ``effect`` (difference of the means of the transformed usage, treated less
        control cells of the batch), ``effect_se`` (of two samples with their own variances),
        ``n_treated``. Nothing is adjusted for covariates. Batches with fewer than two cells on one
        side are left out; empty without a batch.
    """

    treated: np.ndarray
    control: np.ndarray
    zeros_treated: float
    zeros_control: float
    n_treated: int
    n_control: int
    batches: pd.DataFrame


def hit_cells(
    screen: Screen,
    hits: pd.DataFrame,
    control: ControlGroup,
    *,
    exclude_guides: Sequence[str] = (),
    n_quantiles: int = N_QUANTILES,
    memory: float | str | None = None,
) -> list[HitCells]:
    """The cells behind each of some tests.

    Parameters
    ----------
    screen
        The screen.
    hits
        Columns `target` (or `guide`, where guides were tested one by one), `program`, and
        `condition` where the analysis was repeated by it.
    control
        The control group of the tests.
    exclude_guides
        Guides that took no part.
    n_quantiles
        Of the usages.
    memory
        What may be used where the screen is not in memory, see `memory.budget`.

    Returns
    -------
    list of HitCells
        In the order of `hits`.
    """
    of = "guide" if "guide" in hits else "target"
    if is_stored(screen):
        names = hits[of].astype(str)
        cells = {
            name: screen.treated_cells(_unit(screen, name, of, set(exclude_guides)))
            for name in names.unique()
        }
        found: dict[int, HitCells] = {}
        for part, some, chosen in in_parts(screen, cells, control.cells, memory):
            rows = np.flatnonzero(names.isin(some))
            group = (
                control if control.cells is None else replace(control, cells=control.cells[chosen])
            )
            found |= zip(
                rows.tolist(),
                hit_cells(
                    part,
                    hits.iloc[rows],
                    group,
                    exclude_guides=exclude_guides,
                    n_quantiles=n_quantiles,
                ),
                strict=True,
            )
        return [found[row] for row in range(len(hits))]
    usage = screen.usage if screen.unfloored is None else screen.unfloored
    zero = screen.floor if screen.unfloored is None else 0.0
    column = {name: k for k, name in enumerate(screen.program_names)}
    codes, batches = (None, []) if screen.batch is None else _codes(screen.batch)
    where = hits["condition"] if "condition" in hits else [""] * len(hits)
    membership = Membership(screen, control)
    groups: dict[tuple[str, str], tuple[np.ndarray, np.ndarray]] = {}
    at = (np.arange(n_quantiles) + 0.5) / n_quantiles
    made = []
    for name, program, level in zip(hits[of], hits["program"], where, strict=True):
        if (name, level) not in groups:
            unit = _unit(screen, str(name), of, set(exclude_guides))
            groups[name, level] = _groups(screen, unit, control, membership, str(level))
        treated, controls = groups[name, level]
        k = column[program]
        values = np.asarray(usage[:, k], dtype=np.float64)
        outcome = np.asarray(screen.clr[:, k], dtype=np.float64)
        made.append(
            HitCells(
                treated=_quantiles(values[treated], at),
                control=_quantiles(values[controls], at),
                zeros_treated=_share(values[treated] <= zero),
                zeros_control=_share(values[controls] <= zero),
                n_treated=int(treated.sum()),
                n_control=int(controls.sum()),
                batches=_by_batch(outcome, treated, controls, codes, batches),
            )
        )
    return made


def _unit(screen: Screen, name: str, of: str, without: set[str]) -> Unit:
    if of == "guide":
        return screen.unit(name, [name])
    unit = screen.target_units([name])[0]
    return screen.unit(name, [guide for guide in unit.guides if guide not in without])


def _groups(
    screen: Screen, unit: Unit, control: ControlGroup, membership: Membership, level: str
) -> tuple[np.ndarray, np.ndarray]:
    """Treated and control cells of a unit, (N,) bool each."""
    cells = screen.treated_cells(unit)
    treated = np.zeros(screen.n_cells, dtype=bool)
    treated[cells] = True
    controls = ~treated if control.cells is None else control.cells & ~treated
    treated[membership.of_other_targets(unit, cells)] = False
    controls[membership.unclear(unit, cells)] = False
    if level and screen.condition is not None:
        here = np.asarray(screen.condition).astype(str) == level
        treated, controls = treated & here, controls & here
    return treated, controls


def _codes(batch: np.ndarray) -> tuple[np.ndarray, list[str]]:
    levels, codes = np.unique(np.asarray(batch).astype(str), return_inverse=True)
    return codes, levels.tolist()


def _quantiles(values: np.ndarray, at: np.ndarray) -> np.ndarray:
    return np.quantile(values, at) if values.size else np.full(at.size, np.nan)


def _share(which: np.ndarray) -> float:
    return float(which.mean()) if which.size else float("nan")


def _by_batch(
    outcome: np.ndarray,
    treated: np.ndarray,
    controls: np.ndarray,
    codes: np.ndarray | None,
    levels: Sequence[str],
) -> pd.DataFrame:
    rows: list[tuple[str, float, float, int]] = []
    if codes is not None:
        n1, mean1, var1 = _moments(outcome[treated], codes[treated], len(levels))
        n0, mean0, var0 = _moments(outcome[controls], codes[controls], len(levels))
        for b in np.flatnonzero((n1 > 1) & (n0 > 1)).tolist():
            se = float(np.sqrt(var1[b] / n1[b] + var0[b] / n0[b]))
            rows.append((levels[b], float(mean1[b] - mean0[b]), se, int(n1[b])))
    return pd.DataFrame(rows, columns=["batch", "effect", "effect_se", "n_treated"])


def _moments(
    values: np.ndarray, codes: np.ndarray, n_levels: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Number, mean and variance (with n - 1) of values by level."""
    n = np.bincount(codes, minlength=n_levels)
    mean = np.bincount(codes, values, n_levels) / np.maximum(n, 1)
    squares = np.bincount(codes, (values - mean[codes]) ** 2, n_levels)
    return n, mean, squares / np.maximum(n - 1, 1)
