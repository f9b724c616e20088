"""Tail probabilities by numerical inversion along the vertical line through the saddlepoint.

For a sum S with cumulant generating function K and any c > 0 in its domain
    P(S >= s) = e^(K(c) - c s) / pi * integral_0^inf Re[ phi(y) e^(-i y s) / (c + i y) ] dy,
    phi(y) = e^(K(c + i y) - K(c)).
The trapezoid rule with step h errs only by the tilted law's mass beyond s +- 2 pi / h (Poisson's
summation formula), so a few dozen nodes give as many digits as one likes; the Lugannani-Rice
formula is the Laplace approximation of the same integral. It is used where that approximation is
poor: few treated cells, or sums in which a few large summands dominate.

phi is a product over groups of cells. With tilted odds o_i = odds(p_i) e^(c a_i) and
b_i = o_i e^(i y a_i), a group is
* free (Bernoulli draws): prod (1 + b_i) / prod (1 + o_i);
* of fixed total m (draws without replacement): e_m(b) / e_m(o), elementary symmetric polynomials:
  the coefficient of z^m in prod (1 + z b_i), from its power series. Where that is too much work
  (many treated cells in a stratum), by Cauchy's formula, whose own saddlepoint z
  (sum z b_i / (1 + z b_i) = m) gives prod (1 + z b_i) z^-m / sqrt(Q) with
  Q = sum z b_i / (1 + z b_i)^2. The error of that Laplace approximation is the same at y and at
  0 to leading order, and cancels in the ratio.
Cells with small odds enter only through the power sums F_j = sum b_i^j, j = 1 .. 4 (log(1 + z b)
= z b - z^2 b^2 / 2 + ..., odds <= 0.1), so they may be gathered on a grid of summand values
first; the others enter one by one.
Sums on a lattice of span d (ranks, counts) are integrated over one period, |y| <= pi / d, with
d / 2 / sinh(z d / 2) in the place of 1 / z and s - d / 2 in the place of s: exact for P(S >= s).

Source: Daniels 1954, Annals of Mathematical Statistics 25:631; Strawderman 2004 (Poisson summation
for the inversion of tilted laws), Journal of Statistical Planning and Inference 124:101.
"""

from __future__ import annotations

import numpy as np

from programde.compiled import njit
from programde.tails.contour_factors import (
    laplace_total,
    power_sums,
    series_coefficient,
    series_start,
    single_product,
    single_sum,
    small_sums,
    turn_by_step,
)
from programde.tails.contour_grid import FREE, LAPLACE, LONGEST_SERIES, SERIES

LEAST_CAP, MOST_CAP = 2_000, 40_000  # nodes at which an integral is closed by blurring
FREE_WORK = 2_000_000  # terms times nodes that are not worth saving


@njit(nogil=True, cache=True, error_model="numpy")
def _phase(values, node, h, s):
    """Real part of a stored node times e^(-i y s)."""
    y = node * h
    return (values[node] * complex(np.cos(y * s), -np.sin(y * s))).real


@njit(nogil=True, cache=True, error_model="numpy")
def blurred_sum(values, c, s, h, cap):
    """The trapezoid sums where phi has not died away at the cap: atoms in the law.

    The law is blurred by a normal whose factor e^(-(width y)^2 / 2) closes the integral, and the
    threshold lowered by 2.5 of its widths, so that an atom at s is counted.
    """
    width = 4.0 / (h * cap)
    lowered = s - 2.5 * width
    tail = 0.5 * values[0].real
    coarse = tail
    for node in range(1, cap + 1):
        term = _phase(values, node, h, lowered) * np.exp(-0.5 * (width * node * h) ** 2)
        tail += term
        if node % 2 == 0:
            coarse += term
    factor = np.exp(2.5 * c * width) * h / np.pi
    return factor * tail, 2.0 * factor * coarse


@njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
def contour_tail(
    small_start, grid_start, small_angle, weights, single_start, single_angle, odds, reach, totals,
    kinds, c, s, h, y_min, cap, scale, log_rest, span,
):  # fmt: skip
    """Trapezoid sum of Re[phi(y) e^(-iys) / (c + iy)] / pi over y = 0, h, 2h, ...

    Parameters
    ----------
    small_start, grid_start, small_angle, weights, single_start, single_angle, odds, reach
        Items of `make_terms`: summands and weights of F_1 .. F_4; summands and tilted odds.
    totals : (G,) int64
        Treated cells of the group, or -1 for a free one.
    kinds : (G,) int64
        FREE, SERIES or LAPLACE (`group_rule`).
    c, s, h : float
        Contour, threshold (moved by half a span on a lattice), step.
    y_min : float
        The sum goes on at least to here.
    cap : int
        Most nodes; on a lattice the node at pi / span, where the sum ends.
    scale : float
        Rough size of the result, by which the remainder is judged.
    log_rest : float
        log(e^K(c) / P(no cell)): with one free group, the draws of no and of one cell are taken
        out of phi, for they are counted exactly elsewhere; infinity leaves them in.
    span : float
        Lattice span, or 0.

    Returns
    -------
    tail, the same from every second node, nodes (negative: `blurred_sum`), failed nodes; a tail
    that is lost in the rounding of its terms counts as one.
    """
    G = totals.size
    H = single_angle.size
    M = small_angle.size
    cos_now = np.ones(M)
    sin_now = np.zeros(M)
    cos_step = np.empty(M)
    sin_step = np.empty(M)
    for i in range(M):
        cos_step[i] = np.cos(h * small_angle[i])
        sin_step[i] = np.sin(h * small_angle[i])
    now = np.ones(H, dtype=np.complex128)
    turn = np.empty(H, dtype=np.complex128)
    tilted = np.empty(H)
    for i in range(H):
        turn[i] = complex(np.cos(h * single_angle[i]), np.sin(h * single_angle[i]))
        tilted[i] = odds[i] / (1.0 + odds[i])
    f = np.empty(4, dtype=np.complex128)
    f0 = np.zeros((G, 4), dtype=np.complex128)
    z = np.ones(G, dtype=np.complex128)
    q0 = np.ones(G, dtype=np.complex128)
    root = np.ones(G, dtype=np.complex128)
    at_zero = np.ones(G, dtype=np.complex128)
    start = np.ones(G)
    scratch = np.empty(LONGEST_SERIES + 1, dtype=np.complex128)
    for g in range(G):
        lo, hi = single_start[g], single_start[g + 1]
        small_sums(weights, small_start[g], small_start[g + 1], f0[g])
        if kinds[g] == SERIES:
            start[g] = series_start(f0[g], totals[g])
            at_zero[g] = series_coefficient(
                f0[g], start[g], now, tilted, lo, hi, totals[g], scratch
            )
        elif kinds[g] == LAPLACE:
            z[g], at_zero[g], q0[g], _ = laplace_total(f0[g], now, odds, lo, hi, totals[g], z[g])
            at_zero[g] *= z[g] ** (-float(totals[g]))
    rest = np.exp(-log_rest)
    split = rest > 0.0
    # so few draws that the difference below would have no digits: those of two cells are all
    pairs_only = log_rest < 1e-4
    values = np.empty(cap + 1, dtype=np.complex128)
    last_big = 0
    failed = 0
    tail = 0.0
    coarse = 0.0
    size = 0.0
    for node in range(cap + 1):
        y = node * h
        phi = 1.0 + 0.0j
        first = 0.0j
        if node > 0:
            turn_by_step(now, turn)
        for g in range(G):
            lo, hi = single_start[g], single_start[g + 1]
            if node > 0:
                last = small_start[g + 1] if y <= reach else grid_start[g]
                power_sums(cos_now, sin_now, cos_step, sin_step, weights, small_start[g], last, f)
            else:
                for j in range(4):
                    f[j] = f0[g, j]
            if kinds[g] == FREE:
                d = f[0] - f0[g, 0] - (f[1] - f0[g, 1]) / 2.0
                phi *= np.exp(d + (f[2] - f0[g, 2]) / 3.0 - (f[3] - f0[g, 3]) / 4.0)
                phi *= single_product(now, tilted, lo, hi)
                if split:
                    first += f[0] + single_sum(now, odds, lo, hi)
            elif kinds[g] == SERIES:
                term = series_coefficient(f, start[g], now, tilted, lo, hi, totals[g], scratch)
                phi *= term / at_zero[g]
            else:
                z[g], product, q, ok = laplace_total(f, now, odds, lo, hi, totals[g], z[g])
                if not ok:
                    failed += 1
                    phi = 0.0j
                    z[g] = 1.0 + 0.0j
                    break
                # the square root's branch follows the contour
                new_root = np.sqrt(q0[g] / q)
                if (new_root * np.conj(root[g])).real < 0.0:
                    new_root = -new_root
                root[g] = new_root
                phi *= product * z[g] ** (-float(totals[g])) / at_zero[g] * new_root
        if pairs_only:
            phi = 0.5 * (f[0] * f[0] - f[1])
        elif split:
            phi -= rest * (1.0 + first)
        if span > 0.0:
            values[node] = phi * 0.5 * span / np.sinh(0.5 * span * complex(c, y))
        else:
            values[node] = phi / complex(c, y)
        ends = node == 0 or (span > 0.0 and node == cap)
        part = _phase(values, node, h, s) * (0.5 if ends else 1.0)
        tail += part
        size += abs(values[node])
        if node % 2 == 0:
            coarse += part
        # what is left out is phi / pi at most, less by the root of the nodes where phases differ
        left = abs(values[node]) * y / np.pi
        if left > 1e-2 * scale or left > 3e-4 * scale * np.sqrt(node):
            last_big = node
        if (node >= 2 * last_big + 8 and y >= y_min) or (span > 0.0 and node == cap):
            failed += abs(tail) < 1e-11 * size
            return tail * h / np.pi, coarse * 2.0 * h / np.pi, node, failed
    tail, coarse = blurred_sum(values, c, s, h, cap)
    failed += abs(tail) < 1e-11 * size * h / np.pi
    return tail, coarse, -cap, failed


@njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
def log_tail(terms, totals, kinds, c, s, sd, dominant, log_front, log_rest, alone, span):
    """log P(S >= s) from tilted odds: chooses step and length, checks, repeats where needed.

    Parameters
    ----------
    terms, totals, kinds
        As in `make_terms` and `contour_tail`.
    c, s
        Contour and threshold.
    sd, dominant
        Spread of the tilted sum; size of the summands that dominate its fourth moment.
    log_front
        K(c) - c s.
    log_rest, alone
        See `contour_tail`; the probability of what was taken out and counted elsewhere.
    span
        Lattice span or 0; then s lies half a span below a point of the lattice.

    Returns
    -------
    (log p, relative difference from every second node, nodes (negative: blurred), failed)
    """
    small_start, grid_start, angle, weights, single_start, single_angle, single_odds, reach = terms
    scale = 1.0 / (1.0 + 2.5 * c * sd)
    loss = max(-log_front, 0.0) + np.log1p(2.5 * c * sd)
    # aliases: the tilted law beyond s + window / 2, and e^(-c window / 2) of the whole law
    window = 2.0 * max(6.0 * sd + dominant, (10.0 + loss) / c)
    y_min = 10.0 / dominant
    log_p = -np.inf
    gap = 1.0
    nodes = 0
    failed = 0
    for _ in range(6):
        if span > 0.0:
            cap = 2 * int(np.ceil(window / (4.0 * span)))
            window = 2.0 * span * cap
            if cap > 10 * MOST_CAP:
                break
        else:
            # a blur of 4 / y moves the tail by less than a factor e^(10 c / y) = 1.05
            cap = 2 * int(100.0 * c * window / (2.0 * np.pi))
            cap = min(max(cap, LEAST_CAP, FREE_WORK // (angle.size + single_odds.size)), MOST_CAP)
        step = 2.0 * np.pi / window
        tail, coarse, nodes, failed = contour_tail(
            small_start, grid_start, angle, weights, single_start, single_angle, single_odds,
            reach, totals, kinds, c, s, step, y_min, cap, scale, log_rest, span,
        )  # fmt: skip
        many = np.exp(log_front) * tail
        share = abs(many) / (alone + abs(many)) if alone > 0.0 else 1.0
        gap = share * abs(coarse - tail) / max(abs(tail), 1e-300)
        # Chernoff: the integral lies between 0 and 1
        if not (tail <= 1.0 + 1e-6 and (tail > 0.0 or alone > 0.0)):
            failed += 1
        if alone > 0.0:
            log_p = np.log(alone + max(many, 0.0))
        elif tail > 0.0:
            log_p = log_front + np.log(tail)
        if gap >= 2e-3:
            window *= 1.7
        elif nodes > 0 and share * scale > 3.0 * abs(tail):
            # smaller than thought: what was left out must be judged anew
            scale = max(abs(tail), 1e-3 * scale)
        else:
            break
    return log_p, gap, nodes, failed
