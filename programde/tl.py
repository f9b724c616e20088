"""Analysing an AnnData in one call, the results kept with it: ``pde.tl.test(adata)``.

What is found lies in one place, ``adata.uns["programde"]``, and goes with the file (h5ad, zarr):

    results    one row per target x program, as `results_table`
    targets    one row per target: does it shift anything?
    controls   p-values of groups of control guides, tested as if they were targets
    metrics    how uniform those are, `verdict` and `sentence` what that means
    power      known effects in control cells and what became of them; only where asked for
    settings   how all of it was made, as the words of this call
    version    of programDE

`pde.get` takes it out again, `pde.pl` draws it. Each step has a function of its own, for more
control: `screen_from_anndata`, `run_targets`, `run_ntc_groups`, `calibrate`, `results_table`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from programde import __version__, get
from programde.errors import OptionError, check_choice

__all__ = ["calibration_metrics", "judged", "test"]

#: Targets that are controls, wherever nothing else is said; as conf/data/h5ad.yaml has it.
NTC_LABELS = ("non-targeting", "safe-targeting", "NTC")
CALIBRATIONS = ("saddlepoint", "skew_normal", "ntc_empirical", "none")
#: Seed of the intervals of metrics; as conf/config.yaml has it.
_SEED = 7


def test(
    adata: Any,
    *,
    usage_key: str = "cnmf_usage",
    statistic: str = "ols",
    sampler: str = "bernoulli_index",
    calibration: str = "saddlepoint",
    control: str = "auto",
    ntc_labels: str | Sequence[str] = NTC_LABELS,
    targets: Sequence[str] | None = None,
    n_resamples: int = 1023,
    side: str = "both",
    adjust: str = "bh",
    by_condition: bool = False,
    n_partitions: int = 10,
    power: bool = False,
    seed: int = 123,
    n_jobs: int = -1,
    progress: bool | None = None,
    key_added: str = get.KEY,
    sampler_options: Mapping[str, Any] | None = None,
    statistic_options: Mapping[str, Any] | None = None,
    **keys: Any,
) -> pd.DataFrame:
    """Test every target of a screen on every program, and say whether the p-values can be believed.

    The defaults are those of the pipeline.

    Parameters
    ----------
    adata
        AnnData of N cells. Read: usages (N x K) in `usage_key`, covariates in ``obsm["covar"]``,
        guides in ``obsm["guide_assignment"]``, their names and targets in ``uns["guide_names"]``
        and ``uns["guide2gene"]``; `keys` name others. Written: ``uns[key_added]``.
    usage_key
        Where the usages are.
    statistic
        ``"ols"`` or ``"utest"``.
    sampler
        ``"bernoulli_index"`` or ``"stratified_perm"``.
    calibration
        ``"saddlepoint"``, ``"skew_normal"``, ``"none"``; or ``"ntc_empirical"``, which compares
        targets with control guides, needs some twenty of them and all other cells as control
        (``control="complement"``), and is judged by control guides that are held out.
    control
        Who the perturbed cells are compared with, see `run_targets`.
    ntc_labels
        Targets that are non-targeting controls; those that the screen lacks are passed over.
    targets
        Targets to test; None for all.
    n_resamples
        Null draws of each test; 0 with ``calibration="saddlepoint"`` for none.
    side
        ``"both"``, ``"left"`` (the program falls) or ``"right"``.
    adjust
        False discovery rate, ``"bh"`` or ``"storey"``.
    by_condition
        Repeat in the cells of each level of `condition_key`, one of `keys`.
    n_partitions
        Random partitions of the control guides into groups, by which p-values are judged; 0: none.
    power
        Whether to put known effects into sets of control cells, for ``pl.power``; takes as long as
        some hundred targets.
    seed, n_jobs, progress
        Seed of all draws; threads (-1: all cores); progress bar (None: where somebody looks).
    key_added
        Where the results are kept in ``adata.uns``.
    sampler_options, statistic_options
        Further options of the two, such as ``{"n_bins": 10}``.
    **keys
        Of `screen_from_anndata`: `covar_key`, `covar_columns`, `batch_key`, `condition_key`, ...

    Returns
    -------
    DataFrame
        As `results_table`.

    Raises
    ------
    InputError, OptionError
        One line: what is wrong with the data, or the option.

    Examples
    --------
    >>> import programde as pde
    >>> adata = pde.make_sceptre_style_synth(N=800, K=5, n_target_genes=10, seed=0)
    >>> table = pde.tl.test(adata, usage_key="usage", n_resamples=0)
    >>> len(table), pde.get.results(adata).equals(table)
    (50, True)
    """
    from programde.analysis.calibrate import calibrate
    from programde.analysis.control_tables import control_table
    from programde.analysis.ntc_groups import run_ntc_groups
    from programde.analysis.tables import effect_unit, omnibus_table, results_table
    from programde.analysis.targets import run_targets
    from programde.controls.crossfit import cross_fit
    from programde.crt.options import RunOptions
    from programde.crt.samplers import make_sampler
    from programde.crt.statistics import make_statistic
    from programde.io.anndata import screen_from_anndata
    from programde.screen.guides import check_ntc_labels

    check_choice("calibration", calibration, CALIBRATIONS)
    options = RunOptions(
        make_statistic(statistic, **(statistic_options or {})),
        make_sampler(sampler, **(sampler_options or {})),
        n_resamples=n_resamples,
        seed=seed,
        n_jobs=n_jobs,
        progress=progress,
    )
    screen = screen_from_anndata(adata, usage_key=usage_key, **keys)
    labels = check_ntc_labels(screen.guide_to_target, ntc_labels)
    how: dict[str, Any] = {"ntc_labels": labels, "control": control, "by_condition": by_condition}
    units = None
    if calibration == "ntc_empirical":
        units = _control_units(screen, options, control, by_condition, power, labels)
    result = run_targets(screen, options, targets=targets, **how)
    calibrated = calibrate(result, calibration, side, controls=units)
    unit = effect_unit(options.statistic.name, screen.transform)
    found: dict[str, Any] = {
        "results": results_table(result, calibrated, adjust=adjust, unit=unit),
        "targets": omnibus_table(result, calibrated, adjust=adjust),
    }
    if n_partitions:
        groups = run_ntc_groups(screen, options, seed=seed, n_partitions=n_partitions, **how)
        held_out = None if units is None else cross_fit(units, n_jobs=n_jobs, progress=progress)
        found["controls"] = control_table(groups, calibration, side, held_out)
        single = None
        if units is not None:
            found |= _judged_held_out(found["controls"])
        else:
            if groups.group_size > 1:
                single = run_ntc_groups(screen, options, seed=seed, group_size=1, **how)
            found |= judged(groups, single, calibration, side)
    if power:
        found["power"] = _power(screen, options, calibration, side, {**how, "targets": targets})
    settings = {
        "usage_key": usage_key, "statistic": statistic, "sampler": sampler,
        "calibration": calibration, "control": control, "ntc_labels": list(labels),
        "targets": None if targets is None else list(targets), "n_resamples": n_resamples,
        "side": side, "adjust": adjust, "by_condition": by_condition,
        "n_partitions": n_partitions, "power": power, "seed": seed,
        "sampler_options": dict(sampler_options or {}),
        "statistic_options": dict(statistic_options or {}), **keys,
    }  # fmt: skip
    adata.uns[key_added] = {
        **{name: _storable(value) for name, value in found.items()},
        "settings": {name: _storable(value) for name, value in settings.items()
                     if _is_storable(value)},
        "version": __version__,
    }  # fmt: skip
    return get.results(adata, key_added)


def judged(groups: Any, single: Any, calibration: str, side: str = "both") -> dict[str, Any]:
    """Metrics of control groups and the verdict on them, as the report gives it.

    Parameters
    ----------
    groups, single
        What `run_ntc_groups` returned, for groups and for control guides one by one; None where
        groups are of one guide.
    calibration
        Of the p-values that are judged.
    side
        ``"both"``, ``"left"`` or ``"right"``.

    Returns
    -------
    dict
        `metrics` (those that are numbers), `verdict` (a word) and `sentence`.

    Examples
    --------
    >>> import programde as pde
    >>> adata = pde.make_sceptre_style_synth(N=800, K=5, n_target_genes=10, seed=0)
    >>> screen = pde.screen_from_anndata(adata, usage_key="usage")
    >>> options = pde.RunOptions(pde.OLS(), pde.Bernoulli(), n_resamples=0)
    >>> groups = pde.run_ntc_groups(screen, options, ntc_labels="NTC", group_size=1)
    >>> pde.tl.judged(groups, None, "saddlepoint")["verdict"]
    'too few controls to tell'
    """
    from programde.report.verdict import verdict

    used = "raw" if calibration == "none" else calibration
    metrics = calibration_metrics(groups, seed=_SEED, side=side)[used]
    alone = None if single is None else calibration_metrics(single, seed=_SEED, side=side)[used]
    said = verdict(metrics, alone, kind=used)
    numbers = {key: value for key, value in metrics.items() if np.ndim(value) == 0}
    return {"metrics": numbers, "verdict": said.word, "sentence": said.sentence}


def calibration_metrics(
    p_values: Any, n_boot: int = 1000, seed: int = 0, *, side: str = "both", **known: Any
) -> Any:
    """How uniform the p-values of control units are, with intervals that respect dependence.

    Parameters
    ----------
    p_values
        What `run_ntc_groups` returned; or a table of p-values, units x programs; or a mapping from
        the kind of p-value to such a table.
    n_boot, seed
        Bootstrap replicates, and their seed.
    side
        Of the tests, where `p_values` is what `run_ntc_groups` returned.
    **known
        Of the units of a table, `cluster`, `partition`, `guides`, `signs` and `correlation`; see
        `programde.report.metrics.calibration_metrics`.

    Returns
    -------
    dict
        Of a table, its metrics; else kind of p-value -> metrics.

    Examples
    --------
    >>> import numpy as np, pandas as pd, programde as pde
    >>> p = pd.DataFrame(np.random.default_rng(0).uniform(size=(200, 5)))
    >>> 0.03 < pde.calibration_metrics(p)["rate_05"] < 0.07
    True
    """
    from programde.report import metrics

    if not hasattr(p_values, "partitions"):
        return metrics.calibration_metrics(p_values, n_boot, seed, **known)
    from programde.analysis.control_tables import control_table
    from programde.report.control_groups import metrics_by_kind, signs_of, tables_by_kind

    table = control_table(p_values, "none", side)
    return metrics_by_kind(
        tables_by_kind(table), n_boot, seed, p_values.guides, signs_of(table), p_values.correlation
    )


def _control_units(
    screen: Any, options: Any, control: str, by_condition: bool, power: bool, labels: Any
) -> Any:
    """Control units for the comparison with control guides; refused where that has no meaning."""
    from programde.controls.control_units import control_units
    from programde.controls.options import CrossfitOptions
    from programde.crt.control_group import choose_control

    chosen = choose_control(screen, control, labels)
    if chosen.kind != "complement":
        raise OptionError(
            f"calibration='ntc_empirical' compares with all other cells, and control={control!r} "
            f"took {chosen.kind}: choose control='complement' or another calibration"
        )
    for name, asked in (("by_condition", by_condition), ("power", power)):
        if asked:
            raise OptionError(f"{name}=True does not go with calibration='ntc_empirical'")
    return control_units(screen, labels, crossfit=CrossfitOptions(), seed=options.seed)


def _judged_held_out(table: pd.DataFrame) -> dict[str, Any]:
    """Metrics and verdict of control guides that were held out; nothing where none could be."""
    from programde.report.control_groups import metrics_by_kind, tables_by_kind
    from programde.report.verdict import verdict

    kind = "ntc_empirical"
    tables = {name: one for name, one in tables_by_kind(table).items() if name == kind}
    if not tables:
        return {}
    metrics = metrics_by_kind(tables, seed=_SEED)[kind]
    said = verdict(metrics, None, kind=kind)
    numbers = {key: value for key, value in metrics.items() if np.ndim(value) == 0}
    return {"metrics": numbers, "verdict": said.word, "sentence": said.sentence}


def _power(
    screen: Any, options: Any, calibration: str, side: str, how: dict[str, Any]
) -> dict[str, Any]:
    """Known effects in control cells: their table, and what `pl.power` must know of it."""
    from programde.analysis.spike_tables import spike_table
    from programde.analysis.spiked_controls import run_spikes

    spikes = run_spikes(screen, options, **how)
    n_draws = spikes.spiked.null.n_draws
    return {
        "table": _storable(spike_table(spikes, calibration, side)),
        "n_treated": int(spikes.n_treated),
        "effective_size": float(spikes.effective_size),
        "smallest_p": 1 / (n_draws + 1) if calibration == "none" else 0.0,
    }


def _is_storable(value: Any) -> bool:
    """What has no place in a file is left out of the settings: None, and objects."""
    kinds = bool | int | float | str | list | tuple | dict | np.generic | pd.DataFrame
    return isinstance(value, kinds)


def _storable(value: Any) -> Any:
    """A table whose texts are texts throughout, lists as arrays: the same after h5ad and zarr."""
    if isinstance(value, pd.DataFrame):
        table = value.reset_index(drop=True)
        for name in table.columns:
            if table[name].dtype == object or isinstance(table[name].dtype, pd.StringDtype):
                texts = ["" if pd.isna(one) else str(one) for one in table[name]]
                table[name] = pd.Series(np.array(texts, dtype=object), dtype=object)
        table.index = table.index.astype(str)
        return table
    if isinstance(value, dict):
        return {str(key): _storable(one) for key, one in value.items() if _is_storable(one)}
    if isinstance(value, list | tuple):
        return np.array([str(one) for one in value], dtype=object)
    return value.item() if isinstance(value, np.generic) else value
