"""Results of two small screens by every way of testing: what a change of the house must not change.

    python -m tests.golden.make             writes tests/golden/golden.npz
    python -m tests.golden.make PATTERN     anew only the arrays CASE/NAME that hold this pattern

`CASES` name the ways: a screen, a statistic, a sampler, who is compared with whom. Each gives plain
arrays, by public names of the library alone, so that the same script runs before and after its
modules move. `test_golden.py` recomputes and compares.

Stored from commit 4b7e52f, the last before the library was arranged anew. Numbers that are changed
on purpose are computed anew, they alone, and get a line in `RENEWED` that says why.
"""

from __future__ import annotations

import inspect
import re
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

import programde as pde
from programde.compat.empirical import empirical_null
from tests.golden.screens import NTC, SCREENS, original_inputs
from tests.golden.store import STORE, Arrays, load, save

ORIGIN = "4b7e52f"
#: Arrays computed anew since, by pattern, and what changed them.
RENEWED: dict[str, str] = {
    r"^original\.ols\..*(skew|null\.draws)": (
        "the covariates come in the original's order, which changes the rounding (5e-8 at most)"
    ),
    r"^original\..*\.genes\.n_treated$": "treated cells by gene are a vector, as in the original",
    r"\.omnibus\.[pq]_acat": (
        "p-values near one no longer silence a target: the combination is truncated at one half"
    ),
    r"^one\.(ols|conditions|all_batches|rare)[./].*(null|skew_normal|[pq]_value|[pq]_acat)": (
        "rows of control cells are made once for all targets: sums round elsewhere (1e-6 at most)"
    ),
    r"^one\.usages/": "values that differ by rounding alone are tied: usages at the floor are",
    r"^many\.guides/": "cells with another guide of the same target are no controls of a guide",
}
SIDES = ("both", "left", "right")
STATISTICS = {"ols": pde.OLS, "utest": pde.UTest}
N_RESAMPLES = 199
#: Quantiles of the null draws that are kept, of the 19 in either tail.
KEPT = [0, 9, 18]


def either(source: Any, *names: str) -> Any:
    """The first of these attributes, columns or entries that is there: names may change."""
    for name in names:
        if isinstance(source, Mapping | pd.DataFrame):
            if name in source:
                return source[name]
        elif hasattr(source, name):
            return getattr(source, name)
    raise KeyError(f"none of {', '.join(names)}")


def takes(function: Callable[..., Any], name: str) -> bool:
    """Whether a function has a parameter of that name."""
    return name in inspect.signature(function).parameters


def strata_of(**options: Any) -> Any:
    """The stratified sampler with bins of equal cell count, the only ones there were."""
    if takes(pde.StratifiedPermutation, "bins_by"):
        options["bins_by"] = "cells"
    return pde.StratifiedPermutation(**options)


SAMPLERS = {"bernoulli": pde.Bernoulli, "stratified": strata_of}


def exact(result: Any, side: str, again: Callable[[Any], object]) -> Any:
    """The exact tails of a result: from it alone or, where it does not hold them, by going through
    its units again (`again`)."""
    if takes(pde.calibrate, "revisit"):
        return pde.calibrate(result, "saddlepoint", side, again)
    return pde.calibrate(result, "saddlepoint", side)


def strings(values: Any) -> np.ndarray:
    return np.array([str(value) for value in np.ravel(values)])


def texts_there(values: Any) -> np.ndarray:
    """Where something is said, whatever the words."""
    return np.asarray(values, dtype=object) != ""


def calibrations(result: Any, again: Callable[[Any], object]) -> Arrays:
    """P-values (G, K) by all calibrations that need no control guides, on all sides."""
    found: Arrays = {}
    for side in SIDES:
        for method in ("none", "skew_normal"):
            made = pde.calibrate(result, method, side)
            found[f"{method}.{side}.p"] = made.p_value
            if method != "none":
                found[f"{method}.{side}.fallback"] = texts_there(made.fallback)
        made = exact(result, side, again)
        found[f"saddlepoint.{side}.p"] = made.p_value
        found[f"saddlepoint.{side}.p_moments"] = made.p_moments
        if side == "both":
            found["saddlepoint.both.fallback"] = texts_there(made.fallback)
            found["saddlepoint.both.branch"] = strings(made.branch)
    return found


def numbers_of(result: Any) -> Arrays:
    """What a result holds."""
    null = result.null
    return {
        "units": strings(result.units),
        "condition": strings(result.condition),
        "untested": texts_there(result.status),
        "n_treated": result.n_treated,
        "n_control": result.n_control,
        "effect": result.effect,
        "effect_se": result.effect_se,
        "p_max": result.p_max,
        "null.mean": null.mean,
        "null.sd": null.sd,
        "null.skewness": null.skewness,
        "null.minimum": null.minimum,
        "null.maximum": null.maximum,
        "null.median": null.median,
        "null.lower": null.lower[..., KEPT],
        "null.upper": null.upper[..., KEPT],
        "null.n_ge": null.n_ge,
        "null.n_le": null.n_le,
        "null.n_abs_ge": null.n_abs_ge,
    }


def tables_of(result: Any, calibrated: Any, adjust: str, side: str = "both") -> Arrays:
    """The columns of the tidy tables, but for words."""
    given = {"side": side} if takes(pde.results_table, "side") else {}
    frame = pde.results_table(result, calibrated, adjust=adjust, **given)
    over = pde.omnibus_table(result, calibrated, adjust=adjust)
    found: Arrays = {}
    for name, table in (("results", frame), ("omnibus", over)):
        found[f"{name}.unit"] = strings(either(table, "target", "gene", "guide", "unit"))
        for column in table.columns:
            if pd.api.types.is_numeric_dtype(table[column]):
                found[f"{name}.{column}"] = table[column].to_numpy()
    found["omnibus.top_program"] = strings(over["top_program"])
    return {f"{adjust}.{key}": value for key, value in found.items()}


def run_options(
    statistic: Any, sampler: Any, n_resamples: int = N_RESAMPLES, min_treated: int = 10
) -> Any:
    return pde.RunOptions(
        statistic,
        sampler,
        n_resamples=n_resamples,
        seed=123,
        min_treated=min_treated,
        min_control=10,
        n_jobs=1,
        progress=False,
        **({"given": "propensity"} if takes(pde.RunOptions, "given") else {}),
    )


def results(
    screen: str,
    statistic: Any,
    sampler: Any,
    n_resamples: int = N_RESAMPLES,
    min_treated: int = 10,
    **how: Any,
) -> Arrays:
    """Targets of a screen, all calibrations, and the tables."""
    data = SCREENS[screen]()
    how = {"ntc_labels": NTC, "control": "auto", "drop_empty_batches": True, **how}
    options = run_options(statistic, sampler, n_resamples, min_treated)
    result = pde.run_targets(data, options, **how)

    def again(visit: Any) -> object:
        return pde.run_targets(data, replace(options, n_resamples=0), visit=visit, **how)

    found = numbers_of(result) | calibrations(result, again)
    found |= tables_of(result, exact(result, "both", again), "bh")
    found |= tables_of(result, pde.calibrate(result, "skew_normal", "left"), "storey", "left")
    return found


def controls(screen: str, statistic: Any, sampler: Any, **how: Any) -> Arrays:
    """Groups of non-targeting guides, all calibrations."""
    data = SCREENS[screen]()
    how = {"ntc_labels": NTC, "control": "auto", "drop_empty_batches": True, "seed": 123, **how}
    how = {"n_bins": 10, "n_partitions": 3, **how}
    options = run_options(statistic, sampler)
    null = pde.run_ntc_groups(data, options, **how)

    def again(visit: Any) -> object:
        return pde.run_ntc_groups(data, replace(options, n_resamples=0), visit=visit, **how)

    row = {name: i for i, name in reversed(list(enumerate(null.result.units)))}
    found = numbers_of(null.result) | calibrations(null.result, again)
    found["group_size"] = np.array(null.group_size)
    found["guides"] = strings([",".join(null.guides[name]) for name in null.result.units])
    found["partitions"] = strings(
        [",".join(str(row[name]) for name in part.values()) for part in null.partitions]
    )
    return found


def against_controls(screen: str, **options: Any) -> Arrays:
    """The targets against non-targeting guides, with the cross-fit."""
    data = SCREENS[screen]()
    given = {"ntc_labels": NTC, "batch_mode": "auto", "n_ntc_units": 300, "n_holdout_units": 20}
    null = empirical_null(
        data,
        null_kwargs=given | options,
        base_seed=123,
        qq_crossfit=True,
        n_jobs=1,
        progress=False,
    )
    cross = null.crossfit
    found = {
        "split": strings(cross["info"]["split"]),
        "guides_B": strings(cross["info"]["guides_B"]),
        "layer_holdout": cross["meta"]["layer_holdout"].to_numpy(),
    }
    parts = {"": null, **{f"{batch}.": part for batch, part in null.per_batch.items()}}
    for name, part in parts.items():
        found[f"{name}p"] = either(part, "pvals").to_numpy()
        found[f"{name}p_t"] = either(part, "pvals_t").to_numpy()
        found[f"{name}p_unit"] = either(part, "gene_pvals", "target_pvals").to_numpy()
        found[f"{name}effect"] = either(part, "effects").to_numpy()
        found[f"{name}n_treated"] = either(part, "n_treated").to_numpy()
        matching = either(part, "matching_info")
        found[f"{name}matched"] = matching[["n_matched", "radius", "n_batches"]].to_numpy()
        found[f"{name}p_floor"] = matching["floor"].to_numpy()
    parts = {"": cross["meta"], **{f"{b}.": part for b, part in cross["per_batch"].items()}}
    for name, part in parts.items():
        for which in ("real", "holdout"):
            unit = either(part, f"gene_{which}", f"target_{which}")
            found[f"cross.{name}p_{which}"] = part[f"pvals_{which}"].to_numpy()
            found[f"cross.{name}p_t_{which}"] = part[f"pvals_t_{which}"].to_numpy()
            found[f"cross.{name}p_unit_{which}"] = unit.to_numpy()
    return found


def calibrated_by_controls(screen: str) -> Arrays:
    """`ntc_empirical` as a calibration of a result, and its tables."""
    data = SCREENS[screen]()
    result = pde.run_targets(
        data, run_options(pde.OLS(), pde.Bernoulli(), 0), ntc_labels=NTC, control="complement",
        drop_empty_batches=False,
    )  # fmt: skip
    options = {"n_jobs": 1, "progress": False}
    if takes(pde.calibrate, "screen"):
        options |= {"ntc_labels": [NTC], "batch_mode": "auto", "seed": 123, "crossfit": False}
        made = pde.calibrate(result, "ntc_empirical", screen=data, options=options)
    else:
        units = pde.control_units(data, NTC, seed=123)
        made = pde.calibrate(result, "ntc_empirical", controls=units, options=options)
    found = {"p": made.p_value, "fallback": texts_there(made.fallback)}
    return found | tables_of(result, made, "bh")


def by_original_names(statistic: str, resampling: str) -> Arrays:
    """The doors with the original's names: genes, groups of controls, null p-values."""
    inputs, groups = original_inputs()
    how: dict[str, Any] = {"test_stat": statistic, "resampling_method": resampling}
    found: Arrays = {}
    for calibration in ("none", "skew_normal", "saddlepoint"):
        out = pde.run_all_genes_union_crt(
            inputs, B=99, n_jobs=1, calibration=calibration, progress=False, **how
        )
        for key, kind in (("pvals_df", "p"), ("betas_df", "effect"), ("treated_df", "n_treated")):
            found[f"{calibration}.genes.{kind}"] = out[key].to_numpy()
    one = pde.run_one_gene_union_crt("GENE3", inputs, 99, return_skew_normal=True, **how)
    found |= {"one.p": one.pvals, "one.p_skew": one.pvals_sn, "one.effect": one.betas}
    found |= {"one.skew": one.skew_params, "one.n_treated": np.array(one.n_treated)}
    raw = pde.crt_pvals_for_ntc_groups_ensemble(inputs, groups, 99, 23, **how)
    tails = pde.crt_pvals_for_ntc_groups_ensemble_skew(
        inputs, groups, B=99, seed0=23, calibration="saddlepoint", **how
    )
    found["groups"] = strings([",".join(g) for part in groups for g in part.values()])
    found["groups.raw.p"] = np.concatenate([table.to_numpy() for table in raw.values()])
    found["groups.saddlepoint.p"] = np.concatenate([table.to_numpy() for table in tails.values()])
    for code, side in enumerate(("both", "right", "left")):
        smooth = pde.crt_pvals_for_ntc_groups_ensemble_skew(
            inputs, groups, B=99, seed0=23, side_code=(0, 1, -1)[code], **how
        )
        tables = [table.to_numpy() for table in smooth.values()]
        found[f"groups.skew_normal.{side}.p"] = np.concatenate(tables)
    group = next(iter(groups[0].values()))
    found["null.p"] = pde.compute_guide_set_null_pvals(group, inputs, 99, 23, **how)
    found["null.gene.p"] = pde.compute_gene_null_pvals("GENE3", inputs, 99, 23, **how)
    found["null.draws"] = pde.crt_null_stats_for_test("GENE3", None, inputs, 19, 23, **how)
    return found


def _cases() -> dict[str, Callable[[], Arrays]]:
    cases: dict[str, Callable[[], Arrays]] = {}
    for screen in SCREENS:
        for s, statistic in STATISTICS.items():
            for r, sampler in SAMPLERS.items():
                name, what = f"{screen}.{s}.{r}", (screen, statistic(), sampler())
                cases[f"{name}.targets"] = partial(results, *what)
                cases[f"{name}.controls"] = partial(controls, *what, min_groups=3)
        ols, burden = pde.OLS(), strata_of(burden_key="log_depth", n_burden_bins=3)
        four = {"many": [f"GENE{g:02d}" for g in range(4)], "one": [f"T{t}" for t in range(4)]}
        rank, strata = pde.UTest(), strata_of()
        more = {
            "conditions": partial(results, screen, ols, pde.Bernoulli(), by_condition=True),
            "guides": partial(results, screen, rank, strata, unit="guide", targets=four[screen]),
            "all_batches": partial(results, screen, ols, pde.Bernoulli(), drop_empty_batches=False),
            "burden": partial(results, screen, ols, burden),
            "single_controls": partial(controls, screen, ols, pde.Bernoulli(), group_size=1),
            "conditions_controls": partial(
                controls, screen, ols, pde.Bernoulli(), group_size=2, by_condition=True
            ),
            "empirical": partial(against_controls, screen, guides_per_unit=2),
            "empirical_pooled": partial(against_controls, screen, batch_mode="pooled"),
            "empirical_plain": partial(
                against_controls, screen, finite_population_correction=False, guides_per_unit=2
            ),
            "empirical_fisher": partial(
                against_controls, screen, combine_method="fisher", guides_per_unit=2
            ),
            "ntc_empirical": partial(calibrated_by_controls, screen),
        }
        cases |= {f"{screen}.{name}": case for name, case in more.items()}
    cases["one.usages"] = partial(results, "one", pde.UTest(use="usage"), pde.Bernoulli())
    cases["one.complement"] = partial(results, "one", pde.OLS(), strata_of(), control="complement")
    for s in ("ols", "utest"):
        for resampling in ("bernoulli_index", "stratified_perm"):
            cases[f"original.{s}.{resampling}"] = partial(by_original_names, s, resampling)
    for s, statistic in STATISTICS.items():
        for r, sampler in SAMPLERS.items():
            cases[f"one.rare.{s}.{r}"] = partial(
                results,
                "one",
                statistic(),
                sampler(),
                n_resamples=1023,
                min_treated=2,
                targets=["T7", "T6", "T5"],
            )
    return cases


CASES = _cases()


def compute(name: str) -> Arrays:
    """One case, with the warnings that these screens deserve left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pde.ProgramDEWarning)
        return CASES[name]()


def main(pattern: str = "") -> None:
    arrays: Arrays = {"origin": np.array(ORIGIN)}
    for name in CASES:
        arrays |= {f"{name}/{key}": np.asarray(a) for key, a in compute(name).items()}
    if pattern:
        kept = load()
        arrays = {n: a for n, a in arrays.items() if re.search(pattern, n) or n in kept}
        arrays |= {n: a for n, a in kept.items() if not re.search(pattern, n)}
    save(arrays)
    print(f"{STORE}: {len(CASES)} cases, {len(arrays)} arrays, {STORE.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main(*sys.argv[1:2])
