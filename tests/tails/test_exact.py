"""The calibration's doors: sides, orders, branches, bad input, extreme values."""

import numpy as np
import pytest

from programde.errors import InputError, OptionError
from programde.tails.exact import (
    BRANCHES,
    FALLBACK,
    bernoulli_tails,
    program_major,
    stratified_tails,
)


def unit(seed=0, n=800, k=6, n1=25, sampler="bernoulli"):
    """W, tau, v, threshold and the law's arguments of one unit whose statistic is a plain sum."""
    rng = np.random.default_rng(seed)
    W = rng.standard_normal((n, k))
    W[:, -1] = np.where(rng.random(n) < 0.05, -13.0, W[:, -1])
    depth = rng.standard_normal(n)
    p = np.minimum(np.exp(depth) * n1 / np.exp(depth).sum(), 0.9)
    treated = rng.random(n) < p
    threshold = W[treated].sum(axis=0) - treated.sum() * 0.05
    line = (W, np.full(k, 0.05), np.ones(n), threshold)
    if sampler == "bernoulli":
        return bernoulli_tails, line, (p,)
    order = np.argsort(p, kind="stable")
    starts = np.linspace(0, n, 6).astype(int)
    totals = np.add.reduceat(treated[order], starts[:-1]).astype(int)
    return stratified_tails, line, (order, starts, totals)


SAMPLERS = ("bernoulli", "stratified")


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_two_sided_is_twice_the_smaller_tail(sampler):
    call, line, law = unit(sampler=sampler)
    found = call(*line, *law)
    both, left, right = (found.p_value(side) for side in ("both", "left", "right"))
    np.testing.assert_allclose(both, np.minimum(1.0, 2.0 * np.minimum(left, right)), rtol=1e-9)
    np.testing.assert_allclose(left + right, 1.0, atol=2e-3)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_mirrored_summands_swap_the_sides(sampler):
    call, (W, tau, v, threshold), law = unit(sampler=sampler)
    for side, other in (("left", "right"), ("right", "left"), ("both", "both")):
        here = call(W, tau, v, threshold, *law).p_value(side)
        there = call(-W, -tau, v, -threshold, *law).p_value(other)
        np.testing.assert_allclose(here, there, rtol=1e-6)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_scale_order_of_programs_and_memory_order_change_nothing(sampler):
    call, (W, tau, v, threshold), law = unit(sampler=sampler)
    plain = call(W, tau, v, threshold, *law).p_value()
    for factor in (1e-9, 1e7):
        scaled = call(W * factor, tau * factor, v, threshold * factor, *law).p_value()
        np.testing.assert_allclose(scaled, plain, rtol=1e-5)
    fortran = call(np.asfortranarray(W), tau, v, threshold, *law).p_value()
    np.testing.assert_array_equal(fortran, plain)
    back = slice(None, None, -1)
    turned = call(W[:, back], tau[back], v, threshold[back], *law).p_value()
    np.testing.assert_allclose(turned[back], plain, rtol=1e-12)
    alone = np.concatenate(
        [call(W[:, [k]], tau[[k]], v, threshold[[k]], *law).p_value() for k in range(6)]
    )
    np.testing.assert_allclose(alone, plain, rtol=1e-12)


def test_order_of_cells_changes_nothing():
    call, (W, tau, v, threshold), (p,) = unit()
    turn = np.random.default_rng(1).permutation(p.size)
    plain = call(W, tau, v, threshold, p).p_value()
    np.testing.assert_allclose(
        call(W[turn], tau, v, threshold, p[turn]).p_value(), plain, rtol=1e-8
    )


def test_fortran_order_is_read_without_a_copy():
    W = np.asfortranarray(np.random.default_rng(0).standard_normal((50, 4)))
    assert np.shares_memory(program_major(W), W)


@pytest.mark.slow
@pytest.mark.brief
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_tails_far_beyond_double_precision_of_one_minus_p(sampler):
    # a shift of every treated cell by d standard deviations; p falls without a step down to 1e-300
    call, (W, tau, v, _), law = unit(n=4000, n1=400, sampler=sampler)
    at_zero = call(W, tau, v, np.zeros(6), *law)
    mean, sd = at_zero.mean, np.sqrt(at_zero.variance)
    z = np.array([0.5, 2, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40.0])
    logs = np.array([np.log(call(W, tau, v, mean + x * sd, *law).p_value("right")) for x in z])
    assert np.all(np.isfinite(logs))
    floor = np.log(1e-300)
    steps = np.diff(logs[:, :-1], axis=0)
    assert np.all((steps < 0) | (logs[1:, :-1] <= floor + 1e-9))
    assert logs.min() == pytest.approx(floor)
    # the normal law is not far for these sums of 400 light-tailed summands
    from scipy.stats import norm

    near = z <= 4
    normal = np.repeat(norm.logsf(z[near])[:, None], 5, axis=1)
    np.testing.assert_allclose(logs[near][:, :5], normal, rtol=0.1)


def test_nothing_is_made_up():
    call, (W, tau, v, threshold), (p,) = unit()
    W[:, 2] = 0.0
    tau[2] = threshold[2] = 0.0  # no spread
    threshold[3] = np.nan
    tau[4] = np.inf
    found = call(W, tau, v, threshold, p)
    assert np.isnan(found.p_value()[2:5]).all()
    assert [BRANCHES[b] for b in found.branch[2:5]] == ["untestable"] * 3
    assert np.isfinite(found.p_value()[[0, 1, 5]]).all()
    assert len(BRANCHES) == len(FALLBACK)


def test_fully_treated_and_empty_strata_are_constants():
    rng = np.random.default_rng(4)
    W = rng.standard_normal((60, 3))
    order, v, tau = np.arange(60), np.ones(60), np.zeros(3)
    threshold = np.full(3, 2.0)
    whole = stratified_tails(
        W, tau, v, threshold, order, np.array([0, 20, 40, 60]), np.array([0, 7, 20])
    )
    rest = W[40:].sum(axis=0)
    part = stratified_tails(
        W[20:40], tau, v[:20], threshold - rest, np.arange(20), np.array([0, 20]), np.array([7])
    )
    np.testing.assert_allclose(whole.p_value(), part.p_value(), rtol=1e-8)
    none = stratified_tails(W, tau, v, threshold, order, np.array([0, 60]), np.array([0]))
    assert np.isnan(none.p_value()).all()


def test_separated_propensities():
    # every cell's treatment is all but certain: what was observed is what is always drawn
    rng = np.random.default_rng(5)
    W = rng.standard_normal((300, 4))
    treated = np.arange(300) < 30
    p = np.where(treated, 1 - 1e-6, 1e-6)
    found = bernoulli_tails(W, np.zeros(4), np.ones(300), W[treated].sum(axis=0), p)
    np.testing.assert_allclose(found.p_value(), 1.0, atol=1e-3)
    above = bernoulli_tails(W, np.zeros(4), np.ones(300), W[treated].sum(axis=0) + 0.5, p)
    a = np.where(treated[:, None], -W, W)
    single = (1e-6 * (a >= 0.5)).sum(axis=0)  # one cell changes
    np.testing.assert_allclose(above.p_value("right"), single, rtol=0.01)


def test_bad_input_is_refused_in_one_line():
    call, (W, tau, v, threshold), (p,) = unit()
    with pytest.raises(InputError, match=r"3 propensities lie outside \(0, 1\)"):
        call(W, tau, v, threshold, np.where(np.arange(p.size) < 3, 0.0, p))
    with pytest.raises(InputError, match="p has shape"):
        call(W, tau, v, threshold, p[:-1])
    with pytest.raises(InputError, match="asks for"):
        call(W, tau[:-1], v, threshold, p)
    with pytest.raises(InputError, match="cells x programs"):
        call(W[:, 0], tau, v, threshold, p)
    with pytest.raises(OptionError, match="did you mean 'both'"):
        call(W, tau, v, threshold, p).p_value("bot")
    call, line, (order, starts, totals) = unit(sampler="stratified")
    with pytest.raises(InputError, match="more treated than cells"):
        call(*line, order, starts, totals + 1000)
    with pytest.raises(InputError, match="are to be covered"):
        call(*line, order[:-1], starts, totals)
