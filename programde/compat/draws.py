"""Resamples as explicit index lists, and tests computed from them by the textbook formula.

For whoever wants to look at the draws. Resample b holds the cells
``indices[indptr[b]:indptr[b + 1]]``. The samplers make the draws of the fused kernels: given the
key of a unit's stream they are the very draws behind its p-values,

    key = programde.streams.stream_key(base_seed, "crt", gene)
    indptr, indices = crt_index_sampler_fast_numba(p, B, key)

An integer seed stands for ``stream_key(seed)``.

With Y the outcome, C the covariates, A = (C'C)^-1 and x the indicator of the treated cells,

    beta = (x'Y - x'C A C'Y) / (x'x - x'C A C'x)

which is the coefficient of x in the regression of Y on x and C.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from programde.calibration.empirical import empirical_p
from programde.compat.settings import whole_number
from programde.crt.null_summary import summarise
from programde.crt.samplers.bernoulli import BernoulliLaw
from programde.crt.samplers.bins import compute_bins
from programde.crt.samplers.stratified import StrataOfEqualCount
from programde.errors import InputError, OptionError, check_choice, tell
from programde.streams import stream_key

Seed = int | np.ndarray
_NEVER, _ALWAYS = 1e-16, 1.0 - 2.0**-53
#: A resample with d below this share of its treated cells has the value 0, as in the kernels.
_USELESS = 1e-6
#: Collinear with the covariates, where d is a difference of sums and (C'C)^-1 carries rounding.
_COLLINEAR = 1e-9


def crt_index_sampler_fast_numba(
    p: np.ndarray, B: int, seed: Seed
) -> tuple[np.ndarray, np.ndarray]:
    """Resamples in which cell i is treated with probability p_i, independently.

    Parameters
    ----------
    p : (N,)
        Probabilities.
    B
        Number of resamples.
    seed
        An integer, or a key from `programde.streams.stream_key`.

    Returns
    -------
    indptr : (B + 1,) int64
        Where each resample begins in `indices`.
    indices : (indptr[-1],) int64
        Treated cells, ascending within a resample.

    Raises
    ------
    InputError
        Values of `p` that are no probabilities.

    Examples
    --------
    >>> import numpy as np, programde as pde
    >>> indptr, indices = pde.crt_index_sampler_fast_numba(np.array([0.0, 1.0, 0.0]), 2, seed=0)
    >>> indptr.tolist(), indices.tolist()
    ([0, 1, 2], [1, 1])
    """
    p = np.asarray(p, dtype=np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise InputError(f"p must be a vector of probabilities; its shape is {p.shape}")
    return BernoulliLaw(np.clip(p, _NEVER, _ALWAYS)).indices(_number_of_draws(B), _key(seed))


bernoulli_index_sampler = crt_index_sampler_fast_numba


def stratified_permutation_sampler(
    x_obs: np.ndarray,
    p_hat: np.ndarray,
    B: int,
    seed: Seed,
    batch_raw: np.ndarray | None = None,
    n_bins: int = 20,
    stratify_by_batch: bool = True,
    min_stratum_size: int = 2,
    burden_values: np.ndarray | None = None,
    n_burden_bins: int = 8,
    burden_bin_method: str = "quantile",
    burden_clip_quantiles: tuple[float, float] = (0.0, 1.0),
) -> tuple[np.ndarray, np.ndarray]:
    """Resamples in which treated cells are permuted within strata of like propensity.

    Parameters
    ----------
    x_obs : (N,)
        Observed indicator, 0 or 1.
    p_hat : (N,)
        Propensities.
    B
        Number of resamples.
    seed
        An integer, or a key from `programde.streams.stream_key`.
    batch_raw : (N,), optional
        Batch labels.
    n_bins, stratify_by_batch, min_stratum_size
        See `programde.crt.samplers.stratified.StratifiedPermutation`.
    burden_values : (N,), optional
        Guides per cell, say, by which to stratify as well.
    n_burden_bins, burden_bin_method, burden_clip_quantiles
        How they are binned, see `compute_bins`.

    Returns
    -------
    indptr : (B + 1,) int64
        Where each resample begins in `indices`.
    indices : (B * sum(x_obs),) int64
        Treated cells, as many in each resample as were observed.

    Raises
    ------
    InputError
        Vectors of different lengths, or an indicator that is not 0 and 1.
    OptionError
        A number of bins below 1.

    Examples
    --------
    >>> import numpy as np, programde as pde
    >>> x, p = np.array([1, 0, 1, 0, 0]), np.full(5, 0.4)
    >>> indptr, _ = pde.stratified_permutation_sampler(x, p, 3, seed=0, n_bins=1)
    >>> indptr.tolist()
    [0, 2, 4, 6]
    """
    x = np.asarray(x_obs)
    p = np.ascontiguousarray(p_hat, dtype=np.float64)
    n = x.size
    for name, given in (("p_hat", p), ("batch_raw", batch_raw), ("burden_values", burden_values)):
        if given is not None and np.shape(given) != (n,):
            raise InputError(f"{name} has shape {np.shape(given)} for {n} cells")
    if x.ndim != 1 or not np.isin(x, (0, 1)).all():
        raise InputError("x_obs must hold 0 and 1 only, one per cell")
    if not ((p >= 0) & (p <= 1)).all():
        raise InputError("p_hat must hold probabilities")
    for key, value in (("n_bins", n_bins), ("min_stratum_size", min_stratum_size)):
        if whole_number(key, value) < 1:
            raise OptionError(f"{key}={value} must be at least 1")
    check_choice("burden_bin_method", burden_bin_method, ("quantile", "uniform"))
    batch = np.zeros(n, dtype=np.int64)
    if stratify_by_batch and batch_raw is not None:
        labels = np.asarray(batch_raw).astype(str)
        batch = np.unique(labels, return_inverse=True)[1].reshape(-1).astype(np.int64)
    burden, n_burden = np.zeros(n, dtype=np.int64), 1
    if burden_values is not None:
        values = np.asarray(burden_values, dtype=np.float64)
        burden, n_burden, _ = compute_bins(
            values, n_burden_bins, burden_bin_method, burden_clip_quantiles
        )
    strata = StrataOfEqualCount(
        batch=batch,
        n_batches=int(batch.max(initial=0)) + 1,
        burden=burden,
        n_burden=n_burden,
        n_bins=int(n_bins),
        min_stratum_size=int(min_stratum_size),
    )
    law = strata.law(p, np.flatnonzero(x))
    return law.indices(_number_of_draws(B), _key(seed))


def crt_betas_for_gene(
    indptr: np.ndarray,
    indices: np.ndarray,
    C: np.ndarray,
    Y: np.ndarray,
    A: np.ndarray,
    CTY: np.ndarray,
    obs_idx: np.ndarray,
    B: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Observed and resampled OLS effects from explicit draws.

    Parameters
    ----------
    indptr, indices
        Draws, from one of the samplers.
    C : (N, p)
        Covariates.
    Y : (N, K)
        Outcome.
    A : (p, p)
        The inverse (C'C)^-1.
    CTY : (p, K)
        The product C'Y.
    obs_idx : (n1,)
        Treated cells.
    B
        Number of resamples to use, at most those drawn.

    Returns
    -------
    beta_obs : (K,) float64
        0 where the indicator is collinear with the covariates, with a warning.
    beta_null : (B, K) float64
        0 for a resample without treated cells, or collinear with the covariates.

    Examples
    --------
    >>> import numpy as np, programde as pde
    >>> adata = pde.make_sceptre_style_synth(N=400, K=3, n_target_genes=4, seed=0)
    >>> inputs = pde.prepare_crt_inputs(adata, usage_key="usage")
    >>> cells = pde.union_obs_idx_from_cols(inputs.G, inputs.gene_to_cols["GENE00000"])
    >>> draws = pde.crt_index_sampler_fast_numba(np.full(400, 0.1), 99, seed=0)
    >>> _, null = pde.crt_betas_for_gene(
    ...     *draws, inputs.C, inputs.Y, inputs.A, inputs.CTY, cells, 99
    ... )
    >>> null.shape
    (99, 3)
    """
    B = _number_of_draws(B)
    indptr = np.asarray(indptr)
    if indptr.size - 1 < B:
        raise InputError(f"B={B}, but only {indptr.size - 1} resamples were drawn")
    n = len(Y)
    used = np.asarray(indices)[: indptr[B]]
    ones = np.ones(used.size)
    X = sparse.csr_matrix((ones, used, indptr[: B + 1]), shape=(B, n))
    null, d, n1 = _effects(X, C, Y, A, CTY)
    null[~(d > _USELESS * np.maximum(n1, 1))] = 0.0
    cells = np.asarray(obs_idx)
    row = np.zeros(cells.size, dtype=np.int64)
    x = sparse.csr_matrix((np.ones(cells.size), (row, cells)), shape=(1, n))
    observed, d, n1 = _effects(x, C, Y, A, CTY)
    if not d[0] > _COLLINEAR * n1[0]:
        tell("the treated cells are collinear with the covariates: effects set to 0, p-values to 1")
        observed[:] = 0.0
    return observed[0], null


def crt_pvals_for_gene(
    indptr: np.ndarray,
    indices: np.ndarray,
    C: np.ndarray,
    Y: np.ndarray,
    A: np.ndarray,
    CTY: np.ndarray,
    obs_idx: np.ndarray,
    B: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Two-sided raw p-values from explicit draws.

    Parameters
    ----------
    indptr, indices, C, Y, A, CTY, obs_idx, B
        See `crt_betas_for_gene`.

    Returns
    -------
    pvals : (K,) float64
        (1 + number of draws with an effect at least as large, whatever its sign) / (B + 1); 1
        without treated or control cells or draws.
    beta_obs : (K,) float64
        0 without treated or control cells, or collinear with the covariates.

    Examples
    --------
    >>> import numpy as np, programde as pde
    >>> adata = pde.make_sceptre_style_synth(N=400, K=3, n_target_genes=4, seed=0)
    >>> inputs = pde.prepare_crt_inputs(adata, usage_key="usage")
    >>> cells = pde.union_obs_idx_from_cols(inputs.G, inputs.gene_to_cols["GENE00000"])
    >>> draws = pde.crt_index_sampler_fast_numba(np.full(400, 0.1), 99, seed=0)
    >>> p, beta = pde.crt_pvals_for_gene(
    ...     *draws, inputs.C, inputs.Y, inputs.A, inputs.CTY, cells, 99
    ... )
    >>> bool((p >= 0.01).all())
    True
    """
    n_treated, n_programs = len(obs_idx), np.shape(Y)[1]
    if _number_of_draws(B) == 0 or n_treated in (0, len(Y)):
        return np.ones(n_programs), np.zeros(n_programs)
    observed, null = crt_betas_for_gene(indptr, indices, C, Y, A, CTY, obs_idx, B)
    p = empirical_p(summarise(null, observed))[0]
    return p, observed


def compute_ols_denom(C: np.ndarray, x: np.ndarray) -> float:
    """The information d = x'M_C x = n1 - x'C (C'C)^-1 C'x in an indicator x.

    Parameters
    ----------
    C : (N, p)
        Covariates, of full column rank.
    x : (N,)
        Indicator of treatment, 0 or 1.

    Returns
    -------
    float
        Cells' worth of information in x that the covariates leave.

    Raises
    ------
    InputError
        `x` is not an indicator of N cells (a list of treated cells, say).

    Examples
    --------
    >>> import numpy as np, programde as pde
    >>> pde.compute_ols_denom(np.ones((4, 1)), np.array([1, 1, 0, 0]))
    1.0
    """
    C, x = _indicator(C, x)
    R: np.ndarray = np.asarray(np.linalg.qr(C, mode="r"))
    part = np.linalg.solve(R.T, C.T @ x)
    return float(x.sum() - part @ part)


def compute_ols_denom_reference(C: np.ndarray, x: np.ndarray) -> float:
    """`compute_ols_denom` as the squared length of what a regression on C leaves of x.

    Parameters
    ----------
    C, x
        See `compute_ols_denom`.

    Returns
    -------
    float
        The same to rounding.

    Examples
    --------
    >>> import numpy as np, programde as pde
    >>> pde.compute_ols_denom_reference(np.ones((4, 1)), np.array([1, 1, 0, 0]))
    1.0
    """
    C, x = _indicator(C, x)
    rest = x - C @ np.linalg.lstsq(C, x, rcond=None)[0]
    return float(rest @ rest)


def _effects(
    X: sparse.csr_matrix, C: np.ndarray, Y: np.ndarray, A: np.ndarray, CTY: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """beta (R, K), d (R,) and n1 (R,) of the indicators in the rows of X (R, N)."""
    xc = np.asarray(X @ C)
    projected = xc @ A
    n1 = np.asarray(X.sum(axis=1)).ravel()
    d = n1 - np.einsum("rj,rj->r", projected, xc)
    numerator = np.asarray(X @ Y) - projected @ CTY
    usable = d > 0
    beta = np.zeros(numerator.shape)
    np.divide(numerator, d[:, None], out=beta, where=usable[:, None])
    return beta, d, n1


def _number_of_draws(B: int) -> int:
    return max(0, whole_number("B", B))


def _key(seed: Seed) -> np.ndarray:
    if isinstance(seed, np.ndarray) and seed.size > 1:
        return seed
    return stream_key(whole_number("seed", seed))


def _indicator(C: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values = np.asarray(C, dtype=np.float64)
    given = np.asarray(x, dtype=np.float64)
    if given.shape != (len(values),) or not np.isin(given, (0.0, 1.0)).all():
        raise InputError(
            f"x must hold 0 and 1, one per cell: shape {given.shape} for {len(values)} cells; of "
            "treated cells' numbers make it with x = np.isin(np.arange(len(C)), cells)"
        )
    return values, given
