r"""Guide exchange: a target against NTC guides, at a level that any number of them keeps.

The null hypothesis is that a target's m guides are like NTC guides: (s_j, d_j), score and
information of guide j, are exchangeable over the M NTC guides and the target's own. Then each set A
of m of the M + m guides was as likely to be "the target" as the one that is, and

    p = (1 + #{A: |T_A| >= |T_own|}) / (R + 1)

over R other sets has P(p <= alpha) <= alpha, whatever the law of the guides' effects
(R. A. Fisher, The Design of Experiments, 1935; E. J. G. Pitman, JRSS Suppl. 1937, 4:119). That is
for sets drawn from all; sets matched within a radius of a target's own bins, and the correction for
overlapping guides, keep the level to what docs/ntc-empirical-null.md shows by simulation. With
c = sum_j s_j / sum_j d_j the mean effect of the pooled guides and D their information,

    T_A = (s_A - d_A c) / sqrt(d_A (1 - d_A / D)),   s_A, d_A summed over A,

the difference between the set's mean effect and the others', over its standard error.

**Why not the pseudo-genes alone.** Let guide effects have variance v. A target of m new guides has
variance v/m about the true NTC mean mu. Pseudo-genes of m of M fixed guides scatter by
(S^2/m)(1 - m/M) about the mean b of these M guides (S^2 their sample variance): too little by the
finite-population factor 1 - m/M, because they share guides. Stretching them by
1/sqrt(1 - m/M) is not enough, for three reasons.

1. b is an estimate too: the target's distance from b has variance (v/m)(1 + m/M). Stretching
   must be by sqrt((1 + m/M)/(1 - m/M)). (Without centring the error of b is in both, but then a
   test of |beta| has the wrong level as soon as mu is not 0, as against a complement full of
   perturbed cells.)
2. S^2 is an estimate from M guides: against a normal reference scaled by S, a target has t tails
   with M - 1 degrees of freedom. For M = 12 a nominal 5 % becomes 8 %.
3. Means of m of M given numbers are not normal but bounded: their far tails are missing.

At M = 12, m = 6 the factor 1/sqrt(1 - m/M) without centring happens to give 4.4 % at 0.05, but
1.8 % at 0.01. Letting the target's own guides into the sets removes all three at once: mean, spread
and shape are those of the M + m guides that the hypothesis calls exchangeable. It also refines the
resolution, from choose(M, m) sets to choose(M + m, m).

**The t form** (`t_form`) keeps the NTC guides apart and trusts the normal law of guide effects
instead; it has no floor.

**Over batches** the scores of a guide are added with inverse-variance weights, and the same sets
are exchanged in all batches at once. This is the signed Stouffer combination with weights of
sqrt(information), but its null law is not taken from independence: what a guide does in every batch
alike stays in it.

**Programs** of a target are summed up by the largest |T| / tau, tau_k^2 the mean squared
standardised score of program k over the pooled guides: a program in which guides scatter widely
does not dominate. tau does not depend on which guides are the target's, so the level stays exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from programde.controls.comparison import (
    Comparison,
    counts_of,
    counts_of_sets,
    counts_over_batches,
    inverse_variance,
    log_sum_exp,
)
from programde.controls.guide_sets import distinct_sets
from programde.controls.guide_summaries import Batch
from programde.controls.matching import Match, match_units, matching_grid
from programde.controls.options import ComparisonOptions, ControlUnitOptions
from programde.controls.t_form import t_form
from programde.progress import Progress
from programde.streams import generator
from programde.threads import worker_count

#: Sets of guides wanted per target where the options leave it open.
MIN_SETS = 500


@dataclass(frozen=True)
class _Pool:
    """Guides exchanged in one unit's test: NTC first, own last; S batches, P guides."""

    cells: np.ndarray
    n1: np.ndarray
    d: np.ndarray
    score: np.ndarray
    pbar: np.ndarray | None
    n_ntc: int


class GuideExchange:
    """The exchange test of many units against the same NTC guides.

    Parameters
    ----------
    batches
        Summaries by batch, or of all cells.
    ntc : (M,) int
        Columns of the NTC guides, in an order that does not depend on the screen's.
    targets
        Guide columns of the real targets, which define the matching bins.
    options
        Minimal numbers of cells, the number of sets.
    rules
        Matching, combination, what sums up a target.
    seed
        Seed of the sets.
    """

    def __init__(
        self,
        batches: Sequence[Batch],
        ntc: np.ndarray,
        targets: Sequence[np.ndarray],
        options: ControlUnitOptions,
        rules: ComparisonOptions,
        seed: int,
    ):
        self._batches, self._ntc, self._seed = batches, ntc, seed
        self._options, self._rules = options, rules
        self._precision = np.stack([inverse_variance(s) for s in batches])
        self._cells = np.array([s.n_cells for s in batches])
        self._sets: dict[tuple[int, int], np.ndarray] = {}
        guides = [counts_of(s.guides) for s in batches] + [counts_over_batches(batches, "guides")]
        self._grids = [
            matching_grid(*counts_of_sets(counts, targets), rules.matching) for counts in guides
        ]

    def members(self, n_ntc: int, n_own: int) -> np.ndarray:
        """The sets (R, m) drawn from n_ntc + n_own guides, without the own set; own guides last."""
        key = (n_ntc, n_own)
        if key not in self._sets:
            rng = generator(self._seed, "guide_exchange", str(n_ntc), str(n_own))
            own = range(n_ntc, n_ntc + n_own)
            self._sets[key] = distinct_sets(
                n_ntc + n_own, n_own, self._options.n_ntc_units, rng, own
            )
        return self._sets[key]

    def test(
        self,
        units: Sequence[np.ndarray],
        rows: np.ndarray,
        n_jobs: int = 1,
        show: bool | None = None,
    ) -> Comparison:
        """Test units.

        Parameters
        ----------
        units
            Guide columns of each unit; NTC guides among them are left out of the NTC for it.
        rows : (U,) int
            The units' rows in `Batch.units`.
        n_jobs
            Threads.
        show
            Whether to show a progress bar.

        Returns
        -------
        Comparison
        """
        tests = Comparison.start(self._batches, rows, self._ntc, self._options)
        for size in {(np.setdiff1d(self._ntc, u).size, len(u)) for u in units}:
            if min(size) > 0:
                self.members(*size)
        with (
            ThreadPoolExecutor(worker_count(n_jobs)) as pool,
            Progress(len(units), "NTC null", show) as bar,
        ):
            for _ in pool.map(
                lambda u: self._test(u, units[u], int(rows[u]), tests), range(len(units))
            ):
                bar.advance()
        if len(self._batches) > 1 and self._rules.combine_method == "fisher":
            tests.combine_by_fisher(discrete=True)
        return tests.explain()

    def _pool(self, own: np.ndarray, ntc: np.ndarray, used: np.ndarray) -> _Pool:
        columns = np.concatenate([ntc, own])
        guides = [self._batches[s].guides for s in used.tolist()]
        odds = [g.pbar[columns] for g in guides if g.pbar is not None]
        return _Pool(
            cells=self._cells[used],
            n1=np.stack([g.n1[columns] for g in guides]),
            d=np.stack([g.d[columns] for g in guides]),
            score=np.stack([g.score[columns] for g in guides]),
            pbar=np.stack(odds) if len(odds) == len(guides) else None,
            n_ntc=ntc.size,
        )

    def _test(self, u: int, own: np.ndarray, row: int, tests: Comparison) -> None:
        """Test one unit and write into its places in `tests`."""
        from programde.controls.exchange_kernel import count_exchanges

        ntc = self._ntc[~np.isin(self._ntc, own)]
        used = np.flatnonzero(tests.tested[:, u])
        if ntc.size == 0 or used.size == 0:
            tests.tested[:, u] = False
            tests.reason[u] = tests.reason[u] or "no NTC guide is left to compare with"
            return
        options, n_s = self._options, len(self._batches)
        pool = self._pool(own, ntc, used)
        is_own = slice(pool.n_ntc, None)
        members = self.members(ntc.size, own.size)
        precision = self._precision[used]
        overlap = np.array([self._batches[s].units.overlap[row] for s in used.tolist()])

        # per batch s: sets' cells, information and the spread of their centred score
        n1, d = pool.n1[:, members].sum(axis=2), pool.d[:, members].sum(axis=2)
        total = pool.d.sum(axis=1)
        spread = d * (1.0 - d / total[:, None])
        own_d = pool.d[:, is_own].sum(axis=1)
        own_spread = own_d * (1.0 - own_d / total) * overlap
        centred = (
            pool.score - pool.d[:, :, None] * (pool.score.sum(axis=1) / total[:, None])[:, None]
        )
        eligible = (
            (n1 >= max(options.min_treated, 1))
            & (self._cells[used, None] - n1 >= options.min_control)
            & (spread > 0)
        )
        matched = np.zeros_like(eligible)
        places = [*used.tolist(), n_s]
        matched_all = np.zeros(len(members), dtype=bool)
        for i, s in enumerate(places):
            match = self._match(i, s, pool, members, eligible)
            if s == n_s:
                matched_all[:] = match.matched
            else:
                matched[i] = match.matched
            tests.radius[s, u] = match.radius
            tests.fallback[s, u] = match.fallback

        guide_spread = pool.d * (1.0 - pool.d / total[:, None])
        scale, scale_all = self._scales(centred, guide_spread, precision)
        n_sets, reached, reached_any = count_exchanges(
            members,
            eligible,
            matched,
            matched_all,
            centred,
            spread,
            precision,
            centred[:, is_own].sum(axis=1),
            own_spread,
            scale,
            scale_all,
            self._rules.target_statistic == "max_effect",
        )
        for i, s in enumerate(places):
            tests.n_matched[s, u] = n_sets[i]
            if n_sets[i] == 0:
                continue
            known = scale[i] > 0 if s < n_s else scale_all > 0
            tests.floor[s, u] = 1.0 / (n_sets[i] + 1)
            tests.p[s, u] = np.where(known, (1.0 + reached[i]) / (n_sets[i] + 1), np.nan)
            if known.any():
                tests.unit_p[s, u] = (1.0 + reached_any[i]) / (n_sets[i] + 1)
        tests.p_t[[*used, n_s], u] = t_form(pool.score, pool.d, pool.n_ntc, overlap, precision)

    def _match(
        self, i: int, s: int, pool: _Pool, members: np.ndarray, eligible: np.ndarray
    ) -> Match:
        """Sets comparable with the own guides in batch s (the i-th used), or over all batches."""
        over_all = s == len(self._batches)
        which = slice(None) if over_all else slice(i, i + 1)
        n1, d = pool.n1[which].sum(axis=0), pool.d[which].sum(axis=0)
        odds = own_odds = None
        if pool.pbar is not None:
            pbar = np.average(pool.pbar[which], axis=0, weights=pool.cells[which])
            odds = log_sum_exp(pbar[members], 1)
            own_odds = log_sum_exp(pbar[pool.n_ntc :], 0)[None]
        grid, own = self._grids[s], slice(pool.n_ntc, None)
        bins = grid.place(n1[members].sum(axis=1), d[members].sum(axis=1), odds)
        wanted = grid.place(n1[own].sum()[None], d[own].sum()[None], own_odds)[0]
        allowed = np.asarray(eligible.any(axis=0) if over_all else eligible[i])
        minimum = self._rules.matching.min_ntc_per_bin or MIN_SETS
        return match_units(bins, wanted, allowed, minimum)

    def _scales(
        self, centred: np.ndarray, spread: np.ndarray, precision: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean squared standardised score of the pooled guides, (S, K) and over batches (K,)."""
        variance = spread[:, :, None] * precision[:, None]
        score = centred * precision[:, None]
        known = [(score[i], variance[i]) for i in range(len(score))]
        known.append((score.sum(axis=0), variance.sum(axis=0)))
        scales = []
        for e, v in known:
            if self._rules.target_statistic == "max_effect":
                scales.append((v > 0).any(axis=0).astype(np.float64))
                continue
            seen = v > 0
            squares = np.divide(e * e, v, out=np.zeros_like(v), where=seen)
            scales.append(squares.sum(axis=0) / np.maximum(seen.sum(axis=0), 1))
        return np.stack(scales[:-1]), scales[-1]
