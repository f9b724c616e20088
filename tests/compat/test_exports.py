"""What can be imported from `programde`; the original's names stand in `test_signatures`."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import programde as pde

NAMES = [
    "Screen",
    "read_h5ad",
    "screen_from_anndata",
    "RunOptions",
    "OLS",
    "UTest",
    "Bernoulli",
    "StratifiedPermutation",
    "run_targets",
    "run_ntc_groups",
    "calibrate",
    "calibration_metrics",
    "results_table",
    "omnibus_table",
    "write_back",
]


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_is_there_and_documented(name):
    assert name in pde.__all__
    assert name in dir(pde)
    assert (getattr(pde, name).__doc__ or "").strip()


def test_each_public_name_is_imported_from_the_module_that_the_stub_names():
    stub = Path(str(pde.__file__)).with_suffix(".pyi").read_text(encoding="utf-8")
    seen = {
        alias.asname: node.module
        for node in ast.parse(stub).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert sorted(seen) == sorted(pde.__all__)
    for name, module in seen.items():
        home = import_module("programde" if module is None else f"programde.{module}")
        assert getattr(pde, name) is getattr(home, name)


def test_importing_programde_imports_nothing_heavy():
    heavy = ("numpy", "pandas", "scipy", "numba", "anndata", "matplotlib", "sklearn")
    code = f"import sys, programde; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"attribute '?run_everything"):
        pde.run_everything  # noqa: B018
    with pytest.raises(ImportError):
        from programde import run_everything  # noqa: F401
