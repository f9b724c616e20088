"""What each picture of the report shows, as a table: written beside it as CSV."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from programde.report.checked_tables import as_p_vector, tested_column
from programde.report.direct_plots import COLUMNS, by_target
from programde.report.facts import Controls, Inputs, Truth
from programde.report.findings import with_truth
from programde.report.power import Missed
from programde.report.qq import expected_quantiles, neg_log10
from programde.report.similarity import correlations, effect_profiles, program_linkage

#: Rows of a table of tests that are no hits (all are in results.parquet); points of a curve.
MOST, MOST_POINTS = 20_000, 2_000


def of_tests(results: pd.DataFrame, level: float) -> pd.DataFrame:
    """Points of a volcano: every hit, and others by p as far as there is room."""
    of = tested_column(results)
    columns = [of, "program", "effect", "p_value", "q_value"]
    done = results.loc[results["p_value"].notna(), columns]
    hit = (done["q_value"] <= level).to_numpy()
    best = done.sort_values("p_value", kind="stable")
    return best.head(max(MOST, int(hit.sum())))


def of_heatmap(results: pd.DataFrame, level: float) -> pd.DataFrame:
    """Signed -log10 p, one row per target that has a hit (per target where none has), all
    programs."""
    of = tested_column(results)
    score = np.sign(results["effect"]) * neg_log10(results["p_value"])
    long = results[[of, "program"]].assign(score=score)
    wide = long.pivot(index=of, columns="program", values="score")
    found = results.loc[results["q_value"] <= level, of].unique()
    wide = wide.loc[found] if len(found) else wide
    return wide.rename_axis(columns=None).reset_index()


def of_similarity(results: pd.DataFrame, level: float, most: int) -> pd.DataFrame:
    """Correlations of targets' profiles and of programs', each pair once, the first `most`."""
    profiles = effect_profiles(results, level=level)
    parts = []
    for what, table in (("targets", profiles), ("programs", profiles.T)):
        size = (table**2).sum(axis=1).sort_values(ascending=False, kind="stable")
        r = correlations(table.loc[size.index[:most]])
        one, other = np.triu_indices(len(r), 1)
        names = r.index.to_numpy(dtype=object)
        parts.append(
            pd.DataFrame(
                {
                    "of": what,
                    "first": names[one],
                    "second": names[other],
                    "correlation": r.to_numpy()[one, other],
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def of_tree(results: pd.DataFrame, level: float) -> pd.DataFrame:
    """Which programs, or groups of them, meet at which correlation; a group is called by its
    step."""
    tree, names = program_linkage(results, level=level)
    groups = [*names, *(f"step {step}" for step in range(1, len(tree) + 1))]
    rows = [
        (groups[len(names) + step], groups[int(one)], groups[int(other)], 1 - height, int(n))
        for step, (one, other, height, n) in enumerate(tree)
    ]
    return pd.DataFrame(rows, columns=["group", "first", "second", "correlation", "n_programs"])


def of_mirrors(results: pd.DataFrame, level: float, n_targets: int = 4) -> pd.DataFrame:
    """Found and mirrored shifts of the targets that are drawn."""
    of = tested_column(results)
    shown = by_target(results, level).head(n_targets)
    columns = [*[c for c in ("condition", of) if c in results], *COLUMNS]
    return results.loc[results[of].isin(shown[of]), columns]


def of_curves(curves: Mapping[str, object]) -> pd.DataFrame:
    """Points of QQ curves: expected and observed -log10 p; at most `MOST_POINTS` of each curve."""
    parts = []
    for name, values in curves.items():
        p = np.sort(as_p_vector(values, str(name)))
        half = MOST_POINTS // 2  # the smallest, and evenly spread ones of the rest
        at = np.arange(p.size)
        if p.size > MOST_POINTS:
            at = np.union1d(at[:half], np.linspace(half, p.size - 1, half).astype(int))
        expected = expected_quantiles(p.size)[at] if p.size else at
        parts.append(pd.DataFrame({"curve": str(name), "expected": neg_log10(expected),
                                   "observed": neg_log10(p[at])}))  # fmt: skip
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def of_panels(panels: Mapping[str, Mapping[str, object]]) -> pd.DataFrame:
    """The same of several panels."""
    parts = [of_curves(curves).assign(panel=name) for name, curves in panels.items()]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def of_rates(controls: Controls) -> pd.DataFrame:
    """Rates of control tests, with their intervals, by kind of p-value."""
    rows = []
    for kind, numbers in controls.metrics.items():
        kept = {k: v for k, v in numbers.items() if k.startswith("rate_") or k == "n_tests"}
        rows.append({"p_values": kind, **kept})
    return pd.DataFrame(rows)


def of_inputs(inputs: Inputs) -> pd.DataFrame:
    """Treated cells by target, cells by number of guides, share at the floor by program."""
    cells = np.bincount(np.asarray(inputs.guides_per_cell, dtype=np.int64))
    columns = {
        "treated cells": inputs.treated_cells,
        "cells with so many guides": pd.Series(cells),
        "share at the floor": inputs.at_floor,
    }
    parts = [
        pd.DataFrame({"what": what, "name": values.index.astype(str), "value": values.to_numpy()})
        for what, values in columns.items()
    ]
    return pd.concat(parts, ignore_index=True)


def of_power(missed: Missed) -> pd.DataFrame:
    """Power at the median target's size, at three shares of switching."""
    if missed.power is None:
        return pd.DataFrame()
    parts = []
    for share in (missed.share, 0.0, 1.0):
        curve = missed.power.curve(share)
        parts.append(pd.DataFrame({"share_by_switching": share, "fold_change": curve.folds,
                                   "power": curve.power, "low": curve.low,
                                   "high": curve.high}))  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def of_truth(results: pd.DataFrame, truth: Truth) -> pd.DataFrame:
    """Estimated and true effects."""
    table = with_truth(results, truth.effects)
    columns = ["target", "program", "true_effect", "effect", "p_value", "q_value"]
    return table.loc[table["p_value"].notna(), columns]
