"""Known effects in control cells, tested as the targets of an analysis are."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import replace

import numpy as np

from programde.analysis.tested_units import units_to_test, without_controls
from programde.controls.options import SpikeOptions
from programde.controls.spike_results import Spikes
from programde.controls.spikes import MOST_BYTES, SHARES, spike_controls
from programde.crt.checkpoint import Checkpoint
from programde.crt.control_group import ControlGroup, choose_control
from programde.crt.gathering import as_tested, own_cells
from programde.crt.memory_need import BASE, memory_need
from programde.crt.options import RunOptions
from programde.crt.population import of_full_rank
from programde.errors import InputError
from programde.memory import budget
from programde.screen.chosen import brought_in, chosen_cells, held_bytes, is_stored, let_go
from programde.screen.control_labels import ntc_labels_if_any
from programde.screen.screen import Screen, Unit
from programde.threads import worker_count


def run_spikes(
    screen: Screen,
    options: RunOptions,
    spikes: SpikeOptions | None = None,
    *,
    ntc_labels: str | Sequence[str] = (),
    control: str = "auto",
    targets: Sequence[str] | None = None,
    unit: str = "union",
    drop_empty_batches: bool = True,
    by_condition: bool = False,
    cells_with_other_targets: str = "drop",
    exclude_targets: Sequence[str] = (),
    exclude_guides: Sequence[str] = (),
    executor: Executor | None = None,
    checkpoint: str | os.PathLike[str] | Checkpoint | None = None,
) -> Spikes:
    """Put known effects into sets of control cells and test them as `run_targets` tests targets.

    Parameters
    ----------
    screen, options
        As of `run_targets`.
    spikes
        How many sets, which effects.
    ntc_labels, control, targets, unit, drop_empty_batches, by_condition
        As of `run_targets`: the sets are as large as its targets.
    cells_with_other_targets, exclude_targets, exclude_guides, executor, checkpoint
        As of `run_targets`.

    Returns
    -------
    Spikes
        Tests of the sets with effects and of those without, for `spike_table`. Of a screen that is
        not in memory some targets are looked at, as many as there are sets, of all sizes.

    Raises
    ------
    InputError
        See `controls.spikes.spike_controls`.

    Examples
    --------
    >>> import programde as pde
    >>> adata = pde.make_sceptre_style_synth(N=800, K=3, n_target_genes=4, seed=0)
    >>> screen = pde.screen_from_anndata(adata, usage_key="usage")
    >>> options = pde.RunOptions(pde.OLS(), pde.Bernoulli(), n_resamples=0)
    >>> sizes = pde.SpikeOptions(n_sets=2, n_unspiked_sets=2, fold_changes=(1.5, 2.0))
    >>> spikes = pde.run_spikes(screen, options, sizes, ntc_labels="NTC")
    >>> spikes.n_treated > 0
    True
    """
    labels = ntc_labels_if_any(screen.guide_to_target, ntc_labels)
    units = units_to_test(
        screen, labels, targets, unit,
        exclude_targets=exclude_targets, exclude_guides=exclude_guides,
    )  # fmt: skip
    screen = without_controls(screen, labels, exclude_guides)
    group = choose_control(screen, control, labels, cells_with_other_targets)
    spikes = SpikeOptions() if spikes is None else spikes
    if is_stored(screen):
        n_sets = spikes.n_sets + spikes.n_unspiked_sets
        held = held_bytes(screen)
        screen, units, group = _in_memory(screen, units, group, options, n_sets)
        options = _fitting_threads(screen, group, options, spikes, held)
    return spike_controls(
        screen,
        units,
        group,
        options,
        spikes,
        by_condition=by_condition,
        drop_empty_batches=drop_empty_batches,
        executor=executor,
        checkpoint=checkpoint,
    )


def _in_memory(
    screen: Screen, units: Sequence[Unit], control: ControlGroup, options: RunOptions, most: int
) -> tuple[Screen, list[Unit], ControlGroup]:
    """The control cells and those of some units, in memory; all units where they fit.

    Sets are as large as the median of these units, so they are taken evenly from small to large.

    Raises
    ------
    InputError
        The control cells alone, or the complement, do not fit.
    """
    memory = budget(options.memory)
    if control.cells is None:
        screen, control = as_tested(screen, control, False, 0, options.n_resamples, memory)
        return screen, list(units), control
    sizes = (screen.n_programs, screen.covariates.shape[1])
    room = np.inf
    if memory is not None:
        own = own_cells(screen, units, control)
        tests = memory_need(0, *sizes, 0, options.n_resamples, own_cells=own).total(1)
        room = memory - held_bytes(screen) - tests
    each = 24.0 * sizes[0] + 8.0 * sizes[1] + held_bytes(screen) / screen.n_cells
    by_size = sorted(units, key=lambda unit: (screen.treated_cells(unit).size, unit.name))
    needed = _cells_of(screen, by_size, control)
    few = min(most, len(by_size))
    while needed.sum() * each > room and few:
        places = np.linspace(0, len(by_size) - 1, few).round().astype(int)
        chosen = [by_size[place] for place in places]
        needed, few = _cells_of(screen, chosen, control), few // 2
        units = [unit for unit in units if unit in chosen]
    if needed.sum() * each > room:
        raise InputError(
            f"{int(control.cells.sum()):,} control cells and those of a target take "
            f"{needed.sum() * each / 1e9:.2f} GB, and {max(room, 0) / 1e9:.2f} GB are left for them"
        )
    cells = np.flatnonzero(needed)
    let_go()  # of the groups that were tested before
    some = of_full_rank(brought_in(chosen_cells(screen, cells)))
    let_go()
    return some, list(units), replace(control, cells=control.cells[cells])


def _fitting_threads(
    screen: Screen, control: ControlGroup, options: RunOptions, spikes: SpikeOptions, held: float
) -> RunOptions:
    """The options with as many threads as fit: each holds a set with all its spikes."""
    memory = budget(options.memory)
    if memory is None:
        return options
    cells = screen.n_cells if control.cells is None else int(control.cells.sum())
    n_spikes, p = 2 * len(spikes.fold_changes) * len(SHARES), screen.covariates.shape[1]
    most = max(1, MOST_BYTES // (16 * max(cells, 1) * n_spikes))
    columns = min(screen.n_programs, spikes.most_programs, most) * n_spikes
    need = memory_need(0, columns, p, 0, options.n_resamples, own_cells=cells)
    # the set's outcomes and usages beside what is made of them
    each = need.per_thread + 16.0 * cells * columns
    room = memory - held - BASE - screen.n_cells * (24.0 * screen.n_programs + 8.0 * p)
    return replace(options, n_jobs=int(np.clip(room // each, 1, worker_count(options.n_jobs))))


def _cells_of(screen: Screen, units: Sequence[Unit], control: ControlGroup) -> np.ndarray:
    """Control cells and cells of some units (N,) bool."""
    assert control.cells is not None
    needed = control.cells.copy()
    for unit in units:
        needed[screen.treated_cells(unit)] = True
    return needed
