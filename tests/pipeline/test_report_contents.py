"""What the report holds, for analyses by condition, of single guides, and with too few controls."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from pipeline.files import read_json
from programde.calibration.fdr import benjamini_hochberg, storey

from .stages import STAGES, project_folder, run_stage

pytestmark = [pytest.mark.slow, pytest.mark.wiring]

QUICK = ("n_resamples=49", "controls.n_partitions=2", "report.n_boot=50", "data=h5ad")
N = 480


def one_guide_screen() -> AnnData:
    """One guide per cell, 4 targets, 4 control guides, 2 batches, 2 days.

    T0 acts through one of its guides. No cell of T1 is in batch b; T3 has three cells.
    """
    rng = np.random.default_rng(3)
    guides = [f"T{j // 2}g{j % 2}" for j in range(8)] + [f"C{j}" for j in range(4)]
    held = rng.permutation(np.resize(np.arange(12), N))
    batch = rng.permutation(np.resize(["a", "b"], N))
    batch[np.isin(held, (2, 3))] = "a"
    few = np.flatnonzero(np.isin(held, (6, 7)))[3:]
    batch[np.isin(held, (6, 7))] = np.resize(["a", "b"], np.isin(held, (6, 7)).sum())
    held[few] = 8 + np.arange(few.size) % 4
    usage = rng.dirichlet(np.full(5, 3.0), N)
    usage[held == 0, 0] *= 8
    usage /= usage.sum(axis=1, keepdims=True)
    depth = rng.normal(size=N)
    return AnnData(
        np.zeros((N, 1)),
        obs=pd.DataFrame(
            {"day": rng.permutation(np.resize(["day 0", "day 3"], N))},
            index=[f"c{i}" for i in range(N)],
        ),
        obsm={
            "cnmf_usage": usage,
            "covar": pd.DataFrame(
                {"depth": depth, "batch": batch}, index=[f"c{i}" for i in range(N)]
            ),
            "guide_assignment": (held[:, None] == np.arange(12)).astype(np.int8),
        },
        uns={
            "guide_names": np.array(guides, dtype=object),
            "guide2gene": {g: "non-targeting" if g[0] == "C" else g[:2] for g in guides},
        },
    )


@pytest.fixture(scope="module")
def screen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("screen") / "screen.h5ad"
    one_guide_screen().write_h5ad(path)
    return path


Run = Callable[..., tuple[pd.DataFrame, str, Path]]


@pytest.fixture
def run(screen: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run all stages; the results, the page and the folder of reports."""

    def all_stages(*words: str) -> tuple[pd.DataFrame, str, Path]:
        folder = project_folder(tmp_path / "project")
        for stage in STAGES:
            run_stage(monkeypatch, folder, stage, *QUICK, f"data.path={screen}", *words)
        reports = folder / "reports"
        page = (reports / "index.html").read_text(encoding="utf-8")
        return pd.read_csv(reports / "results.csv"), page, reports

    return all_stages


@pytest.mark.usefixtures("unrendered")
def test_untestable_targets_batches_left_out_and_hits_of_one_guide(run: Run) -> None:
    results, page, reports = run()
    rows = results.set_index("target")
    assert (rows.loc["T3", "reason"] == "3 treated cells, fewer than 10").all()
    assert rows.loc["T3", ["p_value", "q_value"]].isna().all().all()
    assert rows.loc[["T0", "T1", "T2"], "q_value"].notna().all()
    units = pd.read_csv(reports / "units.csv").set_index("target")
    assert list(units["batches_left_out"]) == [0, 1, 0, 0]
    assert "<td>fewer than 10 treated cells</td>" in page
    assert "batches were left out of the tests of 1 of 4 targets" in page
    assert "4 single non-targeting guides" in page
    assert "4 non-targeting guides, fewer than crossfit.min_guides=20" in page
    assert "With one target per cell" not in page
    concordance = pd.read_csv(reports / "guide_concordance.csv").set_index(["target", "program"])
    assert concordance.loc[("T0", "program_0"), "leading_guide"] == "T0g0"
    alone = page[page.index("Hits carried by one guide") : page.index("All hits, the least")]
    assert "T0g0" in alone
    assert pd.read_csv(reports / "across_conditions.csv").empty


@pytest.mark.usefixtures("unrendered")  # rendered in test_names
def test_by_condition_against_all_other_cells(run: Run) -> None:
    words = ("analysis.by_condition=true", "data.condition_key=day", "analysis.control=complement")
    results, page, reports = run(*words)
    assert set(results["condition"]) == {"day 0", "day 3"}
    assert {"q_value", "q_value_within"} <= set(results.columns)
    across = pd.read_csv(reports / "across_conditions.csv")
    assert len(across) == 4 * 5
    best = across.sort_values("p_value").iloc[0]
    assert (best["target"], best["program"], best["n_conditions"]) == ("T0", "program_0", 2)
    assert page.index("With one target per cell") < page.index("Is this run calibrated?")
    units = pd.read_csv(reports / "units.csv").set_index(["condition", "target"])
    for day in ("day 0", "day 3"):
        assert list(units.loc[day].loc[["T0", "T1", "T2"], "batches_left_out"]) == [0, 1, 0]
    assert "T3 in day 0" in page  # which has too few treated cells
    assert "T3 in day 3" in page
    for words in ("In day 0", "In day 3", "Over all conditions", "condition by condition"):
        assert words in page
    assert "Control groups combined in the same way have p ≤ 0.05 in" in page
    combined = read_json(reports / "metrics.json")["ntc_over_conditions"]
    assert combined["n_tests"] == 4 * 5  # single guides x programs
    for name in ("volcano_in_day_0", "heatmap_in_day_3", "qq_conditions"):
        assert list((reports / "plots").glob(f"{name}.*"))
        assert len(pd.read_csv(reports / "figures" / f"{name}.csv"))


@pytest.mark.usefixtures("unrendered")
def test_one_adjustment_makes_every_q_value(run: Run) -> None:
    results, _, reports = run(
        "analysis.by_condition=true", "data.condition_key=day", "fdr.adjust=storey"
    )
    across = pd.read_csv(reports / "across_conditions.csv")
    omnibus = pd.read_csv(reports / "omnibus.csv")
    for table, name in (
        (results, "value"),
        (across, "value"),
        (omnibus, "max"),
        (omnibus, "acat"),
    ):
        p = table[f"p_{name}"].to_numpy()
        np.testing.assert_allclose(table[f"q_{name}"], storey(p), rtol=1e-12)
    for table in (results, across):  # else this would show nothing
        assert (storey(table["p_value"]) < 0.95 * benjamini_hochberg(table["p_value"])).any()


@pytest.mark.usefixtures("unrendered")
def test_against_control_guides_without_batches_and_unjudged(run: Run) -> None:
    results, page, reports = run(
        "calibrate=ntc_empirical",
        "controls.units.guides_per_unit=4",
        "analysis.control=complement",
        "data.batch_key=null",
    )
    tested = results["p_value"].notna()
    assert set(results.loc[tested, "target"]) == {"T0", "T1", "T2"}
    assert results.loc[~tested, "reason"].notna().all()
    assert results.loc[~tested, "fallback"].isna().all()
    assert page.index("Not judged") < page.index("What was found")
    assert "cross-fit needs more NTC guides (4) than guides_per_unit=4" in page
    assert "ntc" not in read_json(reports / "metrics.json")


@pytest.mark.usefixtures("unrendered")
@pytest.mark.filterwarnings("ignore:test=utest with sampler=stratified")  # so few cells
def test_single_guides_by_ranks_in_strata(run: Run) -> None:
    results, page, _ = run("analysis.unit=guide", "test=utest", "sampler=stratified")
    assert list(results.columns[:3]) == ["guide", "target", "program"]
    assert set(results["guide"]) == {f"T{t}g{g}" for t in range(4) for g in range(2)}
    assert (results["guide"].str[:2] == results["target"]).all()
    best = results.sort_values("p_value").iloc[0]
    assert (best["guide"], best["program"]) == ("T0g0", "program_0")
    assert "Do the guides of a target agree?" not in page
    assert "Guides as a whole" in page


@pytest.mark.usefixtures("unrendered")
def test_without_resamples_exact_tails_do_all_the_work(run: Run) -> None:
    results, page, reports = run("n_resamples=0")
    assert results["p_raw"].isna().all()
    tested = results[results["target"] != "T3"]
    assert tested["p_value"].between(0.0, 1.0, inclusive="right").all()
    assert tested["p_moments"].notna().all()
    omnibus = pd.read_csv(reports / "omnibus.csv").set_index("target")
    assert omnibus["p_max"].isna().all()
    assert omnibus.loc["T0", "p_acat"] < 1e-3
    assert "Which calibration stands behind the p-values" in page
    assert "as a skew-normal" in page
