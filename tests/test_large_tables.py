"""Tables of millions of rows as parquet: what is read is what was written, to four digits."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import programde.large_tables as large_tables
from programde.large_tables import BITS, read_large, rounded, write_large


def a_table(levels, n=4000):
    rng = np.random.default_rng(0)
    p = 10.0 ** -rng.uniform(0, 300, n)
    p[::7] = np.nan
    table = pd.DataFrame(
        {
            "condition": np.repeat(levels, n // len(levels)),
            "target": np.resize([f"T{j}" for j in range(50)], n),
            "program": np.resize(["7", "NA"], n),
            "p_value": p,
            "effect": rng.normal(size=n) * rng.choice([1.0, 0.0], n),
            "n_treated": rng.integers(1, 3000, n),
            "reason": "",
        }
    )
    return table if len(levels) > 1 else table.drop(columns="condition")


def test_rounding_is_to_the_nearest_and_keeps_what_is_no_number():
    values = np.array([np.nan, np.inf, -np.inf, 0.0, 1.0, -0.75, 5e-324, 1e300, 1e-300, 1 / 3])
    found = rounded(values)
    exact = np.array([1.0, -0.75])
    assert (found[4:6] == exact).all()
    assert np.isnan(found[0])
    assert (found[1:4] == values[1:4]).all()
    assert np.abs(found[6:] / values[6:] - 1).max() <= 2.0 ** -(BITS + 1)
    assert (rounded(found) == found)[1:].all()
    assert rounded(np.array([1 / 3]), 52) == 1 / 3


@pytest.mark.parametrize("levels", [["all"], ["day 1/2", "NA", "D3=x"]])
def test_what_is_read_is_what_was_written(levels, tmp_path, monkeypatch):
    monkeypatch.setattr(large_tables, "GROUP", 700)
    table = a_table(levels, 3999)
    path = tmp_path / "results.parquet"
    write_large(table, path)
    assert path.is_dir() == (len(levels) > 1)
    found = read_large(path)
    pd.testing.assert_frame_equal(found, table, rtol=2.0**-BITS, atol=0, check_dtype=False)
    assert (found.dtypes == table.dtypes).all()
    some = read_large(path, ["target", "p_value"])
    pd.testing.assert_frame_equal(some, found[["target", "p_value"]])


def test_a_row_takes_few_bytes(tmp_path):
    """5,000 targets x 300 programs x 6 conditions of 18 columns of numbers in under 300 MB."""
    table = a_table(["all"], 60_000)[["target", "program"]]
    rng = np.random.default_rng(1)
    for j in range(10):  # as wide as those of a table: the other eight repeat, or are empty
        table[f"x{j}"] = rng.normal(size=len(table)) * 0.02
    write_large(table, tmp_path / "t.parquet")
    assert (tmp_path / "t.parquet").stat().st_size / len(table) < 300e6 / (5000 * 300 * 6)
