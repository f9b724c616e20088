"""The shapes in which the original gives results: wide tables, one record per gene, a tuple."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, SupportsIndex, overload

import numpy as np
import pandas as pd

from programde.analysis.calibrate import Calibrated
from programde.analysis.tables import adjust_p, omnibus_table, results_table
from programde.calibration.skew_normal import SkewNormal
from programde.crt.results import CRTResult


@dataclass
class CRTGeneResult:
    """One gene on K programs.

    Attributes
    ----------
    gene
        Its name.
    pvals : (K,) float64
        P-values: raw or calibrated, as asked.
    betas : (K,) float64
        Effects.
    n_treated
        Number of treated cells.
    pvals_sn : (K,) float64 or None
        Skew-normal p-values, where asked for.
    skew_params : (K, 3) float64 or None
        xi, omega, alpha of the null z-scores.
    pvals_raw : (K,) float64 or None
        Raw p-values; None where nothing was drawn.
    testable
        Whether the gene could be tested.
    reason
        Why not, or empty.

    Examples
    --------
    >>> import programde as pde
    >>> adata = pde.make_sceptre_style_synth(N=400, K=3, n_target_genes=4, seed=0)
    >>> inputs = pde.prepare_crt_inputs(adata, usage_key="usage")
    >>> pde.run_one_gene_union_crt("GENE00000", inputs, B=99).testable
    True
    """

    gene: str
    pvals: np.ndarray
    betas: np.ndarray
    n_treated: int
    pvals_sn: np.ndarray | None = None
    skew_params: np.ndarray | None = None
    pvals_raw: np.ndarray | None = None
    testable: bool = True
    reason: str = ""


class GeneResults(list[CRTGeneResult]):
    """Results in the order of the genes; an entry also goes by the gene's name."""

    @overload
    def __getitem__(self, key: SupportsIndex | str, /) -> CRTGeneResult: ...

    @overload
    def __getitem__(self, key: slice, /) -> list[CRTGeneResult]: ...

    def __getitem__(self, key: Any, /) -> Any:
        if isinstance(key, str):
            for result in self:
                if result.gene == key:
                    return result
            raise KeyError(key)
        return super().__getitem__(key)


@dataclass(frozen=True)
class Answer:
    """G units on K programs: tested, and calibrated.

    Attributes
    ----------
    result
        Effects and null summaries.
    raw : (G, K) float64
        Two-sided raw p-values.
    calibrated
        P-values as asked.
    skew
        Skew-normal calibration, where asked for.
    blank : (G,) bool
        Units that get p-values of 1 and effects of 0.
    """

    result: CRTResult
    raw: np.ndarray
    calibrated: Calibrated
    skew: SkewNormal | None
    blank: np.ndarray

    def filled(self, values: np.ndarray, stand_in: float = 1.0) -> np.ndarray:
        """`values` (G, K) with `stand_in` where there is no test: a NaN among them would make NaN
        of every q-value of whoever adjusts the table."""
        untested = self.blank[:, None] | ~np.isfinite(self.result.effect)
        return np.where(untested, stand_in, values)

    def wide(self, values: np.ndarray, stand_in: float = 1.0) -> pd.DataFrame:
        """`values` (G, K) as a table, genes x programs, blank units filled in."""
        return wide(self.filled(values, stand_in), self.result.units, self.result.programs)

    def per_gene(self) -> GeneResults:
        """One record per unit."""
        p, effects = self.filled(self.calibrated.p_value), self.filled(self.result.effect, 0.0)
        raw = self.filled(self.raw)
        drawn = self.result.null.n_draws > 0 or bool(self.blank.all())
        skew_p = None if self.skew is None else self.filled(self.skew.p)
        return GeneResults(
            CRTGeneResult(
                gene=name,
                pvals=p[g],
                betas=effects[g],
                n_treated=int(self.result.n_treated[g]),
                pvals_sn=None if skew_p is None else skew_p[g],
                skew_params=None if self.skew is None else self.skew.parameters[g],
                pvals_raw=raw[g] if drawn else None,
                testable=self.result.status[g] == "",
                reason=self.result.status[g],
            )
            for g, name in enumerate(self.result.units)
        )


def wide(values: np.ndarray, units: Iterable[str], programs: Iterable[str]) -> pd.DataFrame:
    """An array (G, K) as a table, genes x programs, its axes without a name."""
    index = pd.Index(list(units), dtype=object)
    return pd.DataFrame(values, index=index, columns=pd.Index(list(programs), dtype=object))


def treated_series(n_treated: np.ndarray, units: Iterable[str]) -> pd.Series:
    """Treated cells by gene."""
    index = pd.Index(list(units), dtype=object)
    counts = np.asarray(n_treated, dtype=np.int64)
    return pd.Series(counts, index=index, name="n_union_positive_cells")


def as_dict(answer: Answer, stat_name: str, adjust: str, controls: np.ndarray) -> dict[str, Any]:
    """The dictionary of `run_all_genes_union_crt`; `controls` (G,) take no part in q-values."""
    result, calibrated = answer.result, answer.calibrated
    tidy = results_table(result, calibrated, adjust=adjust, level="gene")
    omnibus = omnibus_table(result, calibrated, adjust=adjust, level="gene")
    if controls.any():
        for table, left_out in (
            (tidy, np.repeat(controls, len(result.programs))),
            (omnibus, controls),
        ):
            for p, q in (("p_value", "q_value"), ("p_max", "q_max"), ("p_acat", "q_acat")):
                if p in table:
                    table[q] = adjust_p(table[p].where(~left_out).to_numpy(), adjust)
    out: dict[str, Any] = {
        "pvals_df": answer.wide(calibrated.p_value),
        "betas_df": answer.wide(result.effect, 0.0),
        "treated_df": treated_series(result.n_treated, result.units),
        "results": answer.per_gene(),
        "stat_name": stat_name,
        "results_table": tidy,
        "omnibus_table": omnibus,
    }
    if stat_name != "beta":
        out["stats_df"] = out["betas_df"].copy()
    return out


def as_tuple(out: dict[str, Any]) -> tuple[Any, ...]:
    """(pvals_df, betas_df, treated_df, results), and what else was asked for, in this order."""
    asked = ("pvals_skew_df", "skew_params", "pvals_raw_df")
    first = out["pvals_df"], out["betas_df"], out["treated_df"], out["results"]
    return first + tuple(out[key] for key in asked if key in out)
