"""The NTC empirical null through the main door, and its pictures."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import programde as pde
from programde.errors import InputError, OptionError, ProgramDEWarning

NULL = {
    "ntc_labels": ["SAFE", "non-targeting", "NTC"],
    "guides_per_unit": 6,
    "n_ntc_units": 150,
    "batch_mode": "meta",
    "combine_method": "fisher",
    "matching": {"n_n1_bins": 3, "n_d_bins": 3, "min_ntc_per_bin": 20},
    "min_treated": 10,
    "min_control": 10,
}


def run(inputs, **options):
    given = {"null_method": "ntc_empirical", "n_jobs": 2, "progress": False, **options}
    return pde.run_all_genes_union_crt(inputs, **given)


def test_the_dictionary_has_the_same_shape_as_with_resamples(inputs):
    out = run(inputs, null_kwargs=NULL, return_raw_pvals=True)
    genes = [gene for gene in inputs.gene_to_cols if gene != "non-targeting"]
    assert list(out["pvals_df"].index) == genes
    assert list(out["pvals_df"].columns) == inputs.program_names
    assert out["pvals_df"].gt(0).all(axis=None)
    assert out["pvals_df"].le(1).all(axis=None)
    pd.testing.assert_frame_equal(out["pvals_raw_df"], out["pvals_df"])
    assert [r.gene for r in out["results"]] == genes
    crt = pde.run_all_genes_union_crt(inputs, genes, B=1, progress=False)
    pd.testing.assert_series_equal(out["treated_df"], crt["treated_df"])
    assert out["stat_name"] == "beta"
    assert out["null_method"] == "ntc_empirical"
    info = out["ntc_matching_info"]
    assert set(info["per_batch"]) == {"B1", "B2"}
    assert {"n_matched", "radius", "fallback", "floor"} <= set(info["per_gene"].columns)
    assert "ntc_crossfit" not in out
    tidy = out["results_table"]
    assert len(tidy) == len(genes) * 5
    # Fisher on floors of two batches bounds the combined p-value
    assert (tidy["p_value"] >= tidy["p_floor"] - 1e-12).all()


def test_pooled_effects_are_those_of_ols(inputs):
    pooled = {**NULL, "batch_mode": "pooled"}
    out = run(inputs, null_kwargs=pooled, genes=["GENE3", "GENE0"])
    crt = pde.run_all_genes_union_crt(inputs, ["GENE3", "GENE0"], B=1, progress=False)
    pd.testing.assert_frame_equal(out["betas_df"], crt["betas_df"], rtol=1e-9, atol=1e-12)


def test_one_gene_by_name_and_the_tuple(inputs):
    pvals, betas, treated, results = run(
        inputs, genes="GENE3", null_kwargs=NULL, return_format="tuple"
    )
    assert list(pvals.index) == list(betas.index) == list(treated.index) == ["GENE3"]
    assert results["GENE3"].n_treated == treated["GENE3"]


def test_a_gene_with_too_few_cells_is_not_tested_and_says_why(inputs):
    with pytest.warns(ProgramDEWarning, match="not testable .*min_treated=100000"):
        out = run(inputs, null_kwargs={**NULL, "min_treated": 100_000}, genes=["GENE0"])
    assert (out["pvals_df"] == 1).all(axis=None)
    assert (out["betas_df"] == 0).all(axis=None)
    assert not out["results"]["GENE0"].testable
    assert "min_treated" in out["results_table"]["reason"].iloc[0]
    assert out["results_table"]["q_value"].isna().all()


@pytest.mark.slow
@pytest.mark.brief
def test_crossfit_and_its_pictures(inputs, tmp_path):
    null = {**NULL, "qq_crossfit_seed": 11, "qq_crossfit_frac_A": 0.5, "n_holdout_units": 30}
    out = run(inputs, null_kwargs=null, qq_crossfit=True)
    crossfit = out["ntc_crossfit"]
    assert crossfit["info"]["split"] == "by guide"
    assert set(crossfit["per_batch"]) == {"B1", "B2"}
    pde.make_ntc_empirical_qq_plots(
        out, tmp_path, programs_to_plot=["program_1"], make_per_batch=False, envelope_boot=10
    )
    assert {path.name for path in tmp_path.iterdir()} == {
        "qq_ntc_empirical_genelevel_meta.png",
        "qq_ntc_empirical_program_program_1_meta.png",
    }
    with pytest.raises(InputError, match="no 'ntc_crossfit'"):
        pde.make_ntc_empirical_qq_plots({"betas_df": out["betas_df"]}, tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"test_stat": "utest"}, "works with test_stat='ols'"),
        ({"calibrate_skew_normal": True}, "draws nothing that could be calibrated"),
        ({"null_kwargs": {"ntc_label": "NTC"}}, "no option 'ntc_label'; did you mean"),
        ({"null_kwargs": {**NULL, "matching": {"bins": 3}}}, "matching has no option 'bins'"),
        ({"null_kwargs": {**NULL, "ntc_labels": ["nobody"]}}, "nobody"),
        ({"null_kwargs": {**NULL, "guides_per_unit": 50}, "qq_crossfit": True}, "guides_per_unit"),
        ({"genes": ["GENE00"], "null_kwargs": NULL}, "'GENE00' has no guide"),
    ],
)
def test_wrong_options_are_one_clear_line(inputs, options, message):
    with pytest.raises((InputError, OptionError), match=message):
        run(inputs, **options)


def test_repeating_gives_the_same(inputs):
    first, again = (run(inputs, null_kwargs=NULL, genes=["GENE1"]) for _ in range(2))
    pd.testing.assert_frame_equal(first["pvals_df"], again["pvals_df"])
    other = run(inputs, null_kwargs=NULL, genes=["GENE1"], base_seed=7)
    assert np.isfinite(other["pvals_df"].to_numpy()).all()
