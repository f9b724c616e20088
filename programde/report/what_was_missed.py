"""What would have been missed: power by known effects in control cells, and target by target."""

from __future__ import annotations

import numpy as np
import pandas as pd

from programde.report.blocks import Block, Table
from programde.report.page import Section
from programde.report.power import (
    ALPHA,
    Curve,
    Missed,
    Power,
    needed,
)

#: Fold changes for which the cells that are needed are told.
FOLDS = (1.2, 1.3, 1.5, 2.0)


def missed_section(
    missed: Missed, seen: pd.DataFrame | None, unit: str, pictures: list[Block]
) -> Section:
    """The part of the page that says what would have been missed.

    Parameters
    ----------
    missed
        Power of the run.
    seen
        As `analysis.detectable.smallest_seen` gives it; None where no test has a standard error.
    unit
        Of the effects.
    pictures
        The power curve, where it was drawn.
    """
    blocks: list[Block] = list(pictures)
    power = missed.power
    lead = f"Power was not measured: {missed.reason}." if power is None else _lead(missed, power)
    if power is not None:
        blocks += [_what_is_assumed(missed, power), _planning(missed, power)]
    if seen is not None and len(seen):
        blocks += [_sentence(seen, unit), _by_target(seen, unit)]
    return Section("What would have been missed", blocks, lead, "missed")


def _lead(missed: Missed, power: Power) -> str:
    curve = power.curve(missed.share)
    size = f"in a target of {missed.n_treated:,} cells, the median"
    if not np.isfinite(curve.smallest):
        return (
            f"{size[0].upper()}{size[1:]}, no fold change up to {curve.folds[-1]:g} is found with "
            f"80 % power: at {curve.folds[-1]:g} it is {100 * curve.power[-1]:.0f} %."
        )
    end = f"{curve.smallest_high:.2f}" if np.isfinite(curve.smallest_high) else "beyond all tried"
    return (
        f"{size[0].upper()}{size[1:]}, a {curve.smallest:.2f}-fold change of a program's mean is "
        f"found with 80 % power (95 % interval {curve.smallest_low:.2f} to {end})."
    )


def _what_is_assumed(missed: Missed, power: Power) -> str:
    scale, switch = power.curve(0.0), power.curve(1.0)
    found = f"Found means p below {ALPHA:g}"
    if f"{power.threshold:.2g}" != f"{ALPHA:.2g}":
        found += f", lowered to {power.threshold:.2g} for what the same sets without effects show"
    return (
        f"Known effects were put into sets of control cells. {missed.share:.0%} of a change is "
        "taken to come by cells that switch on or off, as in this screen's hits (drawn towards "
        f"40 % where these say little). If all cells scaled and none switched, {_fold(scale)}; if "
        f"all of it were switching, {_fold(switch)}. {found}."
    )


def _fold(curve: Curve) -> str:
    if not np.isfinite(curve.smallest):
        return "no fold change that was tried would be found with 80 % power"
    return f"it would take a {curve.smallest:.2f}-fold change"


def _planning(missed: Missed, power: Power) -> Table:
    rows = []
    for fold in FOLDS:
        cells = needed(power, missed.share, missed.n_treated, missed.effective_size, fold)
        shown = f"{cells:,.0f}" if np.isfinite(cells) else "more than these controls allow"
        rows.append((f"{fold:g}", shown))
    frame = pd.DataFrame(rows, columns=["fold", "cells"])
    return Table(
        frame,
        "To plan the next screen",
        "Treated cells per target to find such a change of a program's mean with 80 % power, with "
        "as many control cells as here.",
        {"fold": "fold change", "cells": "treated cells per target"},
    )


def _size(value: float, unit: str) -> str:
    if unit == "log-ratio":
        return f"{np.exp(value):.2g}-fold"
    return f"{value:.2g} ({unit})"


def _sentence(seen: pd.DataFrame, unit: str) -> str:
    of = "guide" if "guide" in seen else "target"
    first = seen.iloc[0]
    return (
        f"{first[of]} ({first['n_treated']:,} cells): only shifts above "
        f"{_size(first['mde80'], unit)} would have been seen."
    )


def _by_target(seen: pd.DataFrame, unit: str) -> Table:
    shown = seen.assign(smallest=[_size(value, unit) for value in seen["mde80"]])
    return Table(
        shown.drop(columns="mde80"),
        "The smallest shift that would have been seen",
        "With 80 % power at this run's own threshold, from the standard errors; the median over "
        "programs, the least sensitive first. Each test's own is in the column mde80 of the "
        "results.",
        {"n_treated": "treated cells", "smallest": "smallest shift"},
        limit=8,
    )
