"""All genes, or one: effects against independent libraries, shapes, what cannot be tested."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.stats import mannwhitneyu

import programde as pde
from programde.errors import InputError, OptionError, ProgramDEWarning

STRATIFIED = {
    "resampling_method": "stratified_perm",
    "resampling_kwargs": {
        "n_bins": 5,
        "stratify_by_batch": True,
        "batch_key": "batch",
        "min_stratum_size": 2,
    },
}
QUICK = {"B": 39, "n_jobs": 2, "progress": False}


def indicator(inputs, gene):
    x = np.zeros(len(inputs.Y))
    x[pde.union_obs_idx_from_cols(inputs.G, inputs.gene_to_cols[gene])] = 1.0
    return x


def with_column(inputs, name, cells):
    """Inputs with one more gene, whose only guide is in the given cells."""
    from scipy import sparse

    column = np.zeros((len(inputs.Y), 1), dtype=np.int8)
    column[cells] = 1
    return dataclasses.replace(
        inputs,
        G=sparse.csc_matrix(sparse.hstack([inputs.G, column])),
        guide_names=[*inputs.guide_names, f"{name}_g"],
        guide2gene={**inputs.guide2gene, f"{name}_g": name},
        gene_to_cols={**inputs.gene_to_cols, name: [inputs.G.shape[1]]},
    )


def test_inputs_hold_the_textbook_quantities(inputs):
    np.testing.assert_allclose(
        inputs.A, np.linalg.inv(inputs.C.T @ inputs.C), rtol=1e-9, atol=1e-12
    )
    np.testing.assert_allclose(inputs.CTY, inputs.C.T @ inputs.Y)
    np.testing.assert_allclose(inputs.U.sum(axis=1), 1.0)
    np.testing.assert_allclose(
        inputs.Y, np.log(inputs.U) - np.log(inputs.U).mean(axis=1, keepdims=True)
    )
    assert inputs.covar_cols == ["log_depth", "extra_0", "extra_1", "batch_B2"]
    assert (inputs.C[:, 0] == 1).all()
    assert set(np.unique(inputs.C[:, 4])) == {0.0, 1.0}
    assert inputs.usage_eps_quantile == 1e-4
    assert set(inputs.batch_raw) == {"B1", "B2"}
    assert list(inputs.covar_df_raw.columns)[:2] == ["intercept", "batch"]
    assert inputs.gene_to_cols == pde.build_gene_to_cols(inputs.guide_names, inputs.guide2gene)
    assert inputs.screen.clr is inputs.Y


def test_ols_effects_equal_the_coefficient_of_statsmodels(inputs):
    from statsmodels.regression.linear_model import OLS

    betas = pde.run_all_genes_union_crt(inputs, B=1, progress=False)["betas_df"]
    for gene in ("GENE0", "GENE5", "non-targeting"):
        design = np.column_stack([indicator(inputs, gene), inputs.C])
        for k, program in enumerate(inputs.program_names):
            expected = OLS(inputs.Y[:, k], design).fit().params[0]
            assert betas.loc[gene, program] == pytest.approx(expected, rel=1e-10, abs=1e-10)


@pytest.mark.parametrize(("use", "field"), [("clr", "Y"), ("usage", "U")])
def test_utest_effects_equal_scipy_s_mann_whitney_u(inputs, use, field):
    out = pde.run_all_genes_union_crt(
        inputs, **QUICK, test_stat="utest", test_stat_kwargs={"use": use, "rank_method": "average"}
    )
    assert out["stat_name"] == "rank_biserial"
    pd.testing.assert_frame_equal(out["stats_df"], out["betas_df"])
    values = getattr(inputs, field)
    for gene in ("GENE0", "GENE7"):
        x = indicator(inputs, gene) == 1
        u = mannwhitneyu(values[x], values[~x]).statistic
        expected = 2 * u / (x.sum() * (~x).sum()) - 1
        np.testing.assert_allclose(out["betas_df"].loc[gene], expected, atol=1e-12)


def test_the_dictionary_holds_what_was_asked_for(inputs):
    plain = pde.run_all_genes_union_crt(inputs, **QUICK)
    assert {"pvals_df", "betas_df", "treated_df", "results", "stat_name"} <= set(plain)
    assert not {"pvals_raw_df", "pvals_skew_df", "skew_params", "stats_df"} & set(plain)
    assert plain["stat_name"] == "beta"
    assert list(plain["pvals_df"].index) == list(inputs.gene_to_cols)
    assert list(plain["pvals_df"].columns) == inputs.program_names
    assert plain["treated_df"].to_dict() == {
        gene: int(indicator(inputs, gene).sum()) for gene in inputs.gene_to_cols
    }
    full = pde.run_all_genes_union_crt(
        inputs,
        **QUICK,
        calibrate_skew_normal=True,
        return_skew_normal=True,
        return_raw_pvals=True,
    )
    pd.testing.assert_frame_equal(full["pvals_raw_df"], plain["pvals_df"])
    pd.testing.assert_frame_equal(full["pvals_skew_df"], full["pvals_df"])
    assert full["skew_params"].shape == (9, 5, 3)
    beside = pde.run_all_genes_union_crt(inputs, **QUICK, return_skew_normal=True)
    pd.testing.assert_frame_equal(beside["pvals_df"], plain["pvals_df"])
    pd.testing.assert_frame_equal(beside["pvals_skew_df"], full["pvals_df"])
    named = pde.run_all_genes_union_crt(inputs, **QUICK, calibration="skew_normal")
    pd.testing.assert_frame_equal(named["pvals_df"], full["pvals_df"])


def test_results_are_records_in_order_and_by_name(inputs):
    out = pde.run_all_genes_union_crt(
        inputs, **QUICK, calibrate_skew_normal=True, return_raw_pvals=True
    )
    assert [r.gene for r in out["results"]] == list(inputs.gene_to_cols)
    record = out["results"]["GENE3"]
    np.testing.assert_array_equal(record.pvals, out["pvals_df"].loc["GENE3"])
    np.testing.assert_array_equal(record.pvals_sn, record.pvals)
    np.testing.assert_array_equal(record.pvals_raw, out["pvals_raw_df"].loc["GENE3"])
    np.testing.assert_array_equal(record.betas, out["betas_df"].loc["GENE3"])
    assert record.skew_params.shape == (5, 3)
    assert record.testable
    assert record.reason == ""
    with pytest.raises(KeyError):
        out["results"]["nobody"]


def test_the_tuple_holds_tables_and_results(inputs):
    pvals, betas, treated, results = pde.run_all_genes_union_crt(
        inputs, **QUICK, return_format="tuple"
    )
    out = pde.run_all_genes_union_crt(inputs, **QUICK)
    pd.testing.assert_frame_equal(pvals, out["pvals_df"])
    pd.testing.assert_frame_equal(betas, out["betas_df"])
    pd.testing.assert_series_equal(treated, out["treated_df"])
    assert len(results) == len(pvals)


@pytest.mark.parametrize("how", [{}, STRATIFIED], ids=["bernoulli", "stratified"])
def test_a_subset_in_any_order_any_threads_and_one_gene_give_the_same(inputs, how):
    out = pde.run_all_genes_union_crt(inputs, **QUICK, **how)
    some = ["GENE6", "non-targeting", "GENE1"]
    for backend, n_jobs in (("loky", 1), ("threading", 4), ("sequential", 2)):
        subset = pde.run_all_genes_union_crt(
            inputs, some, B=39, n_jobs=n_jobs, backend=backend, progress=False, **how
        )
        pd.testing.assert_frame_equal(subset["pvals_df"], out["pvals_df"].loc[some])
        pd.testing.assert_frame_equal(subset["betas_df"], out["betas_df"].loc[some])
    one = pde.run_one_gene_union_crt("GENE6", inputs, B=39, **how)
    assert isinstance(one, pde.CRTGeneResult)
    np.testing.assert_array_equal(one.pvals, out["pvals_df"].loc["GENE6"])
    np.testing.assert_array_equal(one.pvals_raw, one.pvals)
    assert one.pvals_sn is None
    alone = pde.run_all_genes_union_crt(inputs, "GENE6", B=39, progress=False, **how)
    pd.testing.assert_frame_equal(alone["pvals_df"], out["pvals_df"].loc[["GENE6"]])


def test_the_seed_decides_the_draws(inputs):
    first = pde.run_one_gene_union_crt("GENE6", inputs, B=39)
    other = pde.run_one_gene_union_crt("GENE6", inputs, B=39, base_seed=124)
    assert (first.pvals != other.pvals).any()


def test_a_propensity_model_of_one_s_own(inputs):
    asked = []

    def model(C, x):
        asked.append(x.sum())
        return np.full(len(C), x.mean()), "fitted"

    own = pde.run_all_genes_union_crt(inputs, ["GENE0"], **QUICK, propensity_model=model)
    constant = pde.run_all_genes_union_crt(
        inputs, ["GENE0"], **QUICK, propensity_model=pde.oracle_propensity_const
    )
    assert asked == [own["treated_df"]["GENE0"]]
    pd.testing.assert_frame_equal(own["pvals_df"], constant["pvals_df"])
    built_in = pde.run_all_genes_union_crt(inputs, ["GENE0"], **QUICK)
    named = pde.run_all_genes_union_crt(
        inputs, ["GENE0"], **QUICK, propensity_model=pde.fit_propensity_logistic
    )
    pd.testing.assert_frame_equal(named["pvals_df"], built_in["pvals_df"])


@pytest.mark.parametrize("cells", [slice(0, 0), slice(None)], ids=["no treated", "no control"])
def test_a_gene_without_contrast_is_marked_and_not_tested(inputs, cells):
    more = with_column(inputs, "EMPTY", cells)
    with pytest.warns(ProgramDEWarning, match=r"1 unit\(s\) not testable .* EMPTY"):
        out = pde.run_all_genes_union_crt(
            more, ["EMPTY", "GENE0"], **QUICK, calibrate_skew_normal=True, return_raw_pvals=True
        )
    for key in ("pvals_df", "pvals_raw_df"):
        assert (out[key].loc["EMPTY"] == 1).all()
    assert (out["betas_df"].loc["EMPTY"] == 0).all()
    record = out["results"]["EMPTY"]
    assert not record.testable
    assert "cells" in record.reason
    assert (record.pvals_sn == 1).all()
    tidy = out["results_table"].set_index("gene").loc["EMPTY"]
    assert tidy[["effect", "p_raw", "p_value", "q_value"]].isna().all(axis=None)
    assert tidy["reason"].str.contains("cells").all()
    assert out["results"]["GENE0"].testable
    assert out["results_table"].set_index("gene").loc["GENE0", "q_value"].notna().all()


@pytest.mark.parametrize("B", [0, -3])
def test_without_resamples_nothing_is_tested(inputs, B):
    with pytest.warns(ProgramDEWarning, match="B is not positive"):
        out = pde.run_all_genes_union_crt(inputs, B=B, return_skew_normal=True)
    assert (out["pvals_df"] == 1).all(axis=None)
    assert (out["pvals_skew_df"] == 1).all(axis=None)
    assert (out["betas_df"] == 0).all(axis=None)
    assert (out["treated_df"] > 0).all()
    assert not any(record.testable for record in out["results"])
    assert out["results_table"]["p_value"].isna().all()


def test_a_gene_collinear_with_the_covariates_does_not_spoil_the_next_line(inputs):
    from statsmodels.stats.multitest import multipletests

    more = with_column(inputs, "BATCH", np.flatnonzero(inputs.batch_raw == "B1"))
    with pytest.warns(ProgramDEWarning, match="collinear with the covariates"):
        out = pde.run_all_genes_union_crt(more, ["BATCH", "GENE4"], **QUICK)
    assert (out["pvals_df"].loc["BATCH"] == 1).all()
    assert (out["betas_df"].loc["BATCH"] == 0).all()
    assert np.isfinite(multipletests(out["pvals_df"].to_numpy().ravel(), method="fdr_bh")[1]).all()
    assert not out["results"]["BATCH"].testable
    tidy = out["results_table"].set_index("gene").loc["BATCH"]
    assert tidy[["effect", "p_value", "q_value"]].isna().all(axis=None)
    assert tidy["reason"].str.contains("collinear").all()


def test_q_values_leave_controls_out(inputs):
    from programde.calibration.fdr import benjamini_hochberg, storey

    for adjust, rule in (("bh", benjamini_hochberg), ("storey", storey)):
        out = pde.run_all_genes_union_crt(inputs, **QUICK, adjust=adjust)
        tidy = out["results_table"]
        control = tidy["gene"] == "non-targeting"
        assert tidy.loc[control, "q_value"].isna().all()
        expected = rule(tidy.loc[~control, "p_value"].to_numpy())
        np.testing.assert_allclose(tidy.loc[~control, "q_value"], expected)
        of_genes = out["omnibus_table"].set_index("gene")
        assert np.isnan(of_genes.loc["non-targeting", "q_max"])
        assert of_genes.drop("non-targeting")["q_max"].notna().all()
    with pytest.warns(ProgramDEWarning, match="1 target.s. are named like controls"):
        named = pde.run_all_genes_union_crt(inputs, **QUICK, ntc_labels=["GENE0", "absent"])
    tidy = named["results_table"].set_index("gene")
    assert tidy.loc["GENE0", "q_value"].isna().all()
    assert tidy.loc["non-targeting", "q_value"].notna().all()


def test_one_sided_calibration_and_its_mirror(inputs):
    p = {
        side: pde.run_one_gene_union_crt(
            "GENE2", inputs, B=199, calibrate_skew_normal=True, skew_normal_side_code=side
        ).pvals
        for side in (0, -1, 1)
    }
    np.testing.assert_allclose(p[-1] + p[1], 1.0, atol=0.02)
    assert (p[0] >= np.minimum(p[-1], p[1]) - 1e-12).all()


def test_raw_p_values_equal_those_from_the_explicit_draws(inputs):
    """The fused float32 kernel against float64 sums over the same draws: the counts agree."""
    from programde.streams import stream_key

    B, gene = 499, "GENE4"
    x = indicator(inputs, gene)
    p, _ = pde.fit_propensity_logistic(inputs.C, x)
    key = stream_key(123, "crt", gene)
    draws = {
        "bernoulli_index": pde.crt_index_sampler_fast_numba(p, B, key),
        "stratified_perm": pde.stratified_permutation_sampler(
            x, p, B, key, batch_raw=inputs.batch_raw, n_bins=5
        ),
    }
    for method, (indptr, indices) in draws.items():
        expected, beta = pde.crt_pvals_for_gene(
            indptr, indices, inputs.C, inputs.Y, inputs.A, inputs.CTY, np.flatnonzero(x), B
        )
        kwargs = {"n_bins": 5} if method == "stratified_perm" else None
        got = pde.run_one_gene_union_crt(
            gene, inputs, B=B, resampling_method=method, resampling_kwargs=kwargs
        )
        np.testing.assert_allclose(got.betas, beta, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(got.pvals, expected, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"genes": ["GENE00"]}, "gene 'GENE00' has no guide"),
        ({"genes": []}, "genes is empty"),
        ({"genes": ["GENE0", "GENE0"]}, "named more than once: GENE0"),
        ({"resampling_method": "bernuli"}, "resampling_method='bernuli' is not known; did you"),
        ({"resampling_method": "stratified_perm", "resampling_kwargs": {"nbins": 3}}, "'nbins'"),
        (
            {"resampling_method": "stratified_perm", "resampling_kwargs": {"batch_key": "lane"}},
            "batch_key='lane' is not a covariate",
        ),
        (
            {"resampling_method": "stratified_perm", "resampling_kwargs": {"burden_key": "load"}},
            "burden_key='load' is not a covariate",
        ),
        ({"test_stat": "ttest"}, "test_stat='ttest' is not known"),
        ({"test_stat": "utest", "test_stat_kwargs": {"use": "raw"}}, "use=raw is not known"),
        ({"backend": "threats"}, "backend='threats' is not known; did you mean 'threading'"),
        ({"null_method": "ntc"}, "null_method='ntc' is not known"),
        ({"null_kwargs": {"ntc_labels": "NTC"}}, "belong to null_method='ntc_empirical'"),
        ({"calibration": "normal"}, "calibration='normal' is not known"),
        ({"skew_normal_side_code": 2}, "side_code=2"),
        ({"return_format": "list"}, "return_format='list'"),
        ({"adjust": "holm"}, "adjust='holm'"),
        ({"B": 10.5}, "B=10.5 must be a whole number"),
        ({"base_seed": "x"}, "seed='x' must be a whole number"),
        ({"n_jobs": 0}, "n_jobs=0"),
        ({"propensity_model": 0.5}, "propensity_model=0.5 must be a function"),
        ({"ntc_labels": "controls"}, "no guide has a control label 'controls'"),
        ({"propensity_model": lambda C, x: np.full(len(C), 2.0)}, "probabilities in"),
    ],
)
def test_a_wrong_option_is_one_clear_line(inputs, options, message):
    given = {"B": 9, "progress": False, **options}
    with pytest.raises((InputError, OptionError), match=message) as caught:
        pde.run_all_genes_union_crt(inputs, **given)
    assert "\n" not in str(caught.value)


def test_options_of_another_sampler_are_ignored_with_a_warning(inputs):
    with pytest.warns(ProgramDEWarning, match=r"n_bins have no meaning for 'bernoulli_index'"):
        out = pde.run_all_genes_union_crt(
            inputs, ["GENE0"], **QUICK, resampling_kwargs={"n_bins": 5}
        )
    plain = pde.run_all_genes_union_crt(inputs, ["GENE0"], **QUICK)
    pd.testing.assert_frame_equal(out["pvals_df"], plain["pvals_df"])


def test_batch_strata_need_a_batch(adata):
    adata.obsm["covar"] = adata.obsm["covar"][["log_depth", "extra_0"]].to_numpy()
    inputs = pde.prepare_crt_inputs(adata)
    assert inputs.covar_df_raw is None
    assert inputs.batch_raw is None
    with pytest.warns(ProgramDEWarning, match="stratify_by_batch is ignored"):
        pde.run_all_genes_union_crt(inputs, ["GENE0"], **QUICK, **STRATIFIED)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pde.run_all_genes_union_crt(inputs, ["GENE0"], **QUICK, resampling_method="stratified_perm")


@pytest.mark.parametrize("how", [{}, STRATIFIED], ids=["bernoulli", "stratified"])
def test_saddlepoint_needs_no_resamples(inputs, how):
    """Against 3,999 draws: |p - raw p| within 4.5 standard errors (seed fixed) plus 1 %."""
    genes = ["GENE1", "GENE4"]
    given = {"progress": False, "calibration": "saddlepoint", **how}
    exact = pde.run_all_genes_union_crt(inputs, genes, B=0, **given)
    drawn = pde.run_all_genes_union_crt(inputs, genes, B=3999, return_raw_pvals=True, **given)
    pd.testing.assert_frame_equal(exact["pvals_df"], drawn["pvals_df"])
    assert exact["pvals_df"].gt(0).all(axis=None)
    assert exact["results"]["GENE1"].testable
    assert exact["results"]["GENE1"].pvals_raw is None
    # equal tails differ from two-sided counting where the null is skewed: one-sided p-values
    for code, side in ((1, "right"), (-1, "left")):
        one = pde.run_all_genes_union_crt(inputs, genes, B=0, skew_normal_side_code=code, **given)
        for gene in genes:
            draws = pde.crt_null_stats_for_test(gene, None, inputs, 3999, **how)
            effect = exact["betas_df"].loc[gene].to_numpy()
            beyond = draws >= effect if side == "right" else draws <= effect
            share = beyond.mean(axis=0)
            error = np.sqrt(share * (1 - share) / 3999)
            assert (np.abs(one["pvals_df"].loc[gene] - share) < 4.5 * error + 0.01).all()
