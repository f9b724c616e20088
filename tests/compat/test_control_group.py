"""The doors of the original against cells of control guides, as the pipeline compares."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

import programde as pde
from programde.analysis.ntc_groups import run_ntc_groups
from programde.analysis.targets import run_targets
from programde.calibration.empirical import empirical_p
from programde.crt.engine import RunOptions
from programde.crt.samplers import Bernoulli
from programde.crt.statistics import OLS
from programde.errors import InputError, OptionError, ProgramDEWarning

from .conftest import small_screen

NTC = "non-targeting"


def how(B=99):
    """The original's way: p-values given the propensity, and no least number of cells."""
    return RunOptions(
        OLS(), Bernoulli(), n_resamples=B, seed=123, min_treated=1, min_control=1, progress=False,
        given="propensity",
    )  # fmt: skip


@pytest.fixture(scope="module")
def one_guide():
    """Inputs of a screen in which each cell holds one guide."""
    adata = small_screen(n_cells=1200)
    n_guides = adata.obsm["guide_assignment"].shape[1]
    held = np.random.default_rng(2).permutation(np.resize(np.arange(n_guides), adata.n_obs))
    adata.obsm["guide_assignment"] = sparse.csr_matrix(held[:, None] == np.arange(n_guides))
    return pde.prepare_crt_inputs(adata)


@pytest.mark.parametrize("control", ["nt_cells", "auto"])
@pytest.mark.parametrize("calibration", ["none", "saddlepoint"])
def test_equals_the_pipelines_comparison(one_guide, control, calibration):
    out = pde.run_all_genes_union_crt(
        one_guide, B=99, n_jobs=2, control=control, calibration=calibration, return_raw_pvals=True
    )
    as_there = {"control": "nt_cells", "drop_empty_batches": False}
    expected = run_targets(one_guide.screen, how(), ntc_labels=NTC, **as_there)
    assert list(out["pvals_df"].index) == expected.units  # without the controls
    assert out["control"].kind == "nt_cells"
    np.testing.assert_array_equal(out["betas_df"], expected.effect)
    np.testing.assert_array_equal(out["pvals_raw_df"], empirical_p(expected.null))
    n_control = out["results_table"].groupby("gene", sort=False)["n_control"].first()
    np.testing.assert_array_equal(n_control, expected.n_control)
    assert (n_control < 400).all()
    gene = expected.units[3]
    one = pde.run_one_gene_union_crt(
        gene, one_guide, B=99, control=control, calibration=calibration
    )
    np.testing.assert_allclose(one.pvals, out["pvals_df"].loc[gene], rtol=1e-12)
    draws = pde.crt_null_stats_for_test(gene, None, one_guide, B=99, control="nt_cells")
    hits = (np.abs(draws) >= np.abs(one.betas)).sum(axis=0)
    np.testing.assert_allclose((1 + hits) / 100, one.pvals_raw, rtol=1e-12)


def test_groups_of_controls_against_the_remaining_control_cells(one_guide):
    null = run_ntc_groups(
        one_guide.screen, how(), ntc_labels=NTC, control="nt_cells", drop_empty_batches=False,
        group_size=6, n_partitions=2,
    )  # fmt: skip
    p = empirical_p(null.result.null)
    tables = pde.crt_pvals_for_ntc_groups_ensemble(
        one_guide, [null.guides], B=99, seed0=123, control="nt_cells"
    )
    np.testing.assert_array_equal(tables[0].loc[null.result.units], p)
    first = null.result.units[0]
    alone = pde.crt_pvals_for_guide_set(
        one_guide, null.guides[first], B=99, seed=123, control="auto", ntc_labels=[NTC]
    )
    np.testing.assert_array_equal(alone, p[0])
    pooled = pde.compute_ntc_group_null_pvals_parallel(
        one_guide, [{first: null.guides[first]}], B=99, control="nt_cells"
    )
    single = pde.compute_guide_set_null_pvals(
        null.guides[first], one_guide, B=99, control="nt_cells"
    )
    np.testing.assert_array_equal(pooled, single.reshape(-1))


def test_the_complement_is_the_default_and_says_what_speaks_against_it(one_guide, inputs):
    out = pde.run_all_genes_union_crt(one_guide, B=19, genes=["GENE0"])
    assert out["control"].kind == "complement"
    assert "with one target per cell" in out["control"].warning
    assert pde.run_all_genes_union_crt(inputs, B=19, genes=["GENE0"])["control"].warning == ""


def test_what_does_not_go_is_refused(one_guide, inputs):
    with pytest.raises(OptionError, match=r"control='nt_cell' .*'nt_cells'"):
        pde.run_all_genes_union_crt(one_guide, B=9, control="nt_cell")
    with pytest.raises(InputError, match="NTCs"):
        pde.run_all_genes_union_crt(one_guide, B=9, control="nt_cells", ntc_labels=["NTCs"])
    with pytest.raises(OptionError, match="does not go with null_method='ntc_empirical'"):
        pde.run_all_genes_union_crt(
            inputs, null_method="ntc_empirical", null_kwargs={"ntc_labels": [NTC]}, control="auto"
        )
    with pytest.raises(OptionError, match="contrl"):
        pde.crt_pvals_for_guide_set(one_guide, [0], B=9, seed=0, contrl="auto")
    with pytest.raises(OptionError, match="control"):
        pde.collect_gene_diagnostics(one_guide, None, 9, 123, control="nt_cells")


def test_cells_of_several_targets_are_kept_and_told_of(one_guide):
    """The original knows no such rule: its door keeps them, with their number in a warning."""
    guides = one_guide.G.toarray()
    held = np.flatnonzero(guides.any(axis=1) & ~guides[:, -1].astype(bool))[:40]
    targets = [one_guide.guide2gene.get(name) for name in one_guide.guide_names]
    both = [targets.index(name) for name in ("GENE0", "GENE1")]
    guides[held] = 0
    guides[np.ix_(held, both)] = 1
    screen = replace(one_guide.screen, guides=type(one_guide.screen.guides)(guides))
    from programde.compat.running import compared

    class Inputs:
        guide2gene, gene_to_cols = one_guide.guide2gene, one_guide.gene_to_cols

    Inputs.screen = screen
    with pytest.warns(ProgramDEWarning, match=r"40 of [\d,]+ perturbed cells hold several"):
        group = compared(Inputs, "nt_cells", [NTC]).group
    assert not group.drop_others
    assert not group.drop_siblings
