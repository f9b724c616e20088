"""P-values of targets against the NTC, as named tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from programde.controls.comparison import UnitTests


@dataclass(frozen=True)
class EmpiricalNull:
    """P-values of targets against the NTC.

    Attributes
    ----------
    pvals, pvals_t : (G, K) DataFrame
        Two-sided empirical p-values; those of the t form, which has no floor (NaN without the
        correction). NaN where a target could not be tested.
    effects : (G, K) DataFrame
        Least-squares effects against all other cells, on the CLR scale; in meta mode the
        information-weighted mean over batches. The p-values ask whether they differ from the NTC
        guides' (`ntc_mean`).
    gene_pvals : (G,) Series
        P-value of the target's largest effect over programs.
    n_treated : (G,) Series
        Treated cells.
    matching_info : (G, ...) DataFrame
        Per target: n_matched, radius, fallback ("" or "all"), floor (the smallest p-value
        possible), n_treated, n_batches in which it was tested, reason (why not at all).
    per_batch
        Batch -> {"pvals", "pvals_t", "effects", "gene_pvals", "n_treated", "matching_info",
        "ntc_mean"}; empty in pooled mode.
    info
        How it was done: NTC guides, unit size, batches used and left out, options, notes.
    crossfit
        See `crossfit_tables`; None where it was not asked for.
    """

    pvals: pd.DataFrame
    pvals_t: pd.DataFrame
    effects: pd.DataFrame
    gene_pvals: pd.Series
    n_treated: pd.Series
    matching_info: pd.DataFrame
    per_batch: dict[str, dict[str, Any]]
    info: dict[str, Any]
    crossfit: dict[str, Any] | None = None


def as_tables(
    tests: UnitTests,
    names: Sequence[str],
    programs: Sequence[str],
    batches: Sequence[str],
    info: dict[str, Any],
    crossfit: dict[str, Any] | None,
) -> EmpiricalNull:
    """Tests as tables with names; see `EmpiricalNull`."""
    index, columns = pd.Index(names, name="target"), list(programs)

    def tables(s: int) -> dict[str, Any]:
        tested = tests.tested[s] if s < len(tests.tested) else tests.tested.sum(axis=0)
        matching = pd.DataFrame(
            {
                "n_matched": tests.n_matched[s],
                "radius": tests.radius[s],
                "fallback": tests.fallback[s],
                "floor": tests.floor[s],
                "n_treated": tests.n_treated[s],
                "n_batches": tested.astype(np.int64),
                "reason": tests.reason,
            },
            index=index,
        )
        return {
            "pvals": pd.DataFrame(tests.p[s], index, columns),
            "pvals_t": pd.DataFrame(tests.p_t[s], index, columns),
            "effects": pd.DataFrame(tests.effect[s], index, columns),
            "gene_pvals": pd.Series(tests.gene_p[s], index, name="p"),
            "n_treated": pd.Series(tests.n_treated[s], index, name="n_treated"),
            "matching_info": matching,
        }

    per_batch = {
        label: {**tables(s), "ntc_mean": pd.Series(tests.ntc_mean[s], columns)}
        for s, label in enumerate(batches)
    }
    return EmpiricalNull(
        **tables(len(tests.tested)), per_batch=per_batch, info=info, crossfit=crossfit
    )
