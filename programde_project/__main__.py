"""The way in: one line where what the command needs is not installed."""

from __future__ import annotations

import importlib.util
import sys


def main() -> None:
    """Run the command line; console script `programde`."""
    if importlib.util.find_spec("click") is None:
        sys.exit("programde: the command needs the pipeline: pip install 'programde[pipeline]'")
    from programde_project.commands import programde

    programde(prog_name="programde")


if __name__ == "__main__":
    main()
