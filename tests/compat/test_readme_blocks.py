"""The code blocks of the original's readme, run with only the import line changed.

The readme is not part of this repository. Where a copy is at hand (the file that ORIGINAL_README
names, by default the one at `README`) its blocks are taken from there, sizes reduced; elsewhere
these tests are skipped, and `test_readme_calls.py` makes the same calls.
"""

from __future__ import annotations

import ast
import os
import re
import warnings
from pathlib import Path

import pytest

import programde as pde
from tests.compat.conftest import small_screen

BESIDE = Path(__file__).resolve().parents[3]  # the folder that holds the checkout
README = Path(os.environ.get("ORIGINAL_README") or BESIDE / "shared" / "seed.txt")
START = re.compile(r"^(from (src|tests|pathlib)\b|out = run_|resampling_kwargs = )")
SMALLER = {
    "src.sceptre": "programde",
    "src.visualization": "programde",
    "B=1023": "B=49",
    "n_jobs=16": "n_jobs=2",
    "n_jobs=8": "n_jobs=2",
    "n_ntc_units=5000": "n_ntc_units=120",
    "min_ntc_per_bin=50": "min_ntc_per_bin=20",
    "n_ensemble=10": "n_ensemble=3",
    "envelope_boot=200": "envelope_boot=20",
    "n_programs=6": "n_programs=2",
    "N=10000": "N=800",
    "K=20": "K=5",
    "n_target_genes=200": "n_target_genes=10",
}


def blocks(text: str) -> list[str]:
    """The stretches of a text that are Python: from a line that looks it, as far as it parses."""
    lines = text.splitlines()
    found, i = [], 0
    while i < len(lines):
        length = 0
        if START.match(lines[i]):
            for end in range(min(i + 150, len(lines)), i, -1):
                try:
                    ast.parse("\n".join(lines[i:end]))
                except SyntaxError:
                    continue
                length = end - i
                break
        if length:
            found.append("\n".join(lines[i : i + length]))
        i += max(length, 1)
    return found


@pytest.mark.slow
@pytest.mark.skipif(not README.is_file(), reason="no copy of the original's readme is at hand")
def test_every_code_block_runs_with_only_the_import_line_changed(tmp_path, monkeypatch):
    import matplotlib.pyplot as plt

    monkeypatch.chdir(tmp_path)
    sources = blocks(README.read_text(encoding="utf-8"))
    assert len(sources) == 11
    adata = small_screen()
    space = {"adata": adata, "inputs": pde.prepare_crt_inputs(adata)}
    opened: list[int] = []
    monkeypatch.setattr(plt, "show", lambda: opened.extend(plt.get_fignums()))
    for number, source in enumerate(sources):
        for large, small in SMALLER.items():
            source = source.replace(large, small)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            exec(compile(source, f"block {number}", "exec"), space)
        if "make_ntc_empirical_qq_plots(" in source:
            names = {path.name for path in (tmp_path / "results" / "qq_ntc").glob("*.png")}
            assert "qq_ntc_empirical_genelevel_meta.png" in names
            assert sum("program_" in name for name in names) == 2
            per_batch = tmp_path / "results" / "qq_ntc" / "per_batch"
            assert {path.name for path in per_batch.iterdir()} == {"B1", "B2"}
            assert (per_batch / "B1" / "qq_ntc_empirical_genelevel.png").is_file()
    assert opened, "plt.show() had nothing to show"
    plt.close("all")
