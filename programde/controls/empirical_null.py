"""The NTC empirical null: targets against non-targeting guides instead of resamples.

Within each batch (or once on all cells) the outcome is freed of the covariates, each guide and each
target is summed up by its score and information (`summaries`), targets are compared with NTC
guides (`exchange`, or `pseudogenes` without the correction) of similar size (`matching`), and the
batches are combined. With few NTC guides read the floor beside each p-value first: it cannot be
smaller. The t form (`pvals_t`) has no floor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from programde.controls.comparison import UnitTests
from programde.controls.crossfit import crossfit_tables
from programde.controls.exchange import GuideExchange
from programde.controls.groups import default_group_size, group_unit_name, ntc_columns
from programde.controls.guide_sets import (
    NTCSplit,
    check_unit_size,
    sample_ntc_pseudogenes_with_replacement,
    split_ntc_units,
)
from programde.controls.guide_summaries import Stratum, summarise_stratum
from programde.controls.null_tables import EmpiricalNull, as_tables
from programde.controls.options import EmpiricalNullOptions
from programde.controls.pseudogenes import compare_with_pseudogenes
from programde.crt.propensity import PropensityModel
from programde.errors import InputError, nearest, some, tell
from programde.screen.covariates import batch_labels
from programde.screen.screen import Screen


class _Sets:
    """Units in the order in which they are summarised: name, guide columns sorted by guide name."""

    def __init__(self, screen: Screen):
        self._column = {g: c for c, g in enumerate(screen.guide_names)}
        self.columns: list[np.ndarray] = []

    def add(self, units: Sequence[Sequence[str]]) -> np.ndarray:
        """Append units given by guide names; returns their rows."""
        start = len(self.columns)
        for guides in units:
            self.columns.append(np.array([self._column[g] for g in sorted(guides)], dtype=np.int64))
        return np.arange(start, len(self.columns))


def ntc_empirical_null(
    screen: Screen,
    targets: Sequence[str] | None = None,
    options: EmpiricalNullOptions | None = None,
    *,
    seed: int = 123,
    crossfit: bool = False,
    propensity: PropensityModel | None = None,
    n_jobs: int = 1,
    progress: bool | None = None,
) -> EmpiricalNull:
    """Test targets against non-targeting guides.

    Parameters
    ----------
    screen
        The screen.
    targets
        Targets to test, in this order; default all but the NTC labels. What a target is compared
        with does not depend on which others are tested.
    options
        See `EmpiricalNullOptions`.
    seed
        Seed of the guide sets.
    crossfit
        Whether to hold out NTC units as well.
    propensity
        Propensity model for matching on pbar: f(C, x) -> p; None for the default.
    n_jobs
        Threads.
    progress
        Whether to show a progress bar; None on interactive terminals only.

    Returns
    -------
    EmpiricalNull

    Raises
    ------
    InputError
        No guide with an NTC label, an unknown target, fewer NTC guides than a unit needs, meta
        mode without batch labels, no batch with enough cells.
    """
    options = options or EmpiricalNullOptions()
    if options.batch_mode == "auto":
        batches = options.batch_key is not None or screen.batch is not None
        options = replace(options, batch_mode="meta" if batches else "pooled")
    names = screen.guide_names
    ntc = sorted(names[c] for c in ntc_columns(names, screen.guide_to_target, options.ntc_labels))
    size = options.guides_per_unit
    if size is None:
        size = default_group_size(screen, options.ntc_labels)
        options = replace(options, guides_per_unit=size)
    if crossfit or not options.finite_population_correction:
        check_unit_size(len(ntc), size)
    guides_of = _guides_of_targets(screen, options, targets)
    real = [t for t in guides_of if t not in set(options.ntc_labels)]
    tested = real if targets is None else list(targets)

    sets = _Sets(screen)
    row_of = dict(zip(guides_of, sets.add(list(guides_of.values())).tolist(), strict=True))
    rows = np.array([row_of[t] for t in tested], dtype=np.int64)
    target_rows = np.array([row_of[t] for t in real], dtype=np.int64)
    split = null_rows = null_a = held_out = None
    if not options.finite_population_correction:
        null_rows = sets.add(
            sample_ntc_pseudogenes_with_replacement(ntc, size, options.n_ntc_units, seed)
        )
    if crossfit:
        split = _split(ntc, size, options)
        held_out = sets.add(split.units_B)
        if not options.finite_population_correction:
            null_a = sets.add(split.units_A)

    notes: list[str] = []
    strata = _strata(screen, sets.columns, options, propensity, notes)
    column = {g: c for c, g in enumerate(names)}

    def compare(guides: Sequence[str], against: np.ndarray | None, which: np.ndarray) -> UnitTests:
        ntc_cols = np.array([column[g] for g in guides], dtype=np.int64)
        if against is not None:
            return compare_with_pseudogenes(strata, which, ntc_cols, against, target_rows, options)
        test = GuideExchange(
            strata, ntc_cols, [sets.columns[r] for r in target_rows], options, seed
        )
        return test.test([sets.columns[r] for r in which], which, n_jobs, progress)

    labels = [s.label for s in strata] if options.batch_mode == "meta" else []
    result = compare(ntc, null_rows, rows)
    tables = None
    if split is not None and held_out is not None:
        tables = crossfit_tables(
            split,
            compare(split.guides_A, null_a, rows),
            compare(split.guides_A, null_a, held_out),
            tested,
            [group_unit_name(u) for u in split.units_B],
            screen.program_names,
            labels,
            options,
        )
    info = {
        "ntc_guides": ntc,
        "guides_per_unit": size,
        "batches": labels,
        "options": options,
        "notes": notes,
        "n_cells": {s.label: s.n_cells for s in strata},
    }
    return as_tables(result, tested, screen.program_names, labels, info, tables)


def run_ntc_empirical_null(
    inputs: Any,
    genes: Sequence[str] | None = None,
    null_kwargs: Mapping[str, Any] | None = None,
    base_seed: int = 123,
    qq_crossfit: bool = False,
    propensity_model: PropensityModel | None = None,
    n_jobs: int = 1,
    progress: bool | None = None,
) -> EmpiricalNull:
    """`ntc_empirical_null` with the options as a dictionary, names checked.

    Parameters
    ----------
    inputs
        A `Screen`, or anything with a field `screen` that is one.
    genes
        Targets to test.
    null_kwargs
        Fields of `EmpiricalNullOptions`; "matching" is a dictionary of `MatchingOptions`.
    base_seed, qq_crossfit, propensity_model, n_jobs, progress
        See `ntc_empirical_null`.

    Raises
    ------
    OptionError
        A misspelt name (the nearest are offered) or a value that is not allowed.
    """
    screen = inputs if isinstance(inputs, Screen) else getattr(inputs, "screen", None)
    if not isinstance(screen, Screen):
        raise InputError(f"inputs must be a Screen or hold one, not {type(inputs).__name__}")
    return ntc_empirical_null(
        screen,
        genes,
        EmpiricalNullOptions.from_dict(null_kwargs),
        seed=base_seed,
        crossfit=qq_crossfit,
        propensity=propensity_model,
        n_jobs=n_jobs,
        progress=progress,
    )


def _guides_of_targets(
    screen: Screen, options: EmpiricalNullOptions, targets: Sequence[str] | None
) -> dict[str, list[str]]:
    """Guides of all real targets, and of NTC labels that were asked for by name."""
    labels = set(options.ntc_labels)
    every = {
        t: [screen.guide_names[c] for c in columns]
        for t, columns in screen.target_columns().items()
    }
    for target in targets or ():
        if target not in every:
            raise InputError(f"target {target!r} has no guide{nearest(target, every)}")
    asked = set(targets or ())
    return {t: g for t, g in every.items() if t not in labels or t in asked}


def _split(ntc: Sequence[str], size: int, options: EmpiricalNullOptions) -> NTCSplit:
    if len(ntc) <= size:
        raise InputError(
            f"cross-fit needs more NTC guides ({len(ntc)}) than guides_per_unit={size}; "
            "choose a smaller guides_per_unit"
        )
    return split_ntc_units(
        ntc,
        size,
        options.n_ntc_units,
        options.qq_crossfit_frac_A,
        options.qq_crossfit_seed,
        options.n_holdout_units,
    )


def _strata(
    screen: Screen,
    sets: Sequence[np.ndarray],
    options: EmpiricalNullOptions,
    model: PropensityModel | None,
    notes: list[str],
) -> list[Stratum]:
    """Summaries of each batch, or of all cells."""
    pbar_of = ""
    if options.matching.use_pbar:
        pbar_of = "guides" if options.finite_population_correction else "units"
    if options.batch_mode == "pooled":
        parts: list[tuple[str, np.ndarray | None]] = [("all", None)]
    else:
        batch = _batch(screen, options)
        parts = [(str(b), np.flatnonzero(batch == b)) for b in sorted(set(batch.tolist()))]
    strata, lost = [], []
    for label, cells in parts:
        stratum = summarise_stratum(screen, cells, label, sets, pbar_of, model)
        if stratum is None:
            lost.append(label)
        else:
            strata.append(stratum)
    if lost:
        tell(f"batch(es) with too few cells for the covariates left out: {some(lost)}", notes)
    if not strata:
        raise InputError("no batch has more cells than covariates; use batch_mode='pooled'")
    return strata


def _batch(screen: Screen, options: EmpiricalNullOptions) -> np.ndarray:
    key, table = options.batch_key, screen.covariate_table
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
