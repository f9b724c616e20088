"""How long a run takes on this machine and what it needs, before it is started.

A few targets and a few groups of control guides are tested as the run would test them, for about a
second; per unit that gives a time

    t(m) = a + b m       seconds for m units: a for what they share, b for each

and from it the time of all units. What is not tests (reading, tables, pictures) is counted by
constants, made for a published screen of 20,665 cells and the built-in one. Memory is that of
`crt.memory_need`, disk what the results and the report's tables take.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from programde.analysis.ntc_groups import ntc_units
from programde.analysis.targets import run_units
from programde.analysis.tested_units import units_to_test, without_controls
from programde.crt.control_group import ControlGroup, choose_control
from programde.crt.gathering import passes
from programde.crt.memory_need import memory_need
from programde.crt.options import RunOptions
from programde.crt.statistics import make_statistic
from programde.errors import ProgramDEWarning
from programde.memory import budget as memory_budget
from programde.memory import free_memory
from programde.screen.chosen import held_bytes, is_stored, row_bytes
from programde.screen.guides import check_ntc_labels
from programde.screen.screen import Screen, Unit
from programde.threads import worker_count

#: Seconds of measuring, in all.
BUDGET = 1.0
#: The pipeline beside its tests: seconds for starting its stages and drawing the report, and
#: seconds per thousand tests of targets for tables and pages.
STAGES, PER_THOUSAND = 26.0, 0.05
#: Seconds for each cell, squared column of the covariates and target (at most 200) of asking if
#: the covariates are too simple.
CHECK, MOST_CHECKED = 5e-9, 200
#: A set of control cells that gets effects costs as much as this many targets; one that is tested
#: as it is, as one.
SPIKED = 6.0
#: Bytes on disk for each test, all tables together, and for each usage of a stored screen.
PER_TEST, PER_USAGE = 900.0, 16.0
#: Below this many seconds nobody needs a cluster; above, one with this many cores is worth it.
SHORT = 3600.0


@dataclass(frozen=True)
class RunPlan:
    """What a run needs.

    Attributes
    ----------
    n_cells, n_programs, n_targets, n_tests
        Sizes; a test is a target on a program, once per condition.
    n_control_groups
        Groups of control guides, and single ones, that are tested too.
    control
        Who the treated cells are compared with.
    seconds
        Estimated time of each part, wall clock.
    n_threads
        Threads that it is for.
    memory, free
        Bytes needed, and bytes at hand (None where the system does not say).
    disk
        Bytes that are written.
    """

    n_cells: int
    n_programs: int
    n_targets: int
    n_tests: int
    n_control_groups: int
    control: str
    seconds: dict[str, float]
    n_threads: int
    memory: float
    free: float | None
    disk: float

    @property
    def total(self) -> float:
        """Seconds in all."""
        return sum(self.seconds.values())

    @property
    def advice(self) -> str:
        """Whether this machine will do, in a sentence."""
        if self.free is not None and self.memory > self.free:
            return (
                f"it does not fit into this machine's memory: {self.memory / 1e9:.1f} GB are "
                f"needed and {self.free / 1e9:.1f} GB are free"
            )
        if self.total < SHORT:
            return f"you need no cluster: {duration(self.total)} here"
        cores = min(64, int(np.ceil(self.total * self.n_threads / 600)))
        return (
            f"{duration(self.total)} here with {self.n_threads} threads; a machine with "
            f"{cores} cores would take about {duration(self.total * self.n_threads / cores)}"
        )

    def __str__(self) -> str:
        free = "" if self.free is None else f" of {self.free / 1e9:.1f} GB free"
        parts = ", ".join(f"{name} {duration(value)}" for name, value in self.seconds.items())
        return "\n".join(
            (
                f"screen: {self.n_cells:,} cells x {self.n_programs:,} programs",
                f"tests: {self.n_tests:,} of {self.n_targets:,} targets against {self.control}, "
                f"and {self.n_control_groups:,} groups of control guides",
                f"time: about {duration(self.total)} with {self.n_threads} threads ({parts})",
                f"memory: {self.memory / 1e9:.2g} GB{free}; disk: {self.disk / 1e9:.2g} GB",
                self.advice,
            )
        )


def duration(seconds: float) -> str:
    """Seconds, minutes or hours, as one says them."""
    if seconds < 1:
        return "under a second"
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    if seconds < 5400:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours"


def plan_run(
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
    n_partitions: int = 10,
    n_spiked: tuple[int, int] = (0, 0),
    pipeline: bool = False,
    budget: float = BUDGET,
) -> RunPlan:
    """Measure a few units and say what all of them need.

    Parameters
    ----------
    screen, options, ntc_labels, control, targets, unit, drop_empty_batches, by_condition
        As of `run_targets`.
    cells_with_other_targets, exclude_targets, exclude_guides
        As of `run_targets`.
    n_partitions
        Of the control guides, see `run_ntc_groups`.
    n_spiked
        Sets of control cells that get effects, and that are tested as they are.
    pipeline
        Whether the stages around the tests are counted: reading, single guides, tables, report.
    budget
        Seconds of measuring.

    Returns
    -------
    RunPlan
        Tests, time, memory and disk; printed, it says so in words.

    Examples
    --------
    >>> import programde as pde
    >>> adata = pde.make_sceptre_style_synth(N=600, K=5, n_target_genes=10, seed=0)
    >>> screen = pde.screen_from_anndata(adata, usage_key="usage")
    >>> plan = pde.plan_run(screen, pde.RunOptions(pde.OLS(), pde.Bernoulli()), ntc_labels="NTC")
    >>> plan.n_tests
    50
    """
    labels = check_ntc_labels(screen.guide_to_target, ntc_labels)
    named = {"exclude_targets": exclude_targets, "exclude_guides": exclude_guides}
    units = units_to_test(screen, labels, targets, unit, **named)
    guides = units_to_test(screen, labels, targets, "guide", **named)
    kept = without_controls(screen, labels, exclude_guides)
    group = choose_control(kept, control, labels, cells_with_other_targets)
    groups, _, size = ntc_units(kept, labels, n_partitions=n_partitions)
    single = ntc_units(kept, labels, group_size=1)[0] if size > 1 and pipeline else []
    quiet = replace(options, progress=False)
    alone = replace(quiet, statistic=make_statistic("ols"), n_resamples=0, tails=False)

    def tested(some: Sequence[Unit], how: RunOptions, are_controls: bool = False) -> None:
        run_units(
            kept, some, group, how, label="", by_condition=by_condition,
            drop_empty_batches=drop_empty_batches, are_controls=are_controls,
        )  # fmt: skip

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ProgramDEWarning)  # the run says them, not the plan
        line = _line(lambda some: tested(some, quiet), units, budget / 2)
        of_controls = _line(lambda some: tested(some, quiet, True), groups, budget / 4)
        again = passes(kept, units, group, options, len(units)) - 1  # over the file
        seconds = {"targets": line(len(units)) + line.shared * again}
        seconds["control groups"] = of_controls(len(groups)) + (
            of_controls(len(single)) if single else 0.0
        )
        if pipeline:
            seconds["targets"] += _line(lambda some: tested(some, alone), guides, budget / 4)(
                len(guides)
            )
            spiked, plain = n_spiked
            seconds["known effects"] = line(0) + line.slope * (SPIKED * spiked + plain)
    levels = 1 if not by_condition else len(np.unique(np.asarray(screen.condition).astype(str)))
    n_tests = len(units) * screen.n_programs * levels
    if pipeline:
        p = screen.covariates.shape[1]
        checked = CHECK * screen.n_cells * p**2 * min(len(units), MOST_CHECKED)
        seconds["reading and report"] = STAGES + PER_THOUSAND * n_tests / 1000 + checked
    return RunPlan(
        n_cells=screen.n_cells,
        n_programs=screen.n_programs,
        n_targets=len(units),
        n_tests=n_tests,
        n_control_groups=len(groups) + len(single),
        control=group.kind,
        seconds=seconds,
        n_threads=worker_count(options.n_jobs),
        memory=_memory(kept, units, group, options, len(units) * levels),
        free=free_memory(),
        disk=PER_TEST * n_tests + PER_USAGE * screen.usage.size,
    )


@dataclass(frozen=True)
class _Line:
    """Seconds for m units: a for what they share, and a slope."""

    shared: float
    slope: float

    def __call__(self, m: int) -> float:
        return self.shared + self.slope * m


def _line(run: Callable[[Sequence[Unit]], None], units: Sequence[Unit], budget: float) -> _Line:
    """Time a few units, and more of them while there is time."""
    spread = np.unique(np.linspace(0, len(units) - 1, min(len(units), 512)).astype(int))
    order = np.random.default_rng(0).permutation(spread)

    def timed(m: int) -> float:
        some = [units[i] for i in order[:m]]
        started = time.perf_counter()
        run(some)
        return time.perf_counter() - started

    timed(1)  # what is compiled on first use is no part of a run
    one, few = timed(1), min(8, len(order))
    if few < 2:
        return _Line(0.0, one / max(len(units), 1))

    def once_more(m: int) -> float:
        """A first time that is out of line: one of these units compiled what the first did not."""
        took = timed(m)
        return timed(m) if took > 2 * m * one else took

    took = once_more(few)
    while took < budget / 2 and few < len(order):
        few = min(len(order), max(few + 1, int(few * min(8.0, 0.8 * budget / max(took, 1e-4)))))
        took = once_more(few)
    slope = max((took - one) / (few - 1), 0.0)
    return _Line(max(one - slope, 0.0), slope)


def _memory(
    screen: Screen, units: Sequence[Unit], group: ControlGroup, options: RunOptions, n_rows: int
) -> float:
    own = None
    if group.cells is not None:
        sizes = [screen.treated_cells(unit).size for unit in units]
        own = int(group.cells.sum()) + int(np.median(sizes))
    stored = is_stored(screen) and own is not None
    need = memory_need(
        0 if stored else screen.n_cells, screen.n_programs, screen.covariates.shape[1], n_rows,
        options.n_resamples, own_cells=own,
    )  # fmt: skip
    total = need.total(worker_count(options.n_jobs))
    if not stored:
        return total
    # as many cells are brought in at once as the limit allows
    cells = held_bytes(screen) + row_bytes(screen) * screen.n_cells
    return min(total + cells, memory_budget(options.memory) or np.inf)
