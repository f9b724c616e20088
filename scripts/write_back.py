"""Copy a screen's file with the results in it: python scripts/write_back.py IN OUT."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd

from programde.errors import InputError, ProgramDEError
from programde.screen.write_back import write_back_file


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", help="the screen, .h5ad or .h5mu")
    parser.add_argument("target", help="the copy to write, of the same kind")
    parser.add_argument("--reports", default="reports", help="folder of results.parquet")
    options = parser.parse_args(arguments)
    folder = Path(options.reports)
    try:
        if not (folder / "results.parquet").is_file():
            raise InputError(
                f"{folder} holds no results.parquet: run the pipeline, or name the folder of a "
                "sweep's point by --reports"
            )
        results = pd.read_parquet(folder / "results.parquet")
        omnibus = folder / "omnibus.csv"
        table = None
        if omnibus.exists():
            table = pd.read_csv(omnibus, float_precision="round_trip")
        print(write_back_file(options.source, options.target, results, table))
    except (ProgramDEError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
