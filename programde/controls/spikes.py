"""Known effects put into a screen's own control cells: what a test finds of them is its power.

Groups of control cells carry the screen's confounding, noise and zeros. A set of them, of the
median target's effective size n1 n0 / (n1 + n0) and as likely to be treated as some real target's
cells are, gets a fold change of one program's mean usage; all such spikes of a set are columns of
one unit, and the engine tests them as it tests targets. Only the spiked program is tested.

A mean changes because cells switch on or off, or because those that are on have more or less. Which
of the two it is decides which floor does well, so the share of the log fold change that comes by
switching is varied from 0 (scaling alone) to 1 (`SHARES`). With delta the log fold change and w the
share, cells are switched off with probability 1 - exp(w delta) for delta < 0; for delta > 0 as many
of the cells that are off get the usage of some cell that is on as raise the number of cells that
are on by exp(w delta). All are then scaled to the mean that delta asks for, and rows closed again.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from scipy import sparse

from programde.controls.control_sets import SetDrawer
from programde.controls.options import SpikeOptions
from programde.controls.spike_results import OFF, Spikes
from programde.crt.control_group import ControlGroup
from programde.crt.engine import Deferred, Later, RunOptions, Task, run_tasks
from programde.crt.plan import plan
from programde.crt.tasks import Once
from programde.errors import InputError
from programde.screen.composition import transformed
from programde.screen.screen import Screen, Unit
from programde.streams import generator

#: Share of a log fold change that comes by cells switching on or off.
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
#: Spiked outcomes of one set are kept below so many bytes.
MOST_BYTES = 2**28


def spiked_usages(
    usage: np.ndarray,
    positive: np.ndarray,
    fold_changes: Sequence[float],
    shares: Sequence[float],
    rng: np.random.Generator,
) -> np.ndarray:
    """Usages of one program in some cells, changed in mean by known folds.

    Parameters
    ----------
    usage : (n,) float64
        As they are.
    positive : (m,) float64
        All positive usages of the program among the control cells.
    fold_changes
        Each is tried upwards (times it) and downwards (divided by it).
    shares
        Shares of the log fold change that come by cells switching on or off.
    rng
        One draw per cell serves all columns, so that power rises smoothly.

    Returns
    -------
    (n, 2 x folds x shares) float64
        Before rows are closed again; the mean of each column is the fold times that of `usage`.
    """
    chance, place = rng.random((2, usage.size))
    level = OFF * np.median(positive) if positive.size else 0.0
    off = usage < level
    on = positive[positive >= level]
    picked = on[(place * on.size).astype(np.intp)] if on.size else usage
    share_on = 1.0 - off.mean()
    columns = []
    for sign, fold, share in itertools.product((1.0, -1.0), fold_changes, shares):
        delta = sign * np.log(fold)
        if delta < 0:
            changed = np.where(chance < -np.expm1(share * delta), 0.0, usage)
        else:
            more = share_on * np.expm1(share * delta)
            switched = off & (chance < more / max(1.0 - share_on, 1e-12))
            changed = np.where(switched, picked, usage)
        mean = changed.mean()
        columns.append(changed * (usage.mean() * np.exp(delta) / mean) if mean > 0 else usage)
    return np.stack(columns, axis=1)


def _closed_again(
    usage: np.ndarray, program: int, changed: np.ndarray, screen: Screen
) -> tuple[np.ndarray, np.ndarray]:
    """One program's outcome and floored usage, both (n, S), after its usages were `changed` (n, S)
    in cells of closed usages (n, K), all rows closed again and floored.

    The other programs of a cell only share what is left, so a column costs a comparison with the
    floor for each of them and no logarithm; a log-ratio does not see the second closing.
    """
    others = np.delete(usage, program, axis=1)
    total = others.sum(axis=1)[:, None] + changed
    # a cell whose only program was switched off stays what it was
    lost = total <= 1e-12
    total = np.where(lost, 1.0, total)
    least = screen.floor * total
    raised = np.maximum(np.where(lost, usage[:, program, None], changed), least)
    with np.errstate(divide="ignore"):
        log_least, log_others = np.log(least), np.log(others)
    above = raised.copy()
    logs = np.zeros_like(raised)
    for j in range(others.shape[1]):
        above += np.maximum(others[:, j, None], least)
        if screen.transform == "clr":
            logs += np.maximum(log_others[:, j, None], log_least)
    floored = raised / above
    if screen.transform != "clr":
        return transformed(floored, screen.transform), floored
    own = np.log(raised)
    return own - (logs + own) / usage.shape[1], floored


def spike_controls(
    screen: Screen,
    units: Sequence[Unit],
    control: ControlGroup,
    options: RunOptions,
    spikes: SpikeOptions,
    *,
    by_condition: bool = False,
    drop_empty_batches: bool = True,
) -> Spikes:
    """Put known effects into sets of control cells and test them.

    Parameters
    ----------
    screen
        The screen; its usages before the floor are what is changed.
    units
        Real targets, whose sizes and propensities the sets have.
    control
        The control group.
    options
        How to test.
    spikes
        How many sets, which effects.
    by_condition
        Sets lie within the levels of the condition, in turn, as tests do.
    drop_empty_batches
        As in the tests of targets.

    Raises
    ------
    InputError
        The screen holds program scores, which have no fold changes; no target is large enough; or
        there are too few control cells for sets of the median target's size.
    """
    if screen.transform == "none":
        raise InputError("program scores are no usages, so that there is no fold change of them")
    from threadpoolctl import threadpool_limits

    options = replace(options, shifts=False)  # a set is found or not: no other scale is shown
    everywhere = np.ones(screen.n_cells, dtype=bool)
    masks = [everywhere]
    if by_condition:
        levels = np.asarray(screen.condition).astype(str)
        masks = [levels == level for level in np.unique(levels)]
    drawers = [SetDrawer(screen, control, units, m, options.min_treated) for m in masks]
    if not any(drawer.n_treated for drawer in drawers):
        raise InputError(f"no target has {options.min_treated} treated cells")
    n_sets = spikes.n_sets + spikes.n_unspiked_sets
    rngs = [generator(spikes.seed, "spikes", f"set {s}") for s in range(n_sets)]
    with threadpool_limits(limits=1):  # many small factorizations: threads only wait for each other
        sets = [drawers[s % len(drawers)].draw(rng) for s, rng in enumerate(rngs)]
    if not any(cells.size for cells in sets[: spikes.n_sets]):
        raise InputError(
            f"there are too few control cells for sets of {drawers[0].size} of them, the median "
            "target's size"
        )
    names = [f"set {s}" for s in range(n_sets)]
    fake = _with_sets(screen, sets, names)
    every = [Unit(name, (name,), (s,)) for s, name in enumerate(names)]

    def planned(n: int) -> Iterator[Once[Task]]:
        """The first sets with their populations, each in the row of its number."""
        for number, mask in enumerate(masks):
            mine = list(range(number, n, len(masks)))
            for later in plan(
                fake,
                [every[s] for s in mine],
                control,
                cells=mask,
                drop_empty_batches=drop_empty_batches,
                are_controls=True,
            ):
                assert not isinstance(later, Task)  # populations are made when they are due
                yield Once(partial(_in_rows, later, mine))

    unspiked = run_tasks(
        (task() for task in planned(n_sets)),
        names,
        screen.program_names,
        options,
        label="sets of control cells",
    )
    n_spikes = 2 * len(spikes.fold_changes) * len(SHARES)
    n_pool = max(
        int(m.sum() if control.cells is None else (m & control.cells).sum()) for m in masks
    )
    fitting = max(1, MOST_BYTES // (16 * max(n_pool, 1) * n_spikes))
    n_programs = min(screen.n_programs, spikes.most_programs, fitting)
    order = generator(spikes.seed, "spikes", "programs").permutation(screen.n_programs)
    chosen = [
        np.sort(np.take(order, range(s * n_programs, (s + 1) * n_programs), mode="wrap"))
        for s in range(spikes.n_sets)
    ]

    def widened() -> Iterator[Deferred]:
        for task in planned(spikes.n_sets):  # whose population is made once for all its sets
            for number, s in enumerate(task().places):
                yield Deferred(
                    partial(_widened, task(), number, screen, chosen[s], spikes, rngs[s]), s
                )

    columns = [f"spike {j}" for j in range(n_programs * n_spikes)]
    spiked = run_tasks(widened(), names[: spikes.n_sets], columns, options, label="spikes")
    return Spikes(
        spiked,
        unspiked,
        [[screen.program_names[k] for k in of_set] for of_set in chosen],
        list(spikes.fold_changes),
        list(SHARES),
        float(np.median([drawer.effective_size for drawer in drawers])),
        int(np.median([drawer.n_treated for drawer in drawers])),
    )


def _with_sets(screen: Screen, sets: Sequence[np.ndarray], names: Sequence[str]) -> Screen:
    """The screen with sets of cells in the place of guides."""
    ends = np.cumsum([0, *(cells.size for cells in sets)])
    cells = np.concatenate([np.asarray(c, dtype=np.int32) for c in sets])
    ones = np.ones(cells.size, dtype=np.int8)
    guides = sparse.csc_matrix((ones, cells, ends), shape=(screen.n_cells, len(sets)))
    return replace(
        screen,
        guides=guides,
        guide_names=list(names),
        guide_to_target={},
        further_targets={},
        ambiguous=None,
    )


def _in_rows(later: Later | Deferred, rows: Sequence[int]) -> Task:
    """A task whose places are places in `rows`."""
    task = later.build()
    return replace(task, places=[rows[place] for place in task.places])


def _widened(
    task: Task,
    number: int,
    screen: Screen,
    programs: np.ndarray,
    spikes: SpikeOptions,
    rng: np.random.Generator,
) -> Task:
    """The task of one set, the `number`-th of a task, with all its spikes as columns."""
    people, treated = task.population, task.treated[number]
    cells = slice(None) if people.cells is None else people.cells
    closed = (screen.usage if screen.unfloored is None else screen.unfloored)[cells]
    n_spikes = 2 * len(spikes.fold_changes) * len(SHARES)
    outcome = np.repeat(people.outcome[:, programs], n_spikes, axis=1)
    usage = np.repeat(people.usage[:, programs], n_spikes, axis=1)
    # a set for which no target's propensity converged is empty, and not tested
    for place, program in enumerate(programs.tolist() if treated.size else ()):
        of_program = closed[:, program]
        changed = spiked_usages(
            of_program[treated], of_program[of_program > 0], spikes.fold_changes, SHARES, rng
        )
        part = slice(place * n_spikes, (place + 1) * n_spikes)
        outcome[treated, part], usage[treated, part] = _closed_again(
            closed[treated], program, changed, screen
        )
    return Task(
        population=replace(people, outcome=outcome, usage=usage),
        names=[task.names[number]],
        treated=[treated],
        places=[task.places[number]],
    )
