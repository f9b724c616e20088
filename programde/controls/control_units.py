"""Control units: what is kept of a screen for targets to be compared with its NTC guides.

Guides and targets are summed up by their scores and information, batch by batch
(`guide_summaries`). These few numbers per unit are all that the comparison needs
(`empirical_null`, `crossfit`), so that its rules can be changed without the screen: control units
are made once, stored, and read by whoever compares.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from threadpoolctl import threadpool_limits

from programde.controls.groups import default_group_size, ntc_columns
from programde.controls.guide_sets import NTCSplit, pseudogene_sets, split_ntc_units
from programde.controls.guide_summaries import Batch, Sums, summarise_batch
from programde.controls.options import ControlUnitOptions, CrossfitOptions
from programde.crt.propensity import PropensityModel
from programde.errors import InputError, nearest, some, tell
from programde.screen.control_labels import resolved
from programde.screen.covariates import batch_labels
from programde.screen.screen import Screen
from programde.short_form import ShortForm, listed


@dataclass(frozen=True)
class HeldOut:
    """NTC guides that are held out, to be tested against the others.

    Attributes
    ----------
    split
        Which guides define the null (A) and which are held out (B), and the units of both.
    units : (U,) int64
        Rows of the units of B in `ControlUnits`.
    null : (R,) int64
        Rows of the pseudo-genes of A; empty where guides are exchanged.
    options
        How they were held out.
    """

    split: NTCSplit
    units: np.ndarray
    null: np.ndarray
    options: CrossfitOptions


@dataclass(frozen=True, repr=False)
class ControlUnits(ShortForm):
    """Summaries of the guides and units of a screen.

    Attributes
    ----------
    programs : K names
    guides : J names
        Guides, in the order of the screen's columns.
    ntc : (M,) int64
        Columns of the NTC guides, by guide name.
    targets : G names
        Targets, NTC labels among them; the first G units.
    ntc_labels
        Targets that mark NTC guides.
    members
        Columns of the guides of each unit: targets, pseudo-genes, held-out units and their null.
    pseudogenes : (R,) int64
        Units that are pseudo-genes; empty where guides are exchanged.
    batches
        Summaries of the J guides and of all units in each batch, or in all cells.
    options
        How they were made: nothing is left open in them.
    seed
        Seed of the sets of guides.
    held_out, why_none_held_out
        None where no NTC guide is held out, and the reason.
    notes
        What was changed on the way.

    Examples
    --------
    >>> import programde as pde
    >>> adata = pde.make_sceptre_style_synth(N=400, K=3, n_target_genes=4, seed=0)
    >>> screen = pde.screen_from_anndata(adata, usage_key="usage")
    >>> pde.control_units(screen, "NTC", pde.ControlUnitOptions(guides_per_unit=2)).targets
    ['GENE00000', 'GENE00001', 'GENE00002', 'GENE00003', 'NTC']
    """

    programs: list[str]
    guides: list[str]
    ntc: np.ndarray
    targets: list[str]
    ntc_labels: list[str]
    members: list[np.ndarray]
    pseudogenes: np.ndarray
    batches: list[Batch]
    options: ControlUnitOptions
    seed: int
    held_out: HeldOut | None
    why_none_held_out: str
    notes: list[str]

    def _facts(self) -> tuple[str, Mapping[str, object]]:
        facts: dict[str, object] = {
            "programs": listed(self.programs),
            "targets": listed(self.targets),
            "control labels": listed(self.ntc_labels),
            "control guides": f"{len(self.ntc):,} of {len(self.guides):,} guides",
            "units": f"{len(self.members):,}",
            "batches": len(self.batches),
            "held out": self.why_none_held_out or "some control guides",
        }
        return "ControlUnits: what targets are compared with by ntc_empirical", facts

    @property
    def real(self) -> np.ndarray:
        """(G',) int64, the units that are real targets."""
        labels = set(self.ntc_labels)
        return np.array([i for i, t in enumerate(self.targets) if t not in labels], dtype=np.int64)

    @property
    def batch_labels(self) -> list[str]:
        """Labels of the batches; none where all cells are taken as one."""
        return [b.label for b in self.batches] if self.options.batch_mode == "meta" else []

    def rows(self, targets: Sequence[str]) -> np.ndarray:
        """(U,) int64, the units of some targets.

        Raises
        ------
        InputError
            A target has no guide.
        """
        place = {target: row for row, target in enumerate(self.targets)}
        for target in targets:
            if target not in place:
                raise InputError(f"target {target!r} has no guide{nearest(target, place)}")
        return np.array([place[t] for t in targets], dtype=np.int64)

    def columns(self, guides: Iterable[str]) -> np.ndarray:
        """(M,) int64, the columns of some guides."""
        place = {guide: column for column, guide in enumerate(self.guides)}
        return np.array([place[g] for g in guides], dtype=np.int64)


def control_units(
    screen: Screen,
    ntc_labels: str | Iterable[str],
    options: ControlUnitOptions | None = None,
    *,
    crossfit: CrossfitOptions | None = None,
    seed: int = 123,
    exclude_guides: Iterable[str] = (),
    batch_key: str | None = None,
    propensity: PropensityModel | None = None,
) -> ControlUnits:
    """Make the control units of a screen; what `calibrate(..., "ntc_empirical")` compares with.

    Parameters
    ----------
    screen
        The screen.
    ntc_labels
        Targets that mark NTC guides; one label or several, of which some may not exist.
    options
        See `ControlUnitOptions`.
    crossfit
        How NTC guides are held out; None: they are not.
    seed
        Seed of the sets of guides.
    exclude_guides
        Guides that are in no unit, of targets or of controls.
    batch_key
        Covariate column that holds the batch; None: the screen's own batch labels.
    propensity
        Propensity model for matching on pbar: f(C, x) -> p; None for the default.

    Returns
    -------
    ControlUnits
        Summaries of the guides and units of the screen.

    Raises
    ------
    InputError
        No guide with an NTC label, fewer NTC guides than a pseudo-gene needs, meta mode without
        batch labels, no batch with enough cells.

    Examples
    --------
    >>> import programde as pde
    >>> adata = pde.make_sceptre_style_synth(N=400, K=3, n_target_genes=4, seed=0)
    >>> screen = pde.screen_from_anndata(adata, usage_key="usage")
    >>> options = pde.ControlUnitOptions(guides_per_unit=2)
    >>> units = pde.control_units(screen, "NTC", options)
    >>> len(units.ntc)
    4
    """
    if out := set(exclude_guides):
        kept = {g: t for g, t in screen.guide_to_target.items() if g not in out}
        screen = replace(screen, guide_to_target=kept)
    labels = resolved(list(screen.target_columns()), ntc_labels)
    options = _settled(screen, labels, options or ControlUnitOptions(), batch_key)
    names = list(screen.guide_names)
    ntc = sorted(names[c] for c in ntc_columns(names, screen.guide_to_target, labels))
    size = options.guides_per_unit or 1
    columns_of = screen.target_columns()
    place = {g: c for c, g in enumerate(names)}

    members: list[np.ndarray] = []

    def add(units: Iterable[Iterable[str]]) -> np.ndarray:
        """Units by their guides, sorted by name; returns their rows."""
        start = len(members)
        members.extend(np.array([place[g] for g in sorted(u)], dtype=np.int64) for u in units)
        return np.arange(start, len(members), dtype=np.int64)

    none = np.empty(0, dtype=np.int64)
    add([names[c] for c in columns] for columns in columns_of.values())
    exchange = options.finite_population_correction
    pseudogenes = none if exchange else add(pseudogene_sets(ntc, size, options.n_ntc_units, seed))
    held_out, why_not = None, "not asked for"
    if crossfit is not None:
        why_not = _cannot_hold_out(len(ntc), size)
        if not why_not:
            split = _split(ntc, size, crossfit)
            units = add(split.units_B)
            held_out = HeldOut(split, units, none if exchange else add(split.units_A), crossfit)
    notes: list[str] = []
    with threadpool_limits(limits=1):  # small factorizations: threads only wait for each other
        batches = _batches(screen, members, options, batch_key, propensity, notes)
    return ControlUnits(
        programs=list(screen.program_names),
        guides=names,
        ntc=np.array([place[g] for g in ntc], dtype=np.int64),
        targets=list(columns_of),
        ntc_labels=labels,
        members=members,
        pseudogenes=pseudogenes,
        batches=batches,
        options=options,
        seed=seed,
        held_out=held_out,
        why_none_held_out=why_not,
        notes=notes,
    )


def _settled(
    screen: Screen, labels: list[str], options: ControlUnitOptions, batch_key: str | None
) -> ControlUnitOptions:
    """The options with nothing left open."""
    if options.batch_mode == "auto":
        batches = batch_key is not None or screen.batch is not None
        options = replace(options, batch_mode="meta" if batches else "pooled")
    if options.guides_per_unit is None:
        options = replace(options, guides_per_unit=default_group_size(screen, labels))
    return options


def _cannot_hold_out(n_guides: int, size: int) -> str:
    """Why no NTC guide can be held out; empty where some can."""
    if n_guides <= size:
        return (
            f"cross-fit needs more NTC guides ({n_guides}) than guides_per_unit={size}; "
            "choose a smaller guides_per_unit"
        )
    return ""


def _split(ntc: Sequence[str], size: int, options: CrossfitOptions) -> NTCSplit:
    return split_ntc_units(
        ntc,
        size,
        options.n_ntc_units,
        options.frac_A,
        options.seed,
        options.n_holdout_units,
    )


def _batches(
    screen: Screen,
    members: Sequence[np.ndarray],
    options: ControlUnitOptions,
    batch_key: str | None,
    model: PropensityModel | None,
    notes: list[str],
) -> list[Batch]:
    """Summaries of each batch, or of all cells."""
    pbar_of = ""
    if options.use_pbar:
        pbar_of = "guides" if options.finite_population_correction else "units"
    if options.batch_mode == "pooled":
        parts: list[tuple[str, np.ndarray | None]] = [("all", None)]
    else:
        batch = _batch_of_cells(screen, batch_key)
        parts = [(str(b), np.flatnonzero(batch == b)) for b in sorted(set(batch.tolist()))]
    made, lost = [], []
    for label, cells in parts:
        one = summarise_batch(screen, cells, label, members, pbar_of, model)
        if one is None:
            lost.append(label)
        else:
            made.append(replace(one, guides=_light(one.guides), units=_light(one.units)))
    if lost:
        tell(f"batch(es) with too few cells for the covariates left out: {some(lost)}", notes)
    if not made:
        raise InputError("no batch has more cells than covariates; use batch_mode='pooled'")
    return made


def _light(sums: Sums) -> Sums:
    return replace(sums, projection=None)


def _batch_of_cells(screen: Screen, key: str | None) -> np.ndarray:
    table = screen.covariate_table
    if key is None:
        if screen.batch is None:
            raise InputError(
                "batch_mode='meta' needs batch labels and the screen has none; "
                "give batch_key, or batch_mode='pooled'"
            )
        return screen.batch
    if table is None:
        raise InputError(f"batch_key={key!r}: the covariates came as an array without names")
    if key not in table.columns:
        raise InputError(f"batch_key={key!r} is not a covariate{nearest(key, table.columns)}")
    return batch_labels(table, key)
