"""The skew-normal with exact null moments against the law itself."""

import numpy as np
import pytest
from scipy.stats import norm, skewnorm

from programde.calibration.moments import moment_skew_normal
from programde.tails.log_tails import LogTails


def tails(threshold, mean=0.0, variance=1.0, third=0.0):
    """Tests of one law at several thresholds; only moments and thresholds are read."""
    empty = LogTails.empty(len(threshold))
    parts = {"mean": mean, "variance": variance, "third": third}
    arrays = {name: np.full(len(threshold), value) for name, value in parts.items()}
    return LogTails(**{**vars(empty), **arrays, "threshold": np.asarray(threshold, dtype=float)})


def test_of_a_symmetric_law_it_is_the_normal():
    z = np.array([-3.0, -1.0, 0.0, 2.0])
    np.testing.assert_allclose(moment_skew_normal(tails(z), "right"), norm.sf(z), rtol=1e-9)
    np.testing.assert_allclose(moment_skew_normal(tails(z)), 2 * norm.sf(np.abs(z)), rtol=1e-9)


@pytest.mark.parametrize("alpha", [3.0, -3.0])
def test_of_a_skew_normal_law_it_is_the_law(alpha):
    # a sum in its own units, skewed to the right and to the left: the long tail stays long
    law = skewnorm(alpha, 20.0, 4.0)
    mean, variance, skewness = (float(m) for m in law.stats("mvs"))
    x = mean + np.sqrt(variance) * np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    found = tails(x, mean, variance, skewness * variance**1.5)
    right, left = moment_skew_normal(found, "right"), moment_skew_normal(found, "left")
    np.testing.assert_allclose(right, law.sf(x), rtol=1e-7)
    np.testing.assert_allclose(left, law.cdf(x), rtol=1e-7)
    both = np.minimum(1.0, 2 * np.minimum(law.sf(x), law.cdf(x)))
    np.testing.assert_allclose(moment_skew_normal(found), both, rtol=1e-7)


def test_without_a_spread_there_is_no_law():
    assert np.isnan(moment_skew_normal(tails([0.0], variance=0.0))).all()
    assert np.isnan(moment_skew_normal(LogTails.empty(2, 3))).all()
