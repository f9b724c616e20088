"""The plain comparison with pseudo-genes: unions of NTC guides, matched, ranked by |effect|.

    p = (1 + #{u: |beta_u| >= |beta|}) / (R + 1)

over the R matched pseudo-genes u. Pseudo-genes drawn from few guides share them, so their spread
is too small and true nulls come out at p < 0.05 too often (11 to 14 % with 12 guides in sets of
6); `programde.controls.exchange` puts that right and is what is used unless it is switched off.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from programde.calibration.combine import stouffer
from programde.controls.comparison import Comparison, Counts, counts_of, inverse_variance
from programde.controls.guide_summaries import Batch
from programde.controls.matching import match_units, matching_grid
from programde.controls.options import ComparisonOptions, ControlUnitOptions

#: Pseudo-genes wanted per target where the options leave it open.
MIN_UNITS = 50


def p_against_units(
    effects: np.ndarray, ntc_effects: np.ndarray, matched: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Two-sided empirical p-values against NTC units, and their floors.

    Parameters
    ----------
    effects : (G, K)
        Effects of the units tested; NaN stays NaN.
    ntc_effects : (R, K)
        Effects of the NTC units; a NaN does not count.
    matched : (G, R) bool, optional
        NTC units that each unit is compared with; default all.

    Returns
    -------
    p : (G, K) float64
        (1 + #{|ntc| >= |effect|}) / (R + 1), values within 1e-9 relatively counted as tied.
    floor : (G,) float64
        1 / (R + 1), the smallest p-value possible; NaN where nothing is matched.
    """
    effects = np.atleast_2d(np.asarray(effects, dtype=np.float64))
    size = np.abs(np.atleast_2d(np.asarray(ntc_effects, dtype=np.float64)))
    p = np.full(effects.shape, np.nan)
    floor = np.full(len(effects), np.nan)
    if matched is None:
        matched = np.ones((len(effects), len(size)), dtype=bool)
    kinds, which = np.unique(matched, axis=0, return_inverse=True)
    for kind, used in enumerate(kinds):
        rows = np.flatnonzero(which.ravel() == kind)
        if not used.any():
            continue
        floor[rows] = 1.0 / (used.sum() + 1)
        ordered = np.sort(size[used], axis=0)
        for k in range(effects.shape[1]):
            n = int(np.isfinite(ordered[:, k]).sum())  # NaN sorts last
            own = np.abs(effects[rows, k])
            reached = n - np.searchsorted(ordered[:n, k], own * (1 - 1e-9))
            p[rows, k] = np.where(np.isfinite(own) & (n > 0), (1.0 + reached) / (n + 1), np.nan)
    return p, floor


def compare_with_pseudogenes(
    batches: Sequence[Batch],
    rows: np.ndarray,
    ntc: np.ndarray,
    ntc_rows: np.ndarray,
    target_rows: np.ndarray,
    options: ControlUnitOptions,
    rules: ComparisonOptions,
) -> Comparison:
    """Test units against pseudo-genes, batch by batch, and combine.

    Parameters
    ----------
    batches
        Summaries by batch, or of all cells.
    rows, ntc_rows, target_rows
        Rows of `Batch.units`: the units tested, the pseudo-genes, and the real targets, whose
        quantiles make the matching bins.
    ntc : (M,) int
        Columns of the NTC guides.
    options
        Minimal numbers of cells; they hold for pseudo-genes too.
    rules
        Matching, combination, what sums up a target.

    Returns
    -------
    Comparison
        Without the t form.
    """
    tests = Comparison.start(batches, rows, ntc, options)
    n_s, minimum = len(batches), rules.matching.min_ntc_per_bin or MIN_UNITS
    weight = np.zeros((n_s, len(rows), batches[0].variance.size))
    for s, batch in enumerate(batches):
        units = batch.units
        n1, d = units.n1[ntc_rows], units.d[ntc_rows]
        eligible = (
            (n1 >= max(options.min_treated, 1))
            & (batch.n_cells - n1 >= options.min_control)
            & (d > 0)
        )
        null = np.full((len(ntc_rows), batch.variance.size), np.nan)
        null[eligible] = units.score[ntc_rows[eligible]] / d[eligible, None]
        known = batch.variance > 0
        null[:, ~known] = np.nan
        counts = counts_of(units)
        grid = matching_grid(*_rows(counts, target_rows), rules.matching)
        bins, wanted = (grid.place(*_rows(counts, which)) for which in (ntc_rows, rows))
        scale = _spread(null[eligible], rules.target_statistic)
        for u in np.flatnonzero(tests.tested[s]).tolist():
            match = match_units(bins, wanted[u], eligible, minimum)
            used = match.matched
            tests.n_matched[s, u] = int(used.sum())
            tests.radius[s, u], tests.fallback[s, u] = match.radius, match.fallback
            if not used.any():
                continue
            effect = tests.effect[s, u]
            p, floor = p_against_units(effect[None], null[used])
            tests.p[s, u], tests.floor[s, u] = p[0], floor[0]
            if known.any():
                largest, own = (
                    np.nanmax(np.abs(x[:, known]) / scale[known], axis=1)
                    for x in (null[used], effect[None])
                )
                tests.unit_p[s, u] = p_against_units(own[:, None], largest[:, None])[0][0, 0]
        weight[s] = np.sqrt(units.d[rows][:, None] * inverse_variance(batch))
    tests.combine_by_fisher(discrete=False)
    if n_s > 1 and rules.combine_method == "stouffer":
        tests.p[n_s] = stouffer(tests.p[:n_s], tests.effect[:n_s], weight)[0]
        floors = np.broadcast_to(tests.floor[:n_s, :, None], weight.shape)
        tests.floor[n_s] = stouffer(floors, np.ones_like(floors), weight)[0].min(axis=1)
    return tests.explain()


def _rows(counts: Counts, rows: np.ndarray) -> Counts:
    pbar = None if counts.pbar is None else counts.pbar[rows]
    return Counts(counts.n1[rows], counts.d[rows], pbar)


def _spread(null: np.ndarray, target_statistic: str) -> np.ndarray:
    """(K,) what effects are divided by before the largest over programs is taken."""
    if target_statistic == "max_effect" or len(null) < 2:
        return np.ones(null.shape[1])
    spread = null.std(axis=0)
    return np.where(spread > 0, spread, np.inf)
