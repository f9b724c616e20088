"""From the options of the original to a run of the engine."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypedDict

import numpy as np

from programde.analysis.targets import fit_to_memory
from programde.compat.inputs import CRTInputs
from programde.crt.control_group import ControlGroup, choose_control, targets_per_cell
from programde.crt.engine import PreparedPopulation, RunOptions, Watcher, run_tasks
from programde.crt.plan import plan
from programde.crt.propensity import PropensityModel, fit_propensity_logistic
from programde.crt.protocols import Law
from programde.crt.results import CRTResult
from programde.crt.samplers import SAMPLERS, Bernoulli, StratifiedPermutation, make_sampler
from programde.crt.statistics import OLS, STATISTICS, UTest, make_statistic
from programde.errors import (
    InputError,
    OptionError,
    check_choice,
    check_keywords,
    nearest,
    some,
    tell,
)
from programde.screen.guides import check_ntc_labels, looks_like_control
from programde.screen.screen import Unit
from programde.threads import worker_count

#: Names of joblib's backends; whichever is named, the work is done by threads.
BACKENDS = ("threading", "loky", "multiprocessing", "sequential")


class Settings(TypedDict, total=False):
    """How a unit is tested; keywords that the doors share.

    propensity_model
        f(C, x) -> p or (p, model); None for the ridge logistic regression.
    resampling_method
        ``"bernoulli_index"`` (default) or ``"stratified_perm"``.
    resampling_kwargs
        Options of the sampler, see `programde.crt.samplers`.
    test_stat
        ``"ols"`` (default) or ``"utest"``.
    test_stat_kwargs
        Options of the statistic: `use` ("clr" or "usage") and `rank_method` for the U-test.
    progress
        Whether to show a progress bar; None (default) on interactive terminals only.
    """

    propensity_model: PropensityModel | None
    resampling_method: str
    resampling_kwargs: Mapping[str, Any] | None
    test_stat: str
    test_stat_kwargs: Mapping[str, Any] | None
    progress: bool | None


class WorkSettings(Settings, total=False):
    """`Settings`, and by how many threads.

    n_jobs
        Threads, as joblib counts them, at most one per core; no result depends on it.
    backend
        A name of joblib's; threads are used in any case.
    """

    n_jobs: int
    backend: str


class Comparison(TypedDict, total=False):
    """Who a unit is compared with.

    control
        ``"complement"`` (default): all other cells. ``"nt_cells"``: cells that hold only control
        guides; a group of control guides is compared with the remaining such cells. ``"auto"``:
        `nt_cells` where the median cell holds one guide.
    ntc_labels
        Genes that are controls. Default: those whose names say so (NTC, non-targeting ...).
    """

    control: str
    ntc_labels: str | Sequence[str] | None


class ComparedSettings(WorkSettings, Comparison, total=False):
    """`WorkSettings` and `Comparison`."""


class NullSettings(Settings, Comparison, total=False):
    """`Settings` and `Comparison`, where the number of threads has a place of its own."""


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


def split_settings(inputs: CRTInputs, settings: ComparedSettings) -> tuple[WorkSettings, Compared]:
    """How units are tested, and who they are compared with."""
    check_keywords("the test", settings, ComparedSettings.__annotations__)
    rest: Any = dict(settings)
    asked = {key: rest.pop(key) for key in ("control", "ntc_labels") if key in rest}
    return rest, compared(inputs, **asked)


def run_options(inputs: CRTInputs, B: int, seed: int, settings: Mapping[str, Any]) -> RunOptions:
    """Options of the engine.

    Parameters
    ----------
    inputs
        For checking column names.
    B
        Number of resamples; 0 or below: none.
    seed
        Seed of all random streams.
    settings
        `WorkSettings`.

    Raises
    ------
    OptionError
        An unknown name or value; the nearest are offered.
    InputError
        A column that the sampler needs and the covariates do not have.
    """
    check_keywords("the test", settings, WorkSettings.__annotations__)
    check_choice("backend", settings.get("backend", "threading"), BACKENDS)
    model = settings.get("propensity_model")
    if model is not None and not callable(model):
        raise OptionError(f"propensity_model={model!r} must be a function f(C, x) -> p")
    return RunOptions(
        statistic=_statistic(settings.get("test_stat", "ols"), settings.get("test_stat_kwargs")),
        sampler=_sampler(
            inputs,
            settings.get("resampling_method", "bernoulli_index"),
            settings.get("resampling_kwargs"),
        ),
        n_resamples=max(0, whole_number("B", B)),
        seed=whole_number("seed", seed),
        propensity=None if model is fit_propensity_logistic else model,
        min_treated=1,
        min_control=1,
        tails=False,
        n_jobs=_threads(settings.get("n_jobs", 1), settings.get("backend", "threading")),
        progress=settings.get("progress"),
    )


def whole_number(name: str, value: Any) -> int:
    """`value` as an int; raises an OptionError where it is not a whole number."""
    try:
        number = int(value)
        if number == value:
            return number
    except (TypeError, ValueError, OverflowError):
        pass
    raise OptionError(f"{name}={value!r} must be a whole number")


def _threads(n_jobs: int, backend: str) -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return 1 if backend == "sequential" else min(worker_count(n_jobs), cores or 1)


def _own_options(
    name: str, kind: Any, given: Mapping[str, Any] | None, others: Sequence[Any], key: str
) -> dict[str, Any]:
    """Those of `given` that `kind` has; options of another kind are left out, with a warning."""
    given = dict(given or {})
    own = [f.name for f in fields(kind)]
    foreign = [f.name for other in others for f in fields(other) if f.name not in own]
    check_keywords(f"{key} of {name!r}", given, own + foreign)
    ignored = [option for option in given if option in foreign]
    if ignored:
        tell(f"{key}: {some(ignored)} have no meaning for {name!r} and are ignored")
    return {option: value for option, value in given.items() if option in own}


def _statistic(name: str, given: Mapping[str, Any] | None) -> Any:
    check_choice("test_stat", name, STATISTICS)
    kind = {OLS.name: OLS, UTest.name: UTest}[name]
    return make_statistic(name, **_own_options(name, kind, given, [OLS, UTest], "test_stat_kwargs"))


def _sampler(inputs: CRTInputs, name: str, given: Mapping[str, Any] | None) -> Any:
    check_choice("resampling_method", name, SAMPLERS)
    kinds: dict[str, Any] = {
        Bernoulli.name: Bernoulli,
        StratifiedPermutation.name: StratifiedPermutation,
    }
    options = _own_options(name, kinds[name], given, list(kinds.values()), "resampling_kwargs")
    if name == StratifiedPermutation.name:
        _check_batch(inputs, options)
    return make_sampler(name, **options)


def _check_batch(inputs: CRTInputs, options: Mapping[str, Any]) -> None:
    """Say so where strata within batches were asked for and there is no batch to be had."""
    if not options.get("stratify_by_batch", True):
        return
    asked = "batch_key" in options or "stratify_by_batch" in options
    table, key = inputs.covar_df_raw, options.get("batch_key", "batch")
    if table is None:
        if asked and inputs.batch_raw is None:
            tell("the covariates came as an array, so stratify_by_batch is ignored")
    elif "batch_key" in options and key not in table.columns:
        raise InputError(f"batch_key={key!r} is not a covariate{nearest(key, table.columns)}")
    elif asked and key not in table.columns and inputs.batch_raw is None:
        tell(f"the covariates have no column {key!r}, so stratify_by_batch is ignored")


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
