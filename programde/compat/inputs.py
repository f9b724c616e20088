"""`CRTInputs`: a screen under the names of the original, and the door that makes one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from programde.errors import InputError, nearest, some
from programde.io.anndata import screen_from_anndata
from programde.screen.composition import Floor
from programde.screen.covariates import INTERCEPT
from programde.screen.formula import LINEAR
from programde.screen.screen import Screen, Unit
from programde.threads import limit_threading


@dataclass(eq=False)
class CRTInputs:
    """What the tests need (N cells, K programs, p covariates).

    Attributes
    ----------
    C : (N, p) float64
        Encoded covariates of full column rank: the intercept, then numbers, then indicators.
    Y : (N, K) float64
        Centred log-ratio of `U`.
    A : (p, p) float64
        (C'C)^-1, from the QR decomposition of C.
    CTY : (p, K) float64
        C'Y.
    G : (N, n_guides) csc_matrix, int8
        1 where the guide is present.
    guide_names
        Names of the guides, in column order.
    guide2gene
        Gene of each guide; guides without one are absent.
    gene_to_cols
        Columns of each gene's guides; which genes are tested, and on which guides.
    program_names
        Names of the K programs.
    U : (N, K) float64
        Usages after flooring and renormalising; None: those of which `Y` is the log-ratio.
    R, rank_info
        Of no use here, where ranks are made when they are needed; None.
    usage_eps_quantile
        The level of the quantile that is the floor, where it is one.
    covar_cols
        Names of the columns of `C` but the intercept.
    covar_df_raw : DataFrame or None
        The covariates before encoding; None where they came as an array.
    batch_raw : (N,) object or None
        Batch label of each cell, where there is a batch column.
    floor
        The floor epsilon behind `U`.
    cell_names
        Names of the N cells.
    notes
        What was changed on the user's behalf, one sentence each.
    source
        The `Screen` these arrays come from, for what has no name here.

    Examples
    --------
    >>> import programde as pde
    >>> adata = pde.make_sceptre_style_synth(N=400, K=3, n_target_genes=4, seed=0)
    >>> inputs = pde.prepare_crt_inputs(adata, usage_key="usage")
    >>> inputs.program_names
    ['program_0', 'program_1', 'program_2']
    """

    C: np.ndarray
    Y: np.ndarray
    A: np.ndarray
    CTY: np.ndarray
    G: sparse.csc_matrix
    guide_names: list[str]
    guide2gene: dict[str, str]
    gene_to_cols: dict[str, list[int]]
    program_names: list[str]
    U: np.ndarray | None = None
    R: np.ndarray | None = None
    rank_info: Any = None
    usage_eps_quantile: float | None = None
    covar_cols: list[str] | None = None
    covar_df_raw: pd.DataFrame | None = None
    batch_raw: np.ndarray | None = None
    floor: float = float("nan")
    cell_names: list[str] = field(default_factory=list)
    notes: Sequence[str] = ()
    source: Screen | None = field(default=None, repr=False)

    @property
    def usage(self) -> np.ndarray:
        """`U`, or the composition of which `Y` is the centred log-ratio."""
        if self.U is not None:
            return self.U
        parts = np.exp(self.Y - self.Y.max(axis=1, keepdims=True))
        closed: np.ndarray = parts / parts.sum(axis=1, keepdims=True)
        return closed

    def column_names(self) -> list[str]:
        """Names of all columns of `C`."""
        n, names = self.C.shape[1], list(self.covar_cols or ())
        if len(names) == n:
            return names
        if len(names) == n - 1 and bool((self.C[:, 0] == 1.0).all()):
            return [INTERCEPT, *names]
        return [f"covar_{j}" for j in range(n)]

    @property
    def screen(self) -> Screen:
        """The same arrays as a `Screen`, as the inner rooms see them; nothing is copied."""
        parts: dict[str, Any] = {
            "usage": self.usage,
            "clr": np.asarray(self.Y),
            "floor": self.floor,
            "covariates": self.C,
            "covariate_names": self.column_names(),
            "covariate_tiers": None,  # columns are in another order, and all are always taken
            "covariate_table": self.covar_df_raw,
            "batch": self.batch_raw,
            "guides": sparse.csc_matrix(self.G),
            "guide_names": list(self.guide_names),
            "guide_to_target": self.guide2gene,
            "program_names": list(self.program_names),
            "cell_names": list(self.cell_names) or [f"cell_{i}" for i in range(len(self.Y))],
            "notes": tuple(self.notes),
        }
        if self.source is None:
            return Screen(**parts)
        if self.G.shape != self.source.guides.shape:
            parts["ambiguous"] = None  # of other cells or guides than these
        return replace(self.source, **parts)

    @classmethod
    def of_screen(cls, screen: Screen, eps_quantile: float | None = None) -> CRTInputs:
        """The same arrays under the names of the original, covariates in its order."""
        order = _numbers_first(screen)
        C = screen.covariates
        if order != sorted(order):
            C = np.ascontiguousarray(C[:, order])
        names = [screen.covariate_names[j] for j in order]
        inverse: np.ndarray = np.asarray(np.linalg.inv(np.linalg.qr(C, mode="r")))
        return cls(
            C=C,
            Y=screen.clr,
            A=inverse @ inverse.T,
            CTY=C.T @ screen.clr,
            G=screen.guides,
            guide_names=list(screen.guide_names),
            guide2gene=dict(screen.guide_to_target),
            gene_to_cols=screen.target_columns(),
            program_names=list(screen.program_names),
            U=screen.usage,
            usage_eps_quantile=eps_quantile,
            covar_cols=names[1:] if names[:1] == [INTERCEPT] else names,
            covar_df_raw=screen.covariate_table,
            batch_raw=screen.batch,
            floor=screen.floor,
            cell_names=list(screen.cell_names),
            notes=tuple(screen.notes),
            source=screen,
        )


def prepare_crt_inputs(
    adata: Any,
    usage_key: str = "cnmf_usage",
    covar_key: str = "covar",
    guide_assignment_key: str = "guide_assignment",
    guide_names_key: str = "guide_names",
    guide2gene_key: str = "guide2gene",
    eps_quantile: float = 1e-4,
    add_intercept: bool = True,
    standardize: bool = True,
    numeric_as_category_threshold: int | None = 20,
    batch_key: str = "batch",
    clamp_threads: bool = True,
    *,
    floor: Floor | None = None,
    on_empty: str = "error",
    guide_threshold: float | None = None,
    guide_absent_below: float | None = None,
    multi_target_guides: str = "error",
    moi: str | None = None,
) -> CRTInputs:
    """Check, align and transform what an AnnData holds.

    Parameters
    ----------
    adata
        AnnData of N cells, not modified. Keys are looked for in obsm, layers, obsp, uns and obs.
    usage_key, covar_key, guide_assignment_key, guide_names_key, guide2gene_key
        See `programde.io.anndata.screen_from_anndata`.
    eps_quantile
        The floor is this quantile of all usages (of the positive ones where that is 0, with a
        warning).
    add_intercept, standardize, numeric_as_category_threshold
        See `programde.screen.covariates.encode_covariates`.
    batch_key
        Column of the covariates that holds the batch; the default name may be absent.
    clamp_threads
        Limit the linear algebra libraries of this process to one thread (`limit_threading`).
    floor
        Another kind of floor, in place of `eps_quantile`.
    on_empty
        Cells whose usages are all 0: ``"error"`` or ``"drop"``.
    guide_threshold, guide_absent_below, multi_target_guides, moi
        What counts as a guide that is present, what as neither; guides of several targets; whether
        cells are known to hold many guides: see `programde.screen.build.build_screen`.

    Returns
    -------
    CRTInputs
        What `run_all_genes_union_crt` and its kin take.

    Raises
    ------
    InputError
        A key that is nowhere, or parts that do not fit together.
    OptionError
        An option outside its range.

    Examples
    --------
    >>> import programde as pde
    >>> adata = pde.make_sceptre_style_synth(N=400, K=3, n_target_genes=4, seed=0)
    >>> inputs = pde.prepare_crt_inputs(adata, usage_key="usage")
    >>> inputs.C.shape, inputs.Y.shape, list(inputs.gene_to_cols)[:2]
    ((400, 9), (400, 3), ['GENE00000', 'GENE00001'])
    """
    if clamp_threads:
        limit_threading()
    screen = screen_from_anndata(
        adata,
        usage_key=usage_key,
        covar_key=covar_key,
        guide_assignment_key=guide_assignment_key,
        guide_names_key=guide_names_key,
        guide2gene_key=guide2gene_key,
        batch_key=batch_key,
        floor=Floor("quantile", eps_quantile=eps_quantile) if floor is None else floor,
        add_intercept=add_intercept,
        standardize=standardize,
        numeric_as_category_threshold=numeric_as_category_threshold,
        formula=LINEAR,
        on_empty=on_empty,
        guide_threshold=guide_threshold,
        guide_absent_below=guide_absent_below,
        multi_target_guides=multi_target_guides,
        moi=moi,
    )
    return CRTInputs.of_screen(screen, eps_quantile if floor is None else None)


def _numbers_first(screen: Screen) -> list[int]:
    """Columns of the covariates: the intercept, those that stayed numbers, then indicators."""
    columns = range(len(screen.covariate_names))
    table = screen.covariate_table
    if table is None:  # an array: its columns are covar_0, covar_1 ...
        numbers = {j for j in columns if screen.covariate_names[j].count("_") == 1}
    else:
        known = {str(name) for name in table.columns}
        numbers = {j for j in columns if screen.covariate_names[j] in known}
    first = {j for j in columns if screen.covariate_names[j] == INTERCEPT}
    return sorted(columns, key=lambda j: (j not in first, j not in numbers, j))


def gene_units(inputs: CRTInputs, genes: str | Sequence[str] | None = None) -> list[Unit]:
    """One unit per gene, in the order asked (default: all, sorted).

    Raises
    ------
    InputError
        A gene without guides, a gene named twice, or no gene at all.
    """
    known = inputs.gene_to_cols
    names = sorted(known) if genes is None else [genes] if isinstance(genes, str) else list(genes)
    if not names:
        raise InputError("genes is empty; name at least one, or leave it out to test all")
    twice = sorted({str(name) for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"genes named more than once: {some(twice)}")
    for name in names:
        if name not in known:
            raise InputError(f"gene {name!r} has no guide{nearest(name, known)}")
    return [_unit(inputs, str(name), known[name]) for name in names]


def guide_set_columns(inputs: CRTInputs, guides: Sequence[Any] | np.ndarray) -> list[int]:
    """Columns of a set of guides given by column number or by name, ascending, each once.

    Raises
    ------
    InputError
        A guide that does not exist, or none.
    """
    given = [guides] if isinstance(guides, str | int | np.integer) else list(guides)
    index: Mapping[str, int] = {name: c for c, name in enumerate(inputs.guide_names)}
    columns: set[int] = set()
    for guide in given:
        if isinstance(guide, int | np.integer) and not isinstance(guide, bool):
            if not 0 <= int(guide) < len(inputs.guide_names):
                raise InputError(
                    f"guide column {guide} does not exist: there are {len(inputs.guide_names)}"
                )
            columns.add(int(guide))
        elif str(guide) in index:
            columns.add(index[str(guide)])
        else:
            raise InputError(f"guide {guide!r} is not in the screen{nearest(guide, index)}")
    if not columns:
        raise InputError("the guide set is empty; give column numbers or names of guides")
    return sorted(columns)


def guide_set_unit(inputs: CRTInputs, guides: Sequence[Any] | np.ndarray) -> Unit:
    """A set of guides as a unit under its canonical name: the same set is the same unit."""
    from programde.controls.groups import group_unit_name

    columns = guide_set_columns(inputs, guides)
    return _unit(inputs, group_unit_name(inputs.guide_names[c] for c in columns), columns)


def _unit(inputs: CRTInputs, name: str, columns: Sequence[int]) -> Unit:
    return Unit(name, tuple(inputs.guide_names[c] for c in columns), tuple(columns))
