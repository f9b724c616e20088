"""A wrong word, number or file: one line on stderr, status 1, nothing half-written."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.screen.small_screens import small_adata

from .stages import ROOT, project_folder, run_stage

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good screen, and what goes wrong with files."""
    folder = tmp_path_factory.mktemp("files")
    good = small_adata(n=120)
    good.write_h5ad(folder / "good.h5ad")
    whole = (folder / "good.h5ad").read_bytes()
    (folder / "cut.h5ad").write_bytes(whole[: len(whole) // 3])
    (folder / "text.h5ad").write_text("cell,program\nc1,0.5\n")
    (folder / "nothing.h5ad").touch()
    (folder / "empty").mkdir()
    bare = small_adata(n=120)
    del bare.obsm["cnmf_usage"]
    bare.write_h5ad(folder / "bare.h5ad")
    negative = small_adata(n=120)
    negative.obsm["cnmf_usage"][3, 1] = -0.5
    negative.write_h5ad(folder / "negative.h5ad")
    missing = small_adata(n=120)
    missing.obsm["covar"].iloc[7, 0] = np.nan
    missing.write_h5ad(folder / "missing.h5ad")
    return folder


CASES = [
    (["sampler=bernuli"], ["sampler=bernuli", "did you mean 'bernoulli'"]),
    (["usage.eps_quantile=2"], ["usage.eps_quantile=2", ">= 0 and < 1"]),
    (["data=h5ad", "data.path={}/cut.h5ad"], ["cut.h5ad"]),
    (["data=h5ad", "data.path={}/text.h5ad"], ["text.h5ad"]),
    (["data=h5ad", "data.path={}/nothing.h5ad"], ["nothing.h5ad"]),
    (["data=h5ad", "data.path={}/empty"], ["empty"]),
    (["data=h5ad", "data.path={}/absent.h5ad"], ["absent.h5ad", "does not exist"]),
    (["data=h5ad", "data.path=s3://bucket/x.h5ad"], ["s3://bucket/x.h5ad is an address", "copy"]),
    (["data=h5ad", "data.path=//server/lab/x.h5ad"], ["//server/lab/x.h5ad", "mount point"]),
    (["data=h5ad", "data.path={}/bare.h5ad"], ["cnmf_usage", "obsm"]),
    (["data=h5ad", "data.path={}/negative.h5ad"], ["1 negative value"]),
    (["data=h5ad", "data.path={}/missing.h5ad"], ["1 of 120 values are missing"]),
    (["data=h5ad", "data.path={}/good.h5ad", "data.ntc_labels=[NTCs]"], ["NTCs"]),
    (["data=h5ad", "data.path={}/good.h5ad", "data.batch_key=lane"], ["lane"]),
    (["data=h5mu", "data.path={}/good.h5ad"], ["good.h5ad"]),
    (
        ["data=cnmf", "data.folder={}/empty", "data.screen={}/good.h5ad", "data.k=4"],
        ["empty", "k=4"],
    ),
    (["data=guide_tables", "data.usage={}/empty", "data.assignments={}/text.h5ad",
      "data.guide_metadata={}/text.h5ad"], ["empty"]),
]  # fmt: skip


@pytest.mark.parametrize(("words", "said"), CASES)
def test_one_line_and_nothing_left_behind(
    words: list[str],
    said: list[str],
    files: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    folder = project_folder(tmp_path / "project")
    with pytest.raises(SystemExit) as left:
        run_stage(monkeypatch, folder, "prepare", *[word.format(files) for word in words])
    assert left.value.code == 1
    *warnings, line = capfd.readouterr().err.splitlines()
    assert all(text.startswith(("warning: ", "note: ")) for text in warnings), warnings
    assert line.startswith("prepare: ")
    for word in said:
        assert word in line
    assert not list(folder.glob("data/*"))


@pytest.mark.slow
def test_burden_that_tells_treated_from_control_cells(
    files: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Strata of guide burden hold treated or control cells, never both: nothing to permute."""
    folder = project_folder(tmp_path / "project")
    words = ["data=h5ad", f"data.path={files}/good.h5ad", "sampler=stratified_burden"]
    run_stage(monkeypatch, folder, "prepare", *words)
    with pytest.raises(SystemExit):
        run_stage(monkeypatch, folder, "crt", *words, "analysis.control=nt_cells")
    line = capfd.readouterr().err.splitlines()[-1]
    assert line.startswith("crt: burden_key=log1p_non_ntc_guides_per_cell is above 0 in every")
    assert "use a sampler without strata of burden" in line


@pytest.mark.slow
def test_dvc_repro_says_the_same(files: Path, tmp_path: Path) -> None:
    folder = project_folder(tmp_path / "project")
    for code in ("pipeline", "programde"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / code, folder / code, ignore=ignore)
    (folder / ".dvc").mkdir()
    (folder / ".dvc" / "config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    config = folder / "conf" / "config.yaml"
    config.write_text(config.read_text().replace("- data: synthetic ", "- data: h5ad "))
    source = folder / "conf" / "data" / "h5ad.yaml"
    text = source.read_text()
    source.write_text(text.replace("path: ???", f"path: {files / 'cut.h5ad'}"))
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "repro", "prepare"],
        cwd=folder,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=300,
        check=False,
    )
    assert done.returncode != 0
    ours = [line for line in done.stderr.splitlines() if line.startswith("prepare: ")]
    assert len(ours) == 1
    assert "cut.h5ad" in ours[0]
    assert "Traceback" not in done.stderr
    assert not (folder / "data" / "screen").exists()
