"""Stage calibrate judges by the control units and groups that stage ntc_null left, by no others."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from pipeline.files import parse_yaml, read_json, read_table
from pipeline.stages.crossfit_files import load_crossfit
from programde.analysis.ntc_groups import NTCNull, ntc_units
from programde.analysis.tables import adjust_p
from programde.controls.control_units import control_units
from programde.controls.control_units_file import load_control_units
from programde.controls.empirical_null import compare_targets
from programde.controls.options import ComparisonOptions, ControlUnitOptions
from programde.screen.store import load_screen

from .stages import ROOT, project_folder, run_stage

pytestmark = [pytest.mark.slow, pytest.mark.wiring]

SEED = 11
WORDS = (
    f"seed={SEED}",
    "n_resamples=49",
    "controls.n_partitions=2",
    "controls.group_size=2",
    "controls.units.n_ntc_units=80",
    "crossfit.n_ntc_units=60",
    "crossfit.n_holdout_units=9",
    "crossfit.min_guides=8",
    "data=h5ad",
    "analysis.control=complement",
)
#: One guide of T3 in four cells, the other in three: each alone is seen in more than two.
FEW = (4, 3)


def crowded_screen() -> AnnData:
    """One guide per cell: four targets that act, ten control guides; two batches, two days."""
    rng = np.random.default_rng(8)
    guides = [f"T{j // 2}g{j % 2}" for j in range(8)] + [f"C{j}" for j in range(10)]
    n = 600
    held = rng.permutation(np.resize(np.arange(len(guides)), n))
    for guide, cells in zip((6, 7), FEW, strict=True):
        lost = np.flatnonzero(held == guide)[cells:]
        held[lost] = 8 + np.arange(lost.size) % 10
    usage = rng.dirichlet(np.full(4, 3.0), n)
    usage[held < 6, 0] *= 4
    names = [f"c{i}" for i in range(n)]
    covariates = pd.DataFrame(
        {"depth": rng.normal(size=n), "batch": rng.permutation(np.resize(["a", "b"], n))}, names
    )
    return AnnData(
        np.zeros((n, 1)),
        obs=pd.DataFrame({"day": rng.permutation(np.resize(["one", "two"], n))}, names),
        obsm={
            "cnmf_usage": usage / usage.sum(axis=1, keepdims=True),
            "covar": covariates,
            "guide_assignment": (held[:, None] == np.arange(len(guides))).astype(np.int8),
        },
        uns={
            "guide_names": np.array(guides, dtype=object),
            "guide2gene": {g: "non-targeting" if g[0] == "C" else g[:2] for g in guides},
        },
    )


@pytest.fixture(scope="module")
def tested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project up to ntc_null."""
    folder = project_folder(tmp_path_factory.mktemp("tested") / "project")
    crowded_screen().write_h5ad(folder / "screen.h5ad")
    with pytest.MonkeyPatch.context() as patch:
        for stage in ("prepare", "crt", "ntc_null"):
            run_stage(patch, folder, stage, *WORDS, f"data.path={folder}/screen.h5ad")
    return folder


Calibrate = Callable[..., Path]


@pytest.fixture
def calibrate(tested: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Calibrate:
    """Stage calibrate in a copy of the project that has no screen any more."""

    def run(*words: str) -> Path:
        path = tested / "screen.h5ad"
        folder = tmp_path / "project"
        if not folder.exists():
            shutil.copytree(tested, folder)
            shutil.rmtree(folder / "data" / "screen")
        run_stage(monkeypatch, folder, "calibrate", *WORDS, f"data.path={path}", *words)
        return folder

    return run


def test_units_and_groups_are_made_with_the_seed_of_the_run(tested: Path) -> None:
    screen = load_screen(tested / "data" / "screen")
    units, _ = load_control_units(tested / "data" / "ntc_null")
    assert units is not None
    assert units.seed == SEED
    controls = NTCNull.load(tested / "data" / "ntc_null")
    how = {"group_size": 2, "n_partitions": 2, "n_bins": 10}
    assert controls.partitions == ntc_units(screen, ["non-targeting"], **how, seed=SEED)[1]
    assert controls.partitions != ntc_units(screen, ["non-targeting"], **how, seed=SEED + 1)[1]


def test_targets_against_the_units_that_are_stored(tested: Path, calibrate: Calibrate) -> None:
    folder = calibrate("calibrate=ntc_empirical")
    results = read_table(folder / "reports" / "results.parquet")
    found = results.pivot(index="target", columns="program", values="p_value")
    screen = load_screen(tested / "data" / "screen")
    options = ControlUnitOptions(n_ntc_units=80)
    units = control_units(screen, ["non-targeting"], options, seed=SEED)
    expected = compare_targets(units).pvals.loc[found.index, found.columns]
    # T3 has seven cells: fewer than analysis.min_treated and fewer than controls.units.min_treated
    assert found.index[found.isna().all(axis=1)].tolist() == ["T3"]
    pd.testing.assert_frame_equal(found, expected, check_names=False, check_exact=True)


def test_held_out_units_stand_in_layers_that_share_no_guide(calibrate: Calibrate) -> None:
    folder = calibrate("calibrate=ntc_empirical")
    table = read_table(folder / "data" / "ntc_p_values.parquet")
    rows = table[table["ntc_empirical"].notna()]
    units, _ = load_control_units(folder / "data" / "ntc_null")
    assert units is not None
    assert units.held_out is not None
    crossfit, _ = load_crossfit(folder / "data" / "crossfit")
    assert crossfit is not None
    names = crossfit["meta"]["pvals_holdout"].index
    guides = dict(zip(names, map(set, units.held_out.split.units_B), strict=True))
    assert set(rows["group"]) == set(names)
    assert rows["partition"].nunique() > 1
    for _, layer in rows.groupby("partition"):
        groups = layer["group"].unique()
        assert len(set.union(*(guides[g] for g in groups))) == sum(len(guides[g]) for g in groups)


def test_rules_are_those_of_the_run(calibrate: Calibrate) -> None:
    """The cross-fit that ntc_null made serves its own rules alone."""
    rules = ("calibrate.combine_method=fisher", "calibrate.matching.n_n1_bins=1")
    folder = calibrate("calibrate=ntc_empirical", *rules)
    crossfit, _ = load_crossfit(folder / "data" / "crossfit")
    stored, _ = load_crossfit(folder / "data" / "ntc_null" / "crossfit")
    assert crossfit is not None
    assert stored is not None
    assert crossfit["info"]["combine_method"] == "fisher"
    assert stored["info"]["combine_method"] == ComparisonOptions().combine_method
    assert not crossfit["meta"]["pvals_holdout"].equals(stored["meta"]["pvals_holdout"])
    folder = calibrate("calibrate=ntc_empirical")
    again, _ = load_crossfit(folder / "data" / "crossfit")
    assert again is not None
    assert again["meta"]["pvals_holdout"].equals(stored["meta"]["pvals_holdout"])


def test_groups_are_those_that_are_stored(calibrate: Calibrate) -> None:
    """A partition that is taken out of data/ntc_null is in no table that comes after."""
    folder = calibrate()
    both = read_table(folder / "data" / "ntc_p_values.parquet")
    path = folder / "data" / "ntc_null" / "groups.json"
    content = read_json(path)
    content["partitions"] = content["partitions"][1:]
    path.write_text(json.dumps(content))
    calibrate()
    one = read_table(folder / "data" / "ntc_p_values.parquet")
    last = both[both["partition"] == 1].reset_index(drop=True)
    pd.testing.assert_frame_equal(one, last.assign(partition=0), check_exact=True)


def test_the_side_is_that_of_every_p_value(calibrate: Calibrate) -> None:
    tables = {}
    for side in ("both", "left", "right"):
        folder = calibrate(f"side={side}")
        tables[side] = (
            read_table(folder / "reports" / "results.parquet"),
            read_table(folder / "data" / "ntc_p_values.parquet"),
        )
    for place, columns in ((0, ["p_value", "p_raw"]), (1, ["saddlepoint", "raw", "skew_normal"])):
        both, left, right = (tables[side][place] for side in ("both", "left", "right"))
        for column in columns:
            seen = both[column].notna()
            assert seen.any()
            # both tails hold the observed value; those given covariates are right to 1e-6
            assert (left[column] + right[column])[seen].ge(1 - 1e-5).all()
            assert not np.allclose(left[column][seen], right[column][seen])
            smaller = np.minimum(left[column], right[column])[seen]
            assert (both[column][seen] >= smaller - 1e-12).all()


def test_q_values_are_by_the_adjustment_that_is_asked_for(calibrate: Calibrate) -> None:
    for adjust in ("bh", "storey"):
        folder = calibrate(f"fdr.adjust={adjust}")
        results = read_table(folder / "reports" / "results.parquet")
        omnibus = read_table(folder / "reports" / "omnibus.csv")
        for table, p, q in (
            (results, "p_value", "q_value"),
            (omnibus, "p_max", "q_max"),
            (omnibus, "p_acat", "q_acat"),
        ):
            np.testing.assert_allclose(table[q], adjust_p(table[p].to_numpy(), adjust), rtol=1e-12)
            other = adjust_p(table[p].to_numpy(), "storey" if adjust == "bh" else "bh")
            assert not np.allclose(table[q], other, atol=0, equal_nan=True), q


def test_why_there_are_no_units_is_told(
    calibrate: Calibrate, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = calibrate()
    path = folder / "data" / "ntc_null" / "control_units.json"
    path.write_text(json.dumps({"why_not": "no batch has more cells than covariates"}))
    with pytest.raises(SystemExit):
        calibrate("calibrate=ntc_empirical")
    assert "calibrate: no batch has more cells than covariates" in capsys.readouterr().err
    other = read_json(folder / "data" / "control.json") | {"kind": "nt_cells", "reason": "few"}
    (folder / "data" / "control.json").write_text(json.dumps(other))
    with pytest.raises(SystemExit):
        calibrate("calibrate=ntc_empirical")
    assert "took nt_cells (few)" in capsys.readouterr().err


def test_guides_alone_are_seen_with_few_cells(tested: Path) -> None:
    """Whether guides agree is asked of all that have two cells, whoever is tested."""
    table = read_table(tested / "reports" / "guide_concordance.csv")
    assert (table.loc[table["target"] == "T3", "n_guides"] == 2).all()


def test_what_is_read_off_tables_reruns_no_test() -> None:
    """`side`, `calibrate` and `fdr` are keys of the last two stages, and no screen is read."""
    stages = parse_yaml((ROOT / "dvc.yaml").read_text())["stages"]
    for key in ("side", "calibrate", "fdr"):
        using = [
            name
            for name, stage in stages.items()
            if any(str(used).split(".")[0] == key for used in stage.get("params", []))
        ]
        assert using == ["calibrate", "diagnostics"], key
    deps = stages["calibrate"]["deps"]
    assert "data/screen" not in deps
