"""Taking out what ``pde.tl.test`` has kept with an AnnData."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from programde.errors import InputError

__all__ = ["controls", "kept", "results", "settings", "targets", "verdict"]

#: Where in `uns` the results are kept.
KEY = "programde"


def kept(adata: Any, key: str = KEY) -> Mapping[str, Any]:
    """All that is kept under `key`.

    Parameters
    ----------
    adata
        What `tl.test` was called with, or read again from a file.
    key
        Where in `uns` to look.

    Returns
    -------
    mapping
        Name of a part -> the part, see `programde.tl`.

    Raises
    ------
    InputError
        Nothing is there.

    Examples
    --------
    >>> import programde as pde
    >>> adata = pde.make_sceptre_style_synth(N=800, K=5, n_target_genes=10, seed=0)
    >>> table = pde.tl.test(adata, usage_key="usage", n_resamples=0)
    >>> sorted(pde.get.kept(adata))
    ['controls', 'metrics', 'results', 'sentence', 'settings', 'targets', 'verdict', 'version']
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

    Examples
    --------
    >>> import programde as pde
    >>> adata = pde.make_sceptre_style_synth(N=800, K=5, n_target_genes=10, seed=0)
    >>> table = pde.tl.test(adata, usage_key="usage", n_resamples=0)
    >>> len(pde.get.results(adata)), len(pde.get.results(adata, level=1e-9))
    (50, 0)
    """
    table = _table(adata, "results", key, "pde.tl.test(adata)")
    if level is None:
        return table
    return table[table["q_value"] <= level].sort_values("p_value")


def targets(adata: Any, key: str = KEY) -> pd.DataFrame:
    """One row per target: does it shift any program at all?

    Parameters
    ----------
    adata
        What `tl.test` was called with, or read again from a file.
    key
        Where in `uns` the results are.

    Returns
    -------
    DataFrame
        As `omnibus_table`.

    Examples
    --------
    >>> import programde as pde
    >>> adata = pde.make_sceptre_style_synth(N=800, K=5, n_target_genes=10, seed=0)
    >>> table = pde.tl.test(adata, usage_key="usage", n_resamples=0)
    >>> len(pde.get.targets(adata))
    10
    """
    return _table(adata, "targets", key, "pde.tl.test(adata)")


def controls(adata: Any, key: str = KEY) -> pd.DataFrame:
    """P-values of groups of control guides, as if they were targets.

    Parameters
    ----------
    adata
        What `tl.test` was called with, or read again from a file.
    key
        Where in `uns` the results are.

    Returns
    -------
    DataFrame
        One row per group x program, with a column per kind of p-value.

    Examples
    --------
    >>> import programde as pde
    >>> adata = pde.make_sceptre_style_synth(N=800, K=5, n_target_genes=10, seed=0)
    >>> table = pde.tl.test(adata, usage_key="usage", n_resamples=0)
    >>> bool(pde.get.controls(adata)["saddlepoint"].between(0, 1).all())
    True
    """
    return _table(adata, "controls", key, "pde.tl.test(..., n_partitions=10)")


def verdict(adata: Any, key: str = KEY) -> str:
    """Whether the p-values can be taken at their word.

    Parameters
    ----------
    adata
        What `tl.test` was called with, or read again from a file.
    key
        Where in `uns` the results are.

    Returns
    -------
    str
        A word (calibrated, inflated, conservative, or too few controls to tell), and the sentence
        behind it.

    Examples
    --------
    >>> import programde as pde
    >>> adata = pde.make_sceptre_style_synth(N=800, K=5, n_target_genes=10, seed=0)
    >>> table = pde.tl.test(adata, usage_key="usage", n_resamples=0)
    >>> pde.get.verdict(adata).split(".")[0]
    'too few controls to tell'
    """
    made_by = "pde.tl.test(..., n_partitions=10)"
    return f"{_part(adata, 'verdict', key, made_by)}. {_part(adata, 'sentence', key, made_by)}"


def settings(adata: Any, key: str = KEY) -> dict[str, Any]:
    """How the results were made.

    Parameters
    ----------
    adata
        What `tl.test` was called with, or read again from a file.
    key
        Where in `uns` the results are.

    Returns
    -------
    dict
        What `tl.test` was called with, defaults included; what was None is left out.

    Examples
    --------
    >>> import programde as pde
    >>> adata = pde.make_sceptre_style_synth(N=800, K=5, n_target_genes=10, seed=0)
    >>> table = pde.tl.test(adata, usage_key="usage", n_resamples=0)
    >>> pde.get.settings(adata)["statistic"]
    'ols'
    """
    return dict(_part(adata, "settings", key, "pde.tl.test(adata)"))
