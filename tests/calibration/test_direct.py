"""Direct effects: the interval test by its formula, the mirror image by refitting without each
program, and null rates. The simulations' seeds are fixed; false-alarm rates stand beside them."""

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from programde.calibration.direct import (
    PRIOR,
    direct_effects,
    either,
    interval_p,
    mirror_image,
    weighted_median,
)


def test_interval_p_is_the_largest_probability_over_the_null():
    means = np.linspace(-0.1, 0.1, 201)
    for shift, se in ((0.3, 0.08), (-0.25, 0.1), (0.02, 0.05)):
        x = abs(shift)
        far = norm.sf((x - means) / se) + norm.cdf((-x - means) / se)
        assert interval_p(np.array([shift]), np.array([se]), np.array([0.1]))[0] == pytest.approx(
            far.max(), rel=1e-10
        )
        up = norm.sf((shift - means) / se).max()
        one = interval_p(np.array([shift]), np.array([se]), np.array([0.1]), "right")[0]
        assert one == pytest.approx(up, rel=1e-10)


def test_without_tolerance_it_is_the_plain_two_sided_test():
    z = np.linspace(-6, 6, 25)
    got = interval_p(0.3 * z, np.full(25, 0.3), np.zeros(25))
    np.testing.assert_allclose(got, 2 * norm.sf(np.abs(z)), rtol=1e-12)
    sides = interval_p(z, np.ones(25), np.zeros(25), "left") + interval_p(
        z, np.ones(25), np.zeros(25), "right"
    )
    np.testing.assert_allclose(sides, 1.0)


def test_weighted_median():
    assert weighted_median(np.array([3.0, 1, 2]), np.ones(3)) == 2
    assert weighted_median(np.array([4.0, 1, 2, 3]), np.ones(4)) == 2.5
    assert weighted_median(np.array([1.0, 2, 3]), np.array([1.0, 1, 5])) == 3


def penalised(beta, se, share, kept, at):
    """The line through kept programs by augmented least squares, and its error, at program `at`."""
    w = 1 / se[kept]
    centre = np.average(share[kept], weights=w**2)
    rows = np.column_stack([w, w * (share[kept] - centre)])
    rows = np.vstack([rows, [0, 1 / PRIOR]])
    solved = np.linalg.lstsq(rows, np.append(w * beta[kept], 0.0))[0]
    spread = np.linalg.inv(rows.T @ rows)
    x = np.array([1.0, share[at] - centre])
    return x @ solved, np.sqrt(x @ spread @ x)


def test_the_mirror_image_of_a_program_is_what_the_others_say():
    rng = np.random.default_rng(0)
    share, se = rng.uniform(0.3, 1, 12), rng.uniform(0.02, 0.06, 12)
    beta = 0.1 - 0.3 * share + rng.normal(0, se)
    beta[3] += 1.5  # touched: in no fit
    M, S = mirror_image(beta, se, share, 0.1)
    untouched = np.delete(np.arange(12), 3)
    for k in range(12):
        kept = untouched[untouched != k]
        line, error = penalised(beta, se, share, kept, k)
        assert M[k] == pytest.approx(line, abs=1e-10)
        # the penalty is on the slope about the centre, which moves a little with k
        assert S[k] == pytest.approx(error, rel=1e-6)


def test_a_program_of_great_leverage_does_not_bend_the_line():
    se = np.full(20, 0.04)
    share = np.r_[0.9, np.ones(19)]
    beta = np.r_[1.4, np.full(19, -0.08)]
    M, S = mirror_image(beta, se, share, 0.1)
    np.testing.assert_allclose(M[1:], -0.08, atol=1e-12)
    assert abs(M[0] + 0.08) < 1e-12
    assert S[0] < 0.06


def shifts(rng, n_units, touched, slope=-0.4, n_programs=20, scale=0.04):
    """Effects of units that touch the first `touched` programs by 1, and its mirror image."""
    share = rng.uniform(0.3, 1, n_programs)
    beta = slope * (share - share.mean()) - 0.05 * touched + np.zeros((n_units, 1))
    beta[:, :touched] += 1.0
    se = np.full(beta.shape, scale)
    beta = beta + rng.normal(0, scale, beta.shape)
    return beta, se, np.tile(share, (n_units, 1))


@pytest.mark.slow
@pytest.mark.parametrize("touched", [0, 1, 5])
def test_untouched_programs_are_called_no_more_often_than_may_be(touched):
    # false alarm 1e-3: 5,000 units, one program that is not touched
    beta, se, share = shifts(np.random.default_rng(1), 5000, touched)
    p = 2 * norm.sf(np.abs(beta / se))
    found = direct_effects(beta, se, p, share)
    assert (found.reason == "").all()
    for level in (0.05, 0.01):
        hits = int((found.p_value[:, -1] <= level).sum())
        assert binomtest(hits, 5000, level, "greater").pvalue > 0.5e-3
    assert (found.p_value >= p).all()
    if touched:
        assert (found.p_value[:, 0] < 1e-6).all()
        assert (p[:, touched:] <= 0.05).mean() > 0.3  # what the plain test says of them


def test_without_a_mirror_image_nothing_is_given_away():
    rng = np.random.default_rng(2)
    beta = rng.normal(0, 0.04, (300, 70))
    beta[:, 0] += 0.25
    se = np.full(beta.shape, 0.04)
    p = 2 * norm.sf(np.abs(beta / se))
    found = direct_effects(beta, se, p)
    power = [(values[:, 0] <= 1e-4).mean() for values in (p, found.p_value)]
    assert power[0] - power[1] < 0.06


def test_sides_follow_the_side_of_the_p_values():
    beta, se, share = shifts(np.random.default_rng(3), 5, 1)
    p = {side: norm.sf(sign * beta / se) for side, sign in (("right", 1), ("left", -1))}
    right = direct_effects(beta, se, p["right"], share, side="right").p_value
    left = direct_effects(beta, se, p["left"], share, side="left").p_value
    assert (right[:, 0] < 1e-6).all()
    assert (left[:, 0] > 0.99).all()


def test_no_majority_no_test_and_the_reason_is_told():
    rng = np.random.default_rng(4)
    beta, se = rng.normal(0, 0.04, (5, 10)), np.full((5, 10), 0.04)
    beta[1] = np.linspace(-3, 3, 10)
    beta[2] = np.nan
    se[3] = np.nan
    beta[4, :3] = np.nan
    p = np.full((5, 10), 0.5)
    p[0, 2] = np.nan
    found = direct_effects(beta, se, p)
    assert list(found.reason) == [
        "",
        "more than half of the programs moved: no majority to stand on",
        "no log-ratio effects",
        "no standard errors",
        "7 programs, fewer than 8: no majority to stand on",
    ]
    assert np.isnan(found.p_value[1:]).all()
    assert np.isfinite(found.p_value[0]).tolist() == [k != 2 for k in range(10)]


def test_a_greater_tolerance_is_never_less_careful():
    beta, se, share = shifts(np.random.default_rng(5), 50, 1, slope=-0.4)
    p = 2 * norm.sf(np.abs(beta / se))
    tight = direct_effects(beta, se, p, share, delta=0.0).p_value
    wide = direct_effects(beta, se, p, share, delta=0.3).p_value
    assert np.median(wide[:, 5:] / tight[:, 5:]) > 1


def test_either_of_two_p_values():
    p = np.array([1e-12, 1e-3, 0.2, 0.5, 0.7])
    np.testing.assert_allclose(either(p, p), p, rtol=1e-9)
    np.testing.assert_allclose(either(p[:2], np.ones(2)), 2 * p[:2], rtol=1e-4)
    np.testing.assert_allclose(either(np.array([0.6, 0.4]), np.array([0.9, 0.9]))[0], 0.9)
    missing = either(np.array([0.3, np.nan]), np.array([np.nan, 0.01]))
    assert missing[0] == 0.3
    assert np.isnan(missing[1])
    # independent and uniform: at most 1.09 times too often; 200,000 draws, false alarm 1e-4
    rng = np.random.default_rng(5)
    combined = either(rng.random(200_000), rng.random(200_000))
    for level in (0.05, 0.01, 1e-3):
        bound = binomtest(int((combined <= level).sum()), 200_000, 1.09 * level, "greater")
        assert bound.pvalue > 1e-4


@pytest.mark.slow
@pytest.mark.brief
def test_present_shifts_find_what_the_floor_hides():
    """19 of 20 programs fall by 0.3 where they are present, one does not: it was touched. Its
    log-ratio is too noisy to say so. False alarm 1e-3 for the others."""
    rng = np.random.default_rng(6)
    n = 2000
    se = np.full((n, 20), 0.2)
    beta = rng.normal(0, se)
    p = 2 * norm.sf(np.abs(beta / se))
    shift = rng.normal(-0.3, 0.03, (n, 20))
    shift[:, 0] += 0.4
    present = (shift, np.full((n, 20), 0.03), np.full((n, 20), 300.0))
    found = direct_effects(beta, se, p, present=present).p_value
    assert (found[:, 0] < 1e-3).mean() > 0.95
    assert (direct_effects(beta, se, p).p_value[:, 0] < 1e-3).mean() < 0.01
    for level in (0.05, 0.01):
        hits = int((found[:, 1] <= level).sum())
        assert binomtest(hits, n, 1.09 * level, "greater").pvalue > 0.5e-3
    missing = tuple(np.full((n, 20), np.nan) for _ in range(3))
    without = direct_effects(beta, se, p, present=missing).p_value
    np.testing.assert_array_equal(without, direct_effects(beta, se, p).p_value)
