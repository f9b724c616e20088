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
from programde.compat.running import ComparedSettings, run_options, split_settings
from programde.compat.shapes import wide
from programde.controls.groups import GroupInputs, Signature, group_inputs, partition_guides


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
    seed: int = 0,
    group_size: int = 6,
    max_groups: int | None = None,
    drop_remainder: bool = True,
) -> dict[str, list[str]]:
    """One partition: the first of `make_ntc_groups_ensemble` with `seed0` = `seed`; see there."""
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


def crt_pvals_for_ntc_groups_ensemble(
    inputs: CRTInputs,
    ntc_groups_ens: Ensemble,
    B: int,
    seed0: int,
    **settings: Unpack[ComparedSettings],
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
    **settings
        See `programde.compat.running.ComparedSettings`; take those of the main run.

    Returns
    -------
    {replicate: DataFrame groups x programs}

    Raises
    ------
    InputError
        A guide that is not in the screen, or no group.
    """
    return _ensemble(inputs, ntc_groups_ens, B, seed0, settings, "none", 0)


def crt_pvals_for_ntc_groups_ensemble_skew(
    inputs: CRTInputs,
    ntc_groups_ens: Ensemble,
    B: int,
    seed0: int,
    side_code: int = 0,
    *,
    calibration: str = "skew_normal",
    **settings: Unpack[ComparedSettings],
) -> dict[Any, pd.DataFrame]:
    """Skew-normal p-values of groups of control guides, from the draws of the raw ones.

    Parameters
    ----------
    inputs, ntc_groups_ens, B, seed0, **settings
        See `crt_pvals_for_ntc_groups_ensemble`.
    side_code
        0 both, -1 left, 1 right.
    calibration
        Another calibration in place of the skew-normal one: ``"saddlepoint"``.

    Returns
    -------
    {replicate: DataFrame groups x programs}
    """
    return _ensemble(inputs, ntc_groups_ens, B, seed0, settings, calibration, side_code)


def crt_pvals_for_guide_set(
    inputs: CRTInputs,
    guide_idx: Sequence[Any] | np.ndarray,
    B: int = 1023,
    seed: int = 123,
    *,
    calibration: str = "none",
    side_code: int = 0,
    **settings: Unpack[ComparedSettings],
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
    calibration
        ``"none"``, ``"skew_normal"`` or ``"saddlepoint"``.
    side_code
        Side of calibrated p-values: 0 both, -1 left, 1 right. Raw ones are two-sided.
    **settings
        See `programde.compat.running.ComparedSettings`.

    Returns
    -------
    (K,) float64
        As in the table of an ensemble that holds this set, for the same seed.
    """
    work, against = split_settings(inputs, settings)
    options = run_options(inputs, B, seed, work)
    units = [guide_set_unit(inputs, guide_idx)]
    side = side_from_code(side_code)
    answer = answer_for(inputs, units, options, calibration, side, against=against)
    return answer.filled(answer.calibrated.p_value)[0]


def _ensemble(
    inputs: CRTInputs,
    ensemble: Ensemble,
    B: int,
    seed: int,
    settings: ComparedSettings,
    calibration: str,
    side_code: int,
) -> dict[Any, pd.DataFrame]:
    parts = replicates(ensemble)
    groups = [guides for _, part in parts for guides in part.values()]
    units, rows = distinct_units(inputs, groups)
    work, against = split_settings(inputs, settings)
    options = run_options(inputs, B, seed, work)
    side = side_from_code(side_code)
    answer = answer_for(inputs, units, options, calibration, side, against=against)
    p = answer.filled(answer.calibrated.p_value)
    frames: dict[Any, pd.DataFrame] = {}
    start = 0
    for replicate, part in parts:
        at = rows[start : start + len(part)]
        start += len(part)
        frames[replicate] = wide(p[at], list(part), inputs.program_names).rename_axis("group")
    return frames
