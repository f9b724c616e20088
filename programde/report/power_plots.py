"""Power against fold change, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator, PercentFormatter

from programde.report.power import WANTED, Power
from programde.report.style import BLUE, GREEN, GREY, VERMILLION, panels, styled

#: Curves cross the whole panel: what they are stands below it.
BENEATH: dict[str, Any] = {
    "loc": "upper center", "bbox_to_anchor": (0.5, -0.17), "fontsize": 7.5, "frameon": False
}  # fmt: skip


@styled
def power_figure(
    power: Power, share: float, n_treated: int, planned: Sequence[tuple[int, float]] = ()
) -> Figure:
    """Power at the median target's size, and planned power at other sizes.

    Parameters
    ----------
    power
        Of the run.
    share
        Share of a change that comes by switching; 0 and 1 are drawn beside it as bounds.
    n_treated
        Treated cells of the median target.
    planned
        Numbers of treated cells with the multiple of the effective size that they make.

    Examples
    --------
    >>> import itertools, pandas as pd
    >>> from programde import pl
    >>> from programde.report.power import Power
    >>> rows = itertools.product(range(4), (0.0, 1.0), (1.0, 1.5, 3.0), range(10))
    >>> table = pd.DataFrame(rows, columns=["set", "share", "fold", "p_value"])
    >>> table = table.assign(shift=1.0)
    >>> table["p_value"] = (table["p_value"] + 0.5) / 10 * (table["fold"] < 3)
    >>> pl.power(Power(table, n_boot=20), 0.4, 120).axes[0].get_title(loc="left")
    '120 treated cells'
    """
    left, right = panels(8.6, 4.1, (1.0, 1.0), right=0.25, below=1.15)
    for at, label, colour in (
        (share, f"{share:.0%} of the change by switching", BLUE),
        (0.0, "none by switching: all cells scale", GREEN),
        (1.0, "all by switching: cells on or off", VERMILLION),
    ):
        curve = power.curve(at)
        left.fill_between(curve.folds, curve.low, curve.high, color=colour, alpha=0.15, linewidth=0)
        left.plot(curve.folds, curve.power, color=colour, marker="o", markersize=4, label=label)
    left.set_title(f"{n_treated:,} treated cells", fontweight="normal")
    left.legend(**BENEATH)
    rows = power.planned(share, [multiple for _, multiple in planned]) if planned else ()
    for number, (cells, _) in enumerate(planned):
        shade = 0.25 + 0.75 * number / max(len(planned) - 1, 1)
        right.plot(power.curve(share).folds, rows[number], color=BLUE, alpha=shade,
                   label=f"{cells:,} cells")  # fmt: skip
    right.set_title("other numbers of treated cells", fontweight="normal")
    if planned:
        right.legend(**BENEATH, ncols=2)
    for ax in (left, right):
        _fold_axes(ax, power.curve(share).folds)
    left.set_ylabel("found")
    return left.get_figure()  # type: ignore[return-value]


def _fold_axes(ax: Axes, folds: np.ndarray) -> None:
    ax.axhline(WANTED, color=GREY, linewidth=0.8, linestyle="--")
    ax.set_xscale("log")
    ax.set_ylim(0, 1.02)
    ax.xaxis.set_major_locator(FixedLocator(folds.tolist()))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:.3g}"))
    ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    ax.set_xlabel("fold change of the mean usage")
