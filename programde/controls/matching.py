"""Matching NTC units to a target on how many cells it treats and how much information they hold.

Units are placed in a grid of quantile bins of the real targets: n1 (treated cells), log d with
d = x'M_C x (the information in the treated cells that the covariates leave, M_C = I - QQ'), and,
where asked, pbar (the mean log odds of the propensity). A target is compared with the units of its
own bin; where they are too few, the bins at Manhattan distance 1, 2, ... are added, until there are
enough, or no more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from programde.errors import OptionError, check_keywords
from programde.option_fields import MANY, check_options, option


@dataclass(frozen=True)
class MatchingOptions:
    """How finely units are matched.

    Attributes
    ----------
    n_n1_bins, n_d_bins
        Number of quantile bins of n1 and of log d.
    min_ntc_per_bin
        Neighbouring bins are added until so many NTC units are found: the p-value's floor is one
        over this number. None: 50 for plain pseudo-genes, 500 for exchanged guides, whose
        standardised statistic needs less matching.
    n_pbar_bins
        Number of bins of the mean log odds of the propensity, where that is matched on too
        (`ControlUnitOptions.use_pbar`).
    """

    n_n1_bins: int = option(10, minimum=1, maximum=MANY)
    n_d_bins: int = option(10, minimum=1, maximum=MANY)
    min_ntc_per_bin: int | None = option(None, minimum=1)
    n_pbar_bins: int = option(8, minimum=1, maximum=MANY)

    def __post_init__(self) -> None:
        check_options(self, "matching.")

    @classmethod
    def from_dict(cls, given: Mapping[str, Any] | None) -> MatchingOptions:
        """From names and values; a misspelt name is an OptionError that offers the nearest."""
        given = dict(given or {})
        check_keywords("matching", given, asdict(cls()))
        return cls(**given)


@dataclass(frozen=True)
class MatchingGrid:
    """The inner bin edges of each matching axis."""

    edges: tuple[np.ndarray, ...]

    def place(self, n1: np.ndarray, d: np.ndarray, pbar: np.ndarray | None = None) -> np.ndarray:
        """The bin of each unit on each axis.

        Parameters
        ----------
        n1, d : (R,)
            Treated cells and information.
        pbar : (R,), optional
            Mean log odds; needed where the grid has a third axis.

        Returns
        -------
        (R, axes) int64
        """
        values = [np.asarray(n1, dtype=np.float64), _log(d)]
        if len(self.edges) == 3:
            if pbar is None:
                raise OptionError("matching on pbar needs the units' mean log odds")
            values.append(np.asarray(pbar, dtype=np.float64))
        bins = [
            np.searchsorted(e, v, side="right") for e, v in zip(self.edges, values, strict=True)
        ]
        return np.stack(bins, axis=1).astype(np.int64)


def _log(d: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(np.asarray(d, dtype=np.float64), 1e-300))


def _inner_edges(values: np.ndarray, n_bins: int) -> np.ndarray:
    known = values[np.isfinite(values)]
    if known.size == 0 or n_bins == 1:
        return np.empty(0)
    return np.unique(np.quantile(known, np.linspace(0, 1, n_bins + 1)[1:-1]))


def matching_grid(
    n1: np.ndarray, d: np.ndarray, pbar: np.ndarray | None, options: MatchingOptions
) -> MatchingGrid:
    """Quantile bins of the real targets' n1, log d and (where it is given) pbar, each (G,)."""
    seen = np.asarray(n1) > 0
    edges = [
        _inner_edges(np.asarray(n1, dtype=np.float64)[seen], options.n_n1_bins),
        _inner_edges(_log(d)[seen], options.n_d_bins),
    ]
    if pbar is not None:
        edges.append(_inner_edges(np.asarray(pbar)[seen], options.n_pbar_bins))
    return MatchingGrid(tuple(edges))


@dataclass(frozen=True)
class Match:
    """The NTC units that a target is compared with.

    Attributes
    ----------
    matched : (R,) bool
    radius
        Largest Manhattan distance between bins that was needed.
    fallback
        "" or "all": fewer than the minimum exist, so all of them are used.
    """

    matched: np.ndarray
    radius: int
    fallback: str

    @property
    def floor(self) -> float:
        """The smallest p-value possible, 1 / (R + 1); NaN where no unit is left."""
        n = int(self.matched.sum())
        return 1.0 / (n + 1) if n else float("nan")


def match_units(bins: np.ndarray, wanted: np.ndarray, eligible: np.ndarray, minimum: int) -> Match:
    """Units in the target's bin, or in the nearest bins that hold at least `minimum` together.

    Parameters
    ----------
    bins : (R, axes)
        Bins of the NTC units.
    wanted : (axes,)
        Bin of the target.
    eligible : (R,) bool
        Units that may be used at all (enough treated and control cells).
    minimum
        Number of units wanted.
    """
    distance = np.abs(bins - wanted).sum(axis=1)
    among = np.sort(distance[eligible])
    if among.size == 0:
        return Match(np.zeros(len(bins), dtype=bool), 0, "all")
    radius = int(among[min(minimum, among.size) - 1])
    fallback = "" if among.size >= minimum else "all"
    return Match(eligible & (distance <= radius), radius, fallback)
