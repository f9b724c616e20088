"""The first-order form against its definition, simulation and the statistic it corrects."""

import numpy as np
import pytest

from programde.errors import InputError
from programde.tails.exact import bernoulli_tails
from programde.tails.first_order import corrected_draws, first_order_tails, gamma_of


def unit(seed=0, n=900, K=4):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(n)
    C = np.column_stack([np.ones(n), x, rng.random(n) < 0.3]).astype(float)
    p = 1.0 / (1.0 + np.exp(3.2 - 0.8 * x))
    S = rng.standard_normal((n, K)) + x[:, None] ** 2
    return S, C, p, np.flatnonzero(rng.random(n) < p)


def test_gamma_leaves_summands_without_weighted_covariates():
    S, C, p, _ = unit()
    A = S - C @ gamma_of(S, C, p)
    np.testing.assert_allclose(C.T @ ((p * (1 - p))[:, None] * A), 0.0, atol=1e-9)


def test_gamma_of_a_nearly_separated_unit_is_finite():
    S, C, _, _ = unit()
    p = np.clip(1.0 / (1.0 + np.exp(60.0 - 40.0 * C[:, 1])), 1e-6, 1 - 1e-6)
    A = S - C @ gamma_of(S, C, p)
    assert np.isfinite(A).all()


def test_draws_and_observed_lose_what_a_refit_would_take_up():
    """The corrected sum is A'x + a constant, its variance sum w A^2: 4 s.e. of 4,000 draws."""
    S, C, p, _treated = unit()
    rng = np.random.default_rng(1)
    x = (rng.random((4000, p.size)) < p).astype(float)
    gamma = gamma_of(S, C, p)
    drawn = corrected_draws(x @ S, x @ C, gamma, C.T @ p)
    A = S - C @ gamma
    np.testing.assert_allclose(drawn, x @ A + gamma.T @ (C.T @ p), atol=1e-8)
    variance = (p * (1 - p)) @ A**2
    np.testing.assert_allclose(drawn.var(axis=0) / variance, 1.0, atol=4 * np.sqrt(2 / 4000))
    assert ((p * (1 - p)) @ S**2 > 1.1 * variance).all()


def test_tails_are_the_exact_ones_of_the_corrected_summands():
    S, C, p, treated = unit()
    found = first_order_tails(np.ascontiguousarray(S.T), C, p, treated)
    A = S - C @ gamma_of(S, C, p)
    zeros = np.zeros(S.shape[1])
    exact = bernoulli_tails(A, zeros, np.zeros(p.size), A[treated].sum(axis=0), p)
    np.testing.assert_allclose(found.log_left, exact.log_left, rtol=1e-9)
    np.testing.assert_allclose(found.log_right, exact.log_right, rtol=1e-9)


def test_summands_in_the_span_of_the_covariates_cannot_be_tested():
    S, C, p, treated = unit()
    S[:, 0] = C @ [1.0, -2.0, 0.5]
    found = first_order_tails(np.ascontiguousarray(S.T), C, p, treated)
    assert np.isnan(found.log_left[0])
    assert np.isfinite(found.log_left[1:]).all()


def test_cells_must_agree():
    S, C, p, _ = unit()
    with pytest.raises(InputError, match="disagree in cells"):
        gamma_of(S[1:], C, p)


def test_gamma_by_strata_is_gamma_of_all_columns():
    from programde.tails.conditional import ConditionalLaw
    from tests.tails.test_conditional import screen

    S, C, _, batch = screen(n=1003, K=6, slopes=True)
    p = 0.02 + 0.3 / (1 + np.exp(-C[:, 4]))
    law = ConditionalLaw(5.0 + 3.0 * S, C, batch)
    found = law.gamma(p)
    order = law.strata.order
    local, shared = law.strata.products(np.eye(order.size))
    fitted = np.einsum("nbj,kbj->nk", local, found[0]) + shared @ found[1].T
    wanted = C @ gamma_of((5.0 + 3.0 * S).T, C, p)
    np.testing.assert_allclose(fitted, wanted, atol=1e-4)
