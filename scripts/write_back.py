"""Copy a screen's file with the results in it: python scripts/write_back.py IN OUT."""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the checkout: pipeline/ is not installed

from pipeline.files import read_table
from programde.errors import InputError, ProgramDEError, ProgramDEWarning
from programde.io.write_back import write_back_file


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", help="the screen, .h5ad or .h5mu")
    parser.add_argument("target", help="the copy to write, of the same kind")
    parser.add_argument(
        "--reports", default="reports", help="folder of results.parquet: reports (the default), "
        "or, of a sweep's point, sweeps/points/ID/reports"
    )  # fmt: skip
    parser.add_argument(
        "--force", action="store_true", help="write even where the file seems another screen's"
    )
    options = parser.parse_args(arguments)
    folder = Path(options.reports)
    try:
        if not (folder / "results.parquet").is_file():
            raise InputError(
                f"{folder} holds no results.parquet: run the pipeline, or name the folder of a "
                "sweep's point by --reports"
            )
        results = read_table(folder / "results.parquet")
        omnibus = folder / "omnibus.csv"
        table = read_table(omnibus) if omnibus.exists() else None
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ProgramDEWarning)
            written = write_back_file(
                options.source, options.target, results, table, check=not options.force
            )
        for warning in caught:
            if issubclass(warning.category, ProgramDEWarning):
                print(f"warning: {warning.message}", file=sys.stderr)
        print(written)
    except (ProgramDEError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
