"""Power of the settings of a sweep, at one share of switching for all, set by set.

Every setting tested the same sets of control cells with the same known effects (`controls.spikes`),
so that two settings are compared by the difference in each set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from programde.report.power import at_share, shrunk_share

#: Settings whose power differs by no more than this are as good as each other.
ALIKE = 0.02
N_BOOT, SEED = 2000, 0


@dataclass(frozen=True)
class Powers:
    """Power by setting.

    Attributes
    ----------
    share
        Of switching in a change: that of the hits of all settings, drawn towards the usual one.
    mix, scale, switch
        Run -> share of spikes found in each set, over the fold changes: at `share`, at 0 and at 1.
    """

    share: float
    mix: Mapping[str, pd.Series]
    scale: Mapping[str, pd.Series]
    switch: Mapping[str, pd.Series]

    def mean(self, run: str) -> float:
        """Power of a setting; NaN where it was not measured."""
        return float(self.mix[run].mean()) if run in self.mix else float("nan")

    def interval(self, run: str) -> tuple[float, float]:
        """Its 95 % interval, over sets."""
        return _interval(self.mix[run].to_numpy())

    def alike(self, one: str, other: str) -> bool:
        """Whether two settings are not told apart: by `ALIKE` or less, or by chance."""
        if one not in self.mix or other not in self.mix:
            return False
        first, second = self.mix[one], self.mix[other]
        if not first.index.equals(second.index):  # other sets: not paired
            ends = [self.interval(run) for run in (one, other)]
            return ends[0][0] <= ends[1][1] and ends[1][0] <= ends[0][1]
        difference = (first - second).to_numpy()
        low, high = _interval(difference)
        return bool(abs(difference.mean()) <= ALIKE + 1e-12 or low <= 0 <= high)

    def first(self, which: str, runs: list[str]) -> str | None:
        """The run of most power among some at share 0 (``scale``) or 1 (``switch``)."""
        known = {run: float(getattr(self, which)[run].mean()) for run in runs if run in self.mix}
        return max(known, key=lambda run: known[run]) if known else None


def powers_of(tables: Mapping[str, pd.DataFrame], changes: Mapping[str, tuple[float, float]]
              ) -> Powers:  # fmt: skip
    """Power of each setting.

    Parameters
    ----------
    tables
        Run -> its table of spikes found: set, share, fold, found.
    changes
        Run -> sums over its hits of what came by switching of their log fold changes, and of all.
    """
    sums = np.array([pair for pair in changes.values() if np.isfinite(pair).all()]).reshape(-1, 2)
    # the mean, not the sum: settings find the same hits, which are no further evidence
    switched, changed = sums.mean(axis=0) if len(sums) else (0.0, 0.0)
    share = shrunk_share(float(switched), float(changed))
    kept = {run: table for run, table in tables.items() if len(table)}

    def at(wanted: float) -> dict[str, pd.Series]:
        return {run: _by_set(table, wanted) for run, table in kept.items()}

    return Powers(share, at(share), at(0.0), at(1.0))


def _by_set(table: pd.DataFrame, share: float) -> pd.Series:
    wide = table.pivot_table(index="set", columns=["share", "fold"], values="found")
    shares = np.sort(table["share"].unique())
    cube = wide.to_numpy().reshape(len(wide), shares.size, -1)
    return pd.Series(at_share(cube, shares, share).mean(axis=1), wide.index)


def _interval(by_set: np.ndarray) -> tuple[float, float]:
    rng = np.random.default_rng(SEED)
    means = by_set[rng.integers(0, by_set.size, (N_BOOT, by_set.size))].mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)
