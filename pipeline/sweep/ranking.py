"""The verdict over a sweep: which setting is calibrated, and finds most?

Settings are ranked first by the verdict on their control groups (calibrated, then too few controls
to tell, then conservative, then inflated), then by the share of known effects in control cells that
they find: see `ranking_table`. Everything is read from MLflow, so points that were added later, one
by one or by another sweep, take part.

    python -m pipeline.sweep.ranking              all points on the data of the newest one
    python -m pipeline.sweep.ranking sweep=ID     those of one sweep (id of its MLflow run)
"""

from __future__ import annotations

import sys
from pathlib import Path

from pipeline.config.params import project_root
from pipeline.config.schema import register
from pipeline.files import replacing_folder, write_table
from pipeline.sweep.points import Request, Settings
from pipeline.sweep.ranking_page import PAGE, write_page
from pipeline.sweep.ranking_table import read
from pipeline.sweep.tracking import Tracking
from programde.errors import OptionError, ProgramDEError

FOLDER = Path("reports/sweep")
TABLE = "ranking.csv"
HITS = "hits.csv"


def rank(root: Path, tracking: Tracking, parent: str | None = None) -> Path:
    """Rank points and write the verdict into reports/sweep; the path of its page.

    Parameters
    ----------
    parent
        Run of the sweep whose points are ranked; None for all points on the newest one's data.

    Raises
    ------
    OptionError
        There is no finished point.
    """
    ranking = read(tracking, parent)
    folder = root / FOLDER
    with replacing_folder(folder) as temporary:
        write_table(ranking.table, temporary / TABLE)
        if ranking.hits is not None:
            write_table(ranking.hits, temporary / HITS)
        write_page(ranking, temporary)
    return folder / PAGE


def main() -> None:
    """Run the command line."""
    register()
    try:
        root = project_root()
        parent = None
        for argument in sys.argv[1:]:
            if not argument.startswith("sweep="):
                raise OptionError(f"{argument} is not an option; valid: sweep=ID")
            parent = argument.removeprefix("sweep=")
        settings = Settings(Request([], [], False), root / "conf")
        print(f"ranking: {rank(root, Tracking(root, **settings.tracking), parent)}")
    except ProgramDEError as error:
        print("ranking:", " ".join(str(error).split()), file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
