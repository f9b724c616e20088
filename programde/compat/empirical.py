"""Genes against non-targeting guides (NTC), in the shapes of the original."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from programde.analysis.tables import adjust_p
from programde.compat.inputs import CRTInputs
from programde.compat.shapes import CRTGeneResult, GeneResults, treated_table
from programde.controls.empirical_null import run_ntc_empirical_null
from programde.controls.null_tables import EmpiricalNull
from programde.crt.engine import RunOptions
from programde.errors import some, tell


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
        options.n_jobs,
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
    labels = set(null.info["options"].ntc_labels)
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
