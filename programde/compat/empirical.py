"""Genes against non-targeting guides (NTC), in the shapes of the original."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd

from programde.analysis.tables import adjust_p
from programde.compat.inputs import CRTInputs
from programde.compat.shapes import CRTGeneResult, GeneResults, treated_table
from programde.controls.empirical_null import ntc_empirical_null
from programde.controls.guide_sets import pseudogene_sets
from programde.controls.null_tables import EmpiricalNull
from programde.controls.options import (
    TARGET_STATISTICS,
    ComparisonOptions,
    ControlUnitOptions,
    CrossfitOptions,
)
from programde.controls.pseudogenes import p_against_units
from programde.crt.engine import RunOptions
from programde.crt.propensity import PropensityModel
from programde.errors import InputError, check_choice, check_keywords, some, tell
from programde.option_fields import spec_of
from programde.screen.screen import Screen
from programde.threads import worker_count

#: Targets that mark control guides where `null_kwargs` names none.
NTC_LABELS = ("NTC", "non-targeting", "safe-targeting", "SAFE")

#: Keys of `null_kwargs` beside those of `ControlUnitOptions`.
NULL_KEYS = (
    "ntc_labels",
    "batch_key",
    "combine_method",
    "gene_statistic",
    "matching",
    "qq_crossfit_seed",
    "qq_crossfit_frac_A",
    "n_holdout_units",
)


def run_ntc_empirical_null(
    inputs: Screen | CRTInputs,
    genes: Sequence[str] | None = None,
    null_kwargs: Mapping[str, Any] | None = None,
    base_seed: int = 123,
    qq_crossfit: bool = False,
    propensity_model: PropensityModel | None = None,
    n_jobs: int = 1,
    progress: bool | None = None,
) -> EmpiricalNull:
    """Genes against control guides, the options as one dictionary.

    Parameters
    ----------
    inputs
        A `Screen`, or anything with a field `screen` that is one.
    genes
        Genes to test.
    null_kwargs
        ``ntc_labels`` (one or several), ``batch_key``; fields of `ControlUnitOptions` (here
        ``batch_mode="meta"`` is the default) and of `ComparisonOptions` (``gene_statistic`` for
        its ``target_statistic``; ``matching`` a dictionary of `MatchingOptions`, which may hold
        ``use_pbar``); ``qq_crossfit_seed``, ``qq_crossfit_frac_A`` and ``n_holdout_units`` of the
        cross-fit.
    base_seed, qq_crossfit, propensity_model, n_jobs, progress
        Seed of the sets, whether to hold out control guides, propensity model for matching on
        pbar, threads, progress bar.

    Raises
    ------
    OptionError
        A misspelt name (the nearest are offered) or a value that is not allowed.
    """
    given = dict(null_kwargs or {})
    own = [f.name for f in fields(ControlUnitOptions) if f.name != "use_pbar"]
    check_keywords("null_kwargs", given, [*own, *NULL_KEYS])
    matching = dict(given.get("matching") or {})
    use_pbar = bool(matching.pop("use_pbar", False))
    unit_options = {"batch_mode": "meta"} | {key: given[key] for key in own if key in given}
    options = ControlUnitOptions(**unit_options, use_pbar=use_pbar)
    statistic = given.get("gene_statistic", "max_z")
    rules = ComparisonOptions.from_dict(
        {
            "combine_method": given.get("combine_method", "stouffer"),
            "target_statistic": check_choice("gene_statistic", statistic, TARGET_STATISTICS),
            "matching": matching,
        }
    )
    share = spec_of("qq_crossfit_frac_A", float, {"above": 0, "below": 1})
    crossfit = CrossfitOptions(
        n_ntc_units=options.n_ntc_units,
        n_holdout_units=given.get("n_holdout_units", 300),
        seed=given.get("qq_crossfit_seed", 0),
        frac_A=share.check(given.get("qq_crossfit_frac_A", 0.5)),
    )
    screen = inputs if isinstance(inputs, Screen) else getattr(inputs, "screen", None)
    if not isinstance(screen, Screen):
        raise InputError(f"inputs must be a Screen or hold one, not {type(inputs).__name__}")
    return ntc_empirical_null(
        screen,
        genes,
        options,
        rules,
        ntc_labels=given.get("ntc_labels", NTC_LABELS),
        crossfit=crossfit if qq_crossfit else None,
        seed=base_seed,
        batch_key=given.get("batch_key"),
        propensity=propensity_model,
        n_jobs=n_jobs,
        progress=progress,
    )


def against_ntc(
    inputs: CRTInputs,
    genes: str | Sequence[str] | None,
    null_kwargs: Mapping[str, Any] | None,
    qq_crossfit: bool,
    options: RunOptions,
    adjust: str,
) -> dict[str, Any]:
    """The dictionary of `run_all_genes_union_crt` for the NTC empirical null.

    Returns
    -------
    dict
        pvals_df, betas_df, treated_df, results, stat_name, results_table as with resamples;
        ntc_matching_info : dict
            "per_gene" (DataFrame: n_matched, radius, fallback, floor, n_treated, n_batches,
            reason), "per_batch" (batch -> the same), "info" (NTC guides, options, notes);
        ntc_gene_pvals : Series
            One p-value per gene, of its largest effect over programs;
        ntc_crossfit : dict
            Where asked for, see `programde.controls.crossfit`.
    """
    chosen = [genes] if isinstance(genes, str) else None if genes is None else list(genes)
    null = run_ntc_empirical_null(
        inputs,
        chosen,
        null_kwargs,
        options.seed,
        qq_crossfit,
        options.propensity,
        worker_count(options.n_jobs),
        options.progress,
    )
    untested = null.matching_info["reason"]
    for reason in untested[untested != ""].unique():
        names = untested.index[untested == reason]
        tell(f"{len(names)} gene(s) not testable ({reason}), left as NaN: {some(names)}")
    out: dict[str, Any] = {
        "pvals_df": _by_gene(null.pvals),
        "betas_df": _by_gene(null.effects),
        "treated_df": treated_table(null.n_treated.to_numpy(), null.n_treated.index),
        "results": _per_gene(null),
        "stat_name": "ols",
        "results_table": _tidy(null, adjust, len(inputs.Y)),
        "ntc_gene_pvals": _by_gene(null.gene_pvals),
        "ntc_matching_info": {
            "per_gene": _by_gene(null.matching_info),
            "per_batch": {b: _by_gene(part["matching_info"]) for b, part in null.per_batch.items()},
            "info": null.info,
        },
    }
    if null.crossfit is not None:
        out["ntc_crossfit"] = null.crossfit
    return out


def _by_gene(table: Any) -> Any:
    """A table or series with the original's word over its rows."""
    return table.rename_axis(index="gene")


def _per_gene(null: EmpiricalNull) -> GeneResults:
    p, effects = null.pvals.to_numpy(), null.effects.to_numpy()
    reasons = null.matching_info["reason"].to_numpy()
    return GeneResults(
        CRTGeneResult(
            gene=str(gene),
            pvals=p[g],
            betas=effects[g],
            n_treated=int(null.n_treated.iloc[g]),
            pvals_raw=p[g],
            testable=reasons[g] == "",
            reason=str(reasons[g]),
        )
        for g, gene in enumerate(null.pvals.index)
    )


def _tidy(null: EmpiricalNull, adjust: str, n_cells: int) -> pd.DataFrame:
    """One row per gene x program; control labels that were asked for take no part in q-values."""
    n_genes, n_programs = null.pvals.shape
    labels = set(null.info["ntc_labels"])
    p = null.pvals.to_numpy()
    counted = np.where(np.array([g in labels for g in null.pvals.index])[:, None], np.nan, p)
    info = null.matching_info
    each = {key: np.repeat(info[key].to_numpy(), n_programs) for key in info.columns}
    return pd.DataFrame(
        {
            "gene": np.repeat(null.pvals.index.to_numpy(), n_programs),
            "program": np.tile(null.pvals.columns.to_numpy(), n_genes),
            "effect": null.effects.to_numpy().ravel(),
            "p_raw": p.ravel(),
            "p_value": p.ravel(),
            "p_value_t": null.pvals_t.to_numpy().ravel(),
            "q_value": adjust_p(counted, adjust).ravel(),
            "p_floor": each["floor"],
            "n_treated": each["n_treated"],
            "n_control": n_cells - each["n_treated"],
            "n_matched": each["n_matched"],
            "calibration": np.full(n_genes * n_programs, "ntc_empirical", dtype=object),
            "fallback": each["fallback"],
            "reason": each["reason"],
        }
    )


def sample_ntc_pseudogenes_with_replacement(
    ntc_guides: Sequence[str], guides_per_unit: int = 6, n_ntc_units: int = 5000, seed: int = 0
) -> list[tuple[str, ...]]:
    """Sets of control guides; see `programde.controls.guide_sets.pseudogene_sets`."""
    return pseudogene_sets(ntc_guides, guides_per_unit, n_ntc_units, seed)


def empirical_pvals_vs_ntc(
    effects: np.ndarray, ntc_effects: np.ndarray, matched: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """P-values and floors; see `programde.controls.pseudogenes.p_against_units`."""
    return p_against_units(effects, ntc_effects, matched)


def compute_ols_denom(C: np.ndarray, obs_idx: np.ndarray, A: np.ndarray | None = None) -> float:
    """d = x'M_C x = n1 - x'C (C'C)^-1 C'x of the indicator x of some cells.

    Parameters
    ----------
    C : (N, p)
        Covariates, of full column rank if `A` is not given (else `A` decides).
    obs_idx : (n1,) int
        Treated cells, each once.
    A : (p, p), optional
        (C'C)^-1.

    Returns
    -------
    float
        Cells' worth of information in x that the covariates leave.
    """
    C = np.asarray(C, dtype=np.float64)
    total = C[np.asarray(obs_idx, dtype=np.int64)].sum(axis=0)
    if A is None:
        R: np.ndarray = np.asarray(np.linalg.qr(C, mode="r"))
        part = np.linalg.solve(R.T, total)
        return float(len(obs_idx) - part @ part)
    return float(len(obs_idx) - total @ np.asarray(A, dtype=np.float64) @ total)
