"""Keys of `analysis`, `sampler`, `test`, and of draws: a test per value, through the stages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import mannwhitneyu

from programde.analysis.targets import run_targets
from programde.crt.options import RunOptions
from programde.crt.samplers import make_sampler
from programde.crt.statistics import make_statistic

from .wires import (
    CONTROLS,
    CRT,
    LABELS,
    P_VALUES,
    SEED,
    Runs,
    Wire,
    bh,
    close,
    groups_of,
    judge,
    n_control,
    n_treated,
    name_of,
    only_controls,
    treated,
    wire_into,
)
from .wiring import Run

pytestmark = [pytest.mark.slow, pytest.mark.wiring]

WIRES: list[Wire] = []
wire = wire_into(WIRES)


@wire("analysis.control", "analysis.control=nt_cells",
      changes={*CRT, *CONTROLS, "data/control.json", "reports/guide_concordance.csv"})  # fmt: skip
def control(before: Run, after: Run) -> None:
    assert before.json("data/control.json")["kind"] == "complement"
    assert after.json("data/control.json")["kind"] == "nt_cells"
    assert (n_control(after)[["T0", "T2", "T3"]] == only_controls(after).sum()).all()
    assert (n_control(before) == 500 - n_treated(before))[["T0", "T2", "T3"]].all()
    assert (after.groups.result.n_treated + after.groups.result.n_control
            == only_controls(after).sum()).all()  # fmt: skip


@wire("analysis.cells_with_other_targets", "analysis.cells_with_other_targets=keep",
      changes={*CRT, "data/control.json", "reports/guide_concordance.csv"},
      base="nt_cells")  # fmt: skip
def cells_with_other_targets(before: Run, after: Run) -> None:
    mine = treated(after, "T2")
    others = sum(treated(after, f"T{t}") for t in (0, 1, 3, 4)) > 0
    assert n_treated(after)["T2"] == mine.sum()
    assert n_treated(before)["T2"] == (mine & ~others).sum() < mine.sum()


@wire("analysis.unit", "analysis.unit=guide", changes={*CRT, "reports/across_conditions.csv"})
def unit(before: Run, after: Run) -> None:
    table = after.results.drop_duplicates("guide").set_index("guide")
    assert list(table.index) == [f"T{t}g{g}" for t in range(5) for g in range(2)]
    assert (table["target"] == table.index.str[:2]).all()
    seen = np.asarray(after.screen.guides.sum(axis=0)).ravel()[:10]
    assert table["n_treated"].tolist() == seen.tolist()


@wire("analysis.targets", "analysis.targets=[T2,T0]",
      changes={*CRT, "reports/guide_concordance.csv"})  # fmt: skip
def targets(before: Run, after: Run) -> None:
    assert list(dict.fromkeys(after.results["target"])) == ["T2", "T0"]
    same_tests(before.results, after.results)
    assert set(after.table("reports/guide_concordance.csv")["target"]) == {"T0", "T2"}


def same_tests(one: pd.DataFrame, other: pd.DataFrame) -> None:
    """Where both tables have a row, it holds the same numbers but for q-values."""
    keys = ["target", "program"]
    columns = ["effect", "effect_se", "p_raw", "p_value", "null_mean", "null_sd", "n_treated"]
    rows = other.set_index(keys).index
    assert len(rows)
    pd.testing.assert_frame_equal(
        one.set_index(keys).loc[rows, columns], other.set_index(keys)[columns], check_exact=True
    )


@wire("analysis.exclude_targets", "analysis.exclude_targets=[T2]",
      changes={*CRT, "reports/guide_concordance.csv"})  # fmt: skip
def exclude_targets(before: Run, after: Run) -> None:
    assert set(before.results["target"]) - set(after.results["target"]) == {"T2"}
    same_tests(before.results, after.results)
    assert "T2" not in set(after.table("reports/guide_concordance.csv")["target"])


@wire("analysis.exclude_guides", "analysis.exclude_guides=[T0g0,C3]",
      changes={*CRT, *CONTROLS, "data/crossfit", "reports/guide_concordance.csv"})  # fmt: skip
def exclude_guides(before: Run, after: Run) -> None:
    place = after.screen.guide_names.index("T0g1")
    assert n_treated(after)["T0"] == after.screen.guides[:, place].nnz
    held = {g for guides in after.groups.guides.values() for g in guides}
    assert held
    assert "C3" not in held
    assert after.screen.guide_names.index("C3") not in after.units.ntc
    assert after.screen.guide_names.index("T0g0") not in np.concatenate(after.units.members)
    concordance = after.table("reports/guide_concordance.csv").set_index("target")
    assert concordance.loc["T0", "n_guides"].max() == 1


@wire("analysis.by_condition", "analysis.by_condition=true",
      changes={*CRT, *CONTROLS, "reports/across_conditions.csv"})  # fmt: skip
def by_condition(before: Run, after: Run) -> None:
    table = after.results.drop_duplicates(["condition", "target"]).set_index(
        ["condition", "target"]
    )
    for day in ("one", "two"):
        cells = np.asarray(after.screen.condition) == day
        for target in ("T0", "T1", "T2", "T3"):
            assert table.loc[(day, target), "n_treated"] == (treated(after, target) & cells).sum()
    assert set(after.groups.result.condition) == {"one", "two"}
    assert len(after.table("reports/across_conditions.csv")) == 5 * 4
    for _, part in after.results.groupby("condition"):
        close(part["q_value_within"], bh(part["p_value"]))
    close(after.results["q_value"], bh(after.results["p_value"]))


@wire("analysis.drop_empty_batches", "analysis.drop_empty_batches=false",
      changes={*CRT, "reports/guide_concordance.csv"})  # fmt: skip
def drop_empty_batches(before: Run, after: Run) -> None:
    in_a = np.asarray(after.screen.batch) == "a"
    mine = treated(after, "T1")
    assert not (mine & ~in_a).any()
    assert n_control(before)["T1"] == (in_a & ~mine).sum()
    assert n_control(after)["T1"] == (~mine).sum()


@wire("analysis.tails", "analysis.tails=false", base="skewed",
      changes={"data/crt", "reports/units.csv", *CONTROLS})  # fmt: skip
def tails(before: Run, after: Run) -> None:
    assert before.crt.tails is not None
    assert after.crt.tails is None
    assert after.groups.result.tails is None
    assert "saddlepoint" in before.ntc
    assert "saddlepoint" not in after.ntc


@wire("analysis.min_treated", "analysis.min_treated=5", changes=CRT)
def min_treated(before: Run, after: Run) -> None:
    n = n_treated(after)
    assert 5 <= n["T4"] < 10
    for run, smallest in ((before, 10), (after, 5)):
        tested = run.wide("p_value").notna().all(axis=1)
        pd.testing.assert_series_equal(tested, n >= smallest, check_names=False)


@wire("analysis.min_control", "analysis.min_control=300",
      changes={*CRT, "reports/guide_concordance.csv"})  # fmt: skip
def min_control(before: Run, after: Run) -> None:
    n = n_control(after)
    assert n["T1"] < 300 < n["T0"]
    assert after.wide("p_value").loc["T1"].isna().all()
    assert before.wide("p_value").loc["T1"].notna().all()
    same_tests(before.results[before.results["target"] == "T0"],
               after.results[after.results["target"] == "T0"])  # fmt: skip


# --- draws


@wire("n_resamples", "n_resamples=19", changes={"data/crt", *CONTROLS, *P_VALUES})
def n_resamples(before: Run, after: Run) -> None:
    for run, draws in ((before, 39), (after, 19)):
        assert run.crt.null.n_draws == run.groups.result.null.n_draws == draws
        places = (run.results["p_raw"].dropna() * (draws + 1)).to_numpy()
        np.testing.assert_allclose(places, np.round(places), atol=1e-9)
    for column in ("effect", "p_value"):  # exact tails ask no draws
        pd.testing.assert_frame_equal(before.wide(column), after.wide(column), rtol=1e-12)


@wire("seed", "seed=6", changes={"data/crt", *CONTROLS, *P_VALUES})
def seed(before: Run, after: Run) -> None:
    assert not before.wide("p_raw").equals(after.wide("p_raw"))
    for column in ("effect", "p_value"):
        pd.testing.assert_frame_equal(before.wide(column), after.wide(column), rtol=1e-12)
    for run, number in ((before, SEED), (after, 6)):
        assert run.groups.partitions == groups_of(run, seed=number)
        assert run.units.seed == number
    assert before.groups.partitions != after.groups.partitions


# --- sampler and statistic


def by_library(run: Run, **instead: Any) -> None:
    """data/crt holds, number by number, what the library gives for these words."""
    params = run.params
    kind = {section: dict(params[section]) for section in ("test", "sampler")}
    options = RunOptions(
        make_statistic(kind["test"].pop("kind"), **kind["test"]),
        make_sampler(kind["sampler"].pop("kind"), **kind["sampler"]),
        n_resamples=params["n_resamples"],
        seed=params["seed"],
        **instead,
    )
    expected = run_targets(run.screen, options, ntc_labels=LABELS, control="complement")
    for name in ("effect", "effect_se", "p_max", "n_treated"):
        np.testing.assert_array_equal(getattr(run.crt, name), getattr(expected, name))
    for name in ("mean", "sd", "n_ge", "n_le", "n_abs_ge"):
        np.testing.assert_array_equal(getattr(run.crt.null, name), getattr(expected.null, name))
    # the last digit goes with how arrays lie in memory
    np.testing.assert_allclose(run.crt.tails.log_left, expected.tails.log_left, rtol=1e-12)


def rank_variance(run: Run, target: str, strata: np.ndarray) -> np.ndarray:
    """Variance (K,) of the sum of ranks over treated cells, permuted within strata."""
    values = pd.DataFrame(run.screen.clr).rank().to_numpy()
    mine = treated(run, target)
    total = np.zeros(values.shape[1])
    for level in np.unique(strata):
        cells = strata == level
        n, m = cells.sum(), mine[cells].sum()
        total += m * (n - m) / n * values[cells].var(axis=0, ddof=1)
    return total


@wire("analysis.given", "analysis.given=propensity", changes={*CRT, *CONTROLS})
def given(before: Run, after: Run) -> None:
    """Draws and tails are those of independent cells: the count of treated ones is random."""
    by_library(before, given="covariates")
    by_library(after, given="propensity")


@wire("sampler.stratified.bins_by", "sampler.bins_by=cells", base="strata",
      changes={*CRT, *CONTROLS})  # fmt: skip
def bins_by(before: Run, after: Run) -> None:
    by_library(after)


@wire("sampler.stratified.n_bins", "sampler.n_bins=1", base="strata",
      changes={*CRT, *CONTROLS})  # fmt: skip
def n_bins(before: Run, after: Run) -> None:
    by_library(after)
    row = after.crt.units.index("T2")
    expected = rank_variance(after, "T2", np.asarray(after.screen.batch))
    np.testing.assert_allclose(after.crt.tails.variance[row], expected, rtol=1e-9)
    assert not np.allclose(before.crt.tails.variance[row], expected, rtol=1e-4)


@wire("sampler.stratified.stratify_by_batch", "sampler.n_bins=1",
      "sampler.stratify_by_batch=false", base="strata", changes={*CRT, *CONTROLS})  # fmt: skip
def stratify_by_batch(before: Run, after: Run) -> None:
    row = after.crt.units.index("T2")
    expected = rank_variance(after, "T2", np.zeros(500))
    np.testing.assert_allclose(after.crt.tails.variance[row], expected, rtol=1e-9)


@wire("sampler.stratified.min_stratum_size", "sampler.min_stratum_size=200", base="strata",
      changes={*CRT, *CONTROLS})  # fmt: skip
def min_stratum_size(before: Run, after: Run) -> None:
    """Three bins of 83 cells in a batch of 250, merged to 200 at least, are one."""
    row = after.crt.units.index("T2")
    expected = rank_variance(after, "T2", np.asarray(after.screen.batch))
    np.testing.assert_allclose(after.crt.tails.variance[row], expected, rtol=1e-9)


@wire("sampler.stratified.burden_key", "sampler.burden_key=depth", "sampler.n_burden_bins=3",
      base="strata", changes={*CRT, *CONTROLS})  # fmt: skip
def burden_key(before: Run, after: Run) -> None:
    by_library(after)


@wire("sampler.stratified_burden.burden_key", "sampler.burden_key=depth", base="burden",
      changes={*CRT, *CONTROLS})  # fmt: skip
def other_burden_key(before: Run, after: Run) -> None:
    assert before.params["sampler"]["burden_key"] == "log1p_non_ntc_guides_per_cell"
    by_library(before)
    by_library(after)


@wire("sampler.stratified.n_burden_bins", "sampler.n_burden_bins=2", base="by_depth",
      changes={*CRT, *CONTROLS})  # fmt: skip
def n_burden_bins(before: Run, after: Run) -> None:
    by_library(after)
    assert after.params["sampler"]["n_burden_bins"] == 2


@wire("sampler.stratified.burden_bin_method", "sampler.burden_bin_method=uniform",
      base="by_depth", changes={*CRT, *CONTROLS})  # fmt: skip
def burden_bin_method(before: Run, after: Run) -> None:
    by_library(after)


@wire("sampler.stratified.burden_clip_quantiles", "sampler.burden_clip_quantiles=[0.2,0.5]",
      base="by_depth", changes={*CRT, *CONTROLS})  # fmt: skip
def burden_clip_quantiles(before: Run, after: Run) -> None:
    by_library(after)


@wire("sampler=stratified", "sampler=stratified", changes={*CRT, *CONTROLS})
def stratified(before: Run, after: Run) -> None:
    by_library(before)
    by_library(after)


@wire("sampler=stratified_burden", "sampler=stratified_burden", changes={*CRT, *CONTROLS})
def stratified_burden(before: Run, after: Run) -> None:
    by_library(after)


@wire("test=utest", "test=utest", changes={*CRT, *CONTROLS} - {"reports/units.csv"})
def utest(before: Run, after: Run) -> None:
    rank_biserial(after, after.screen.clr)
    assert after.results["effect_se"].isna().all()
    mine = treated(before, "T2")
    design = np.column_stack([mine, before.screen.covariates])
    slope = np.linalg.lstsq(design, before.screen.clr, rcond=None)[0][0]
    np.testing.assert_allclose(before.wide("effect").loc["T2"], slope, rtol=1e-9)


@wire("test.utest.use", "test.use=usage", base="strata",
      changes={*CRT, *CONTROLS} - {"reports/units.csv"})  # fmt: skip
def use(before: Run, after: Run) -> None:
    rank_biserial(before, before.screen.clr)
    rank_biserial(after, after.screen.usage)


def rank_biserial(run: Run, values: np.ndarray) -> None:
    """Effects of T2 are 2 U / (n1 n2) - 1 of these values."""
    mine = treated(run, "T2")
    mantissa, exponent = np.frexp(values)  # what differs by rounding alone is tied
    values = np.ldexp(np.round(mantissa, 11), exponent)
    u = mannwhitneyu(values[mine], values[~mine], axis=0).statistic
    expected = 2 * u / (mine.sum() * (~mine).sum()) - 1
    np.testing.assert_allclose(run.wide("effect").loc["T2"], expected, rtol=1e-9)


@pytest.mark.parametrize("wire", WIRES, ids=name_of)
def test_a_key_does_what_it_says(wire: Wire, bases: Runs, tmp_path: Path) -> None:
    judge(wire, bases, tmp_path / "run")
