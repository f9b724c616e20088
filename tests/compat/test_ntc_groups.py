"""Groups of control guides through the doors: once each, from the same draws, in their order."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import programde as pde
from programde.errors import InputError, OptionError, ProgramDEWarning

B = 59
STRATIFIED = {
    "resampling_method": "stratified_perm",
    "resampling_kwargs": {"n_bins": 4, "batch_key": "batch"},
}
RANKS = {"test_stat": "utest", "test_stat_kwargs": {"use": "clr", "rank_method": "average"}}
SETTINGS = pytest.mark.parametrize(
    "how", [{}, STRATIFIED, RANKS, STRATIFIED | RANKS], ids=["ols", "strata", "utest", "both"]
)


def test_an_ensemble_is_partitions_of_the_control_guides(inputs, ntc_groups):
    controls = {g for g, gene in inputs.guide2gene.items() if gene == "non-targeting"}
    assert len(ntc_groups) == 3
    for partition in ntc_groups:
        guides = [g for group in partition.values() for g in group]
        assert len(guides) == len(set(guides)) == 18
        assert set(guides) <= controls
        assert {len(group) for group in partition.values()} == {6}


@SETTINGS
def test_p_values_of_groups_equal_those_of_the_guide_sets(inputs, ntc_groups, how):
    raw = pde.crt_pvals_for_ntc_groups_ensemble(inputs, ntc_groups, B, 23, **how)
    skew = pde.crt_pvals_for_ntc_groups_ensemble_skew(inputs, ntc_groups, B=B, seed0=23, **how)
    assert list(raw) == list(skew) == [0, 1, 2]
    for r, partition in enumerate(ntc_groups):
        assert list(raw[r].index) == list(skew[r].index) == list(partition)
        assert list(raw[r].columns) == inputs.program_names
    name, guides = next(iter(ntc_groups[1].items()))
    columns = [inputs.guide_names.index(g) for g in guides]
    one = pde.crt_pvals_for_guide_set(inputs, columns[::-1], B, 23, **how)
    np.testing.assert_array_equal(one, raw[1].loc[name])
    smooth = pde.crt_pvals_for_guide_set(inputs, guides, B, 23, calibration="skew_normal", **how)
    np.testing.assert_array_equal(smooth, skew[1].loc[name])


@SETTINGS
def test_null_p_values_are_leave_one_out_over_the_draws(inputs, ntc_groups, how):
    group = next(iter(ntc_groups[0].values()))
    columns = [inputs.guide_names.index(g) for g in group]
    draws = pde.crt_null_stats_for_test(columns, None, inputs, B, 23, **how)
    assert draws.shape == (B, 5)
    null = pde.compute_guide_set_null_pvals(columns, inputs, B, 23, **how)
    size = np.abs(draws)
    tie = 1e-6 * draws.std(axis=0)
    others = (size[None] >= size[:, None] - tie).sum(axis=1) - 1
    np.testing.assert_allclose(null, (1 + others) / B)
    np.testing.assert_array_equal(null, pde.compute_null_pvals_from_null_stats(draws))
    observed = pde.crt_pvals_for_guide_set(inputs, columns, B, 23, **how)
    assert ((observed * (B + 1)) % 1 < 1e-9).all()
    right = pde.compute_guide_set_null_pvals(columns, inputs, B, 23, side_code=1, **how)
    np.testing.assert_array_equal(right, pde.compute_null_pvals_from_null_stats(draws, 1))


def test_null_p_values_of_a_gene_are_those_behind_its_p_values(inputs):
    null = pde.compute_gene_null_pvals("GENE2", inputs, B=B)
    assert null.shape == (B, 5)
    draws = pde.crt_null_stats_for_test("GENE2", None, inputs, B)
    record = pde.run_one_gene_union_crt("GENE2", inputs, B=B)
    hits = (np.abs(draws) >= np.abs(record.betas)).sum(axis=0)
    np.testing.assert_allclose(record.pvals, (1 + hits) / (B + 1))


@SETTINGS
def test_the_null_of_an_ensemble_lists_its_groups_one_after_another(inputs, ntc_groups, how):
    twice = [ntc_groups[0], ntc_groups[1], ntc_groups[0]]
    null = pde.compute_ntc_group_null_pvals_parallel(
        inputs=inputs, ntc_groups_ens=twice, B=B, base_seed=23, n_jobs=2, backend="loky", **how
    )
    blocks = null.reshape(9, B, 5)
    np.testing.assert_array_equal(blocks[:3], blocks[6:])
    for g, guides in enumerate([*twice[0].values(), *twice[1].values()]):
        if g in (0, 4):
            alone = pde.compute_guide_set_null_pvals(guides, inputs, B, 23, **how)
            np.testing.assert_array_equal(blocks[g], alone)


def test_a_group_that_recurs_is_computed_once(inputs, ntc_groups):
    asked = []

    def model(C, x):
        asked.append(float(x.sum()))
        return np.full(len(C), x.mean())

    copies = [ntc_groups[0]] * 4
    out = pde.crt_pvals_for_ntc_groups_ensemble(inputs, copies, 9, 23, propensity_model=model)
    assert len(asked) == 3
    for r in range(1, 4):
        pd.testing.assert_frame_equal(out[r], out[0])


def test_ensembles_may_be_named_and_one_partition_will_do(inputs, ntc_groups):
    named = {"first": ntc_groups[0], "second": ntc_groups[1]}
    out = pde.crt_pvals_for_ntc_groups_ensemble(inputs, named, 9, 23)
    assert list(out) == ["first", "second"]
    single = pde.crt_pvals_for_ntc_groups_ensemble(inputs, ntc_groups[0], 9, 23)
    pd.testing.assert_frame_equal(single[0], out["first"])


def test_frequency_is_presence_not_counts(adata):
    guides = adata.obsm["guide_assignment"]
    plain = pde.build_ntc_group_inputs(pde.prepare_crt_inputs(adata), "non-targeting", 6, 5)
    adata.obsm["guide_assignment"] = guides.astype(np.int32) * 17
    with pytest.warns(ProgramDEWarning, match="holds counts, not calls"):
        inputs = pde.prepare_crt_inputs(adata)
    counted = pde.build_ntc_group_inputs(inputs, "non-targeting", 6, 5)
    assert (pde.prepare_crt_inputs(adata, guide_threshold=17).G != inputs.G).nnz == 0
    assert plain == counted
    frequency = guides.getnnz(axis=0) / guides.shape[0]
    assert plain[1] == pytest.approx(dict(zip(adata.uns["guide_names"], frequency, strict=True)))


def test_a_set_without_treated_cells_is_told_of(inputs):
    import dataclasses

    from scipy import sparse

    empty = sparse.csc_matrix((len(inputs.Y), 1), dtype=np.int8)
    more = dataclasses.replace(
        inputs,
        G=sparse.csc_matrix(sparse.hstack([inputs.G, empty])),
        guide_names=[*inputs.guide_names, "nowhere"],
    )
    with pytest.warns(ProgramDEWarning, match="no treated cells"):
        assert (pde.crt_pvals_for_guide_set(more, ["nowhere"], B, 123) == 1).all()
    with pytest.warns(ProgramDEWarning, match="set to 1"):
        null = pde.compute_guide_set_null_pvals(["nowhere"], more, B)
    assert null.shape == (B, 5)
    assert (null == 1).all()
    with pytest.warns(ProgramDEWarning, match="left out of the null"):
        null = pde.compute_ntc_group_null_pvals_parallel(
            more, [{"a": ["nowhere"], "b": [more.guide_names[0]]}], B
        )
    assert null.shape == (B * 5,)
    with pytest.raises(InputError, match="cannot be tested: no treated cells"):
        pde.crt_null_stats_for_test(["nowhere"], None, more, B)


def test_wrong_guides_and_options_are_one_clear_line(inputs, ntc_groups):
    for guides, message in (
        (["GENE0_gg1"], "guide 'GENE0_gg1' is not in the screen; did you mean"),
        ([10_000], "guide column 10000 does not exist"),
        ([], "guide set is empty"),
    ):
        with pytest.raises(InputError, match=message):
            pde.crt_pvals_for_guide_set(inputs, guides, B, 123)
    with pytest.raises(InputError, match="holds no group"):
        pde.crt_pvals_for_ntc_groups_ensemble(inputs, [], B, 0)
    with pytest.raises(OptionError, match="no option 'resampling'; did you mean"):
        pde.crt_pvals_for_guide_set(inputs, [0], B, 0, resampling="stratified_perm")
    with pytest.raises(InputError, match="no guide has an NTC label"):
        pde.build_ntc_group_inputs(inputs, "controls")


def test_the_qq_plot_draws_what_the_doors_return(inputs, ntc_groups):
    import matplotlib.pyplot as plt

    out = pde.run_all_genes_union_crt(
        inputs, B=B, calibrate_skew_normal=True, return_raw_pvals=True, progress=False
    )
    raw = pde.crt_pvals_for_ntc_groups_ensemble(inputs, ntc_groups, B, 23)
    skew = pde.crt_pvals_for_ntc_groups_ensemble_skew(inputs, ntc_groups, B, 23)
    null = pde.compute_ntc_group_null_pvals_parallel(inputs, ntc_groups, B, n_jobs=2)
    ax = pde.qq_plot_ntc_pvals(
        out["pvals_raw_df"],
        inputs.guide2gene,
        ["non-targeting", "safe-targeting"],
        pvals_skew_df=out["pvals_df"],
        null_pvals=null,
        ntc_group_pvals_ens=raw,
        ntc_group_pvals_skew_ens=skew,
        show_ntc_ensemble_band=True,
        show_all_pvals=True,
        title="groups",
    )
    assert ax.figure.number in plt.get_fignums()
    assert ax.get_title(loc="left") == "groups"
    before = plt.get_fignums()
    with pytest.raises(InputError):
        pde.qq_plot_ntc_pvals(out["pvals_raw_df"], inputs.guide2gene, "nobody", null_pvals=null)
    assert plt.get_fignums() == before
    plt.close("all")
