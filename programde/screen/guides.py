"""Guides: their names, their targets, and the cells that hold them.

A unit's union indicator is x_i = 1 if cell i holds at least one guide of the unit. What a call is
stands in `calls`, what a target in `guide_targets`, who is a control in `control_labels`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from programde.errors import InputError, some, tell
from programde.screen.calls import (
    WHAT,
    call_guides,
    check_thresholds,
    checked_values,
    to_csc_matrix,
)
from programde.screen.control_labels import check_ntc_labels, looks_like_control
from programde.screen.guide_targets import guide_map, guide_targets, settle_targets
from programde.screen.names import is_flat_list, name_list, text

__all__ = [
    "CheckedGuides",
    "build_gene_to_cols",
    "check_guides",
    "check_ntc_labels",
    "compute_guide_burden",
    "guide_map",
    "is_flat_list",
    "looks_like_control",
    "text",
    "to_csc_matrix",
    "union_obs_idx_from_cols",
]


@dataclass(frozen=True)
class CheckedGuides:
    """Guides that can be tested.

    Attributes
    ----------
    names
        Names of the guides in column order, unique.
    guide_to_target
        Target of each guide that has one, in column order.
    further_targets
        The other targets of guides that have several.
    notes
        What is left out.
    """

    names: list[str]
    guide_to_target: dict[str, str]
    further_targets: dict[str, tuple[str, ...]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def check_guides(
    n_guides: int,
    guide_names: Sequence[object],
    mapping: Any,
    multi_target_guides: str = "error",
) -> CheckedGuides:
    """Check guide names against the matrix and the guide -> target map.

    Parameters
    ----------
    n_guides
        Columns of the guide matrix.
    guide_names
        Names in column order.
    mapping
        See `guide_targets.guide_targets`.
    multi_target_guides
        Guides of several targets: ``"error"``, ``"both"`` or ``"whole"``; see
        `guide_targets.settle_targets`.

    Returns
    -------
    CheckedGuides

    Raises
    ------
    InputError
        Names too few, too many, missing or duplicated; no guide has a target.
    """
    names = name_list("guide names", guide_names)
    if len(names) != n_guides:
        kind = "few" if len(names) < n_guides else "many"
        raise InputError(f"too {kind} guide names: {len(names)} names for {n_guides} columns")
    if n_guides == 0:
        raise InputError(f"{WHAT} has no columns")
    counts = pd.Series(names).value_counts()
    if counts.iloc[0] > 1:
        raise InputError(
            f"{int((counts > 1).sum())} guide name(s) occur more than once: "
            f"{some(sorted(counts.index[counts > 1]))}"
        )
    targets = guide_targets(mapping, names)
    notes: list[str] = []
    ours = {name: targets[name] for name in names if name in targets}
    known, further = settle_targets(ours, multi_target_guides, notes)
    if not known:
        raise InputError(
            f"no guide has a target: guides are named {some(names[:3])}, the guide -> target map "
            f"has {some(list(targets)[:3]) or 'no entry'}"
        )
    lost = [name for name in names if name not in known]
    if lost:
        tell(
            f"{len(lost)} of {n_guides} guides have no target and are left out: {some(lost)}", notes
        )
    extra = len(targets) - len(known)
    if extra:
        notes.append(f"{extra} guides of the guide -> target map are not in the guide matrix")
    return CheckedGuides(names, known, further, notes)


def build_gene_to_cols(
    guide_names: Sequence[str], guide2gene: Mapping[str, str]
) -> dict[str, list[int]]:
    """Columns of each gene's guides.

    Parameters
    ----------
    guide_names
        Names in column order.
    guide2gene
        Gene of each guide; guides without one are left out.

    Returns
    -------
    dict
        Gene -> increasing column numbers; genes in order of first appearance.

    Examples
    --------
    >>> import programde as pde
    >>> pde.build_gene_to_cols(["g1", "g2", "g3"], {"g1": "A", "g2": "B", "g3": "A"})
    {'A': [0, 2], 'B': [1]}
    """
    genes = guide_map(guide2gene, guide_names)
    columns: dict[str, list[int]] = {}
    for column, guide in enumerate(guide_names):
        gene = genes.get(text(guide))
        if gene is not None:
            columns.setdefault(gene, []).append(column)
    return columns


def union_obs_idx_from_cols(
    G_csc: sparse.csc_matrix, cols: Sequence[int] | np.ndarray
) -> np.ndarray:
    """Cells that hold at least one guide of the given columns.

    Parameters
    ----------
    G_csc : (N, n_guides) csc_matrix
        Guide presence; stored zeros count as absent.
    cols
        Column numbers.

    Returns
    -------
    np.ndarray, intp
        Sorted, unique cell indices.

    Examples
    --------
    >>> import numpy as np, programde as pde
    >>> presence, _ = pde.to_csc_matrix(np.array([[1, 0], [0, 0], [1, 1]]))
    >>> pde.union_obs_idx_from_cols(presence, [0, 1]).tolist()
    [0, 2]
    """
    parts = []
    for c in cols:
        rows = slice(G_csc.indptr[c], G_csc.indptr[c + 1])
        parts.append(G_csc.indices[rows][np.asarray(G_csc.data[rows]) != 0])
    return np.unique(np.concatenate(parts)).astype(np.intp) if parts else np.empty(0, np.intp)


def compute_guide_burden(
    G: Any,
    *,
    guide_names: Sequence[str] | None = None,
    guide2gene: Mapping[str, str] | None = None,
    ntc_labels: str | Sequence[str] | None = None,
    include_ntc: bool = False,
    count_nonzero: bool = True,
    use_log1p: bool = True,
    guide_threshold: float | None = None,
) -> np.ndarray:
    """Number of guides per cell.

    Parameters
    ----------
    G : (N, n_guides) array, sparse matrix or DataFrame
        Guide presence or counts.
    guide_names, guide2gene, ntc_labels
        Which guides are controls; needed where `include_ntc` is False and `ntc_labels` are given.
        Without `ntc_labels` all guides count.
    include_ntc
        Count control guides too.
    count_nonzero
        Count guides that are present; False: add up the entries (say, UMI counts).
    use_log1p
        Return log(1 + count).
    guide_threshold
        A guide is present from this value on; None: wherever the entry is not 0.

    Returns
    -------
    (N,) float64

    Raises
    ------
    InputError
        Names that do not fit the columns, or control labels that match nothing.
    """
    check_thresholds(guide_threshold)
    names = None
    if not count_nonzero:
        matrix = checked_values(G)
        if guide_threshold is not None:
            matrix.data[matrix.data < guide_threshold] = 0
    elif guide_threshold is not None:
        matrix = call_guides(G, guide_threshold).presence
    else:
        matrix, _ = to_csc_matrix(G)
    if isinstance(G, pd.DataFrame):
        names = name_list("guide names", G.columns)
    keep = np.ones(matrix.shape[1])
    if not include_ntc and ntc_labels is not None and len(ntc_labels) > 0:
        names = names if guide_names is None else [text(name) for name in guide_names]
        if names is None or guide2gene is None:
            raise InputError("leaving out controls needs guide_names and guide2gene")
        checked = check_guides(matrix.shape[1], names, guide2gene)
        labels = set(check_ntc_labels(checked.guide_to_target, ntc_labels))
        keep = np.array([float(checked.guide_to_target.get(n) not in labels) for n in names])
    burden = np.asarray(matrix.astype(np.float64) @ keep, dtype=np.float64)
    return np.log1p(burden) if use_log1p else burden
