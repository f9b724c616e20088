"""The fused draw-and-sum kernels against plain twins that are given the same draws."""

import math

import numpy as np
import pytest

from programde.crt.null_summary import TIE
from programde.crt.samplers.bernoulli import BernoulliLaw
from programde.crt.samplers.stratified import StratifiedLaw
from programde.streams import stream_key
from tests.crt.small import PlainStream, draw_matrix

KEY = stream_key(7, "sums")


def rows_of(n, width, seed=0):
    """Multiples of 1/8: float32 sums of them are exact, so that twins agree to the last bit."""
    rng = np.random.default_rng(seed)
    return (rng.integers(-400, 400, (n, width)) / 8).astype(np.float32)


def bernoulli(n, seed=0):
    p = np.random.default_rng(seed).uniform(0.001, 0.4, n)
    p[: n // 10] = [1e-6, 1 - 1e-6, 0.5, 0.9, 0.99][: n // 10] * 1 if n < 50 else 1e-6
    return BernoulliLaw(p)


def stratified(n, seed=0):
    rng = np.random.default_rng(seed)
    starts = np.concatenate([[0], np.sort(rng.choice(np.arange(1, n), 6, replace=False)), [n]])
    sizes = np.diff(starts)
    totals = np.minimum(sizes, [0, 1, 2, 3, 5, 8, 13])
    totals[-1] = sizes[-1]  # a stratum that is treated as a whole
    return StratifiedLaw(rng.permutation(n), starts, totals)


LAWS = {"bernoulli": bernoulli, "stratified": stratified}


@pytest.mark.parametrize("make", LAWS.values(), ids=LAWS)
@pytest.mark.parametrize("width", [16, 32, 48, 64, 80, 96, 112, 128, 144, 272])
def test_sums_are_those_of_the_listed_draws(make, width):
    n, n_draws = 120, 70
    law, rows = make(n), rows_of(120, width)
    sums, counts = law.sums(rows, n_draws, KEY)
    x = draw_matrix(law, n_draws, KEY, n)
    np.testing.assert_array_equal(sums, (x @ rows).astype(np.float32))
    np.testing.assert_array_equal(counts, x.sum(axis=1))
    assert sums.dtype == np.float32
    assert sums.shape == (n_draws, width)


def test_rows_are_added_one_after_another():
    # the same roundings as a plain loop in float32, whatever stays in registers
    n, n_draws, width = 90, 5, 144
    law = stratified(n)
    rows = np.random.default_rng(2).normal(size=(n, width)).astype(np.float32)
    indptr, indices = law.indices(n_draws, KEY)
    plain = np.zeros((n_draws, width), dtype=np.float32)
    for b in range(n_draws):
        for i in indices[indptr[b] : indptr[b + 1]]:
            plain[b] += rows[i]
    np.testing.assert_array_equal(law.sums(rows, n_draws, KEY)[0], plain)


@pytest.mark.parametrize("make", LAWS.values(), ids=LAWS)
def test_no_draws_and_one_draw(make):
    law, rows = make(60), rows_of(60, 16)
    sums, counts = law.sums(rows, 0, KEY)
    assert sums.shape == (0, 16)
    assert counts.shape == (0,)
    one, _ = law.sums(rows, 1, KEY)
    np.testing.assert_array_equal(one, draw_matrix(law, 1, KEY, 60) @ rows)


@pytest.mark.parametrize("make", LAWS.values(), ids=LAWS)
def test_draws_depend_on_the_key_alone(make):
    law = make(120)
    first = draw_matrix(law, 30, KEY, 120)
    np.testing.assert_array_equal(draw_matrix(law, 30, KEY, 120), first)
    other = draw_matrix(law, 30, stream_key(8, "sums"), 120)
    assert (first != other).any()


def test_bernoulli_draws_equal_the_plain_geometric_skips():
    law, n_draws = bernoulli(80, seed=3), 50
    stream = PlainStream(int(KEY[0]))
    x = np.zeros((n_draws, 80))
    for i, p in enumerate(law.p):
        gap = -1.0 / math.log1p(-p)
        b = -1
        while True:
            b += 1 + int(stream.exponential() * gap)
            if b >= n_draws:
                break
            x[b, i] = 1.0
    np.testing.assert_array_equal(draw_matrix(law, n_draws, KEY, 80), x)


def test_stratified_draws_equal_the_plain_shuffles():
    law, n_draws = stratified(90, seed=5), 20
    stream = PlainStream(int(KEY[0]))
    x = np.zeros((n_draws, 90))
    for s, m in enumerate(law.totals):
        cells = law.order[law.starts[s] : law.starts[s + 1]].tolist()
        if m == 0:
            continue
        for b in range(n_draws):
            size = len(cells)
            # strata of 90 cells: the chance that Lemire's test rejects any of these is 1e-5
            for j in range(m):
                k = j + ((stream.bits() >> 32) * (size - j) >> 32)
                cells[j], cells[k] = cells[k], cells[j]
            x[b, cells[:m]] = 1.0
    np.testing.assert_array_equal(draw_matrix(law, n_draws, KEY, 90), x)


def test_listed_draws_are_well_formed():
    law = bernoulli(120)
    indptr, indices = law.indices(40, KEY)
    assert indptr[0] == 0
    assert indptr[-1] == indices.size
    for b in range(40):
        held = indices[indptr[b] : indptr[b + 1]]
        assert (np.diff(held) > 0).all()
    law = stratified(120)
    indptr, indices = law.indices(40, KEY)
    np.testing.assert_array_equal(np.diff(indptr), law.totals.sum())
    for b in range(40):
        assert np.unique(indices[indptr[b] : indptr[b + 1]]).size == law.totals.sum()


def test_float32_accumulators_round_below_a_tie():
    # centred, heavy-tailed rows as the statistics sum them; about 1000 of them per draw
    n, n_draws = 20_000, 200
    rows = np.random.default_rng(1).standard_t(3, size=(n, 16)).astype(np.float32)
    law = BernoulliLaw(np.full(n, 0.05))
    sums, _ = law.sums(rows, n_draws, KEY)
    exact = draw_matrix(law, n_draws, KEY, n) @ rows.astype(np.float64)
    error = (sums - exact) / exact.std(axis=0)
    assert np.abs(error).max() < TIE
    assert error.std() < 0.2 * TIE
