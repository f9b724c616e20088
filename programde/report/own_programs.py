"""Targets whose own gene leads a program: positive controls that a screen brings along."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

#: A gene leads a program where it is among so many of its first genes, and among the first tenth.
LEADING = 25


def n_leading(n_genes: int) -> int:
    """How many genes lead each program, of so many that have a weight; three at least."""
    return max(3, min(LEADING, n_genes // 10))


def own_gene_ranks(ranked: dict[str, list[str]], targets: Sequence[str]) -> pd.DataFrame:
    """Which targets' own genes lead which programs.

    Parameters
    ----------
    ranked
        Program -> its leading genes, the first ones first (`screen.spectra.top_genes`).
    targets
        Names of targets; one that is no gene leads nothing.

    Returns
    -------
    DataFrame
        target, program, rank (from 1).
    """
    wanted = set(targets)
    rows = [
        (gene, program, place)
        for program, genes in ranked.items()
        for place, gene in enumerate(genes, 1)
        if gene in wanted
    ]
    return pd.DataFrame(rows, columns=["target", "program", "rank"])
