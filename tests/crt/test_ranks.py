"""Ranks by radix sort against scipy's."""

import numpy as np
import pytest
from scipy.stats import rankdata

from programde.crt.kernels.ranks import centred_ranks


def plain(values):
    return rankdata(values, method="average", axis=0) - (values.shape[0] + 1) / 2


def kernel(values):
    out = np.empty(values.shape)
    centred_ranks(values, out)
    return out


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (700, 8), (3000, 19)])
def test_equal_to_scipy(shape):
    rng = np.random.default_rng(shape[0])
    values = rng.standard_t(1.5, size=shape) * 10.0 ** rng.integers(-300, 300, size=shape[1])
    np.testing.assert_array_equal(kernel(values), plain(values))


def test_ties_zeros_of_either_sign_and_infinities():
    rng = np.random.default_rng(0)
    values = rng.choice([-np.inf, -2.0, -0.0, 0.0, 5e-324, -5e-324, 1.0, np.inf], size=(500, 10))
    np.testing.assert_array_equal(kernel(values), plain(values))
    same = np.full((40, 2), -3.5)
    np.testing.assert_array_equal(kernel(same), 0.0)


def test_no_cells():
    assert kernel(np.empty((0, 4))).shape == (0, 4)
