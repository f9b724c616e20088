"""How often true skew-normal draws are refused, that other laws are, and what it does to p."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom, norm

from programde.calibration.skew_normal import (
    OUTLIER,
    TAIL_MISFIT,
    calibrate,
    check_for_outliers,
    check_sn_tail,
    fit_skew_normal,
)
from programde.crt.null_summary import summarise

B = 1023


def skew_normal_draws(rng, alpha, size):
    delta = alpha / np.hypot(1, alpha)
    common = np.abs(rng.normal(size=size))
    return delta * common + np.sqrt(1 - delta**2) * rng.normal(size=size)


def refusals(draws):
    observed = np.zeros(draws.shape[1])
    fallback = calibrate(observed[None], summarise(draws, observed)).fallback[0]
    assert np.isin(fallback, ["", TAIL_MISFIT, OUTLIER]).all()
    return int((fallback != "").sum())


@pytest.mark.parametrize(
    ("alpha", "documented"), [(0, 0.006), (1, 0.008), (2, 0.016), (3, 0.066), (5, 0.225)]
)
def test_false_refusals_are_as_documented(alpha, documented):
    # 2,000 sets of draws; bounds: the 1e-4 and 1 - 1e-4 quantiles of the binomial law at the
    # documented rate, widened by 3 standard errors of that rate (20,000 sets)
    rng = np.random.default_rng(100 + alpha)
    count = refusals(skew_normal_draws(rng, alpha, (B, 2000)))
    slack = 3 * np.sqrt(documented / 20_000)
    assert binom.ppf(1e-4, 2000, documented - slack) <= count
    assert count <= binom.ppf(1 - 1e-4, 2000, documented + slack)


@pytest.mark.parametrize("n_draws", [127, 511, 4095])
def test_false_refusals_stay_small_at_other_numbers_of_draws(n_draws):
    # normal draws: below 2 % of 1,000 sets (0.2 % to 1 % measured)
    assert refusals(np.random.default_rng(n_draws).normal(size=(n_draws, 1000))) < 20


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng, size: rng.standard_t(3, size=size),
        lambda rng, size: rng.laplace(size=size),
        lambda rng, size: rng.exponential(size=size),
        lambda rng, size: rng.random(size),
        lambda rng, size: rng.poisson(2, size=size) * 1.0,
        lambda rng, size: rng.normal(size=size) + 4 * (rng.random(size) < 0.5),
    ],
    ids=["t3", "laplace", "exponential", "uniform", "poisson", "two-modes"],
)
def test_laws_of_another_shape_are_refused(draw):
    assert refusals(draw(np.random.default_rng(7), (B, 200))) >= 198


def test_mild_misfit_is_tolerated_at_any_number_of_draws():
    # a standardised gamma(400) is skew-normal for all practical purposes (skewness 0.1)
    draws = np.random.default_rng(8).gamma(400, size=(100_000, 40))
    assert refusals(draws) <= 6


def test_each_check_sees_its_own_trouble():
    sample = norm.ppf((np.arange(B) + 0.5) / B)
    law = fit_skew_normal(sample)[:3]
    assert check_sn_tail(sample, *law)
    assert not check_for_outliers(sample, *law)
    # one draw far out is an outlier; the tail at 2 % and above does not see it
    outlying = sample.copy()
    outlying[-1] = 6.0
    assert check_for_outliers(outlying, *law)
    assert check_sn_tail(outlying, *law)
    # draws that stop short: none beyond 2 where 23 are expected
    short = np.clip(sample, None, 2.0)
    assert check_for_outliers(short, *law)
    # a law of the wrong width misfits in the tail
    assert not check_sn_tail(sample, law[0], 1.3 * law[1], law[2])


def sparse_heavy_mean(rng, n_treated, size):
    """Mean outcome of about n_treated cells of which one in twenty lies at -13."""
    cells = np.maximum(rng.poisson(n_treated, size), 1)
    low = rng.binomial(cells, 0.05)
    return (np.sqrt(cells) * rng.normal(size=size) - 13 * low + 0.65 * cells) / cells


@pytest.mark.slow
@pytest.mark.parametrize(("n_treated", "largest"), [(15, 1.85), (30, 1.4), (300, 1.35)])
def test_rate_of_small_p_under_sparse_heavy_tailed_nulls(n_treated, largest):
    # P(p <= 1e-3) / 1e-3 over 1,000 sets of draws with 100 observed values each. Measured with
    # this seed 1.33, 0.97, 0.93 with standard errors over sets of 0.12, 0.10, 0.09; without the
    # checks 3.5, 1.2, 0.9. The bound is four such standard errors above the measured rate (false
    # alarms below 1e-4 with another seed): at n_treated = 15 the calibration is not exact.
    rng = np.random.default_rng(n_treated)
    draws = sparse_heavy_mean(rng, n_treated, (B, 1000))
    null = summarise(draws, np.zeros(1000))
    hits = 0
    for observed in sparse_heavy_mean(rng, n_treated, (100, 1000)):
        # of the summary only the counts depend on the observed value
        counts = {
            "n_abs_ge": (np.abs(draws) >= np.abs(observed)).sum(axis=0, dtype=np.int32)[None],
            "n_ge": (draws >= observed).sum(axis=0, dtype=np.int32)[None],
            "n_le": (draws <= observed).sum(axis=0, dtype=np.int32)[None],
        }
        hits += int((calibrate(observed[None], replace(null, **counts)).p <= 1e-3).sum())
    assert hits / 100_000 / 1e-3 < largest
