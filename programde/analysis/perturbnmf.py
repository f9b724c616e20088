"""Results as the later stages of PerturbNMF read them, and tables over all points of a run.

An effect on the centred log-ratio scale is a shift of log(u_k / g(u)), g the geometric mean of all
K usages. Where program k alone changes, by a factor F, the mean of the logs takes 1/K of it, so
beta = (1 - 1/K) ln F, and

    log2 F = K / (K - 1) * beta / ln 2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from programde.analysis.tables import adjust_p
from programde.errors import InputError, check_choice

EFFECTS = ("beta", "log2fc")
#: Columns of PerturbNMF's files, in their order.
COLUMNS = ("target_name", "program_name", "log2FC", "p-value", "adj_pval")


@dataclass(frozen=True)
class Point:
    """One setting of a run.

    Attributes
    ----------
    k
        Number of programs.
    threshold
        Density threshold as the file's name has it: ``0_4``.
    covariates, log_covariates
        Names of the covariates, and of those taken as log(1 + x).
    """

    k: int
    threshold: str
    covariates: tuple[str, ...] = ()
    log_covariates: tuple[str, ...] = ()

    @property
    def covariate_label(self) -> str:
        """The covariates as the file's name has them."""
        logs = [f"log_{name}" for name in self.log_covariates]
        return "_".join([*self.covariates, *logs]) or "no_covariates"

    @property
    def folder(self) -> str:
        """Folder below Evaluation."""
        return f"{self.k}_{self.threshold}"

    def stem(self, condition: str) -> str:
        """Name of the files of a condition, without ending."""
        return f"{self.k}_CRT_{self.covariate_label}_{condition or 'all'}".replace("/", "_")


def log2_fold_change(beta: np.ndarray, n_programs: int) -> np.ndarray:
    """Log2 of the factor by which a program alone must change to give beta; see the module."""
    if n_programs < 2:
        raise InputError(f"{n_programs} programs have no centred log-ratio")
    scaled: np.ndarray = n_programs / (n_programs - 1) * np.asarray(beta) / math.log(2.0)
    return scaled


def file_table(
    results: pd.DataFrame,
    *,
    effect: str = "beta",
    adjust: str = "bh",
    controls: Sequence[str] = (),
) -> pd.DataFrame:
    """The rows of one file: of one K, threshold and condition.

    Parameters
    ----------
    results
        Results of the condition: target, program, effect, p_value.
    effect
        What stands in the column log2FC: ``"beta"``, as the lab's own client writes it, or
        ``"log2fc"``.
    adjust
        ``"bh"`` or ``"storey"``, over the tests of the file.
    controls
        Control labels that are to have rows though they were not tested: they are what targets
        are compared with, so their effect is 0 and their p-value 1.

    Returns
    -------
    DataFrame
        `COLUMNS`. A test without a p-value has effect 0 and p-value 1: a NaN would make NaN of
        all that is adjusted with it. Such rows and those of controls are no tests: their adj_pval
        is 1, and they do not count in that of the others.
    """
    check_choice("effect", effect, EFFECTS)
    programs = list(dict.fromkeys(results["program"]))
    beta = results["effect"].to_numpy(dtype=np.float64)
    p = results["p_value"].to_numpy(dtype=np.float64)
    known = np.isfinite(beta) & np.isfinite(p)
    values = beta if effect == "beta" else log2_fold_change(beta, len(programs))
    counted = known & ~results["target"].isin(list(controls)).to_numpy()
    adjusted = adjust_p(np.where(counted, p, np.nan), adjust)
    tested = pd.DataFrame(
        {
            "target_name": results["target"].to_numpy(),
            "program_name": results["program"].to_numpy(),
            "log2FC": np.where(known, values, 0.0),
            "p-value": np.where(known, p, 1.0),
            "adj_pval": np.where(counted, adjusted, 1.0),
        }
    )
    held = set(results["target"])
    more = [
        {
            "target_name": label,
            "program_name": program,
            "log2FC": 0.0,
            "p-value": 1.0,
            "adj_pval": 1.0,
        }
        for label in controls
        if label not in held
        for program in programs
    ]
    table = pd.concat([tested, pd.DataFrame(more, columns=tested.columns)]) if more else tested
    return table.reset_index(drop=True)[list(COLUMNS)]


def significant_counts(table: pd.DataFrame) -> pd.DataFrame:
    """Number of significant programs per K, threshold, condition and target.

    Parameters
    ----------
    table
        `file_table`s under each other, with columns K, density_threshold, condition and
        significant.
    """
    keys = ["K", "density_threshold", "condition", "target_name"]
    counts = table.groupby(keys, sort=False)["significant"].agg(["sum", "size"]).reset_index()
    return counts.rename(columns={"sum": "n_significant", "size": "n_programs"})


def effect_correlations(table: pd.DataFrame, leave_out: Sequence[str] = ()) -> pd.DataFrame:
    """Pearson correlations between the effects of each two targets over programs.

    Parameters
    ----------
    table
        As for `significant_counts`.
    leave_out
        Targets that are left out: control labels, whose effects are 0.

    Returns
    -------
    DataFrame
        K, density_threshold, condition, target_a, target_b, correlation; each pair once. NaN
        where a target's effects are all equal.
    """
    parts = []
    kept = table[~table["target_name"].isin(list(leave_out))]
    keys = ["K", "density_threshold", "condition"]
    for (k, threshold, condition), part in kept.groupby(keys, sort=False):
        wide = part.pivot(index="target_name", columns="program_name", values="log2FC")
        names = wide.index.to_numpy()
        values = wide.to_numpy()
        centred = values - values.mean(axis=1, keepdims=True)
        length = np.sqrt((centred**2).sum(axis=1))
        with np.errstate(invalid="ignore", divide="ignore"):
            r = (centred @ centred.T) / np.outer(length, length)
        a, b = np.triu_indices(len(names), 1)
        parts.append(
            pd.DataFrame(
                {
                    "K": k,
                    "density_threshold": threshold,
                    "condition": condition,
                    "target_a": names[a],
                    "target_b": names[b],
                    "correlation": np.where(np.isfinite(r[a, b]), np.clip(r[a, b], -1, 1), np.nan),
                }
            )
        )
    if not parts:
        return pd.DataFrame(columns=[*keys, "target_a", "target_b", "correlation"])
    return pd.concat(parts, ignore_index=True)
