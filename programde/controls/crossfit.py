"""Cross-fit of the NTC null: does it hold for NTC units that had no part in it?

NTC guides are split into A and B. A defines the null; real targets and units of B are tested
against it. P-values of B against A should be uniform; the real targets' curve is judged against
theirs. Where there are too few NTC guides to split, units are held out one at a time instead: with
guide exchange each is tested against the NTC guides that it does not hold, so that it shares none
with its null even then. (Without the correction, units of A and B share guides, and the held-out
units look calibrated whether or not real targets are.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import pandas as pd

from programde.controls.against_controls import compare
from programde.controls.control_units import ControlUnits, HeldOut
from programde.controls.groups import group_unit_name
from programde.controls.guide_sets import disjoint_layers
from programde.controls.options import ComparisonOptions


class HeldOutTables(TypedDict, total=False):
    """P-values in one batch, or over all of them.

    Attributes
    ----------
    pvals_real, pvals_holdout
        Targets x programs, and held-out units x programs.
    gene_real, gene_holdout
        P-values of each unit's largest effect over programs.
    layer_holdout
        Held-out units of one layer share no guide.
    pvals_t_real, pvals_t_holdout
        Of the t form.
    """

    pvals_real: pd.DataFrame
    pvals_holdout: pd.DataFrame
    gene_real: pd.Series
    gene_holdout: pd.Series
    layer_holdout: pd.Series
    pvals_t_real: pd.DataFrame
    pvals_t_holdout: pd.DataFrame


class CrossFitInfo(TypedDict):
    """How guides were held out."""

    split: str
    note: str
    guides_A: list[str]
    guides_B: list[str]
    n_guides_A: int
    n_guides_B: int
    n_units_holdout: int
    batch_mode: str
    combine_method: str
    finite_population_correction: bool


class CrossFit(TypedDict):
    """The cross-fit as plain tables: over all batches ("meta"), and in each."""

    info: CrossFitInfo
    meta: HeldOutTables
    per_batch: dict[str, HeldOutTables]


def too_few_guides(units: ControlUnits, min_guides: int) -> str:
    """Why a cross-fit of so few NTC guides would tell nothing; empty where there are enough."""
    if units.ntc.size >= min_guides:
        return ""
    return f"{units.ntc.size} non-targeting guides, fewer than crossfit.min_guides={min_guides}"


def cross_fit(
    units: ControlUnits,
    rules: ComparisonOptions | None = None,
    targets: Sequence[str] | None = None,
    *,
    n_jobs: int = 1,
    progress: bool | None = None,
) -> CrossFit | None:
    """Test targets and held-out NTC units against the other NTC guides.

    Parameters
    ----------
    units
        From `control_units`.
    rules
        See `ComparisonOptions`.
    targets
        Default all but the NTC labels.
    n_jobs, progress
        Threads, and whether to show a progress bar.

    Returns
    -------
    CrossFit or None
        None where no unit is held out (`ControlUnits.why_none_held_out`).
    """
    held, rules = units.held_out, rules or ComparisonOptions()
    if held is None:
        return None
    names = [units.targets[i] for i in units.real.tolist()] if targets is None else list(targets)
    guides = units.columns(held.split.guides_A)
    n_sets = held.options.n_ntc_units
    real, out = (
        compare(units, guides, held.null, rows, rules, n_jobs, progress, n_sets)
        for rows in (units.rows(names), held.units)
    )
    index = pd.Index(names, name="target")
    out_index = pd.Index([group_unit_name(u) for u in held.split.units_B], name="unit")
    layers = pd.Series(disjoint_layers(held.split.units_B), out_index, name="layer")

    def tables(b: int) -> HeldOutTables:
        return {
            "pvals_real": pd.DataFrame(real.p[b], index, units.programs),
            "pvals_holdout": pd.DataFrame(out.p[b], out_index, units.programs),
            "gene_real": pd.Series(real.unit_p[b], index, name="p"),
            "gene_holdout": pd.Series(out.unit_p[b], out_index, name="p"),
            "layer_holdout": layers,
            "pvals_t_real": pd.DataFrame(real.p_t[b], index, units.programs),
            "pvals_t_holdout": pd.DataFrame(out.p_t[b], out_index, units.programs),
        }

    return {
        "info": _about(units, held, rules),
        "meta": tables(len(units.batches)),
        "per_batch": {label: tables(b) for b, label in enumerate(units.batch_labels)},
    }


def _about(units: ControlUnits, held: HeldOut, rules: ComparisonOptions) -> CrossFitInfo:
    split, exchange = held.split, units.options.finite_population_correction
    if split.split != "by pseudo-gene":
        note = "the NTC guides of held-out units have no part in the null"
    elif exchange:
        note = (
            "too few NTC guides to split them: each held-out unit was tested against the NTC "
            "guides that it does not hold"
        )
    else:
        note = (
            "too few NTC guides to split them: held-out units share guides with the null, so "
            "they look calibrated whether or not real targets are"
        )
    return {
        "split": split.split,
        "note": note,
        "guides_A": list(split.guides_A),
        "guides_B": list(split.guides_B),
        "n_guides_A": len(split.guides_A),
        "n_guides_B": len(split.guides_B),
        "n_units_holdout": len(split.units_B),
        "batch_mode": units.options.batch_mode,
        "combine_method": rules.combine_method,
        "finite_population_correction": exchange,
    }
