"""Ranks by radix sort against scipy's."""

import numpy as np
import pytest
from scipy.stats import rankdata

from programde.crt.kernels.ranks import centred_ranks, centred_ranks_but_for


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
    values = rng.choice([-np.inf, -2.0, -0.0, 0.0, 1e-300, -1e-300, 1.0, np.inf], size=(500, 10))
    np.testing.assert_array_equal(kernel(values), plain(values))
    same = np.full((40, 2), -3.5)
    np.testing.assert_array_equal(kernel(same), 0.0)


def test_no_cells():
    assert kernel(np.empty((0, 4))).shape == (0, 4)


def nudged(values, rng):
    """Each value up, down or as it is, by one unit in the last place."""
    way = rng.choice([-np.inf, np.nan, np.inf], size=values.shape)
    return np.where(np.isnan(way), values, np.nextafter(values, np.nan_to_num(way)))


def test_rounding_orders_nobody():
    """Floored usages of cells with as many floored programs are one value, whoever rounds."""
    rng = np.random.default_rng(1)
    usage = rng.gamma(1.0, size=(900, 12)) * rng.integers(0, 2, size=(900, 12))
    usage[usage < 1e-3] = 0.0
    usage = usage[usage.sum(axis=1) > 0]
    floored = np.maximum(usage / usage.sum(axis=1, keepdims=True), 1e-6)
    values = floored / floored.sum(axis=1, keepdims=True)
    assert len(np.unique(values[floored[:, 0] == 1e-6, 0])) > 12  # rounding orders them
    found = kernel(values)
    at_floor = found[floored[:, 0] == 1e-6, 0]
    assert len(np.unique(at_floor)) <= 12  # as many as numbers of floored programs
    for _ in range(3):
        np.testing.assert_array_equal(kernel(nudged(values, rng)), found)
    logs = np.log(values)
    clr = logs - logs.mean(axis=1, keepdims=True)
    np.testing.assert_array_equal(kernel(nudged(clr, rng)), kernel(clr))


def test_a_step_that_is_no_rounding_is_one():
    values = np.array([[1.0], [1.0 + 1e-11], [1.0 + 1e-15], [-1.0], [-1.0 - 1e-15], [0.0]])
    np.testing.assert_array_equal(kernel(values)[:, 0], [1.0, 2.5, 1.0, -2.0, -2.0, -0.5])


@pytest.mark.parametrize("n_changed", [0, 37, 300])
def test_columns_that_differ_in_some_cells_alone(n_changed):
    """The others are sorted once for three columns; ties run across both kinds of cells."""
    rng = np.random.default_rng(2)
    values = np.repeat(rng.normal(size=(300, 4)).round(1), 3, axis=1)
    changed = np.sort(rng.choice(300, n_changed, replace=False)).astype(np.int64)
    values[changed] = rng.normal(size=(n_changed, 12)).round(1)
    out = np.empty(values.shape)
    centred_ranks_but_for(values, changed, 3, out)
    np.testing.assert_array_equal(out, plain(values))
