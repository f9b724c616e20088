"""What the original's functions give, row by row; see docs/from-the-original.md."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import programde as pde
from programde.errors import InputError, OptionError, ProgramDEWarning

QUICK = {"B": 39, "n_jobs": 2, "progress": False}
NULL = {
    "ntc_labels": "non-targeting",
    "guides_per_unit": 6,
    "n_ntc_units": 150,
    "matching": {"n_n1_bins": 3, "n_d_bins": 3, "min_ntc_per_bin": 20},
    "n_holdout_units": 20,
}


@pytest.fixture(scope="module")
def out(shared_inputs):
    return pde.run_all_genes_union_crt(
        shared_inputs, **QUICK, return_skew_normal=True, return_raw_pvals=True
    )


@pytest.fixture(scope="module")
def against(shared_inputs):
    return pde.run_all_genes_union_crt(
        shared_inputs, null_method="ntc_empirical", null_kwargs=NULL, qq_crossfit=True, **QUICK
    )


def test_wide_tables_have_no_name_over_their_rows(out, against, shared_inputs, ntc_groups):
    tables = [out[key] for key in ("pvals_df", "betas_df", "pvals_raw_df", "pvals_skew_df")]
    tables += [against[key] for key in ("pvals_df", "betas_df")]
    tables += pde.crt_pvals_for_ntc_groups_ensemble(shared_inputs, ntc_groups, 9, 0).values()
    for table in tables:
        assert table.index.name is None
        long = table.reset_index().melt(id_vars="index", var_name="program", value_name="p")
        assert list(long.columns) == ["index", "program", "p"]
        assert len(long) == table.size


def test_treated_cells_are_a_series(out, against):
    for found in (out["treated_df"], against["treated_df"]):
        assert isinstance(found, pd.Series)
        assert found.name == "n_union_positive_cells"
        assert found.index.name is None
        assert int(found["GENE0"]) > 0


@pytest.mark.parametrize("skew", [False, True])
@pytest.mark.parametrize("raw", [False, True])
def test_the_tuple_has_four_to_seven_items(shared_inputs, out, skew, raw):
    items = pde.run_all_genes_union_crt(
        shared_inputs, **QUICK, return_skew_normal=skew, return_raw_pvals=raw,
        return_format="tuple",
    )  # fmt: skip
    assert len(items) == 4 + 2 * skew + raw
    pd.testing.assert_frame_equal(items[0], out["pvals_df"])
    pd.testing.assert_frame_equal(items[1], out["betas_df"])
    pd.testing.assert_series_equal(items[2], out["treated_df"])
    assert items[3][0].gene == "GENE0"
    if skew:
        pd.testing.assert_frame_equal(items[4], out["pvals_skew_df"])
        np.testing.assert_array_equal(items[5], out["skew_params"])
    if raw:
        pd.testing.assert_frame_equal(items[-1], out["pvals_raw_df"])


@pytest.mark.parametrize(
    ("statistic", "name"),
    [
        ("ols", "beta"),
        ("OLS", "beta"),
        ("beta", "beta"),
        (None, "beta"),
        ("utest", "rank_biserial"),
        ("wilcoxon", "rank_biserial"),
        ("mannwhitney", "rank_biserial"),
    ],
)
def test_statistics_go_by_all_their_names(shared_inputs, statistic, name):
    found = pde.run_all_genes_union_crt(shared_inputs, ["GENE1"], **QUICK, test_stat=statistic)
    plain = "ols" if name == "beta" else "utest"
    same = pde.run_all_genes_union_crt(shared_inputs, ["GENE1"], **QUICK, test_stat=plain)
    assert found["stat_name"] == name
    pd.testing.assert_frame_equal(found["pvals_df"], same["pvals_df"])
    assert ("stats_df" in found) == (name == "rank_biserial")


def test_covariates_are_numbers_then_indicators_without_the_intercept(adata):
    adata.obsm["covar"] = adata.obsm["covar"][["batch", "extra_0", "log_depth"]]
    inputs = pde.prepare_crt_inputs(adata)
    assert inputs.covar_cols == ["extra_0", "log_depth", "batch_B2"]
    assert inputs.C.shape[1] == 4
    assert (inputs.C[:, 0] == 1).all()
    np.testing.assert_array_equal(inputs.C[:, 3] == 1, inputs.batch_raw == "B2")
    C, names = pde.get_covar_matrix(adata)
    assert names == inputs.covar_cols
    np.testing.assert_allclose(C, inputs.C)
    assert pde.get_covar_matrix(adata, add_intercept=False)[0].shape[1] == 3


def test_genes_are_sorted_where_none_are_given(adata):
    order = np.random.default_rng(0).permutation(adata.obsm["guide_assignment"].shape[1])
    adata.obsm["guide_assignment"] = adata.obsm["guide_assignment"][:, order]
    adata.uns["guide_names"] = adata.uns["guide_names"][order]
    inputs = pde.prepare_crt_inputs(adata)
    genes = list(pde.run_all_genes_union_crt(inputs, B=1, progress=False)["pvals_df"].index)
    assert genes == sorted(inputs.gene_to_cols)
    assert genes != list(inputs.gene_to_cols)


def test_control_guides_as_the_null_say_so_and_how_they_matched(against, shared_inputs):
    assert against["null_method"] == "ntc_empirical"
    info = against["ntc_matching_info"]
    per_gene = info["per_gene"]
    assert info["bin_sizes"] == per_gene["n_matched"].to_dict()
    parts = pd.concat(info["per_batch"].values())
    assert info["fallback_counts"] == {
        "none": int((parts["fallback"] != "all").sum()),
        "all": int((parts["fallback"] == "all").sum()),
    }
    null = pde.run_ntc_empirical_null(
        shared_inputs, None, base_seed=123, null_kwargs=NULL, qq_crossfit=True
    )
    assert isinstance(null, pde.NTCNullResult)
    pd.testing.assert_frame_equal(null.pvals, against["pvals_df"])
    pd.testing.assert_frame_equal(null.betas, against["betas_df"])
    pd.testing.assert_series_equal(null.n_treated, against["treated_df"])
    one = pde.run_one_gene_union_crt(
        "GENE3", shared_inputs, null_method="ntc_empirical", null_kwargs=NULL
    )
    np.testing.assert_array_equal(one.pvals, against["pvals_df"].loc["GENE3"])


def test_the_cross_fit_has_flat_keys_beside_nested_ones(against):
    cross = against["ntc_crossfit"]
    for ours, theirs in (
        ("pvals_holdout", "p_ntcB_vs_A"),
        ("pvals_real", "p_real_vs_A"),
        ("gene_holdout", "p_ntcB_gene_vs_A"),
        ("gene_real", "p_real_gene_vs_A"),
    ):
        np.testing.assert_array_equal(cross[f"meta_{theirs}"], cross["meta"][ours])
        assert set(cross[f"{theirs}_by_batch"]) == {"B1", "B2"}
        for batch, table in cross[f"{theirs}_by_batch"].items():
            np.testing.assert_array_equal(table, cross["per_batch"][batch][ours])


def test_a_propensity_comes_with_a_model(shared_inputs):
    from sklearn.linear_model import LogisticRegression

    x = (np.arange(len(shared_inputs.Y)) % 4 == 0).astype(int)
    for strength in (1.0, 0.01):
        p, model = pde.fit_propensity_logistic(shared_inputs.C, x, C_value=strength)
        peer = LogisticRegression(C=strength, tol=1e-10, max_iter=500)
        peer.fit(shared_inputs.C[:, 1:], x)
        np.testing.assert_allclose(model.coef_[0, 1:], peer.coef_[0], atol=1e-6)
        np.testing.assert_allclose(model.intercept_, peer.intercept_, atol=1e-6)
        np.testing.assert_allclose(p, model.predict_proba(shared_inputs.C)[:, 1])
    with pytest.raises(OptionError, match="C_value=0"):
        pde.fit_propensity_logistic(shared_inputs.C, x, C_value=0)
    constant = pde.oracle_propensity_const(C=shared_inputs.C, y01=x)
    np.testing.assert_array_equal(constant, x.mean())


def test_skew_normal_fits_are_arrays():
    draws = np.random.default_rng(0).gamma(9.0, size=400)
    fit = pde.fit_skew_normal(draws)
    assert isinstance(fit, np.ndarray)
    assert fit.shape == (5,)
    np.testing.assert_allclose(fit[3:], [draws.mean(), draws.std()])
    np.testing.assert_array_equal(pde.fit_skew_normal_funct_numba(draws), fit)
    whole = pde.fit_and_evaluate_skew_normal(12.0, draws, 0)
    assert whole.shape == (4,)
    np.testing.assert_allclose(whole[:3], fit[:3])


@pytest.mark.parametrize(
    ("setting", "call"),
    [
        ("backend", {"backend": "multiprocessing"}),
        ("rank_dtype", {"test_stat": "utest", "test_stat_kwargs": {"rank_dtype": "float32"}}),
    ],
)
def test_settings_that_no_longer_matter_say_so_once(shared_inputs, monkeypatch, setting, call):
    monkeypatch.setattr("programde.compat.propensity._said", set())
    with pytest.warns(ProgramDEWarning, match=f"{setting}=.* is ignored"):
        first = pde.run_all_genes_union_crt(shared_inputs, ["GENE1"], B=9, **call)
    again = pde.run_all_genes_union_crt(shared_inputs, ["GENE1"], B=9, **call)
    pd.testing.assert_frame_equal(first["pvals_df"], again["pvals_df"])


@pytest.mark.parametrize(
    "call", [{"penalty": None}, {"max_iter": 50}, {"n_jobs": 4}, {"solver": "saga"}]
)
def test_settings_of_a_solver_say_once_that_they_are_ignored(shared_inputs, monkeypatch, call):
    monkeypatch.setattr("programde.compat.propensity._said", set())
    x = (np.arange(len(shared_inputs.Y)) % 4 == 0).astype(int)
    plain = pde.fit_propensity_logistic(shared_inputs.C, x)[0]
    with pytest.warns(ProgramDEWarning, match="is ignored"):
        p, _ = pde.fit_propensity_logistic(shared_inputs.C, x, **call)
    np.testing.assert_array_equal(p, plain)
    pde.fit_propensity_logistic(shared_inputs.C, x, **call)
    with pytest.raises(OptionError, match="solvr"):
        pde.fit_propensity_logistic(shared_inputs.C, x, solvr="saga")


def test_settings_go_by_position(shared_inputs, ntc_groups):
    how = ("stratified_perm", {"n_bins": 3})
    model = pde.fit_propensity_logistic
    named = {"resampling_method": how[0], "resampling_kwargs": how[1]}
    guides = next(iter(ntc_groups[0].values()))
    for found, same in (
        (
            pde.compute_gene_null_pvals("GENE1", shared_inputs, 19, 1, model, *how, 1, "utest"),
            pde.compute_gene_null_pvals(
                "GENE1", shared_inputs, 19, 1, side_code=1, test_stat="utest", **named
            ),
        ),
        (
            pde.compute_guide_set_null_pvals(guides, shared_inputs, 19, 1, model, *how, -1),
            pde.compute_guide_set_null_pvals(guides, shared_inputs, 19, 1, side_code=-1, **named),
        ),
        (
            pde.crt_pvals_for_guide_set(shared_inputs, guides, 19, 1, model, *how, "utest"),
            pde.crt_pvals_for_guide_set(shared_inputs, guides, 19, 1, test_stat="utest", **named),
        ),
        (
            pde.crt_pvals_for_guide_set_skew(shared_inputs, guides, 19, 1, model, *how, 1),
            pde.crt_pvals_for_guide_set(
                shared_inputs, guides, 19, 1, calibration="skew_normal", side_code=1, **named
            ),
        ),
        (
            pde.compute_ntc_group_null_pvals_parallel(
                shared_inputs, ntc_groups[:1], 19, 1, 2, "threading", *how, "utest"
            ),
            pde.compute_ntc_group_null_pvals_parallel(
                shared_inputs, ntc_groups[:1], 19, 1, test_stat="utest", **named
            ),
        ),
    ):
        np.testing.assert_array_equal(found, same)
    given = (shared_inputs, ntc_groups[:1], 19, 1, model, *how)
    raw = pde.crt_pvals_for_ntc_groups_ensemble(*given, 6, "utest")
    skew = pde.crt_pvals_for_ntc_groups_ensemble_skew(*given, 1, 6, "utest")
    keys = {"test_stat": "utest", **named}
    pd.testing.assert_frame_equal(
        raw[0], pde.crt_pvals_for_ntc_groups_ensemble(*given[:4], **keys)[0]
    )
    pd.testing.assert_frame_equal(
        skew[0], pde.crt_pvals_for_ntc_groups_ensemble_skew(*given[:4], side_code=1, **keys)[0]
    )
    with pytest.warns(ProgramDEWarning, match="groups hold 6 guides, expected_group_size=4"):
        pde.crt_pvals_for_ntc_groups_ensemble(*given[:4], expected_group_size=4)


def test_burden_counts_control_guides_unless_told(adata):
    G = adata.obsm["guide_assignment"]
    total = np.asarray(G.sum(axis=1)).ravel()
    labels = {"guide_names": adata.uns["guide_names"], "guide2gene": adata.uns["guide2gene"]}
    labels["ntc_labels"] = ["non-targeting"]
    np.testing.assert_allclose(pde.compute_guide_burden(G, **labels), np.log1p(total))
    without = pde.compute_guide_burden(G, **labels, include_ntc=False, use_log1p=False)
    ntc = np.array([g.startswith("NTC") for g in adata.uns["guide_names"]])
    np.testing.assert_allclose(without, np.asarray(G[:, ~ntc].sum(axis=1)).ravel())
    table = pde.add_burden_covariate(adata)
    np.testing.assert_allclose(table["log1p_non_ntc_guides_per_cell"], np.log1p(without))
    adata.uns["guide2gene"] = {
        g: "controls" if t == "non-targeting" else t for g, t in adata.uns["guide2gene"].items()
    }
    with pytest.warns(ProgramDEWarning, match="all guides are counted"):
        table = pde.add_burden_covariate(adata, burden_key="all")
    np.testing.assert_allclose(table["all"], np.log1p(total))
    with pytest.raises(InputError, match="NTCs"):
        pde.add_burden_covariate(adata, ntc_labels=["NTCs"])


def test_labels_are_encoded_numbers_first():
    table = pd.DataFrame({"batch": ["b", "a", "c", "a"], "depth": [0.0, 1.0, 0.0, 1.0]})
    found = pde.encode_categorical_covariates(table)
    expected = pd.DataFrame(
        {"depth": [0.0, 1, 0, 1], "batch_b": [1.0, 0, 0, 0], "batch_c": [0.0, 0, 1, 0]}
    )
    pd.testing.assert_frame_equal(found, expected)
    whole = pde.encode_categorical_covariates(table, False)
    assert list(whole.columns) == ["depth", "batch_a", "batch_b", "batch_c"]
    table.loc[1, "batch"] = None
    with pytest.raises(InputError, match="missing"):
        pde.encode_categorical_covariates(table)
    known = pde.encode_categorical_covariates(table, drop_first=False, dummy_na=True)
    peer = pd.get_dummies(table, columns=["batch"], dummy_na=True, dtype=float)
    pd.testing.assert_frame_equal(known, peer)
    numbers = pde.encode_categorical_covariates(table[["depth"]], True, False, 2)
    assert list(numbers.columns) == ["depth_1"]


@pytest.mark.slow
@pytest.mark.brief
def test_controls_in_a_plot_come_with_all_p_values(out, adata):
    import matplotlib.pyplot as plt

    stats = np.random.default_rng(0).normal(size=(99, 5))
    given = (out["pvals_raw_df"], adata.uns["guide2gene"], ["non-targeting"])
    ax = pde.qq_plot_ntc_pvals(*given, null_stats=stats)
    assert any("all observed" in text.get_text() for text in ax.get_legend().get_texts())
    bare = pde.qq_plot_ntc_pvals(
        *given, null_stats=stats, null_two_sided=False, show_all_pvals=False, show_ref_line=False,
        show_conf_band=False, label_ntc_raw="mine", color_ntc_raw="#ff0000",
    )  # fmt: skip
    words = [text.get_text() for text in bare.get_legend().get_texts()]
    assert not any("observed" in word or "band" in word for word in words)
    (line,) = [line for line in bare.lines if str(line.get_label()).startswith("mine (")]
    assert line.get_color() == "#ff0000"
    wide = pde.qq_plot_ntc_pvals(
        *given, null_stats=stats, conf_alpha=0.1, show_null_skew=True, null_skew_samples=20,
        all_marker="x", all_marker_size=30.0, title="ours",
    )  # fmt: skip
    words = [text.get_text() for text in wide.get_legend().get_texts()]
    assert any(word.startswith("90 % band") for word in words)
    assert any(word.startswith("CRT null, skew-normal (100") for word in words)
    plt.close("all")


def test_information_is_that_of_an_indicator(shared_inputs):
    C = shared_inputs.C
    cells = np.arange(0, len(C), 7)
    x = np.isin(np.arange(len(C)), cells).astype(float)
    rest = x - C @ np.linalg.lstsq(C, x, rcond=None)[0]
    assert pde.compute_ols_denom(C, x) == pytest.approx(rest @ rest)
    assert pde.compute_ols_denom_reference(C, x) == pytest.approx(rest @ rest)
    for wrong in (cells, x * 2, x[:-1]):
        with pytest.raises(InputError, match="0 and 1, one per cell"):
            pde.compute_ols_denom(C, wrong)


def test_a_two_sided_p_value_is_by_size():
    null = np.array([-3.0, -1.0, 0.5, 1.0, 2.5])
    assert pde.compute_empirical_p_value(null, 2.0, 0) == pytest.approx(3 / 6)
    assert pde.compute_empirical_p_value(null, 2.0, 1) == pytest.approx(2 / 6)
    assert pde.compute_empirical_p_value(null_statistics=null, z_orig=-2.0, side=-1) == (
        pytest.approx(2 / 6)
    )


def test_null_p_values_of_a_gene_that_cannot_be_tested_are_an_error(shared_inputs):
    from tests.compat.test_crt import with_column

    nowhere = with_column(shared_inputs, "EMPTY", slice(0, 0))
    with pytest.raises(ValueError, match="'EMPTY' cannot be tested: no treated cells"):
        pde.compute_gene_null_pvals("EMPTY", nowhere, 9)


def test_anything_with_the_containers_of_an_anndata_will_do(adata):
    expected = pde.prepare_crt_inputs(adata)

    class Containers:
        layers = obsp = None

        def __init__(self, obs):
            self.obsm, self.uns, self.obs = dict(adata.obsm), dict(adata.uns), obs

    plain = pd.DataFrame(index=range(adata.n_obs))
    for obs in (adata.obs, plain, {}, None):
        bare = Containers(obs)
        inputs = pde.prepare_crt_inputs(bare)
        np.testing.assert_array_equal(inputs.C, expected.C)
        np.testing.assert_array_equal(inputs.Y, expected.Y)
        assert inputs.cell_names == expected.cell_names
        assert pde.screen_from_anndata(bare).n_cells == adata.n_obs
        pde.add_burden_covariate(bare)
        assert "log1p_non_ntc_guides_per_cell" in bare.obsm["covar"]
        found = pde.run_all_genes_union_crt(inputs, ["GENE1"], B=9, progress=False)
        pde.store_results_in_adata(bare, found["pvals_df"], found["betas_df"], found["treated_df"])
        assert "crt_union_gene_program_n_positive" in bare.uns
    array = Containers({})
    array.obsm["covar"] = adata.obsm["covar"][["log_depth"]].to_numpy()
    assert pde.prepare_crt_inputs(array).cell_names[:2] == ["cell_0", "cell_1"]
    with pytest.raises(InputError, match="an AnnData is needed"):
        pde.prepare_crt_inputs([1, 2, 3])


def test_inputs_made_by_hand_are_tested_too(shared_inputs):
    s = shared_inputs
    made = pde.CRTInputs(
        s.C, s.Y, s.A, s.CTY, s.G, s.guide_names, s.guide2gene, s.gene_to_cols, s.program_names
    )
    found = pde.run_all_genes_union_crt(made, ["GENE1"], **QUICK)
    same = pde.run_all_genes_union_crt(s, ["GENE1"], **QUICK)
    pd.testing.assert_frame_equal(found["betas_df"], same["betas_df"])
    pd.testing.assert_frame_equal(found["pvals_df"], same["pvals_df"])
    np.testing.assert_allclose(made.usage, s.U, rtol=1e-12)
