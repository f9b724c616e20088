"""What the original reads from an AnnData, or anything with its containers, piece by piece."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from pandas.api import types

from programde.errors import InputError, tell
from programde.io import anndata as reading
from programde.io.containers import MemorySlots, find, has, names_list
from programde.screen import covariates
from programde.screen import guides as held
from programde.screen.covariates import INTERCEPT, covariate_frame
from programde.screen.formula import LINEAR
from programde.screen.names import text
from programde.threads import VARIABLES

#: Variables that linear algebra libraries read when they load; `limit_threading` sets them too.
THREAD_ENV_VARS = VARIABLES
NTC_LABELS = ("non-targeting", "safe-targeting", "NTC")


def get_from_adata_any(adata: Any, key: str) -> Any:
    """What is stored under `key` in obsm, layers, obsp, uns or obs, searched in this order.

    Parameters
    ----------
    adata
        AnnData, or anything with its containers.
    key
        Where to look.

    Returns
    -------
    object
        What is there, as it is.

    Examples
    --------
    >>> import programde as pde
    >>> pde.get_from_adata_any(pde.MockAdata(uns={"names": ["a", "b"]}), "names")
    ['a', 'b']
    """
    return reading.get_from_adata_any(adata, key)


def get_program_names(
    adata: Any, n_programs: int, *, program_names_key: str = "program_names"
) -> list[str]:
    """Program names of an AnnData, or ``program_0`` ... where it has none.

    Parameters
    ----------
    adata
        AnnData, or anything with its containers.
    n_programs
        How many programs there are.
    program_names_key
        Where names would be.

    Returns
    -------
    list of str
        A name per program.

    Examples
    --------
    >>> import programde as pde
    >>> pde.get_program_names(pde.MockAdata(), 2)
    ['program_0', 'program_1']
    """
    return reading.get_program_names(adata, n_programs, program_names_key)


def get_covar_matrix(
    adata: Any,
    covar_key: str = "covar",
    add_intercept: bool = True,
    standardize: bool = True,
    one_hot_encode: bool = True,
    drop_first: bool = True,
    numeric_as_category_threshold: int | None = 20,
) -> tuple[np.ndarray, list[str]]:
    """Encoded covariates of an AnnData, and the names of their columns but the intercept.

    Parameters
    ----------
    adata, covar_key
        Where the covariates are.
    add_intercept, standardize
        See `programde.screen.covariates.encode_covariates`.
    one_hot_encode
        False: covariates must be numbers, and none is taken for labels.
    drop_first
        False: the first level of a label has a column too, where the intercept and the other
        levels do not make it superfluous.
    numeric_as_category_threshold
        See `programde.screen.covariates.encode_covariates`.

    Returns
    -------
    C : (N, p) float64
        The intercept, then numbers, then indicators; of full column rank.
    names
        Of its columns but the intercept.

    Examples
    --------
    >>> import pandas as pd, programde as pde
    >>> table = pd.DataFrame({"depth": [1.5, 2.5, 3.5, 4.1, 2.2], "batch": list("aabba")})
    >>> C, names = pde.get_covar_matrix(
    ...     pde.MockAdata(obsm={"covar": table}), numeric_as_category_threshold=None
    ... )
    >>> C.shape, names
    ((5, 3), ['depth', 'batch_b'])
    """
    frame = covariate_frame(find(MemorySlots(adata), covar_key, "covariate"))
    threshold = numeric_as_category_threshold if one_hot_encode else None
    labels = [name for name in frame if not types.is_float_dtype(frame[name].dtype)]
    if labels and not one_hot_encode:
        raise InputError(
            f"covariate {labels[0]!r} is no number; leave one_hot_encode on, or make it one"
        )
    if drop_first:
        encoded = covariates.encode_covariates(frame, add_intercept, standardize, threshold, LINEAR)
    else:
        table = _encode(frame, threshold, drop_first=False)
        encoded = covariates.encode_covariates(table, add_intercept, standardize, None, LINEAR)
    names = encoded.names
    order = sorted(
        range(len(names)),
        key=lambda j: (names[j] != INTERCEPT, names[j] not in frame.columns, j),
    )
    return encoded.matrix[:, order], [names[j] for j in order if names[j] != INTERCEPT]


def encode_categorical_covariates(
    df: pd.DataFrame,
    drop_first: bool = True,
    dummy_na: bool = False,
    numeric_as_category_threshold: int | None = None,
) -> pd.DataFrame:
    """One-hot encode the columns of a covariate table that hold labels; keep the numbers.

    Parameters
    ----------
    df : (N, m) DataFrame
        Covariates.
    drop_first
        Leave out each column's first level.
    dummy_na
        A column ``<name>_nan`` for each column of labels, 1 where the label is missing; without
        it, missing labels are an error.
    numeric_as_category_threshold
        Numbers with at most so many values are labels too; None: never. See
        `programde.screen.covariates.encode_covariates`.

    Returns
    -------
    (N, q) DataFrame, float64
        Numbers first, then indicators; not z-scored, no intercept.

    Examples
    --------
    >>> import pandas as pd, programde as pde
    >>> table = pd.DataFrame({"batch": ["a", "a", "b"], "depth": [1.5, 2.5, 3.5]})
    >>> list(pde.encode_categorical_covariates(table).columns)
    ['depth', 'batch_b']
    """
    missing: dict[str, np.ndarray] = {}
    if dummy_na:
        df = df.copy()
        for name in df.columns:
            if types.is_numeric_dtype(df[name].dtype):
                continue
            gone = df[name].isna().to_numpy()
            missing[f"{text(name)}_nan"] = gone.astype(np.float64)
            if gone.any():
                levels = sorted({text(value) for value in df[name][~gone]})
                # any level will do: its indicators are cleared below
                df[name] = pd.Categorical(
                    [
                        levels[0] if lost else text(v)
                        for v, lost in zip(df[name], gone, strict=True)
                    ],
                    categories=levels,
                )
    table = _encode(covariate_frame(df), numeric_as_category_threshold, drop_first)
    for name, gone in missing.items():
        own = name.removesuffix("nan")
        for column in table.columns[table.columns.str.startswith(own)]:
            table.loc[gone == 1.0, column] = 0.0
        table[name] = gone
    return table


def _encode(frame: pd.DataFrame, threshold: int | None, drop_first: bool) -> pd.DataFrame:
    table = covariates.encode_categorical_covariates(frame, threshold, drop_first)
    numbers = [name for name in table if name in frame.columns]
    return table[[*numbers, *(name for name in table if name not in frame.columns)]]


def compute_guide_burden(
    G: Any,
    *,
    guide_names: Sequence[str] | None = None,
    guide2gene: Mapping[str, str] | None = None,
    ntc_labels: str | Sequence[str] | None = None,
    include_ntc: bool = True,
    count_nonzero: bool = True,
    use_log1p: bool = True,
    guide_threshold: float | None = None,
) -> np.ndarray:
    """Number of guides per cell, control guides among them unless `include_ntc` is False.

    Parameters
    ----------
    G : (N, n_guides)
        Guide matrix; nonzero means present.
    guide_names, guide2gene, ntc_labels
        Guides, the gene of each, and the genes that are controls; needed to leave these out.
    include_ntc
        Whether control guides are counted.
    count_nonzero
        Whether guides are counted; False: their values are summed.
    use_log1p
        log(1 + x) of the number.
    guide_threshold
        From which value on a guide is present.

    Returns
    -------
    (N,) float64
        See `programde.screen.guides.compute_guide_burden`, where control guides are left out by
        default.

    Examples
    --------
    >>> import numpy as np, programde as pde
    >>> pde.compute_guide_burden(np.array([[1, 1], [0, 3]]), use_log1p=False).tolist()
    [2.0, 1.0]
    """
    return held.compute_guide_burden(
        G,
        guide_names=guide_names,
        guide2gene=guide2gene,
        ntc_labels=ntc_labels,
        include_ntc=include_ntc,
        count_nonzero=count_nonzero,
        use_log1p=use_log1p,
        guide_threshold=guide_threshold,
    )


def add_burden_covariate(
    adata: Any,
    *,
    guide_assignment_key: str = "guide_assignment",
    covar_key: str = "covar",
    guide_names_key: str = "guide_names",
    guide2gene_key: str = "guide2gene",
    burden_key: str = "log1p_non_ntc_guides_per_cell",
    ntc_labels: str | Iterable[str] | None = NTC_LABELS,
    include_ntc: bool = False,
    count_nonzero: bool = True,
    use_log1p: bool = True,
    guide_threshold: float | None = None,
) -> pd.DataFrame:
    """Add the number of guides per cell to the covariates in ``adata.obsm[covar_key]``.

    Parameters
    ----------
    adata
        AnnData; modified.
    guide_assignment_key, covar_key, guide_names_key, guide2gene_key
        Where guides, covariates, guide names and the gene of each guide are.
    burden_key
        Name of the new column.
    ntc_labels
        Genes that are controls. Labels that are left at their default and match nothing leave no
        guide out, and that is said; labels that are given must match.
    include_ntc, count_nonzero, use_log1p, guide_threshold
        See `compute_guide_burden`.

    Returns
    -------
    (N, m + 1) DataFrame
        The table that was stored.

    Examples
    --------
    >>> import pandas as pd, programde as pde
    >>> adata = pde.make_sceptre_style_synth(N=400, K=3, n_target_genes=4, seed=0)
    >>> depth = pd.DataFrame({"depth": adata.obsm["covar"][:, 2]}, index=adata.obs_names)
    >>> adata.obsm["covar"] = depth
    >>> pde.add_burden_covariate(adata).columns[-1]
    'log1p_non_ntc_guides_per_cell'
    """
    labels = list([ntc_labels] if isinstance(ntc_labels, str) else ntc_labels or ())
    if not include_ntc and tuple(labels) == NTC_LABELS:
        slots = MemorySlots(adata)
        known = find(slots, guide2gene_key, "guide -> gene map")
        targets = _targets(slots, known, guide_assignment_key, guide_names_key)
        if not targets & set(labels):
            tell(f"no guide has a label of {', '.join(NTC_LABELS)}: all guides are counted")
            labels = []
    return reading.add_burden_covariate(
        adata,
        guide_assignment_key=guide_assignment_key,
        covar_key=covar_key,
        guide_names_key=guide_names_key,
        guide2gene_key=guide2gene_key,
        burden_key=burden_key,
        ntc_labels=labels,
        include_ntc=include_ntc,
        count_nonzero=count_nonzero,
        use_log1p=use_log1p,
        guide_threshold=guide_threshold,
    )


def _targets(slots: Any, mapping: Any, guides_key: str, names_key: str) -> set[str]:
    G = find(slots, guides_key, "guide assignment")
    if isinstance(G, pd.DataFrame):
        names = [text(name) for name in G.columns]
    elif has(slots, names_key):
        names = names_list(find(slots, names_key), names_key)
    else:
        names = []
    return set(held.guide_map(mapping, names).values())
