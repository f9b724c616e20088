"""Explicit draws: their law, and tests computed from them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import programde as pde
from programde.errors import InputError, OptionError, ProgramDEWarning


def test_bernoulli_draws_have_binomial_counts():
    """Inclusions of each cell are Binomial(B, p): 40 cells, two-sided at 1e-6 each (seed fixed)."""
    B = 4000
    p = np.concatenate([[0.0, 1.0], np.linspace(0.002, 0.95, 38)])
    indptr, indices = pde.crt_index_sampler_fast_numba(p, B, 5)
    assert indptr.shape == (B + 1,)
    assert indptr[-1] == indices.size
    counts = np.bincount(indices, minlength=p.size)
    assert counts[0] == 0
    assert counts[1] == B
    tail = np.minimum(stats.binom.cdf(counts, B, p), stats.binom.sf(counts - 1, B, p))
    assert (tail > 5e-7).all()
    for b in range(50):
        cells = indices[indptr[b] : indptr[b + 1]]
        assert (np.diff(cells) > 0).all()
    assert pde.bernoulli_index_sampler is pde.crt_index_sampler_fast_numba


def test_draws_depend_on_the_seed_alone():
    p = np.full(30, 0.2)
    first, again, other = (pde.crt_index_sampler_fast_numba(p, 20, s)[1] for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert first.size != other.size or (first != other).any()


def test_permutation_keeps_every_stratum_s_total():
    rng = np.random.default_rng(0)
    n, B = 400, 60
    batch = rng.choice(["a", "b"], n)
    burden = rng.poisson(4, n)
    p = rng.uniform(0.05, 0.6, n)
    x = rng.random(n) < p
    indptr, indices = pde.stratified_permutation_sampler(
        x, p, B, 3, batch_raw=batch, n_bins=4, burden_values=burden, n_burden_bins=2
    )
    np.testing.assert_array_equal(np.diff(indptr), x.sum())
    # bins of equal count by hand: quantile edges, upper edge exclusive
    p_bin = np.searchsorted(np.quantile(p, [0.25, 0.5, 0.75]), p, side="right")
    burden_bin = (burden >= np.quantile(burden, 0.5)).astype(int)
    stratum = np.unique(
        np.array([f"{a}{b}{c}" for a, b, c in zip(batch, p_bin, burden_bin, strict=True)]),
        return_inverse=True,
    )[1]
    assert np.bincount(stratum).min() >= 2  # so none is merged
    expected = np.bincount(stratum[x], minlength=stratum.max() + 1)
    for b in range(B):
        cells = indices[indptr[b] : indptr[b + 1]]
        assert np.unique(cells).size == cells.size
        found = np.bincount(stratum[cells], minlength=expected.size)
        np.testing.assert_array_equal(found, expected)


def test_batches_are_ignored_where_asked():
    rng = np.random.default_rng(1)
    x = np.zeros(100, dtype=int)
    x[:20] = 1
    batch = np.where(np.arange(100) < 20, "treated", "other")
    p = rng.uniform(0.1, 0.3, 100)
    within = pde.stratified_permutation_sampler(x, p, 5, 0, batch_raw=batch)
    assert (np.sort(within[1].reshape(5, 20)) == np.arange(20)).all()
    across = pde.stratified_permutation_sampler(
        x, p, 5, 0, batch_raw=batch, stratify_by_batch=False, n_bins=2
    )
    assert across[1].max() >= 20


def test_effects_from_draws_equal_least_squares(inputs):
    obs = pde.union_obs_idx_from_cols(inputs.G, inputs.gene_to_cols["GENE1"])
    indptr, indices = pde.crt_index_sampler_fast_numba(np.full(len(inputs.Y), 0.1), 6, 0)
    args = (indptr, indices, inputs.C, inputs.Y, inputs.A, inputs.CTY, obs, 6)
    beta, null = pde.crt_betas_for_gene(*args)
    cells = [obs, *(indices[indptr[b] : indptr[b + 1]] for b in range(6))]
    for found, treated in zip([beta, *null], cells, strict=True):
        x = np.zeros(len(inputs.Y))
        x[treated] = 1
        expected = np.linalg.lstsq(np.column_stack([x, inputs.C]), inputs.Y, rcond=None)[0][0]
        np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-11)
    p, same = pde.crt_pvals_for_gene(*args)
    np.testing.assert_array_equal(same, beta)
    np.testing.assert_allclose(p, (1 + (np.abs(null) >= np.abs(beta)).sum(axis=0)) / 7)


def test_draws_and_units_without_contrast(inputs):
    n = len(inputs.Y)
    indptr, indices = np.array([0, 0, 3]), np.array([1, 2, 3])
    fixed = (inputs.C, inputs.Y, inputs.A, inputs.CTY)
    _, null = pde.crt_betas_for_gene(indptr, indices, *fixed, np.arange(5), 2)
    assert (null[0] == 0).all()
    assert (null[1] != 0).all()
    for obs in (np.arange(0), np.arange(n)):
        p, beta = pde.crt_pvals_for_gene(indptr, indices, *fixed, obs, 2)
        assert (p == 1).all()
        assert (beta == 0).all()
    collinear = np.flatnonzero(inputs.batch_raw == "B1")
    with pytest.warns(ProgramDEWarning, match="collinear"):
        p, beta = pde.crt_pvals_for_gene(indptr, indices, *fixed, collinear, 2)
    assert (p == 1).all()
    assert (beta == 0).all()
    assert pde.crt_pvals_for_gene(indptr, indices, *fixed, np.arange(5), 0)[0].tolist() == [1.0] * 5
    with pytest.raises(InputError, match="only 2 resamples"):
        pde.crt_betas_for_gene(indptr, indices, *fixed, np.arange(5), 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_obs": np.full(10, 2)}, "0 and 1 only"),
        ({"p_hat": np.full(9, 0.5)}, "p_hat has shape"),
        ({"p_hat": np.full(10, 1.5)}, "probabilities"),
        ({"batch_raw": np.array(["a"])}, "batch_raw has shape"),
        ({"burden_values": np.full(10, np.nan)}, "not finite"),
        ({"n_bins": 0}, "n_bins=0"),
        ({"burden_bin_method": "equal"}, "burden_bin_method='equal'"),
        ({"seed": 1.5}, "seed=1.5"),
    ],
)
def test_wrong_arguments_are_one_clear_line(change, message):
    given = {"x_obs": np.arange(10) % 2, "p_hat": np.full(10, 0.5), "B": 3, "seed": 0}
    with pytest.raises((InputError, OptionError), match=message):
        pde.stratified_permutation_sampler(**{**given, **change})


def test_probabilities_outside_0_to_1_are_refused():
    for p in (np.array([0.5, 1.2]), np.array([np.nan]), np.ones((2, 2))):
        with pytest.raises(InputError, match="probabilities"):
            pde.crt_index_sampler_fast_numba(p, 3, 0)
