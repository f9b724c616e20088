"""The page for those who come from the original: its code runs, its names exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import programde as pde

PAGE = Path(__file__).parents[2] / "docs" / "from-the-original.md"


def test_the_code_on_the_page_runs(adata):
    space = {"adata": adata}
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        exec(block, space)
    assert space["out"]["control"].kind == "nt_cells"
    assert space["out"]["betas_df"].shape == (8, 5)


@pytest.mark.parametrize(
    "name",
    [
        "ntc_labels",
        "control",
        "adjust",
        "calibration",
        "progress",
        "return_format",
        "null_method",
        "genes",
    ],
)
def test_options_on_the_page_exist(name):
    import inspect

    assert name in inspect.signature(pde.run_all_genes_union_crt).parameters
    assert name in PAGE.read_text(encoding="utf-8")


def test_null_options_on_the_page_exist():
    from programde.compat.empirical import NULL_KEYS
    from programde.controls.options import ControlUnitOptions

    text = PAGE.read_text(encoding="utf-8")
    for name in ("finite_population_correction", "combine_method", "gene_statistic"):
        assert name in (*NULL_KEYS, *ControlUnitOptions.__dataclass_fields__)
        assert name in text
