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
from typing import Any

import pandas as pd

from programde.controls.comparison import UnitTests
from programde.controls.guide_sets import NTCSplit, disjoint_layers
from programde.controls.options import EmpiricalNullOptions


def crossfit_tables(
    split: NTCSplit,
    real: UnitTests,
    held_out: UnitTests,
    targets: Sequence[str],
    held_out_names: Sequence[str],
    programs: Sequence[str],
    batches: Sequence[str],
    options: EmpiricalNullOptions,
) -> dict[str, Any]:
    """The cross-fit as plain tables.

    Parameters
    ----------
    split
        How the NTC were split.
    real, held_out
        Tests of real targets and of held-out NTC units against A.
    targets, held_out_names, programs
        Names of the units and programs.
    batches
        Labels of the strata; none where all cells were taken as one.
    options
        For the record.

    Returns
    -------
    dict
        "info": how it was done. "meta": "pvals_real" (targets x programs), "pvals_holdout" (units
        x programs), "gene_real", "gene_holdout" (Series), "layer_holdout" (Series: held-out units
        of one layer share no guide), and "pvals_t_real", "pvals_t_holdout" of the t form.
        "per_batch": the same for each batch.
    """

    layers = disjoint_layers(split.units_B)

    def tables(s: int) -> dict[str, Any]:
        real_index = pd.Index(targets, name="target")
        out_index = pd.Index(held_out_names, name="unit")
        return {
            "pvals_real": pd.DataFrame(real.p[s], real_index, list(programs)),
            "pvals_holdout": pd.DataFrame(held_out.p[s], out_index, list(programs)),
            "gene_real": pd.Series(real.gene_p[s], real_index, name="p"),
            "gene_holdout": pd.Series(held_out.gene_p[s], out_index, name="p"),
            "layer_holdout": pd.Series(layers, out_index, name="layer"),
            "pvals_t_real": pd.DataFrame(real.p_t[s], real_index, list(programs)),
            "pvals_t_holdout": pd.DataFrame(held_out.p_t[s], out_index, list(programs)),
        }

    shared = split.split == "by pseudo-gene"
    if not shared:
        note = "the NTC guides of held-out units have no part in the null"
    elif options.finite_population_correction:
        note = (
            "too few NTC guides to split them: each held-out unit was tested against the NTC "
            "guides that it does not hold"
        )
    else:
        note = (
            "too few NTC guides to split them: held-out units share guides with the null, so "
            "they look calibrated whether or not real targets are"
        )
    info = {
        "split": split.split,
        "note": note,
        "guides_A": list(split.guides_A),
        "guides_B": list(split.guides_B),
        "n_guides_A": len(split.guides_A),
        "n_guides_B": len(split.guides_B),
        "n_units_holdout": len(held_out_names),
        "batch_mode": options.batch_mode,
        "combine_method": options.combine_method,
        "finite_population_correction": options.finite_population_correction,
    }
    return {
        "info": info,
        "meta": tables(len(real.tested)),
        "per_batch": {label: tables(s) for s, label in enumerate(batches)},
    }
