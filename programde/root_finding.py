"""A root between two ends, without scipy.optimize, which takes as long to import as numpy twice.

Chandrupatla's method: inverse quadratic interpolation through the last three points where they
are shaped so that it is safe, else bisection.

Source: T. R. Chandrupatla, Advances in Engineering Software 28 (1997) 145-149.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isnan

from programde.errors import OptionError

#: Two ends closer than this share of a root's size (or than this, where it is below 1) are one.
TOLERANCE = 4e-16
MOST_STEPS = 200


def bracketed_root(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a continuous function of one number is 0.

    Parameters
    ----------
    function
        Of different signs (or 0) at `low` and `high`.
    low, high
        The two ends.

    Returns
    -------
    float
        Within a few units in the last place, as far as the function's own rounding allows.

    Raises
    ------
    OptionError
        The function has one sign at both ends, or is NaN there.

    Examples
    --------
    >>> round(bracketed_root(lambda x: x * x - 2.0, 0.0, 2.0), 12)
    1.414213562373
    """
    b, a = float(low), float(high)
    f_b, f_a = float(function(b)), float(function(a))
    if f_a == 0.0 or f_b == 0.0:
        return a if f_a == 0.0 else b
    if isnan(f_a) or isnan(f_b) or (f_a > 0) == (f_b > 0):
        raise OptionError(f"no root between {low:g} ({f_b:g}) and {high:g} ({f_a:g})")
    at = 0.5
    for _ in range(MOST_STEPS):
        x = a + at * (b - a)
        f_x = float(function(x))
        if (f_x > 0) == (f_a > 0):
            c, f_c = a, f_a
        else:
            c, b, f_c, f_b = b, a, f_b, f_a
        a, f_a = x, f_x
        best = a if abs(f_a) < abs(f_b) else b
        nearest = TOLERANCE * max(1.0, abs(best)) / max(abs(b - a), 1e-300)
        if nearest > 0.5 or f_a == 0.0:
            return best
        # where the three points lie, and how the function falls between them
        place, value = (a - b) / (c - b), (f_a - f_b) / (f_c - f_b)
        at = 0.5
        if value * value < place and (1.0 - value) ** 2 < 1.0 - place:
            at = f_a / (f_b - f_a) * f_c / (f_b - f_c)
            at += (c - a) / (b - a) * f_a / (f_c - f_a) * f_b / (f_c - f_b)
        at = min(max(at, nearest), 1.0 - nearest)
    return best
