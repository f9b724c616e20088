"""What came in, as plain tables, before any long work.

Guides per cell, treated cells per target and batch, usages at the floor per program, how much of
each program the covariates explain, and the condition number of the covariates (columns scaled to
length 1; A. van der Sluis, Numer. Math. 14 (1969) 14-23: within sqrt(p) of the best scaling).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import pandas as pd
from scipy.linalg import solve_triangular
from threadpoolctl import threadpool_limits

from programde.screen.cells import nt_only_cells, targets_per_cell
from programde.screen.chosen import is_stored
from programde.screen.composition import transformed
from programde.screen.guides import looks_like_control
from programde.screen.matrix_rows import Rows, slices
from programde.screen.row_encoding import fewer_rows, with_rows
from programde.screen.screen import Screen
from programde.screen.spectra import top_genes
from programde.threads import in_order


@dataclass(frozen=True)
class InputReport:
    """A screen in numbers.

    Attributes
    ----------
    numbers
        One figure per name: cells, programs, guides, targets, guides per cell, treated cells per
        target, share of usages at the floor, condition number of the covariates, and so on.
    targets : DataFrame, one row per target
        ``target, is_control, n_guides, n_treated, n_control, largest_guide_share, n_batches,
        batches_without_treated``.
    programs : DataFrame, one row per program
        ``program, mean_usage, at_floor, clr_sd, covariate_r2``.
    batches : DataFrame, targets x batches
        Treated cells; no columns where there is no batch.
    remarks
        Sentences on what deserves a look; empty where nothing does.
    """

    numbers: dict[str, float | int]
    targets: pd.DataFrame
    programs: pd.DataFrame
    batches: pd.DataFrame
    remarks: list[str]


def input_report(
    screen: Screen, few_treated: int = 10, ntc_labels: Sequence[str] | None = None
) -> InputReport:
    """Describe a screen.

    Parameters
    ----------
    screen
        The screen.
    few_treated
        Targets with fewer treated cells are remarked on.
    ntc_labels
        Labels of the control guides; None: the targets named like controls.

    Returns
    -------
    InputReport
    """
    targets, batches = _targets(screen)
    programs, condition = (_stored_programs if is_stored(screen) else _programs)(screen)
    per_cell = np.bincount(screen.guides.indices, minlength=screen.n_cells)
    if ntc_labels is None:
        ntc_labels = list(targets.loc[targets["is_control"], "target"])
    held = targets_per_cell(screen, ntc_labels)
    treated = targets["n_treated"].to_numpy()
    numbers: dict[str, float | int] = {
        "cells": screen.n_cells,
        "programs": screen.n_programs,
        "guides": len(screen.guide_names),
        "guides_without_target": len(screen.guide_names) - len(screen.guide_to_target),
        "guides_in_no_cell": int((np.diff(screen.guides.indptr) == 0).sum()),
        "targets": len(targets),
        "targets_named_like_controls": int(targets["is_control"].sum()),
        "guides_per_cell_mean": float(per_cell.mean()),
        "guides_per_cell_median": float(np.median(per_cell)),
        "guides_per_cell_max": int(per_cell.max()),
        "cells_without_guide": int((per_cell == 0).sum()),
        "cells_with_one_guide": int((per_cell == 1).sum()),
        "cells_with_one_target": int((held == 1).sum()),
        "cells_with_several_targets": int((held > 1).sum()),
        "cells_with_controls_only": int(nt_only_cells(screen, ntc_labels).sum()),
        "treated_per_target_min": int(treated.min()),
        "treated_per_target_median": float(np.median(treated)),
        "treated_per_target_max": int(treated.max()),
        "targets_with_few_treated": int((treated < few_treated).sum()),
        "floor": screen.floor,
        "usages_at_floor": float(programs["at_floor"].mean()),
        "covariate_columns": screen.covariates.shape[1],
        "covariate_condition_number": condition,
        "batches": batches.shape[1],
        "target_batch_pairs_without_treated": int((batches.to_numpy() == 0).sum()),
    }
    return InputReport(numbers, targets, programs, batches, _remarks(numbers, targets, few_treated))


def _targets(screen: Screen) -> tuple[pd.DataFrame, pd.DataFrame]:
    levels, codes = np.array([], dtype=object), np.zeros(screen.n_cells, dtype=np.intp)
    if screen.batch is not None:
        codes, levels = pd.factorize(screen.batch, sort=True)
    sizes = np.diff(screen.guides.indptr)
    rows, counts = [], []
    for unit in screen.target_units():
        cells = screen.treated_cells(unit)
        by_batch = np.bincount(codes[cells], minlength=len(levels))[: len(levels)]
        counts.append(by_batch)
        largest = max(int(sizes[c]) for c in unit.columns)
        rows.append(
            {
                "target": unit.name,
                "is_control": looks_like_control(unit.name),
                "n_guides": len(unit.columns),
                "n_treated": len(cells),
                "n_control": screen.n_cells - len(cells),
                "largest_guide_share": largest / len(cells) if len(cells) else np.nan,
                "n_batches": int((by_batch > 0).sum()),
                "batches_without_treated": int((by_batch == 0).sum()),
            }
        )
    table = pd.DataFrame(rows)
    by_target = np.array(counts, dtype=np.int64).reshape(len(rows), len(levels))
    return table, pd.DataFrame(by_target, index=list(table["target"]), columns=list(levels))


def _programs(screen: Screen) -> tuple[pd.DataFrame, float]:
    """A row per program, and the condition number of the covariates."""
    Q, _ = np.linalg.qr(screen.covariates)
    centred = screen.clr - screen.clr.mean(axis=0)
    total = (centred**2).sum(axis=0)
    # with an intercept the fit to the centred outcome is the fit less the mean
    explained = ((Q.T @ centred) ** 2).sum(axis=0)
    table = _program_table(
        screen,
        screen.usage.mean(axis=0),
        at_floor(screen).mean(axis=0),
        screen.clr.std(axis=0),
        explained,
        total,
    )
    return table, condition_number(screen.covariates)


def _stored_programs(screen: Screen) -> tuple[pd.DataFrame, float]:
    """The same in one pass over the rows of a screen that is not in memory.

    With R of the QR factorization of the covariates C, Q'(Y - mean) = R'^-1 (C'Y - C'1 mean).
    Outcomes are summed as differences from a row, so that their squares lose no digits.
    """
    usages, encoded = cast(Rows, screen.usage), cast(Rows, screen.covariates)
    n, K, p = screen.n_cells, screen.n_programs, encoded.n_columns
    mean, floored, sums, squares = np.zeros((4, K))
    with_outcome, ones, R = np.zeros((p, K)), np.zeros(p), np.empty((0, p))
    start = np.asarray(screen.clr[:1])[0]

    def sums_of(part: slice) -> tuple[np.ndarray, ...]:
        usage, C = usages[part], encoded[part]
        raised = _raised(usage, screen.floor, screen.transform).sum(axis=0)
        outcome = transformed(usage, screen.transform) - start
        squared = np.einsum("ij,ij->j", outcome, outcome)
        totals = (usage.sum(axis=0), raised, outcome.sum(axis=0), squared)
        return (*totals, C.T @ outcome, C.sum(axis=0), fewer_rows(C))

    every = (mean, floored, sums, squares, with_outcome, ones)
    with threadpool_limits(limits=1):  # tiles are too small to be shared out to threads
        for *parts, fewer in in_order(sums_of, slices(n)):
            for total_so_far, part in zip(every, parts, strict=True):
                total_so_far += part
            R = with_rows(R, fewer)
    shift = sums / n
    total = np.maximum(squares - n * shift**2, 0.0)
    along = with_outcome - np.outer(ones, shift)
    explained = (solve_triangular(R, along, trans="T") ** 2).sum(axis=0) if p else np.zeros(K)
    table = _program_table(screen, mean / n, floored / n, np.sqrt(total / n), explained, total)
    return table, condition_number(R)


def _program_table(
    screen: Screen,
    mean: np.ndarray,
    floored: np.ndarray,
    spread: np.ndarray,
    explained: np.ndarray,
    total: np.ndarray,
) -> pd.DataFrame:
    genes = {} if screen.spectra is None else top_genes(screen.spectra)
    labels = screen.program_labels
    return pd.DataFrame(
        {
            "program": screen.program_names,
            "top_genes": [" ".join(genes.get(program, ())) for program in screen.program_names],
            "label": [labels.get(program, "") for program in screen.program_names],
            "mean_usage": mean,
            "at_floor": floored,
            "clr_sd": spread,
            "covariate_r2": np.divide(
                explained, total, out=np.full(len(total), np.nan), where=total > 0
            ),
        }
    )


def at_floor(screen: Screen) -> np.ndarray:
    """Which usages were raised to the floor, (N, K) bool.

    A raised usage is eps / rowsum with rowsum >= 1, the smallest of its row and at most eps; any
    other is larger than one of the two. Without a floor, the exact zeros; none among scores.
    """
    return _raised(screen.usage, screen.floor, screen.transform)


def _raised(usage: np.ndarray, floor: float, transform: str) -> np.ndarray:
    if transform == "none":
        return np.zeros(usage.shape, dtype=bool)
    lowest = usage.min(axis=1, keepdims=True)
    slack = 1 + 1e-12
    return np.asarray((usage <= lowest * slack) & (usage <= floor * slack))


def condition_number(C: np.ndarray) -> float:
    """Ratio of the largest to the smallest singular value of C, columns scaled to length 1."""
    if C.shape[1] == 0:
        return 1.0
    R = np.asarray(np.linalg.qr(C / np.linalg.norm(C, axis=0), mode="r"))
    values = np.linalg.svd(R, compute_uv=False)
    return float(values[0] / values[-1]) if values[-1] > 0 else float("inf")


def _remarks(numbers: dict[str, float | int], targets: pd.DataFrame, few_treated: int) -> list[str]:
    remarks = []
    if numbers["covariate_columns"] <= 1:
        remarks.append(
            "there are no covariates: nothing adjusts for depth or batch, and every cell counts as "
            "equally likely to be treated"
        )
    if numbers["targets_with_few_treated"]:
        remarks.append(
            f"{numbers['targets_with_few_treated']} of {numbers['targets']} targets have fewer "
            f"than {few_treated} treated cells"
        )
    if not targets["is_control"].any():
        remarks.append("no target is named like a non-targeting control")
    lonely = targets[(targets["largest_guide_share"] > 0.8) & (targets["n_guides"] > 1)]
    if len(lonely):
        remarks.append(f"{len(lonely)} targets have over 80 % of their cells from one guide")
    if numbers["target_batch_pairs_without_treated"]:
        missing = int((targets["batches_without_treated"] > 0).sum())
        remarks.append(f"{missing} targets have no treated cell in at least one batch")
    if numbers["covariate_condition_number"] > 1e4:
        remarks.append(
            "covariates are nearly collinear (condition number "
            f"{numbers['covariate_condition_number']:.3g})"
        )
    if numbers["usages_at_floor"] > 0.5:
        remarks.append(f"{numbers['usages_at_floor']:.0%} of the usages are at the floor")
    return remarks
