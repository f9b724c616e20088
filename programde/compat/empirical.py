"""Genes against non-targeting guides (NTC), in the shapes of the original."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd

from programde.analysis.tables import adjust_p
from programde.compat.inputs import CRTInputs
from programde.compat.shapes import CRTGeneResult, GeneResults, treated_series, wide
from programde.controls.empirical_null import ntc_empirical_null
from programde.controls.null_tables import EmpiricalNull
from programde.controls.options import (
    TARGET_STATISTICS,
    ComparisonOptions,
    ControlUnitOptions,
    CrossfitOptions,
)
from programde.crt.engine import RunOptions
from programde.crt.propensity import PropensityModel
from programde.errors import InputError, check_choice, check_keywords, some, tell
from programde.option_fields import spec_of
from programde.screen.guides import check_ntc_labels
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


def empirical_null(
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


@dataclass(frozen=True)
class NTCNullResult:
    """Genes against control guides, by the field names of the original.

    Attributes
    ----------
    pvals, betas : (G, K) DataFrame
        P-values and effects; 1 and 0 where a gene could not be tested.
    n_treated : (G,) Series
        Treated cells.
    matching_info : dict
        "fallback_counts": {"none": n, "all": m}, in how many comparisons all control units were
        taken; "bin_sizes": {gene: control units compared with}; and in full "per_gene" (DataFrame:
        n_matched, radius, fallback, floor, n_treated, n_batches, reason), "per_batch" (batch ->
        the same), "info" (NTC guides, options, notes).
    ntc_crossfit : dict or None
        Where asked for: tables of p-values ``meta_p_ntcB_vs_A``, ``meta_p_real_vs_A``, their kin
        by gene ``meta_p_ntcB_gene_vs_A``, ``meta_p_real_gene_vs_A``, the same by batch
        ``p_ntcB_vs_A_by_batch`` ...; beside them, "info", "meta" and "per_batch" of
        `programde.controls.crossfit`.

    Examples
    --------
    >>> import programde as pde
    >>> adata = pde.make_sceptre_style_synth(
    ...     N=400, K=3, n_target_genes=4, ntc_frac_guides=0.4, seed=0
    ... )
    >>> inputs = pde.prepare_crt_inputs(adata, usage_key="usage")
    >>> pooled = {"batch_mode": "pooled", "guides_per_unit": 3}
    >>> null = pde.run_ntc_empirical_null(inputs, None, base_seed=0, null_kwargs=pooled)
    >>> null.n_treated.name
    'n_union_positive_cells'
    """

    pvals: pd.DataFrame
    betas: pd.DataFrame
    n_treated: pd.Series
    matching_info: dict[str, Any]
    ntc_crossfit: dict[str, Any] | None = None


def run_ntc_empirical_null(
    inputs: CRTInputs,
    genes: str | Sequence[str] | None,
    *,
    base_seed: int,
    null_kwargs: Mapping[str, Any] | None = None,
    qq_crossfit: bool = False,
) -> NTCNullResult:
    """Genes against control guides.

    Parameters
    ----------
    inputs
        From `prepare_crt_inputs`.
    genes
        Genes to test; None: all but the control labels, sorted.
    base_seed, null_kwargs, qq_crossfit
        See `programde.compat.empirical.empirical_null`.

    Returns
    -------
    NTCNullResult
        P-values, effects, treated cells, and how genes were matched.

    Examples
    --------
    >>> import programde as pde
    >>> adata = pde.make_sceptre_style_synth(
    ...     N=400, K=3, n_target_genes=4, ntc_frac_guides=0.4, seed=0
    ... )
    >>> inputs = pde.prepare_crt_inputs(adata, usage_key="usage")
    >>> pooled = {"batch_mode": "pooled", "guides_per_unit": 3}
    >>> pde.run_ntc_empirical_null(inputs, None, base_seed=0, null_kwargs=pooled).pvals.shape
    (4, 3)
    """
    null = empirical_null(
        inputs, _chosen(inputs, genes, null_kwargs), null_kwargs, base_seed, qq_crossfit
    )
    return _result(null)


def _chosen(
    inputs: CRTInputs, genes: str | Sequence[str] | None, null_kwargs: Mapping[str, Any] | None
) -> list[str]:
    """The genes to test, by default all but the control labels, sorted."""
    if genes is not None:
        return [genes] if isinstance(genes, str) else list(genes)
    labels = check_ntc_labels(inputs.guide2gene, (null_kwargs or {}).get("ntc_labels", NTC_LABELS))
    return [gene for gene in sorted(inputs.gene_to_cols) if gene not in set(labels)]


def _result(null: EmpiricalNull) -> NTCNullResult:
    untested = null.matching_info["reason"]
    for reason in untested[untested != ""].unique():
        names = untested.index[untested == reason]
        tell(
            f"{len(names)} gene(s) not testable ({reason}), given p-values of 1 and effects of 0: "
            f"{some(names)}"
        )
    parts = [part["matching_info"] for part in null.per_batch.values()] or [null.matching_info]
    compared = pd.concat([part[part["n_matched"] > 0] for part in parts])
    all_taken = int((compared["fallback"] == "all").sum())
    info = {
        "fallback_counts": {"none": len(compared) - all_taken, "all": all_taken},
        "bin_sizes": {str(g): int(n) for g, n in null.matching_info["n_matched"].items()},
        "per_gene": _by_gene(null.matching_info),
        "per_batch": {b: _by_gene(part["matching_info"]) for b, part in null.per_batch.items()},
        "info": null.info,
    }
    tested = np.isfinite(null.pvals.to_numpy())
    pvals, betas = (
        wide(table.where(tested, stand_in).to_numpy(), table.index, table.columns)
        for table, stand_in in ((null.pvals, 1.0), (null.effects, 0.0))
    )
    treated = treated_series(null.n_treated.to_numpy(), null.n_treated.index)
    return NTCNullResult(pvals, betas, treated, info, _flat(null.crossfit))


#: Keys of the original's cross-fit -> the tables here.
_FLAT = {
    "p_ntcB_vs_A": "pvals_holdout",
    "p_real_vs_A": "pvals_real",
    "p_ntcB_gene_vs_A": "gene_holdout",
    "p_real_gene_vs_A": "gene_real",
}


def _flat(crossfit: Any) -> dict[str, Any] | None:
    """The cross-fit with the original's keys beside its own."""
    if crossfit is None:
        return None
    flat: dict[str, Any] = dict(crossfit)
    for key, table in _FLAT.items():
        flat[f"meta_{key}"] = _unnamed(crossfit["meta"][table])
        flat[f"{key}_by_batch"] = {
            batch: _unnamed(part[table]) for batch, part in crossfit["per_batch"].items()
        }
    return flat


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
        null_method : "ntc_empirical"
        ntc_matching_info, ntc_crossfit : dict
            See `NTCNullResult`; the second where asked for.
        ntc_gene_pvals : Series
            One p-value per gene, of its largest effect over programs.
    """
    null = empirical_null(
        inputs,
        _chosen(inputs, genes, null_kwargs),
        null_kwargs,
        options.seed,
        qq_crossfit,
        options.propensity,
        worker_count(options.n_jobs),
        options.progress,
    )
    found = _result(null)
    out: dict[str, Any] = {
        "pvals_df": found.pvals,
        "betas_df": found.betas,
        "treated_df": found.n_treated,
        "results": _per_gene(null, found),
        "stat_name": "beta",
        "null_method": "ntc_empirical",
        "results_table": _tidy(null, adjust, len(inputs.Y)),
        "ntc_gene_pvals": _by_gene(null.gene_pvals),
        "ntc_matching_info": found.matching_info,
    }
    if found.ntc_crossfit is not None:
        out["ntc_crossfit"] = found.ntc_crossfit
    return out


def _by_gene(table: Any) -> Any:
    """A table or series with the original's word over its rows."""
    return table.rename_axis(index="gene")


def _unnamed(table: Any) -> Any:
    """A wide table or series whose rows have no word over them."""
    return table.rename_axis(index=None)


def _per_gene(null: EmpiricalNull, found: NTCNullResult) -> GeneResults:
    p, effects = found.pvals.to_numpy(), found.betas.to_numpy()
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
