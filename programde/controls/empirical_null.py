"""The NTC empirical null: targets against non-targeting guides instead of resamples.

Within each batch (or once on all cells) the outcome is freed of the covariates, each guide and each
target is summed up by its score and information (`control_units`), targets are compared with NTC
guides (`exchange`, or `pseudogenes` without the correction) of similar size (`matching`), and the
batches are combined. With few NTC guides read the floor beside each p-value first: it cannot be
smaller. The t form (`pvals_t`) has no floor.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from programde.controls.against_controls import compare
from programde.controls.control_units import ControlUnits, control_units
from programde.controls.crossfit import CrossFit, cross_fit
from programde.controls.null_tables import EmpiricalNull, NullInfo, as_tables
from programde.controls.options import ComparisonOptions, ControlUnitOptions, CrossfitOptions
from programde.crt.propensity import PropensityModel
from programde.errors import InputError, nearest
from programde.screen.screen import Screen


def compare_targets(
    units: ControlUnits,
    targets: Sequence[str] | None = None,
    rules: ComparisonOptions | None = None,
    *,
    crossfit: bool = False,
    n_jobs: int = 1,
    progress: bool | None = None,
) -> EmpiricalNull:
    """Test targets against the NTC guides of control units; no screen is needed.

    Parameters
    ----------
    units
        From `control_units`.
    targets
        Targets to test, in this order; default all but the NTC labels. What a target is compared
        with does not depend on which others are tested.
    rules
        See `ComparisonOptions`.
    crossfit
        Whether the held-out NTC units, where there are some, are tested as well.
    n_jobs
        Threads.
    progress
        Whether to show a progress bar; None on interactive terminals only.

    Raises
    ------
    InputError
        An unknown target.
    """
    rules = rules or ComparisonOptions()
    tested = [units.targets[i] for i in units.real.tolist()] if targets is None else list(targets)
    rows = units.rows(tested)
    result = compare(units, units.ntc, units.pseudogenes, rows, rules, n_jobs, progress)
    held: CrossFit | None = None
    if crossfit:
        held = cross_fit(units, rules, tested, n_jobs=n_jobs, progress=progress)
    info: NullInfo = {
        "ntc_guides": [units.guides[c] for c in units.ntc.tolist()],
        "ntc_labels": units.ntc_labels,
        "guides_per_unit": units.options.guides_per_unit,
        "batches": units.batch_labels,
        "options": units.options,
        "rules": rules,
        "notes": units.notes,
        "n_cells": {b.label: b.n_cells for b in units.batches},
    }
    return as_tables(result, tested, units.programs, units.batch_labels, info, held)


def ntc_empirical_null(
    screen: Screen,
    targets: Sequence[str] | None = None,
    options: ControlUnitOptions | None = None,
    rules: ComparisonOptions | None = None,
    *,
    ntc_labels: str | Iterable[str],
    crossfit: CrossfitOptions | None = None,
    seed: int = 123,
    batch_key: str | None = None,
    propensity: PropensityModel | None = None,
    n_jobs: int = 1,
    progress: bool | None = None,
) -> EmpiricalNull:
    """Test targets against the non-targeting guides of a screen.

    Parameters
    ----------
    screen
        The screen.
    targets, rules, n_jobs, progress
        See `compare_targets`.
    options, ntc_labels, crossfit, seed, batch_key, propensity
        See `control_units`.

    Raises
    ------
    InputError
        An unknown target, too few NTC guides to hold some out, or as `control_units` raises.
    """
    known = screen.target_columns()
    for target in targets or ():
        if target not in known:
            raise InputError(f"target {target!r} has no guide{nearest(target, known)}")
    units = control_units(
        screen,
        ntc_labels,
        options,
        crossfit=crossfit,
        seed=seed,
        batch_key=batch_key,
        propensity=propensity,
    )
    if crossfit is not None and units.held_out is None:
        raise InputError(units.why_none_held_out)
    return compare_targets(
        units, targets, rules, crossfit=crossfit is not None, n_jobs=n_jobs, progress=progress
    )
