"""Ranks of a few treated cells among many control cells that are sorted already, compiled.

With V the sorted control values and y a treated one, below = #{V < y} and upto = #{V <= y}, ties
being as in `kernels.ranks`: its rank among all is its rank among the treated and
(below + upto) / 2 more. The rank of the control at place c (from 0) of V rises by
(#{upto <= c} + #{below <= c}) / 2, which is the same for all places
of a run of ties, so any place of the run serves: the integer part of its average rank.

That shift is a staircase over places with as many steps as there are treated cells. It is kept in
two levels, sixteen places to a bucket, and buckets without a step share one entry: what is looked
up for the cells in turn then stays in the nearest caches.
"""

from __future__ import annotations

import numpy as np

from programde.compiled import njit
from programde.crt.kernels.logistic import FAST
from programde.crt.kernels.pooled_cumulants import powers_of_four, weights_of
from programde.crt.kernels.ranks import SIGN, TIED

_TILE = 256
#: Cells that are looked up in one staircase after another: so many pay for fetching it.
_LONG = 2048
#: Of the sorted values every so many are looked through first.
STRIDE = 8
#: Room that `steps` needs in `fine` for each treated cell, and besides.
ROOM, MORE = 64, 32


@njit(nogil=True, error_model="numpy", inline="always")
def _key(x):  # pragma: no cover - compiled
    """Orders as x does, in units in the last place; x is not -0."""
    bits = np.float64(x).view(np.int64)
    return np.uint64(~bits) if bits < 0 else np.uint64(bits) | SIGN


@njit(nogil=True, error_model="numpy")
def _end(row, value, left, right):  # pragma: no cover - compiled
    """The first place in left .. right of ascending `row` that is above `value`."""
    while left < right:
        middle = (left + right) >> 1
        if row[middle] <= value:
            left = middle + 1
        else:
            right = middle
    return left


@njit(nogil=True, error_model="numpy")
def _start(row, value, left, right):  # pragma: no cover - compiled
    """The first place in left .. right of ascending `row` that is not below `value`."""
    while left < right:
        middle = (left + right) >> 1
        if row[middle] < value:
            left = middle + 1
        else:
            right = middle
    return left


@njit(nogil=True, cache=True, error_model="numpy")
def merge_ranks(
    V, sampled, average, values, n, centred, below, upto
):  # pragma: no cover - compiled
    """Ranks of treated cells among all n, less (n + 1) / 2; False where a treated value would tie
    controls that are not tied without it.

    V (K, n0) sorted, sampled = V[:, ::STRIDE], average (K, n0) the ranks of the controls among
    themselves; values (K, n1) sorted. Fills centred (K, n1) in the order of `values`, below and
    upto (K, n1): controls below, and below or tied.
    """
    K, n0 = V.shape
    n1 = values.shape[1]
    n_sampled = sampled.shape[1]
    for k in range(K):
        row = V[k]
        top = sampled[k]
        ranks = average[k]
        s = 0
        for j in range(n1):
            y = values[k, j]
            while s + 8 < n_sampled and top[s + 8] < y:
                s += 8
            while s < n_sampled and top[s] < y:
                s += 1
            left = max(0, s - 1) * STRIDE
            end = min(left + STRIDE + 1, n0)
            place = left
            for c in range(left, end):
                place += np.int64(row[c] < y)
            key = _key(y)
            over = place < n0 and _key(row[place]) - key <= TIED
            under = place > 0 and key - _key(row[place - 1]) <= TIED
            lo = hi = place
            if over and under and ranks[place] != ranks[place - 1]:
                return False
            if over or under:
                at = place if over else place - 1
                lo = _start(ranks, ranks[at], 0, at)
                hi = _end(ranks, ranks[at], at, n0)
            below[k, j] = lo
            upto[k, j] = hi
        first = 0
        while first < n1:
            last = first
            while last + 1 < n1 and _key(values[k, last + 1]) - _key(values[k, last]) <= TIED:
                last += 1
            lo, hi = below[k, first], upto[k, first]
            for j in range(first, last + 1):
                # one of them may be tied with controls, and then all are
                if upto[k, j] > below[k, j] and (below[k, j] != lo or upto[k, j] != hi):
                    if hi > lo:
                        return False
                    lo, hi = below[k, j], upto[k, j]
            own = 0.5 * (first + last) + 1.0
            for j in range(first, last + 1):
                below[k, j] = lo
                upto[k, j] = hi
                centred[k, j] = own + 0.5 * (lo + hi) - 0.5 * (n + 1)
            first = last + 1
    return True


@njit(nogil=True, cache=True, error_model="numpy")
def steps(below, upto, n0, off, fine):  # pragma: no cover - compiled
    """Staircases of all programs: control c of program k has
    fine[k, 16 off[k, c >> 4] + (c & 15)] = #{upto <= c} + #{below <= c}.

    off (K, ceil(n0 / 16)) and fine (K, ROOM n1 + MORE) unsigned, as narrow as they can be.
    """
    m = below.shape[1]
    n_buckets = (n0 + 15) >> 4
    for k in range(below.shape[0]):
        lo, hi = below[k], upto[k]
        a = b = at = 0
        bucket = 0
        while bucket < n_buckets:
            c0 = bucket << 4
            while a < m and lo[a] <= c0:
                a += 1
            while b < m and hi[b] <= c0:
                b += 1
            following = n0
            if a < m:
                following = min(following, lo[a])
            if b < m:
                following = min(following, hi[b])
            # buckets before the one that holds the next step are flat
            flat = n_buckets if following >= n0 else following >> 4
            if flat > bucket:
                for j in range(16):
                    fine[k, (at << 4) + j] = a + b
                for other in range(bucket, flat):
                    off[k, other] = at
                at += 1
                bucket = flat
                continue
            off[k, bucket] = at
            for j in range(16):
                c = c0 + j
                while a < m and lo[a] <= c:
                    a += 1
                while b < m and hi[b] <= c:
                    b += 1
                fine[k, (at << 4) + j] = a + b
            at += 1
            bucket += 1


@njit(nogil=True, error_model="numpy", inline="always")
def _one(rank, off, fine, half):  # pragma: no cover - compiled
    """A control's centred rank among all: half = (n + 1) / 2."""
    c = np.uint32(np.int32(rank) - np.int32(1))
    at = (np.uint32(off[c >> np.uint32(4)]) << np.uint32(4)) + (c & np.uint32(15))
    return rank + (np.float32(0.5) * np.float32(fine[at]) - half)


@njit(nogil=True, error_model="numpy", inline="always")
def _look_up(ranks, off, fine, half, out, n):  # pragma: no cover - compiled
    for i in range(n):
        out[i] = _one(ranks[i], off, fine, half)


@njit(nogil=True, cache=True, error_model="numpy")
def fill_rank_rows(ranks, off, fine, half, rows):  # pragma: no cover - compiled
    """rows[i, k] float32 = centred rank of control i: `ranks` (K, n) float32 and the staircases.

    Sixteen programs at a time, which share a line of the cache in `rows`.
    """
    K, n = ranks.shape
    for first in range(0, K, 16):
        for lo in range(0, n, _TILE):
            m = min(_TILE, n - lo)
            some = rows[lo : lo + m]
            for k in range(first, min(first + 16, K)):
                row, near, far = ranks[k, lo : lo + m], off[k], fine[k]
                for i in range(m):
                    some[i, k] = _one(row[i], near, far, half)


@njit(nogil=True, cache=True, error_model="numpy")
def fill_ranks(ranks, off, fine, half, which, out):  # pragma: no cover - compiled
    """out (J, n) float64 = centred ranks of programs `which` (J,)."""
    for j in range(which.size):
        k = which[j]
        _look_up(ranks[k], off[k], fine[k], half, out[j], ranks.shape[1])


@njit(nogil=True, cache=True, error_model="numpy", fastmath=FAST)
def fill_scaled(
    ranks, off, fine, half, features, first, n_features, live, factor, scaled, local
):  # pragma: no cover - compiled
    """scaled (K, n) float32 = centred ranks of the controls of live batches times factor (K,);
    local (B, r, K) = U_b of the ranks themselves."""
    buffer = np.empty(_TILE)
    for k in range(ranks.shape[0]):
        h = factor[k]
        for b in range(first.size - 1):
            if not live[b]:
                continue
            for lo in range(first[b], first[b + 1], _TILE):
                n = min(_TILE, first[b + 1] - lo)
                _look_up(ranks[k, lo : lo + n], off[k], fine[k], half, buffer, n)
                target = scaled[k, lo : lo + n]
                for i in range(n):
                    target[i] = np.float32(buffer[i] * h)
                for j in range(n_features[b]):
                    u = features[j, lo : lo + n]
                    total = 0.0
                    for i in range(n):
                        total += u[i] * buffer[i]
                    local[b, j, k] += total


@njit(nogil=True, cache=True, error_model="numpy", fastmath={*FAST, "nnan"})
def take_off(
    features, first, n_features, live, along, scaled, place, out, reach
):  # pragma: no cover - compiled
    """out[k, place[i]] = scaled[k, i] - along_b[:, k]'u_i of the controls of live batches, float32;
    along (B, r, K), features (r, n) float32; reach (K,) the largest absolute values."""
    buffer = np.empty(_TILE, np.float32)
    for k in range(scaled.shape[0]):
        row = out[k]
        largest = np.float32(0.0)
        for b in range(first.size - 1):
            if not live[b]:
                continue
            for lo in range(first[b], first[b + 1], _TILE):
                n = min(_TILE, first[b + 1] - lo)
                source = scaled[k, lo : lo + n]
                for i in range(n):
                    buffer[i] = source[i]
                for j in range(n_features[b]):
                    u = features[j, lo : lo + n]
                    y = along[b, j, k]
                    for i in range(n):
                        buffer[i] -= y * u[i]
                for i in range(n):
                    size = abs(buffer[i])
                    largest = size if size > largest else largest
                at = place[lo]
                if place[lo + n - 1] - at == n - 1:
                    target = row[at : at + n]
                    for i in range(n):
                        target[i] = buffer[i]
                else:
                    for i in range(n):
                        row[place[lo + i]] = buffer[i]
        reach[k] = largest


@njit(nogil=True, cache=True, error_model="numpy", fastmath=FAST)
def rank_cumulants(ranks, off, fine, half, first, live, tau, p, out):  # pragma: no cover - compiled
    """Add to out (K, 4) the cumulants of sum_i x_i (c_ik - tau_k), c the centred ranks of the
    controls of live batches, x_i ~ Bernoulli(p_i); tau (K,), p (n or more,)."""
    K = ranks.shape[0]
    a = np.zeros((4, _LONG))
    c2 = np.empty(_LONG)
    c3 = np.empty(_LONG)
    c4 = np.empty(_LONG)
    found = np.empty((4, 4))
    for b in range(first.size - 1):
        if not live[b]:
            continue
        for lo in range(first[b], first[b + 1], _LONG):
            n = min(_LONG, first[b + 1] - lo)
            weights_of(p, lo, n, c2, c3, c4)
            some = p[lo : lo + n]
            for k in range(0, K, 4):
                together = min(4, K - k)
                for j in range(together):
                    row = a[j]
                    _look_up(ranks[k + j, lo : lo + n], off[k + j], fine[k + j], half, row, n)
                    t = tau[k + j]
                    for i in range(n):
                        row[i] -= t
                powers_of_four(a, n, some, c2, c3, c4, found)
                for j in range(together):
                    for c in range(4):
                        out[k + j, c] += found[j, c]


@njit(nogil=True, cache=True, error_model="numpy")
def rank_within(sorted_places, V, average, slots_rank):  # pragma: no cover - compiled
    """Average ranks (from 1), ties as in `kernels.ranks`: by place in average (K, n0) float32, by
    cell in slots_rank (K, n) float32; sorted_places (K, n0) the cell at each place of V (K, n0)."""
    K, n = V.shape
    for k in range(K):
        row, places, out = V[k], sorted_places[k], slots_rank[k]
        first = 0
        while first < n:
            last = first
            while last + 1 < n and _key(row[last + 1]) - _key(row[last]) <= TIED:
                last += 1
            rank = np.float32(0.5 * (first + last) + 1.0)
            for i in range(first, last + 1):
                out[places[i]] = rank
                average[k, i] = rank
            first = last + 1


@njit(nogil=True, cache=True, error_model="numpy")
def rank_live(sorted_places, V, average, member, slots_rank):  # pragma: no cover - compiled
    """`rank_within` among the cells that are members (n,); others get a rank that can be looked up.

    V, sorted_places and average (K, n) are those of all cells: cells that are tied among members
    are tied among all, but not the other way round, where one between them is no member.
    """
    K, n = V.shape
    for k in range(K):
        row, places, ranks, out = V[k], sorted_places[k], average[k], slots_rank[k]
        below = 0
        first = 0
        while first < n:
            place = places[first]
            following = first + 1
            if following == n or ranks[following] != ranks[first]:
                below += np.int64(member[place])
                out[place] = np.float32(max(below, 1))
                first = following
                continue
            if not member[place]:
                out[place] = np.float32(1.0)
                first = following
                continue
            count = 1
            last = first
            while following < n and ranks[following] == ranks[first]:
                if member[places[following]]:
                    if _key(row[following]) - _key(row[last]) > TIED:
                        break
                    count += 1
                    last = following
                following += 1
            rank = np.float32(below + 0.5 * (count + 1))
            for i in range(first, last + 1):
                if member[places[i]]:
                    out[places[i]] = rank
            below += count
            first = following


@njit(nogil=True, cache=True, error_model="numpy")
def keep_live(sorted_places, V, member, places_out, V_out):  # pragma: no cover - compiled
    """Of sorted values those of cells that are members (n,)."""
    K, n = V.shape
    for k in range(K):
        at = 0
        for i in range(n):
            place = sorted_places[k, i]
            if member[place]:
                places_out[k, at] = place
                V_out[k, at] = V[k, i]
                at += 1
