"""What float32 sums within a tile cost the conditional law, and where they are not used."""

import numpy as np

from programde.tails.conditional import ConditionalLaw
from tests.tails.test_conditional import screen


def test_float32_costs_less_than_a_thousandth_of_a_p_value(monkeypatch):
    """Sums of tiles in float32 against float64 alone: p of 0.5 to 1e-60, columns that depend on
    each other under the weights among them."""
    from programde.tails import conditional_fit

    def found(law, units):
        return [each for tails in law.tails(units) for each in (tails.log_left, tails.log_right)]

    for slopes, n1 in ((False, 25), (True, 60), (True, 400)):
        S, C, treated, _ = screen(n=3000, K=8, n1=n1, slopes=slopes)
        S[3, treated] += 2.0
        law = ConditionalLaw(S, C, screened=False)
        units = [treated, np.arange(n1) * 3, np.argsort(C[:, 4])[-3 * n1 :: 2]]
        single = found(law, units)
        with monkeypatch.context() as here:
            here.setattr(conditional_fit, "_DELICATE", np.inf)
            double = found(law, units)
        np.testing.assert_allclose(single, double, rtol=1e-5, atol=1e-3)


def test_columns_that_float32_cannot_tell_apart_are_taken_in_float64():
    from programde.tails.conditional_fit import UnitFit

    S, C, treated, batch = screen(n1=80)
    donor = (np.arange(1500) // 7) % 3
    C = np.column_stack([C, donor == 1, donor == 2]).astype(float)
    strata = ConditionalLaw(S, C).strata
    # without a batch and a donor two columns depend on the others
    kept = treated[(batch[treated] != 2) & (donor[treated] != 0)]
    assert UnitFit(strata, kept).columns is strata.columns
    assert UnitFit(strata, treated).columns is strata.single


def test_growth_in_float32():
    from numba import vectorize

    from programde.tails.bernoulli_kernels import growth_single

    x = np.concatenate([np.linspace(-59, 79, 5001), np.geomspace(1e-6, 1, 2000), [0.0]])
    x = np.concatenate([x, -x[x < 59]]).astype(np.float32)
    grown = vectorize(["float32(float32)"])(growth_single.py_func)(x)
    np.testing.assert_allclose(grown, np.expm1(x.astype(np.float64)), rtol=3e-7)
    ends = vectorize(["float32(float32)"])(growth_single.py_func)(np.float32([-1e9, 1e9]))
    assert ends[0] == -1.0
    assert np.isfinite(ends[1])
