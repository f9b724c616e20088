"""The small kernels behind null summaries against whole-array numpy."""

import numpy as np
import pytest

from programde.crt.kernels import summary as kernels

RNG = np.random.default_rng(20)
DRAWS = RNG.normal(size=(123, 35)) * RNG.gamma(1.0, size=35) + RNG.normal(size=35)
MEAN, SD = DRAWS.mean(axis=0), DRAWS.std(axis=0)


def test_standardise():
    out = np.empty((35, 123), dtype=np.float32)
    kernels.standardise(DRAWS, MEAN, SD, out)
    np.testing.assert_array_equal(out, ((DRAWS - MEAN) / SD).T.astype(np.float32))


def test_largest_standardised():
    out = np.empty(123)
    kernels.largest_standardised(DRAWS, MEAN, 1.0 / SD, out)
    np.testing.assert_allclose(out, np.abs((DRAWS - MEAN) / SD).max(axis=1), rtol=1e-14)


def test_moments_with_one_more():
    one = RNG.normal(size=35)
    mean, variance = np.empty(35), np.empty(35)
    kernels.moments_with_one_more(DRAWS, one, mean, variance)
    both = np.vstack([DRAWS, one])
    np.testing.assert_allclose(mean, both.mean(axis=0), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(variance, both.var(axis=0), rtol=1e-12)


def test_scale_rows():
    sums = DRAWS.astype(np.float32)
    out = np.empty((123, 20))
    kernels.scale_rows(sums, MEAN[0] + np.arange(123.0), out)
    expected = sums[:, :20].astype(np.float64) * (MEAN[0] + np.arange(123.0))[:, None]
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("places", [[], [7], [3, 3, 122, 0]])
def test_sum_rows(places):
    out = np.zeros(35)
    kernels.sum_rows(DRAWS, np.array(places, dtype=np.int64), out)
    np.testing.assert_allclose(out, DRAWS[places].sum(axis=0), rtol=1e-14)
