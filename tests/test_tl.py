"""An AnnData analysed in one call: as step by step, and the same after a file."""

from __future__ import annotations

import functools
import warnings

import anndata
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import programde as pde
from programde.analysis import cost
from programde.report.verdict import verdict
from programde.short_form import WIDTH

LABELS = ["NTC"]
TABLES = ("results", "targets", "controls")


def synthetic():
    return pde.make_sceptre_style_synth(N=700, K=4, n_target_genes=6, ntc_frac_guides=0.4, seed=1)


@pytest.fixture(scope="module")
def analysed():
    adata = synthetic()
    pde.tl.test(
        adata, usage_key="usage", n_resamples=0, n_partitions=2, power=True, n_jobs=1,
        targets=["GENE00002", "GENE00000"],
    )  # fmt: skip
    return adata


@pytest.fixture(scope="module")
def steps():
    screen = pde.screen_from_anndata(synthetic(), usage_key="usage")
    options = pde.RunOptions(pde.OLS(), pde.Bernoulli(), n_resamples=0, seed=123)
    how = {"ntc_labels": LABELS, "control": "auto"}
    result = pde.run_targets(screen, options, targets=["GENE00002", "GENE00000"], **how)
    groups = pde.run_ntc_groups(screen, options, n_partitions=2, seed=123, **how)
    return screen, result, groups


@pytest.mark.slow
@pytest.mark.brief
def test_one_call_is_all_steps(analysed, steps):
    _, result, _ = steps
    table = pde.results_table(result, pde.calibrate(result, "saddlepoint"))
    found = pde.get.results(analysed)
    pd.testing.assert_frame_equal(found[list(table)[:5]], table[list(table)[:5]],
                                  check_index_type=False, check_dtype=False)  # fmt: skip
    np.testing.assert_array_equal(found["p_value"], table["p_value"])
    assert list(found["target"].unique()) == ["GENE00002", "GENE00000"]
    few = pde.get.results(analysed, level=0.5)
    assert (few["q_value"] <= 0.5).all()
    assert few["p_value"].is_monotonic_increasing
    assert len(pde.get.targets(analysed)) == 2


def test_the_verdict_is_that_of_the_metrics(analysed, steps):
    screen, _, groups = steps
    metrics = pde.calibration_metrics(groups, seed=7)["saddlepoint"]
    kept = analysed.uns["programde"]
    assert kept["metrics"]["rate_05"] == metrics["rate_05"]
    assert kept["metrics"]["lambda_mean"] == metrics["lambda_mean"]
    single = pde.run_ntc_groups(
        screen, pde.RunOptions(pde.OLS(), pde.Bernoulli(), n_resamples=0, seed=123),
        ntc_labels=LABELS, group_size=1, seed=123,
    )  # fmt: skip
    alone = pde.calibration_metrics(single, seed=7)["saddlepoint"]
    said = verdict(metrics, alone if groups.group_size > 1 else None, kind="saddlepoint")
    assert pde.get.verdict(analysed) == f"{said.word}. {said.sentence}"


def test_metrics_of_a_plain_table_as_before():
    p = pd.DataFrame(np.linspace(0.005, 0.995, 100).reshape(20, 5))
    assert pde.calibration_metrics(p, n_boot=50)["rate_05"] == pytest.approx(0.05)
    assert set(pde.calibration_metrics({"raw": p}, n_boot=50)) == {"raw"}


@pytest.mark.slow
@pytest.mark.brief
@pytest.mark.filterwarnings("ignore:Writing zarr v2 data")
@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
def test_it_goes_with_the_file(analysed, tmp_path, kind):
    path = tmp_path / f"screen.{kind}"
    if kind == "h5ad":
        analysed.write_h5ad(path)
        again = anndata.read_h5ad(path)
    else:
        pytest.importorskip("zarr")
        analysed.write_zarr(path)
        again = anndata.read_zarr(path)
    for name in TABLES:
        pd.testing.assert_frame_equal(
            again.uns["programde"][name], analysed.uns["programde"][name],
            check_dtype=False, check_index_type=False, check_column_type=False,
        )  # fmt: skip
    assert pde.get.verdict(again) == pde.get.verdict(analysed)
    settings = pde.get.settings(again)
    assert settings["usage_key"] == "usage"
    assert list(settings["targets"]) == ["GENE00002", "GENE00000"]
    assert isinstance(pde.pl.hit(again, "GENE00000", "program_1"), Axes)
    assert isinstance(pde.pl.qq(again), Axes)


def test_pictures_of_it(analysed):
    for axes in (
        pde.pl.qq(analysed), pde.pl.volcano(analysed), pde.pl.heatmap(analysed),
        pde.pl.hit(analysed, "GENE00000", "program_1"), pde.pl.power(analysed),
    ):  # fmt: skip
        assert isinstance(axes, Axes)
    assert "GENE00000 on program_1" in pde.pl.hit(analysed, "GENE00000", "program_1").get_title(
        "left"
    )
    # tables as before
    assert isinstance(pde.pl.heatmap(pde.get.results(analysed)), Figure)


def test_a_picture_of_a_hit_does_not_tell_again_what_the_test_told(analysed, monkeypatch):
    from programde.io import anndata as reader

    read = reader.screen_from_anndata

    @functools.wraps(read)  # whose arguments are looked at
    def telling(*given, **options):
        warnings.warn("a floor was chosen", pde.ProgramDEWarning, stacklevel=2)
        return read(*given, **options)

    monkeypatch.setattr(reader, "screen_from_anndata", telling)
    assert isinstance(pde.pl.hit(analysed, "GENE00000", "program_1"), Axes)  # warnings are errors


def test_what_is_not_there_is_one_line(analysed):
    with pytest.raises(pde.InputError, match=r"pde\.tl\.test\(adata\) makes it"):
        pde.get.results(synthetic())
    with pytest.raises(pde.InputError, match="'GENE00000'"):
        pde.pl.hit(analysed, "GENE0000", "program_1")
    with pytest.raises(pde.OptionError, match="calibration='ntc' is not known"):
        pde.tl.test(synthetic(), usage_key="usage", calibration="ntc")
    bare = synthetic()
    bare.uns["programde"] = {"results": pde.get.results(analysed)}
    with pytest.raises(pde.InputError, match="power=True"):
        pde.pl.power(bare)
    with pytest.raises(pde.InputError, match="n_partitions"):
        pde.get.verdict(bare)


def test_readers_stand_at_the_front():
    for name in ("h5ad", "h5mu", "cnmf", "perturbnmf", "tables"):
        assert callable(getattr(pde.io, f"read_{name}"))
    assert pde.io.read_tables is pde.io.read_guide_tables
    with pytest.raises(AttributeError, match="read_loom"):
        pde.io.read_loom  # noqa: B018


def test_objects_show_themselves_in_ten_lines(steps):
    screen, result, groups = steps
    units = pde.control_units(screen, LABELS)
    for thing, word in (
        (screen, "700 cells x 4 programs"), (result, "8 tests"), (groups, "groups of control"),
        (units, "control guides"),
    ):  # fmt: skip
        lines = repr(thing).splitlines()
        assert word in repr(thing)
        assert len(lines) <= 10
        assert max(map(len, lines)) <= WIDTH
        assert thing._repr_html_().count("<tr>") == len(lines) - 1


def test_a_plan_counts_what_is_tested(steps):
    screen, *_ = steps
    options = pde.RunOptions(pde.OLS(), pde.Bernoulli(), n_resamples=0)
    plan = pde.plan_run(screen, options, ntc_labels=LABELS, n_partitions=2, budget=0.0)
    assert (plan.n_cells, plan.n_targets, plan.n_tests) == (700, 6, 24)
    assert plan.total > 0
    assert "you need no cluster" in str(plan)


@pytest.mark.slow
@pytest.mark.brief
def test_control_guides_as_the_null():
    adata = pde.make_sceptre_style_synth(
        N=1500, K=3, n_target_genes=4, guides_per_gene=2, ntc_frac_guides=0.75, seed=0
    )
    asked = {
        "usage_key": "usage",
        "n_resamples": 0,
        "calibration": "ntc_empirical",
        "control": "complement",
    }
    table = pde.tl.test(adata, **asked, n_partitions=2)
    assert set(table["calibration"]) == {"ntc_empirical"}
    assert table["p_value"].between(0, 1).all()
    assert "ntc_empirical" in pde.get.verdict(adata)  # judged by guides that are held out
    for no, match in (({"control": "nt_cells"}, "took nt_cells"), ({"power": True}, "power=True")):
        with pytest.raises(pde.OptionError, match=match):
            pde.tl.test(adata, **{**asked, **no})


def test_a_plan_leaves_out_what_is_compiled_on_the_way(monkeypatch):
    """Here the fourth unit takes an hour where it is tested for the first time."""
    clock, compiled = [0.0], set()

    def run(units):
        for unit in units:
            clock[0] += 0.01 + 3600 * (unit == 4 and unit not in compiled)
            compiled.add(unit)

    monkeypatch.setattr(cost.time, "perf_counter", lambda: clock[0])
    line = cost._line(run, [1, 2, 3, 4, 5, 6], budget=1.0)
    assert line(100) == pytest.approx(1.0)
