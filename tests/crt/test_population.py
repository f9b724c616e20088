"""Populations: which cells, an orthonormal basis of their covariates, and where a cell is."""

from dataclasses import replace

import numpy as np
import pytest

from programde.crt.population import population_of
from tests.crt.small import screen_of


def test_all_cells_share_the_screens_arrays():
    screen = screen_of(n=80, n_batches=2)
    people = population_of(screen)
    assert people.cells is None
    assert people.outcome is screen.clr
    assert people.usage is screen.usage
    assert people.covariates is screen.covariates
    assert people.n_cells == 80
    assert people.n_programs == 5
    assert people.intercept == 0


def test_the_basis_is_orthonormal_and_spans_the_covariates():
    screen = screen_of(n=120, n_batches=3)
    scale = np.concatenate([[1.0], np.logspace(-6, 6, screen.covariates.shape[1] - 1)])
    people = population_of(replace(screen, covariates=screen.covariates * scale))
    Q, C = people.basis, people.covariates
    np.testing.assert_allclose(Q.T @ Q, np.eye(C.shape[1]), atol=1e-13)
    size = np.abs(C).max(axis=0)
    np.testing.assert_allclose(Q @ (Q.T @ C) / size, C / size, atol=1e-12)


def test_some_cells_have_their_rows_and_only_independent_covariates():
    screen = screen_of(n=90, n_batches=3)
    cells = np.flatnonzero(screen.batch != "B1")[::2]
    people = population_of(screen, cells)
    np.testing.assert_array_equal(people.outcome, screen.clr[cells])
    np.testing.assert_array_equal(people.usage, screen.usage[cells])
    np.testing.assert_array_equal(people.batch, screen.batch[cells])
    np.testing.assert_array_equal(people.table["z0"], screen.covariate_table["z0"].iloc[cells])
    # the indicator of the absent batch is empty here
    assert people.covariate_names == [n for n in screen.covariate_names if n != "b1"]
    assert np.linalg.matrix_rank(people.covariates) == people.covariates.shape[1]
    assert people.intercept == 0


@pytest.mark.parametrize("missing", [1, 20, 60])
def test_the_basis_of_nearly_all_cells_follows_from_that_of_all(missing):
    screen = screen_of(n=300, n_batches=3)
    cells = np.sort(np.random.default_rng(missing).permutation(300)[missing:])
    alone, found = population_of(screen, cells), population_of(screen, cells, population_of(screen))
    np.testing.assert_array_equal(found.covariates, alone.covariates)
    assert found.covariate_names == alone.covariate_names
    for columns in range(1, alone.basis.shape[1] + 1):  # the first columns span the same
        one, other = alone.basis[:, :columns], found.basis[:, :columns]
        np.testing.assert_allclose(other @ other.T, one @ one.T, atol=1e-13)


def test_a_batch_that_is_missing_is_dropped_whether_or_not_all_cells_are_known():
    screen = screen_of(n=90, n_batches=3)
    rare = np.where(np.arange(90) < 4, "rare", "often")
    C = np.column_stack([screen.covariates, rare == "rare"]).astype(np.float64)
    screen = replace(screen, covariates=C, covariate_names=[*screen.covariate_names, "rare"])
    people = population_of(screen, np.arange(4, 90), population_of(screen))
    assert people.covariate_names == screen.covariate_names[:-1]
    assert people.basis.shape[1] == people.covariates.shape[1] == C.shape[1] - 1


def test_one_batch_alone_keeps_one_constant_column():
    screen = screen_of(n=90, n_batches=3)
    people = population_of(screen, np.flatnonzero(screen.batch == "B2"))
    assert people.covariate_names == ["intercept", "z0", "z1", "z2"]
    assert people.intercept == 0


def test_no_cells_and_no_covariates():
    screen = screen_of(n=40)
    nobody = population_of(screen, np.empty(0, dtype=np.intp))
    assert nobody.n_cells == 0
    assert nobody.locate(np.array([1, 2])).size == 0
    bare = population_of(replace(screen, covariates=np.empty((40, 0)), covariate_names=[]))
    assert bare.basis.shape == (40, 0)
    assert bare.intercept is None


@pytest.mark.parametrize("seed", range(5))
def test_locating_cells(seed):
    rng = np.random.default_rng(seed)
    screen = screen_of(n=60)
    cells = np.sort(rng.choice(60, rng.integers(1, 60), replace=False))
    asked = np.sort(rng.choice(60, 25, replace=False))
    people = population_of(screen, cells)
    expected = [np.flatnonzero(cells == c)[0] for c in asked if c in cells]
    np.testing.assert_array_equal(people.locate(asked), expected)
    np.testing.assert_array_equal(population_of(screen).locate(asked), asked)
