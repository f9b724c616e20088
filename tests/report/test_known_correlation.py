"""The law of inflation where it is known how programs go together."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.integrate import quad

from programde.errors import InputError
from programde.report.known_correlation import (
    gain_of_partitions,
    known_law,
    known_upper_limit,
)
from programde.report.mean_inflation import mean_score_at
from programde.report.metrics import calibration_metrics
from programde.report.verdict import MARGIN, largest_inflation, verdict

pytestmark = pytest.mark.slow

CAP = stats.chi2.isf(1e-3, 1)
K = 12


def together(rho, k=K):
    return (1 - rho) * np.eye(k) + rho * np.ones((k, k))


def normal(rng, shape, correlation):
    value, vector = np.linalg.eigh(correlation)
    return rng.standard_normal((*shape, len(value))) @ (vector * np.sqrt(value.clip(0))).T


def frames(z, correlation):
    programs = [f"p{j}" for j in range(z.shape[1])]
    p = pd.DataFrame(2 * stats.norm.sf(np.abs(z)), columns=programs)
    signs = pd.DataFrame(np.sign(z), columns=programs)
    return p, {"signs": signs, "correlation": pd.DataFrame(correlation, programs, programs)}


def of(z, correlation, **labels):
    p, known = frames(z, correlation)
    return calibration_metrics(p, n_boot=2, **known, **labels)


def test_error_of_independent_programs_is_that_of_independent_scores():
    def moment(power):
        inside = quad(lambda x: x**power * stats.chi2.pdf(x, 1), 0, CAP, epsabs=1e-12)[0]
        return inside + CAP**power * 1e-3

    relative = np.sqrt(moment(2) / moment(1) ** 2 - 1)
    found = known_law(np.ones((30, K)), np.eye(K))
    assert found["lambda_mean_null_error"] == pytest.approx(relative / np.sqrt(30 * K), rel=1e-6)
    assert found["lambda_apart_error"] == pytest.approx(np.sqrt(2 / (30 * K)), rel=1e-12)
    assert found["lambda_apart_overlap"] == pytest.approx(1.0)


def test_programs_that_are_one_program_count_once():
    z = np.random.default_rng(0).standard_normal((25, 1))
    one, many = known_law(z, np.eye(1)), known_law(np.repeat(z, K, axis=1), np.ones((K, K)))
    for key, value in one.items():
        assert many[key] == pytest.approx(value, rel=1e-6), key


@pytest.mark.parametrize("rho", [0.0, 0.2, 0.5])
@pytest.mark.parametrize("n", [10, 40])
def test_the_law_is_that_of_screens(rho, n):
    """Spreads over 500 screens, known to 3.2 %; four of that."""
    rng = np.random.default_rng([n, int(10 * rho)])
    correlation = together(rho)
    z = normal(rng, (500, n), correlation)
    laws = [known_law(one, correlation) for one in z]
    score = (np.minimum(z**2, CAP).mean(axis=(1, 2))) / np.minimum(
        stats.chi2.ppf(np.linspace(5e-6, 1 - 5e-6, 100_000), 1), CAP
    ).mean()
    assert np.std(score) == pytest.approx(laws[0]["lambda_mean_null_error"], rel=0.13)
    apart = mean_score_at(np.array([law["lambda_apart"] for law in laws]))
    assert np.mean(apart) == pytest.approx(1.0, abs=4 * laws[0]["lambda_apart_error"] / 22)
    assert np.std(apart) == pytest.approx(laws[0]["lambda_apart_error"], rel=0.13)


@pytest.mark.parametrize("rho", [0.0, 0.2, 0.5])
def test_an_inflation_passes_as_often_as_stated(rho):
    """Limit below a true inflation of 1.2 in at most 8 % of 400 screens; exceeded with 1e-4."""
    rng = np.random.default_rng(int(10 * rho))
    correlation = together(rho)
    z = np.sqrt(MARGIN) * normal(rng, (400, 20), correlation)
    passed, expected = 0, mean_score_at(GRID)
    for one in z:
        law = known_law(one, correlation)
        score = np.minimum(one**2, CAP).mean() / 0.99811  # z^2 is the chi-square of its p
        law["lambda_mean"] = float(np.interp(score, expected, GRID))
        passed += known_upper_limit(law, 0.08, 0.12) < MARGIN
    assert passed <= stats.binom.isf(1e-4, 400, 0.08)
    assert passed >= stats.binom.ppf(1e-4, 400, 0.02)  # and is no rule that says nothing


GRID = np.linspace(0.2, 5, 2000)


def test_few_guides_tell_what_their_own_spread_does_not():
    z = normal(np.random.default_rng(5), (10,), together(0.2))
    z *= np.sqrt(0.97 / np.mean(z**2))
    known = of(z, together(0.2))
    blind = {k: v for k, v in known.items() if "null" not in k and "apart" not in k}
    assert verdict(blind).word == "too few controls to tell"
    assert verdict(known).word == "calibrated"
    assert largest_inflation(known) < largest_inflation(blind)


def test_an_inflation_of_the_leading_direction_alone_is_heard_by_the_mean():
    """Programs taken apart hardly hear it; both must lie below."""
    correlation = together(0.5)
    z = normal(np.random.default_rng(6), (100,), correlation)
    lead = np.full(K, K**-0.5)
    z += 0.5 * np.outer(z @ lead, lead)
    known = of(z, correlation)
    assert known["lambda_apart"] < 1.2 < known["lambda_mean"]
    assert verdict(known).word != "calibrated"


def test_partitions_of_the_same_guides():
    members = [[str(g), str((g + shift) % 12)] for shift in (1, 5) for g in range(0, 12, 2)]
    assert gain_of_partitions(None, 2) == gain_of_partitions(members, 1) == 1.0
    assert gain_of_partitions(members, 2) == pytest.approx(0.5 + 0.5 / 2)


def test_tests_that_are_missing_and_what_is_refused():
    rng = np.random.default_rng(8)
    z = normal(rng, (20,), together(0.2))
    z[3, 2:] = np.nan
    z[7] = np.nan
    assert np.isfinite(of(z, together(0.2))["lambda_apart"])
    z[:, 0] = np.nan
    assert "lambda_apart" not in of(z, together(0.2))
    assert "lambda_mean_null_error" in of(z, together(0.2))
    assert "lambda_mean_null_error" not in of(z[:1], together(0.2))
    p, known = frames(rng.standard_normal((4, 3)), np.eye(3))
    with pytest.raises(InputError, match="one per test"):
        calibration_metrics(p, 2, signs=known["signs"].iloc[:2], correlation=known["correlation"])
    lacking = known["correlation"].iloc[1:, 1:]
    with pytest.raises(InputError, match="correlation lacks program 'p0'"):
        calibration_metrics(p, 2, signs=known["signs"], correlation=lacking)
