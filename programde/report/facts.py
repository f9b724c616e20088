"""All that the report of a run is made from: plain tables, numbers and words, each with a name."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import pandas as pd

from programde.report.checked_tables import Metrics, need_columns, tested_column
from programde.report.positive_controls import judged_controls
from programde.report.power import Missed

PACKAGES = ("programde", "numpy", "scipy", "pandas", "numba", "scikit-learn", "anndata")


@dataclass(frozen=True)
class Comparison:
    """Who treated cells were compared with.

    Attributes
    ----------
    kind
        ``"complement"`` (all other cells) or ``"nt_cells"``.
    reason
        Why.
    warning
        What makes this comparison doubtful; empty where nothing does.
    left_out
        How many treated cells are in neither group, as a sentence; empty for none.
    """

    kind: str
    reason: str
    warning: str = ""
    left_out: str = ""


@dataclass(frozen=True)
class Controls:
    """What the non-targeting guides show.

    Attributes
    ----------
    used
        Kind of the p-values of the results.
    p_values
        Kind -> control groups x programs, as `control_groups.tables_by_kind` gives them.
    metrics
        Kind -> what `calibration_metrics` returned; without `used`, nothing judges the results.
    guides
        Kind -> the same of control guides tested one by one, where `metrics` is of groups of them.
    group_size
        Guides of a group.
    crossfit
        The cross-fit of held-out guides, see `programde.controls.crossfit`; None where there is
        none.
    why_no_crossfit
        Why there is none.
    """

    used: str
    p_values: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    metrics: Mapping[str, Metrics] = field(default_factory=dict)
    group_size: int = 1
    crossfit: Mapping[str, Any] | None = None
    why_no_crossfit: str = ""
    guides: Mapping[str, Metrics] = field(default_factory=dict)


@dataclass(frozen=True)
class Inputs:
    """What came in.

    Attributes
    ----------
    numbers, remarks
        Figures of the input report by name, and what deserves a look in them.
    treated_cells : Series, target -> number of treated cells
    at_floor : Series, program -> share of cells whose usage is at the floor
    guides_per_cell : (cells,) int
    notes
        What was changed on the user's behalf, one sentence each.
    """

    numbers: Mapping[str, float]
    remarks: Sequence[str] = ()
    treated_cells: pd.Series = field(default_factory=lambda: pd.Series(dtype=np.int64))
    at_floor: pd.Series = field(default_factory=lambda: pd.Series(dtype=np.float64))
    guides_per_cell: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Truth:
    """The true effects of a made-up screen (targets x programs), and what `truth_metrics` says."""

    effects: pd.DataFrame
    metrics: Metrics


@dataclass(frozen=True)
class Facts:
    """The facts of a run. Only the first four must be given.

    Attributes
    ----------
    results : DataFrame
        The tidy results table, one row per target x program: at least `target, program, effect,
        p_value, q_value`; `guide` where guides were tested one by one; `condition, effect_se,
        n_treated, calibration, branch, fallback, reason, p_moments` are used where present.
    controls, comparison, inputs
        See there.
    omnibus : DataFrame, optional
        One row per target: does it shift any program?
    across : DataFrame, optional
        One row per target x program, over all conditions.
    guides : DataFrame, optional
        One row per target x program: do its guides agree? See `controls.concordance`.
    units : DataFrame, optional
        One row per target (and condition): its cells, batches, separation. See
        `analysis.separation`.
    programs : DataFrame, optional
        By program: `label` (what people call it) and `top_genes` (of its spectra, the first ones
        first), both text, "" where unknown.
    truth
        The true effects, where they are known.
    missed
        Power by known effects in control cells.
    smallest_seen : DataFrame, optional
        By target the smallest effect that would have been seen, see `analysis.detectable`.
    expected : DataFrame, optional
        Positive controls, see `positive_controls.expected_effects`.
    gene_sets : DataFrame
        `program, gene_set, p_value, q_value` and more, see `analysis.gene_sets`; may be empty.
    hit_cells
        Of the strongest hits in their order: the cells behind each, see `details.Cells`.
    guide_effects : DataFrame, optional
        Each guide alone: `guide, target, program, effect, effect_se, n_treated`, and `condition`
        where the analysis was repeated by it.
    level
        The q-value at which something counts as found.
    few
        Targets with fewer treated cells are not tested.
    effect_label
        What an effect is, for the axis of a picture.
    usage_label
        What the usages as they were analysed are measured in: differences of means, and each guide
        alone by least squares, whatever statistic was tested.
    seed
        Of what is resampled for pictures.
    settings
        The configuration, nested as it comes.
    fingerprint
        What identifies the input.
    files
        Path -> what is in it; shown as seen from the page's folder.
    shown_as
        Program -> how the tables name it, where that is not its name (see `with_faces`).

    Raises
    ------
    InputError
        A table lacks a column.
    """

    results: pd.DataFrame
    controls: Controls
    comparison: Comparison
    inputs: Inputs
    omnibus: pd.DataFrame | None = None
    across: pd.DataFrame | None = None
    guides: pd.DataFrame | None = None
    units: pd.DataFrame | None = None
    programs: pd.DataFrame | None = None
    truth: Truth | None = None
    missed: Missed | None = None
    smallest_seen: pd.DataFrame | None = None
    expected: pd.DataFrame | None = None
    gene_sets: pd.DataFrame = field(default_factory=pd.DataFrame)
    hit_cells: Sequence[Any] = ()
    guide_effects: pd.DataFrame | None = None
    level: float = 0.1
    few: int = 10
    effect_label: str = "log-ratio"
    usage_label: str = "log-ratio"
    seed: int = 0
    settings: Mapping[str, object] = field(default_factory=dict)
    fingerprint: Mapping[str, object] | str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    shown_as: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        columns = ("target", "program", "effect", "p_value", "q_value")
        need_columns(self.results, columns, "results table")
        if self.omnibus is not None:
            need_columns(self.omnibus, ("target",), "omnibus table")

    @property
    def tested(self) -> str:
        """What was tested, in a word that is also its column: "target" or "guide"."""
        return tested_column(self.results)

    def faces(self, n_genes: int = 3) -> dict[str, str]:
        """Program -> how it is shown: its name, and its label or the first of its genes."""
        names = [str(name) for name in dict.fromkeys(self.results["program"])]
        faces = dict(zip(names, names, strict=True))
        if self.programs is None:
            return faces
        for name in set(names) & set(self.programs.index):
            known = self.programs.loc[name]
            said = known["label"] or " ".join(known["top_genes"].split(" ")[:n_genes])
            if said and said != name:
                faces[name] = f"{name} · {said}"
        return faces

    @cached_property
    def positive(self) -> pd.DataFrame | None:
        """What became of the positive controls; None where there are none."""
        if self.expected is None:
            return None
        return judged_controls(self.results, self.expected, level=self.level)

    def sets_of(self, most: int = 3, level: float = 0.05) -> dict[str, list[str]]:
        """Program -> the strongest of its gene sets with q <= `level`, with their q-values."""
        found: dict[str, list[str]] = {}
        if len(self.gene_sets):
            best = self.gene_sets[self.gene_sets["q_value"] <= level]
            best = best.sort_values("p_value", kind="stable")
            for program, part in best.groupby("program", sort=False):
                top = part.head(most)
                found[str(program)] = [
                    f"{name} (q {q:.1g})"
                    for name, q in zip(top["gene_set"], top["q_value"], strict=True)
                ]
        return found

    def with_faces(self) -> Facts:
        """The same, programs in all tables named as they are shown."""
        faces = self.faces()
        shown: dict[str, pd.DataFrame] = {}
        for name in ("results", "omnibus", "across", "guides", "expected"):
            table: pd.DataFrame | None = getattr(self, name)
            if table is None:
                continue
            columns = [c for c in ("program", "top_program") if c in table.columns]
            shown[name] = table.assign(**{c: [faces.get(p, p) for p in table[c]] for c in columns})
        return replace(self, **shown, shown_as=faces)  # type: ignore[arg-type]

    @property
    def over_conditions(self) -> pd.DataFrame | None:
        """The table over all conditions, where there are several."""
        return self.across if self.across is not None and len(self.across) else None

    def conditions(self) -> list[tuple[str, pd.DataFrame]]:
        """The results of each level of the condition; none without a condition."""
        if "condition" not in self.results:
            return []
        parts = self.results.groupby("condition", sort=True)
        return [(str(level), part) for level, part in parts]


def installed_versions() -> dict[str, str]:
    """Versions of Python and of the packages that the numbers come from."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
