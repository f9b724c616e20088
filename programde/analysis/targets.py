"""Testing the targets of a screen."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import replace
from typing import cast

import numpy as np

from programde.analysis.options import Comparison
from programde.analysis.separation import check_burden
from programde.analysis.tested_units import condition_levels, units_to_test, without_controls
from programde.crt.checkpoint import Checkpoint
from programde.crt.control_group import ControlGroup, choose_control, left_out_cells
from programde.crt.gathering import as_tested, group_room, own_cells, with_fitting_threads
from programde.crt.memory_need import fitting_threads, memory_need, workers_must_hold
from programde.crt.options import RunOptions
from programde.crt.population import intercept_of, spans_constant
from programde.crt.prepared import asks_given_covariates
from programde.crt.results import CRTResult
from programde.crt.run_study import run_study
from programde.crt.study import Study
from programde.errors import ProgramDEWarning, tell
from programde.memory import budget
from programde.screen.chosen import is_stored
from programde.screen.control_labels import ntc_labels_if_any
from programde.screen.matrix_rows import Rows
from programde.screen.row_encoding import constant_in_span
from programde.screen.screen import Screen, Unit
from programde.threads import worker_count


def run_targets(
    screen: Screen,
    options: RunOptions,
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
) -> CRTResult:
    """Test every target of a screen on every program.

    Parameters
    ----------
    screen
        The screen.
    options
        Statistic, sampler, number of resamples, seed, threads.
    ntc_labels
        Targets that are non-targeting controls; they are not tested here.
    control
        ``"complement"``, ``"nt_cells"``, ``"unperturbed_cells"`` or ``"auto"``; see
        `crt.control_group`.
    targets
        Targets to test, in this order; None for all but the controls.
    unit
        ``"union"`` of a target's guides, or each ``"guide"`` alone.
    drop_empty_batches
        Leave batches without a treated cell out of a unit's test.
    by_condition
        Repeat the analysis in the cells of each level of `screen.condition`; the result has a row
        per level and unit.
    cells_with_other_targets
        ``"drop"`` (the default) or ``"keep"``: against control cells, whether a treated cell that
        holds another target as well is in neither group.
    exclude_targets, exclude_guides
        See `units_to_test`; a control guide that is excluded makes no control cell.
    executor
        Who tests: an executor that keeps to `concurrent.futures`, such as a pool of processes or
        Dask's ``client.get_executor()``, see `programde.workers.cluster`; None for `options.n_jobs`
        threads of this process. The result has the same bytes.
    checkpoint
        A folder in which finished blocks of targets are kept until all are done: a run that was
        killed goes on from them. Or a `Checkpoint`, for several calls.

    Returns
    -------
    CRTResult
        Effects, null summaries and exact tails, before calibration.

    Examples
    --------
    >>> import programde as pde
    >>> adata = pde.make_sceptre_style_synth(N=400, K=3, n_target_genes=4, seed=0)
    >>> screen = pde.screen_from_anndata(adata, usage_key="usage")
    >>> options = pde.RunOptions(pde.OLS(), pde.Bernoulli(), n_resamples=0)
    >>> pde.run_targets(screen, options, ntc_labels="NTC").effect.shape
    (4, 3)
    """
    how = Comparison(
        control=control,
        cells_with_other_targets=cells_with_other_targets,
        unit=unit,
        by_condition=by_condition,
        drop_empty_batches=drop_empty_batches,
        targets=targets,  # type: ignore[arg-type]
        exclude_targets=exclude_targets,  # type: ignore[arg-type]
        exclude_guides=exclude_guides,  # type: ignore[arg-type]
    )
    labels = ntc_labels_if_any(screen.guide_to_target, ntc_labels)
    units = units_to_test(
        screen, labels, how.targets, unit,
        exclude_targets=how.exclude_targets, exclude_guides=how.exclude_guides,
    )  # fmt: skip
    screen = without_controls(screen, labels, how.exclude_guides)
    group = choose_control(screen, control, labels, cells_with_other_targets)
    check_burden(screen, group, options.sampler)
    left_out_cells(screen, units, group)
    if group.warning:
        tell(group.warning)
    warn_of_rank_strata(screen, units, options)
    return run_units(
        screen,
        units,
        group,
        options,
        label="targets",
        by_condition=by_condition,
        drop_empty_batches=drop_empty_batches,
        executor=executor,
        checkpoint=checkpoint,
    )


def fit_to_memory(
    screen: Screen,
    units: Sequence[Unit],
    control: ControlGroup | None,
    options: RunOptions,
    n_rows: int,
    executor: Executor | None = None,
) -> RunOptions:
    """The options with as many threads as fit into memory.

    Parameters
    ----------
    screen, units, options
        What is to be tested, and how.
    control
        The control group, where it gives units populations of their own; None where it does not.
    n_rows
        Rows of the result.
    executor
        Who tests, where it is not threads; its workers must have the memory that it takes.

    Raises
    ------
    OptionError
        Not even one thread fits, or a worker has too little; gives the figures.
    """
    own = None if control is None else own_cells(screen, units, control)
    need = memory_need(
        # the screen itself is in memory already, but for workers
        screen.n_cells if own is None or executor is not None else 0,
        screen.n_programs,
        screen.covariates.shape[1],
        n_rows,
        options.n_resamples,
        own_cells=own,
    )
    if executor is not None:
        workers_must_hold(need, executor)
        return options
    asked = worker_count(options.n_jobs)
    fitting = fitting_threads(need, asked)
    if fitting < asked:
        warnings.warn(
            f"n_jobs reduced from {asked} to {fitting}, which is what fits into memory",
            ProgramDEWarning,
            stacklevel=5,
        )
    return replace(options, n_jobs=fitting)


def given_what_can_be(screen: Screen, options: RunOptions) -> RunOptions:
    """The options; given the propensity, with a warning, where covariates without a constant cannot
    be conditioned on."""
    if not asks_given_covariates(options) or screen.n_cells == 0:
        return options
    C = screen.covariates
    if is_stored(screen):
        if constant_in_span(cast(Rows, C)):
            return options
    elif intercept_of(C) is not None or (C.shape[1] and spans_constant(np.linalg.qr(C)[0])):
        return options
    tell(
        "given=covariates needs a constant in the span of the covariates (add_intercept): these "
        "tests are given the propensity"
    )
    return replace(options, given="propensity")


#: Below so many treated cells ranks permuted within strata are not right under curved covariates.
FEW_FOR_STRATA = 50


def warn_of_rank_strata(screen: Screen, units: Sequence[Unit], options: RunOptions) -> None:
    """Say so where ranks of small units are permuted within strata and covariates may act curved.

    Within a stratum the propensity still varies, and ranks, other than residuals, are not freed of
    covariates: with curves true nulls came out five times too often at p <= .001.
    """
    ranks = getattr(options.statistic, "name", "") == "utest"
    strata = getattr(options.sampler, "name", "") == "stratified_perm"
    tiers = screen.covariate_tiers
    if not (ranks and strata) or tiers is None or not (tiers > 0).any():
        return
    few = sum(screen.treated_cells(unit).size < FEW_FOR_STRATA for unit in units)
    if few:
        tell(
            f"test=utest with sampler=stratified: {few:,} of {len(units):,} units have fewer than "
            f"{FEW_FOR_STRATA} treated cells, where strata do not free ranks of curved covariates "
            "(p <= .001 up to five times too often in simulations); sampler=bernoulli does"
        )


def run_units(
    screen: Screen,
    units: Sequence[Unit],
    control: ControlGroup,
    options: RunOptions,
    *,
    label: str,
    by_condition: bool,
    drop_empty_batches: bool,
    are_controls: bool = False,
    executor: Executor | None = None,
    checkpoint: str | os.PathLike[str] | Checkpoint | None = None,
) -> CRTResult:
    """Test units in all cells, or once per level of the condition."""
    levels = condition_levels(screen) if by_condition else [""]
    options = given_what_can_be(screen, options)
    n_rows, memory = len(units) * len(levels), budget(options.memory)
    screen, control = as_tested(screen, control, are_controls, n_rows, options.n_resamples, memory)
    own = None if are_controls else control
    options = fit_to_memory(screen, units, own, options, n_rows, executor)
    options = with_fitting_threads(screen, units, control, options, n_rows, memory)
    room = group_room(screen, units, control, options, n_rows, memory)
    study = Study(
        screen, list(units), control, options, levels, drop_empty_batches, are_controls, room
    )
    return run_study(study, label, executor, checkpoint)


__all__ = [
    "ControlGroup",
    "RunOptions",
    "condition_levels",
    "run_targets",
    "run_units",
    "units_to_test",
    "without_controls",
]
