"""The examples of the pictures and of what stands behind them run as they are written."""

import doctest
import importlib

import pytest

MODULES = [
    "programde.analysis.gene_sets",
    "programde.io.control_pairs",
    "programde.report.contrasts",
    "programde.report.effect_plots",
    "programde.report.hit_plots",
    "programde.report.positive_controls",
    "programde.report.power_plots",
    "programde.report.qq_plots",
    "programde.report.similarity",
    "programde.report.summary_plots",
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted
    assert not found.failed
