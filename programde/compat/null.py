"""Null draws of the statistic, and their leave-one-out p-values, for genes and sets of guides.

The draws are those behind the p-values of the same unit with the same seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import numpy as np

from programde.calibration.empirical import leave_one_out_p, side_from_code
from programde.compat.inputs import CRTInputs, gene_units, guide_set_unit
from programde.compat.propensity import fit_propensity_logistic
from programde.compat.running import Compared, how_to_test, visit_null_draws, warn_untested
from programde.compat.settings import Further, NullSettings, tested_by, whole_number
from programde.crt.engine import RunOptions
from programde.crt.propensity import PropensityModel
from programde.errors import InputError, OptionError, nearest, tell
from programde.screen.screen import Unit

Ensemble = Sequence[Mapping[str, Sequence[str]]] | Mapping[Any, Mapping[str, Sequence[str]]]


def crt_null_stats_for_test(
    gene: str | Sequence[Any] | np.ndarray,
    program_index: int | str | None,
    inputs: CRTInputs,
    B: int = 1023,
    base_seed: int = 123,
    propensity_model: PropensityModel | None = fit_propensity_logistic,
    *,
    resampling_method: str = "bernoulli_index",
    resampling_kwargs: Mapping[str, Any] | None = None,
    test_stat: str | None = "ols",
    test_stat_kwargs: Mapping[str, Any] | None = None,
    **further: Unpack[Further],
) -> np.ndarray:
    """Null draws of the statistic for one test: what `null_stats` means elsewhere.

    Parameters
    ----------
    gene
        Name of a gene; column numbers or names of guides will do.
    program_index
        Number or name of a program; None: all programs.
    inputs
        From `prepare_crt_inputs`.
    B, base_seed
        Number of resamples, and seed.
    propensity_model, resampling_method, resampling_kwargs, test_stat, test_stat_kwargs, **further
        See `programde.compat.settings`.

    Returns
    -------
    (B,) or (B, K) float64
        A vector for one program, a matrix for all of them.

    Raises
    ------
    InputError
        The unit has no treated or no control cells, or is collinear with the covariates.

    Examples
    --------
    >>> import programde as pde
    >>> adata = pde.make_sceptre_style_synth(N=400, K=3, n_target_genes=4, seed=0)
    >>> inputs = pde.prepare_crt_inputs(adata, usage_key="usage")
    >>> pde.crt_null_stats_for_test("GENE00000", "program_1", inputs, B=99).shape
    (99,)
    """
    program = _program(inputs, program_index)
    unit = unit_of(inputs, gene)
    settings = tested_by(
        propensity_model, resampling_method, resampling_kwargs, test_stat, test_stat_kwargs
    )
    options, against = how_to_test(inputs, B, base_seed, settings, further)
    draws, why = _draws(inputs, unit, options, against)
    if draws is None:
        raise InputError(f"{unit.name} cannot be tested: {why}")
    return draws if program is None else draws[:, program]


def compute_gene_null_pvals(
    gene: str,
    inputs: CRTInputs,
    B: int = 1023,
    base_seed: int = 123,
    propensity_model: PropensityModel | None = fit_propensity_logistic,
    resampling_method: str = "bernoulli_index",
    resampling_kwargs: Mapping[str, Any] | None = None,
    side_code: int = 0,
    test_stat: str | None = "ols",
    test_stat_kwargs: Mapping[str, Any] | None = None,
    **further: Unpack[Further],
) -> np.ndarray:
    """Leave-one-out null p-values of a gene: each draw judged by the others.

    Parameters
    ----------
    gene
        A gene with guides.
    inputs, B, base_seed
        See `crt_null_stats_for_test`.
    propensity_model, resampling_method, resampling_kwargs
        See `programde.compat.settings`.
    side_code
        0 both, -1 left, 1 right.
    test_stat, test_stat_kwargs, **further
        See `programde.compat.settings`.

    Returns
    -------
    (B, K) float64
        Multiples of 1/B.

    Raises
    ------
    InputError
        A gene that cannot be tested (a ValueError).

    Examples
    --------
    >>> import programde as pde
    >>> adata = pde.make_sceptre_style_synth(N=400, K=3, n_target_genes=4, seed=0)
    >>> inputs = pde.prepare_crt_inputs(adata, usage_key="usage")
    >>> pde.compute_gene_null_pvals("GENE00000", inputs, B=99).shape
    (99, 3)
    """
    (unit,) = gene_units(inputs, gene)
    settings = tested_by(
        propensity_model, resampling_method, resampling_kwargs, test_stat, test_stat_kwargs
    )
    options, against = how_to_test(inputs, B, base_seed, settings, further)
    p, why = _null_p(inputs, unit, options, side_code, against)
    if p is None:
        raise InputError(f"gene {gene!r} cannot be tested: {why}")
    return p


def compute_guide_set_null_pvals(
    guide_idx: Sequence[Any] | np.ndarray,
    inputs: CRTInputs,
    B: int = 1023,
    base_seed: int = 123,
    propensity_model: PropensityModel | None = fit_propensity_logistic,
    resampling_method: str = "bernoulli_index",
    resampling_kwargs: Mapping[str, Any] | None = None,
    side_code: int = 0,
    test_stat: str | None = "ols",
    test_stat_kwargs: Mapping[str, Any] | None = None,
    **further: Unpack[Further],
) -> np.ndarray:
    """Leave-one-out null p-values of the union of some guides.

    Parameters
    ----------
    guide_idx
        Column numbers or names of guides.
    inputs, B, base_seed
        See `crt_null_stats_for_test`.
    propensity_model, resampling_method, resampling_kwargs
        See `programde.compat.settings`.
    side_code
        0 both, -1 left, 1 right.
    test_stat, test_stat_kwargs, **further
        See `programde.compat.settings`.

    Returns
    -------
    (B, K) float64
        All 1 for a set that cannot be tested (with a warning).

    Examples
    --------
    >>> import programde as pde
    >>> adata = pde.make_sceptre_style_synth(N=400, K=3, n_target_genes=4, seed=0)
    >>> inputs = pde.prepare_crt_inputs(adata, usage_key="usage")
    >>> pde.compute_guide_set_null_pvals(["NTC_g1", "NTC_g2"], inputs, B=99).shape
    (99, 3)
    """
    unit = guide_set_unit(inputs, guide_idx)
    settings = tested_by(
        propensity_model, resampling_method, resampling_kwargs, test_stat, test_stat_kwargs
    )
    options, against = how_to_test(inputs, B, base_seed, settings, further)
    p, why = _null_p(inputs, unit, options, side_code, against)
    if p is not None:
        return p
    tell(f"{unit.name} cannot be tested ({why}): its null p-values are set to 1")
    return np.ones((options.n_resamples, len(inputs.program_names)))


def compute_ntc_group_null_pvals_parallel(
    inputs: CRTInputs,
    ntc_groups_ens: Ensemble,
    B: int,
    base_seed: int = 123,
    n_jobs: int = 8,
    backend: str = "threading",
    resampling_method: str = "bernoulli_index",
    resampling_kwargs: Mapping[str, Any] | None = None,
    test_stat: str | None = "ols",
    test_stat_kwargs: Mapping[str, Any] | None = None,
    *,
    side_code: int = 0,
    **further: Unpack[NullSettings],
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
    n_jobs, backend, resampling_method, resampling_kwargs, test_stat, test_stat_kwargs
        See `programde.compat.settings`; take those of the main run.
    side_code
        0 both, -1 left, 1 right.
    **further
        See `programde.compat.settings`.

    Returns
    -------
    (number of groups * B * K,) float64
        Groups one after another, in the order of the ensemble. Groups without treated or control
        cells are left out, with a warning.

    Examples
    --------
    Two groups of two control guides on three programs:

    >>> import programde as pde
    >>> adata = pde.make_sceptre_style_synth(N=400, K=3, n_target_genes=4, seed=0)
    >>> inputs = pde.prepare_crt_inputs(adata, usage_key="usage")
    >>> groups = [{"a": ["NTC_g1", "NTC_g2"], "b": ["NTC_g3", "NTC_g4"]}]
    >>> pde.compute_ntc_group_null_pvals_parallel(inputs, groups, B=99).shape
    (594,)
    """
    groups = [guides for _, part in replicates(ntc_groups_ens) for guides in part.values()]
    units, row_of = distinct_units(inputs, groups)
    settings = {
        "n_jobs": n_jobs,
        "backend": backend,
        "resampling_method": resampling_method,
        "resampling_kwargs": resampling_kwargs,
        "test_stat": test_stat,
        "test_stat_kwargs": test_stat_kwargs,
    }
    options, against = how_to_test(inputs, B, base_seed, settings, further)
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


def _program(inputs: CRTInputs, program: int | str | None) -> int | None:
    """The number of a program given by number or name."""
    names = list(inputs.program_names)
    if program is None:
        return None
    if isinstance(program, str):
        if program not in names:
            raise InputError(f"no program {program!r}{nearest(program, names)}")
        return names.index(program)
    number = whole_number("program_index", program)
    if not -len(names) <= number < len(names):
        raise OptionError(f"program_index={program} does not exist: there are {len(names)}")
    return number


def _draws(
    inputs: CRTInputs, unit: Unit, options: RunOptions, against: Compared
) -> tuple[np.ndarray | None, str]:
    """Null draws (B, K) of a unit; or None, and why there are none."""
    found: list[np.ndarray] = []
    result = visit_null_draws(
        inputs, [unit], options, lambda _, draws, __: found.append(draws), against=against
    )
    return (found[0], "") if found else (None, result.status[0])


def _null_p(
    inputs: CRTInputs, unit: Unit, options: RunOptions, side_code: int, against: Compared
) -> tuple[np.ndarray | None, str]:
    side = side_from_code(side_code)
    if options.n_resamples == 0:
        return np.ones((0, len(inputs.program_names))), ""
    draws, why = _draws(inputs, unit, options, against)
    return (None if draws is None else leave_one_out_p(draws, side)), why
