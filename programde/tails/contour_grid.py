"""Cells as terms of a contour integral: those of large odds singly, those of small odds on a grid.

The integrand of `contour` is a smooth function of each cell's summand, weighted with
powers of its tilted odds. So thousands of cells may be replaced by some hundred grid points of
summand values (four-point interpolation, an error of the fourth order in the pitch), and a node
costs microseconds whatever the number of cells.

A grid cannot follow frequencies beyond `GRID_REACH` / pitch; there its cells' share of the
integrand is taken as 0, which blurs their summands by a fiftieth of their spread and moves the
tail by the square of that. Cells tied at the end of a group (zeros, when ranked) are an atom, not
a smooth part, and stay a single exact term.
"""

from __future__ import annotations

import numpy as np

from programde.compiled import njit

# how a group's factor of the integrand is computed
FREE, SERIES, LAPLACE = 0, 1, 2

SMALL_ODDS = 0.1  # cells up to these tilted odds enter through four powers of them
LONGEST_SERIES = 600  # totals above this underflow
_SERIES_WORK = 600_000  # most products per node of one group

GRID_REACH = 2.0
_NOTHING = 1e-60  # tilted odds below this are 0, and no power of the others is denormal
_GRID = 4096  # most grid points of one group
_STEPS = 16  # grid points per mean absolute deviation of the tilted summands
_FAR_CELLS = 1000  # most cells left off the grid because they lie far out
_TIED_SHARE = 0.01  # share of a group's odds from which a tie at its end is a term


@njit(nogil=True, cache=True, error_model="numpy")
def group_rule(odds, lo, hi, total):
    """(kind, up to which odds are small) of a group drawing `total` cells (-1: free).

    Totals up to 4 need no more than four power sums whatever the odds; small groups go cell by
    cell; larger ones are split at `SMALL_ODDS`, with Laplace's formula where that is most work.
    """
    if total < 0:
        return FREE, SMALL_ODDS
    if (hi - lo) * total <= 512:
        return SERIES, 0.0
    if total <= 4:
        return SERIES, np.inf
    n_large = 0
    for i in range(lo, hi):
        n_large += odds[i] > SMALL_ODDS
    if total <= LONGEST_SERIES and total * (n_large + 4) <= _SERIES_WORK:
        return SERIES, SMALL_ODDS
    return LAPLACE, SMALL_ODDS


@njit(nogil=True, cache=True, error_model="numpy")
def _grid_of(a, odds, small, lo, hi):
    """(lowest value, highest value, pitch) of a grid for the cells of small odds of one group."""
    total = 0.0
    mean = 0.0
    low = np.inf
    high = -np.inf
    for i in range(lo, hi):
        if small[i]:
            total += odds[i]
            mean += odds[i] * a[i]
            low = min(low, a[i])
            high = max(high, a[i])
    mean /= total
    core = 0.0
    for i in range(lo, hi):
        if small[i]:
            core += odds[i] * abs(a[i] - mean)
    pitch = max(core / total, 1e-9 * (high - low), 1e-300) / _STEPS
    while high - low > (_GRID - 8) * pitch:
        bottom = mean - (_GRID / 2 - 4) * pitch
        top = mean + (_GRID / 2 - 4) * pitch
        far = 0
        for i in range(lo, hi):
            if small[i] and not (bottom < a[i] < top):
                far += 1
        if far <= _FAR_CELLS:
            return max(low, bottom), min(high, top), pitch
        pitch *= 2.0
    return low, high, pitch


@njit(nogil=True, cache=True, error_model="numpy")
def _gather(a, odds, small, lo, hi, low, pitch, high, weights, angle, used):
    """Spread cells of small odds of one group over grid points from place `used` on; returns it."""
    points = int((high - low) / pitch) + 5
    origin = low - pitch
    for j in range(points):
        angle[used + j] = origin + j * pitch
        for power in range(4):
            weights[power, used + j] = 0.0
    for i in range(lo, hi):
        if not small[i]:
            continue
        x = (a[i] - origin) / pitch
        j = int(x)
        t = x - j
        w0 = -t * (t - 1.0) * (t - 2.0) / 6.0
        w1 = (t + 1.0) * (t - 1.0) * (t - 2.0) / 2.0
        w2 = -(t + 1.0) * t * (t - 2.0) / 2.0
        w3 = (t + 1.0) * t * (t - 1.0) / 6.0
        o = odds[i]
        for power in range(4):
            weights[power, used + j - 1] += w0 * o
            weights[power, used + j] += w1 * o
            weights[power, used + j + 1] += w2 * o
            weights[power, used + j + 2] += w3 * o
            o *= odds[i]
    return used + points


@njit(nogil=True, cache=True, error_model="numpy")
def _ties(a, odds, small, lo, hi, weights, angle, used):
    """Make one term of the small odds tied at the lowest, one of those at the highest value."""
    for sign in (1.0, -1.0):
        end = np.inf
        total = 0.0
        tied = 0.0
        for i in range(lo, hi):
            if small[i]:
                total += odds[i]
                if sign * a[i] < end:
                    end = sign * a[i]
        slack = 1e-12 * abs(end)
        for i in range(lo, hi):
            if small[i] and sign * a[i] <= end + slack:
                tied += odds[i]
        if not tied >= _TIED_SHARE * total or not tied > 0.0:
            continue
        angle[used] = sign * end
        for power in range(4):
            weights[power, used] = 0.0
        for i in range(lo, hi):
            if small[i] and sign * a[i] <= end + slack:
                small[i] = False
                o = odds[i]
                for power in range(4):
                    weights[power, used] += o
                    o *= odds[i]
        used += 1
    return used


@njit(nogil=True, cache=True, error_model="numpy")
def make_terms(a, odds, first, limit, gather_above):
    """Terms of all groups.

    Parameters
    ----------
    a, odds : (n,)
        Summands and tilted odds, group after group; odds below `_NOTHING` become 0.
    first : (G + 1,) int64
        Group g holds cells first[g] : first[g + 1].
    limit : (G,)
        Odds are small up to these (`group_rule`).
    gather_above : int
        Groups of more cells of small odds than this go on a grid.

    Returns
    -------
    small_start (G + 1,), grid_start (G,), angle (M,), weights (4, M): group g has small terms
    small_start[g] : small_start[g + 1], those from grid_start[g] on being a grid;
    single_start (G + 1,), single_angle (H,), single_odds (H,);
    reach: the frequency up to which all grids hold (infinity without a grid).
    """
    n = a.size
    G = limit.size
    small = np.empty(n, dtype=np.bool_)
    single = np.zeros(n, dtype=np.bool_)
    counts = np.zeros(G, dtype=np.int64)
    room = 0
    for g in range(G):
        for i in range(first[g], first[g + 1]):
            if not odds[i] > _NOTHING:
                odds[i] = 0.0
            small[i] = limit[g] > 0.0 and odds[i] <= limit[g]
            counts[g] += small[i]
        room += counts[g] if counts[g] <= gather_above else _GRID + 8
    weights = np.empty((4, room))
    angle = np.empty(room)
    small_start = np.zeros(G + 1, dtype=np.int64)
    grid_start = np.zeros(G, dtype=np.int64)
    used = 0
    widest = 0.0
    for g in range(G):
        lo, hi = first[g], first[g + 1]
        if counts[g] > gather_above:
            for i in range(lo, hi):
                single[i] = not small[i]
            used = _ties(a, odds, small, lo, hi, weights, angle, used)
            grid_start[g] = used
            left = False
            for i in range(lo, hi):
                left = left or small[i]
            if left:
                low, high, pitch = _grid_of(a, odds, small, lo, hi)
                widest = max(widest, pitch)
                for i in range(lo, hi):
                    if small[i] and (a[i] < low or a[i] > high):
                        small[i] = False
                        single[i] = True
                used = _gather(a, odds, small, lo, hi, low, pitch, high, weights, angle, used)
        else:
            for i in range(lo, hi):
                single[i] = not small[i]
                if small[i]:
                    angle[used] = a[i]
                    o = odds[i]
                    for power in range(4):
                        weights[power, used] = o
                        o *= odds[i]
                    used += 1
            grid_start[g] = used
        small_start[g + 1] = used
    single_start = np.zeros(G + 1, dtype=np.int64)
    n_single = 0
    for i in range(n):
        n_single += single[i]
    single_angle = np.empty(n_single)
    single_odds = np.empty(n_single)
    n_single = 0
    for g in range(G):
        for i in range(first[g], first[g + 1]):
            if single[i]:
                single_angle[n_single] = a[i]
                single_odds[n_single] = odds[i]
                n_single += 1
        single_start[g + 1] = n_single
    # unused columns must not be carried along: every node turns all of them
    kept = np.empty((4, used))
    kept_angle = np.empty(used)
    for i in range(used):
        kept_angle[i] = angle[i]
        for power in range(4):
            kept[power, i] = weights[power, i]
    reach = GRID_REACH / widest if widest > 0.0 else np.inf
    return small_start, grid_start, kept_angle, kept, single_start, single_angle, single_odds, reach
