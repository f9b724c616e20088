"""P-values of targets against the NTC, as named tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import pandas as pd

from programde.controls.comparison import Comparison
from programde.controls.crossfit import CrossFit
from programde.controls.options import ComparisonOptions, ControlUnitOptions


class NullInfo(TypedDict):
    """How targets were compared: NTC guides, unit size, batches, options, notes, cells."""

    ntc_guides: list[str]
    ntc_labels: list[str]
    guides_per_unit: int | None
    batches: list[str]
    options: ControlUnitOptions
    rules: ComparisonOptions
    notes: list[str]
    n_cells: dict[str, int]


class _Tables(TypedDict):
    pvals: pd.DataFrame
    pvals_t: pd.DataFrame
    effects: pd.DataFrame
    gene_pvals: pd.Series
    n_treated: pd.Series
    matching_info: pd.DataFrame


class BatchTables(_Tables):
    """The tables of `EmpiricalNull` in one batch, and the mean effect of its NTC guides."""

    ntc_mean: pd.Series


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
        The same tables by batch; empty in pooled mode.
    info
        How it was done.
    crossfit
        See `programde.controls.crossfit`; None where it was not asked for.
    """

    pvals: pd.DataFrame
    pvals_t: pd.DataFrame
    effects: pd.DataFrame
    gene_pvals: pd.Series
    n_treated: pd.Series
    matching_info: pd.DataFrame
    per_batch: dict[str, BatchTables]
    info: NullInfo
    crossfit: CrossFit | None = None


def as_tables(
    tests: Comparison,
    names: Sequence[str],
    programs: Sequence[str],
    batches: Sequence[str],
    info: NullInfo,
    crossfit: CrossFit | None,
) -> EmpiricalNull:
    """Tests as tables with names; see `EmpiricalNull`."""
    index, columns = pd.Index(names, name="target"), list(programs)

    def tables(s: int) -> _Tables:
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
            "gene_pvals": pd.Series(tests.unit_p[s], index, name="p"),
            "n_treated": pd.Series(tests.n_treated[s], index, name="n_treated"),
            "matching_info": matching,
        }

    per_batch: dict[str, BatchTables] = {
        label: {**tables(s), "ntc_mean": pd.Series(tests.ntc_mean[s], columns)}
        for s, label in enumerate(batches)
    }
    return EmpiricalNull(
        **tables(len(tests.tested)), per_batch=per_batch, info=info, crossfit=crossfit
    )
