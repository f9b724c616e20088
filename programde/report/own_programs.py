"""Positive controls that a screen brings along: targets whose own gene leads a program."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from programde.report.checked_tables import need_columns

#: A gene leads a program where it is among so many of its first genes.
LEADING = 25


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


def own_programs(results: pd.DataFrame, ranks: pd.DataFrame, *, level: float) -> pd.DataFrame:
    """The tests of targets on the programs that their own gene leads.

    Returns
    -------
    DataFrame
        target, program, rank, effect, p_value, q_value (and condition, guide where there are
        such), tests that were done only, the best rank first.
    """
    need_columns(results, ("target", "program", "effect", "p_value", "q_value"), "results table")
    columns = ["condition", "guide", "target", "program", "effect", "p_value", "q_value"]
    done = results.loc[results["p_value"].notna(), [c for c in columns if c in results]]
    found = done.merge(ranks, on=["target", "program"])
    return found.sort_values(["rank", "p_value"], kind="stable", ignore_index=True)


def in_words(found: pd.DataFrame, n_targets: int, level: float) -> str:
    """How many of them were found, against how many by chance."""
    if not len(found):
        return f"None of the {n_targets:,} targets is a gene that leads a program."
    hit = (found["q_value"] <= level).to_numpy()
    down = int((hit & (found["effect"] < 0)).sum())
    up = int(hit.sum()) - down
    of = found["target"].nunique()
    small = float(np.mean(found["p_value"] <= 0.05))
    return (
        f"{of:,} of {n_targets:,} targets are genes that lead a program themselves, which makes "
        f"{len(found):,} tests that should show something if the perturbation works: "
        f"{100 * small:.0f} % of them have p ≤ 0.05 (5 % by chance), {int(hit.sum()):,} have "
        f"q ≤ {level:g}, {down:,} down and {up:,} up. Where guides lower their gene, down is "
        "expected."
    )
