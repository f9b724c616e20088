"""From the settings of the original to options of the engine.

Settings that decide nothing here (the kind of workers, a solver's penalty or number of steps, the
type that ranks are kept in) are taken, and where a value is given that is ignored, that is said
once per setting and session.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, TypedDict

from programde.compat.inputs import CRTInputs
from programde.compat.propensity import fit_propensity_logistic, ignored
from programde.crt import propensity
from programde.crt.engine import RunOptions
from programde.crt.propensity import PropensityModel
from programde.crt.samplers import SAMPLERS, Bernoulli, StratifiedPermutation, make_sampler
from programde.crt.statistics import OLS, UTest, make_statistic
from programde.errors import (
    InputError,
    OptionError,
    check_choice,
    check_keywords,
    nearest,
    some,
    tell,
)
from programde.limits import core_count
from programde.threads import worker_count

#: Names of joblib's backends; whichever is named, the work is done by threads.
BACKENDS = ("loky", "threading", "multiprocessing", "sequential", "dask", "ray", "spark")
#: What the original calls a statistic -> its name here.
STATISTIC_NAMES = {
    "ols": OLS.name,
    "beta": OLS.name,
    "utest": UTest.name,
    "wilcoxon": UTest.name,
    "mannwhitney": UTest.name,
}
#: A statistic -> what the original calls its effects (`stat_name`).
EFFECT_NAMES = {OLS.name: "beta", UTest.name: "rank_biserial"}


class WorkSettings(TypedDict, total=False):
    """How a unit is tested; keywords that the doors share.

    propensity_model
        f(C, x) -> p or (p, model); default (or None): the ridge logistic regression.
    resampling_method
        ``"bernoulli_index"`` (default) or ``"stratified_perm"``.
    resampling_kwargs
        Options of the sampler, see `programde.crt.samplers`.
    test_stat
        ``"ols"`` (also ``"beta"``, None) or ``"utest"`` (also ``"wilcoxon"``, ``"mannwhitney"``).
    test_stat_kwargs
        Options of the statistic: `use` ("clr" or "usage") and `rank_method` for the U-test.
    n_jobs
        Threads, as joblib counts them, at most one per core; no result depends on it.
    backend
        A name of joblib's; threads are used in any case.
    progress
        Whether to show a progress bar; None (default) on interactive terminals only.
    """

    propensity_model: PropensityModel | None
    resampling_method: str
    resampling_kwargs: Mapping[str, Any] | None
    test_stat: str | None
    test_stat_kwargs: Mapping[str, Any] | None
    n_jobs: int
    backend: str
    progress: bool | None


class Comparison(TypedDict, total=False):
    """Who a unit is compared with; keywords beyond those of the original.

    control
        ``"complement"`` (default): all other cells. ``"nt_cells"``: cells that hold only control
        guides; a group of control guides is compared with the remaining such cells. ``"auto"``:
        `nt_cells` where the median cell holds one guide.
    ntc_labels
        Genes that are controls. Default: those whose names say so (NTC, non-targeting ...).
    """

    control: str
    ntc_labels: str | Sequence[str] | None


class Work(TypedDict, total=False):
    """How the work is done: see `WorkSettings`."""

    n_jobs: int
    backend: str
    progress: bool | None


class UnitSettings(Work, total=False):
    """`WorkSettings` but the propensity model, which has a place of its own."""

    resampling_method: str
    resampling_kwargs: Mapping[str, Any] | None
    test_stat: str | None
    test_stat_kwargs: Mapping[str, Any] | None


class Further(Comparison, total=False):
    """`Comparison` and `Work`."""

    n_jobs: int
    backend: str
    progress: bool | None


class NullSettings(Comparison, total=False):
    """`Comparison`, for doors that have places of their own for the number of threads."""

    propensity_model: PropensityModel | None
    progress: bool | None


def tested_by(
    propensity_model: PropensityModel | None,
    resampling_method: str,
    resampling_kwargs: Mapping[str, Any] | None,
    test_stat: str | None,
    test_stat_kwargs: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The settings that most doors have places for, as `WorkSettings`."""
    return dict(locals())


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
    backend = check_choice("backend", settings.get("backend", "threading"), BACKENDS)
    if backend not in ("loky", "threading", "sequential"):
        ignored("backend", backend, "the work is done by threads, which share the arrays")
    model = settings.get("propensity_model")
    if model is not None and not callable(model):
        raise OptionError(f"propensity_model={model!r} must be a function f(C, x) -> p")
    own = model in (fit_propensity_logistic, propensity.fit_propensity_logistic)
    return RunOptions(
        statistic=_statistic(settings.get("test_stat", "ols"), settings.get("test_stat_kwargs")),
        sampler=_sampler(
            inputs,
            settings.get("resampling_method", "bernoulli_index"),
            settings.get("resampling_kwargs"),
        ),
        n_resamples=max(0, whole_number("B", B)),
        seed=whole_number("seed", seed),
        propensity=None if own else model,
        min_treated=1,
        min_control=1,
        tails=False,
        given="propensity",
        n_jobs=_threads(settings.get("n_jobs", 1), backend),
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
    return 1 if backend == "sequential" else min(worker_count(n_jobs), core_count())


def _own_options(
    name: str, kind: Any, given: Mapping[str, Any], others: Sequence[Any], key: str
) -> dict[str, Any]:
    """Those of `given` that `kind` has; options of another kind are left out, with a warning."""
    own = [f.name for f in fields(kind)]
    foreign = [f.name for other in others for f in fields(other) if f.name not in own]
    check_keywords(f"{key} of {name!r}", given, own + foreign)
    unused = [option for option in given if option in foreign]
    if unused:
        tell(f"{key}: {some(unused)} have no meaning for {name!r} and are ignored")
    return {option: value for option, value in given.items() if option in own}


def _statistic(name: str | None, given: Mapping[str, Any] | None) -> Any:
    asked = "ols" if name is None else name.lower() if isinstance(name, str) else name
    if asked not in STATISTIC_NAMES:
        check_choice("test_stat", name, STATISTIC_NAMES)
    kind: Any = {OLS.name: OLS, UTest.name: UTest}[STATISTIC_NAMES[asked]]
    options = dict(given or {})
    if "rank_dtype" in options:
        ignored("rank_dtype", options.pop("rank_dtype"), "ranks are exact in any case")
    own = _own_options(asked, kind, options, [OLS, UTest], "test_stat_kwargs")
    return make_statistic(kind.name, **own)


def _sampler(inputs: CRTInputs, name: str, given: Mapping[str, Any] | None) -> Any:
    check_choice("resampling_method", name, SAMPLERS)
    kinds: dict[str, Any] = {
        Bernoulli.name: Bernoulli,
        StratifiedPermutation.name: StratifiedPermutation,
    }
    options = _own_options(
        name, kinds[name], dict(given or {}), list(kinds.values()), "resampling_kwargs"
    )
    if name == StratifiedPermutation.name:
        _check_batch(inputs, options)
        options.setdefault("bins_by", "cells")
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
