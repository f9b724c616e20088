"""The small functions of the original: against formulas and independent libraries."""

from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import stats

import programde as pde
from programde.errors import InputError, OptionError


def test_p_values_against_matched_controls_are_shares():
    """Two bins of n1, one of d: each unit is ranked among the controls of its own bin."""
    rng = np.random.default_rng(0)
    n1 = np.array([10, 11, 100, 101])
    n1_ntc = np.repeat([10, 100], 30)
    effects, null = rng.normal(size=(4, 3)), rng.normal(size=(60, 3))
    d, d_ntc = n1.astype(float), n1_ntc.astype(float)
    how = {"n_n1_bins": 2, "n_d_bins": 1, "min_ntc_per_bin": 20}
    p, info = pde.empirical_pvals_vs_ntc(effects, null, n1, d, n1_ntc, d_ntc, **how)
    right = pde.empirical_pvals_vs_ntc(
        effects, null, n1, d, n1_ntc, d_ntc, two_sided=False, **how
    ).pvals
    for g in range(4):
        own = null[n1_ntc == (10 if g < 2 else 100)]
        expected = (1 + (np.abs(own) >= np.abs(effects[g])).sum(axis=0)) / 31
        np.testing.assert_allclose(p[g], expected)
        np.testing.assert_allclose(right[g], (1 + (own >= effects[g]).sum(axis=0)) / 31)
    np.testing.assert_array_equal(info["bin_sizes"], 30)
    assert info["fallback_counts"] == {"none": 4, "all": 0}
    np.testing.assert_allclose(info["floor"], 1 / 31)
    few = pde.empirical_pvals_vs_ntc(effects, null, n1, d, n1_ntc, d_ntc, min_ntc_per_bin=99)
    assert few.info["fallback_counts"] == {"none": 0, "all": 4}
    pbar = {"use_pbar": True, "pbar_obs": np.zeros(4), "pbar_ntc": np.zeros(60), "n_pbar_bins": 2}
    same = pde.empirical_pvals_vs_ntc(effects, null, n1, d, n1_ntc, d_ntc, **how, **pbar)
    np.testing.assert_array_equal(same.pvals, p)
    with pytest.raises(InputError, match="pbar_obs"):
        pde.empirical_pvals_vs_ntc(effects, null, n1, d, n1_ntc, d_ntc, use_pbar=True)
    with pytest.raises(InputError, match="60 effects for 59 signatures"):
        pde.empirical_pvals_vs_ntc(effects, null, n1, d, n1_ntc[1:], d_ntc[1:])

    sig = (n1, d), {"n1": n1_ntc, "d": d_ntc}
    held = pde.compute_ntc_empirical_pvals_crossfit(
        effects, sig[0], null, sig[1], null[:9], np.column_stack([n1_ntc, d_ntc])[:9], how
    )
    np.testing.assert_array_equal(held.p_real_vs_A, p)
    assert held.p_ntcB_vs_A.shape == (9, 3)
    by_gene = pde.compute_ntc_empirical_pvals_gene_agg_crossfit(
        effects, sig[0], null, sig[1], null[:9], pd.DataFrame(sig[1]).iloc[:9], how
    )
    largest, of_null = np.abs(effects).max(axis=1), np.abs(null).max(axis=1)
    expected = (1 + (of_null[:30] >= largest[0]).sum()) / 31
    assert by_gene.p_real_vs_A[0] == pytest.approx(expected)
    whole = pde.compute_ntc_empirical_pvals_gene_agg_crossfit(
        effects, sig[0], null, sig[1], null[:9], sig[1] | {"n1": n1_ntc[:9], "d": d_ntc[:9]}, how,
        n1_edges=np.array([1000.0]), d_edges=np.array([1000.0]),
    )  # fmt: skip
    expected = (1 + (of_null >= largest[0]).sum()) / 61
    assert whole.p_real_vs_A[0] == pytest.approx(expected)


def test_pseudogenes_are_different_sets_and_are_split(shared_inputs):
    given = (shared_inputs.guide_names, shared_inputs.guide2gene, ["non-targeting"], 6, 40)
    units = pde.sample_ntc_pseudogenes_with_replacement(*given, 3)
    assert len(units) == len({tuple(sorted(u)) for u in units.values()}) == 40
    for guides in units.values():
        assert len(set(guides)) == 6
        assert {shared_inputs.guide2gene[g] for g in guides} == {"non-targeting"}
    assert units == pde.sample_ntc_pseudogenes_with_replacement(*given, 3)
    with pytest.raises(InputError, match="guides_per_unit"):
        pde.sample_ntc_pseudogenes_with_replacement(*given[:3], 50, 40, 3)
    a, b = pde.split_ntc_units(list(units), 0.25, 1)
    assert (len(a), len(b)) == (10, 30)
    assert {*a, *b} == set(units)
    assert set(pde.split_ntc_units(list(units)[::-1], 0.25, 1)[0]) == set(a)
    assert set(pde.split_ntc_units(list(units), 0.25, 2)[0]) != set(a)
    with pytest.raises(InputError, match="cannot be split"):
        pde.split_ntc_units(["one"])
    with pytest.raises(OptionError, match="frac_A"):
        pde.split_ntc_units(list(units), 1.5)


def test_a_law_is_checked_within_a_factor():
    draws = np.sort(stats.skewnorm(2.0).rvs(4000, random_state=0))
    xi, omega, alpha, mean, sd = pde.fit_skew_normal(draws)
    assert pde.check_sn_tail(draws, xi, omega, alpha)
    assert not pde.check_sn_tail(draws, xi, 2 * omega, alpha)
    assert pde.check_sn_tail(draws, xi, 1.2 * omega, alpha, ratio_thresh=4.0)
    assert not pde.check_for_outliers(draws, mean, sd)
    assert pde.check_for_outliers(np.append(draws, 9.0), mean, sd)
    assert not pde.check_for_outliers(np.append(draws, 9.0), mean, sd, ratio_thresh=5.0)
    for call in (
        lambda: pde.check_sn_tail(draws, xi, omega, alpha, 0.5),
        lambda: pde.check_for_outliers(draws, mean, sd, 1.0),
    ):
        with pytest.raises(OptionError, match="ratio_thresh"):
            call()


def test_null_p_values_of_a_matrix_are_those_of_its_columns():
    draws = np.random.default_rng(1).normal(size=(50, 3))
    p = pde.crt_null_pvals_from_null_stats_matrix(draws)
    for k in range(3):
        np.testing.assert_array_equal(p[:, k], pde.crt_null_pvals_from_null_stats_fast(draws[:, k]))
    right = pde.crt_null_pvals_from_null_stats_matrix(draws, False)
    np.testing.assert_array_equal(right, pde.compute_null_pvals_from_null_stats(draws, 1))
    with pytest.raises(InputError, match="draws x programs"):
        pde.crt_null_pvals_from_null_stats_matrix(draws[:, 0])


def test_frequencies_are_shares_of_cells(adata):
    G, names = adata.obsm["guide_assignment"], adata.uns["guide_names"]
    frequency = pde.guide_frequency(G, names)
    assert frequency[names[3]] == pytest.approx((G[:, 3] != 0).mean())
    assert pde.guide_frequency(G.toarray() * 7, names) == frequency
    with pytest.raises(InputError, match="guide names"):
        pde.guide_frequency(G, names[1:])


def test_qq_curves_and_their_envelope(tmp_path):
    p = np.random.default_rng(2).random(80)
    p[3] = np.nan
    grid = pde.qq_expected_grid(p)
    np.testing.assert_allclose(grid, (np.arange(1, 80) - 0.5) / 79)
    expected, observed = pde.qq_coords(p)
    np.testing.assert_allclose(expected, -np.log10(grid))
    np.testing.assert_allclose(observed, -np.log10(np.sort(p[~np.isnan(p)])))
    x, low, high = pde.bootstrap_qq_envelope(p, 40, 0.1, 0)
    _, lower, higher = pde.bootstrap_qq_envelope(p, 40, 0.02, 0)
    assert (lower <= low).all()
    assert (high <= higher).all()
    path = pde.plot_qq_curves(
        {"a": p, "b": p**2}, tmp_path / "new" / "qq.png", "two", (x, low, high)
    )
    assert path.read_bytes().startswith(b"\x89PNG")
    assert pde.plot_qq_curves([("a", p)], str(tmp_path / "one.png"), "one").is_file()
    with pytest.raises(InputError, match="no curve"):
        pde.plot_qq_curves({}, tmp_path / "none.png", "none")
    with pytest.raises(OptionError, match="alpha"):
        pde.bootstrap_qq_envelope(p, 40, 1.5)


def test_the_large_screen_has_the_original_s_names():
    from programde.screen.synthetic import make_sceptre_style_synth

    sizes = {"N": 300, "K": 4, "n_target_genes": 5, "guides_per_gene": 2, "seed": 3}
    sizes |= {"frac_causal_genes": 0.4, "n_cov_extra": 1}
    made, ours = pde.make_sceptre_style_synth(**sizes), make_sceptre_style_synth(**sizes)
    assert list(made.uns["target_gene_names"]) == [f"GENE0000{g}" for g in range(5)]
    assert made.uns["ntc_gene_name"] == "NTC"
    assert set(made.uns["guide2gene"].values()) == {*made.uns["target_gene_names"], "NTC"}
    assert made.uns["gene2guides"]["GENE00002"] == ["GENE00002_g1", "GENE00002_g2"]
    assert made.uns["synth_params"]["n_target_genes"] == 5
    np.testing.assert_array_equal(made.obsm["usage"], ours.obsm["usage"])
    assert isinstance(made.obsm["covar"], np.ndarray)
    assert made.obsm["covar"].shape == (300, 4)
    assert list(made.uns["causal_genes"]) == list(made.uns["gene_effects"])
    inputs = pde.prepare_crt_inputs(made, usage_key="usage")
    assert list(inputs.gene_to_cols)[:2] == ["GENE00000", "GENE00001"]


def test_the_large_screen_is_written_and_read(tmp_path):
    made = pde.make_sceptre_style_synth(N=200, K=3, n_target_genes=3, seed=0)
    made.write_h5ad(tmp_path / "screen.h5ad")
    back = anndata.read_h5ad(tmp_path / "screen.h5ad")
    assert back.uns["synth_params"]["K"] == 3
    first = pde.prepare_crt_inputs(made, usage_key="usage")
    again = pde.prepare_crt_inputs(back, usage_key="usage")
    np.testing.assert_array_equal(first.C, again.C)


def test_the_small_screen_comes_with_its_truth():
    from tests.synthetic_data import MockAdata, SyntheticTruth, make_synthetic_adata

    rng = np.random.default_rng(5)
    adata, truth = make_synthetic_adata(
        rng, n_cells=600, effect_gene=1, effect_program=2, effect_size=2.0, return_truth=True,
        include_categorical=True, sprinkle_near_zero_frac=0.0,
    )  # fmt: skip
    assert isinstance(adata, MockAdata)
    assert isinstance(truth, SyntheticTruth)
    assert adata.n_obs == 600
    assert truth.gene_names == ["GENE00000", "GENE00001", "GENE00002"]
    assert truth.effect_gene == "GENE00001"
    np.testing.assert_allclose(truth.usage.sum(axis=1), 1)
    logs = np.log(truth.usage)
    np.testing.assert_allclose(truth.Y_clr, logs - logs.mean(axis=1, keepdims=True))
    inputs = pde.prepare_crt_inputs(adata, eps_quantile=0.0)
    for gene, x in truth.x_by_gene.items():
        cells = pde.union_obs_idx_from_cols(inputs.G, inputs.gene_to_cols[gene])
        np.testing.assert_array_equal(cells, np.flatnonzero(x))
    found = pde.run_all_genes_union_crt(inputs, B=99, progress=False)
    # the shift of one program by 2 on the log scale is 2 (K - 1) / K on the log-ratio scale;
    # its standard error is about 0.08
    assert found["betas_df"].loc["GENE00001", "program_2"] == pytest.approx(1.6, abs=0.4)
    assert found["pvals_df"].loc["GENE00001", "program_2"] == pytest.approx(0.01)
    named = make_synthetic_adata(np.random.default_rng(5), effect_gene="GENE00000")
    assert isinstance(named.obsm["covar"], np.ndarray)
    constant = make_synthetic_adata(
        np.random.default_rng(5), n_cells=4000, propensity_mode="constant",
        propensity_range=(0.2, 0.2), frac_causal_genes=1.0, confound_strength=0.0,
    )  # fmt: skip
    held = np.asarray(constant.obsm["guide_assignment"][:, :2].sum(axis=1)).ravel()
    assert (held > 0).mean() == pytest.approx(0.2, abs=0.03)  # 4.7 standard errors
    with pytest.raises(InputError, match="GENE9"):
        make_synthetic_adata(np.random.default_rng(0), effect_gene="GENE9")
