"""Results written into the AnnData or MuData that the screen came from.

What is written survives `write_h5ad` / `write_h5mu` and reading back:

* ``uns["programde_results"]``, ``uns["programde_omnibus"]``: the tidy tables;
* ``programde_effect``, ``programde_p_value``, ``programde_q_value``: programs x targets,
  in ``varm`` of the modality whose variables are the programs where there is one (cNMF's
  modality of a MuData), else in ``uns``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd

from programde.errors import InputError

MATRICES = ("effect", "p_value", "q_value")


def write_back(
    data: Any, results: pd.DataFrame, omnibus: pd.DataFrame | None = None, prefix: str = "programde"
) -> None:
    """Put results into an AnnData or MuData, in place.

    Parameters
    ----------
    data : AnnData or MuData
        Where to write.
    results
        The tidy results table (columns gene, program, effect, p_value, q_value, ...).
    omnibus
        The table of one row per target.
    prefix
        Begins the name of every slot that is written.

    Raises
    ------
    InputError
        If `results` lacks a column.
    """
    missing = [c for c in ("gene", "program", *MATRICES) if c not in results.columns]
    if missing:
        raise InputError(f"the results table has no column {', '.join(missing)}")
    data.uns[f"{prefix}_results"] = storable(results)
    if omnibus is not None:
        data.uns[f"{prefix}_omnibus"] = storable(omnibus)
    programs = list(dict.fromkeys(results["program"].astype(str)))
    home = _of_programs(data, programs)
    for value in MATRICES:
        matrix = wide(results, value)
        if home is None:
            data.uns[f"{prefix}_{value}"] = matrix.loc[programs]
        else:
            home.varm[f"{prefix}_{value}"] = matrix.loc[list(home.var_names)]


def wide(results: pd.DataFrame, value: str) -> pd.DataFrame:
    """One column of the tidy table as a matrix, programs x targets (x condition, if any)."""
    target = results["gene"].astype(str)
    if "condition" in results.columns:
        target = target + " in " + results["condition"].astype(str)
    table = pd.DataFrame(
        {"program": results["program"].astype(str), "target": target, "value": results[value]}
    )
    matrix = table.pivot(index="program", columns="target", values="value")
    matrix = matrix[list(dict.fromkeys(target))]
    matrix.columns.name = matrix.index.name = None
    return matrix


def storable(table: pd.DataFrame) -> pd.DataFrame:
    """A copy with plain text and string labels, which h5ad can hold."""
    out = table.reset_index(drop=True)
    for column in out.columns:
        if out[column].dtype == object:
            out[column] = out[column].fillna("").astype(str)
    out.index = out.index.astype(str)
    return out


def _of_programs(data: Any, programs: list[str]) -> Any:
    """The AnnData whose variables are the programs: `data` itself, a modality of it, or None."""
    parts = list(data.mod.values()) if hasattr(data, "mod") else [data]
    for part in parts:
        if sorted(map(str, part.var_names)) == sorted(programs):
            return part
    return None


def write_back_file(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    results: pd.DataFrame,
    omnibus: pd.DataFrame | None = None,
) -> Path:
    """Copy an h5ad or h5mu file with the results in it.

    Raises
    ------
    InputError
        If the file cannot be read, or is neither h5ad nor h5mu.
    """
    source, target = Path(source), Path(target)
    kind = source.suffix
    if kind not in (".h5ad", ".h5mu") or target.suffix != kind:
        raise InputError(f"{source.name} -> {target.name}: both must end in .h5ad or both in .h5mu")
    try:
        if kind == ".h5ad":
            import anndata

            data = anndata.read_h5ad(source)
        else:
            import mudata

            data = mudata.read_h5mu(source)
    except Exception as error:  # whatever h5py or anndata make of a broken file
        raise InputError(f"{source} cannot be read: {str(error).splitlines()[0]}") from error
    write_back(data, results, omnibus)
    temporary = target.with_name(f".{target.stem}.partial{kind}")
    try:
        data.write(temporary)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    return target
