"""Spectra: how much each gene weighs in each program, aligned to the programs of the usages.

They take no part in any test; they say what a program is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from programde.errors import InputError, some, tell
from programde.screen.matrices import dense_numbers, flat_table
from programde.screen.names import name_list


def align_spectra(
    spectra: Any, program_names: Sequence[str], what: str = "spectra"
) -> pd.DataFrame:
    """Spectra as programs x genes, in the order of the programs.

    Parameters
    ----------
    spectra : DataFrame
        Programs x genes or genes x programs: the side whose names are the programs decides.
        Programs that are numbered are matched by number (``7`` and ``program_7``), programs
        without names (a plain ``RangeIndex``) by position.
    program_names
        Names of the K programs.
    what
        What to call the spectra in messages.

    Returns
    -------
    (K, n_genes) DataFrame, float64
        NaN where a gene has no weight.

    Raises
    ------
    InputError
        Not a table of numbers, neither side names the programs, or a program is missing.
    """
    if not isinstance(spectra, pd.DataFrame):
        raise InputError(
            f"{what} must be a table of programs and genes, they are a {type(spectra).__name__}"
        )
    flat_table(spectra, what)
    for table in (spectra, spectra.T):
        rows = _rows(table.index, program_names)
        if rows is None:
            continue
        genes = name_list(f"genes of {what}", table.columns)
        if len(set(genes)) != len(genes):
            twice = pd.Series(genes)[pd.Series(genes).duplicated()].unique()
            raise InputError(f"{what}: gene names are not unique: {some(twice)}")
        values = dense_numbers(table, what)[rows]
        if np.isinf(values).any():
            raise InputError(f"{what}: {int(np.isinf(values).sum())} values are infinite")
        return pd.DataFrame(values, index=list(program_names), columns=genes)
    raise InputError(
        f"{what}: neither rows ({some(spectra.index, 3)}) nor columns ({some(spectra.columns, 3)}) "
        f"name all programs ({some(program_names, 3)})"
    )


def found_spectra(
    spectra: Any, program_names: Sequence[str], what: str, notes: list[str]
) -> pd.DataFrame | None:
    """Spectra that came with the screen unasked; those that do not fit are left out, and told."""
    try:
        aligned = align_spectra(spectra, program_names, what)
    except InputError as error:
        tell(f"left out, as they do not fit the programs: {error}", notes)
        return None
    notes.append(f"{what}: weights of {aligned.shape[1]:,} genes in {len(aligned)} programs")
    return aligned


def _rows(index: pd.Index, program_names: Sequence[str]) -> np.ndarray | None:
    """Rows in the order of the programs, None where the index does not name them all."""
    wanted = list(program_names)
    if isinstance(index, pd.RangeIndex) and index.start == 0:
        return np.arange(len(wanted)) if len(index) == len(wanted) else None
    names = [str(name) for name in index]
    for key in (str, _number):
        place = {key(name): row for row, name in enumerate(names)}
        if len(place) == len(names) and all(key(name) in place for name in wanted):
            return np.array([place[key(name)] for name in wanted], dtype=np.intp)
    return None


def _number(name: str) -> str:
    """The number of a program that is only numbered: 7 of ``7``, ``7.0`` and ``program_7``."""
    found = re.fullmatch(r"(?:program[_ ])?0*(\d+)(?:\.0)?", name, flags=re.IGNORECASE)
    return found[1] if found else name
