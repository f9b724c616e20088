"""How much is missed: power from known effects in sets of control cells, as plain numbers.

A spike is found where its p-value is below `ALPHA`, adjusted for what the p-values of the same sets
without effects say: where their 5 % quantile lies further out than it should, by a factor on the
scale of normal deviates, so must the threshold. Inflation thus earns nothing. Intervals are by
bootstrap over sets, since all tests of a set share its cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from scipy import special

#: A spike is found below this p-value, before the adjustment.
ALPHA = 1e-3
#: Where the p-values without effects are held against the uniform law.
TAIL = 0.05
#: The power that a design asks for.
WANTED = 0.8
#: Share of a log fold change that comes by switching, where a screen's own hits do not say; and how
#: much they must say to count as much as this: a sum of absolute log fold changes.
USUAL_SHARE, USUAL_WEIGHT = 0.4, 3.0
#: Fold change at which power is told.
FOLD = 2.0
N_BOOT = 1000
#: Power is planned at these multiples of the median target's cells.
SIZES = (0.1, 0.3, 1.0, 3.0)


@dataclass(frozen=True)
class Curve:
    """Power against fold change at one share of switching.

    Attributes
    ----------
    folds : (F,) float64
        Ascending.
    power, low, high : (F,) float64
        Share of spikes found, and its 95 % interval.
    smallest, smallest_low, smallest_high : float
        The smallest fold change found with 80 % power and its 95 % interval; infinite where it is
        beyond what was tried; the smallest one tried where that is found already.
    mean, mean_low, mean_high : float
        Power averaged over the fold changes tried.
    """

    folds: np.ndarray
    power: np.ndarray
    low: np.ndarray
    high: np.ndarray
    smallest: float
    smallest_low: float
    smallest_high: float
    mean: float
    mean_low: float
    mean_high: float


class Power:
    """Power of a run, from the table of its spikes.

    Parameters
    ----------
    table
        As `analysis.spiked_controls.spike_table` gives it.
    smallest_p
        The smallest p-value that the calibration can give.
    seed, n_boot
        Of the bootstrap over sets.

    Attributes
    ----------
    inflation : float
        By how much unspiked p-values exceed what they should on the scale of normal deviates, at
        least 1.
    threshold : float
        The p-value below which a spike is found.
    folds : (F,) float64
        The fold changes that were tried, ascending.
    why_not : str
        Why there is no power to tell; empty where there is.
    found : DataFrame
        set, share, fold, found: the share of a set's spikes that were found, over its programs and
        both directions.
    """

    def __init__(
        self, table: pd.DataFrame, smallest_p: float = 0.0, seed: int = 0, n_boot: int = N_BOOT
    ):
        spiked = table["fold"] > 1
        plain = table.loc[~spiked, "p_value"].dropna().to_numpy()
        self.inflation = inflation(plain)
        self.threshold = float(2 * special.ndtr(special.ndtri(ALPHA / 2) * self.inflation))
        self._spikes = table[spiked & table["p_value"].notna()]
        self.why_not = ""
        if self._spikes.empty:
            self.why_not = "no set with known effects could be tested"
        elif smallest_p > self.threshold:
            self.why_not = (
                f"raw p-values of these draws end at {smallest_p:.2g}, above the threshold of "
                f"{self.threshold:.2g}: take more draws, or another calibration"
            )
        hits = self._spikes.assign(found=self._spikes["p_value"] < self.threshold)
        by = ["set", "share", "fold"]
        self.found: pd.DataFrame = hits.groupby(by)["found"].mean().reset_index()
        sets = np.sort(self.found["set"].unique())
        self._shares = np.sort(self.found["share"].unique())
        self.folds = np.sort(self.found["fold"].unique())
        cube = self.found.set_index(by)["found"].reindex(
            pd.MultiIndex.from_product([sets, self._shares, self.folds])
        )
        self._cube = cube.to_numpy().reshape(sets.size, self._shares.size, self.folds.size)
        rng = np.random.default_rng(seed)
        self._weights = rng.multinomial(max(sets.size, 1), np.full(sets.size, 1 / sets.size), n_boot
                                        ) if sets.size else np.empty((0, 0))  # fmt: skip

    def curve(self, share: float) -> Curve:
        """Power at a share of switching, linear between those that were tried."""
        by_set = at_share(self._cube, self._shares, share)
        power = by_set.mean(axis=0)
        samples = self._weights @ by_set / by_set.shape[0]
        low, high = np.quantile(samples, (0.025, 0.975), axis=0)
        smallest = smallest_folds(self.folds, samples)
        # quantiles of what may be infinite: no interpolation between samples
        ends = np.quantile(smallest, (0.025, 0.975), method="nearest")
        means = np.quantile(samples.mean(axis=1), (0.025, 0.975))
        return Curve(
            self.folds,
            power,
            low,
            high,
            smallest_fold(self.folds, power),
            float(ends[0]),
            float(ends[1]),
            float(power.mean()),
            float(means[0]),
            float(means[1]),
        )

    def planned(self, share: float, sizes: Sequence[float] | np.ndarray) -> np.ndarray:
        """Power (sizes, F) at other effective sizes, given as multiples of the sets'.

        A spike's shift of the statistic, in standard deviations of its null law, grows with the
        square root of the effective size n1 n0 / (n1 + n0); the statistic is taken as normal.
        """
        z = -special.ndtri(self.threshold / 2)
        spikes = self._spikes
        share_of = np.searchsorted(self._shares, spikes["share"])
        cell = share_of * self.folds.size + np.searchsorted(self.folds, spikes["fold"])
        n_cells = self._shares.size * self.folds.size
        count = np.bincount(cell, minlength=n_cells)
        shift = spikes["shift"].abs().to_numpy()
        powers = []
        for root in np.sqrt(sizes):
            power = special.ndtr(shift * root - z) + special.ndtr(-shift * root - z)
            mean = np.bincount(cell, power, n_cells) / np.maximum(count, 1)
            powers.append(mean.reshape(1, self._shares.size, -1))
        return at_share(np.concatenate(powers), self._shares, share)

    def metrics(self, share: float) -> dict[str, float]:
        """What is recorded of a run: power with `scale`, `switch` and `mix` (at `share`)."""
        numbers = {"threshold": self.threshold, "inflation": self.inflation, "share": share}
        for name, at in (("mix", share), ("scale", 0.0), ("switch", 1.0)):
            curve = self.curve(at)
            numbers[name] = curve.mean
            numbers[f"fold2_{name}"] = power_at(curve, FOLD)
            numbers[f"mde80_{name}"] = curve.smallest
            if name == "mix":
                numbers |= {"mix_low": curve.mean_low, "mix_high": curve.mean_high}
        return numbers


def inflation(p: np.ndarray) -> float:
    """How far out the 5 % quantile of null p-values lies, as a factor on normal deviates; >= 1."""
    if p.size == 0:
        return 1.0
    at = max(float(np.quantile(p, TAIL)), 1e-300)
    return max(1.0, float(special.ndtri(at / 2) / special.ndtri(TAIL / 2)))


def at_share(cube: np.ndarray, shares: np.ndarray, share: float) -> np.ndarray:
    """(sets, shares, folds) -> (sets, folds) at one share, linear between those tried."""
    place = float(np.interp(share, shares, np.arange(shares.size)))
    below = int(place)
    above = min(below + 1, shares.size - 1)
    return np.asarray(cube[:, below] + (place - below) * (cube[:, above] - cube[:, below]))


def smallest_fold(folds: np.ndarray, power: np.ndarray, wanted: float = WANTED) -> float:
    """The smallest fold change with the wanted power, on the log scale between those tried."""
    return float(smallest_folds(folds, power[None], wanted)[0])


def smallest_folds(folds: np.ndarray, power: np.ndarray, wanted: float = WANTED) -> np.ndarray:
    """`smallest_fold` (n,) of each of n curves, power (n, F); infinite where none has it."""
    power = np.maximum.accumulate(power, axis=1)
    above = np.argmax(power >= wanted, axis=1)
    below = np.maximum(above - 1, 0)
    rows = np.arange(len(power))
    low, high = power[rows, below], power[rows, above]
    logs = np.log(folds)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(above > 0, (wanted - low) / (high - low), 0.0)
    found = np.exp(logs[below] + share * (logs[above] - logs[below]))
    found = np.where(above == 0, folds[0], found)
    return np.where(power[:, -1] < wanted, np.inf, found)


def power_at(curve: Curve, fold: float) -> float:
    """Power at a fold change, on the log scale between those tried; that of the nearest beyond."""
    return float(np.interp(np.log(fold), np.log(curve.folds), curve.power))


def shrunk_share(switched: float, changed: float) -> float:
    """Share of switching of a screen's hits, drawn towards the usual one.

    Parameters
    ----------
    switched, changed
        Sums over hits of the log fold change that came by switching, and of all of it.
    """
    return (switched + USUAL_SHARE * USUAL_WEIGHT) / (changed + USUAL_WEIGHT)


def needed(
    power: Power,
    share: float,
    n_treated: int,
    effective_size: float,
    fold: float,
    wanted: float = WANTED,
) -> float:
    """Treated cells per target to find a fold change with the wanted power.

    Parameters
    ----------
    power, share
        Of the run, at this share of switching.
    n_treated, effective_size
        Of the sets: n1, and n1 n0 / (n1 + n0), which give the number of controls.
    fold
        The fold change; beyond those tried, the nearest.

    Returns
    -------
    float
        Infinite where no number of treated cells beside these controls is enough.
    """
    multiples = np.geomspace(1e-3, 1e3, 121)
    logs = np.log(power.folds)
    at = np.array([np.interp(np.log(fold), logs, row) for row in power.planned(share, multiples)])
    if at[-1] < wanted:
        return float("inf")
    place = int(np.argmax(at >= wanted))
    multiple = multiples[0]
    if place:
        part = (wanted - at[place - 1]) / (at[place] - at[place - 1])
        multiple = multiples[place - 1] * (multiples[place] / multiples[place - 1]) ** part
    return treated_cells(float(multiple * effective_size), controls(n_treated, effective_size))


def controls(n_treated: int, effective_size: float) -> float:
    """n0 of n1 and n1 n0 / (n1 + n0); infinite where these are the same."""
    if effective_size >= n_treated:
        return float("inf")
    return n_treated * effective_size / (n_treated - effective_size)


def treated_cells(effective_size: float, n_control: float) -> float:
    """n1 of n1 n0 / (n1 + n0) and n0; infinite where it would have to be."""
    if effective_size >= n_control:
        return float("inf")
    return effective_size / (1.0 - effective_size / n_control)


@dataclass(frozen=True)
class Missed:
    """What is known of a run's power.

    Attributes
    ----------
    table
        As `analysis.spiked_controls.spike_table` gives it; None where there is none.
    why_not
        Why there is none.
    n_treated, effective_size
        Of the median target; n1 and n1 n0 / (n1 + n0).
    smallest_p
        The smallest p-value that the calibration can give.
    switched, changed
        Over the run's hits: how much of their log fold changes came by switching, and all of it.
    """

    table: pd.DataFrame | None = None
    why_not: str = ""
    n_treated: int = 0
    effective_size: float = 0.0
    smallest_p: float = 0.0
    switched: float = 0.0
    changed: float = 0.0

    @cached_property
    def power(self) -> Power | None:
        """Power by spikes; None where there is nothing to tell."""
        if self.table is None:
            return None
        power = Power(self.table, self.smallest_p)
        return None if power.why_not else power

    @property
    def share(self) -> float:
        """Share of a change that comes by switching, of the run's hits."""
        return shrunk_share(self.switched, self.changed)

    @property
    def reason(self) -> str:
        """Why there is no power to tell."""
        if self.table is None:
            return self.why_not
        return Power(self.table, self.smallest_p).why_not

    def metrics(self) -> dict[str, float]:
        """What is recorded of a run; empty where there is no power to tell."""
        if self.power is None:
            return {}
        hits = {"hits_switched": self.switched, "hits_changed": self.changed}
        return self.power.metrics(self.share) | hits

    def planned(self) -> list[tuple[int, float]]:
        """Numbers of treated cells with the multiple of the effective size that they make."""
        n = self.n_treated
        sizes = sorted({max(round(n * multiple), 2) for multiple in SIZES})
        n_control = controls(n, self.effective_size)
        return [(size, 1 / (1 / size + 1 / n_control) / self.effective_size) for size in sizes]
