"""Combining batches: against scipy, and what direction does."""

import numpy as np
import pytest
from scipy import stats

from programde.calibration.combine import fisher, stouffer


def test_fisher_equals_scipy():
    p = np.random.default_rng(0).uniform(size=(4, 3))
    combined = fisher(p)
    for k in range(3):
        assert combined[k] == pytest.approx(stats.combine_pvalues(p[:, k], "fisher").pvalue)


def test_stouffer_equals_scipy_one_sided():
    rng = np.random.default_rng(1)
    z, weight = rng.normal(size=(5, 3)), rng.uniform(0.5, 2, size=(5, 3))
    p, combined = stouffer(2 * stats.norm.sf(np.abs(z)), z, weight)
    for k in range(3):
        one = stats.combine_pvalues(stats.norm.sf(z[:, k]), "stouffer", weights=weight[:, k])
        assert combined[k] == pytest.approx(one.statistic)
        assert p[k] == pytest.approx(2 * min(one.pvalue, 1 - one.pvalue))


def test_opposite_effects_cancel_with_sign_and_add_up_without():
    p = 2 * stats.norm.sf([[3.0], [3.0]])
    assert fisher(p)[0] == pytest.approx(9e-5, rel=0.05)
    assert stouffer(p, np.array([[1.0], [-1.0]]))[0][0] == pytest.approx(1.0)
    assert stouffer(p, np.array([[1.0], [1.0]]))[0][0] == pytest.approx(2 * stats.norm.sf(18**0.5))


def test_batches_without_a_test_do_not_count():
    p = np.array([[0.01, np.nan], [np.nan, np.nan]])
    assert fisher(p)[0] == pytest.approx(0.01)
    assert np.isnan(fisher(p)[1])
    combined, z = stouffer(p, np.ones_like(p), np.array([[2.0, 1.0], [np.nan, 1.0]]))
    assert combined[0] == pytest.approx(0.01)
    assert np.isnan([combined[1], z[1]]).all()


def test_information_weights_the_batches():
    p = 2 * stats.norm.sf([[2.0], [0.0]])
    heavy, light = (stouffer(p, np.ones((2, 1)), np.array([[w], [1.0]]))[1][0] for w in (9, 0.1))
    assert heavy > 1.9
    assert light < 0.21


@pytest.mark.parametrize("n_values", [51, 455])
def test_lancasters_mean_value_restores_the_level_of_discrete_p_values(n_values):
    # 100,000 combinations of eight: Monte Carlo standard error 0.0007
    p = np.random.default_rng(2).integers(1, n_values + 1, size=(8, 100_000)) / n_values
    assert (fisher(p) < 0.05).mean() < 0.046
    assert abs((fisher(p, step=1 / n_values) < 0.05).mean() - 0.05) < 0.004
    assert (fisher(p, step=1 / n_values) < 0.001).mean() < 0.0015


def test_mean_value_is_the_mean_of_minus_log_p():
    score = stats.chi2.isf(fisher(np.array([0.3, 0.02]), step=np.array([0.1, 0.02])), 4) / 2
    grid = (np.arange(1_000_000) + 0.5) / 1_000_000
    expected = -np.log(0.2 + 0.1 * grid).mean() - np.log(0.02 * grid).mean()
    assert score == pytest.approx(expected, rel=1e-5)
    tiny = fisher(np.array([0.3, 0.02]), step=1e-9)
    assert tiny == pytest.approx(fisher(np.array([0.3, 0.02])), rel=1e-5)
