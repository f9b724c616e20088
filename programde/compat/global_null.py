"""Global-null diagnostics under the names of the original; see `programde.controls.global_null`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np
import pandas as pd

from programde.compat.inputs import CRTInputs, gene_units
from programde.compat.null import Ensemble, distinct_units, replicates, unit_of
from programde.compat.running import WorkSettings, run_options
from programde.controls.global_null import (
    oracle_propensity_const,
    summarize_diagnostics,
    unit_diagnostics,
)


def compute_unit_diagnostics(
    inputs: CRTInputs,
    unit: str | Sequence[Any] | np.ndarray,
    B: int = 1023,
    base_seed: int = 123,
    **settings: Unpack[WorkSettings],
) -> pd.Series:
    """Diagnostics of one gene (by name) or set of guides (by column numbers or names).

    Parameters
    ----------
    inputs
        From `prepare_crt_inputs`.
    unit
        The unit.
    B, base_seed
        Number of resamples, and seed.
    **settings
        See `programde.compat.running.WorkSettings`; `propensity_model=oracle_propensity_const`
        for a screen that is known to be free of confounding.

    Returns
    -------
    Series
        `programde.controls.global_null.COLUMNS`.
    """
    options = run_options(inputs, B, base_seed, settings)
    return unit_diagnostics(inputs.screen, [unit_of(inputs, unit)], options).iloc[0]


def collect_gene_diagnostics(
    inputs: CRTInputs,
    genes: str | Sequence[str] | None = None,
    B: int = 1023,
    base_seed: int = 123,
    **settings: Unpack[WorkSettings],
) -> pd.DataFrame:
    """Diagnostics of genes, a row each; see `compute_unit_diagnostics`. `kind` is "gene"."""
    options = run_options(inputs, B, base_seed, settings)
    table = unit_diagnostics(inputs.screen, gene_units(inputs, genes), options)
    table.insert(0, "kind", "gene")
    return table


def collect_ntc_group_diagnostics(
    inputs: CRTInputs,
    ntc_groups_ens: Ensemble,
    B: int = 1023,
    seed0: int = 123,
    **settings: Unpack[WorkSettings],
) -> pd.DataFrame:
    """Diagnostics of groups of control guides, a row per replicate and group.

    See `compute_unit_diagnostics`. `kind` is "NTC group"; `replicate` and `group` say which. A
    group that recurs is computed once and listed each time.
    """
    parts = replicates(ntc_groups_ens)
    places = [(replicate, group) for replicate, part in parts for group in part]
    groups = [guides for _, part in parts for guides in part.values()]
    units, rows = distinct_units(inputs, groups)
    options = run_options(inputs, B, seed0, settings)
    table = unit_diagnostics(inputs.screen, units, options).iloc[rows].reset_index(drop=True)
    table.insert(0, "kind", "NTC group")
    table.insert(1, "replicate", [replicate for replicate, _ in places])
    table.insert(2, "group", [group for _, group in places])
    return table


__all__ = [
    "collect_gene_diagnostics",
    "collect_ntc_group_diagnostics",
    "compute_unit_diagnostics",
    "oracle_propensity_const",
    "summarize_diagnostics",
]
