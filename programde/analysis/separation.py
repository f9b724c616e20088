"""What stands behind each unit's test: its cells, the batches that take part, separation.

A test compares treated cells with control cells that look like them. Where a level of a covariate
(a batch, say) holds treated cells and no control cell, there is nothing to compare them with; where
it holds controls alone, it adds nothing. The fitted probability of treatment then runs to 1 or 0
(separation: A. Albert and J. A. Anderson, Biometrika 1984, 71:1), and such a unit deserves a look.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from programde.crt.control_group import ControlGroup, Membership
from programde.crt.results import CERTAIN, TreatmentProbability
from programde.errors import OptionError, some
from programde.screen.cells import guides_per_cell, guides_with_cells
from programde.screen.screen import Screen, Unit

#: A note is made where more than this share of the treated cells is concerned.
MENTION = 0.01
#: Columns of the covariates with at most so many values are looked at level by level.
MAX_LEVELS = 20
#: Cells whose values tell of most columns that there are more.
FIRST = 100_000

COLUMNS = [
    "condition",
    "target",
    "guides",
    "n_treated",
    "left_out",
    "batches",
    "batches_left_out",
    "without_control",
    "treated_without_control",
    "without_treated",
    "highest_probability",
    "certain_cells",
    "propensity_columns",
    "covariate_columns",
    "note",
]


def unit_support(
    screen: Screen,
    units: Sequence[Unit],
    control: ControlGroup,
    probability: TreatmentProbability,
    *,
    levels: Sequence[str] = ("",),
    drop_empty_batches: bool = False,
    target_of: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """One row per condition and target, in the order in which `run_targets` tests them.

    Parameters
    ----------
    screen, units, control, drop_empty_batches
        As tested.
    probability
        Of those tests (`CRTResult.probability`).
    levels
        Levels of the screen's condition; one empty string for all cells.
    target_of
        Where guides are tested one by one: target of each guide.

    Returns
    -------
    DataFrame
        condition, target (guide and target, where guides are tested one by one), guides (each
        with its number of cells), n_treated, left_out (cells of another target as well), batches
        (with treated cells), batches_left_out of the test, without_control and without_treated
        (levels of covariates, as text), treated_without_control (treated cells in the former),
        highest_probability of treatment, certain_cells (treated with a probability above 0.999),
        propensity_columns of covariate_columns (on how many columns of the covariates the
        propensity was fitted, of how many there are in the unit's cells: fewer where a unit has too
        few cells for all, see `crt.population.PER_COLUMN`; the outcome is adjusted for all), note
        (a sentence, or empty).
    """
    factors = _factors(screen)
    membership = Membership(screen, control)
    held = [screen.treated_cells(unit) for unit in units]
    out = [membership.of_other_targets(*pair) for pair in zip(units, held, strict=True)]
    guides = [guides_with_cells(screen, unit) for unit in units]
    rows = []
    for level in levels:
        base = np.ones(screen.n_cells, dtype=bool)
        if level:
            base = np.asarray(screen.condition).astype(str) == level
        counts = _Counts(screen, factors, base, control, drop_empty_batches)
        for unit, cells, lost, of in zip(units, held, out, guides, strict=True):
            treated = np.setdiff1d(cells, lost, assume_unique=True)
            row: dict[str, Any] = {"condition": level, "target": unit.name, "guides": of}
            row |= {"left_out": int(base[lost].sum()), **counts.of(treated[base[treated]])}
            rows.append(row)
    table = pd.DataFrame(rows)
    table["highest_probability"] = probability.highest
    table["certain_cells"] = probability.n_certain
    table["propensity_columns"] = probability.n_columns
    table["covariate_columns"] = probability.n_covariates
    table["note"] = [_note(row) for row in table.itertuples()]
    table = table[COLUMNS]
    if target_of is not None:
        table = table.rename(columns={"target": "guide"})
        table.insert(2, "target", table["guide"].map(dict(target_of)))
    return table


def told_left_out(table: pd.DataFrame) -> str:
    """How many treated cells are left out for a second target, in one sentence; empty for none.

    Parameters
    ----------
    table
        From `unit_support`.
    """
    lost, kept = table["left_out"].to_numpy(), table["n_treated"].to_numpy()
    if not lost.any():
        return ""
    share = np.divide(lost, lost + kept, out=np.zeros(len(table)), where=lost + kept > 0)
    most = table["guide" if "guide" in table else "target"].iloc[int(share.argmax())]
    return (
        f"Cells that hold another target as well are in neither group: {np.median(share):.1%} of "
        f"the treated cells of the median target, at most {share.max():.1%} ({most})."
    )


class _Counts:
    """Control cells by batch and level, counted once; treated cells unit by unit."""

    def __init__(
        self,
        screen: Screen,
        factors: dict[str, tuple[list[str], np.ndarray]],
        base: np.ndarray,
        control: ControlGroup,
        drop_empty_batches: bool,
    ) -> None:
        self._complement = control.cells is None
        controls = base if control.cells is None else base & control.cells
        batch = _codes(screen.batch if screen.batch is not None else np.zeros(screen.n_cells, int))
        self._factors, self._batch = factors, batch[1]
        self._n_batches = len(batch[0])
        self._in_use = np.bincount(self._batch[base], minlength=self._n_batches) > 0
        self._has_batches = screen.batch is not None
        self._drop = drop_empty_batches and self._has_batches
        self._controls = {
            name: self._table(codes[controls], self._batch[controls], len(names))
            for name, (names, codes) in factors.items()
        }

    def _table(self, codes: np.ndarray, batch: np.ndarray, n_levels: int) -> np.ndarray:
        """Cells per level and batch (levels, batches)."""
        at = codes * self._n_batches + batch
        counted = np.bincount(at, minlength=n_levels * self._n_batches)
        return counted.reshape(n_levels, self._n_batches)

    def of(self, treated: np.ndarray) -> dict[str, Any]:
        """The part of a row that counts cells."""
        present = np.bincount(self._batch[treated], minlength=self._n_batches) > 0
        kept = present if self._drop and present.any() else self._in_use
        alone: list[str] = []
        empty: list[str] = []
        stranded = np.zeros(treated.size, dtype=bool)
        for name, (names, codes) in self._factors.items():
            mine = self._table(codes[treated], self._batch[treated], len(names))[:, kept].sum(
                axis=1
            )
            controls = self._controls[name][:, kept].sum(axis=1)
            if self._complement:
                controls = controls - mine
            lonely = (mine > 0) & (controls == 0)
            alone += [f"{name}={names[j]}" for j in np.flatnonzero(lonely)]
            empty += [f"{name}={names[j]}" for j in np.flatnonzero((mine == 0) & (controls > 0))]
            stranded |= lonely[codes[treated]]
        return {
            "n_treated": treated.size,
            "batches": int(present.sum()) if self._has_batches else 0,
            "batches_left_out": int((self._in_use & ~kept).sum()),
            "without_control": some(alone) if alone else "",
            "treated_without_control": int(stranded.sum()),
            "without_treated": some(empty) if empty and treated.size else "",
        }


def _factors(screen: Screen) -> dict[str, tuple[list[str], np.ndarray]]:
    """Name -> (levels, codes (N,)) of the batch and of the model's covariates with few values."""
    factors = {}
    if screen.batch is not None:
        factors["batch"] = _codes(screen.batch)
    table = screen.covariate_table if screen.covariate_table is not None else pd.DataFrame()
    encoded = tuple(screen.covariate_names)
    for column in map(str, table.columns):
        in_model = any(name == column or name.startswith(f"{column}_") for name in encoded)
        values = table[column]
        if not in_model or values.iloc[:FIRST].nunique() > MAX_LEVELS:
            continue
        if not 1 < values.nunique() <= MAX_LEVELS:
            continue
        codes = _codes(values.to_numpy())
        if not any(np.array_equal(codes[1], known[1]) for known in factors.values()):
            factors[column] = codes
    return factors


def _codes(values: np.ndarray) -> tuple[list[str], np.ndarray]:
    codes, levels = pd.factorize(np.asarray(values), sort=True)
    return [f"{level:g}" if isinstance(level, float) else str(level) for level in levels], codes


def _note(row: Any) -> str:
    parts = []
    if row.treated_without_control > MENTION * row.n_treated:
        parts.append(
            f"{row.treated_without_control:,} of {row.n_treated:,} treated cells have no control "
            f"cell at their level ({row.without_control})"
        )
    if row.certain_cells > MENTION * row.n_treated:
        parts.append(
            f"{row.certain_cells:,} cells are treated with a probability above {CERTAIN:g}"
        )
    return "; ".join(parts)


def check_burden(screen: Screen, control: ControlGroup, sampler: Any) -> None:
    """Strata of guide burden must be able to hold treated cells and control cells both.

    Cells that hold only controls have no burden of other guides, and treated cells have: strata of
    it leave nothing to permute, and every p-value is 1.

    Parameters
    ----------
    screen, control
        The screen and its control group.
    sampler
        The sampler; one without a `burden_key` has no such strata.

    Raises
    ------
    OptionError
        The burden tells treated cells from control cells.
    """
    key = getattr(sampler, "burden_key", None)
    table = screen.covariate_table
    if key is None or control.cells is None or table is None or key not in table:
        return
    burden = pd.to_numeric(table[key], errors="coerce").to_numpy(dtype=float)
    treated = (guides_per_cell(screen) > 0) & ~control.cells
    if treated.any() and burden[treated].min() > burden[control.cells].max():
        raise OptionError(
            f"burden_key={key} is above {burden[control.cells].max():.3g} in every treated cell "
            "and in no control cell, so that no stratum holds both: use a sampler without strata "
            "of burden (sampler=stratified), or control=complement"
        )
