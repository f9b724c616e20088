"""The table of results as files: parquet first, CSV as far as that is of use."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.files import replacing, replacing_folder, write_table
from pipeline.stages.entry import note
from pipeline.stages.paths import RESULTS, RESULTS_CSV
from programde.large_tables import BY, write_large

if TYPE_CHECKING:
    import pandas as pd

#: With more rows parquet is rounded and cut by condition: they would take gigabytes.
LARGE = 3_000_000


def write_results(table: pd.DataFrame, csv_rows: int) -> None:
    """Write the results.

    Parameters
    ----------
    table
        A row per target x program (x condition).
    csv_rows
        Rows that the CSV may have; with more it holds the strongest, and a note says so.
    """
    n = len(table)
    if n <= LARGE:
        _make_room(RESULTS, folder=False)
        write_table(table, RESULTS)
    elif BY in table and table[BY].nunique() > 1:
        _make_room(RESULTS, folder=True)
        with replacing_folder(RESULTS) as folder:
            write_large(table, folder / "by")
            for part in sorted((folder / "by").iterdir()):
                part.rename(folder / part.name)
            (folder / "by").rmdir()
    else:
        _make_room(RESULTS, folder=False)
        with replacing(RESULTS) as temporary:
            write_large(table, temporary)
    if n > LARGE:
        note(
            f"{RESULTS} has {n:,} rows: numbers are rounded to four digits there, and all of them "
            "stand in data/crt"
        )
    if n > csv_rows:
        table = table.loc[table["p_value"].nsmallest(csv_rows).index.sort_values()]
        note(
            f"{RESULTS_CSV} holds the {csv_rows:,} strongest of {n:,} rows (report.csv_rows); all "
            f"are in {RESULTS}"
        )
    write_table(table, RESULTS_CSV)


def _make_room(path: Path, folder: bool) -> None:
    """Delete what an earlier run left there of the other kind."""
    if path.is_dir() and not folder:
        shutil.rmtree(path)
    elif path.is_file() and folder:
        path.unlink()
