"""`side`, `calibrate`, `fdr`, `report`, and what changes no result."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from programde.analysis.gene_sets import gene_set_table
from programde.calibration import skew_normal
from programde.calibration.acat import acat
from programde.io.gmt import read_gmt
from programde.report.own_programs import n_leading
from programde.screen.spectra import top_genes

from .wires import (
    NTC_P_VALUES,
    P_VALUES,
    REPORT,
    TABLES,
    TESTED,
    Runs,
    Wire,
    bh,
    close,
    judge,
    name_of,
    wire_into,
)
from .wiring import Run

pytestmark = [pytest.mark.slow, pytest.mark.wiring]

WIRES: list[Wire] = []
wire = wire_into(WIRES)


def one_sided(key: str) -> Callable[[Run, Run], None]:
    """The check of `side`: all p-values are of the tail of that name."""

    def check(before: Run, after: Run) -> None:
        tails, groups = after.crt.tails, after.groups.result.tails
        left, right = np.exp(tails.log_left), np.exp(tails.log_right)
        close(before.wide("p_value"), np.minimum(1.0, 2 * np.minimum(left, right)))
        p = {"left": left, "right": right}[key]
        wide = after.wide("p_value")
        close(wide, p)
        close(after.results["q_value"], bh(after.results["p_value"]))
        combined = after.omnibus.set_index("target").loc[wide.index, "p_acat"]
        close(combined, acat(p))
        close(after.omnibus["q_acat"], bh(after.omnibus["p_acat"]))
        close(after.omnibus["p_max"], before.omnibus["p_max"])  # two-sided whatever the side
        null = after.crt.null
        draws = {"left": null.n_le, "right": null.n_ge}[key]
        close(after.wide("p_raw"), np.where(wide.notna(), (draws + 1) / 40, np.nan))
        of_groups = dict(zip(after.groups.result.units,
                             np.exp(getattr(groups, f"log_{key}")), strict=True))  # fmt: skip
        shown = after.ntc.groupby(["partition", "group"], sort=False)["saddlepoint"].apply(list)
        for (_, name), found in shown.items():
            close(found, of_groups[name])
        metrics = after.json("reports/metrics.json")["ntc"]
        assert metrics["rate_05"] == pytest.approx((after.ntc["saddlepoint"] <= 0.05).mean())
        assert metrics["smallest_p"] == pytest.approx(after.ntc["saddlepoint"].min())

    return check


SIDE = {*P_VALUES, *NTC_P_VALUES, *REPORT, "reports/summary.json", "reports/curves"}
wire("side", "side=left", changes=SIDE, base="reported", report=True)(one_sided("left"))
wire("side", "side=right", changes=SIDE, base="reported", report=True)(one_sided("right"))


@wire("side", "side=left", base="by_condition",
      changes={*P_VALUES, *NTC_P_VALUES, "reports/across_conditions.csv"})  # fmt: skip
def side_by_condition(before: Run, after: Run) -> None:
    """Directions are combined where p-values have two sides, and only there."""
    assert len(before.table("reports/across_conditions.csv"))
    assert after.table("reports/across_conditions.csv").empty
    assert before.ntc["over_conditions"].notna().any()
    assert "over_conditions" not in after.ntc


@wire("fdr.adjust", "fdr.adjust=storey", base="by_condition",
      changes={*P_VALUES, "reports/across_conditions.csv"})  # fmt: skip
def adjust(before: Run, after: Run) -> None:
    for name, pairs in (
        ("reports/results.csv", {"p_value": "q_value"}),
        ("reports/omnibus.csv", {"p_max": "q_max", "p_acat": "q_acat"}),
        ("reports/across_conditions.csv", {"p_value": "q_value"}),
    ):
        one, other = before.table(name), after.table(name)
        for p, q in pairs.items():
            close(one[q], bh(one[p]))
            close(other[p], one[p])
            known = other[p].notna()
            share = (other[q] / one[q])[known & (one[q] < 1) & (other[q] < 1)]
            assert share.max() < 1  # Storey's: that of Benjamini-Hochberg times the null share
            close(share, share.iloc[0], rtol=1e-6)


@wire("fdr.direct_delta", "fdr.direct_delta=0", base="nine_programs", changes=TABLES)
def direct_delta(before: Run, after: Run) -> None:
    """With a tolerance less is beyond it: no p-value gets smaller, some larger."""
    one, other = (run.results.set_index(["target", "program"]) for run in (before, after))
    known = one["p_direct"].notna()
    assert known.any()
    assert (one["p_direct"] >= other["p_direct"] - 1e-12)[known].all()
    assert (one["p_direct"] > other["p_direct"] + 1e-6)[known].any()


@wire(
    "fdr.level",
    "fdr.level=0.9",
    changes={*REPORT, *TABLES},
    base="reported",
    report=True,
)
def level(before: Run, after: Run) -> None:
    """Of the results the smallest effect that would be seen, alone: the looser, the smaller."""
    smallest = "mde80"
    pd.testing.assert_frame_equal(
        before.results.drop(columns=smallest), after.results.drop(columns=smallest)
    )
    known = before.results[smallest].notna()
    assert (after.results[smallest] < before.results[smallest])[known].all()
    assert known.any()
    for run, number in ((before, 0.1), (after, 0.9)):
        page = (run.folder / "reports/index.html").read_text()
        hits = (run.results["q_value"] <= number).sum()
        assert f"hits at q ≤ {number:g}" in page
        at = page.index(f"hits at q ≤ {number:g}")
        assert str(hits) in page[at - 120 : at + 120]


@wire("report.csv_rows", "report.csv_rows=5", changes={"reports/results.csv"})
def csv_rows(before: Run, after: Run) -> None:
    """The strongest rows, in the order of the table."""
    every, some = (run.table("reports/results.csv") for run in (before, after))
    strongest = every.loc[sorted(every["p_value"].nsmallest(5).index)]
    strongest = strongest.reset_index(drop=True)
    pd.testing.assert_frame_equal(some, strongest, check_dtype=False)  # empty columns are numbers


@wire("analysis.pairs", "analysis.pairs={f}/pairs.csv", changes=TABLES)
def pairs(before: Run, after: Run) -> None:
    """Two tests have q-values among themselves; the others' are what they were."""
    table = after.results.set_index(["target", "program"])
    chosen = [("T1", "program_2"), ("T0", "program_0")]
    assert set(table.index[table["prespecified"]]) == set(chosen)
    close(table.loc[chosen, "q_prespecified"], bh(table.loc[chosen, "p_value"]))
    assert table["q_prespecified"].notna().sum() == 2
    close(after.results["q_value"], before.results["q_value"])


@wire("calibrate=none", "calibrate=none", changes=P_VALUES)
def raw(before: Run, after: Run) -> None:
    pd.testing.assert_frame_equal(after.wide("p_value"), after.wide("p_raw"))
    close(after.results["p_raw"], before.results["p_raw"])


@wire("calibrate=skew_normal", "calibrate=skew_normal", changes=P_VALUES)
def smooth(before: Run, after: Run) -> None:
    fit = skew_normal.calibrate(after.crt.effect, after.crt.null, "both")
    close(after.wide("p_value"), fit.p)
    assert (after.results["calibration"] == "skew_normal").all()


# --- the report, this machine, the record


def interval(run: Run) -> tuple[float, ...]:
    """Of the inflation of control p-values: estimate, and ends."""
    numbers = run.json("reports/metrics.json")["ntc"]
    return numbers["lambda"], numbers["lambda_low"], numbers["lambda_high"]


INTERVALS = {*REPORT, "reports/summary.json"}


@wire("report.n_boot", "report.n_boot=15", changes=INTERVALS, base="reported", report=True)
def n_boot(before: Run, after: Run) -> None:
    assert interval(before)[0] == interval(after)[0]
    assert interval(before) != interval(after)


@wire("report.seed", "report.seed=8", changes=INTERVALS, base="reported", report=True)
def report_seed(before: Run, after: Run) -> None:
    assert interval(before)[0] == interval(after)[0]
    assert interval(before) != interval(after)


@wire("report.gene_sets", "report.gene_sets={f}/sets.gmt", base="reported", report=True,
      changes={"reports/index.html", "reports/gene_sets.csv"})  # fmt: skip
def gene_sets(before: Run, after: Run) -> None:
    assert before.table("reports/gene_sets.csv").empty
    sets = read_gmt(after.params["inputs"]["gene_sets"])
    assert list(sets) == ["first", "others"]
    by_hand = gene_set_table(after.screen.spectra, sets)
    assert len(after.table("reports/gene_sets.csv")) == len(by_hand) > 0
    assert set(after.params["report"]["gene_sets"]) <= set("0123456789abcdef")


def positives(run: Run) -> dict[str, int]:
    return dict(run.json("reports/metrics.json")["positive_controls"])


@wire("data.h5ad.effect_of_guides", "data.effect_of_guides=lowers", base="reported", report=True,
      changes=REPORT)  # fmt: skip
def effect_of_guides(before: Run, after: Run) -> None:
    """A hit on a program that the target's gene leads is found if it goes the way it should."""
    first = top_genes(before.screen.spectra, n_leading(before.screen.spectra.shape[1]))
    tests = before.results[before.results["p_value"].notna()]
    tests = tests[[t in first[p] for t, p in zip(tests["target"], tests["program"], strict=True)]]
    hits = tests[tests["q_value"] <= 0.1]
    assert positives(before)["found"] == len(hits)
    assert positives(before)["tested"] == len(tests)
    assert positives(after)["found"] == (hits["effect"] < 0).sum() < len(hits)
    assert positives(after)["other_way"] == (hits["effect"] > 0).sum()


@wire("data.h5ad.positive_controls", "data.positive_controls=[[T0,program_0,-1]]", base="reported",
      changes=REPORT,
      report=True)  # fmt: skip
def positive_controls(before: Run, after: Run) -> None:
    """T0 raises program_0, and a fall was expected; its own gene would have found it."""
    assert positives(after)["other_way"] == positives(before)["other_way"] + 1


@wire("report.n_opened", "report.n_opened=1", changes={"reports/index.html"}, base="reported",
      report=True)  # fmt: skip
def report_opened(before: Run, after: Run) -> None:
    hits = (after.results["q_value"] <= 0.1).sum()
    for run, most in ((before, 300), (after, 1)):
        page = (run.folder / "reports/index.html").read_text(encoding="utf-8")
        assert page.count('"usage":{"treated"') == min(hits, most)


def nothing(before: Run, after: Run) -> None:
    assert after.executed == TESTED


for key, word in (("compute.n_jobs", "compute.n_jobs=2"), ("tracking.uri", "tracking.uri=x"),
                  ("compute=local", "compute=local"), ("compute=serial", "compute=serial"),
                  ("tracking.experiment", "tracking.experiment=x")):  # fmt: skip
    wire(key, word, changes=set(), always=True)(nothing)


@pytest.mark.parametrize("wire", WIRES, ids=name_of)
def test_a_key_does_what_it_says(wire: Wire, bases: Runs, tmp_path: Path) -> None:
    judge(wire, bases, tmp_path / "run")
