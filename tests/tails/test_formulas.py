"""The tail formulas against laws whose tails are known."""

import numpy as np
import pytest
from scipy.stats import gamma, norm

from programde.errors import OptionError
from programde.tails.formulas import combine_sides, edgeworth, lugannani_rice, other_tail

Z = np.array([-3.0, -2.0, -1.2, -0.6, 0.3, 0.6, 1.2, 2.0, 3.0])


def of_gamma(shape):
    """A gamma law's standardised upper tail at Z, its skewness and excess kurtosis."""
    tail = gamma(shape).sf(shape + Z * np.sqrt(shape))
    return tail, np.full(Z.size, 2.0 / np.sqrt(shape)), np.full(Z.size, 6.0 / shape)


def test_edgeworth_leaves_out_terms_of_the_third_order_alone():
    # the error of an expansion to the order 1 / k falls by 4^1.5 = 8 when k is four times larger;
    # were any of its terms wrong, by 2 or by 4
    errors = []
    for shape in (100.0, 400.0, 1600.0):
        tail, skewness, kurtosis = of_gamma(shape)
        log_p, size = edgeworth(Z, skewness, kurtosis)
        error = np.abs(np.exp(log_p) - tail)
        assert (error < size).all()
        errors.append(error.max())
    assert errors[0] / errors[1] > 6.5
    assert errors[1] / errors[2] > 6.5


def test_edgeworth_of_a_normal_law_is_exact():
    log_p, size = edgeworth(Z, np.zeros(Z.size), np.zeros(Z.size))
    np.testing.assert_allclose(log_p, norm.logsf(Z), rtol=1e-12)
    assert (size == 0).all()


def test_edgeworth_outside_of_its_reach_is_no_probability():
    log_p, _ = edgeworth(np.array([2.5]), np.array([-1.5]), np.array([0.0]))
    assert np.isnan(log_p).all()


@pytest.mark.parametrize("shape", [5.0, 50.0])
def test_lugannani_rice_of_a_gamma_law(shape):
    # K(l) = -k log(1 - l): the second-order formula is right to its known tiny constant
    x = shape * np.array([1.5, 3.0, 8.0])
    l = 1.0 - shape / x
    k2, k3, k4 = x**2 / shape, 2.0 * x**3 / shape**2, 6.0 * x**4 / shape**3
    log_p, second = lugannani_rice(l * x + shape * np.log1p(-l), l, k2, k3, k4)
    np.testing.assert_allclose(log_p, gamma(shape).logsf(x), atol=3e-3 / shape)
    assert (second < 0.2).all()


def test_sides_from_both_tails():
    right, left = np.log([0.9, 0.2, 1e-320, np.nan]), np.log([0.1, 0.85, 1.0, 0.5])
    np.testing.assert_allclose(combine_sides(right, left, "right")[:2], [0.9, 0.2])
    np.testing.assert_allclose(combine_sides(right, left, "left")[:2], [0.1, 0.85])
    np.testing.assert_allclose(combine_sides(right, left, "both")[:3], [0.2, 0.4, 1e-300])
    assert np.isnan(combine_sides(right, left, "both")[3])
    assert combine_sides(np.log([0.7]), np.log([0.6]), "both")[0] == 1.0
    with pytest.raises(OptionError, match="did you mean 'both'"):
        combine_sides(right, left, "bot")


def test_the_other_tail():
    np.testing.assert_allclose(np.exp(other_tail(np.log([0.25, 1e-20]))), [0.75, 1.0])
    assert other_tail(np.array([0.0]))[0] == -np.inf
