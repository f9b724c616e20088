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
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from scipy import sparse

from programde.controls.control_sets import SetDrawer
from programde.controls.options import SpikeOptions
from programde.controls.spike_results import OFF, Spikes
from programde.crt.checkpoint import Checkpoint
from programde.crt.control_group import ControlGroup
from programde.crt.options import RunOptions
from programde.crt.plan import plan
from programde.crt.run_study import run_study
from programde.crt.study import Study
from programde.crt.tasks import AnyTask, Deferred, Later, Once, Task
from programde.errors import InputError
from programde.screen.composition import transformed
from programde.screen.screen import Screen, Unit
from programde.streams import generator
from programde.threads import worker_count

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
    (2 x folds x shares, n) float64
        Before rows are closed again; the mean of each row is the fold times that of `usage`.
    """
    chance, place = rng.random((2, usage.size))
    level = OFF * np.median(positive) if positive.size else 0.0
    off = usage < level
    on = positive[positive >= level]
    picked = on[(place * on.size).astype(np.intp)] if on.size else usage
    share_on = 1.0 - off.mean()
    kinds = list(itertools.product((1.0, -1.0), fold_changes, shares))
    changed = np.empty((len(kinds), usage.size))
    means = np.empty(len(kinds))
    mean = usage.mean()
    for row, (sign, fold, share) in enumerate(kinds):
        delta = sign * np.log(fold)
        if delta < 0:
            changed[row] = np.where(chance < -np.expm1(share * delta), 0.0, usage)
        else:
            more = share_on * np.expm1(share * delta)
            switched = off & (chance < more / max(1.0 - share_on, 1e-12))
            changed[row] = np.where(switched, picked, usage)
        means[row] = mean * np.exp(delta)
    found = changed.mean(axis=1)
    nothing = ~(found > 0)
    means[~nothing] /= found[~nothing]
    changed *= means[:, None]
    changed[nothing] = usage
    return changed


def _closed_again(
    usage: np.ndarray, program: int, changed: np.ndarray, screen: Screen, with_usage: bool
) -> tuple[np.ndarray, np.ndarray | None]:
    """One program's outcome and, where it is wanted, floored usage, both (S, n), after its usages
    were `changed` (S, n) in cells of closed usages (n, K), all rows closed again and floored.

    The other programs of a cell only share what is left, so a column costs a comparison with the
    floor for each of them and no logarithm; a log-ratio does not see the second closing.
    """
    others = np.delete(usage, program, axis=1)
    total = others.sum(axis=1) + changed
    # a cell whose only program was switched off stays what it was
    lost = total <= 1e-12
    total = np.where(lost, 1.0, total)
    least = screen.floor * total
    raised = np.maximum(np.where(lost, usage[:, program], changed), least)
    spare = np.empty_like(raised)
    floored = None
    if with_usage or screen.transform != "clr":
        above = raised.copy()
        for other in np.ascontiguousarray(others.T):
            above += np.maximum(other, least, out=spare)
        floored = raised / above
        if screen.transform != "clr":
            return transformed(floored, screen.transform), floored
    with np.errstate(divide="ignore"):
        log_least, log_others = np.log(least), np.log(others)
    logs = np.zeros_like(raised)
    for other in np.ascontiguousarray(log_others.T):
        logs += np.maximum(other, log_least, out=spare)
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
    executor: Executor | None = None,
    checkpoint: str | os.PathLike[str] | Checkpoint | None = None,
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
    executor, checkpoint
        Who tests, and where finished blocks are kept; see `crt.run_study`.

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
    levels = [""]
    if by_condition:
        levels = np.unique(np.asarray(screen.condition).astype(str)).tolist()
    masks = [_cells_of_level(screen, level) for level in levels]
    drawers = [SetDrawer(screen, control, units, m, options.min_treated) for m in masks]
    if not any(drawer.n_treated for drawer in drawers):
        raise InputError(f"no target has {options.min_treated} treated cells")
    n_sets = spikes.n_sets + spikes.n_unspiked_sets
    rngs = [generator(spikes.seed, "spikes", f"set {s}") for s in range(n_sets)]
    with threadpool_limits(limits=1):  # many small factorizations: threads only wait for each other
        for d, drawer in enumerate(drawers):
            drawer.look_ahead(rngs[d :: len(drawers)], worker_count(options.n_jobs))
        sets = [drawers[s % len(drawers)].draw(rng) for s, rng in enumerate(rngs)]
    if not any(cells.size for cells in sets[: spikes.n_sets]):
        raise InputError(
            f"there are too few control cells for sets of {drawers[0].size} of them, the median "
            "target's size"
        )
    names = [f"set {s}" for s in range(n_sets)]
    fake = _with_sets(screen, sets, names)
    every = [Unit(name, (name,), (s,)) for s, name in enumerate(names)]
    study = SetStudy(fake, every, control, options, levels, drop_empty_batches, True)
    unspiked = run_study(study, "sets of control cells", executor, checkpoint)
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

    study = replace(
        study,
        units=every[: spikes.n_sets],
        spikes=spikes,
        chosen=chosen,
        states=[rng.bit_generator.state for rng in rngs],
    )
    spiked = run_study(study, "spikes", executor, checkpoint)
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


def _cells_of_level(screen: Screen, level: str) -> np.ndarray:
    """Cells (N,) bool of a level of the condition; "" for all."""
    if not level:
        return np.ones(screen.n_cells, dtype=bool)
    return np.asarray(np.asarray(screen.condition).astype(str) == level)


@dataclass(frozen=True, eq=False, kw_only=True)
class SetStudy(Study):
    """Sets of control cells as they are tested: as they are, or each with effects in some programs.

    Attributes
    ----------
    screen, units
        Sets of cells in the place of guides; each is a unit.
    levels
        Sets lie within these, in turn.
    spikes
        What is put into the sets; None for nothing.
    chosen
        Programs that get effects, of each set.
    states
        Of each set's random numbers.
    """

    spikes: SpikeOptions | None = None
    chosen: Sequence[np.ndarray] = ()
    states: Sequence[Mapping[str, Any]] = ()

    @property
    def names(self) -> list[str]:
        """The sets."""
        return [unit.name for unit in self.units]

    @property
    def conditions(self) -> list[str]:
        """None is told."""
        return [""] * len(self.units)

    @property
    def programs(self) -> list[str]:
        """The screen's programs; or effects in those that are chosen."""
        if self.spikes is None:
            return super().programs
        return [f"spike {j}" for j in range(len(self.chosen[0]) * self._n_spikes)]

    @property
    def _n_spikes(self) -> int:
        assert self.spikes is not None
        return 2 * len(self.spikes.fold_changes) * len(SHARES)

    def slim(self) -> Study:
        """See `Study.slim`; effects are put into usages as they were before the floor."""
        slim = super().slim()
        kept = None if self.spikes is None else self.screen.unfloored
        return replace(slim, screen=replace(slim.screen, unfloored=kept))

    def tasks(self) -> Iterator[AnyTask]:
        """See `Study.tasks`."""
        for number, level in enumerate(self.levels):
            rows = range(number, len(self.units), len(self.levels))
            for task in plan(
                self.screen,
                [self.units[s] for s in rows],
                self.control,
                cells=_cells_of_level(self.screen, level),
                drop_empty_batches=self.drop_empty_batches,
                are_controls=True,
            ):
                if self.spikes is not None:
                    # the population is made once for all its sets
                    places = task.places if isinstance(task, Later) else [task.place]
                    made = Once(task.build)
                    for i, place in enumerate(places):
                        s = rows[place]
                        yield Deferred(partial(self._widened, made, i, s), s)
                elif isinstance(task, Later):
                    yield Later(partial(_moved, task, rows), [rows[place] for place in task.places])
                else:
                    place = rows[task.place]
                    pooled = None if task.pooled is None else replace(task.pooled, row=place)
                    yield Deferred(partial(_moved, task, rows), place, pooled)

    def _widened(self, made: Once[Task], number: int, s: int) -> Task:
        """Set `s`, the `number`-th of a task, with all its spikes as columns."""
        assert self.spikes is not None
        task, screen, n_spikes = made(), self.screen, self._n_spikes
        rng = generator(self.spikes.seed, "spikes", f"set {s}")
        rng.bit_generator.state = self.states[s]
        people, treated, programs = task.population, task.treated[number], self.chosen[s]
        cells = slice(None) if people.cells is None else people.cells
        closed = (screen.usage if screen.unfloored is None else screen.unfloored)[cells]
        outcome = _repeated(people.outcome[:, programs], n_spikes)
        reads_usage = getattr(self.options.statistic, "reads_usage", True)
        usage = _repeated(people.usage[:, programs if reads_usage else []], n_spikes)
        # a set for which no target's propensity converged is empty, and not tested
        for place, program in enumerate(programs.tolist() if treated.size else ()):
            of_program = closed[:, program]
            changed = spiked_usages(
                of_program[treated],
                of_program[of_program > 0],
                self.spikes.fold_changes,
                SHARES,
                rng,
            )
            part = slice(place * n_spikes, (place + 1) * n_spikes)
            own, floored = _closed_again(closed[treated], program, changed, screen, reads_usage)
            outcome[treated, part] = own.T
            if reads_usage and floored is not None:
                usage[treated, part] = floored.T
        differing = (treated.astype(np.int64), n_spikes)
        widened = replace(people, outcome=outcome, usage=usage, changed=differing)
        return Task(widened, [task.names[number]], [treated], [s])


def _repeated(values: np.ndarray, times: int) -> np.ndarray:
    """Each column of `values` (n, P) so many times in a row, (n, P x times)."""
    n, columns = values.shape
    wide = np.empty((n, columns, times))
    wide[:] = values[:, :, None]
    return wide.reshape(n, columns * times)


def _moved(task: Later | Deferred, rows: Sequence[int]) -> Task:
    """A task whose places are places in `rows`."""
    built = task.build()
    return replace(built, places=[rows[place] for place in built.places])
