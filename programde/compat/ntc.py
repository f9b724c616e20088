"""P-values of groups of non-targeting control (NTC) guides, as if they were genes.

How groups are made stands in `programde.compat.ntc_partitions`. A group's draws depend on the seed
and on the set of its guides: raw and skew-normal p-values with the same seed come from the same
draws, and a group that recurs in several partitions is computed once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import numpy as np
import pandas as pd

from programde.calibration.empirical import side_from_code
from programde.compat.crt import answer_for
from programde.compat.inputs import CRTInputs, guide_set_unit
from programde.compat.null import Ensemble, distinct_units, replicates
from programde.compat.propensity import fit_propensity_logistic
from programde.compat.running import how_to_test
from programde.compat.settings import Further, tested_by
from programde.compat.shapes import wide
from programde.crt.propensity import PropensityModel
from programde.errors import tell


def crt_pvals_for_ntc_groups_ensemble(
    inputs: CRTInputs,
    ntc_groups_ens: Ensemble,
    B: int,
    seed0: int,
    propensity_model: PropensityModel | None = fit_propensity_logistic,
    resampling_method: str = "bernoulli_index",
    resampling_kwargs: Mapping[str, Any] | None = None,
    expected_group_size: int = 6,
    test_stat: str | None = "ols",
    test_stat_kwargs: Mapping[str, Any] | None = None,
    **further: Unpack[Further],
) -> dict[Any, pd.DataFrame]:
    """Raw two-sided p-values of groups of control guides.

    Parameters
    ----------
    inputs
        From `prepare_crt_inputs`.
    ntc_groups_ens
        From `make_ntc_groups_ensemble`.
    B, seed0
        Number of resamples, and seed.
    propensity_model, resampling_method, resampling_kwargs
        See `programde.compat.settings`; take those of the main run.
    expected_group_size
        Guides that a group should have; where groups have another number, that is said.
    test_stat, test_stat_kwargs, **further
        See `programde.compat.settings`.

    Returns
    -------
    dict
        Replicate -> DataFrame, groups x programs.

    Raises
    ------
    InputError
        A guide that is not in the screen, or no group.

    Examples
    --------
    >>> import programde as pde
    >>> adata = pde.make_sceptre_style_synth(N=400, K=3, n_target_genes=4, seed=0)
    >>> inputs = pde.prepare_crt_inputs(adata, usage_key="usage")
    >>> groups = [{"a": ["NTC_g1", "NTC_g2"], "b": ["NTC_g3", "NTC_g4"]}]
    >>> tables = pde.crt_pvals_for_ntc_groups_ensemble(
    ...     inputs, groups, B=99, seed0=0, expected_group_size=2
    ... )
    >>> tables[0].shape
    (2, 3)
    """
    settings = tested_by(
        propensity_model, resampling_method, resampling_kwargs, test_stat, test_stat_kwargs
    )
    _check_group_size(ntc_groups_ens, expected_group_size)
    return _ensemble(inputs, ntc_groups_ens, B, seed0, settings, further, "none", 0)


def crt_pvals_for_ntc_groups_ensemble_skew(
    inputs: CRTInputs,
    ntc_groups_ens: Ensemble,
    B: int,
    seed0: int,
    propensity_model: PropensityModel | None = fit_propensity_logistic,
    resampling_method: str = "bernoulli_index",
    resampling_kwargs: Mapping[str, Any] | None = None,
    side_code: int = 0,
    expected_group_size: int = 6,
    test_stat: str | None = "ols",
    test_stat_kwargs: Mapping[str, Any] | None = None,
    *,
    calibration: str = "skew_normal",
    **further: Unpack[Further],
) -> dict[Any, pd.DataFrame]:
    """Skew-normal p-values of groups of control guides, from the draws of the raw ones.

    Parameters
    ----------
    inputs, ntc_groups_ens, B, seed0, propensity_model, resampling_method, resampling_kwargs
        See `crt_pvals_for_ntc_groups_ensemble`.
    side_code
        0 both, -1 left, 1 right.
    expected_group_size, test_stat, test_stat_kwargs
        See `crt_pvals_for_ntc_groups_ensemble`.
    calibration
        Another calibration in place of the skew-normal one: ``"saddlepoint"``.
    **further
        See `programde.compat.settings`.

    Returns
    -------
    dict
        Replicate -> DataFrame, groups x programs.

    Examples
    --------
    >>> import programde as pde
    >>> adata = pde.make_sceptre_style_synth(N=400, K=3, n_target_genes=4, seed=0)
    >>> inputs = pde.prepare_crt_inputs(adata, usage_key="usage")
    >>> groups = [{"a": ["NTC_g1", "NTC_g2"], "b": ["NTC_g3", "NTC_g4"]}]
    >>> tables = pde.crt_pvals_for_ntc_groups_ensemble_skew(
    ...     inputs, groups, B=99, seed0=0, expected_group_size=2
    ... )
    >>> tables[0].shape
    (2, 3)
    """
    settings = tested_by(
        propensity_model, resampling_method, resampling_kwargs, test_stat, test_stat_kwargs
    )
    _check_group_size(ntc_groups_ens, expected_group_size)
    given = (inputs, ntc_groups_ens, B, seed0, settings, further)
    return _ensemble(*given, calibration, side_code)


def crt_pvals_for_guide_set(
    inputs: CRTInputs,
    guide_idx: Sequence[Any] | np.ndarray,
    B: int,
    seed: int,
    propensity_model: PropensityModel | None = fit_propensity_logistic,
    resampling_method: str = "bernoulli_index",
    resampling_kwargs: Mapping[str, Any] | None = None,
    test_stat: str | None = "ols",
    test_stat_kwargs: Mapping[str, Any] | None = None,
    *,
    calibration: str = "none",
    side_code: int = 0,
    **further: Unpack[Further],
) -> np.ndarray:
    """P-values of the union of some guides.

    Parameters
    ----------
    inputs
        From `prepare_crt_inputs`.
    guide_idx
        Column numbers or names of guides.
    B, seed
        Number of resamples, and seed.
    propensity_model, resampling_method, resampling_kwargs, test_stat, test_stat_kwargs
        See `programde.compat.settings`.
    calibration
        ``"none"``, ``"skew_normal"`` or ``"saddlepoint"``.
    side_code
        Side of calibrated p-values: 0 both, -1 left, 1 right. Raw ones are two-sided.
    **further
        See `programde.compat.settings`.

    Returns
    -------
    (K,) float64
        As in the table of an ensemble that holds this set, for the same seed.

    Examples
    --------
    >>> import programde as pde
    >>> adata = pde.make_sceptre_style_synth(N=400, K=3, n_target_genes=4, seed=0)
    >>> inputs = pde.prepare_crt_inputs(adata, usage_key="usage")
    >>> pde.crt_pvals_for_guide_set(inputs, ["NTC_g1", "NTC_g2"], B=99, seed=0).shape
    (3,)
    """
    settings = tested_by(
        propensity_model, resampling_method, resampling_kwargs, test_stat, test_stat_kwargs
    )
    options, against = how_to_test(inputs, B, seed, settings, further)
    units = [guide_set_unit(inputs, guide_idx)]
    side = side_from_code(side_code)
    answer = answer_for(inputs, units, options, calibration, side, against=against)
    return answer.filled(answer.calibrated.p_value)[0]


def crt_pvals_for_guide_set_skew(
    inputs: CRTInputs,
    guide_idx: Sequence[Any] | np.ndarray,
    B: int,
    seed: int,
    propensity_model: PropensityModel | None = fit_propensity_logistic,
    resampling_method: str = "bernoulli_index",
    resampling_kwargs: Mapping[str, Any] | None = None,
    side_code: int = 0,
    test_stat: str | None = "ols",
    test_stat_kwargs: Mapping[str, Any] | None = None,
    **further: Unpack[Further],
) -> np.ndarray:
    """Skew-normal p-values of the union of some guides.

    Parameters
    ----------
    inputs, guide_idx, B, seed, propensity_model, resampling_method, resampling_kwargs
        See `crt_pvals_for_guide_set`.
    side_code
        0 both, -1 left, 1 right.
    test_stat, test_stat_kwargs, **further
        See `programde.compat.settings`.

    Returns
    -------
    (K,) float64
        P-values.

    Examples
    --------
    >>> import programde as pde
    >>> adata = pde.make_sceptre_style_synth(N=400, K=3, n_target_genes=4, seed=0)
    >>> inputs = pde.prepare_crt_inputs(adata, usage_key="usage")
    >>> pde.crt_pvals_for_guide_set_skew(inputs, ["NTC_g1", "NTC_g2"], B=99, seed=0).shape
    (3,)
    """
    return crt_pvals_for_guide_set(
        inputs,
        guide_idx,
        B,
        seed,
        propensity_model,
        resampling_method,
        resampling_kwargs,
        test_stat,
        test_stat_kwargs,
        calibration="skew_normal",
        side_code=side_code,
        **further,
    )


def _check_group_size(ensemble: Ensemble, expected: int) -> None:
    sizes = sorted({len(guides) for _, part in replicates(ensemble) for guides in part.values()})
    if sizes and sizes != [expected]:
        held = " or ".join(str(size) for size in sizes)
        tell(f"groups hold {held} guides, expected_group_size={expected}; all are computed")


def _ensemble(
    inputs: CRTInputs,
    ensemble: Ensemble,
    B: int,
    seed: int,
    settings: Mapping[str, Any],
    further: Mapping[str, Any],
    calibration: str,
    side_code: int,
) -> dict[Any, pd.DataFrame]:
    parts = replicates(ensemble)
    groups = [guides for _, part in parts for guides in part.values()]
    units, rows = distinct_units(inputs, groups)
    options, against = how_to_test(inputs, B, seed, settings, further)
    side = side_from_code(side_code)
    answer = answer_for(inputs, units, options, calibration, side, against=against)
    p = answer.filled(answer.calibrated.p_value)
    frames: dict[Any, pd.DataFrame] = {}
    start = 0
    for replicate, part in parts:
        at = rows[start : start + len(part)]
        start += len(part)
        frames[replicate] = wide(p[at], list(part), inputs.program_names)
    return frames
