"""Units of the original's doors through the engine: who they are compared with, and the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from programde.analysis.targets import fit_to_memory
from programde.compat.inputs import CRTInputs
from programde.compat.settings import Comparison, Further, WorkSettings, run_options
from programde.crt.control_group import ControlGroup, choose_control
from programde.crt.engine import PreparedPopulation, RunOptions, Watcher, run_tasks
from programde.crt.plan import plan
from programde.crt.protocols import Law
from programde.crt.results import CRTResult
from programde.errors import check_keywords, some, tell
from programde.screen.cells import targets_per_cell
from programde.screen.control_labels import (
    check_ntc_labels,
    looks_like_control,
    warn_unlisted,
)
from programde.screen.screen import Unit


@dataclass(frozen=True)
class Compared:
    """Who units are compared with.

    Attributes
    ----------
    group
        The control group.
    labels
        Genes that are controls.
    """

    group: ControlGroup
    labels: tuple[str, ...] = ()

    def are_controls(self, inputs: CRTInputs, units: Sequence[Unit]) -> bool:
        """Whether all these units consist of control guides alone."""
        held = {inputs.guide2gene.get(guide) for unit in units for guide in unit.guides}
        return held <= set(self.labels)


COMPLEMENT = Compared(ControlGroup("complement", "as the original", None))


def compared(
    inputs: CRTInputs,
    control: str = "complement",
    ntc_labels: str | Sequence[str] | None = None,
) -> Compared:
    """Settle who units are compared with; the options of `Comparison`.

    Raises
    ------
    OptionError
        An unknown kind of control group.
    InputError
        Labels that match nothing, or no cell that holds only control guides.
    """
    if ntc_labels is not None:
        labels = check_ntc_labels(inputs.guide2gene, ntc_labels)
    else:
        labels = [gene for gene in inputs.gene_to_cols if looks_like_control(gene)]
        warn_unlisted(list(inputs.gene_to_cols), labels)
    group = choose_control(inputs.screen, control, labels, cells_with_other_targets="keep")
    if group.warning:
        tell(group.warning)
    if group.cells is not None:
        targets = targets_per_cell(inputs.screen, labels)
        several = int((targets > 1).sum())
        if several:
            tell(
                f"{several:,} of {int((targets > 0).sum()):,} perturbed cells hold several targets "
                "and are kept, as in the original; each target's effect enters the others' tests "
                "(run_targets leaves such cells out)"
            )
    return Compared(replace(group, drop_siblings=False), tuple(labels))


def how_to_test(
    inputs: CRTInputs, B: int, seed: int, settings: Mapping[str, Any], further: Mapping[str, Any]
) -> tuple[RunOptions, Compared]:
    """How units are tested (`settings.WorkSettings`), and who they are compared with.

    Parameters
    ----------
    inputs, B, seed, settings
        See `settings.run_options`.
    further
        `settings.Further`: what a door takes by keyword beyond its settings.
    """
    check_keywords("the test", further, {**Further.__annotations__, **WorkSettings.__annotations__})
    asked = {key: further[key] for key in Comparison.__annotations__ if key in further}
    rest = {key: value for key, value in further.items() if key not in asked}
    return run_options(inputs, B, seed, {**settings, **rest}), compared(inputs, **asked)


def run_units(
    inputs: CRTInputs,
    units: Sequence[Unit],
    options: RunOptions,
    watch: Watcher | None = None,
    label: str = "testing",
    against: Compared = COMPLEMENT,
) -> CRTResult:
    """Test units against their controls, row i being unit i."""
    names = [unit.name for unit in units]
    own = against.are_controls(inputs, units)
    options = fit_to_memory(
        inputs.screen, units, None if own else against.group, options, len(units)
    )
    tasks = plan(inputs.screen, units, against.group, are_controls=own)
    return run_tasks(tasks, names, inputs.program_names, options, watch, label)


def visit_null_draws(
    inputs: CRTInputs,
    units: Sequence[Unit],
    options: RunOptions,
    use: Callable[[int, np.ndarray, np.ndarray], None],
    label: str = "null draws",
    against: Compared = COMPLEMENT,
) -> CRTResult:
    """Hand the null draws of each testable unit to ``use(row, draws (B, K), observed (K,))``.

    They are the draws behind the unit's p-values with the same seed. `use` is called from threads.
    """

    def watch(row: int, population: PreparedPopulation, law: Law, effect: np.ndarray) -> None:
        use(row, population.null_statistics(law, units[row].name, options.n_resamples), effect)

    options = fit_to_memory(inputs.screen, units, against.group, options, len(units))
    none = replace(options, n_resamples=0, tails=False)
    return run_units(inputs, units, none, watch, label, against)


def no_contrast(result: CRTResult) -> np.ndarray:
    """Which units (G,) have no treated or no control cells at all."""
    return (result.n_treated == 0) | (result.n_control == 0)


def warn_untested(result: CRTResult, which: np.ndarray, consequence: str) -> None:
    """Warn of those of the units `which` (G,) that could not be tested, and of the consequence."""
    reasons: dict[str, list[str]] = {}
    for name, reason, asked in zip(result.units, result.status, which.tolist(), strict=True):
        if reason and asked:
            reasons.setdefault(reason, []).append(name)
    for reason, names in reasons.items():
        tell(f"{len(names)} unit(s) not testable ({reason}), {consequence}: {some(names)}")
