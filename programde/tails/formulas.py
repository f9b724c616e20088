"""Tail formulas of the saddlepoint calibration on plain arrays: screening, tail, sides, branches.

Screening by exact cumulants: the Edgeworth expansion to second order,
    P(Z >= z) ~ Q(z) + phi(z) [ g3/6 H2 + g4/24 H3 + g3^2/72 H5 ],
with skewness g3, excess kurtosis g4 and Hermite polynomials H_j(z); the next order's terms bound
what it leaves out (Hall 1992, The Bootstrap and Edgeworth Expansion, section 2.4).

Tail: Lugannani & Rice 1980 (Advances in Applied Probability 12:475) with the second-order term of
Daniels 1987 (International Statistical Review 55:37):
    P(S >= s) ~ Q(w) + phi(w) [ 1/u - 1/w + (r4/8 - 5 r3^2/24) / u - r3/(2 u^2) - 1/u^3 + 1/w^3 ],
    w = sqrt(2 (l s - K)),  u = l sqrt(K''),  r3 = K''' / K''^(3/2),  r4 = K'''' / K''^2.
Everything is in logarithms, each tail on its own side.
"""

from __future__ import annotations

import numpy as np
from scipy.special import erfcx, log_ndtr

from programde.errors import check_choice

#: Alternatives: either tail, P(T <= t), P(T >= t).
SIDES = ("both", "left", "right")

MOMENTS, SADDLEPOINT, INVERSION, CHERNOFF, END, UNTESTABLE, ENUMERATION = range(7)
#: Given covariates (see `conditional`).
FIRST_ORDER, CONDITIONAL, PERMUTATION, SEPARATED = range(7, 11)

#: Branch of a test, by code.
BRANCHES = (
    "moments",
    "saddlepoint",
    "inversion",
    "chernoff",
    "end",
    "untestable",
    "enumeration",
    "first order",
    "conditional",
    "permutation",
    "separated",
)

#: What the results table says under `fallback`, by code; "" where the tail itself was computed.
FALLBACK = (
    "",
    "",
    "",
    "upper bound (Chernoff): the tail could not be computed",
    "beyond the linearised law: probability of its most extreme draw",
    "",
    "",
    "",
    "",
    "",
    "first order: no conditional law, as the covariates (nearly) separate treated cells",
)
#: What is said there of a tail that may be off by more than a tenth.
ROUGH = "rough: few cells decide, the tail may be off by more than a tenth"

#: The smallest p-value that is ever reported.
LOG_SMALLEST = float(np.log(1e-300))


def edgeworth(
    z: np.ndarray, skewness: np.ndarray, kurtosis: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Upper tail P(Z >= z) from the first four cumulants, and its likely relative error.

    Parameters
    ----------
    z, skewness, kurtosis : np.ndarray, any one shape
        Standardised threshold, skewness and excess kurtosis of the null law.

    Returns
    -------
    log_p, size : np.ndarray
        Logarithm of the tail (NaN where the expansion leaves (0, 1)) and the size of the
        third-order terms, on the scale of probabilities.
    """
    z2 = z * z
    h2 = z2 - 1.0
    h3 = z * (z2 - 3.0)
    h5 = z * (z2 * z2 - 10.0 * z2 + 15.0)
    log_phi = -0.5 * z2 - 0.5 * np.log(2.0 * np.pi)
    phi = np.exp(log_phi)
    correction = skewness / 6.0 * h2 + kurtosis / 24.0 * h3 + skewness**2 / 72.0 * h5
    tail = np.exp(log_ndtr(-z)) + phi * correction
    # third order, each Hermite polynomial replaced by a smooth bound of its size near z
    size = 1.0 + np.abs(z)
    third = (
        np.abs(kurtosis) ** 1.5 / 120.0 * size**4
        + np.abs(skewness * kurtosis) / 144.0 * size**6
        + np.abs(skewness) ** 3 / 1296.0 * size**8
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        log_p = np.where((tail > 0.0) & (tail < 1.0), np.log(tail), np.nan)
    return log_p, phi * third


def lugannani_rice(
    exponent: np.ndarray, l: np.ndarray, k2: np.ndarray, k3: np.ndarray, k4: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """log P(S >= s) from the saddlepoint l > 0, and the relative size of its second-order term.

    Parameters
    ----------
    exponent, l, k2, k3, k4 : np.ndarray, any one shape
        l s - K(l), the saddlepoint, and K'', K''', K'''' there.

    Returns
    -------
    log_p, second : np.ndarray
        Second-order logarithm of the tail (NaN where the formula is not positive), and
        |second-order / first-order - 1|.
    """
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        w = np.sqrt(2.0 * np.maximum(exponent, 0.0))
        u = l * np.sqrt(k2)
        r3 = k3 / k2**1.5
        r4 = k4 / k2**2
        mills = np.sqrt(0.5 * np.pi) * erfcx(w / np.sqrt(2.0))
        first = mills + 1.0 / u - 1.0 / w
        extra = (r4 / 8.0 - 5.0 * r3**2 / 24.0) / u - r3 / (2.0 * u * u) - 1.0 / u**3 + 1.0 / w**3
        total = first + extra
        log_p = np.where(
            total > 0.0, np.log(total) - 0.5 * w * w - 0.5 * np.log(2.0 * np.pi), np.nan
        )
        second = np.abs(extra / first)
    return log_p, second


def combine_sides(log_upper: np.ndarray, log_lower: np.ndarray, side: str) -> np.ndarray:
    """p-values from the logarithms of both tails.

    Parameters
    ----------
    log_upper, log_lower : np.ndarray
        log P(T >= t) and log P(T <= t).
    side : {"both", "right", "left"}
        "both" is twice the smaller tail, at most 1.

    Returns
    -------
    np.ndarray
        p-values, never below 1e-300; NaN stays NaN.

    Raises
    ------
    OptionError
        For an unknown side.
    """
    check_choice("side", side, SIDES)
    if side == "right":
        log_p = log_upper
    elif side == "left":
        log_p = log_lower
    else:
        log_p = np.minimum(log_upper, log_lower) + np.log(2.0)
    return np.exp(np.clip(log_p, LOG_SMALLEST, 0.0))


def other_tail(log_p: np.ndarray) -> np.ndarray:
    """log(1 - p): the tail opposite to one that was computed on its own side."""
    with np.errstate(divide="ignore"):
        return np.log(-np.expm1(np.minimum(log_p, 0.0)))
