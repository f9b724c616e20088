"""How control p-values are judged: what can be chosen, checked."""

from __future__ import annotations

from dataclasses import dataclass

from programde.option_fields import MANY, check_options, option


@dataclass(frozen=True)
class ReportOptions:
    """The bootstrap behind the intervals of a report, and what its page holds.

    Attributes
    ----------
    n_boot
        Bootstrap samples, over units.
    seed
        Their seed.
    n_opened
        Hits, the strongest first, whose cells, guides and batches the page shows on a click.
    csv_rows
        Rows that the results may have as CSV; of more the strongest are there, and all in parquet.
    gene_sets
        A GMT file of gene sets that the programs' leading genes are held against; None: none.
    """

    n_boot: int = option(1000, minimum=1, maximum=MANY)
    seed: int = option(7, minimum=0)
    n_opened: int = option(300, minimum=0, maximum=5000)
    csv_rows: int = option(1_000_000, minimum=1, maximum=1_000_000_000)
    gene_sets: str | None = option(None, path=True)

    def __post_init__(self) -> None:
        check_options(self)
