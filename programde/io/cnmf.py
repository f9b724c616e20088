"""The usages that cNMF writes, ``NAME.usages.k_K.dt_D.consensus.txt``, and a screen around them.

Such a file is tab-separated, cells x programs, one per number of programs K and density threshold
D (``dt_0_5`` is 0.5, ``dt_1e-05`` is 0.00001); its rows are not normalised, here they are divided
by their sums. Beside it lie the spectra, programs x genes.

Source of the file's name and form: D. Kotliar et al., "Identifying gene expression programs of
cell-type identity and cellular activity with single-cell RNA-Seq", eLife 8 (2019) e43803.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from programde.errors import InputError, OptionError, check_keywords, not_a_folder, some, tell
from programde.io import anndata, mudata
from programde.io.building import screen_of
from programde.io.containers import FileSlots, is_zarr, parts_from_slots, store
from programde.io.guide_tables import read_guide_tables
from programde.io.join import Piece, aligned, join
from programde.io.text_tables import NumberRows, PathLike, number_rows, read_numbers
from programde.screen.build import BUILD_OPTIONS, Parts
from programde.screen.screen import Screen
from programde.screen.spectra import align_spectra

FILE_NAME = re.compile(
    r"(?P<name>.+)\.usages\.k_(?P<k>\d+)\.dt_(?P<dt>\d+(?:_\d+)?(?:e[-+]?\d+)?)\.consensus\.txt"
    r"(?:\.gz)?"
)
#: Kinds of spectra that cNMF writes beside the usages, the one to prefer first: z-scores, and TPM.
SPECTRA = ("gene_spectra_score", "gene_spectra_tpm")


def find_usages(
    folder: PathLike, k: int, density_threshold: float, name: str | None = None
) -> Path:
    """The usage file of one K and density threshold in a folder or the folders right below it.

    Parameters
    ----------
    folder
        cNMF's output folder.
    k
        Number of programs.
    density_threshold
        Density threshold of the consensus step.
    name
        Name of the cNMF run, needed where there are several.

    Returns
    -------
    Path

    Raises
    ------
    InputError
        None, or several; lists what is there.
    """
    given, folder = folder, Path(folder)
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 2:
        raise OptionError(f"k={k!r} must be a whole number of programs, at least 2")
    if isinstance(density_threshold, bool) or not isinstance(density_threshold, int | float):
        raise OptionError(f"density_threshold={density_threshold!r} must be a number")
    if not folder.is_dir():
        raise InputError(not_a_folder(given))
    files = [(m, p) for p in sorted([*folder.glob("*"), *folder.glob("*/*")])
             if (m := FILE_NAME.fullmatch(p.name)) and p.is_file()]  # fmt: skip
    found = [
        (m, p)
        for m, p in files
        if int(m["k"]) == k
        and np.isclose(float(m["dt"].replace("_", ".")), density_threshold, rtol=1e-9, atol=0)
        and name in (None, m["name"])
    ]
    if not found:
        labels = {f"{m['name']}: k={m['k']} dt={m['dt'].replace('_', '.')}" for m, _ in files}
        there = some(sorted(labels), 20) or "none"
        wanted = f"{name or '*'}: k={k} dt={density_threshold:g}"
        raise InputError(f"{folder} has no consensus usages of {wanted}; there are {there}")
    if len(found) > 1:
        raise InputError(
            f"{folder} has {len(found)} usage files for k={k} dt={density_threshold:g}: "
            f"{some(str(p.relative_to(folder)) for _, p in found)}; set name"
        )
    return found[0][1]


def cnmf_usage(path: PathLike) -> pd.DataFrame:
    """Usages of a cNMF consensus file, rows divided by their sums.

    Parameters
    ----------
    path
        The file, see `find_usages`.

    Returns
    -------
    (N, K) DataFrame
        Numbered programs are called ``program_<number>``. Rows of zeros stay zero.

    Raises
    ------
    InputError
        Not a table of numbers.
    """
    table = read_numbers(path)
    return pd.DataFrame(_scaled(table.to_numpy()), index=table.index, columns=_named(table.columns))


def _scaled(usages: np.ndarray) -> np.ndarray:
    totals = usages.sum(axis=1)
    return np.asarray(usages / np.where(totals > 0, totals, 1.0)[:, None])


def _named(columns: Iterable[object]) -> list[str]:
    return [f"program_{c}" if str(c).isdigit() else str(c) for c in columns]


def _usage_rows(path: PathLike, memory: float | str | None) -> NumberRows | None:
    """The same on disk where it does not fit into memory."""
    rows = number_rows(path, memory, _scaled)
    if rows is not None:
        rows.names = rows.columns = _named(rows.columns)
    return rows


def cnmf_spectra(usages: Path, programs: list[str]) -> pd.DataFrame | None:
    """The spectra that cNMF wrote beside a file of usages.

    Parameters
    ----------
    usages
        The file of usages, see `find_usages`.
    programs
        Names of its K programs.

    Returns
    -------
    (K, n_genes) DataFrame or None
        Those of `SPECTRA` that are there, z-scores first; None where there are none, or where they
        do not fit the usages (which is told).
    """
    for path in spectra_files(usages):
        try:
            return align_spectra(read_numbers(path), programs, path.name)
        except InputError as error:
            tell(f"the spectra of {path.name} are left out: {error}")
    return None


def spectra_files(usages: Path) -> list[Path]:
    """The spectra that lie beside a file of usages, those to prefer first."""
    found = []
    for kind in SPECTRA:
        name = usages.name.replace(".usages.", f".{kind}.").replace(".consensus.txt", ".txt")
        beside = dict.fromkeys((usages.with_name(name), usages.with_name(name + ".gz")))
        found += [path for path in beside if path.is_file()]
    return found


def read_cnmf(
    folder: PathLike,
    k: int,
    density_threshold: float,
    *,
    name: str | None = None,
    screen: PathLike | None = None,
    assignments: PathLike | pd.DataFrame | None = None,
    guide_metadata: PathLike | pd.DataFrame | None = None,
    covariates: PathLike | pd.DataFrame | None = None,
    on_missing: str = "error",
    memory: float | str | None = None,
    **keys: Any,
) -> Screen:
    """A screen with usages from cNMF's output, and guides and covariates from elsewhere.

    Parameters
    ----------
    folder, k, density_threshold, name
        See `find_usages`.
    screen
        An h5ad or h5mu file with guides and covariates; or else the tables that follow.
    assignments, guide_metadata, covariates
        Tables, see `guide_tables.read_guide_tables`.
    on_missing
        Cells that are not in every source: ``"error"`` or ``"drop"``.
    memory
        As of `anndata.read_h5ad`: usages that take more are written to a temporary file, and read
        from there.
    **keys
        Keyword arguments of `anndata.screen_from_anndata`, `mudata.screen_from_mudata` or
        `guide_tables.read_guide_tables`, after the kind of source.

    Returns
    -------
    Screen
        Cells in the order of the usages; with the spectra that lie beside them.

    Raises
    ------
    InputError, OptionError
        No such usages, no source of guides, or sources that do not fit together.

    Examples
    --------
    >>> import tempfile
    >>> import pandas as pd, programde as pde
    >>> adata = pde.make_sceptre_style_synth(N=400, K=3, n_target_genes=4, seed=0)
    >>> usages = pd.DataFrame(adata.obsm["usage"], adata.obs_names, ["1", "2", "3"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     usages.to_csv(f"{folder}/run.usages.k_3.dt_0_5.consensus.txt", sep="\\t")
    ...     adata.write_h5ad(f"{folder}/screen.h5ad")
    ...     screen = pde.io.read_cnmf(folder, 3, 0.5, screen=f"{folder}/screen.h5ad")
    >>> screen.n_cells, screen.program_names
    (400, ['program_1', 'program_2', 'program_3'])
    """
    if (screen is None) == (assignments is None):
        raise OptionError("read_cnmf needs either screen=<h5ad or h5mu> or assignments=<table>")
    file = find_usages(folder, k, density_threshold, name)
    kept = _usage_rows(file, memory)
    usage: Any = cnmf_usage(file) if kept is None else kept
    if usage.shape[1] != k:
        raise InputError(f"the usage file of k={k} holds {usage.shape[1]} programs")
    if keys.get("spectra") is None:
        keys["spectra"] = cnmf_spectra(file, list(usage.columns))
    if assignments is not None:
        if guide_metadata is None:
            raise OptionError("assignments need guide_metadata=<table of guides and targets>")
        return read_guide_tables(
            usage, assignments, guide_metadata, covariates, on_missing=on_missing, **keys
        )
    if guide_metadata is not None or covariates is not None:
        raise OptionError("guide_metadata and covariates go with assignments, not with screen")
    of_modalities = Path(str(screen)).suffix.lower() == ".h5mu"
    if is_zarr(str(screen)):
        with store(str(screen)) as group:
            of_modalities = "mod" in group
    if of_modalities:
        return mudata.read_h5mu(str(screen), usage_table=usage, on_missing=on_missing, **keys)
    return _with_h5ad(usage, str(screen), on_missing, keys)


def _with_h5ad(usage: Any, path: str, on_missing: str, keys: dict[str, Any]) -> Screen:
    if keys.pop("guide_modality", None) is not None:
        raise OptionError(f"guide_modality names a part of an h5mu file, and {path} is none")
    ours = ("usage_key", "program_names_key", "spectra_key")
    allowed = [key for key in anndata.DEFAULT_KEYS if key not in ours]
    check_keywords("read_cnmf with an h5ad", keys, (*allowed, *BUILD_OPTIONS))
    chosen = {key: keys.get(key, anndata.DEFAULT_KEYS[key]) for key in allowed}
    with store(path) as group:
        rest = parts_from_slots(
            FileSlots(group), usage_key=None, program_names_key="program_names", **chosen
        )
    notes: list[str] = []
    cells = [str(c) for c in rest.cell_names]
    pieces = [
        Piece("cNMF usages", list(usage.index), usage),
        Piece(rest.guide_label, cells, aligned(rest.guides, rest.guide_label, cells, notes)),
    ]
    if rest.covariates is not None:
        label = rest.covariate_label
        pieces.append(Piece(label, cells, aligned(rest.covariates, label, cells, notes)))
    by_condition = keys.get("condition_key") is not None
    if by_condition:
        pieces.append(Piece("obs", cells, rest.observations))
    names, *data = join(pieces, on_missing, notes)
    parts = Parts(
        cell_names=names,
        usage=data[0],
        covariates=data[2] if rest.covariates is not None else None,
        guides=data[1],
        guide_to_target=rest.guide_to_target,
        guide_names=rest.guide_names,
        program_names=list(usage.columns),
        notes=notes,
        observations=data[-1] if by_condition else None,
        moi=rest.moi,
        usage_label="cNMF usages",
        covariate_label=rest.covariate_label,
        guide_label=rest.guide_label,
    )
    return screen_of(parts, {key: v for key, v in keys.items() if key in BUILD_OPTIONS})
