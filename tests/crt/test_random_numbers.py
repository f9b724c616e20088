"""The compiled generator against SplitMix64 in Python integers, and the laws made from it."""

import math

import numpy as np
import pytest
from scipy import stats

from programde.crt.kernels import random_numbers as rn
from tests.crt.small import PlainStream


def compiled_exponentials(key, n):
    counter = np.array([key], dtype=np.uint64)
    out, scratch = np.empty(n), np.empty(n)
    rn.fill_exponentials(counter, out, scratch)
    return out, counter[0]


def test_reference_values_of_splitmix64():
    # published for the seed 1234567 (Rosetta Code, "Pseudo-random numbers/Splitmix64")
    stream = PlainStream(1234567)
    assert [stream.bits() for _ in range(5)] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


@pytest.mark.parametrize("key", [0, 1, 1234567, 2**63, 2**64 - 1])
def test_exponentials_equal_minus_log_of_the_plain_uniforms(key):
    n = 3000
    out, counter = compiled_exponentials(key, n)
    stream = PlainStream(key)
    plain = [stream.exponential() for _ in range(n)]
    # near u = 1 the logarithm is the small difference of two terms of size log 2
    np.testing.assert_allclose(out, plain, rtol=1e-14, atol=4e-16)
    assert int(counter) == stream.state


def test_exponentials_continue_where_the_last_block_ended():
    whole, _ = compiled_exponentials(99, 500)
    counter = np.array([99], dtype=np.uint64)
    parts = []
    for size in (1, 7, 192, 300):
        out, scratch = np.empty(size), np.empty(size)
        rn.fill_exponentials(counter, out, scratch)
        parts.append(out)
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.slow
@pytest.mark.brief
def test_exponentials_follow_the_exponential_law():
    # 4e5 variates; KS and the first three moments each at false-alarm rate 1e-4
    n = 400_000
    out, _ = compiled_exponentials(20240607, n)
    assert stats.kstest(out, "expon").pvalue > 1e-4
    z = stats.norm.isf(0.5e-4)
    for power in (1, 2, 3):
        mean, square = math.factorial(power), math.factorial(2 * power)
        se = math.sqrt((square - mean**2) / n)
        assert abs((out**power).mean() - mean) < z * se
    lag = np.corrcoef(out[:-1], out[1:])[0, 1]
    assert abs(lag) < z / math.sqrt(n)


def test_exponentials_stay_inside_the_range_of_the_uniforms():
    out, _ = compiled_exponentials(5, 200_000)
    assert (out > 0).all()
    assert (out < -math.log(0.5 * 2.0**-52) + 1e-9).all()


def bounds_of(size, m):
    return np.arange(size, size - m, -1, dtype=np.uint64)


@pytest.mark.parametrize("size", [1, 2, 5, 1000, 3 * 2**30])
def test_swaps_equal_their_plain_twin(size):
    m = min(size, 400)
    counter = np.array([77], dtype=np.uint64)
    swaps = np.empty(m, dtype=np.uint64)
    rn.fill_swaps(counter, size, bounds_of(size, m), swaps)
    # the kernel proposes all m numbers first, then draws again what Lemire's test rejects
    stream = PlainStream(77)
    proposed = [(stream.bits() >> 32) * (size - j) for j in range(m)]
    plain = []
    for j, product in enumerate(proposed):
        rejected = product % 2**32 < 2**32 % (size - j)
        plain.append(j + (stream.below(size - j) if rejected else product >> 32))
    assert swaps.tolist() == plain
    assert int(counter[0]) == stream.state


def test_swaps_are_uniform_where_the_bound_does_not_divide_two_to_the_32():
    # at a bound of 3 * 2^30 multiplication without rejection gives remainders 0, 1, 2 modulo 3
    # with probabilities 1/2, 1/4, 1/4; false-alarm rate 1e-4
    counter = np.array([3], dtype=np.uint64)
    swap, seen = np.empty(1, dtype=np.uint64), np.zeros(3, dtype=np.int64)
    for _ in range(30_000):
        rn.fill_swaps(counter, 3 * 2**30, bounds_of(3 * 2**30, 1), swap)
        seen[int(swap[0]) % 3] += 1
    assert stats.chisquare(seen).pvalue > 1e-4


def test_swaps_reach_every_place_equally():
    # chi-square over the places of one swap and over pairs of swaps; false-alarm rate 1e-4 each
    size, m, repeats = 7, 2, 40_000
    counter = np.array([11], dtype=np.uint64)
    seen = np.empty((repeats, m), dtype=np.uint64)
    rn.fill_swaps(counter, size, np.tile(bounds_of(size, m), repeats), seen.reshape(-1))
    seen = seen.astype(np.int64)
    assert seen[:, 1].min() == 1
    pairs = np.bincount(seen[:, 0] * (size - 1) + seen[:, 1] - 1, minlength=size * (size - 1))
    assert pairs.size == size * (size - 1)
    assert stats.chisquare(pairs).pvalue > 1e-4
