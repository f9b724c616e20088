"""Spectra: how much each gene weighs in each program, aligned to the programs of the usages.

They take no part in any test; they say what a program is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from programde.errors import InputError, nearest, some, tell
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


def top_genes(spectra: pd.DataFrame, n: int = 5) -> dict[str, list[str]]:
    """The genes that say what each program is, the first ones first.

    Spectra that hold values below 0 are scores (cNMF's z-scores), and the largest lead. Weights
    are never below 0, and the largest of them are the same abundant genes in every program; there
    a gene counts by its share of the program's weight times the program's share of the gene's.

    Parameters
    ----------
    spectra : (K, n_genes) DataFrame
        As `align_spectra` gives them; NaN where a gene has no weight.
    n
        Genes of each program.

    Returns
    -------
    dict
        Program -> names of at most `n` genes; genes whose score is 0 or less are no part of it.
    """
    values = np.nan_to_num(spectra.to_numpy(dtype=np.float64))
    if values.size and values.min() >= 0:
        share = values / np.maximum(values.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
        of_gene = share.sum(axis=0)
        values = share**2 / np.where(of_gene > 0, of_gene, 1.0)
    genes = np.array(spectra.columns, dtype=object)
    best = np.argsort(-values, axis=1, kind="stable")[:, :n]
    return {
        str(program): [str(genes[g]) for g in row if values[k, g] > 0]
        for k, (program, row) in enumerate(zip(spectra.index, best, strict=True))
    }


def program_labels(given: Any, program_names: Sequence[str]) -> dict[str, str]:
    """Labels by hand: program -> what people call it.

    Parameters
    ----------
    given
        A mapping, or a table of columns ``program`` and ``label``. Programs that are numbered are
        matched by number (``7`` and ``program_7``); not all need a label.
    program_names
        Names of the K programs.

    Raises
    ------
    InputError
        No such columns, a program that is not there or stands twice, or a missing label.
    """
    if isinstance(given, pd.DataFrame):
        flat_table(given, "program_names")
        if missing := [c for c in ("program", "label") if c not in given.columns]:
            raise InputError(
                f"program_names has no column {missing[0]!r}; it is a table of program and label"
            )
        pairs = list(zip(given["program"], given["label"], strict=True))
    else:
        pairs = list(dict(given).items())
    wanted = name_list("programs of program_names", [program for program, _ in pairs])
    labels = name_list("labels of program_names", [label for _, label in pairs])
    known = {_number(name): name for name in program_names} | {n: n for n in program_names}
    found: dict[str, str] = {}
    for program, label in zip(wanted, labels, strict=True):
        name = known.get(program, known.get(_number(program)))
        if name is None:
            raise InputError(
                f"program_names labels {program!r}, which is no program{nearest(program, known)}"
            )
        if name in found:
            raise InputError(f"program_names labels {name!r} twice")
        found[name] = label
    return {name: found[name] for name in program_names if name in found}
