"""Groups of a screen's non-targeting guides, tested as if they were targets."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import replace

from threadpoolctl import threadpool_limits

from programde.analysis.ntc_null import NTCNull
from programde.analysis.options import Comparison
from programde.analysis.targets import run_units
from programde.analysis.tested_units import without_controls
from programde.controls.groups import (
    default_group_size,
    group_ntc_guides,
    group_unit_name,
    group_units,
)
from programde.controls.options import GroupOptions
from programde.crt.checkpoint import Checkpoint
from programde.crt.control_group import choose_control
from programde.crt.options import RunOptions
from programde.crt.program_correlation import program_correlation
from programde.screen.guides import check_ntc_labels
from programde.screen.screen import Screen, Unit


def ntc_units(
    screen: Screen,
    ntc_labels: str | Sequence[str],
    *,
    group_size: int | None = None,
    min_groups: int = 20,
    n_partitions: int = 10,
    n_bins: int = 10,
    seed: int = 0,
) -> tuple[list[Unit], list[dict[str, str]], int]:
    """Distinct groups of non-targeting guides, the partitions by unit name, and the group size.

    There is one partition into groups of one guide, however many are asked for.
    """
    labels = check_ntc_labels(screen.guide_to_target, ntc_labels)
    GroupOptions(group_size, min_groups, n_partitions, n_bins)  # checks them
    size = default_group_size(screen, labels, min_groups) if group_size is None else group_size
    n_partitions = 1 if size == 1 else n_partitions
    partitions = group_ntc_guides(screen, labels, size, n_partitions, n_bins, seed)
    named = [{key: group_unit_name(g) for key, g in part.items()} for part in partitions]
    return group_units(screen, partitions), named, size


def run_ntc_groups(
    screen: Screen,
    options: RunOptions,
    *,
    ntc_labels: str | Sequence[str],
    control: str = "auto",
    group_size: int | None = None,
    min_groups: int = 20,
    n_partitions: int = 10,
    n_bins: int = 10,
    seed: int = 0,
    drop_empty_batches: bool = True,
    by_condition: bool = False,
    exclude_guides: Sequence[str] = (),
    executor: Executor | None = None,
    checkpoint: str | os.PathLike[str] | Checkpoint | None = None,
) -> NTCNull:
    """Test groups of non-targeting guides as if they were targets.

    Parameters
    ----------
    screen, options, ntc_labels, control
        As of `run_targets`.
    group_size
        Guides per group; None for the median of the real targets, or as many as leave
        `min_groups` groups.
    min_groups
        Groups that a partition should have; fewer cannot be judged.
    n_partitions
        Random partitions of the guides into groups. A group that recurs is tested once.
    n_bins
        Guide-frequency bins by which groups follow real targets.
    seed
        Seed of the partitions.
    drop_empty_batches, by_condition
        As of `run_targets`.
    exclude_guides
        Guides that are in no group, and whose cells are no control cells.
    executor, checkpoint
        As of `run_targets`.

    Returns
    -------
    NTCNull
        The tests of the groups, on the scale of the test alone, and which guides each holds.

    Examples
    --------
    >>> import programde as pde
    >>> adata = pde.make_sceptre_style_synth(N=400, K=3, n_target_genes=4, seed=0)
    >>> screen = pde.screen_from_anndata(adata, usage_key="usage")
    >>> options = pde.RunOptions(pde.OLS(), pde.Bernoulli(), n_resamples=0)
    >>> groups = pde.run_ntc_groups(screen, options, ntc_labels="NTC", group_size=1)
    >>> groups.group_size
    1
    """
    Comparison(control=control, by_condition=by_condition, drop_empty_batches=drop_empty_batches)
    labels = check_ntc_labels(screen.guide_to_target, ntc_labels)
    screen = without_controls(screen, labels, exclude_guides)
    options = replace(options, shifts=False)  # groups are told by p-values: no other scale is shown
    units, partitions, size = ntc_units(
        screen,
        ntc_labels,
        group_size=group_size,
        min_groups=min_groups,
        n_partitions=n_partitions,
        n_bins=n_bins,
        seed=seed,
    )
    labels = check_ntc_labels(screen.guide_to_target, ntc_labels)
    group = choose_control(screen, control, labels)
    result = run_units(
        screen,
        units,
        group,
        options,
        label="NTC groups",
        by_condition=by_condition,
        drop_empty_batches=drop_empty_batches,
        are_controls=True,
        executor=executor,
        checkpoint=checkpoint,
    )
    levels = screen.condition if by_condition else None
    with threadpool_limits(limits=1):  # small factorizations: threads only wait for each other
        correlation = program_correlation(screen, group, options, levels)
    return NTCNull(
        result=result,
        partitions=partitions,
        guides={u.name: list(u.guides) for u in units},
        group_size=size,
        correlation=correlation,
    )


__all__ = ["NTCNull", "ntc_units", "run_ntc_groups"]
