"""Null draws of the statistic, and their leave-one-out p-values, for genes and sets of guides.

The draws are those behind the p-values of the same unit with the same seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import numpy as np

from programde.calibration.empirical import leave_one_out_p, side_from_code
from programde.compat.inputs import CRTInputs, gene_units, guide_set_unit
from programde.compat.running import (
    Compared,
    ComparedSettings,
    NullSettings,
    no_contrast,
    run_options,
    split_settings,
    visit_null_draws,
    warn_untested,
)
from programde.crt.engine import RunOptions
from programde.errors import InputError
from programde.screen.screen import Unit

Ensemble = Sequence[Mapping[str, Sequence[str]]] | Mapping[Any, Mapping[str, Sequence[str]]]


def crt_null_stats_for_test(
    unit: str | Sequence[Any] | np.ndarray,
    inputs: CRTInputs,
    B: int = 1023,
    base_seed: int = 123,
    **settings: Unpack[ComparedSettings],
) -> np.ndarray:
    """Null draws of the statistic for one unit: what `null_stats` means elsewhere.

    Parameters
    ----------
    unit
        Name of a gene, or column numbers or names of guides.
    inputs
        From `prepare_crt_inputs`.
    B, base_seed
        Number of resamples, and seed.
    **settings
        See `programde.compat.running.ComparedSettings`.

    Returns
    -------
    (B, K) float64

    Raises
    ------
    InputError
        The unit has no treated or no control cells, or is collinear with the covariates.
    """
    chosen = unit_of(inputs, unit)
    work, against = split_settings(inputs, settings)
    options = run_options(inputs, B, base_seed, work)
    found: list[np.ndarray] = []
    result = visit_null_draws(
        inputs, [chosen], options, lambda _, draws, __: found.append(draws), against=against
    )
    if not found:
        raise InputError(f"{chosen.name} cannot be tested: {result.status[0]}")
    return found[0]


def compute_gene_null_pvals(
    gene: str,
    inputs: CRTInputs,
    B: int = 1023,
    base_seed: int = 123,
    *,
    side_code: int = 0,
    **settings: Unpack[ComparedSettings],
) -> np.ndarray:
    """Leave-one-out null p-values of a gene: each draw judged by the others.

    Parameters
    ----------
    gene
        A gene with guides.
    side_code
        0 both, -1 left, 1 right.
    inputs, B, base_seed, **settings
        See `crt_null_stats_for_test`.

    Returns
    -------
    (B, K) float64
        Multiples of 1/B; all 1 for a gene without treated or control cells (with a warning).
    """
    (unit,) = gene_units(inputs, gene)
    work, against = split_settings(inputs, settings)
    return _null_p(inputs, unit, run_options(inputs, B, base_seed, work), side_code, against)


def compute_guide_set_null_pvals(
    guide_idx: Sequence[Any] | np.ndarray,
    inputs: CRTInputs,
    B: int = 1023,
    base_seed: int = 123,
    *,
    side_code: int = 0,
    **settings: Unpack[ComparedSettings],
) -> np.ndarray:
    """Leave-one-out null p-values of the union of some guides.

    Parameters
    ----------
    guide_idx
        Column numbers or names of guides.
    inputs, B, base_seed, side_code, **settings
        See `compute_gene_null_pvals`.

    Returns
    -------
    (B, K) float64
    """
    unit = guide_set_unit(inputs, guide_idx)
    work, against = split_settings(inputs, settings)
    return _null_p(inputs, unit, run_options(inputs, B, base_seed, work), side_code, against)


def compute_ntc_group_null_pvals_parallel(
    inputs: CRTInputs,
    ntc_groups_ens: Ensemble,
    B: int,
    base_seed: int = 123,
    n_jobs: int = 8,
    backend: str = "threading",
    *,
    side_code: int = 0,
    **settings: Unpack[NullSettings],
) -> np.ndarray:
    """Leave-one-out null p-values of groups of control guides, for a QQ plot's null curve.

    Parameters
    ----------
    inputs
        From `prepare_crt_inputs`.
    ntc_groups_ens
        From `make_ntc_groups_ensemble`. A group that recurs is drawn once and listed each time.
    B, base_seed
        Number of resamples, and seed.
    n_jobs, backend, **settings
        See `programde.compat.running.ComparedSettings`.
    side_code
        0 both, -1 left, 1 right.

    Returns
    -------
    (number of groups * B * K,) float64
        Groups one after another, in the order of the ensemble. Groups without treated or control
        cells are left out, with a warning.
    """
    groups = [guides for _, part in replicates(ntc_groups_ens) for guides in part.values()]
    units, row_of = distinct_units(inputs, groups)
    given: ComparedSettings = {**settings, "n_jobs": n_jobs, "backend": backend}  # type: ignore[typeddict-item]
    work, against = split_settings(inputs, given)
    options = run_options(inputs, B, base_seed, work)
    side = side_from_code(side_code)
    out = np.empty((len(units), options.n_resamples, len(inputs.program_names)))
    if options.n_resamples == 0:
        return out.reshape(-1)

    def keep(row: int, draws: np.ndarray, observed: np.ndarray) -> None:
        out[row] = leave_one_out_p(draws, side)

    result = visit_null_draws(inputs, units, options, keep, "NTC null draws", against)
    tested = np.array([reason == "" for reason in result.status])
    warn_untested(result, ~tested, "left out of the null")
    rows = np.array([row for row in row_of if tested[row]], dtype=np.intp)
    every_once = rows.size == len(units) and bool((rows == np.arange(rows.size)).all())
    return (out if every_once else out[rows]).reshape(-1)


def replicates(ensemble: Ensemble) -> list[tuple[Any, Mapping[str, Sequence[str]]]]:
    """(replicate, {group: guides}) of an ensemble given as a list or a mapping."""
    if isinstance(ensemble, Mapping):
        inner = list(ensemble.values())
        if inner and not isinstance(inner[0], Mapping):
            return [(0, ensemble)]  # type: ignore[list-item]  # one partition, not an ensemble
        return list(ensemble.items())
    return list(enumerate(ensemble))


def distinct_units(
    inputs: CRTInputs, groups: Sequence[Sequence[str]]
) -> tuple[list[Unit], list[int]]:
    """The different guide sets as units, and for each group the row of its unit."""
    if not groups:
        raise InputError("ntc_groups_ens holds no group; see make_ntc_groups_ensemble")
    row: dict[str, int] = {}
    units: list[Unit] = []
    rows: list[int] = []
    for guides in groups:
        unit = guide_set_unit(inputs, guides)
        if unit.name not in row:
            row[unit.name] = len(units)
            units.append(unit)
        rows.append(row[unit.name])
    return units, rows


def unit_of(inputs: CRTInputs, unit: str | Sequence[Any] | np.ndarray) -> Unit:
    """A gene by its name, or a set of guides by column numbers or names."""
    if isinstance(unit, str):
        return gene_units(inputs, unit)[0]
    return guide_set_unit(inputs, unit)


def _null_p(
    inputs: CRTInputs, unit: Unit, options: RunOptions, side_code: int, against: Compared
) -> np.ndarray:
    side = side_from_code(side_code)
    shape = (options.n_resamples, len(inputs.program_names))
    if options.n_resamples == 0:
        return np.ones(shape)
    found: list[np.ndarray] = []
    result = visit_null_draws(
        inputs, [unit], options, lambda _, draws, __: found.append(draws), against=against
    )
    if found:
        return leave_one_out_p(found[0], side)
    blank = bool(no_contrast(result)[0])
    warn_untested(result, np.ones(1, dtype=bool), f"p-values set to {1 if blank else 'NaN'}")
    return np.full(shape, 1.0 if blank else np.nan)
