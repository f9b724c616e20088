"""Cells as items of a contour integral: few or heavy ones singly, many light ones on a grid.

The integrand of `contour` is a smooth function of each cell's summand, weighted with
powers of its tilted odds. So thousands of cells may be replaced by some hundred grid points of
summand values (four-point interpolation, an error of the fourth order in the pitch), and a node
costs microseconds whatever the number of cells.

A grid cannot follow frequencies beyond `GRID_REACH` / pitch; there its cells' share of the
integrand is taken as 0, which blurs their summands by a fiftieth of their spread and moves the
tail by the square of that. Cells tied at the end of a group (zeros, when ranked) are an atom, not
a smooth part, and stay a single exact item.
"""

from __future__ import annotations

import numpy as np

from programde.compiled import njit

# how a group's factor of the integrand is computed
FREE, SERIES, LAPLACE = 0, 1, 2

LIGHT_ODDS = 0.1  # cells up to these tilted odds enter through four powers of them
LONGEST_SERIES = 600  # totals above this underflow
_SERIES_WORK = 600_000  # most products per node of one group

GRID_REACH = 2.0
_NOTHING = 1e-60  # tilted odds below this are 0, and no power of the others is denormal
_GRID = 4096  # most grid points of one group
_STEPS = 16  # grid points per mean absolute deviation of the tilted summands
_FAR_CELLS = 1000  # most cells left off the grid because they lie far out
_TIED_SHARE = 0.01  # share of a group's odds from which a tie at its end is an item


@njit(nogil=True, cache=True, error_model="numpy")
def group_rule(odds, lo, hi, total):
    """(kind, odds up to which cells are light) of a group drawing `total` cells (-1: free).

    Totals up to 4 need no more than four power sums whatever the odds; small groups go cell by
    cell; larger ones are split at `LIGHT_ODDS`, with Laplace's formula for the heaviest work.
    """
    if total < 0:
        return FREE, LIGHT_ODDS
    if (hi - lo) * total <= 512:
        return SERIES, 0.0
    if total <= 4:
        return SERIES, np.inf
    heavy = 0
    for i in range(lo, hi):
        heavy += odds[i] > LIGHT_ODDS
    if total <= LONGEST_SERIES and total * (heavy + 4) <= _SERIES_WORK:
        return SERIES, LIGHT_ODDS
    return LAPLACE, LIGHT_ODDS


@njit(nogil=True, cache=True, error_model="numpy")
def _grid_of(a, odds, light, lo, hi):
    """(lowest value, highest value, pitch) of a grid for the light cells of one group."""
    total = 0.0
    mean = 0.0
    low = np.inf
    high = -np.inf
    for i in range(lo, hi):
        if light[i]:
            total += odds[i]
            mean += odds[i] * a[i]
            low = min(low, a[i])
            high = max(high, a[i])
    mean /= total
    core = 0.0
    for i in range(lo, hi):
        if light[i]:
            core += odds[i] * abs(a[i] - mean)
    pitch = max(core / total, 1e-9 * (high - low), 1e-300) / _STEPS
    while high - low > (_GRID - 8) * pitch:
        bottom = mean - (_GRID / 2 - 4) * pitch
        top = mean + (_GRID / 2 - 4) * pitch
        far = 0
        for i in range(lo, hi):
            if light[i] and not (bottom < a[i] < top):
                far += 1
        if far <= _FAR_CELLS:
            return max(low, bottom), min(high, top), pitch
        pitch *= 2.0
    return low, high, pitch


@njit(nogil=True, cache=True, error_model="numpy")
def _gather(a, odds, light, lo, hi, low, pitch, high, weights, angle, used):
    """Spread the light cells of one group over grid points from place `used` on; returns it."""
    points = int((high - low) / pitch) + 5
    origin = low - pitch
    for j in range(points):
        angle[used + j] = origin + j * pitch
        for power in range(4):
            weights[power, used + j] = 0.0
    for i in range(lo, hi):
        if not light[i]:
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
def _ties(a, odds, light, lo, hi, weights, angle, used):
    """Make one item of the light cells tied at the lowest, one of those at the highest value."""
    for sign in (1.0, -1.0):
        end = np.inf
        total = 0.0
        tied = 0.0
        for i in range(lo, hi):
            if light[i]:
                total += odds[i]
                if sign * a[i] < end:
                    end = sign * a[i]
        slack = 1e-12 * abs(end)
        for i in range(lo, hi):
            if light[i] and sign * a[i] <= end + slack:
                tied += odds[i]
        if not tied >= _TIED_SHARE * total or not tied > 0.0:
            continue
        angle[used] = sign * end
        for power in range(4):
            weights[power, used] = 0.0
        for i in range(lo, hi):
            if light[i] and sign * a[i] <= end + slack:
                light[i] = False
                o = odds[i]
                for power in range(4):
                    weights[power, used] += o
                    o *= odds[i]
        used += 1
    return used


@njit(nogil=True, cache=True, error_model="numpy")
def make_items(a, odds, first, limit, gather_above):
    """Items of all groups.

    Parameters
    ----------
    a, odds : (n,)
        Summands and tilted odds, group after group; odds below `_NOTHING` become 0.
    first : (G + 1,) int64
        Group g holds cells first[g] : first[g + 1].
    limit : (G,)
        Cells are light up to these odds (`group_rule`).
    gather_above : int
        Groups of more light cells than this go on a grid.

    Returns
    -------
    light_start (G + 1,), grid_start (G,), angle (M,), weights (4, M): group g has light items
    light_start[g] : light_start[g + 1], those from grid_start[g] on being a grid;
    heavy_start (G + 1,), heavy_angle (H,), heavy_odds (H,);
    reach: the frequency up to which all grids hold (infinity without a grid).
    """
    n = a.size
    G = limit.size
    light = np.empty(n, dtype=np.bool_)
    single = np.zeros(n, dtype=np.bool_)
    counts = np.zeros(G, dtype=np.int64)
    room = 0
    for g in range(G):
        for i in range(first[g], first[g + 1]):
            if not odds[i] > _NOTHING:
                odds[i] = 0.0
            light[i] = limit[g] > 0.0 and odds[i] <= limit[g]
            counts[g] += light[i]
        room += counts[g] if counts[g] <= gather_above else _GRID + 8
    weights = np.empty((4, room))
    angle = np.empty(room)
    light_start = np.zeros(G + 1, dtype=np.int64)
    grid_start = np.zeros(G, dtype=np.int64)
    used = 0
    widest = 0.0
    for g in range(G):
        lo, hi = first[g], first[g + 1]
        if counts[g] > gather_above:
            for i in range(lo, hi):
                single[i] = not light[i]
            used = _ties(a, odds, light, lo, hi, weights, angle, used)
            grid_start[g] = used
            left = False
            for i in range(lo, hi):
                left = left or light[i]
            if left:
                low, high, pitch = _grid_of(a, odds, light, lo, hi)
                widest = max(widest, pitch)
                for i in range(lo, hi):
                    if light[i] and (a[i] < low or a[i] > high):
                        light[i] = False
                        single[i] = True
                used = _gather(a, odds, light, lo, hi, low, pitch, high, weights, angle, used)
        else:
            for i in range(lo, hi):
                single[i] = not light[i]
                if light[i]:
                    angle[used] = a[i]
                    o = odds[i]
                    for power in range(4):
                        weights[power, used] = o
                        o *= odds[i]
                    used += 1
            grid_start[g] = used
        light_start[g + 1] = used
    heavy_start = np.zeros(G + 1, dtype=np.int64)
    heavies = 0
    for i in range(n):
        heavies += single[i]
    heavy_angle = np.empty(heavies)
    heavy_odds = np.empty(heavies)
    heavies = 0
    for g in range(G):
        for i in range(first[g], first[g + 1]):
            if single[i]:
                heavy_angle[heavies] = a[i]
                heavy_odds[heavies] = odds[i]
                heavies += 1
        heavy_start[g + 1] = heavies
    # unused columns must not be carried along: every node turns all of them
    kept = np.empty((4, used))
    kept_angle = np.empty(used)
    for i in range(used):
        kept_angle[i] = angle[i]
        for power in range(4):
            kept[power, i] = weights[power, i]
    reach = GRID_REACH / widest if widest > 0.0 else np.inf
    return light_start, grid_start, kept_angle, kept, heavy_start, heavy_angle, heavy_odds, reach
