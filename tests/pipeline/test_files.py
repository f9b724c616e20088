"""Tables as text: the same whoever writes them."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd
import pytest

from pipeline import files
from programde import forks


@pytest.fixture
def table():
    numbers = np.random.default_rng(2).normal(size=1050) * np.logspace(-300, 300, 1050)
    words = ["a", 'quoted "b"', "", None, "ü, line\nbreak"] * 210
    return pd.DataFrame({"target": words, "effect": numbers, "n": np.arange(1050) % 7})


@pytest.mark.parametrize("dies", [False, True])
def test_a_long_table_is_written_in_pieces(table, tmp_path, monkeypatch, dies):
    monkeypatch.setattr(files, "PIECE", 100)
    monkeypatch.setattr(forks, "core_count", lambda: 2)
    driver, to_csv = os.getpid(), pd.DataFrame.to_csv

    def killed_elsewhere(rows, *where, **how):
        to_csv(rows, *where, **how)
        if dies and os.getpid() != driver:
            os._exit(9)

    monkeypatch.setattr(pd.DataFrame, "to_csv", killed_elsewhere)
    files.write_table(table, tmp_path / "results.csv")
    monkeypatch.undo()
    files.write_table(table, tmp_path / "plain.csv")
    assert (tmp_path / "results.csv").read_bytes() == (tmp_path / "plain.csv").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"results.csv", "plain.csv"}
