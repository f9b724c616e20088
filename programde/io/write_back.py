"""Results written into the AnnData or MuData that the screen came from.

What is written survives `write_h5ad` / `write_h5mu` and reading back:

* ``uns["programde_results"]``, ``uns["programde_omnibus"]``: the tidy tables;
* ``programde_effect``, ``programde_p_value``, ``programde_q_value``: programs x targets,
  in ``varm`` of the modality whose variables are the programs where there is one (cNMF's
  modality of a MuData), else in ``uns``.

Before that the names of the results are looked for in the file, so that the results of one screen
do not end up in the file of another.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from programde.errors import InputError, ProgramDEWarning, not_a_file, some
from programde.screen.composition import first_line

MATRICES = ("effect", "p_value", "q_value")

#: What stands for a slash in a name that becomes a key of HDF5 (division slash).
SLASH = "\u2215"


def write_back(
    data: Any,
    results: pd.DataFrame,
    omnibus: pd.DataFrame | None = None,
    prefix: str = "programde",
    check: bool = True,
) -> None:
    """Put results into an AnnData or MuData, in place.

    Parameters
    ----------
    data : AnnData or MuData
        Where to write.
    results
        The tidy results table (columns target, program, effect, p_value, q_value, ...; guide
        first, where guides were tested one by one). Tables of before, whose column is `gene`, are
        taken and renamed.
    omnibus
        The table of one row per target (or guide).
    prefix
        Begins the name of every slot that is written.
    check
        Whether to look for the targets and programs of the results in `data` first. Some that are
        absent give a `ProgramDEWarning` with their number.

    Raises
    ------
    InputError
        If `results` lacks a column; with `check`, if `data` holds none of the targets, or holds
        names of programs and none of them is one of the results.

    Examples
    --------
    >>> import programde as pde
    >>> adata = pde.make_sceptre_style_synth(N=800, K=5, n_target_genes=10, seed=0)
    >>> table = pde.tl.test(adata, usage_key="usage", n_resamples=0)
    >>> pde.write_back(adata, table)
    >>> adata.uns["programde_results"].shape[0]
    50
    """
    results = _renamed(results)
    omnibus = None if omnibus is None else _renamed(omnibus)
    missing = [c for c in ("target", "program", *MATRICES) if c not in results.columns]
    if missing:
        raise InputError(f"the results table has no column {', '.join(missing)}")
    if check:
        _check_names(data, results, prefix)
    data.uns[f"{prefix}_results"] = storable(results)
    if omnibus is not None:
        data.uns[f"{prefix}_omnibus"] = storable(omnibus)
    programs = list(dict.fromkeys(results["program"].astype(str)))
    home = _of_programs(data, programs)
    plain = {name: name.replace("/", SLASH) for name in wide(results, MATRICES[0]).columns}
    if slashed := [target for target, written in plain.items() if target != written]:
        warnings.warn(
            f"{len(slashed)} target(s) with a slash head columns of the wide matrices with "
            f"'{SLASH}' in its place, since a slash opens a folder in HDF5: {some(slashed)}; "
            f"{prefix}_results has the names as they are",
            ProgramDEWarning,
            stacklevel=2,
        )
    for value in MATRICES:
        matrix = wide(results, value).rename(columns=plain)
        if home is None:
            data.uns[f"{prefix}_{value}"] = matrix.loc[programs]
        else:
            home.varm[f"{prefix}_{value}"] = matrix.loc[list(home.var_names)]


def wide(results: pd.DataFrame, value: str) -> pd.DataFrame:
    """One column of the tidy table as a matrix, programs x targets (x condition, if any).

    Where guides were tested one by one, programs x guides.
    """
    target = results["guide" if "guide" in results.columns else "target"].astype(str)
    if "condition" in results.columns:
        target = target + " in " + results["condition"].astype(str)
    table = pd.DataFrame(
        {"program": results["program"].astype(str), "target": target, "value": results[value]}
    )
    matrix = table.pivot(index="program", columns="target", values="value")
    matrix = matrix[list(dict.fromkeys(target))]
    matrix.columns.name = matrix.index.name = None
    return matrix


def _renamed(table: pd.DataFrame) -> pd.DataFrame:
    """A table of before, with what was tested in the column `gene`, by the names of today."""
    if "gene" not in table.columns:
        return table
    return table.rename(columns={"gene": "guide" if "target" in table.columns else "target"})


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
    for part in _parts(data):
        if sorted(map(str, part.var_names)) == sorted(programs):
            return part
    return None


def _check_names(data: Any, results: pd.DataFrame, prefix: str) -> None:
    """Raise where the results are plainly those of another file; warn of names that are absent."""
    _compare("target", results["target"], {str(t) for t in _words(data, prefix)})
    programs = _program_names(data)
    if programs:  # with cNMF's files they stand elsewhere
        _compare("program", results["program"], programs)


def _compare(what: str, names: pd.Series, present: set[str]) -> None:
    wanted = list(dict.fromkeys(names.astype(str)))
    absent = [name for name in wanted if name not in present]
    if not absent:
        return
    if len(absent) == len(wanted):
        raise InputError(
            f"none of the {len(wanted)} {what}s of the results ({some(wanted)}) is in this file: "
            "give the results of its own run (--reports), or write them all the same (--force; "
            "check=False)"
        )
    warnings.warn(
        f"{len(absent)} of the {len(wanted)} {what}s of the results are not in this file: "
        f"{some(absent)}",
        ProgramDEWarning,
        stacklevel=4,
    )


def _parts(data: Any) -> list[Any]:
    """The AnnData themselves: `data`, or its modalities."""
    return list(data.mod.values()) if hasattr(data, "mod") else [data]


def _words(data: Any, prefix: str) -> Iterator[object]:
    """Texts among which targets are: in ``uns`` and in the columns of ``obs`` and ``var``."""
    for part in {id(part): part for part in [data, *_parts(data)]}.values():
        for key, value in part.uns.items():
            if not key.startswith(f"{prefix}_"):  # an earlier run's results prove nothing
                yield from _texts(value)
        yield from _texts(part.obs)
        yield from _texts(part.var)


def _texts(value: Any) -> Iterator[object]:
    if isinstance(value, pd.DataFrame):
        for column in value.columns:
            if value[column].dtype == object or isinstance(value[column].dtype, _TEXT_TYPES):
                yield from value[column].dropna().unique()
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple | pd.Series) or (
        isinstance(value, np.ndarray) and value.dtype.kind in "OUTS"
    ):
        yield from pd.unique(pd.Series(np.ravel(np.asarray(value, dtype=object))).dropna())


_TEXT_TYPES = (pd.CategoricalDtype, pd.StringDtype)


def _program_names(data: Any) -> set[str]:
    """Names of programs that the file holds by the names of our readers; empty where none."""
    found: set[str] = set()
    for part in _parts(data):
        found |= set(map(str, np.ravel(np.asarray(part.uns.get("program_names", []), object))))
        usage = part.obsm.get("cnmf_usage")
        if isinstance(usage, pd.DataFrame):
            found |= set(map(str, usage.columns))
    if hasattr(data, "mod") and "cNMF" in data.mod:
        found |= set(map(str, data.mod["cNMF"].var_names))
    return found


def write_back_file(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    results: pd.DataFrame,
    omnibus: pd.DataFrame | None = None,
    check: bool = True,
) -> Path:
    """Copy an h5ad or h5mu file with the results in it; for the parameters see `write_back`.

    Raises
    ------
    InputError
        If the file cannot be read, is neither h5ad nor h5mu, or is not that of the results.
    """
    given, source, target = source, Path(source), Path(target)
    kind = source.suffix
    if kind not in (".h5ad", ".h5mu") or target.suffix != kind:
        raise InputError(f"{source.name} -> {target.name}: both must end in .h5ad or both in .h5mu")
    if not source.is_file():
        raise InputError(not_a_file(given))
    with _untouched(kind):
        data = _read(source)
        write_back(data, results, omnibus, check=check)
        # in a folder of our own: in a shared one nobody can foresee the name and put a link there
        with tempfile.TemporaryDirectory(prefix=".write-back-", dir=target.parent) as folder:
            temporary = Path(folder) / target.name
            data.write(temporary)
            os.replace(temporary, target)
    return target


def _untouched(kind: str) -> AbstractContextManager[Any]:
    """Else a MuData repeats the columns of its modalities in the tables they share."""
    if kind == ".h5ad":
        return nullcontext()
    import mudata

    if not hasattr(mudata, "set_options"):  # from 0.4 on nothing is repeated
        return nullcontext()
    return mudata.set_options(pull_on_update=False)


def _read(source: Path) -> Any:
    try:
        if source.suffix == ".h5ad":
            import anndata

            return anndata.read_h5ad(source)
        import mudata

        return mudata.read_h5mu(source)
    except Exception as error:  # whatever h5py or anndata make of a broken file
        raise InputError(f"{source} cannot be read: {first_line(error)}") from error
