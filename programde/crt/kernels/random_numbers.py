"""A counter-based generator and what the samplers need of it, compiled.

SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators"): output
j of a stream is a bijective mix of key + j * gamma modulo 2^64, so a block of outputs can be made
by a vector loop. Exponential variates are -log(u), u uniform on the centres of 2^52 equal cells of
(0, 1), with the logarithm written as exponent and odd series so that the compiler vectorises it.

A stream is the tuple ``(counter, exponentials, exponents)`` made by `new_stream`; exponentials are
made `BLOCK` at a time and consumed one by one, first when the place in them is `END`.

Places in arrays are unsigned where it counts: numba then need not ask whether they count from the
end, which would take a fifth of the samplers' time.
"""

from __future__ import annotations

import math

import numpy as np

from programde.compiled import njit

GAMMA = np.uint64(0x9E3779B97F4A7C15)
MIX1 = np.uint64(0xBF58476D1CE4E5B9)
MIX2 = np.uint64(0x94D049BB133111EB)
S27, S30, S31, S12, S32 = (np.uint64(s) for s in (27, 30, 31, 12, 32))
ONE = np.uint64(1)
LOW32 = np.uint64(0xFFFFFFFF)
TWO_M52 = 1.0 / 4503599627370496.0
LN2 = math.log(2.0)
#: Bits of sqrt(1/2): mantissas are folded into [sqrt(1/2), sqrt(2)).
ROOT_HALF_BITS = np.int64(0x3FE6A09E667F3BCD)
S52 = np.int64(52)
BLOCK = 2048
END = np.uint64(BLOCK)


@njit(inline="always")
def mix(z):  # pragma: no cover - compiled
    """The finaliser of SplitMix64: a bijection of the 64-bit integers."""
    z = (z ^ (z >> S30)) * MIX1
    z = (z ^ (z >> S27)) * MIX2
    return z ^ (z >> S31)


@njit(nogil=True, cache=True)
def new_stream(key):  # pragma: no cover - compiled
    """A fresh stream from a 64-bit key."""
    counter = np.empty(1, np.uint64)
    counter[0] = np.uint64(key)
    return counter, np.empty(BLOCK, np.float64), np.empty(BLOCK, np.float64)


@njit(
    nogil=True,
    cache=True,
    error_model="numpy",
    fastmath={"contract", "reassoc", "arcp", "nsz"},
    forceinline=True,
)
def fill_exponentials(counter, out, exponents):  # pragma: no cover - compiled
    """Fill `out` with standard exponential variates from the next `out.size` counter values."""
    n = out.size
    start = counter[0]
    for k in range(n):
        z = mix(start + np.uint64(k + 1) * GAMMA)
        out[k] = (np.float64(np.int64(z >> S12)) + 0.5) * TWO_M52
    counter[0] = start + np.uint64(n) * GAMMA
    bits = out.view(np.int64)
    for k in range(n):
        e = (bits[k] - ROOT_HALF_BITS) >> S52
        exponents[k] = np.float64(e)
        bits[k] -= e << S52
    for k in range(n):
        # log m = 2 atanh(s), s = (m-1)/(m+1), |s| <= 0.1716: ten terms give full precision
        s = (out[k] - 1.0) / (out[k] + 1.0)
        z2 = s * s
        tail = 2.0 / 19.0 + z2 * (2.0 / 21.0)
        tail = 2.0 / 15.0 + z2 * (2.0 / 17.0 + z2 * tail)
        tail = 2.0 / 11.0 + z2 * (2.0 / 13.0 + z2 * tail)
        tail = 2.0 / 7.0 + z2 * (2.0 / 9.0 + z2 * tail)
        tail = 2.0 / 3.0 + z2 * (2.0 / 5.0 + z2 * tail)
        out[k] = -(exponents[k] * LN2 + (2.0 * s + s * (z2 * tail)))


@njit(inline="always")
def next_holding(b, gap, at, counter, exponentials, exponents):  # pragma: no cover - compiled
    """The next resample after `b` that holds a cell, and where the stream then is.

    With inclusion probability q, the number of resamples skipped before the next inclusion is
    floor(E * gap), E standard exponential and gap = -1 / log(1 - q): exactly geometric. Start a
    cell at b = -1; it is done when the result is beyond the last resample. The place `at` in the
    stream is passed along, so that it stays in a register.
    """
    if at == END:
        fill_exponentials(counter, exponentials, exponents)
        at = np.uint64(0)
    return b + 1 + np.int64(exponentials[at] * gap), at + ONE


@njit(inline="always")
def below(counter, n):  # pragma: no cover - compiled
    """A uniform integer in [0, n), n < 2^32, exactly (Lemire 2019, multiply and reject)."""
    bound = np.uint64(n)
    threshold = ((LOW32 - bound) + ONE) % bound
    while True:
        counter[0] += GAMMA
        product = (mix(counter[0]) >> S32) * bound
        if product & LOW32 >= threshold:
            return np.int64(product >> S32)


@njit(nogil=True, cache=True, error_model="numpy")
def fill_swaps(counter, size, bounds, swaps):  # pragma: no cover - compiled
    """swaps[j] uniform on {size - bounds[j], ..., size - 1}, for all j; uint64 arrays.

    With bounds size, size - 1, ..., size - m + 1 these are the choices of a partial Fisher-Yates
    shuffle of m out of size; several shuffles may stand one after another.

    The multiply without Lemire's rejection test runs as a vector loop; where one of the few that
    the test might reject (a share of size / 2^32) turns up, it is applied, and what it rejects is
    drawn again.
    """
    start = counter[0]
    suspects = 0
    for j in range(bounds.size):
        product = (mix(start + np.uint64(j + 1) * GAMMA) >> S32) * bounds[j]
        swaps[j] = (product >> S32) + (np.uint64(size) - bounds[j])
        suspects += (product & LOW32) < bounds[j]
    counter[0] = start + np.uint64(bounds.size) * GAMMA
    if suspects > 0:
        for j in range(bounds.size):
            bound = bounds[j]
            product = (mix(start + np.uint64(j + 1) * GAMMA) >> S32) * bound
            if (product & LOW32) < ((LOW32 - bound) + ONE) % bound:
                swaps[j] = np.uint64(below(counter, bound)) + (np.uint64(size) - bound)
