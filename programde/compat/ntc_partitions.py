"""Groups of non-targeting control (NTC) guides, one partition or several.

How groups are made stands in `programde.controls.groups`; what is done with them in
`programde.compat.ntc`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from programde.compat.inputs import CRTInputs
from programde.compat.propensity import ignored
from programde.controls.groups import (
    GroupInputs,
    Signature,
    group_inputs,
    guide_frequencies,
    partition_guides,
)
from programde.errors import InputError


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

    Returns
    -------
    GroupInputs
        A tuple of `ntc_guides`, `frequency`, `bins` and `signatures`, in the order in which
        `make_ntc_groups_ensemble` wants them, but for the last two, which it takes the other way
        round.

    Examples
    --------
    >>> import programde as pde
    >>> adata = pde.make_sceptre_style_synth(N=400, K=3, n_target_genes=4, seed=0)
    >>> inputs = pde.prepare_crt_inputs(adata, usage_key="usage")
    >>> of = pde.build_ntc_group_inputs(inputs, group_size=2)
    >>> of.ntc_guides
    ['NTC_g1', 'NTC_g2', 'NTC_g3', 'NTC_g4']
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

    Returns
    -------
    list of dict
        Of each partition, name of a group -> its guides.

    Examples
    --------
    >>> import programde as pde
    >>> adata = pde.make_sceptre_style_synth(N=400, K=3, n_target_genes=4, seed=0)
    >>> inputs = pde.prepare_crt_inputs(adata, usage_key="usage")
    >>> guides, frequency, bins, signatures = pde.build_ntc_group_inputs(inputs, group_size=2)
    >>> partitions = pde.make_ntc_groups_ensemble(
    ...     guides, frequency, signatures, bins, n_ensemble=3, seed0=0, group_size=2
    ... )
    >>> [len(groups) for groups in partitions]
    [2, 2, 2]
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
    """One partition: the first of `make_ntc_groups_ensemble` with `seed0` = `seed`.

    Parameters
    ----------
    ntc_guides, ntc_freq, real_gene_bin_sigs, guide_to_bin, group_size
        See `make_ntc_groups_ensemble`.
    seed
        Seed of the partition.
    max_groups, drop_remainder
        See `make_ntc_groups_ensemble`.
    max_attempts
        Has no part: a partition is found at the first.

    Returns
    -------
    dict
        Name of a group -> its guides.

    Examples
    --------
    >>> import programde as pde
    >>> adata = pde.make_sceptre_style_synth(N=400, K=3, n_target_genes=4, seed=0)
    >>> inputs = pde.prepare_crt_inputs(adata, usage_key="usage")
    >>> guides, frequency, bins, signatures = pde.build_ntc_group_inputs(inputs, group_size=2)
    >>> groups = pde.make_ntc_groups_matched_by_freq(
    ...     guides, frequency, signatures, bins, group_size=2
    ... )
    >>> sorted(guide for group in groups.values() for guide in group)
    ['NTC_g1', 'NTC_g2', 'NTC_g3', 'NTC_g4']
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

    Examples
    --------
    >>> import numpy as np, programde as pde
    >>> pde.guide_frequency(np.array([[1, 0], [2, 1]]), ["g1", "g2"])
    {'g1': 1.0, 'g2': 0.5}
    """
    frequency = guide_frequencies(G)
    if len(guide_names) != frequency.size:
        raise InputError(f"{len(guide_names)} guide names for {frequency.size} columns of G")
    return dict(zip((str(name) for name in guide_names), frequency.tolist(), strict=True))
