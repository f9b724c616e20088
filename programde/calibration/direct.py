"""Which programs were touched: shifts that are not the mirror image of other programs' shifts.

Usages sum to 1, so a program that rises pushes all others down, and their log-ratios say so. Where
a target multiplies the usages of a few programs, the total before closing to 1 grows by a factor
exp(s). An untouched program then falls by s in the cells where it lies above the floor, and not
where it lies on it; centring takes the same from every program. So the untouched programs' effects
follow

    beta_k ~ m - s (a_k - mean a),     a_k: share of cells with program k above the floor,

the mirror image, with two numbers per target. They are fitted to the programs that follow it:
start at the precision-weighted median of the effects (m) and s = 0, leave out the programs whose
residual exceeds its tolerance by 2.5 standard errors, fit the rest by weighted least squares, and
so on until the same programs are left. s is drawn to 0 as if it had a normal prior of standard
deviation 1/2 (a log-ratio shift of 1.5 in a program of 30 % share makes s = 0.7): a single program
cannot bend the line by its leverage. M_k, the mirror image of program k, is what the others say:
its own effect is left out of the fit, and S_k is the standard error of that.

The null of program k is an interval, |beta_k - M_k| <= tau_k. Shifts do not multiply usages
exactly, and programs are not independent, so the mirror image is known but roughly; it may be
wrong by its own size, up to a bound:

    tau_k = min(|M_k|, delta).

A target without a strong shift has no mirror image, and there nothing is given away. With the
standard error se_k of beta_k, d_k = |beta_k - M_k| and v_k^2 = se_k^2 + S_k^2,

    p = Phi(-(d_k - tau_k) / v_k) + Phi(-(d_k + tau_k) / v_k),

the largest probability that the null allows of a deviation so large, either way; one-sided tests
have the one term. It is never below the p-value of the plain test.

A program that is absent from many cells has most of its log-ratio's variance from there, where the
floor is what is seen. Where shifts of log usage in the cells with the program present are at hand
(`crt.present_shifts`), the same is asked of these: their mirror image is one number per target,
-s, fitted in the same way, and v_k^2 has Student's law of as many treated cells less one. Either
is enough to be touched, and the two p-values are combined by their Cauchy sum without what speaks
against, which for p <= 1/2 gives p back where both are p, and 2 p where the other says nothing:

    p = arctan(2 / (cot+ pi p_1 + cot+ pi p_2)) / pi

(see `acat`; under independence at most 1.09 times too small). So a program may be touched whose
log-ratio the plain test could not tell from that of a program that stays.

Sources: J. Aitchison, "The statistical analysis of compositional data" (1986), chapter 4 (closure);
J. L. Hodges and E. L. Lehmann, J. R. Stat. Soc. B 16 (1954) 261-268 (interval nulls).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, stdtr

from programde.calibration.options import FdrOptions
from programde.errors import check_choice
from programde.tails.formulas import SIDES

#: Fewer programs have no majority to stand on.
FEWEST = 8
#: Programs whose residual exceeds the tolerance by so many standard errors are left out of the fit.
OUTLYING = 2.5
#: Standard deviation of the prior of s.
PRIOR = 0.5
#: A program counts as moved, when it is asked whether most have, at this p-value for a shift beyond
#: `delta`: less does not shake the line that the others make.
MOVED = 0.05
#: Rounds of fitting; the set of programs is as a rule the same after three.
ROUNDS = 20
#: Variance of a median, in units of that of the mean, of normal values.
OF_MEDIAN = np.pi / 2


@dataclass(frozen=True)
class DirectEffects:
    """Tests of direct effects of G units on K programs.

    Attributes
    ----------
    p_value : (G, K) float64
        NaN where there is none, see `reason`.
    mirror : (G, K) float64
        M, the shift that each program would show were it untouched; log-ratio.
    mirror_se : (G, K) float64
        Its standard error.
    reason : (G,) object
        Why a unit has no such test; empty where it has.
    """

    p_value: np.ndarray
    mirror: np.ndarray
    mirror_se: np.ndarray
    reason: np.ndarray


def direct_effects(
    effect: np.ndarray,
    effect_se: np.ndarray,
    p_value: np.ndarray,
    above_floor: np.ndarray | None = None,
    delta: float = FdrOptions.direct_delta,
    side: str = "both",
    present: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None,
) -> DirectEffects:
    """Test whether each program is touched, beyond the mirror image of the others' shifts.

    Parameters
    ----------
    effect, effect_se : (G, K)
        Log-ratio effects and their standard errors; NaN where there are none.
    p_value : (G, K)
        P-values of the plain tests, of the side asked for; without `present` no result is below
        them.
    above_floor : (G, K), optional
        Share of each unit's cells in which a program lies above the floor; None: in all.
    delta
        The largest tolerance, >= 0; log-ratio.
    side
        ``"both"``, ``"left"`` (the program falls beyond the mirror image) or ``"right"``.
    present : (G, K) each, optional
        Shifts of log usage in the cells where a program is present, their standard errors, and the
        treated cells among these; NaN where there are none.

    Returns
    -------
    DirectEffects
    """
    check_choice("side", side, SIDES)
    n_units = effect.shape[0]
    share = np.ones(effect.shape) if above_floor is None else np.asarray(above_floor)
    p = np.full(effect.shape, np.nan)
    mirror, error = p.copy(), p.copy()
    reason = np.full(n_units, "", dtype=object)
    for g in range(n_units):
        known = np.isfinite(effect[g]) & (effect_se[g] > 0) & np.isfinite(share[g])
        if not np.isfinite(effect[g]).any():
            reason[g] = "no log-ratio effects"
            continue
        if not known.any():
            reason[g] = "no standard errors"
            continue
        if known.sum() < FEWEST:
            reason[g] = f"{known.sum()} programs, fewer than {FEWEST}: no majority to stand on"
            continue
        beta, se = effect[g, known], effect_se[g, known]
        M, S = mirror_image(beta, se, share[g, known], delta)
        off, v = beta - M, np.hypot(se, S)
        beyond = interval_p(off, v, np.minimum(np.abs(M), delta), side)
        moved = interval_p(off, v, np.full(off.size, delta)) <= MOVED
        mirror[g, known], error[g, known] = M, S
        if moved.sum() > known.sum() / 2:
            reason[g] = "more than half of the programs moved: no majority to stand on"
            continue
        p[g, known] = np.maximum(beyond, p_value[g, known])  # NaN stays NaN
        if present is not None:
            shift, error_of, cells = (part[g] for part in present)
            p[g] = either(p[g], present_p(shift, error_of, cells, delta, side))
    return DirectEffects(p, mirror, error, reason)


def present_p(
    shift: np.ndarray, se: np.ndarray, cells: np.ndarray, delta: float, side: str
) -> np.ndarray:
    """P-values (K,) of one unit's shifts in the cells where programs are present.

    NaN where there is no shift, and everywhere if the programs with one are few or most of them
    moved.
    """
    p = np.full(shift.size, np.nan)
    known = np.isfinite(shift) & (se > 0)
    if known.sum() < FEWEST:
        return p
    beta, se, df = shift[known], se[known], cells[known] - 1.0
    M, S = mirror_image(beta, se, np.ones(beta.size), delta)
    off, v = beta - M, np.hypot(se, S)
    moved = interval_p(off, v, np.full(off.size, delta), df=df) <= MOVED
    if moved.sum() <= off.size / 2:
        p[known] = interval_p(off, v, np.minimum(np.abs(M), delta), side, df)
    return p


def either(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Combined p-values; the first where there is no second, NaN where there is no first."""
    with np.errstate(divide="ignore"):
        speaks = [
            np.where(p < 0.5, 1.0 / np.tan(np.pi * np.fmax(p, 1e-300)), 0.0)
            for p in (first, second)
        ]
        both = np.arctan(2.0 / (speaks[0] + speaks[1])) / np.pi
    both = np.where((first >= 0.5) & (second >= 0.5), np.maximum(first, second), both)
    return np.where(np.isnan(second) | np.isnan(first), first, both)


def interval_p(
    shift: np.ndarray,
    se: np.ndarray,
    tolerance: np.ndarray,
    side: str = "both",
    df: np.ndarray | None = None,
) -> np.ndarray:
    """P-values of the null that a mean lies within `tolerance` of 0 (not above, not below it).

    Parameters
    ----------
    shift, se : (n,)
        Normal estimates and their standard errors.
    tolerance : (n,)
        >= 0.
    side
        ``"both"``, ``"left"`` or ``"right"``.
    df : (n,), optional
        Degrees of freedom of the standard errors; infinite where not given.
    """

    def below(z: np.ndarray) -> np.ndarray:
        return np.asarray(ndtr(z) if df is None else stdtr(df, z))

    if side == "both":
        far = np.abs(shift)
        return np.minimum(below(-(far - tolerance) / se) + below(-(far + tolerance) / se), 1.0)
    up = shift if side == "right" else -shift
    return below(-(up - tolerance) / se)


def mirror_image(
    beta: np.ndarray, se: np.ndarray, share: np.ndarray, delta: float
) -> tuple[np.ndarray, np.ndarray]:
    """The mirror image M (K,) of one unit by its other programs, and its standard error (K,).

    Parameters
    ----------
    beta, se, share : (K,)
        Effects, standard errors and shares of cells above the floor.
    delta
        The largest tolerance.
    """
    weight = se**-2.0
    fitted, error = np.full(beta.size, weighted_median(beta, weight)), np.zeros(beta.size)
    error += np.sqrt(OF_MEDIAN / weight.sum())
    kept = np.zeros(beta.size, dtype=bool)
    for _ in range(ROUNDS):
        far = np.abs(beta - fitted) - np.minimum(np.abs(fitted), delta)
        before, kept = kept, far <= OUTLYING * np.hypot(se, error)
        if kept.sum() < 3:
            # the majority is the median's two neighbours: as good as none
            kept = np.abs(beta - fitted) <= np.median(np.abs(beta - fitted))
        if (kept == before).all():
            break
        fitted, error, _ = _line(beta, weight, share, kept)
    fitted, error, leverage = _line(beta, weight, share, kept)
    # leaving out a kept program, without fitting again; ridge regression has the same formula
    rest = 1.0 - np.where(kept, leverage, 0.0)
    return (fitted - (1.0 - rest) * beta) / rest, error / np.sqrt(rest)


def _line(
    beta: np.ndarray, weight: np.ndarray, share: np.ndarray, kept: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fitted line at all programs from the kept ones, its standard errors, and leverages."""
    w = np.where(kept, weight, 0.0)
    centre = np.average(share, weights=w)
    x = share - centre
    flat, slope = w.sum(), w @ x**2 + PRIOR**-2.0
    variance = 1.0 / flat + x**2 / slope
    fitted = (w @ beta) / flat + x * (w @ (x * beta)) / slope
    return fitted, np.sqrt(variance), w * variance


def weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    """The middle of the values by weight; between two where the half falls between them."""
    order = np.argsort(values, kind="stable")
    sums = np.cumsum(weights[order])
    half = 0.5 * sums[-1]
    low, high = np.searchsorted(sums, [half * (1 - 1e-12), half * (1 + 1e-12)])
    last = values.size - 1
    return float(0.5 * (values[order[min(low, last)]] + values[order[min(high, last)]]))
