"""Ridge logistic propensities against scikit-learn, their own optimality, and the limits."""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from programde.crt.kernels.logistic import CHUNK, sigmoid_chunk
from programde.crt.propensity import (
    CLIP,
    PropensitySolver,
    call_propensity,
    fit_propensity_logistic,
)
from programde.errors import OptionError
from programde.tails.conditional_fit import AtRoot


def reference(C, x, ridge=1.0):
    """scikit-learn's Newton solver; columns of ones are left to its unpenalised intercept."""
    constant = (C == 1.0).all(axis=0)
    model = LogisticRegression(
        C=1.0 / ridge,
        solver="newton-cholesky",
        tol=1e-12,
        max_iter=1000,
        fit_intercept=bool(constant.any()),
    )
    model.fit(C[:, ~constant], x)
    return np.clip(model.predict_proba(C[:, ~constant])[:, 1], CLIP, 1 - CLIP)


def covariates(n, kind, rng):
    z = rng.normal(size=(n, 4))
    batch = (rng.integers(3, size=n)[:, None] == [1, 2]).astype(float)
    C = np.column_stack([np.ones(n), z, batch])
    if kind == "heavy":
        C[:, 1] = rng.standard_t(2, n)
    elif kind == "scales":
        C[:, 1:5] *= [1e3, 1e-3, 30.0, 1.0]
    elif kind == "shifted":
        C[:, 1] += 50.0
    elif kind == "aliased":
        C[:, 2] = C[:, 1] + 1e-5 * C[:, 2]
    elif kind == "intercept last":
        C = C[:, ::-1].copy()
    elif kind == "no intercept":
        C = C[:, 1:]
    return C


def treat(C, n1, rng, strength=1.0):
    score = strength * C[:, 1] / C[:, 1].std()
    return np.sort(np.argsort(score + rng.gumbel(size=len(C)))[-n1:])


KINDS = [
    "plain",
    "heavy",
    "scales",
    "shifted",
    "aliased",
    "intercept last",
    "no intercept",
]


@pytest.mark.parametrize("kind", KINDS)
def test_probabilities_equal_scikit_learn(kind):
    rng = np.random.default_rng(KINDS.index(kind))
    n = 1500
    C = covariates(n, kind, rng)
    units = [treat(C, n1, rng) for n1 in (1, 2, 3, 40, 400, n - 2)]
    constant = np.flatnonzero((C == 1.0).all(axis=0))
    solver = PropensitySolver(C, int(constant[0]) if constant.size else None)
    fit = solver.fit(units)
    assert fit.converged.all()
    assert fit.steps.max() <= 40
    for treated, theta in zip(units, fit.theta, strict=True):
        x = np.zeros(n)
        x[treated] = 1
        p = solver.probabilities(theta)
        np.testing.assert_allclose(p, reference(C, x), atol=1e-8)
        np.testing.assert_allclose(p, np.clip(expit(C @ theta), CLIP, 1 - CLIP), atol=1e-12)


def test_gradient_vanishes_at_the_solution():
    rng = np.random.default_rng(8)
    C = covariates(3000, "plain", rng)
    for ridge in (1e-3, 1.0, 100.0):
        solver = PropensitySolver(C, 0, ridge)
        units = [treat(C, n1, rng, strength=2.0) for n1 in (2, 30, 900)]
        fit = solver.fit(units)
        assert fit.converged.all()
        for treated, theta in zip(units, fit.theta, strict=True):
            x = np.zeros(3000)
            x[treated] = 1
            penalty = ridge * np.concatenate([[0.0], theta[1:]])
            gradient = C.T @ (expit(C @ theta) - x) + penalty
            assert np.abs(gradient).max() < 1e-8
            # the unpenalised intercept makes the probabilities sum to the treated cells
            assert expit(C @ theta).sum() == pytest.approx(treated.size, abs=1e-8)


def test_separated_units_converge_to_the_ridge_solution():
    rng = np.random.default_rng(9)
    n = 2000
    C = covariates(n, "plain", rng)
    one_batch = np.flatnonzero(C[:, 5] == 1)
    by_depth = np.flatnonzero(C[:, 1] > 1.2)
    single = np.array([int(C[:, 1].argmax())])
    units = [one_batch[:50], one_batch, by_depth, single]
    solver = PropensitySolver(C, 0)
    fit = solver.fit(units)
    assert fit.converged.all()
    for treated, theta in zip(units, fit.theta, strict=True):
        x = np.zeros(n)
        x[treated] = 1
        np.testing.assert_allclose(solver.probabilities(theta), reference(C, x), atol=1e-8)


def test_almost_no_ridge_on_separated_data_is_clipped_or_said_to_fail():
    z = np.linspace(-1, 1, 200)
    C = np.column_stack([np.ones(200), z])
    fit = PropensitySolver(C, 0, ridge=1e-9).fit([np.flatnonzero(z > 0)])
    p = PropensitySolver(C, 0).probabilities(fit.theta[0])
    assert np.isfinite(p).all()
    assert ((p >= CLIP) & (p <= 1 - CLIP)).all()
    x = (z > 0).astype(float)
    if fit.converged[0]:
        gradient = C.T @ (expit(C @ fit.theta[0]) - x) + 1e-9 * fit.theta[0] * [0, 1]
        assert np.abs(gradient).max() < 1e-6


def test_a_column_of_zeros_changes_nothing():
    rng = np.random.default_rng(10)
    C = covariates(500, "plain", rng)
    with_zero = np.insert(C, 3, 0.0, axis=1)
    treated = treat(C, 60, rng)
    plain = PropensitySolver(C, 0)
    other = PropensitySolver(with_zero, 0)
    p = plain.probabilities(plain.fit([treated]).theta[0])
    fit = other.fit([treated])
    assert fit.theta[0, 3] == 0.0
    np.testing.assert_allclose(other.probabilities(fit.theta[0]), p, atol=1e-12)


def test_with_the_intercept_alone_the_probability_is_the_share():
    solver = PropensitySolver(np.ones((40, 1)), 0)
    units = [np.arange(m) for m in (1, 7, 39)]
    fit = solver.fit(units)
    assert fit.converged.all()
    for m, theta in zip((1, 7, 39), fit.theta, strict=True):
        np.testing.assert_allclose(solver.probabilities(theta), m / 40, atol=1e-12)


def test_without_covariates_every_cell_is_as_likely_as_not():
    solver = PropensitySolver(np.empty((40, 0)), None)
    fit = solver.fit([np.array([1, 2])])
    assert fit.converged.all()
    np.testing.assert_array_equal(solver.probabilities(fit.theta[0]), np.full(40, 0.5))


def test_a_unit_does_not_depend_on_its_block():
    rng = np.random.default_rng(11)
    C = covariates(CHUNK * 2 + 37, "plain", rng)
    units = [treat(C, n1, rng) for n1 in (5, 50, 200, 7, 100)]
    solver = PropensitySolver(C, 0)
    together = solver.fit(units).theta
    alone = np.stack([solver.fit([unit]).theta[0] for unit in units])
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_array_equal(solver.fit(units[::-1]).theta[::-1], together)
    assert solver.fit([]).theta.shape == (0, C.shape[1])


def test_sigmoid_is_exact_to_rounding():
    eta = np.concatenate([np.linspace(-40, 40, 20_001), [0.0, 1e-300, -1e-300, 1e-9]])
    for begin in range(0, eta.size, CHUNK):
        part = eta[begin : begin + CHUNK].copy()
        exact = expit(part)
        sigmoid_chunk(part, np.empty(CHUNK), part.size)
        np.testing.assert_allclose(part, exact, rtol=2e-15)


def test_sigmoid_saturates_beyond_forty():
    eta = np.array([-800.0, -41.0, 41.0, 800.0, np.inf, -np.inf])
    sigmoid_chunk(eta, np.empty(CHUNK), eta.size)
    np.testing.assert_allclose(eta, expit([-40.0, -40, 40, 40, 40, -40]), rtol=1e-14)


def test_one_unit_by_name_of_the_seed():
    rng = np.random.default_rng(12)
    C = covariates(800, "plain", rng)
    x = np.zeros(800, dtype=int)
    x[treat(C, 70, rng)] = 1
    p, theta = fit_propensity_logistic(C, x)
    np.testing.assert_allclose(p, reference(C, x), atol=1e-8)
    assert theta.shape == (C.shape[1],)
    with pytest.raises(OptionError, match="disagree"):
        fit_propensity_logistic(C, x[:-1])
    with pytest.raises(OptionError, match="0 and 1 only"):
        fit_propensity_logistic(C, x * 2)


def test_a_propensity_of_the_users_own():
    C, treated = np.ones((5, 1)), np.array([1, 3])
    seen = {}

    def model(C, x):
        seen["x"] = x
        return np.array([0.0, 0.2, 0.3, 1.0, 0.5]), "fitted"

    p, fitted = call_propensity(model, C, treated)
    np.testing.assert_array_equal(seen["x"], [0, 1, 0, 1, 0])
    np.testing.assert_array_equal(p, [CLIP, 0.2, 0.3, 1 - CLIP, 0.5])
    assert fitted == "fitted"
    assert call_propensity(lambda C, x: np.full(5, 0.5), C, treated)[1] is None
    for wrong in (np.ones(4), np.full(5, np.nan), np.full(5, 1.5), np.full(5, -0.1), 0.3):
        with pytest.raises(OptionError, match="must return 5 probabilities"):
            call_propensity(lambda C, x, wrong=wrong: wrong, C, treated)


def test_a_guess_changes_the_way_and_not_the_end():
    rng = np.random.default_rng(5)
    C = np.column_stack([np.ones(3000), rng.standard_normal((3000, 4))])
    units = [np.flatnonzero(rng.random(3000) < 1 / (1 + np.exp(3 - C[:, 1]))) for _ in range(3)]
    solver = PropensitySolver(C, 0)
    plain = solver.fit(units)

    def at(theta):
        w = expit(C @ theta) * expit(-C @ theta)
        return (C * w[:, None]).T @ C

    near = AtRoot(plain.theta[0] + 0.01 * rng.standard_normal(5), at(plain.theta[0]))
    far = AtRoot(np.full(5, 3.0), at(plain.theta[2]))
    guesses = [near, None, far]
    guessed = solver.fit(units, guesses)
    assert guessed.converged.all()
    np.testing.assert_allclose(guessed.theta, plain.theta, atol=1e-9)
    np.testing.assert_array_equal(guessed.theta[1], plain.theta[1])
    assert guessed.steps[0] < plain.steps[0]
