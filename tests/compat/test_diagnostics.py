"""Global-null diagnostics through the doors, and the commands that use them."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import programde as pde
from programde.controls.global_null import COLUMNS, ks_distance, wilson_interval
from programde.errors import InputError

ROOT = Path(__file__).parents[2]


def load(script: str):
    spec = importlib.util.spec_from_file_location(script, ROOT / "scripts" / f"{script}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def diagnose(inputs, cells, name="unit", guides=6, B=19, seed=123, **how):
    return pde.compute_unit_diagnostics(
        inputs=inputs, unit_id=name, unit_type="gene", obs_idx=cells, guide_count=guides, B=B,
        base_seed=seed, **how,
    )  # fmt: skip


def test_a_row_says_how_a_unit_was_tested(inputs):
    from sklearn.metrics import roc_auc_score

    cells = pde.union_obs_idx_from_cols(inputs.G, inputs.gene_to_cols["GENE4"])
    row = diagnose(inputs, cells, "GENE4", B=99)
    assert list(row.index) == ["kind", *COLUMNS]
    assert row["kind"] == "gene"
    genes = pde.collect_gene_diagnostics(inputs, ["GENE4"], 99, 123)
    pd.testing.assert_series_equal(row, genes.iloc[0])
    x = np.zeros(len(inputs.Y))
    x[cells] = 1
    p, _ = pde.fit_propensity_logistic(inputs.C, x)
    assert row["n_treated"] == x.sum()
    assert row["n_control"] == (1 - x).sum()
    assert row["n_guides"] == 6
    assert row["propensity_auc"] == pytest.approx(roc_auc_score(x, p))
    for name, value in (("mean", p.mean()), ("min", p.min()), ("max", p.max())):
        assert row[f"propensity_{name}"] == pytest.approx(value)
    # with an unpenalised intercept the fitted probabilities sum to the treated cells
    assert row["expected_treated"] == pytest.approx(x.sum(), rel=1e-6)
    draws = pde.crt_null_stats_for_test("GENE4", None, inputs, 99)
    assert row["null_mean"] == pytest.approx(np.median(draws.mean(axis=0)))
    assert row["null_sd"] == pytest.approx(np.median(draws.std(axis=0)))
    shift = np.abs(draws.mean(axis=0)) / draws.std(axis=0)
    assert row["null_shift_worst"] == pytest.approx(shift.max())
    one = pde.crt_null_stats_for_test("GENE4", 2, inputs, 99)
    np.testing.assert_array_equal(one, draws[:, 2])
    by_name = pde.crt_null_stats_for_test("GENE4", inputs.program_names[2], inputs, 99)
    np.testing.assert_array_equal(by_name, one)
    record = pde.run_one_gene_union_crt("GENE4", inputs, B=99, calibrate_skew_normal=True)
    assert row["p_smallest"] == record.pvals_raw.min()
    assert row["p_smallest_program"] == inputs.program_names[record.pvals_raw.argmin()]
    assert row["p_skew_normal_smallest"] == pytest.approx(record.pvals.min())
    assert row["share_below_05"] == (record.pvals_raw <= 0.05).mean()
    assert row["reason"] == ""


def test_a_covariate_level_without_treated_cells_is_flagged(inputs):
    cells = np.flatnonzero(inputs.batch_raw == "B2")[:40]
    row = diagnose(inputs, cells, guides=1)
    assert row["separated"]
    assert row["separated_by"] == "batch_B2, batch"
    assert row["n_guides"] == 1
    cells = pde.union_obs_idx_from_cols(inputs.G, inputs.gene_to_cols["GENE4"])
    assert not diagnose(inputs, cells, B=0)["separated"]
    with pytest.raises(InputError, match="do not exist"):
        diagnose(inputs, [len(inputs.Y)])


def test_tables_and_their_summary(inputs, ntc_groups, tmp_path):
    genes = pde.collect_gene_diagnostics(inputs, ["GENE1", "GENE4"], 39, 123)
    twice = [ntc_groups[0], ntc_groups[0]]
    groups = pde.collect_ntc_group_diagnostics(inputs, twice, 39, 23, n_jobs=2)
    assert list(genes["unit"]) == ["GENE1", "GENE4"]
    assert list(groups["replicate"]) == [0] * 3 + [1] * 3
    assert list(groups["group"]) == [*ntc_groups[0], *ntc_groups[0]]
    pd.testing.assert_frame_equal(
        groups.iloc[:3].drop(columns="replicate"),
        groups.iloc[3:].drop(columns="replicate").reset_index(drop=True),
    )
    raw = pde.crt_pvals_for_ntc_groups_ensemble(inputs, twice, 39, 23)
    np.testing.assert_allclose(groups["p_smallest"].iloc[:3], raw[0].min(axis=1))
    summary = pde.summarize_diagnostics(pd.concat([genes, groups], ignore_index=True), 39, 23)
    assert (summary["B"], summary["base_seed"]) == (39, 23)
    assert list(summary["kinds"]) == ["gene", "NTC group"]
    of_groups = summary["kinds"]["NTC group"]
    assert of_groups["n_units"] == 6
    pde.write_summary(summary, tmp_path / "made" / "summary.json")
    assert json.loads((tmp_path / "made" / "summary.json").read_text()) == summary
    rate = np.mean([(frame <= 0.05).to_numpy().mean() for frame in raw.values()])
    assert of_groups["rate_05"] == pytest.approx(rate)
    with pytest.raises(InputError, match="unit_diagnostics"):
        pde.summarize_diagnostics(genes.drop(columns="n_treated"), 39, 123)
    with pytest.raises(InputError, match="unit_diagnostics"):
        pde.summarize_diagnostics(genes.iloc[:0], 39, 123)


def test_the_oracle_is_the_treated_share(inputs):
    x = np.zeros(len(inputs.Y))
    x[:90] = 1
    np.testing.assert_array_equal(pde.oracle_propensity_const(inputs.C, x), x.mean())
    row = diagnose(inputs, np.arange(90), B=9, propensity_model=pde.oracle_propensity_const)
    assert row["propensity_min"] == row["propensity_max"]
    assert row["propensity_auc"] == 0.5


def test_intervals_and_distances_equal_independent_ones():
    from scipy.stats import kstest
    from statsmodels.stats.proportion import proportion_confint

    for hits, n in ((0, 20), (3, 40), (60, 60)):
        expected = proportion_confint(hits, n, method="wilson")
        assert wilson_interval(hits, n) == pytest.approx(expected, abs=1e-6)
    p = np.random.default_rng(0).random(50) ** 2
    assert ks_distance(p) == pytest.approx(kstest(p, "uniform").statistic)
    assert np.isnan(ks_distance(np.empty(0)))
    assert np.isnan(wilson_interval(0, 0)).all()


@pytest.mark.slow
@pytest.mark.brief
def test_the_mock_smoke_test_passes_and_draws_its_controls(capsys, tmp_path):
    import matplotlib.pyplot as plt

    assert load("test_mock_crt").main() == 0
    assert capsys.readouterr().out.endswith("ok\n")
    assert load("test_mock_crt").main(["--qq", str(tmp_path / "new" / "qq.png")]) == 0
    assert (tmp_path / "new" / "qq.png").read_bytes().startswith(b"\x89PNG")
    plt.close("all")


@pytest.mark.slow
@pytest.mark.brief
def test_the_global_null_command_writes_its_table_summary_and_pictures(
    tmp_path, monkeypatch, capsys
):
    small = "--cells 600 --programs 4 --targets 6 --resamples 39 --partitions 2 --oracle"
    arguments = [*small.split(), "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["global_null.py", *arguments])
    assert load("global_null").main() == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "diagnostics.csv",
        "summary.json",
        "qq_genes.png",
        "qq_ntc_groups.png",
    }
    table = pd.read_csv(tmp_path / "out" / "diagnostics.csv")
    assert (table["kind"] == "gene").sum() == 6
    assert "rate_05" in capsys.readouterr().out
