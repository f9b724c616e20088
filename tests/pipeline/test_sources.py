"""Every source of a real screen gives the results of its h5ad; skipped where the file is absent."""

from __future__ import annotations

import runpy
import warnings
from collections.abc import Callable
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from programde.crt.results import CRTResult
from tests.io.conversions import (
    guide_modality,
    one_modality,
    program_names,
    write_cnmf,
    write_tables,
)
from tests.real_screens import real_screen

from .stages import ROOT, STAGES, project_folder, run_stage

#: Enough targets and guides to be a screen, few enough to be quick.
TARGETS = ("STAT1", "CUL3", "MYC", "non-targeting")
QUICK = ("usage=positive_quantile", "n_resamples=49", "controls.n_partitions=2", "report.n_boot=50")

pytestmark = pytest.mark.slow


def part_of_the_screen() -> AnnData:
    """The cells of the THP-1 screen whose guides all belong to a few targets."""
    whole = anndata.read_h5ad(real_screen("papalexi_thp1"))
    target = np.array([whole.uns["guide2gene"][g] for g in whole.uns["guide_names"]])
    ours = np.isin(target, TARGETS)
    guides = whole.obsm["guide_assignment"].tocsr()
    cells = np.asarray(guides[:, ~ours].sum(axis=1)).ravel() == 0
    part = whole[cells].copy()
    part.obsm["guide_assignment"] = guides[cells][:, ours]
    part.uns["guide_names"] = np.asarray(whole.uns["guide_names"], dtype=object)[ours]
    part.uns["guide2gene"] = dict(zip(part.uns["guide_names"], target[ours], strict=True))
    del part.obsm["guide_umi"]
    return part


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """The screen in every form; for each the words that name it."""
    folder = tmp_path_factory.mktemp("sources")
    part = part_of_the_screen()
    part.write_h5ad(folder / "screen.h5ad")
    same = np.arange(part.n_obs)
    shuffled = np.random.default_rng(0).permutation(part.n_obs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mudata announces its own changes of defaults
        import mudata

        mudata.MuData(one_modality(part, same)).write(folder / "one.h5mu")
        mudata.MuData(guide_modality(part, shuffled)).write(folder / "two.h5mu")
    k = part.obsm["cnmf_usage"].shape[1]
    write_cnmf(part, folder / "cnmf", same, f"k_{k}.dt_0_5")
    tables = write_tables(part, folder, shuffled)
    usage = pd.DataFrame(part.obsm["cnmf_usage"], part.obs_names, program_names(part))
    usage.to_csv(folder / "usage.tsv", sep="\t")
    columns = ",".join(part.obsm["covar"].columns)
    return {
        "h5ad": ["data=h5ad", f"data.path={folder}/screen.h5ad"],
        "h5mu": ["data=h5mu", f"data.path={folder}/one.h5mu", f"data.covar_columns=[{columns}]"],
        "h5mu, guides apart": [
            "data=h5mu",
            f"data.path={folder}/two.h5mu",
            "data.usage_modality=gene",
            "data.usage_key=cnmf_usage",
            "data.guide_layer=assigned",
        ],
        "cnmf": [
            "data=cnmf",
            f"data.folder={folder}/cnmf",
            f"data.screen={folder}/screen.h5ad",
            f"data.k={k}",
        ],
        "guide_tables": [
            "data=guide_tables",
            f"data.usage={folder}/usage.tsv",
            *[f"data.{key}={path}" for key, path in tables.items()],
            "data.guide_threshold=2",
        ],
    }


Run = Callable[[list[str], tuple[str, ...]], Path]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run some stages on a source, once; the folder."""
    done: dict[tuple[str, ...], Path] = {}

    def run_stages(words: list[str], stages: tuple[str, ...]) -> Path:
        asked = (*words, *stages)
        if asked not in done:
            folder = project_folder(tmp_path_factory.mktemp("sources") / "project")
            with pytest.MonkeyPatch.context() as patch:
                for stage in stages:
                    run_stage(patch, folder, stage, *words, *QUICK)
            done[asked] = folder
        return done[asked]

    return run_stages


@pytest.mark.usefixtures("unrendered")
def test_from_the_command_line_to_the_report(sources: dict[str, list[str]], run: Run) -> None:
    folder = run(sources["h5ad"], STAGES)
    results = pd.read_csv(folder / "reports" / "results.csv")
    assert list(results["target"].unique()) == ["CUL3", "MYC", "STAT1"]
    stat1 = results.set_index(["target", "program"]).loc[("STAT1", "program_2")]
    assert stat1["effect"] < -2
    assert stat1["p_value"] < 1e-10
    page = (folder / "reports" / "index.html").read_text(encoding="utf-8")
    for words in ("saddlepoint", "single non-targeting guides", "guides only", "carried by one"):
        assert words in page
    write_back(sources["h5ad"][1].removeprefix("data.path="), folder)


def write_back(source: str, folder: Path) -> None:
    """`python scripts/write_back.py IN OUT`; what is read back is what the tables hold."""
    code = runpy.run_path(str(ROOT / "scripts" / "write_back.py"))
    target = folder / "with_results.h5ad"
    assert code["main"]([source, str(target), "--reports", str(folder / "reports")]) == 0
    uns = anndata.read_h5ad(target).uns
    results = pd.read_parquet(folder / "reports" / "results.parquet")
    np.testing.assert_array_equal(uns["programde_results"]["p_value"], results["p_value"])
    expected = results.pivot(index="program", columns="target", values="effect")
    matrix = uns["programde_effect"]
    np.testing.assert_array_equal(matrix, expected.loc[matrix.index, matrix.columns])
    assert len(uns["programde_omnibus"]) == 3


@pytest.mark.parametrize("name", ["h5mu", "h5mu, guides apart", "cnmf", "guide_tables"])
def test_every_source_gives_the_same_results(
    name: str, sources: dict[str, list[str]], run: Run
) -> None:
    first, other = (run(sources[source], ("prepare", "crt")) for source in ("h5ad", name))
    expected, found = (CRTResult.load(folder / "data" / "crt") for folder in (first, other))
    assert found.programs == expected.programs
    order = [found.units.index(unit) for unit in expected.units]
    for values in ("effect", "effect_se", "n_treated", "n_control", "p_max"):
        mine, theirs = getattr(found, values)[order], getattr(expected, values)
        np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(found.null.n_abs_ge[order], expected.null.n_abs_ge)
    np.testing.assert_allclose(found.null.sd[order], expected.null.sd, rtol=1e-6)  # sums in float32
    for table, keys in (("units", ["target"]), ("guide_concordance", ["target", "program"])):
        ours, theirs = (
            pd.read_csv(folder / "reports" / f"{table}.csv").set_index(keys).sort_index()
            for folder in (other, first)
        )
        pd.testing.assert_frame_equal(ours, theirs, rtol=1e-9, atol=1e-12)
