"""One p-value per unit from its null draws: does this unit shift any program?

The max statistic of Westfall and Young (1993, Resampling-Based Multiple Testing): with z_k the
standardised statistic of program k,

    M = max over k of |z_k|,      p = (1 + #{M_b >= M}) / (B + 1)

The draws of all programs come from the same resamples, so the dependence between programs is in
M_b as it is in M, and nothing need be assumed about it.

Mean and standard deviation of each program are taken over the B draws and the observed value
together. So observed and draws are treated alike, and P(p <= a) <= a holds exactly at any B; with
the draws' own moments a draw, but not the observed value, would shrink its own z. For B of some
hundreds the two differ by O(1/B).
"""

from __future__ import annotations

import numpy as np

from programde.errors import InputError

_TIE = 1e-9


def max_statistic_p(draws: np.ndarray, observed: np.ndarray) -> float:
    """Omnibus p-value of one unit over its programs, from the draws of the statistic.

    Parameters
    ----------
    draws : (B, K)
        Null draws.
    observed : (K,)
        Observed statistics, in the units of `draws`.

    Returns
    -------
    float
        In [1/(B+1), 1]. Programs with a NaN or infinity, observed or drawn, and programs whose
        values are all equal are left out; NaN if none is left or there are no draws.

    Raises
    ------
    InputError
        If the shapes do not agree.
    """
    observed = np.asarray(observed, dtype=np.float64)
    if np.ndim(draws) != 2 or observed.shape != np.shape(draws)[1:]:
        raise InputError(
            f"draws have shape {np.shape(draws)} but observed {observed.shape}; give (B, K) "
            "and (K,) for the same programs"
        )
    n_draws = np.shape(draws)[0]
    if n_draws == 0:
        return float("nan")
    from programde.crt.kernels.summary import largest_standardised, moments_with_one_more

    draws = np.ascontiguousarray(draws, dtype=np.float64)
    mean, variance = np.empty(observed.size), np.empty(observed.size)
    with np.errstate(invalid="ignore", over="ignore"):
        moments_with_one_more(draws, observed, mean, variance)
        sd = np.sqrt(variance)
        use = np.isfinite(sd) & (sd > 1e-12 * np.abs(mean))
    if not use.any():
        return float("nan")
    if not use.all():
        draws, observed = np.ascontiguousarray(draws[:, use]), observed[use]
        mean, sd = mean[use], sd[use]
    largest, seen = np.empty(n_draws), np.empty(1)
    largest_standardised(draws, mean, 1.0 / sd, largest)
    largest_standardised(observed[None], mean, 1.0 / sd, seen)
    reached = np.count_nonzero(largest >= seen[0] * (1.0 - _TIE))
    return float((1 + reached) / (n_draws + 1))
