"""Scores, information and overlap of guides and units, against least squares written out."""

import numpy as np
import pytest
from scipy import sparse

from programde.compat.draws import compute_ols_denom
from programde.controls.guide_summaries import (
    indicator_sums,
    mean_log_odds,
    residual_outcome,
    summarise_batch,
)
from programde.crt.population import population_of
from programde.crt.propensity import fit_propensity_logistic
from tests.controls.simulate import null_screen, screen_of


def crowded_screen(seed=0, n=400, together=False):
    """Several guides per cell; with `together` the two guides of a target share all cells."""
    rng = np.random.default_rng(seed)
    names = ["a1", "a2", "b1", "n1", "n2", "n3"]
    present = rng.random((n, 6)) < 0.15
    if together:
        present[:, 1] = present[:, 0]
    covariates = np.column_stack([np.ones(n), rng.normal(size=n)])
    mapping = {g: {"a": "A", "b": "B", "n": "NTC"}[g[0]] for g in names}
    return screen_of(rng.normal(size=(n, 3)), covariates, present, names, mapping)


SETS = [np.array([0, 1]), np.array([2]), np.array([3, 4, 5])]


def least_squares(screen, columns):
    x = (screen.guides[:, columns].toarray().sum(axis=1) > 0).astype(float)
    design = np.column_stack([x, screen.covariates])
    return np.linalg.lstsq(design, screen.clr, rcond=None)[0][0], x


def test_effect_of_a_union_is_the_least_squares_coefficient():
    screen = crowded_screen()
    batch = summarise_batch(screen, None, "all", SETS)
    C = screen.covariates
    for u, columns in enumerate(SETS):
        beta, x = least_squares(screen, columns)
        assert np.allclose(batch.units.score[u] / batch.units.d[u], beta, rtol=1e-10, atol=1e-12)
        assert batch.units.n1[u] == x.sum()
        d = x @ x - x @ C @ np.linalg.solve(C.T @ C, C.T @ x)
        assert batch.units.d[u] == pytest.approx(d, rel=1e-12)
        assert compute_ols_denom(C, x) == pytest.approx(d, rel=1e-12)


def test_guides_are_summed_up_like_units_of_one():
    screen = crowded_screen()
    batch = summarise_batch(screen, None, "all", [np.array([j]) for j in range(6)])
    assert np.allclose(batch.guides.score, batch.units.score)
    assert np.allclose(batch.guides.d, batch.units.d)
    assert np.allclose(batch.units.overlap, 1.0)


def test_overlap_is_the_variance_of_guides_that_come_together():
    apart = summarise_batch(crowded_screen(), None, "all", SETS).units.overlap
    assert 1.0 <= apart[0] < 1.3
    screen = crowded_screen(together=True)
    batch = summarise_batch(screen, None, "all", SETS)
    assert batch.units.overlap[0] == pytest.approx(2.0)
    z = screen.guides[:, [0, 1]].toarray().sum(axis=1)
    C = screen.covariates
    information = z @ z - z @ C @ np.linalg.solve(C.T @ C, C.T @ z)
    ratio = information / batch.guides.d[:2].sum()
    assert batch.units.overlap[0] == pytest.approx(ratio)


def test_units_in_blocks_equal_units_at_once(monkeypatch):
    from programde.controls import guide_summaries as summaries

    screen = crowded_screen()
    whole = summarise_batch(screen, None, "all", SETS).units
    monkeypatch.setattr(summaries, "_ENTRIES", 60)
    parts = summarise_batch(screen, None, "all", SETS).units
    for name in ("n1", "d", "score", "projection", "overlap"):
        assert np.array_equal(getattr(whole, name), getattr(parts, name))


def test_a_column_constant_in_a_batch_is_dropped_by_rank():
    screen = null_screen(6, 2, n_targets=3, n_programs=4, n_batches=2, seed=1)
    cells = np.flatnonzero(screen.batch == "b0")
    # constant in the batch but for rounding: its standard deviation there is not 0
    rng = np.random.default_rng(0)
    column = np.where(screen.batch == "b0", 0.1 + 1e-17 * rng.integers(3, size=screen.n_cells), 0)
    column = np.where(screen.batch == "b0", column * 3.0, rng.normal(size=screen.n_cells))
    wide = screen_of(
        screen.clr,
        np.column_stack([screen.covariates, column]),
        screen.guides.toarray(),
        screen.guide_names,
        screen.guide_to_target,
        screen.batch,
    )
    sets = [np.array(c) for c in screen.target_columns().values()]
    with_it = summarise_batch(wide, cells, "b0", sets)
    without = summarise_batch(screen, cells, "b0", sets)
    assert np.allclose(with_it.units.d, without.units.d, rtol=1e-10)
    assert np.allclose(with_it.units.score, without.units.score, rtol=1e-8, atol=1e-10)
    x = (screen.guides[cells][:, sets[1]].toarray().sum(axis=1) > 0).astype(float)
    design = np.column_stack([x, np.ones(cells.size), screen.covariates[cells, 1]])
    beta = np.linalg.lstsq(design, screen.clr[cells], rcond=None)[0][0]
    assert np.allclose(with_it.units.score[1] / with_it.units.d[1], beta, rtol=1e-8)


def test_too_few_cells_give_nothing():
    screen = null_screen(6, 2, n_targets=3, n_programs=4)
    assert summarise_batch(screen, np.arange(3), "tiny", []) is None


def test_a_constant_program_has_no_variance():
    screen = crowded_screen()
    screen.clr[:, 1] = 0.5
    batch = summarise_batch(screen, None, "all", SETS)
    assert batch.variance[1] == 0
    assert (batch.variance[[0, 2]] > 0).all()
    population = population_of(screen)
    residual, variance = residual_outcome(population)
    assert np.allclose(variance[[0, 2]], (residual**2).sum(axis=0)[[0, 2]] / (400 - 2))


def test_mean_log_odds_of_the_fitted_propensity():
    screen = crowded_screen()
    population = population_of(screen)
    treated = [np.flatnonzero(screen.guides[:, j].toarray().ravel()) for j in (0, 3)]
    treated.append(np.empty(0, dtype=np.int64))
    odds = mean_log_odds(population, treated)
    own = mean_log_odds(population, treated, lambda C, x: fit_propensity_logistic(C, x))
    for value, other, cells in zip(odds[:2], own[:2], treated[:2], strict=True):
        x = np.zeros(400)
        x[cells] = 1
        p = fit_propensity_logistic(population.covariates, x)[0]
        assert value == pytest.approx(np.mean(np.log(p / (1 - p))), abs=1e-8)
        assert other == pytest.approx(value, abs=1e-8)
    assert odds[2] == pytest.approx(np.log(0.5 / 399.5))


def test_no_units():
    sums = indicator_sums(np.ones((5, 1)) / 5**0.5, np.zeros((5, 2)), sparse.csc_matrix((5, 3)))
    assert sums.d.tolist() == [0, 0, 0]
    assert summarise_batch(crowded_screen(), None, "all", []).units.n1.size == 0
