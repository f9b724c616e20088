"""A screen as the tests see it: checked, aligned, transformed; one object, never modified."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy import sparse

from programde.screen.options import TRANSFORMS
from programde.short_form import ShortForm, listed


@dataclass(frozen=True)
class Unit:
    """What is tested as one: a target gene (the union of its guides) or a group of guides.

    Attributes
    ----------
    name
        Name of the unit; its random stream is derived from this name.
    guides
        Names of the guides whose union marks the treated cells.
    columns
        Their columns in `Screen.guides`.
    """

    name: str
    guides: tuple[str, ...]
    columns: tuple[int, ...]


@dataclass(frozen=True, repr=False)
class Screen(ShortForm):
    """A Perturb-seq screen summarised by gene-program usages (N cells, K programs).

    Attributes
    ----------
    usage : (N, K) float64
        Usages after flooring and renormalising; rows sum to 1. Program scores as they came, where
        `transform` is ``"none"``.
    clr : (N, K) float64
        What is tested: `usage` on the scale of `transform`. By default its centred log-ratio
        (natural log), whose rows sum to 0.
    floor : float
        The floor epsilon that was applied; 0 for none.
    covariates : (N, p) float64
        Encoded covariates of full column rank, the intercept (if any) first.
    covariate_names
        Names of the p encoded columns.
    covariate_table
        The covariates as they came, before encoding; None where they came as an array.
    batch : (N,) object or None
        Batch label of each cell, as str; None where there is no batch column.
    guides : (N, n_guides) csc_matrix, int8
        1 where the guide is present; no stored zeros.
    guide_names
        Names of the guides, in column order, unique.
    guide_to_target
        Target of each guide; guides without one are absent.
    program_names
        Names of the K programs.
    cell_names
        Names of the N cells.
    notes
        What was changed on the user's behalf while the screen was read, one sentence each.
    condition : (N,) object or None
        Level of each cell (time point, cell type, ...) by which the analysis is repeated, as str.
    moi : {"high", "low"} or None
        What is known of the number of perturbations per cell; None where nothing is stated.
    ambiguous : (N, n_guides) csc_matrix, int8, or None
        1 where a guide's value lies between absent and present: such a cell is neither treated nor
        control in that guide's tests. None where every value is one or the other.
    spectra : DataFrame (K, n_genes) or None
        Weight of each gene in each program, by program name; None where the source has none.
    program_labels
        Program -> what people call it, for those that were named by hand.
    further_targets
        The other targets of guides that have several: such a guide belongs to each of them.
    transform
        The scale of `clr`: one of `TRANSFORMS`.
    unfloored : (N, K) float64 or None
        Usages before flooring, where they are kept.
    covariate_tiers : (p,) int8 or None
        0 for the intercept, indicators and straight columns, 1 for curvature, 2 for interactions: a
        propensity may give up the higher ones where treated cells are few. None: it takes all.

    Examples
    --------
    >>> import programde as pde
    >>> adata = pde.make_sceptre_style_synth(N=400, K=3, n_target_genes=4, seed=0)
    >>> screen = pde.screen_from_anndata(adata, usage_key="usage")
    >>> screen.n_cells, len(screen.program_names), screen.covariates.shape
    (400, 3, (400, 9))
    """

    usage: np.ndarray
    clr: np.ndarray
    floor: float
    covariates: np.ndarray
    covariate_names: list[str]
    covariate_table: pd.DataFrame | None
    batch: np.ndarray | None
    guides: sparse.csc_matrix
    guide_names: list[str]
    guide_to_target: Mapping[str, str]
    program_names: list[str]
    cell_names: list[str]
    notes: Sequence[str] = field(default_factory=tuple)
    condition: np.ndarray | None = None
    moi: str | None = None
    ambiguous: sparse.csc_matrix | None = None
    spectra: pd.DataFrame | None = None
    program_labels: Mapping[str, str] = field(default_factory=dict)
    further_targets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    transform: str = "clr"
    unfloored: np.ndarray | None = None
    covariate_tiers: np.ndarray | None = None

    def _facts(self) -> tuple[str, Mapping[str, object]]:
        columns = f"{self.covariates.shape[1]} columns"
        if self.covariate_table is not None:
            columns += f" of {listed(list(self.covariate_table.columns))}"
        facts: dict[str, object] = {
            "targets": listed(list(self.target_columns())),
            "guides": listed(self.guide_names),
            "programs": listed(self.program_names),
            "covariates": columns,
        }
        if self.batch is not None:
            facts["batches"] = listed(list(np.unique(self.batch)))
        if self.condition is not None:
            facts["conditions"] = listed(list(np.unique(self.condition)))
        facts["tested"] = f"{self.effect_unit}, floor {self.floor:.2g}"
        if self.notes:
            facts["notes"] = listed(self.notes, 1)
        return f"Screen of {self.n_cells:,} cells x {self.n_programs:,} programs", facts

    @property
    def n_cells(self) -> int:
        return self.usage.shape[0]

    @property
    def effect_unit(self) -> str:
        """What a shift of the outcome is measured in."""
        return TRANSFORMS[self.transform]

    @property
    def n_programs(self) -> int:
        return self.usage.shape[1]

    def target_columns(self) -> dict[str, list[int]]:
        """Columns of each target's guides, targets in order of first appearance."""
        columns: dict[str, list[int]] = {}
        for column, guide in enumerate(self.guide_names):
            target = self.guide_to_target.get(guide)
            if target is None:
                continue
            for each in (target, *self.further_targets.get(guide, ())):
                columns.setdefault(each, []).append(column)
        return columns

    def unit(self, name: str, guides: Sequence[str]) -> Unit:
        """A unit from guide names; their order does not matter."""
        index = {guide: column for column, guide in enumerate(self.guide_names)}
        columns = sorted(index[g] for g in guides)
        return Unit(name, tuple(self.guide_names[c] for c in columns), tuple(columns))

    def target_units(self, targets: Sequence[str] | None = None) -> list[Unit]:
        """One unit per target, in the order asked (default: order of first appearance)."""
        columns = self.target_columns()
        names = list(columns) if targets is None else list(targets)
        return [
            Unit(name, tuple(self.guide_names[c] for c in columns[name]), tuple(columns[name]))
            for name in names
        ]

    def treated_cells(self, unit: Unit) -> np.ndarray:
        """Sorted indices of the cells that hold at least one guide of the unit."""
        parts = [
            self.guides.indices[self.guides.indptr[c] : self.guides.indptr[c + 1]]
            for c in unit.columns
        ]
        if not parts:
            return np.empty(0, dtype=np.intp)
        cells = np.sort(np.concatenate(parts), kind="stable").astype(np.intp)  # runs are merged
        new = np.ones(cells.size, dtype=bool)
        np.not_equal(cells[1:], cells[:-1], out=new[1:])
        return cells[new]
