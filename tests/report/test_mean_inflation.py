"""Inflation over all p-values: its estimate, its interval, and what several partitions add."""

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats
from scipy.integrate import quad

from programde.errors import InputError
from programde.report.mean_inflation import inflation_limit, mean_inflation, mean_score_at
from programde.report.metrics import calibration_metrics

pytestmark = pytest.mark.slow

CAP = stats.chi2.isf(1e-3, 1)


def as_p(z):
    return pd.DataFrame(2 * special.ndtr(-np.abs(z)))


def of(z, **labels):
    return calibration_metrics(as_p(z), n_boot=2, **labels)


def alone(z):
    """The same numbers, of units x programs, without all the others of `calibration_metrics`."""
    p = 2 * special.ndtr(-np.abs(z))
    return mean_inflation(p.ravel(), np.repeat(np.arange(len(z)), z.shape[1]), len(z))


def correlated(rng, n, k=20, rho=0.2):
    shared = rng.standard_normal((n, 1))
    return np.sqrt(rho) * shared + np.sqrt(1 - rho) * rng.standard_normal((n, k))


def grouped(z, rng, size=4, partitions=10):
    """Groups of guides: z, each group's guides, and its partition."""
    scores, guides, partition = [], [], []
    for number in range(partitions):
        order = rng.permutation(len(z))[: len(z) // size * size].reshape(-1, size)
        scores.append(z[order].sum(axis=1) / np.sqrt(size))
        guides += order.tolist()
        partition += [number] * len(order)
    return np.concatenate(scores), guides, partition


@pytest.mark.parametrize("inflation", [0.3, 1.0, 1.7])
def test_expected_score_against_quadrature(inflation):
    def mean(scale):
        at = (0, CAP / scale)
        below = quad(lambda x: scale * x * stats.chi2.pdf(x, 1), *at, epsabs=1e-12)[0]
        return below + CAP * stats.chi2.sf(CAP / scale, 1)

    np.testing.assert_allclose(mean_score_at(inflation), mean(inflation) / mean(1.0), rtol=1e-8)


@pytest.mark.parametrize("inflation", [0.5, 1.0, 2.0, 4.0])
def test_estimate_is_the_inflation(inflation):
    z = np.sqrt(inflation) * np.random.default_rng(1).standard_normal((2000, 20))
    # four standard errors of 40,000 tests: 4 sqrt(2 / 40,000), more where scores are capped
    assert of(z)["lambda_mean"] == pytest.approx(inflation, rel=0.04)


def test_interval_is_that_of_a_t_in_the_reciprocal():
    """Independent programs: design effect near 1, so the error is that of independent tests."""
    z = np.random.default_rng(2).standard_normal((400, 20))
    numbers = of(z)
    assert alone(z).items() <= numbers.items()
    score = np.minimum(z**2, CAP)
    expected = score.std() / score.mean() / np.sqrt(z.size)
    assert expected <= numbers["lambda_mean_error"] <= 1.15 * expected
    mean = mean_score_at(numbers["lambda_mean"])
    low = mean_score_at(numbers["lambda_mean_low"])
    high = mean_score_at(numbers["lambda_mean_high"])
    assert 1 / low - 1 / mean == pytest.approx(1 / mean - 1 / high, rel=1e-3)
    t = stats.t.ppf(0.975, numbers["lambda_mean_df"])
    assert mean / low - 1 == pytest.approx(t * numbers["lambda_mean_error"], rel=1e-3)
    assert inflation_limit(numbers, 0.025, upper=True) == numbers["lambda_mean_high"]


def test_programs_that_are_one_program_count_once():
    z = np.repeat(np.random.default_rng(3).standard_normal((200, 1)), 10, axis=1)
    numbers, single = of(z), of(z[:, :1])
    assert numbers["lambda_mean"] == pytest.approx(single["lambda_mean"], rel=1e-12)
    assert numbers["lambda_mean_error"] == pytest.approx(single["lambda_mean_error"], rel=0.15)
    assert numbers["lambda_mean_df"] < single["lambda_mean_df"]


@pytest.mark.parametrize("rho", [0.0, 0.2, 0.5])
@pytest.mark.parametrize("n", [10, 40])
def test_limits_are_wrong_no_more_often_than_stated(rho, n):
    """One-sided limits at 2.5 % miss 1 in at most 3.5 % (they are approximate); 600 runs each.

    A true rate of 3.5 % is exceeded with probability 1e-4.
    """
    rng = np.random.default_rng([n, int(10 * rho)])
    runs = [alone(correlated(rng, n, rho=rho)) for _ in range(600)]
    most = stats.binom.isf(1e-4, 600, 0.035)
    assert sum(one["lambda_mean_low"] > 1 for one in runs) <= most
    assert sum(one["lambda_mean_high"] < 1 for one in runs) <= most


def test_groups_with_known_guides_tell_nearly_as_much_as_the_guides():
    """100 guides in 25 groups, ten partitions: the spread over screens, and what is said of it."""
    rng = np.random.default_rng(5)
    found, told, blind = [], [], []
    for _ in range(150):
        z, guides, partition = grouped(correlated(rng, 100), rng)
        known = of(z, guides=guides, partition=partition)
        found.append(mean_score_at(known["lambda_mean"]))
        told.append(known["lambda_mean_error"])
        blind.append(of(z, partition=partition)["lambda_mean_error"])
        assert 25 < known["lambda_mean_units"] < 100
    spread = np.std(found) / np.mean(found)
    # a standard deviation from 150 runs is known to 1 / sqrt(300) = 6 %; four of them
    assert np.mean(told) == pytest.approx(spread, rel=0.25)
    assert np.mean(told) < 0.7 * np.mean(blind)


def test_guides_with_effects_of_their_own_give_groups_less_gain():
    """Where all guides are biased and differ, groups that share guides repeat each other."""
    rng = np.random.default_rng(6)
    z = 0.7 + correlated(rng, 60) + 0.6 * rng.choice([-1, 1], (60, 1))
    scores, guides, partition = grouped(z, rng)
    shared = of(scores, guides=guides, partition=partition)
    plain, guides, partition = grouped(correlated(rng, 60), rng)
    gain = shared["lambda_mean_error"] / of(scores, partition=partition)["lambda_mean_error"]
    best = of(plain, guides=guides, partition=partition)["lambda_mean_error"]
    assert gain > 1.1 * best / of(plain, partition=partition)["lambda_mean_error"]


def test_one_guide_with_effects_of_its_own_proves_nothing():
    z = np.random.default_rng(7).standard_normal((30, 20))
    z[0] = 12.0
    numbers = of(z)
    assert numbers["lambda_mean"] < 1.6
    assert numbers["lambda_mean_low"] < 1 < numbers["lambda_mean_high"]


def test_missing_tests_and_conditions_are_taken_as_they_are():
    rng = np.random.default_rng(8)
    p = as_p(rng.standard_normal((40, 6)))
    p.iloc[3, 2:] = np.nan
    p.iloc[7] = np.nan
    numbers = calibration_metrics(p, n_boot=2, cluster=np.repeat(np.arange(20), 2))
    assert numbers["n_independent"] == 20
    assert numbers["lambda_mean_low"] < numbers["lambda_mean"] < numbers["lambda_mean_high"]


def test_one_unit_has_no_interval_and_none_no_number():
    numbers = of(np.random.default_rng(9).standard_normal((1, 20)))
    assert numbers["lambda_mean_low"] == 0
    assert numbers["lambda_mean_high"] == np.inf
    assert np.isnan(of(np.empty((0, 3)))["lambda_mean"])


def test_guides_of_other_units_are_refused():
    with pytest.raises(InputError, match="guides holds 2 lists for 3 units"):
        of(np.ones((3, 2)), guides=[["a"], ["b"]])
