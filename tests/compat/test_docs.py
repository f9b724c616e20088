"""The page for those who come from the original: its code runs, each of its claims is a test."""

from __future__ import annotations

import ast
import inspect
import re
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import programde as pde
from programde.controls.options import ComparisonOptions, ControlUnitOptions
from programde.io.guide_tables import read_guide_tables

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "from-the-original.md"
TEXT = PAGE.read_text(encoding="utf-8")

#: The first words of a row of the page's tables -> where it is tested.
CLAIMS = {
    "The floor is never 0": "screen/test_composition.py::"
    "test_floor_of_zero_becomes_the_positive_quantile_and_says_so",
    "Cells whose usages are all 0": "screen/test_composition.py::"
    "test_empty_cells_are_refused_or_dropped",
    "Rows that do not sum to 1": "screen/test_composition.py::"
    "test_rows_that_do_not_sum_to_one_are_renormalised_with_a_warning",
    "A covariate that is constant": "screen/test_covariates.py::"
    "test_aliased_columns_are_dropped_and_named",
    "NaN in covariates or usages": "io/test_anndata_reader.py::"
    "test_damaged_input_is_refused_in_one_line",
    "Any nonzero entry": "compat/test_ntc_groups.py::test_frequency_is_presence_not_counts",
    "Targets that are named like controls": "screen/test_control_labels.py::"
    "test_labels_near_to_the_listed_ones_are_told",
    "Values between absent and present": "screen/test_calls.py::test_present_ambiguous_absent",
    "Entries that a sparse matrix stores twice": "screen/test_calls.py::"
    "test_entries_stored_twice_are_added_as_numbers",
    "Against control cells": "compat/test_control_group.py::"
    "test_cells_of_several_targets_are_kept_and_told_of",
    "The combined p-value of a gene": "calibration/test_acat.py::"
    "test_p_values_near_one_do_not_silence_the_others",
    "A number is taken for a label": "screen/test_covariates.py::"
    "test_numbers_that_hardly_repeat_stay_numbers_in_a_tiny_screen",
    "As many covariate columns as cells": "screen/test_covariates.py::test_bad_tables",
    "A gene's draws depend on": "compat/test_crt.py::"
    "test_a_subset_in_any_order_any_threads_and_one_gene_give_the_same",
    "Work is done by threads": "compat/test_what_comes_back.py::"
    "test_settings_that_no_longer_matter_say_so_once",
    "The propensity is solved": "crt/test_propensity.py::test_gradient_vanishes_at_the_solution",
    "Values closer than 1e-5": "crt/test_null_summary.py::"
    "test_values_within_rounding_are_ties_and_others_are_not",
    "The two-sided skew-normal p-value": "calibration/test_skew_normal.py::"
    "test_two_sided_is_capped_at_one_and_never_zero",
    "Which fits are refused": "compat/test_small_functions.py::"
    "test_a_law_is_checked_within_a_factor",
    "Raw p-values are two-sided": "compat/test_docs.py::test_raw_p_values_know_no_side",
    "`B <= 0`": "compat/test_crt.py::test_without_resamples_nothing_is_tested",
    "q-values leave control labels out": "compat/test_crt.py::test_q_values_leave_controls_out",
    "Ties in ranks are averaged": "compat/test_docs.py::test_ties_are_averaged",
    "A misspelt option": "compat/test_crt.py::test_a_wrong_option_is_one_clear_line",
    "A `batch_key` other than": "compat/test_docs.py::test_a_batch_key_must_be_a_column",
    "Guides are assigned to groups": "controls/test_groups.py::"
    "test_groups_follow_signatures_exactly_where_guides_allow",
    "The frequency of a guide": "compat/test_small_functions.py::"
    "test_frequencies_are_shares_of_cells",
    "Too few control guides": "controls/test_groups.py::test_too_few_guides_say_so",
    "A group's name is made": "compat/test_ntc_groups.py::"
    "test_a_group_that_recurs_is_computed_once",
    "Every QQ curve has": "report/test_qq_plots.py::test_band_is_that_of_the_judged_curve",
    "A target's own guides are exchanged": "controls/test_exchange.py::"
    "test_p_values_equal_the_definition",
    "`guides_per_unit` is by default": "compat/test_docs.py::"
    "test_null_options_on_the_page_have_these_defaults",
    "Batches are combined with sign": "calibration/test_combine.py::"
    "test_opposite_effects_cancel_with_sign_and_add_up_without",
    "The cross-fit splits": "controls/test_crossfit.py::test_tables_and_record",
    "The one p-value per gene": "controls/test_exchange.py::"
    "test_target_statistic_weighs_programs_by_their_spread",
    "The smallest p-value possible": "compat/test_ntc_empirical.py::"
    "test_the_dictionary_has_the_same_shape_as_with_resamples",
    "`min_treated` and `min_control`": "compat/test_ntc_empirical.py::"
    "test_a_gene_with_too_few_cells_is_not_tested_and_says_why",
    "Without `genes=`": "compat/test_ntc_empirical.py::"
    "test_the_dictionary_has_the_same_shape_as_with_resamples",
    "`limit_threading` clamps": "crt/test_engine.py::test_linear_algebra_threads_are_restored",
    "Results stored in an AnnData": "compat/test_storing.py::"
    "test_results_survive_writing_and_reading",
}


def rows() -> list[str]:
    """The left column of every table of the page."""
    lines = re.findall(r"^\| (.+?) \| .+ \|$", TEXT, re.M)
    return [line for line in lines if line != "here"]


@cache
def functions_of(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("row", rows())
def test_every_row_of_the_page_is_a_test(row):
    named = [claim for claim in CLAIMS if row.startswith(claim)]
    assert len(named) == 1, row
    file, _, test = CLAIMS[named[0]].partition("::")
    assert test in functions_of(ROOT / "tests" / file), f"{row}: {file} has no {test}"


def test_every_tested_claim_is_on_the_page():
    assert all(any(row.startswith(claim) for row in rows()) for claim in CLAIMS)


def test_the_code_on_the_page_runs(adata):
    space = {"adata": adata}
    blocks = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert len(blocks) == 3
    for block in blocks[:2]:
        exec(block, space)
    with pytest.warns(pde.ProgramDEWarning, match="hold several targets"):  # a crowded screen
        exec(blocks[2], space)
    assert space["out"]["control"].kind == "nt_cells"
    assert space["out"]["betas_df"].shape == (8, 5)


@pytest.mark.parametrize(
    "name",
    [
        "ntc_labels",
        "control",
        "adjust",
        "calibration",
        "progress",
        "return_format",
        "null_method",
        "genes",
    ],
)
def test_options_on_the_page_exist(name):
    assert name in inspect.signature(pde.run_all_genes_union_crt).parameters
    assert name in TEXT


def test_null_options_on_the_page_have_these_defaults():
    from programde.compat.empirical import NULL_KEYS

    assert ControlUnitOptions().finite_population_correction
    assert ControlUnitOptions().guides_per_unit is None
    assert ComparisonOptions().combine_method == "stouffer"
    assert ComparisonOptions().target_statistic == "max_z"
    assert "gene_statistic" in NULL_KEYS
    for name in ("finite_population_correction", "combine_method", "gene_statistic"):
        assert name in TEXT


def test_raw_p_values_know_no_side(inputs):
    raw = [
        pde.run_one_gene_union_crt(
            "GENE2", inputs, 39, calibrate_skew_normal=True, skew_normal_side_code=side
        ).pvals_raw
        for side in (0, -1, 1)
    ]
    np.testing.assert_array_equal(raw[0], raw[1])
    np.testing.assert_array_equal(raw[0], raw[2])


def test_ties_are_averaged(inputs):
    how = {"test_stat": "utest", "test_stat_kwargs": {"rank_method": "ordinal"}}
    with pytest.raises(ValueError, match="rank_method=ordinal"):
        pde.run_all_genes_union_crt(inputs, ["GENE0"], B=9, **how)


def test_a_batch_key_must_be_a_column(adata):
    with pytest.raises(ValueError, match="lane"):
        pde.prepare_crt_inputs(adata, batch_key="lane")


def test_cnmf_s_usages_and_a_long_table_of_guides_make_a_screen(adata, tmp_path):
    """The files of one day, as the page's last loop names them."""
    folder = tmp_path
    names = list(adata.obs_names)
    usage = pd.DataFrame(30.0 * adata.obsm["usage"], names, [str(k + 1) for k in range(5)])
    usage.to_csv(folder / "D1.usages.k_5.dt_0_5.consensus.txt", sep="\t")
    guides = adata.obsm["guide_assignment"].tocoo()
    held = pd.DataFrame(
        {
            "cell": np.array(names)[guides.row],
            "guide": np.asarray(adata.uns["guide_names"])[guides.col],
        }
    )
    none = sorted(set(names) - set(held["cell"]))
    first = adata.uns["guide_names"][0]
    table = pd.concat(
        [held.assign(value=1), pd.DataFrame({"cell": none}).assign(guide=first, value=0)]
    )
    table.to_csv(folder / "guides_D1.csv", index=False)
    targets = pd.Series(adata.uns["guide2gene"], name="intended_target_name")
    targets.rename_axis("guide_id").reset_index().to_csv(folder / "guides.csv", index=False)
    adata.obsm["covar"][["batch", "log_depth"]].to_csv(folder / "cells_D1.csv")
    with pytest.warns(pde.ProgramDEWarning, match="did not sum to 1"):
        screen = read_guide_tables(
            folder / "D1.usages.k_5.dt_0_5.consensus.txt",
            folder / "guides_D1.csv",
            folder / "guides.csv",
            folder / "cells_D1.csv",
        )
    np.testing.assert_allclose(screen.usage.sum(axis=1), 1)
    assert screen.guides.sum() == adata.obsm["guide_assignment"].sum()
    assert set(screen.target_columns()) == set(adata.uns["guide2gene"].values())
