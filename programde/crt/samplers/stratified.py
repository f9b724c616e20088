"""Sampler `stratified_perm`: the treated cells are permuted within strata of like propensity.

Strata are batch x propensity quantile bin x, if asked, burden bin. Within stratum s exactly m_s of
its n_s cells are treated in each resample, m_s being the observed number: drawn without
replacement. Strata smaller than `min_stratum_size` are merged with the next bin of their batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from programde.crt.population import Population
from programde.errors import InputError, OptionError, check_choice, nearest
from programde.option_fields import MANY, check_options, option
from programde.tails.linearised import Linearised
from programde.tails.log_tails import LogTails

DEFAULT_BATCH_KEY = "batch"
BIN_METHODS = ("quantile", "uniform")


def compute_bins(
    values: np.ndarray,
    n_bins: int,
    method: str = "quantile",
    clip_quantiles: tuple[float, float] = (0.0, 1.0),
) -> tuple[np.ndarray, int, np.ndarray]:
    """Cut values into bins.

    Parameters
    ----------
    values : (n,) float
        Finite values.
    n_bins
        Number of bins asked for; ties may leave fewer.
    method
        ``"quantile"``: bins of equal count; ``"uniform"``: bins of equal width.
    clip_quantiles
        Values beyond these quantiles are taken as the quantiles, before binning.

    Returns
    -------
    bin_id : (n,) int64
        From 0, without gaps.
    n_bins_effective : int
    edges : (n_bins_effective + 1,) float64
        Bin j holds edges[j] <= value < edges[j + 1], the last bin its upper edge too.

    Raises
    ------
    OptionError
        If n_bins < 1, the method is unknown or the quantiles are not 0 <= low < high <= 1.
    InputError
        If a value is not finite.
    """
    check_choice("method", method, BIN_METHODS)
    if int(n_bins) < 1:
        raise OptionError(f"n_bins={n_bins} must be at least 1")
    low, high = clip_quantiles
    if not 0.0 <= low < high <= 1.0:
        raise OptionError(f"clip_quantiles={clip_quantiles} must be 0 <= low < high <= 1")
    values = np.asarray(values, dtype=np.float64)
    if not np.isfinite(values).all():
        raise InputError(f"{int((~np.isfinite(values)).sum())} values to be binned are not finite")
    if values.size == 0:
        return np.empty(0, dtype=np.int64), 0, np.empty(0)
    if (low, high) != (0.0, 1.0):
        values = np.clip(values, *np.quantile(values, [low, high]))
    if method == "quantile":
        edges = np.quantile(values, np.linspace(0.0, 1.0, int(n_bins) + 1))
    else:
        edges = np.linspace(values.min(), values.max(), int(n_bins) + 1)
    inner = np.unique(edges[1:-1])
    raw = np.searchsorted(inner, values, side="right")
    used, bin_id = np.unique(raw, return_inverse=True)
    bounds = np.concatenate([[values.min()], inner[used[1:] - 1], [values.max()]])
    return bin_id.astype(np.int64).reshape(-1), int(used.size), bounds


def quantiles(values: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Quantiles (type 7, linear interpolation) of positive values at ascending levels."""
    from programde.crt.kernels.strata import order_statistics

    if levels.size == 0 or values.size == 0:
        return np.empty(0)
    place = levels * (values.size - 1)
    below = np.floor(place).astype(np.int64)
    ranks = np.unique(np.concatenate([below, np.minimum(below + 1, values.size - 1)]))
    found = np.empty(ranks.size)
    order_statistics(np.ascontiguousarray(values), ranks, found)
    low = found[np.searchsorted(ranks, below)]
    high = found[np.searchsorted(ranks, np.minimum(below + 1, values.size - 1))]
    return low + (high - low) * (place - below)


def merge_small(sizes: np.ndarray, parents: np.ndarray, smallest: int) -> np.ndarray:
    """Which strata are merged so that each holds at least `smallest` cells.

    A stratum that is too small takes in the next one of its parent, and so on; a last one that
    stays too small joins the group before it. Nothing is merged across parents, so a parent that
    is too small as a whole stays one small stratum.

    Parameters
    ----------
    sizes : (S,) int
        Cells of each stratum, neighbours being neighbouring bins.
    parents : (S,) int
        Parent (batch) of each stratum, ascending.
    smallest
        Smallest number of cells wanted.

    Returns
    -------
    group : (S,) int64
        Group of each stratum, from 0 without gaps, in order; strata without cells share their
        neighbour's group.
    """
    group = np.zeros(sizes.size, dtype=np.int64)
    current, held, parent = -1, 0, -1
    first_of_parent = 0
    for s in range(sizes.size):
        if parents[s] != parent:
            if current > first_of_parent and held < smallest:
                group[:s][group[:s] == current] -= 1
                current -= 1
            parent, held = parents[s], 0
            current += 1
            first_of_parent = current
        elif held >= smallest:
            current, held = current + 1, 0
        group[s] = current
        held += sizes[s]
    if current > first_of_parent and held < smallest:
        group[group == current] -= 1
    return group


@dataclass(frozen=True, eq=False)
class StratifiedLaw:
    """The law of one unit's permuted indicator.

    Attributes
    ----------
    order : (n,) int64
        Cells, stratum after stratum.
    starts : (S + 1,) int64
        Stratum s holds ``order[starts[s]:starts[s + 1]]``.
    totals : (S,) int64
        Treated cells of each stratum.
    """

    order: np.ndarray
    starts: np.ndarray
    totals: np.ndarray

    def sums(
        self, rows: np.ndarray, n_draws: int, key: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Sums of `rows` over the treated cells; see `BernoulliLaw.sums`."""
        from programde.crt.kernels.rows import aligned_zeros
        from programde.crt.kernels.sums import stratified_sums

        sums = aligned_zeros(n_draws, rows.shape[1])
        stratified_sums(
            self.order, self.starts, self.totals, rows, n_draws, np.uint64(key[0]), sums
        )
        return sums, np.full(n_draws, self.totals.sum(), dtype=np.int64)

    def indices(self, n_draws: int, key: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same draws as `sums`: resample b holds ``indices[indptr[b]:indptr[b + 1]]``."""
        from programde.crt.kernels.sums import stratified_indices

        return stratified_indices(self.order, self.starts, self.totals, n_draws, np.uint64(key[0]))

    @property
    def sizes(self) -> np.ndarray:
        """Cells of each stratum (S,)."""
        return np.diff(self.starts)

    def mean(self) -> np.ndarray:
        """E x~ (n,): the treated share of the cell's stratum."""
        out = np.empty(self.order.size)
        out[self.order] = np.repeat(self.totals / self.sizes, self.sizes)
        return out

    def count_moments(self) -> tuple[float, float]:
        """Mean and variance of the number of treated cells."""
        return float(self.totals.sum()), 0.0

    def covariance_trace(self, basis: np.ndarray, squares: np.ndarray | None = None) -> float:
        """trace(Q' V Q), V the covariance of x~ and Q = `basis` (n, p); `squares` as in
        `BernoulliLaw.covariance_trace`.

        Within a stratum V is f (1 - f) n / (n - 1) times the centring matrix, f = m / n.
        """
        from scipy.sparse import csr_array

        sizes = self.sizes
        # rows are strata: their sums over cells without putting the cells in order first
        members = csr_array(
            (np.ones(self.order.size), self.order, self.starts),
            shape=(sizes.size, self.order.size),
        )
        if squares is None:
            squares = np.einsum("ij,ij->i", basis, basis)
        sums = members @ basis
        spread = members @ squares - np.einsum("sj,sj->s", sums, sums) / sizes
        share = self.totals / sizes
        factor = np.where(sizes > 1, share * (1 - share) * sizes / np.maximum(sizes - 1, 1), 0.0)
        return float(factor @ spread)

    @classmethod
    def exact_tails(
        cls, summands: np.ndarray, laws: Sequence[StratifiedLaw], events: Sequence[Linearised]
    ) -> list[LogTails]:
        """Exact tails of some units; see `crt.protocols.ExactLaw`."""
        from programde.tails.exact import stratified_tails

        return [
            stratified_tails(
                summands.T,
                event.tau,
                event.weights,
                event.threshold,
                law.order,
                law.starts,
                law.totals,
                basis=event.basis,
                curvature=event.curvature,
            )
            for law, event in zip(laws, events, strict=True)
        ]


@dataclass(frozen=True)
class StratifiedPermutation:
    """Permutation within batch x propensity bin x burden bin.

    Parameters
    ----------
    n_bins
        Propensity quantile bins.
    stratify_by_batch
        Whether strata stay within a batch (where the screen has batches).
    batch_key
        Column of the covariate table that holds the batch. The default means the screen's own
        batch labels where it has any, and no batch where there is no such column; any other name
        must exist.
    min_stratum_size
        Strata with fewer cells are merged.
    burden_key
        Column of the covariate table by which to stratify as well (guides per cell, say).
    n_burden_bins, burden_bin_method, burden_clip_quantiles
        How the burden is binned; see `compute_bins`.
    """

    n_bins: int = option(20, minimum=1, maximum=MANY)
    stratify_by_batch: bool = True
    batch_key: str = DEFAULT_BATCH_KEY
    min_stratum_size: int = option(2, minimum=1)
    burden_key: str | None = None
    n_burden_bins: int = option(8, minimum=1, maximum=MANY)
    burden_bin_method: str = option("quantile", choices=BIN_METHODS)
    burden_clip_quantiles: tuple[float, float] = option((0.0, 1.0), minimum=0, maximum=1)

    name = "stratified_perm"

    def __post_init__(self) -> None:
        check_options(self)
        low, high = self.burden_clip_quantiles
        if not low < high:
            raise OptionError(
                f"burden_clip_quantiles={[low, high]} is not allowed: must be two rising numbers"
            )

    def prepare(self, population: Population) -> StrataOf:
        """Batches and burden bins of a population, shared by its units.

        Raises
        ------
        InputError
            If the population has no column `burden_key` or `batch_key`, or the burden is not
            numeric.
        """
        batch = self._batch(population)
        n_batches = int(batch.max(initial=0)) + 1
        burden = self._burden(population)
        burden_bins, n_burden = np.zeros(batch.size, dtype=np.int64), 1
        if burden is not None:
            burden_bins, n_burden, _ = compute_bins(
                burden, self.n_burden_bins, self.burden_bin_method, self.burden_clip_quantiles
            )
        return StrataOf(
            batch=batch,
            n_batches=n_batches,
            burden=burden_bins,
            n_burden=n_burden,
            n_bins=int(self.n_bins),
            min_stratum_size=int(self.min_stratum_size),
        )

    def _batch(self, population: Population) -> np.ndarray:
        if not self.stratify_by_batch:
            return np.zeros(population.n_cells, dtype=np.int64)
        columns = [] if population.table is None else list(population.table.columns)
        labels = population.batch
        if self.batch_key != DEFAULT_BATCH_KEY or labels is None:
            if population.table is not None and self.batch_key in columns:
                labels = population.table[self.batch_key].to_numpy()
            elif self.batch_key != DEFAULT_BATCH_KEY:
                raise InputError(
                    f"batch_key={self.batch_key!r} is not a covariate"
                    f"{nearest(self.batch_key, columns)}"
                )
        if labels is None:
            return np.zeros(population.n_cells, dtype=np.int64)
        return np.unique(labels.astype(str), return_inverse=True)[1].reshape(-1).astype(np.int64)

    def _burden(self, population: Population) -> np.ndarray | None:
        if self.burden_key is None:
            return None
        columns = [] if population.table is None else list(population.table.columns)
        if population.table is None or self.burden_key not in columns:
            raise InputError(
                f"burden_key={self.burden_key!r} is not a covariate"
                f"{nearest(self.burden_key, columns)}"
            )
        try:
            return population.table[self.burden_key].to_numpy(dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise InputError(f"burden_key={self.burden_key!r} is not numeric") from error


@dataclass(frozen=True, eq=False)
class StrataOf:
    """What the strata of all units of a population have in common.

    Attributes
    ----------
    batch, burden : (n,) int64
        Batch and burden bin of each cell; `n_batches` and `n_burden` of them.
    """

    batch: np.ndarray
    n_batches: int
    burden: np.ndarray
    n_burden: int
    n_bins: int
    min_stratum_size: int

    def law(self, p: np.ndarray, treated: np.ndarray) -> StratifiedLaw:
        """The law of a unit with propensity `p` (n,) and treated places `treated`."""
        from programde.crt.kernels.strata import bins_by_edges, counting_sort, stratum_codes

        edges = np.unique(quantiles(p, np.arange(1, self.n_bins) / self.n_bins))
        bins = np.empty(p.size, dtype=np.int32)
        bins_by_edges(p, edges, bins)
        n_bins = edges.size + 1
        codes = np.empty(p.size, dtype=np.int64)
        sizes = np.zeros(self.n_batches * n_bins * self.n_burden, dtype=np.int64)
        stratum_codes(bins, n_bins, self.batch, self.burden, self.n_burden, codes, sizes)
        parents = np.repeat(np.arange(self.n_batches), n_bins * self.n_burden)
        group = merge_small(sizes, parents, self.min_stratum_size)
        merged = np.bincount(group, weights=sizes).astype(np.int64)
        # a batch without cells leaves an empty group, which is no stratum
        filled = np.flatnonzero(merged)
        renumber = np.full(merged.size, -1, dtype=np.int64)
        renumber[filled] = np.arange(filled.size)
        starts = np.concatenate([[0], np.cumsum(merged[filled])])
        order = np.empty(p.size, dtype=np.int64)
        counting_sort(codes, renumber[group], starts[:-1], order)
        totals = np.bincount(codes[treated], minlength=filled.size).astype(np.int64)
        return StratifiedLaw(order=order, starts=starts, totals=totals)
