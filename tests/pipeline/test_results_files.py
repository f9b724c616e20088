"""Results as files: parquet by condition where large, CSV as far as asked."""

from __future__ import annotations

import pandas as pd
import pytest

import pipeline.stages.results_files as results_files
from pipeline.files import read_table
from tests.test_large_tables import a_table


@pytest.mark.parametrize("levels", [["all"], ["D1", "D3"]])
def test_large_results(levels, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(results_files, "LARGE", 100)
    table = a_table(levels)
    small = table.head(90)
    for some in (small, table, table, small):  # one takes the place of the other
        results_files.write_results(some, 50)
        parquet = read_table(results_files.RESULTS)
        exact = 0.0 if some is small else 1e-4
        pd.testing.assert_frame_equal(
            parquet, some.reset_index(drop=True), rtol=exact, atol=0, check_dtype=False
        )
        csv = read_table(results_files.RESULTS_CSV)
        strongest = some.loc[sorted(some["p_value"].nsmallest(50).index)]
        assert csv["p_value"].tolist() == strongest["p_value"].tolist()
        told = capsys.readouterr().err
        assert f"holds the 50 strongest of {len(some):,} rows (report.csv_rows)" in told
        assert ("rounded to four digits" in told) == (some is table)
    assert [path.name for path in tmp_path.joinpath("reports").iterdir()].count("by") == 0
