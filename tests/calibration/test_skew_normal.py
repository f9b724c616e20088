"""Skew-normal calibration: one vectorised pass equals test by test, sides, fallback, seed names."""

from dataclasses import fields

import numpy as np
import pytest
from scipy.stats import skewnorm

from programde.calibration.empirical import compute_empirical_p_value, empirical_p
from programde.calibration.skew_normal import (
    FEW_DRAWS,
    NO_SPREAD,
    OUTLIER,
    TAIL_MISFIT,
    calibrate,
    check_for_outliers,
    check_sn_tail,
    fit_and_evaluate_skew_normal,
    fit_skew_normal,
    skew_normal_from_moments,
)
from programde.crt.null_summary import NullSummary, summarise
from programde.errors import InputError, OptionError

CODES = {"both": 0, "left": -1, "right": 1}


def stack(summaries):
    """Summaries of single units as one."""
    arrays = {
        f.name: np.concatenate([getattr(s, f.name) for s in summaries])
        for f in fields(NullSummary)
        if f.name != "n_draws"
    }
    return NullSummary(n_draws=summaries[0].n_draws, **arrays)


@pytest.fixture(scope="module")
def screen():
    """6 units x 9 programs: laws that fit and laws that do not, effects far out and near."""
    rng = np.random.default_rng(1)
    draws = rng.gamma(60, size=(6, 1023, 9)) * 0.1
    draws[2, :, 4] = rng.standard_t(2, size=1023)
    draws[3, :, 1] = rng.exponential(size=1023)
    draws[4, :, 7] = 0.25
    draws[5, 0, 2] = 60.0
    effect = draws[:, 0, :] + rng.normal(size=(6, 9)) * 2
    effect[1, 3] = np.nan
    return draws, effect, stack([summarise(d, e) for d, e in zip(draws, effect, strict=True)])


@pytest.mark.parametrize("side", CODES)
def test_pass_over_all_equals_scipy_test_by_test(screen, side):
    draws, effect, null = screen
    result = calibrate(effect, null, side)
    smooth = (result.fallback == "") & np.isfinite(effect)
    assert smooth.sum() >= 47
    for g, k in zip(*np.nonzero(smooth), strict=True):
        d = draws[g, :, k]
        z, observed = (d - d.mean()) / d.std(), (effect[g, k] - d.mean()) / d.std()
        law = skewnorm(result.parameters[g, k, 2], *result.parameters[g, k, :2])
        mean, variance, skewness = law.stats("mvs")
        np.testing.assert_allclose([mean, variance], [0, 1], atol=1e-10)
        np.testing.assert_allclose(skewness, (z**3).mean(), rtol=1e-8)
        right, left = law.sf(observed), law.cdf(observed)
        both = min(1, 2 * (right if observed > np.median(z) else left))
        expected = {"both": both, "left": left, "right": right}[side]
        np.testing.assert_allclose(result.p[g, k], expected, rtol=1e-6, atol=1e-10)


def test_each_refusal_has_its_reason_and_the_empirical_p(screen):
    _, effect, null = screen
    result = calibrate(effect, null)
    assert result.fallback[2, 4] == TAIL_MISFIT
    assert result.fallback[3, 1] == TAIL_MISFIT
    assert result.fallback[4, 7] == NO_SPREAD
    assert result.fallback[5, 2] in (OUTLIER, TAIL_MISFIT)
    refused = result.fallback != ""
    np.testing.assert_array_equal(result.p[refused], empirical_p(null)[refused])
    assert np.isnan(result.parameters[4, 7]).all()
    assert np.isfinite(result.parameters[2, 4]).all()


def test_nan_effect_gives_nan_and_no_fallback(screen):
    _, effect, null = screen
    for side in CODES:
        result = calibrate(effect, null, side)
        assert np.isnan(result.p[1, 3])
        assert result.fallback[1, 3] == ""
        assert np.isfinite(np.delete(result.p.ravel(), 1 * 9 + 3)).all()
    empty = calibrate(np.zeros((2, 3)), NullSummary.empty(2, 3, 1023))
    assert np.isnan(empty.p).all()
    assert (empty.fallback == "").all()
    assert np.isnan(calibrate(np.zeros((2, 3)), NullSummary.empty(2, 3, 0)).p).all()
    one = calibrate(np.full((1, 9), np.inf), null.rows(slice(0, 1)))
    assert np.isnan(one.p).all()


def test_a_unit_does_not_depend_on_the_others(screen):
    _, effect, null = screen
    together = calibrate(effect, null)
    for g in range(6):
        alone = calibrate(effect[[g]], null.rows(slice(g, g + 1)))
        np.testing.assert_allclose(alone.p[0], together.p[g], rtol=1e-13)
        assert (alone.fallback[0] == together.fallback[g]).all()


def test_refusal_does_not_look_at_the_observed_value(screen):
    draws, effect, null = screen
    shifted = effect + 3
    moved = stack([summarise(d, e) for d, e in zip(draws, shifted, strict=True)])
    np.testing.assert_array_equal(
        calibrate(effect, null).fallback, calibrate(shifted, moved, "left").fallback
    )


def test_scale_and_sign_of_the_statistic_do_not_matter():
    rng = np.random.default_rng(2)
    draws, effect = rng.gamma(80, size=(1023, 20)), rng.normal(80, 40, size=20)
    plain = calibrate(effect[None], summarise(draws, effect))
    scaled = calibrate(1e-7 * effect[None], summarise(1e-7 * draws, 1e-7 * effect))
    smooth = plain.fallback == ""
    assert smooth.sum() >= 17
    assert (plain.fallback == scaled.fallback).all()
    np.testing.assert_allclose(plain.p, scaled.p, rtol=1e-9)
    mirrored = calibrate(-effect[None], summarise(-draws, -effect), "left")
    right = calibrate(effect[None], summarise(draws, effect), "right")
    np.testing.assert_allclose(mirrored.p, right.p, rtol=1e-9)
    np.testing.assert_allclose(mirrored.parameters[..., 2], -right.parameters[..., 2], rtol=1e-9)


def test_two_sided_is_capped_at_one_and_never_zero():
    rng = np.random.default_rng(3)
    draws = rng.gamma(30, size=(1023, 40))
    at_median = np.median(draws, axis=0)
    assert (calibrate(at_median[None], summarise(draws, at_median)).p <= 1).all()
    far = np.full(40, 1e6)
    result = calibrate(far[None], summarise(draws, far))
    smooth = result.fallback == ""
    assert smooth.any()
    assert (result.p[smooth] == np.finfo(float).tiny).all()
    assert (result.p[~smooth] == 1 / 1024).all()


def test_few_draws_are_not_fitted():
    rng = np.random.default_rng(4)
    draws, effect = rng.normal(size=(19, 3)), np.array([0.0, 9.0, -9.0])
    null = summarise(draws, effect)
    result = calibrate(effect[None], null)
    assert (result.fallback == FEW_DRAWS).all()
    np.testing.assert_array_equal(result.p, empirical_p(null))
    draws = rng.normal(size=(20, 3))
    assert not (calibrate(effect[None], summarise(draws, effect)).fallback == FEW_DRAWS).any()


def test_draws_equal_up_to_rounding_have_no_spread():
    draws = np.full((1023, 2), 0.1)
    draws[::2, 1] += 1e-17
    observed = np.array([0.1, 0.3])
    result = calibrate(observed[None], summarise(draws, observed))
    assert (result.fallback == NO_SPREAD).all()
    np.testing.assert_allclose(result.p, [[1.0, 1 / 1024]])


def test_shapes_and_sides_are_checked(screen):
    _, effect, null = screen
    with pytest.raises(InputError, match="same units and programs"):
        calibrate(effect[:2], null)
    with pytest.raises(OptionError, match="right"):
        calibrate(effect, null, "rigth")


@pytest.mark.parametrize("side", CODES)
def test_exact_moments_give_the_law_itself(side):
    # moments of a known skew-normal law in, its own tails out
    alpha, xi, omega = 2.5, -1.0, 3.0
    law = skewnorm(alpha, xi, omega)
    mean, variance, skewness = law.stats("mvs")
    observed = np.linspace(-4, 9, 27)
    p = skew_normal_from_moments(mean, np.sqrt(variance), skewness, observed, side)
    right, left = law.sf(observed), law.cdf(observed)
    expected = {"both": np.minimum(1, 2 * np.minimum(left, right)), "left": left, "right": right}
    np.testing.assert_allclose(p, expected[side], rtol=1e-6, atol=1e-10)


def test_exact_moments_without_a_law_give_nan():
    p = skew_normal_from_moments(0.0, [1.0, 0.0, 1.0, np.nan], 0.1, [np.nan, 1.0, 1.0, 1.0])
    assert np.isnan(p).tolist() == [True, True, False, True]
    assert skew_normal_from_moments(0, 1, 0, 1e4).item() == np.finfo(float).tiny
    with pytest.raises(OptionError):
        skew_normal_from_moments(0, 1, 0, 1, "up")


def test_fit_returns_parameters_on_the_scale_of_the_sample():
    y = 5 + 2 * np.random.default_rng(5).gamma(40, size=4000)
    xi, omega, alpha, mean, sd = fit_skew_normal(y)
    assert (mean, sd) == (pytest.approx(y.mean()), pytest.approx(y.std()))
    moments = [float(m) for m in skewnorm.stats(alpha, xi, omega, moments="mvs")]
    skewness = ((y - y.mean()) ** 3).mean() / y.std() ** 3
    np.testing.assert_allclose(moments, [y.mean(), y.var(), skewness], rtol=1e-9)


@pytest.mark.parametrize("side", CODES)
def test_single_test_equals_the_pass_over_all(screen, side):
    draws, effect, null = screen
    result = calibrate(effect, null, side)
    for g, k in [(0, 0), (2, 4), (3, 3), (5, 2)]:
        d = draws[g, :, k]
        mean, sd = d.mean(), d.std()
        z, observed = (d - mean) / sd, (effect[g, k] - mean) / sd
        xi, omega, alpha, p = fit_and_evaluate_skew_normal(observed, z, CODES[side])
        np.testing.assert_allclose([xi, omega, alpha], result.parameters[g, k], rtol=1e-9)
        if result.fallback[g, k]:
            assert p == -1
            expected = compute_empirical_p_value(d, effect[g, k], CODES[side])
            assert result.p[g, k] == pytest.approx(expected)
        else:
            assert p == pytest.approx(result.p[g, k], rel=1e-9)
        fit = fit_skew_normal(z)
        np.testing.assert_allclose(fit[:3], [xi, omega, alpha], rtol=1e-7, atol=1e-9)
        refused = not check_sn_tail(z, *fit[:3]) or check_for_outliers(z, *fit[:3])
        assert refused == (p == -1)


def test_single_test_at_its_edges():
    draws = np.random.default_rng(6).normal(size=200)
    assert np.isnan(fit_and_evaluate_skew_normal(np.nan, draws)[3])
    constant = fit_and_evaluate_skew_normal(1.0, np.ones(200))
    assert constant[3] == -1
    assert np.isnan(constant[:3]).all()
    with pytest.raises(InputError, match="all 200 values are equal"):
        fit_skew_normal(np.ones(200))
    with pytest.raises(InputError, match="1 values"):
        fit_skew_normal(np.append(draws, np.nan))
    with pytest.raises(OptionError, match="side_code=3"):
        fit_and_evaluate_skew_normal(0.0, draws, 3)
