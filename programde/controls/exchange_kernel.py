"""Counting guide exchanges: the compiled inner loop of `programde.controls.exchange`.

Releases the GIL, so units can share threads, and is cached on disk. `tests/controls` holds its
plain-numpy twin.
"""

from __future__ import annotations

import numpy as np

from programde.compiled import njit

#: Two values are tied when their squares differ by less than this, relatively.
TIE = 1e-9


@njit(nogil=True, cache=True, error_model="numpy")
def count_exchanges(  # pragma: no cover - compiled
    members,
    used,
    matched,
    matched_all,
    scores,
    spread,
    precision,
    own_score,
    own_spread,
    scale,
    scale_all,
    by_effect,
):
    """How many sets reach what the unit's own guides reach, per batch and over all batches.

    Parameters
    ----------
    members : (R, m) int64
        Guides of each set, as rows of `scores`.
    used : (S, R) bool
        Whether the set takes part in the batch; the own set takes part in all S batches.
    matched : (S, R) bool
        Sets compared with in the batch; those not `used` are passed over.
    matched_all : (R,) bool
        Sets compared with over all batches.
    scores : (S, P, K) float64
        Scores of the pooled guides about the pool's mean effect.
    spread : (S, R) float64
        Variance of a set's summed score, in units of the residual variance.
    precision : (S, K) float64
        One over the residual variance; 0 where a program is constant.
    own_score : (S, K), own_spread : (S,)
        The same for the unit's own guides.
    scale : (S, K), scale_all : (K,)
        What squared statistics are divided by before the largest over programs is taken.
    by_effect : bool
        Whether that largest value is of squared effects, not of squared standardised effects.

    Returns
    -------
    n_sets : (S + 1,) int64
        Number of sets compared with; the last entry is over all batches.
    reached : (S + 1, K) int64
        Sets with |T| >= the unit's own |T|.
    reached_any : (S + 1,) int64
        Sets whose largest scaled |T| over programs reaches the unit's own.
    """
    n_batches, _, n_programs = scores.shape
    n_draws, size = members.shape
    n_sets = np.zeros(n_batches + 1, np.int64)
    reached = np.zeros((n_batches + 1, n_programs), np.int64)
    reached_any = np.zeros(n_batches + 1, np.int64)
    # thresholds: T^2 of the own set, less a tie's width; a set reaches it if e^2 >= T^2 * variance
    threshold = np.zeros((n_batches + 1, n_programs))
    threshold_any = np.zeros(n_batches + 1)
    total = np.zeros(n_programs)
    variance = np.zeros(n_programs)
    sums = np.empty(n_programs)
    for s in range(n_batches + 1):
        for k in range(n_programs):
            if s < n_batches:
                e = own_score[s, k] * precision[s, k]
                v = own_spread[s] * precision[s, k]
                total[k] += e
                variance[k] += v
                divisor = scale[s, k]
            else:
                e, v, divisor = total[k], variance[k], scale_all[k]
            if v > 0.0:
                threshold[s, k] = (1.0 - TIE) * e * e / v
                if divisor > 0.0:
                    effect = e * e / (v * v) if by_effect else e * e / v
                    threshold_any[s] = max(threshold_any[s], (1.0 - TIE) * effect / divisor)
    for r in range(n_draws):
        total[:] = 0.0
        variance[:] = 0.0
        any_used = False
        for s in range(n_batches):
            if not used[s, r] or not spread[s, r] > 0.0:
                continue
            any_used = True
            sums[:] = 0.0
            for j in range(size):
                row = scores[s, members[r, j]]
                for k in range(n_programs):
                    sums[k] += row[k]
            v = spread[s, r]
            if matched[s, r]:
                n_sets[s] += 1
                largest = -1.0
                for k in range(n_programs):
                    square = sums[k] * sums[k] * precision[s, k] / v
                    reached[s, k] += square >= threshold[s, k]
                    if scale[s, k] > 0.0:
                        if by_effect:
                            square = sums[k] * sums[k] / (v * v)
                        largest = max(largest, square / scale[s, k])
                reached_any[s] += largest >= threshold_any[s]
            for k in range(n_programs):
                total[k] += sums[k] * precision[s, k]
                variance[k] += v * precision[s, k]
        if any_used and matched_all[r]:
            n_sets[n_batches] += 1
            largest = -1.0
            for k in range(n_programs):
                if variance[k] > 0.0:
                    square = total[k] * total[k] / variance[k]
                    reached[n_batches, k] += square >= threshold[n_batches, k]
                    if scale_all[k] > 0.0:
                        if by_effect:
                            square /= variance[k]
                        largest = max(largest, square / scale_all[k])
            reached_any[n_batches] += largest >= threshold_any[n_batches]
    return n_sets, reached, reached_any
