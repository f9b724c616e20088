"""Guides: who holds which guide, and which guide targets what.

A unit's union indicator is x_i = 1 if cell i holds at least one guide of the unit. Only presence
counts: any nonzero entry (say, a UMI count) is a guide that is there, a stored zero is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from programde.errors import InputError, nearest, some, tell
from programde.screen.alignment import as_array
from programde.screen.composition import first_line

WHAT = "guide assignment"


def to_csc_matrix(G: Any) -> tuple[sparse.csc_matrix, list[str] | None]:
    """Guide presence as a sparse matrix of ones, without stored zeros.

    Parameters
    ----------
    G : (N, n_guides) array, sparse matrix or DataFrame
        Nonzero means present; counts and bools are allowed. Not modified.

    Returns
    -------
    presence : (N, n_guides) csc_matrix, int8
        Row indices sorted within each column.
    names : list of str or None
        Column names where `G` is a DataFrame.

    Raises
    ------
    InputError
        Not a matrix of numbers; NaN or negative entries, with their count.
    """
    names = None
    if isinstance(G, pd.DataFrame):
        names = [text(name) for name in G.columns]
    presence = _csc_of_numbers(G)
    data = presence.data
    for label, wrong in (("NaN or infinite", ~np.isfinite(data)), ("negative", data < 0)):
        if wrong.any():
            raise InputError(f"{WHAT} holds {int(wrong.sum())} {label} value(s)")
    out = sparse.csc_matrix(
        ((data != 0).astype(np.int8), presence.indices, presence.indptr), shape=presence.shape
    )
    out.eliminate_zeros()
    out.sort_indices()
    return out, names


def _csc_of_numbers(G: Any) -> sparse.csc_matrix:
    """A copy of `G` in compressed columns, float or int."""
    if isinstance(G, pd.DataFrame):
        is_sparse = len(G.columns) > 0 and all(
            isinstance(t, pd.SparseDtype) and t.fill_value == 0 for t in G.dtypes
        )
        G = G.sparse.to_coo() if is_sparse else G.to_numpy()  # type: ignore[attr-defined]
    if not sparse.issparse(G):
        G = as_array(G, WHAT)
        if G.ndim != 2:
            raise InputError(f"{WHAT} must be a matrix (cells x guides), its shape is {G.shape}")
        if G.dtype.kind in "OSU":
            try:
                G = G.astype(np.float64)
            except (TypeError, ValueError) as error:
                raise InputError(f"{WHAT} does not hold numbers: {first_line(error)}") from None
    if G.dtype.kind not in "biuf":
        raise InputError(f"{WHAT} does not hold numbers but {G.dtype}")
    if len(G.shape) != 2:
        raise InputError(f"{WHAT} must be a matrix (cells x guides), its shape is {G.shape}")
    # presence is decided entry by entry, so entries stored twice must be added first
    csc = sparse.csc_matrix(G.astype(np.float64) if G.dtype.kind == "b" else G, copy=True)
    csc.sum_duplicates()
    return csc


def text(value: object) -> str:
    """A label as str, also from bytes, numpy scalars and arrays of one element."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(-1)[0]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def guide_map(mapping: Any, guide_names: Sequence[str] | None = None) -> dict[str, str]:
    """Guide -> target from anything dict-like.

    Parameters
    ----------
    mapping
        A mapping (also with nested mappings, which is how a name with a slash comes back from
        HDF5), a Series indexed by guide, a DataFrame with guides as index and one column, or,
        with `guide_names`, a sequence of targets parallel to them.
    guide_names
        Names of the guides, for a parallel sequence.

    Returns
    -------
    dict
        Guides without a target (None, NaN, empty text) are left out.

    Raises
    ------
    InputError
        Something else, or a sequence of the wrong length.
    """
    pairs: Iterable[tuple[object, object]]
    if isinstance(mapping, pd.DataFrame):
        if mapping.shape[1] != 1:
            raise InputError(
                f"guide -> target table has {mapping.shape[1]} columns; it needs guides as its "
                "index and one column of targets"
            )
        mapping = mapping.iloc[:, 0]
    if isinstance(mapping, pd.Series):
        if mapping.index.has_duplicates:
            twice = mapping.index[mapping.index.duplicated()]
            raise InputError(f"guide -> target map names guides twice: {some(twice)}")
        pairs = zip(mapping.index, mapping.to_numpy(), strict=True)
    elif isinstance(mapping, Mapping):
        pairs = _flat(mapping)
    elif is_flat_list(mapping):
        if guide_names is None or len(mapping) != len(guide_names):
            raise InputError(
                f"{len(mapping)} guide targets for "
                f"{'unnamed' if guide_names is None else len(guide_names)} guides"
            )
        pairs = zip(guide_names, mapping, strict=True)
    else:
        raise InputError(
            f"guide -> target map is a {type(mapping).__name__}, neither dict-like nor a list "
            "parallel to the guide names"
        )
    return {text(guide): text(target) for guide, target in pairs if not _missing(target)}


def _flat(mapping: Mapping[Any, Any], prefix: str = "") -> Iterable[tuple[str, object]]:
    for key, value in mapping.items():
        name = f"{prefix}{text(key)}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}/")
        else:
            yield name, value


def _missing(target: object) -> bool:
    if target is None or (isinstance(target, float | np.floating) and np.isnan(target)):
        return True
    return target is pd.NA or text(target).strip() == ""


def is_flat_list(values: Any) -> bool:
    """Whether these are one-dimensional values in some order, not nested ones."""
    if not isinstance(values, list | tuple | np.ndarray | pd.Index | pd.Series | pd.Categorical):
        return False
    nested = list | tuple | set | dict | np.ndarray | pd.Series
    return getattr(values, "ndim", 1) == 1 and not any(isinstance(v, nested) for v in values)


@dataclass(frozen=True)
class CheckedGuides:
    """Guides that can be tested.

    Attributes
    ----------
    names
        Names of the guides in column order, unique.
    guide_to_target
        Target of each guide that has one, in column order.
    notes
        What is left out.
    """

    names: list[str]
    guide_to_target: dict[str, str]
    notes: list[str] = field(default_factory=list)


def check_guides(n_guides: int, guide_names: Sequence[object], mapping: Any) -> CheckedGuides:
    """Check guide names against the matrix and the guide -> target map.

    Parameters
    ----------
    n_guides
        Columns of the guide matrix.
    guide_names
        Names in column order.
    mapping
        See `guide_map`.

    Returns
    -------
    CheckedGuides

    Raises
    ------
    InputError
        Names too few, too many or duplicated; no guide has a target.
    """
    names = [text(name) for name in guide_names]
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
    targets = guide_map(mapping, names)
    known = {name: targets[name] for name in names if name in targets}
    if not known:
        raise InputError(
            f"no guide has a target: guides are named {some(names[:3])}, the guide -> target map "
            f"has {some(list(targets)[:3]) or 'no entry'}"
        )
    notes: list[str] = []
    lost = [name for name in names if name not in known]
    if lost:
        tell(
            f"{len(lost)} of {n_guides} guides have no target and are left out: {some(lost)}", notes
        )
    extra = len(targets) - len(known)
    if extra:
        notes.append(f"{extra} guides of the guide -> target map are not in the guide matrix")
    return CheckedGuides(names, known, notes)


def check_ntc_labels(
    guide_to_target: Mapping[str, str], labels: str | Sequence[str] | None
) -> list[str]:
    """Those of the given control labels that occur among the targets.

    Parameters
    ----------
    guide_to_target
        Target of each guide.
    labels
        One label of non-targeting controls, or several of which some may be absent.

    Returns
    -------
    list of str
        In the order given, unique, not empty.

    Raises
    ------
    InputError
        None of them occurs; the labels that exist are listed.
    """
    asked = (
        [labels] if isinstance(labels, str | bytes) else list(labels if labels is not None else [])
    )
    exist = list(dict.fromkeys(str(t) for t in guide_to_target.values()))
    found = [label for label in dict.fromkeys(text(a) for a in asked) if label in set(exist)]
    if not found:
        likely = [t for t in exist if looks_like_control(t)]
        first = text(asked[0]) if asked else ""
        hint = f"; these look like controls: {some(likely)}" if likely else ""
        raise InputError(
            f"no guide has a control label {some([repr(text(a)) for a in asked]) or '(none given)'}"
            f"{hint}{nearest(first, exist)}"
        )
    return found


def looks_like_control(target: str) -> bool:
    """Whether a target's name is a usual label of negative controls."""
    plain = "".join(ch for ch in target.lower() if ch.isalnum())
    words = (
        "nontarget",
        "safetarget",
        "safeharbor",
        "safeharbour",
        "negcontrol",
        "negativecontrol",
    )
    return plain in {"nt", "ntc", "safe", "neg", "control", "ctrl", "scramble", "scrambled"} or any(
        plain.startswith(word) for word in words
    )


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

    Returns
    -------
    (N,) float64

    Raises
    ------
    InputError
        Names that do not fit the columns, or control labels that match nothing.
    """
    presence, names = to_csc_matrix(G)
    matrix = presence if count_nonzero else _csc_of_numbers(G)
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
