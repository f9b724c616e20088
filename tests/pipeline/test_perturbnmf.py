"""A PerturbNMF run from its files to what its later stages read."""

from __future__ import annotations

import math
import re
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from statsmodels.stats.multitest import multipletests

from pipeline import export
from pipeline.config.command_line import configured
from pipeline.config.schema import KINDS, SECTIONS
from pipeline.stages import paths
from pipeline.stages.compose import compose
from programde.analysis.perturbnmf import COLUMNS, Point
from programde.errors import InputError
from programde.io.perturbnmf import find_run, read_perturbnmf, threshold_label
from tests.pipeline.stages import ROOT, project_folder, run_stage

QUICK = (
    "usage=positive_quantile", "n_resamples=49", "controls.n_partitions=2",
    "analysis.min_treated=5", "analysis.min_control=5", "calibrate=skew_normal",
    "controls.min_groups=2",
)  # fmt: skip
STAGES = ("prepare", "crt", "ntc_null", "calibrate")
TARGETS = [*(f"T{t}" for t in range(3) for _ in range(2)), *(["non-targeting"] * 8)]


def modality(k: int, seed: int, guides: bool = True) -> anndata.AnnData:
    """Modality cNMF of 600 cells with one guide each: open usages, T0 raises program 1."""
    rng = np.random.default_rng(seed)
    n = 600
    held = rng.permutation(np.resize(np.arange(len(TARGETS)), n))
    usage = np.exp(rng.normal(size=(n, k)))
    usage[np.isin(held, [0, 1]), 1] *= np.exp(1.5)
    obs = pd.DataFrame(
        {
            "day": np.where(rng.random(n) < 0.5, "D1", "D3"),
            "sex": rng.choice(["f", "m"], n),
            "n_counts": rng.poisson(2000, n).astype(float),
        },
        index=[f"c{i}" for i in range(n)],
    )
    home = anndata.AnnData(
        37.0 * usage, obs=obs, var=pd.DataFrame(index=[f"{j}" for j in range(k)])
    )
    if guides:
        home.obsm["guide_assignment"] = sparse.csr_matrix(held[:, None] == np.arange(len(TARGETS)))
        home.uns["guide_names"] = np.array([f"g{j}" for j in range(len(TARGETS))], dtype=object)
        home.uns["guide_targets"] = np.array(TARGETS, dtype=object)
    home.varm["loadings"] = rng.random((k, 7))
    return home


def write_run(folder: Path, points: dict[str, int]) -> None:
    """OUT_DIR/run/Inference/adata/cNMF_<K>_<T>.h5mu for "K_T" -> K."""
    adata = folder / "run" / "Inference" / "adata"
    adata.mkdir(parents=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mudata

        for name, k in points.items():
            home = modality(k, seed=k)
            rna = anndata.AnnData(np.zeros((600, 2)), obs=home.obs[[]])
            mudata.MuData({"rna": rna, "cNMF": home}).write(adata / f"cNMF_{name}.h5mu")


@pytest.fixture(scope="module")
def out_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lab")
    write_run(folder, {"4_0_4": 4, "5_2_0": 5})
    return folder


def read(out_dir: Path, **keys: object) -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that rows do not sum to 1
        return read_perturbnmf(out_dir, run_name="run", **keys)


@pytest.mark.slow
@pytest.mark.brief
def test_one_point_of_a_run_is_read(out_dir: Path) -> None:
    screen = read(out_dir, k=4, density_threshold=0.4, log1p_columns=["n_counts"],
                  covar_columns=["sex"], condition_key="day")  # fmt: skip
    assert screen.usage.shape == (600, 4)
    np.testing.assert_allclose(screen.usage.sum(axis=1), 1)
    assert {"intercept", "log1p_n_counts", "sex_m"} <= set(screen.covariate_names)
    assert list(screen.covariate_table) == ["sex", "log1p_n_counts"]
    assert sorted(set(screen.condition)) == ["D1", "D3"]
    assert sorted(screen.target_columns()) == ["T0", "T1", "T2", "non-targeting"]
    assert read(out_dir, k=5, density_threshold=2).covariate_names == ["intercept"]


@pytest.mark.slow
@pytest.mark.brief
def test_the_older_form_has_its_guides_apart(out_dir: Path, tmp_path: Path) -> None:
    whole = modality(4, seed=4)
    guides = anndata.AnnData(
        obs=whole.obs[[]],
        obsm={"guide_assignment": whole.obsm["guide_assignment"]},
        uns={key: whole.uns[key] for key in ("guide_names", "guide_targets")},
    )
    guides.write_h5ad(tmp_path / "guides.h5ad")
    adata = tmp_path / "run" / "Inference" / "adata"
    adata.mkdir(parents=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mudata

        mudata.MuData({"cNMF": modality(4, seed=4, guides=False)}).write(adata / "cNMF_4_0_4.h5mu")
    apart = read(tmp_path, k=4, density_threshold=0.4, guides_path=str(tmp_path / "guides.h5ad"))
    beside = read(out_dir, k=4, density_threshold=0.4)
    assert (apart.guides != beside.guides).nnz == 0
    assert apart.guide_to_target == beside.guide_to_target


def test_what_is_not_there_is_told_with_what_is(out_dir: Path) -> None:
    with pytest.raises(
        InputError, match=r"no cNMF_6_0_4\.h5mu; there are k=4 density_threshold=0\.4"
    ):
        find_run(out_dir, "run", 6, 0.4)
    with pytest.raises(InputError, match=r"runs in .*: run"):
        find_run(out_dir, "other", 4, 0.4)
    assert threshold_label(find_run(out_dir, "run", 5, 2.0)) == "2_0"
    with pytest.raises(InputError, match="not named like"):
        threshold_label("screen.h5mu")


Run = Callable[..., Path]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out_dir: Path) -> Run:
    def run_stages(name: str, *words: str) -> Path:
        folder = project_folder(tmp_path / name)
        given = ["data=perturbnmf", f"data.out_dir={out_dir}", "data.run_name=run", *words, *QUICK]
        with monkeypatch.context() as here:
            here.chdir(folder)
            here.setattr(sys, "argv", ["compose.py", *given])
            compose(configured(folder / "conf"))
        assert len(list(Path(folder / "data/inputs").iterdir())) == 2
        for stage in STAGES:
            run_stage(monkeypatch, folder, stage, *given)
        return folder

    return run_stages


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::programde.errors.ProgramDEWarning")
def test_files_of_all_points_are_written_as_the_later_stages_read_them(
    run: Run, out_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    conditions = ("data.condition_key=day", "analysis.by_condition=true")
    asked = ("data.covar_columns=[sex]", "data.log1p_columns=[n_counts]", *conditions)
    folders = [
        run("a", "data.k=4", "data.density_threshold=0.4", *asked),
        run("b", "data.k=5", "data.density_threshold=2.0", *asked),
    ]
    unfinished = project_folder(folders[0].parent / "unfinished")
    words = ["perturbnmf", *map(str, folders), str(unfinished), "--level", "0.1"]
    assert export.main([*words, "--adjust", "bh"]) == 0
    told = capsys.readouterr()
    written = told.out.splitlines()
    assert "1 folder(s) without results left out: unfinished" in told.err
    evaluation = out_dir / "run" / "Evaluation"
    covariates = "sex_log_n_counts"
    tables = []
    for folder, k, place in ((folders[0], 4, "4_0_4"), (folders[1], 5, "5_2_0")):
        ours = pd.read_parquet(folder / paths.RESULTS)
        for day in ("D1", "D3"):
            base = evaluation / place / f"{k}_CRT_{covariates}_{day}"
            assert {f"{base}.txt", f"{base}.png"} <= set(written)
            assert Path(f"{base}.png").read_bytes().startswith(b"\x89PNG")
            table = pd.read_csv(f"{base}.txt", sep="\t")
            assert tuple(table.columns) == COLUMNS
            assert set(table["target_name"]) == {"T0", "T1", "T2", "non-targeting"}
            own = ours[ours["condition"] == day]
            tested = table[table["target_name"] != "non-targeting"]
            expected = multipletests(tested["p-value"], method="fdr_bh")[1]
            np.testing.assert_allclose(tested["adj_pval"], expected)
            np.testing.assert_allclose(tested["log2FC"], own["effect"])
            np.testing.assert_allclose(tested["p-value"], own["p_value"])
            control = table[table["target_name"] == "non-targeting"]
            assert (control["log2FC"] == 0).all()
            assert (control[["p-value", "adj_pval"]] == 1).all(axis=None)
            best = table.loc[table["p-value"].idxmin()]
            assert (best["target_name"], str(best["program_name"])) == ("T0", "1")
            tables.append(table)
    whole = pd.read_parquet(evaluation / f"CRT_{covariates}_results.parquet")
    assert len(whole) == sum(map(len, tables))
    assert sorted(whole["K"].unique()) == [4, 5]
    assert sorted(whole["density_threshold"].unique()) == [0.4, 2.0]
    np.testing.assert_array_equal(whole["significant"], whole["adj_pval"] <= 0.1)
    counts = pd.read_parquet(evaluation / f"CRT_{covariates}_significant_programs.parquet")
    one = counts.set_index(["K", "condition", "target_name"])["n_significant"]
    by_hand = whole[(whole["K"] == 5) & (whole["condition"] == "D3") & whole["significant"]]
    assert one[5, "D3", "T0"] == (by_hand["target_name"] == "T0").sum()
    alike = pd.read_parquet(evaluation / f"CRT_{covariates}_effect_correlations.parquet")
    assert len(alike) == 2 * 2 * 3
    part = whole[(whole["K"] == 5) & (whole["condition"] == "D3")]
    wide = part.pivot(index="program_name", columns="target_name", values="log2FC")
    row = alike[(alike["K"] == 5) & (alike["condition"] == "D3")].iloc[0]
    expected = wide[row["target_a"]].corr(wide[row["target_b"]])
    assert row["correlation"] == pytest.approx(expected)

    assert export.main([*words, "--effect", "log2fc", "--adjust", "storey"]) == 0
    fold = pd.read_csv(evaluation / "4_0_4" / f"4_CRT_{covariates}_D1.txt", sep="\t")
    np.testing.assert_allclose(fold["log2FC"], 4 / 3 * tables[0]["log2FC"] / math.log(2))
    assert export.main(["perturbnmf", str(folders[0]), str(folders[0])]) == 1
    assert "same K, threshold and covariates" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::programde.errors.ProgramDEWarning")
def test_without_covariates_and_conditions_and_as_a_workbook(
    run: Run, out_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("openpyxl")
    folder = run("plain", "data.k=4", "data.density_threshold=0.4", "test=utest")
    assert export.main(["perturbnmf", str(folder), "--excel"]) == 0
    evaluation = out_dir / "run" / "Evaluation"
    assert (evaluation / "4_0_4" / "4_CRT_no_covariates_all.txt").is_file()
    book = pd.read_excel(evaluation / "CRT_no_covariates.xlsx", sheet_name=None)
    assert list(book) == ["results", "significant_programs", "effect_correlations"]
    table = pd.read_parquet(evaluation / "CRT_no_covariates_results.parquet")
    np.testing.assert_allclose(book["results"]["p-value"], table["p-value"])
    assert export.main(["perturbnmf", str(folder), "--effect", "log2fc"]) == 1
    assert "centred log-ratio" in capsys.readouterr().err


def test_excel_without_openpyxl_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(ValueError, match=r"--excel needs openpyxl: pip install"):
        export._workbook(tmp_path / "book.xlsx", {"results": pd.DataFrame({"a": [1]})})


def test_folders_without_such_runs_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "params.yaml").write_text("data: {kind: h5ad}\n")
    assert export.main(["perturbnmf", str(tmp_path)]) == 1
    assert "no run with data=perturbnmf" in capsys.readouterr().err
    assert export.main(["perturbnmf", str(tmp_path / "nowhere")]) == 1


def test_the_page_for_labs_names_keys_that_exist() -> None:
    text = (ROOT / "docs" / "labs.md").read_text(encoding="utf-8")
    named = set(re.findall(r"(?<![\w.])([a-z]+)\.([a-z0-9_]+)=", text))
    assert len(named) > 10
    for section, key in named:
        kinds = [*KINDS.get(section, {}).values(), SECTIONS.get(section)]
        assert any(known is not None and key in known.keys for known in kinds), f"{section}.{key}"
    chosen = set(re.findall(r"(?<![\w.])(data|test|calibrate)=(\w+)", text))
    for section, choice in chosen:
        assert (ROOT / "conf" / section / f"{choice}.yaml").is_file()
    parser_words = {"--adjust", "--effect", "--excel", "--level"}
    assert parser_words <= set(re.findall(r"--\w+", text))


def test_conditions_that_would_write_one_file_are_told(tmp_path: Path) -> None:
    results = pd.DataFrame({"condition": ["a/b", "a_b"]})
    run = export.Run(tmp_path, Point(4, "0_4"), tmp_path, results, results, [], {})
    with pytest.raises(InputError, match="'a/b' and 'a_b' would write the same file"):
        export.export([run], "beta", "bh", 0.05)
