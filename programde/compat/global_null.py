"""Global-null diagnostics under the names of the original; see `programde.controls.global_null`."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import pandas as pd
from scipy import sparse

from programde.calibration.empirical import side_from_code
from programde.compat.inputs import CRTInputs, gene_units
from programde.compat.null import Ensemble, distinct_units, replicates
from programde.compat.propensity import fit_propensity_logistic
from programde.compat.settings import UnitSettings, run_options, whole_number
from programde.controls.global_null import summarize_diagnostics as summarise
from programde.controls.global_null import unit_diagnostics
from programde.crt.propensity import PropensityModel
from programde.errors import InputError
from programde.screen.screen import Unit


def compute_unit_diagnostics(
    *,
    inputs: CRTInputs,
    unit_id: str,
    unit_type: str,
    obs_idx: np.ndarray,
    guide_count: int,
    B: int,
    base_seed: int,
    propensity_model: PropensityModel | None = fit_propensity_logistic,
    skew_side_code: int = 0,
    **settings: Unpack[UnitSettings],
) -> pd.Series:
    """Diagnostics of one unit, given by its treated cells.

    Parameters
    ----------
    inputs
        From `prepare_crt_inputs`.
    unit_id
        Its name; a gene's name gives the draws behind that gene's p-values.
    unit_type
        What it is, as the column `kind` says it: "gene", say.
    obs_idx : (n1,) int
        Numbers of the treated cells.
    guide_count
        Its number of guides.
    B, base_seed
        Number of resamples, and seed.
    propensity_model
        See `programde.compat.settings.WorkSettings`; `oracle_propensity_const` for a screen that
        is known to be free of confounding.
    skew_side_code
        Side of the skew-normal p-values: 0 both, -1 left, 1 right.
    **settings
        See `programde.compat.settings.WorkSettings`.

    Returns
    -------
    Series
        `kind`, and `programde.controls.global_null.COLUMNS`.

    Raises
    ------
    InputError
        Cells that do not exist.

    Examples
    --------
    >>> import programde as pde
    >>> adata = pde.make_sceptre_style_synth(N=400, K=3, n_target_genes=4, seed=0)
    >>> inputs = pde.prepare_crt_inputs(adata, usage_key="usage")
    >>> row = pde.compute_unit_diagnostics(
    ...     inputs=inputs, unit_id="mine", unit_type="cells", obs_idx=list(range(40)),
    ...     guide_count=1, B=99, base_seed=0,
    ... )
    >>> row["kind"], int(row["n_treated"])
    ('cells', 40)
    """
    n_cells = len(inputs.Y)
    cells = np.unique(np.asarray(obs_idx, dtype=np.int64))
    if cells.size and not (cells[0] >= 0 and cells[-1] < n_cells):
        raise InputError(f"obs_idx holds cells that do not exist: there are {n_cells}")
    column = sparse.csc_matrix(
        (np.ones(cells.size, dtype=np.int8), cells, np.array([0, cells.size])), shape=(n_cells, 1)
    )
    guide = f"cells of {unit_id}"
    with_unit = replace(
        inputs,
        G=sparse.csc_matrix(sparse.hstack([inputs.G, column])),
        guide_names=[*inputs.guide_names, guide],
    )
    unit = Unit(str(unit_id), (guide,), (inputs.G.shape[1],))
    options = run_options(inputs, B, base_seed, {"propensity_model": propensity_model, **settings})
    side = side_from_code(skew_side_code)
    table = unit_diagnostics(with_unit.screen, [unit], options, side)
    table["n_guides"] = whole_number("guide_count", guide_count)
    table.insert(0, "kind", unit_type)
    return table.iloc[0]


def collect_gene_diagnostics(
    inputs: CRTInputs,
    genes: str | Sequence[str] | None,
    B: int,
    base_seed: int,
    propensity_model: PropensityModel | None = fit_propensity_logistic,
    skew_side_code: int = 0,
    **settings: Unpack[UnitSettings],
) -> pd.DataFrame:
    """Diagnostics of genes, a row each, `kind` being "gene".

    Parameters
    ----------
    inputs
        From `prepare_crt_inputs`.
    genes
        One or several; None: all.
    B, base_seed, propensity_model, skew_side_code, **settings
        See `compute_unit_diagnostics`.

    Returns
    -------
    DataFrame
        `kind`, and `programde.controls.global_null.COLUMNS`.

    Examples
    --------
    >>> import programde as pde
    >>> adata = pde.make_sceptre_style_synth(N=400, K=3, n_target_genes=4, seed=0)
    >>> inputs = pde.prepare_crt_inputs(adata, usage_key="usage")
    >>> table = pde.collect_gene_diagnostics(inputs, ["GENE00000"], B=99, base_seed=0)
    >>> table["kind"].tolist()
    ['gene']
    """
    options = run_options(inputs, B, base_seed, {"propensity_model": propensity_model, **settings})
    side = side_from_code(skew_side_code)
    table = unit_diagnostics(inputs.screen, gene_units(inputs, genes), options, side)
    table.insert(0, "kind", "gene")
    return table


def collect_ntc_group_diagnostics(
    inputs: CRTInputs,
    ntc_groups: Ensemble,
    B: int,
    base_seed: int,
    propensity_model: PropensityModel | None = fit_propensity_logistic,
    skew_side_code: int = 0,
    **settings: Unpack[UnitSettings],
) -> pd.DataFrame:
    """Diagnostics of groups of control guides: one partition, or an ensemble of them.

    Parameters
    ----------
    inputs
        From `prepare_crt_inputs`.
    ntc_groups
        From `make_ntc_groups_ensemble`. A group that recurs is computed once and listed each time.
    B, base_seed, propensity_model, skew_side_code, **settings
        See `compute_unit_diagnostics`.

    Returns
    -------
    DataFrame
        `kind`, which is "NTC group"; `replicate` and `group`, which say which one; and
        `programde.controls.global_null.COLUMNS`.

    Examples
    --------
    >>> import programde as pde
    >>> adata = pde.make_sceptre_style_synth(N=400, K=3, n_target_genes=4, seed=0)
    >>> inputs = pde.prepare_crt_inputs(adata, usage_key="usage")
    >>> groups = {"a": ["NTC_g1", "NTC_g2"], "b": ["NTC_g3", "NTC_g4"]}
    >>> table = pde.collect_ntc_group_diagnostics(inputs, groups, B=99, base_seed=0)
    >>> table["group"].tolist()
    ['a', 'b']
    """
    parts = replicates(ntc_groups)
    places = [(replicate, group) for replicate, part in parts for group in part]
    groups = [guides for _, part in parts for guides in part.values()]
    units, rows = distinct_units(inputs, groups)
    options = run_options(inputs, B, base_seed, {"propensity_model": propensity_model, **settings})
    side = side_from_code(skew_side_code)
    table = unit_diagnostics(inputs.screen, units, options, side)
    table = table.iloc[rows].reset_index(drop=True)
    table.insert(0, "kind", "NTC group")
    table.insert(1, "replicate", [replicate for replicate, _ in places])
    table.insert(2, "group", [group for _, group in places])
    return table


def summarize_diagnostics(diagnostics_df: pd.DataFrame, B: int, base_seed: int) -> dict[str, Any]:
    """Numbers that say whether units of each kind, as a whole, are what a null should give.

    Parameters
    ----------
    diagnostics_df
        Of `collect_gene_diagnostics` or `collect_ntc_group_diagnostics`; several may be joined.
    B, base_seed
        With how many resamples and which seed they were made.

    Returns
    -------
    dict
        "B", "base_seed", and "kinds": {kind: the numbers of
        `programde.controls.global_null.summarize_diagnostics`}.

    Examples
    --------
    >>> import programde as pde
    >>> adata = pde.make_sceptre_style_synth(N=400, K=3, n_target_genes=4, seed=0)
    >>> inputs = pde.prepare_crt_inputs(adata, usage_key="usage")
    >>> table = pde.collect_gene_diagnostics(inputs, None, B=99, base_seed=0)
    >>> list(pde.summarize_diagnostics(table, B=99, base_seed=0)["kinds"])
    ['gene']
    """
    table = summarise(diagnostics_df)
    kinds = {str(kind): _plain(row) for kind, row in table.iterrows()}
    return {"B": whole_number("B", B), "base_seed": base_seed, "kinds": kinds}


def _plain(row: pd.Series) -> dict[str, float | int | None]:
    numbers = {str(key): float(value) for key, value in row.items()}
    return {
        key: None if np.isnan(x) else int(x) if key.startswith("n_") else x
        for key, x in numbers.items()
    }


def write_summary(summary: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Write what `summarize_diagnostics` returns as JSON, under a temporary name first.

    Parameters
    ----------
    summary
        What is written.
    path
        The file; its folder is made where missing.

    Examples
    --------
    >>> import tempfile
    >>> import programde as pde
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pde.write_summary({"B": 99}, f"{folder}/summary.json")
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    os.replace(temporary, path)
