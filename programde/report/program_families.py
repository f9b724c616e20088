"""The same program at other numbers of programs: families of programs by their spectra.

A factorisation into K programs is made for many K (and cNMF's density thresholds). A program of one
is followed into another by its spectrum: the two are each other's best match, with a cosine of at
least 0.7. Matches are taken from the closest down, and join families where these have no point in
common; so a family holds at most one program of each factorisation.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ..errors import InputError, OptionError

#: The least cosine of spectra that are one program.
ALIKE = 0.7


def program_families(spectra: Mapping[str, pd.DataFrame], least: float = ALIKE) -> pd.DataFrame:
    """Follow programs from factorisation to factorisation.

    Parameters
    ----------
    spectra
        Factorisation -> programs x genes. Genes that not all have are left out. Scores of any sign
        are compared as they are; weights (none below 0) as shares of their program, centred and
        scaled gene by gene over all programs, since the most abundant genes are the same in all.
    least
        The least cosine of a match.

    Returns
    -------
    DataFrame
        `factorisation`, `program`, `family` (a number; the family of most programs is 0), `size`
        (programs of the family) and `cosine` (the largest with another of its family; NaN alone).

    Raises
    ------
    InputError
        The factorisations have no gene in common.
    OptionError
        `least` outside 0 to 1.

    Examples
    --------
    >>> import pandas as pd
    >>> one = pd.DataFrame([[1.0, 0.0], [0.0, -1.0]], ["a", "b"], ["G", "H"])
    >>> other = pd.DataFrame([[0.0, -2.0]], ["x"], ["G", "H"])
    >>> program_families({"K=2": one, "K=1": other})["family"].tolist()
    [1, 0, 0]
    """
    if not 0.0 < least <= 1.0:
        raise OptionError(f"least={least} must lie above 0 and at most at 1")
    genes = _common_genes(spectra)
    names = list(spectra)
    rows = _directions([spectra[name][genes].to_numpy(dtype=np.float64) for name in names])
    starts = np.cumsum([0, *(len(one) for one in rows)])
    family = np.arange(starts[-1])
    closest = np.full(starts[-1], np.nan)
    members = {i: {int(np.searchsorted(starts, i, side="right")) - 1} for i in family.tolist()}
    for cosine, i, j in _matches(rows, starts, least):
        one, other = int(family[i]), int(family[j])
        if one != other:
            if members[one] & members[other]:
                continue  # a factorisation's programs are not the same program
            family[family == other] = one
            members[one] |= members.pop(other)
        closest[[i, j]] = np.fmax(closest[[i, j]], cosine)
    table = pd.DataFrame(
        {
            "factorisation": np.repeat(names, np.diff(starts)),
            "program": [str(program) for name in names for program in spectra[name].index],
            "family": family,
            "cosine": closest,
        }
    )
    return _numbered(table)


def followed(families: pd.DataFrame) -> pd.Series:
    """How stable each factorisation is: in what share of the others its programs are found.

    Parameters
    ----------
    families
        As `program_families` gives them.

    Returns
    -------
    Series
        Factorisation -> mean over its programs; NaN where there is no other.
    """
    n = families["factorisation"].nunique()
    share = (families["size"] - 1) / (n - 1) if n > 1 else families["size"] * np.nan
    return share.groupby(families["factorisation"], sort=False).mean()


def _common_genes(spectra: Mapping[str, pd.DataFrame]) -> list[object]:
    tables = list(spectra.values())
    shared = set(tables[0].columns).intersection(*(t.columns for t in tables)) if tables else set()
    if tables and not shared:
        raise InputError("the spectra of these factorisations have no gene in common")
    return [gene for gene in tables[0].columns if gene in shared] if tables else []


def _directions(values: list[np.ndarray]) -> list[np.ndarray]:
    """Rows of length 1."""
    whole = np.nan_to_num(np.concatenate(values)) if values else np.empty((0, 0))
    if whole.size and whole.min() >= 0:
        whole = whole / np.maximum(whole.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
        whole = whole - whole.mean(axis=0)
        spread = whole.std(axis=0)
        whole = whole / np.where(spread > 0, spread, 1.0)
    length = np.linalg.norm(whole, axis=1, keepdims=True)
    whole = whole / np.where(length > 0, length, 1.0)
    return np.split(whole, np.cumsum([len(one) for one in values])[:-1]) if values else []


def _matches(
    rows: list[np.ndarray], starts: np.ndarray, least: float
) -> list[tuple[float, int, int]]:
    """Pairs of programs that are each other's best match, the closest first."""
    found: list[tuple[float, int, int]] = []
    for a in range(len(rows)):
        for b in range(a + 1, len(rows)):
            if not len(rows[a]) or not len(rows[b]):
                continue
            cosines = rows[a] @ rows[b].T
            best = cosines.argmax(axis=1)
            back = cosines.argmax(axis=0)
            for i, j in enumerate(best):
                if back[j] == i and cosines[i, j] >= least:
                    found.append((float(cosines[i, j]), int(starts[a] + i), int(starts[b] + j)))
    return sorted(found, key=lambda match: (-match[0], match[1:]))


def _numbered(table: pd.DataFrame) -> pd.DataFrame:
    """Families by their size, then by where they first stand."""
    size = table["family"].map(table["family"].value_counts())
    first = table.groupby("family").cumcount().eq(0)
    order = (
        table[first].assign(size=size[first]).sort_values("size", ascending=False, kind="stable")
    )
    number = {family: place for place, family in enumerate(order["family"])}
    return table.assign(family=table["family"].map(number), size=size)[
        ["factorisation", "program", "family", "size", "cosine"]
    ]
