"""P-values by counting null draws.

With B null draws T_1 ... T_B of a statistic and the observed T, one more draw under the null:

    both    p = (1 + #{|T_b| >= |T|}) / (B + 1)
    right   p = (1 + #{T_b >= T}) / (B + 1)
    left    p = (1 + #{T_b <= T}) / (B + 1)

These are valid at any B: P(p <= a) <= a, ties counted against the test (Phipson and Smyth 2010,
Stat. Appl. Genet. Mol. Biol. 9:39). For QQ plots each null draw can take the place of the observed
statistic, judged by the B - 1 others ("leave one out"):

    p_b = (1 + #{b' != b : |T_b'| >= |T_b|}) / B

Two values are tied where they differ by less than 1e-5 standard deviations of the draws, as in
`programde.crt.null_summary.summarise`: rounding never decides a tie.
"""

from __future__ import annotations

import numpy as np

from programde.crt.null_summary import TIE, NullSummary, summarise
from programde.errors import InputError, OptionError, check_choice
from programde.tails.formulas import SIDES

_SIDE_OF_CODE = {0: "both", -1: "left", 1: "right"}


def side_from_code(code: int | str) -> str:
    """The side's name for a number code (0 both, -1 left, 1 right); a name passes through.

    Raises
    ------
    OptionError
        For any other value.
    """
    if isinstance(code, str):
        return check_choice("side", code, SIDES)
    if code not in _SIDE_OF_CODE:
        raise OptionError(f"side_code={code!r} is not known; valid: 0 (both), -1 (left), 1 (right)")
    return _SIDE_OF_CODE[code]


def empirical_p(null: NullSummary, side: str = "both") -> np.ndarray:
    """Raw p-values of G x K tests from the counts kept of their null draws.

    Parameters
    ----------
    null
        Summary of the draws; its counts refer to the observed statistic.
    side
        "both", "left" or "right".

    Returns
    -------
    np.ndarray, shape (G, K), float64
        In [1/(B+1), 1]. NaN where there is nothing to count: no draws, a test that was not made,
        an observed statistic or draws that are NaN. (A number is >= or <= any other, so
        n_ge + n_le < B tells that NaN was among them.)

    Raises
    ------
    OptionError
        For an unknown side.
    """
    check_choice("side", side, SIDES)
    counts = {"both": null.n_abs_ge, "left": null.n_le, "right": null.n_ge}[side]
    p = (1.0 + counts) / (null.n_draws + 1.0)
    counted = (null.n_ge >= 0) & (null.n_le >= 0) & (counts >= 0)
    complete = null.n_ge.astype(np.int64) + null.n_le >= max(null.n_draws, 1)
    return np.where(counted & complete, p, np.nan)


def leave_one_out_p(null_stats: np.ndarray, side: str = "both") -> np.ndarray:
    """P-value of each null draw among the other draws of the same test.

    Parameters
    ----------
    null_stats : (B, K) or (B,)
        Null draws, one column per test.
    side
        "both", "left" or "right".

    Returns
    -------
    np.ndarray, shape of `null_stats`, float64
        Multiples of 1/B in [1/B, 1]; NaN draws get NaN and count for nothing, B then being the
        number of the others. Cost: B log B per column.

    Raises
    ------
    InputError
        If there is no draw, or `null_stats` has more than two dimensions.
    OptionError
        For an unknown side.
    """
    check_choice("side", side, SIDES)
    draws = np.asarray(null_stats, dtype=np.float64)
    if draws.ndim not in (1, 2) or draws.shape[0] == 0:
        raise InputError(
            f"null_stats has shape {draws.shape}; give (draws, tests) with at least one draw"
        )
    columns = draws.reshape(draws.shape[0], -1)
    out = np.full(columns.shape, np.nan)
    for k in range(columns.shape[1]):
        known = np.isfinite(columns[:, k])
        if known.any():
            out[known, k] = _leave_one_out_column(columns[known, k], side)
    return out.reshape(draws.shape)


def _leave_one_out_column(column: np.ndarray, side: str) -> np.ndarray:
    """`leave_one_out_p` of one test, all draws finite: 1 + others = all draws at least as far."""
    tie = TIE * column.std()
    distance = {"both": np.abs(column), "left": -column, "right": column}[side]
    below = np.searchsorted(np.sort(distance), distance - tie, side="left")
    return (column.size - below) / column.size


def compute_empirical_p_value(
    null: np.ndarray, z: float | np.ndarray, side: int | str = 0
) -> float | np.ndarray:
    """Empirical p-value of observed statistics from explicit null draws.

    Parameters
    ----------
    null : (B,) or (B, K)
        Null draws.
    z : scalar or (K,)
        Observed statistic on the same scale.
    side
        0 (both), -1 (left) or 1 (right), or the side's name.

    Returns
    -------
    float, or np.ndarray of shape (K,)
        (1 + number of draws at least as extreme) / (B + 1); NaN for a NaN statistic.

    Raises
    ------
    InputError
        If `null` and `z` do not have the same number of tests.
    """
    draws = np.asarray(null, dtype=np.float64)
    columns = draws.reshape(draws.shape[0], -1)
    observed = np.atleast_1d(np.asarray(z, dtype=np.float64))
    if observed.shape != (columns.shape[1],):
        raise InputError(
            f"z has shape {np.shape(z)} but null has {columns.shape[1]} columns; give one "
            "observed value per column"
        )
    p = empirical_p(summarise(columns, observed), side_from_code(side))[0]
    return float(p[0]) if draws.ndim == 1 else p


def compute_null_pvals_from_null_stats(null_stats: np.ndarray, side_code: int = 0) -> np.ndarray:
    """`leave_one_out_p` with the side as a number code (0 both, -1 left, 1 right)."""
    return leave_one_out_p(null_stats, side_from_code(side_code))


def crt_null_pvals_from_null_stats_fast(T_null: np.ndarray, two_sided: bool = True) -> np.ndarray:
    """`leave_one_out_p` of draws (B, K): two-sided, or right-sided where `two_sided` is False."""
    return leave_one_out_p(T_null, "both" if two_sided else "right")
