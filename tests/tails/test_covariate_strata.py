"""Covariates split into strata, local and shared columns: their span, and what it fixes."""

import numpy as np
import pytest

from programde.errors import InputError
from programde.tails.covariate_strata import strata_of


def design(n=400, seed=0):
    rng = np.random.default_rng(seed)
    batch, donor = rng.integers(0, 4, n), rng.integers(0, 3, n)
    x = rng.standard_normal(n)
    b = [(batch == level).astype(float) for level in (1, 2, 3)]
    d = [(donor == level).astype(float) for level in (1, 2)]
    return np.ones(n), batch, donor, x, b, d


def whole(strata):
    """All columns (n, .) of a split, in the order of its cells."""
    k = int(strata.n_local.max(initial=0))
    local = []
    for b in range(strata.n_local.size):
        for j in range(strata.n_local[b]):
            column = np.zeros(strata.order.size)
            cells = slice(strata.first[b], strata.first[b + 1])
            column[cells] = strata.columns[j, cells]
            local.append(column)
    return np.column_stack([*local, *strata.columns[k:]])


MODELS = {
    "batch": lambda o, x, b, d: [o, *b, x],
    "two factors": lambda o, x, b, d: [o, *b, *d, x],
    "slopes": lambda o, x, b, d: [o, *b, x, *(v * x for v in b), x**2],
    "some slopes": lambda o, x, b, d: [o, *b, x, b[0] * x],
    "no factor": lambda o, x, b, d: [o, x, x**2],
    "crossed": lambda o, x, b, d: [o, *b, *d, *(v * w for v in b for w in d), x],
}
#: (strata, local columns of each, shared columns)
SHAPES = {
    "batch": (4, [1, 1, 1, 1], 1),
    "two factors": (4, [1, 1, 1, 1], 3),
    "slopes": (4, [2, 2, 2, 2], 1),
    "some slopes": (4, [1, 2, 1, 1], 1),
    "no factor": (1, [3], 0),
    "crossed": (12, [1] * 12, 1),
}


@pytest.mark.parametrize("model", MODELS)
def test_columns_are_an_orthonormal_basis_of_the_covariates(model):
    o, _, _, x, b, d = design()
    C = np.column_stack(MODELS[model](o, x, b, d))
    strata = strata_of(C)
    basis = whole(strata)
    assert basis.shape == C.shape
    np.testing.assert_allclose(basis.T @ basis, np.eye(C.shape[1]), atol=1e-9)
    sorted_C = C[strata.order]
    np.testing.assert_allclose(basis @ (basis.T @ sorted_C), sorted_C, atol=1e-9)
    n_strata, n_local, n_global = SHAPES[model]
    assert strata.first.size - 1 == n_strata
    assert strata.n_global == n_global
    assert sorted(strata.n_local) == sorted(n_local)
    assert not strata.saturated


@pytest.mark.parametrize("model", MODELS)
def test_coefficients_give_the_same_linear_predictor(model):
    o, _, _, x, b, d = design()
    C = np.column_stack(MODELS[model](o, x, b, d))
    strata = strata_of(C)
    theta = np.random.default_rng(1).standard_normal(C.shape[1])
    local, shared = strata.coefficients(theta)
    k = int(strata.n_local.max())
    stratum = np.repeat(np.arange(strata.n_local.size), np.diff(strata.first))
    along = np.einsum("jn,nj->n", strata.columns[:k], local[stratum]) + shared @ strata.columns[k:]
    np.testing.assert_allclose(along, (C @ theta)[strata.order], atol=1e-9)


def test_factors_with_all_interactions_are_saturated():
    o, batch, donor, x, b, d = design()
    crossed = np.column_stack([o, *b, *d, *(v * w for v in b for w in d)])
    for C, levels in (
        (np.column_stack([o, *b]), batch),
        (crossed, 3 * batch + donor),
        (o[:, None], 0 * batch),
    ):
        strata = strata_of(C)
        assert strata.saturated
        for lo, hi in zip(strata.first[:-1], strata.first[1:], strict=True):
            assert np.unique(levels[strata.order[lo:hi]]).size == 1
    assert not strata_of(np.column_stack([o, *b, *d])).saturated
    assert not strata_of(np.column_stack([crossed, x])).saturated


def test_every_level_of_every_factor_is_a_set_whose_treated_are_counted():
    o, batch, donor, x, b, d = design()
    strata = strata_of(np.column_stack([o, *b, *d, x]))
    found = {row.tobytes() for row in strata.indicators}
    for member in [*(batch == v for v in range(4)), *(donor == v for v in range(3))]:
        assert member[strata.order].tobytes() in found


def test_given_strata_need_not_belong_to_the_covariates():
    o, batch, donor, x, _b, d = design()
    strata = strata_of(np.column_stack([o, x, *d]), batch)
    assert strata.first.size == 5
    assert (strata.n_local == 0).all()
    assert strata.n_global == 4
    # no number of treated cells by batch follows from C'x
    assert all(
        donor[strata.order][row].max() == donor[strata.order][row].min()
        for row in strata.indicators
    )


@pytest.mark.parametrize(
    ("C", "words"),
    [
        (np.arange(10.0)[:, None], "intercept"),
        (np.column_stack([np.ones(10), np.ones(10)]), "full column rank"),
        (np.full((10, 1), np.nan), "finite"),
    ],
)
def test_covariates_that_cannot_serve_are_refused(C, words):
    with pytest.raises(InputError, match=words):
        strata_of(C)
