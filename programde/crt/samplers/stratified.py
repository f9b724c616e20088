"""Sampler `stratified_perm`: the treated cells are permuted within strata of like propensity.

Strata are batch x, if asked, burden bin x propensity bin. Within stratum s exactly m_s of its n_s
cells are treated in each resample, m_s being the observed number: drawn without replacement.

Within a stratum all cells count as equally likely to be treated, so its propensities should be
alike where the treated cells are. Bins of equal cell count do not see to that: under strong
confounding most treated cells share the last few bins. The bins are therefore cut at quantiles of
the cumulated propensity, each expecting as many treated cells, and there are no more of them than
leave something to permute in each. ``bins_by="cells"`` cuts by cell count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import pandas as pd

from programde.crt.population import Population
from programde.crt.samplers.bins import BIN_METHODS, compute_bins, merge_small, quantiles
from programde.errors import InputError, OptionError, nearest
from programde.option_fields import MANY, check_options, option
from programde.tails.linearised import Linearised
from programde.tails.log_tails import LogTails

DEFAULT_BATCH_KEY = "batch"
BINS_BY = ("expected", "cells")
#: Treated and untreated cells that each bin is to expect where bins are cut by expectation (with 2
#: treated ones ranks of 15 to 49 cells had p < .01 two to three times too often where covariates
#: act curved or with slopes by batch, with 1 as often as they may; least squares do not mind)...
TREATED_WANTED, UNTREATED_WANTED = 1.0, 5.0
#: ...and the share of them below which a bin joins its neighbour. Bins expect as many treated
#: cells by the way they are cut, but the likeliest cells may leave hardly an untreated one.
TOO_FEW = 0.5


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

    def sums_at(
        self, where: np.ndarray, rows: np.ndarray, tail: np.ndarray, n_draws: int, key: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """See `BernoulliLaw.sums_at`."""
        from programde.crt.kernels.rows import aligned_zeros
        from programde.crt.kernels.sums import stratified_sums_at

        sums = aligned_zeros(n_draws, tail.shape[1])
        law = (self.order, self.starts, self.totals)
        stratified_sums_at(*law, where, rows, tail, n_draws, np.uint64(key[0]), sums)
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


class Cells(Protocol):
    """What of a population the strata are made of."""

    @property
    def batch(self) -> np.ndarray | None:
        """Labels (n,)."""

    @property
    def table(self) -> pd.DataFrame | None:
        """The covariates before encoding."""

    @property
    def n_cells(self) -> int:
        """How many cells."""


@dataclass(frozen=True)
class StratifiedPermutation:
    """Permutation within batch x propensity bin x burden bin.

    Parameters
    ----------
    n_bins
        Propensity bins: at most so many within each batch and burden bin (``"expected"``), or so
        many quantile bins over all cells (``"cells"``).
    bins_by
        ``"expected"``: each bin expects as many treated cells, about 1 at least, and about 5
        untreated ones; ``"cells"``: each holds as many cells, whatever their propensities.
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

    Examples
    --------
    >>> import programde as pde
    >>> pde.StratifiedPermutation(n_bins=10).min_stratum_size
    2
    """

    n_bins: int = option(20, minimum=1, maximum=MANY)
    bins_by: str = option("expected", choices=BINS_BY)
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
        return self.strata(self.batch_of(population), self.burden_of(population))

    def strata(self, batch: np.ndarray, burden: np.ndarray | None) -> StrataOf:
        """Strata of cells whose batches (n,) are numbered from 0, and whose burdens (n,), if asked
        for, are these."""
        n_batches = int(batch.max(initial=0)) + 1
        burden_bins, n_burden = np.zeros(batch.size, dtype=np.int64), 1
        if burden is not None:
            burden_bins, n_burden, _ = compute_bins(
                burden, self.n_burden_bins, self.burden_bin_method, self.burden_clip_quantiles
            )
        of = StrataOfEqualCount if self.bins_by == "cells" else StrataOfEqualExpectation
        return of(
            batch=batch,
            n_batches=n_batches,
            burden=burden_bins,
            n_burden=n_burden,
            n_bins=int(self.n_bins),
            min_stratum_size=int(self.min_stratum_size),
        )

    def batch_of(self, population: Cells) -> np.ndarray:
        """Batch of each cell (n,), numbered from 0 in the order of their labels."""
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

    def burden_of(self, population: Cells) -> np.ndarray | None:
        """What to stratify by as well (n,); None where nothing is asked for."""
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
        raise NotImplementedError

    @staticmethod
    def _law(
        codes: np.ndarray, sizes: np.ndarray, group: np.ndarray, treated: np.ndarray
    ) -> StratifiedLaw:
        """The law of cells with `codes` (n,), `sizes` of each code, merged into `group`."""
        from programde.crt.kernels.strata import counting_sort

        merged = np.bincount(group, weights=sizes).astype(np.int64)
        # a batch without cells leaves an empty group, which is no stratum
        filled = np.flatnonzero(merged)
        renumber = np.full(merged.size, -1, dtype=np.int64)
        renumber[filled] = np.arange(filled.size)
        starts = np.concatenate([[0], np.cumsum(merged[filled])])
        order = np.empty(codes.size, dtype=np.int64)
        counting_sort(codes, renumber[group], starts[:-1], order)
        totals = np.bincount(codes[treated], minlength=filled.size).astype(np.int64)
        return StratifiedLaw(order=order, starts=starts, totals=totals)


class StrataOfEqualCount(StrataOf):
    """Batch x propensity quantile bin over all cells x burden bin."""

    def law(self, p: np.ndarray, treated: np.ndarray) -> StratifiedLaw:
        """See `StrataOf.law`."""
        from programde.crt.kernels.strata import bins_by_edges, stratum_codes

        edges = np.unique(quantiles(p, np.arange(1, self.n_bins) / self.n_bins))
        bins = np.empty(p.size, dtype=np.int32)
        bins_by_edges(p, edges, bins)
        n_bins = edges.size + 1
        codes = np.empty(p.size, dtype=np.int64)
        sizes = np.zeros(self.n_batches * n_bins * self.n_burden, dtype=np.int64)
        stratum_codes(bins, n_bins, self.batch, self.burden, self.n_burden, codes, sizes)
        parents = np.repeat(np.arange(self.n_batches), n_bins * self.n_burden)
        return self._law(codes, sizes, merge_small(sizes, parents, self.min_stratum_size), treated)


class StrataOfEqualExpectation(StrataOf):
    """Batch x burden bin, each cut at quantiles of its cumulated propensity."""

    def law(self, p: np.ndarray, treated: np.ndarray) -> StratifiedLaw:
        """See `StrataOf.law`."""
        from programde.crt.kernels.strata import expected_bins

        order, starts = self._by_parent
        n_parents = starts.size - 1
        most = min(self.n_bins, p.size)
        codes = np.empty(p.size, dtype=np.int64)
        sizes = np.zeros(n_parents * most, dtype=np.int64)
        expected = np.zeros(n_parents * most)
        p = np.ascontiguousarray(p, dtype=np.float64)
        expected_bins(
            p, order, starts, most, TREATED_WANTED, UNTREATED_WANTED, codes, sizes, expected
        )
        counts = np.column_stack([sizes, expected, sizes - expected])
        wanted = (self.min_stratum_size, TOO_FEW * TREATED_WANTED, TOO_FEW * UNTREATED_WANTED)
        group = merge_small(counts, np.repeat(np.arange(n_parents), most), wanted)
        if self.n_burden > 1:
            # a burden bin that is too small as a whole joins the next of its batch
            merged = np.zeros((group[-1] + 1, counts.shape[1]))
            np.add.at(merged, group, counts)
            batches = np.zeros(merged.shape[0], dtype=np.int64)
            batches[group] = np.repeat(np.arange(self.n_batches), self.n_burden * most)
            group = merge_small(merged, batches, wanted)[group]
        return self._law(codes, sizes, group, treated)

    @cached_property
    def _by_parent(self) -> tuple[np.ndarray, np.ndarray]:
        """Cells, batch after batch and burden bin after burden bin, and where each begins."""
        from programde.crt.kernels.strata import counting_sort

        parent = self.batch * self.n_burden + self.burden
        sizes = np.bincount(parent, minlength=self.n_batches * self.n_burden)
        starts = np.concatenate([[0], np.cumsum(sizes)])
        order = np.empty(parent.size, dtype=np.int64)
        counting_sort(parent, np.arange(sizes.size), starts[:-1], order)
        return order, starts
