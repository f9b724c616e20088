"""Groups of non-targeting control (NTC) guides, and their p-values as if they were genes.

How groups are made stands in `programde.controls.groups`. A group's draws depend on the seed and
on the set of its guides: raw and skew-normal p-values with the same seed come from the same draws,
and a group that recurs in several partitions is computed once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Unpack

import numpy as np
import pandas as pd

from programde.calibration.empirical import side_from_code
from programde.compat.crt import answer_for
from programde.compat.inputs import CRTInputs, guide_set_unit
from programde.compat.null import Ensemble, distinct_units, replicates
from programde.compat.propensity import fit_propensity_logistic, ignored
from programde.compat.running import how_to_test
from programde.compat.settings import Further, tested_by
from programde.compat.shapes import wide
from programde.controls.groups import (
    GroupInputs,
    Signature,
    group_inputs,
    guide_frequencies,
    partition_guides,
)
from programde.crt.propensity import PropensityModel
from programde.errors import InputError, tell


def build_ntc_group_inputs(
    inputs: CRTInputs,
    ntc_label: str | Iterable[str] = "NTC",
    group_size: int = 6,
    n_bins: int = 20,
) -> GroupInputs:
    """Control guides, frequency and bin of each guide, and the signatures of the genes.

    Parameters
    ----------
    inputs
        From `prepare_crt_inputs`.
    ntc_label, group_size, n_bins
        See `programde.controls.groups.group_inputs`.
    """
    return group_inputs(
        inputs.G, list(inputs.guide_names), inputs.guide2gene, ntc_label, group_size, n_bins
    )


def make_ntc_groups_ensemble(
    ntc_guides: Sequence[str],
    ntc_freq: Mapping[str, float],
    real_gene_bin_sigs: Sequence[Signature],
    guide_to_bin: Mapping[str, int],
    n_ensemble: int,
    seed0: int,
    group_size: int = 6,
    max_groups: int | None = None,
    drop_remainder: bool = True,
) -> list[dict[str, list[str]]]:
    """Several partitions of the control guides into groups that follow genes' signatures.

    Parameters
    ----------
    ntc_guides, ntc_freq, real_gene_bin_sigs, guide_to_bin
        As `build_ntc_group_inputs` returns them.
    n_ensemble, seed0, group_size, max_groups, drop_remainder
        Number of partitions, their seed, and the rest as in
        `programde.controls.groups.partition_guides`.
    """
    given = GroupInputs(
        list(ntc_guides), dict(ntc_freq), dict(guide_to_bin), list(real_gene_bin_sigs)
    )
    return partition_guides(given, n_ensemble, seed0, group_size, max_groups, drop_remainder)


def make_ntc_groups_matched_by_freq(
    ntc_guides: Sequence[str],
    ntc_freq: Mapping[str, float],
    real_gene_bin_sigs: Sequence[Signature],
    guide_to_bin: Mapping[str, int],
    group_size: int = 6,
    seed: int = 0,
    max_groups: int | None = None,
    drop_remainder: bool = True,
    max_attempts: int = 100,
) -> dict[str, list[str]]:
    """One partition: the first of `make_ntc_groups_ensemble` with `seed0` = `seed`; see there.

    `max_attempts` has no part: a partition is found at the first.
    """
    if max_attempts != 100:
        ignored("max_attempts", max_attempts, "a partition is found at the first attempt")
    return make_ntc_groups_ensemble(
        ntc_guides,
        ntc_freq,
        real_gene_bin_sigs,
        guide_to_bin,
        1,
        seed,
        group_size,
        max_groups,
        drop_remainder,
    )[0]


def guide_frequency(G: Any, guide_names: Sequence[str]) -> dict[str, float]:
    """Share of the cells that hold each guide.

    Parameters
    ----------
    G : (N, n_guides)
        Guide matrix; nonzero means present.
    guide_names
        Names in column order.

    Returns
    -------
    dict
        Guide -> share of the cells.
    """
    frequency = guide_frequencies(G)
    if len(guide_names) != frequency.size:
        raise InputError(f"{len(guide_names)} guide names for {frequency.size} columns of G")
    return dict(zip((str(name) for name in guide_names), frequency.tolist(), strict=True))


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
    expected_group_size
        Guides that a group should have; where groups have another number, that is said.
    propensity_model, resampling_method, resampling_kwargs, test_stat, test_stat_kwargs, **further
        See `programde.compat.settings`; take those of the main run.

    Returns
    -------
    {replicate: DataFrame groups x programs}

    Raises
    ------
    InputError
        A guide that is not in the screen, or no group.
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
    inputs, ntc_groups_ens, B, seed0, propensity_model, resampling_method, resampling_kwargs,
    expected_group_size, test_stat, test_stat_kwargs, **further
        See `crt_pvals_for_ntc_groups_ensemble`.
    side_code
        0 both, -1 left, 1 right.
    calibration
        Another calibration in place of the skew-normal one: ``"saddlepoint"``.

    Returns
    -------
    {replicate: DataFrame groups x programs}
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
    propensity_model, resampling_method, resampling_kwargs, test_stat, test_stat_kwargs, **further
        See `programde.compat.settings`.
    calibration
        ``"none"``, ``"skew_normal"`` or ``"saddlepoint"``.
    side_code
        Side of calibrated p-values: 0 both, -1 left, 1 right. Raw ones are two-sided.

    Returns
    -------
    (K,) float64
        As in the table of an ensemble that holds this set, for the same seed.
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
    """Skew-normal p-values (K,) of the union of some guides; see `crt_pvals_for_guide_set`."""
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
