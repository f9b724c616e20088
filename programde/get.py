"""Taking out what ``pde.tl.test`` has kept with an AnnData."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from programde.errors import InputError

#: Where in `uns` the results are kept.
KEY = "programde"


def kept(adata: Any, key: str = KEY) -> Mapping[str, Any]:
    """All that is kept under `key`.

    Raises
    ------
    InputError
        Nothing is.
    """
    uns = getattr(adata, "uns", None)
    if uns is None or key not in uns:
        raise InputError(f"uns[{key!r}] is not there: pde.tl.test(adata) makes it")
    found: Mapping[str, Any] = uns[key]
    return found


def _part(adata: Any, name: str, key: str, made_by: str) -> Any:
    everything = kept(adata, key)
    if name not in everything:
        raise InputError(f"uns[{key!r}] has no {name!r}: {made_by} makes it")
    return everything[name]


def _table(adata: Any, name: str, key: str, made_by: str) -> pd.DataFrame:
    """A table of its own; in the file its rows have names, which mean nothing."""
    table: pd.DataFrame = _part(adata, name, key, made_by).reset_index(drop=True)
    return table


def results(adata: Any, key: str = KEY, *, level: float | None = None) -> pd.DataFrame:
    """The results, one row per target x program.

    Parameters
    ----------
    adata
        What `tl.test` was called with, or read again from a file.
    key
        Where they are kept.
    level
        Only those with a q-value of at most this, smallest p-value first; None: all.

    Returns
    -------
    DataFrame
        As `results_table`.

    Raises
    ------
    InputError
        There are none.
    """
    table = _table(adata, "results", key, "pde.tl.test(adata)")
    if level is None:
        return table
    return table[table["q_value"] <= level].sort_values("p_value")


def targets(adata: Any, key: str = KEY) -> pd.DataFrame:
    """One row per target: does it shift any program at all? See `omnibus_table`."""
    return _table(adata, "targets", key, "pde.tl.test(adata)")


def controls(adata: Any, key: str = KEY) -> pd.DataFrame:
    """P-values of groups of control guides, a column per kind."""
    return _table(adata, "controls", key, "pde.tl.test(..., n_partitions=10)")


def verdict(adata: Any, key: str = KEY) -> str:
    """Whether the p-values can be taken at their word: a word, and the sentence behind it."""
    made_by = "pde.tl.test(..., n_partitions=10)"
    return f"{_part(adata, 'verdict', key, made_by)}. {_part(adata, 'sentence', key, made_by)}"


def settings(adata: Any, key: str = KEY) -> dict[str, Any]:
    """How the results were made: what `tl.test` was called with; what was None is left out."""
    return dict(_part(adata, "settings", key, "pde.tl.test(adata)"))
