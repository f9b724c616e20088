"""A folder of one file of cells per day (or sample), beside what cNMF wrote:

    cells_D1.h5ad  cells_D3.h5mu                    the day is a word of the file's name
    guides_D1.csv                                   optional: a long table of the day's guides
    NAME.usages.k_<K>.dt_<T>.consensus.txt          of the day whose word NAME holds, else of all

Words of a name are what stands between dots, dashes and underscores. cNMF's files lie in the folder
or in one right below it. Without a table of guides the file of cells holds them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from programde.errors import InputError, check_keywords, nearest, not_a_folder, some
from programde.io import anndata
from programde.io.cnmf import FILE_NAME, read_cnmf
from programde.io.text_tables import PathLike, column, read_table
from programde.screen.build import BUILD_OPTIONS
from programde.screen.screen import Screen

#: Usages, programs and spectra are cNMF's.
NOT_TAKEN = ("usage_key", "program_names_key", "spectra_key")
DEFAULT_KEYS = {key: v for key, v in anndata.DEFAULT_KEYS.items() if key not in NOT_TAKEN}
SCREENS = (".h5ad", ".h5mu")
TABLES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")


@dataclass(frozen=True)
class DayFiles:
    """What belongs to a day.

    Attributes
    ----------
    screen
        The file of its cells.
    usages
        cNMF's usages.
    name
        NAME of these.
    guides
        The long table of guides; None: they are in `screen`.
    """

    screen: Path
    usages: Path
    name: str
    guides: Path | None = None

    def files(self) -> list[Path]:
        """The files that are there."""
        return [self.screen, self.usages, *([] if self.guides is None else [self.guides])]


def find_day(folder: PathLike, day: str, k: int, density_threshold: float = 0.5) -> DayFiles:
    """The files of a day.

    Raises
    ------
    InputError
        No such folder or day (those there are are listed), no usages, or several of anything.
    """
    given, folder = folder, Path(folder)
    if not folder.is_dir():
        raise InputError(not_a_folder(given))
    files = sorted(path for path in folder.iterdir() if path.is_file())
    screens = {path: _words(path) for path in files if path.suffix.lower() in SCREENS}
    here = [path for path, words in screens.items() if day in words]
    if len(here) != 1:
        shared = set.intersection(*screens.values()) if len(screens) > 1 else set()
        days = sorted(set().union(*screens.values()) - shared)
        what = f"{len(here)} files of cells" if here else "no file of cells (.h5ad, .h5mu)"
        raise InputError(
            f"{folder} has {what} with the word {day!r} in its name"
            + (f": {some(path.name for path in here)}" if here else nearest(day, days))
        )
    tables = [p for p in files if p.name.lower().endswith(TABLES) and day in _words(p)]
    if len(tables) > 1:
        names = some(path.name for path in tables)
        raise InputError(f"{folder} has {len(tables)} tables of guides for {day!r}: {names}")
    others = set().union(*screens.values()) - screens[here[0]]
    usages, name = _usages(folder, day, others, k, density_threshold)
    return DayFiles(here[0], usages, name, tables[0] if tables else None)


def _usages(
    folder: Path, day: str, others: set[str], k: int, density_threshold: float
) -> tuple[Path, str]:
    """cNMF's usages of the day, else of all days; and their NAME."""
    known = [
        (found, path)
        for path in sorted([*folder.glob("*"), *folder.glob("*/*")])
        if (found := FILE_NAME.fullmatch(path.name))
    ]
    fit = [
        (found["name"], path)
        for found, path in known
        if int(found["k"]) == k
        and np.isclose(float(found["dt"].replace("_", ".")), density_threshold, rtol=1e-9, atol=0)
    ]
    own = [pair for pair in fit if day in _words(Path(pair[0]))]
    chosen = own or [pair for pair in fit if not others & _words(Path(pair[0]))]
    if len(chosen) != 1:
        there = some(sorted({path.name for _, path in known}), 20) or "none"
        raise InputError(
            f"{folder} has {len(chosen)} usages of k={k} dt={density_threshold:g} for {day!r}; "
            f"there are {there}"
        )
    return chosen[0][1], chosen[0][0]


def _words(path: Path) -> set[str]:
    """The words of a file's name."""
    return set(re.split(r"[^A-Za-z0-9]+", path.name.split(".usages.")[0])) - {""}


def read_folder(
    folder: PathLike,
    *,
    day: str,
    k: int,
    density_threshold: float = 0.5,
    cell_column: str = "cell",
    guide_column: str = "guide",
    value_column: str | None = None,
    target_column: str = "target",
    on_missing: str = "error",
    memory: float | str | None = None,
    **keys: Any,
) -> Screen:
    """A screen of one day (or sample) of a folder.

    Parameters
    ----------
    folder, day, k, density_threshold
        See `find_day`.
    cell_column, guide_column, value_column, target_column
        Columns of the table of guides, where there is one; without a value each row means present.
    on_missing
        Cells that are not in every file: ``"error"`` or ``"drop"``.
    memory
        As of `cnmf.read_cnmf`.
    **keys
        Keyword arguments of `cnmf.read_cnmf`. With a table of guides, covariates are columns of obs
        (`covar_columns`, `log1p_columns`), or else the table ``obsm[covar_key]``.

    Returns
    -------
    Screen
        Its cells in the order of the usages.

    Raises
    ------
    InputError, OptionError
        Files that are missing or do not fit together.
    """
    check_keywords("read_folder", keys, (*DEFAULT_KEYS, *BUILD_OPTIONS))
    files = find_day(folder, day, k, density_threshold)
    where: dict[str, Any] = {"k": k, "density_threshold": density_threshold, "name": files.name}
    where |= {"on_missing": on_missing, "memory": memory}
    if files.guides is None:
        return read_cnmf(files.usages.parent, screen=files.screen, **where, **keys)
    table = read_table(files.guides, index=False)
    pairs = pd.DataFrame(
        {
            "guide_id": column(table, guide_column, "the table of guides"),
            "target": column(table, target_column, "the table of guides"),
        }
    ).drop_duplicates()
    if twice := pairs.loc[pairs["guide_id"].duplicated(), "guide_id"].tolist():
        raise InputError(f"{files.guides}: guides of several targets: {some(twice)}")
    covariates, columns = _covariates(files.screen, keys)
    return read_cnmf(
        files.usages.parent,
        assignments=table,
        guide_metadata=pairs,
        covariates=covariates,
        cell_column=cell_column,
        guide_column=guide_column,
        value_column=value_column,
        target_column="target",
        type_column=None,
        targeting_column=None,
        **where,
        **columns,
        **{key: value for key, value in keys.items() if key in BUILD_OPTIONS},
    )


def _covariates(path: Path, keys: dict[str, Any]) -> tuple[pd.DataFrame | None, dict[str, Any]]:
    """What is known of the cells, and which columns of it are covariates."""
    if path.suffix.lower() == ".h5mu":
        import mudata

        held: Any = mudata.read_h5mu(path, backed=True)
    else:
        from anndata import read_h5ad

        held = read_h5ad(path, backed="r")
    known = held.obs.copy()
    chosen = {name: keys.get(name) for name in ("covar_columns", "log1p_columns")}
    if any(value is not None for value in chosen.values()):
        return known, chosen
    key = keys.get("covar_key", "covar")
    table = held.obsm[key] if key is not None and key in held.obsm else None
    if not isinstance(table, pd.DataFrame):
        return (None, {}) if keys.get("condition_key") is None else (known, {"covar_columns": ()})
    whole = table.join(known[[c for c in known.columns if c not in table.columns]])
    return whole, {"covar_columns": tuple(table.columns)}
