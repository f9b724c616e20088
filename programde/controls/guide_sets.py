"""Sets of NTC guides: pseudo-genes, guide exchanges, and the split into null and held-out guides.

A pseudo-gene is a set of m of the M NTC guides. Sets are drawn without replacement of guides
within a set; different sets may share guides. Where no more than the number asked exist, each
possible set is taken once; otherwise the sets drawn are all different, so that R sets never stand
for fewer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from programde.errors import InputError, OptionError
from programde.streams import generator

_CHUNK = 4_000_000  # random numbers held at a time


def distinct_sets(
    n_items: int, size: int, n_sets: int, rng: np.random.Generator, without: Sequence[int] = ()
) -> np.ndarray:
    """Different sets of `size` of the numbers 0 .. n_items - 1, each equally likely.

    Parameters
    ----------
    n_items, size
        Size of the pool and of a set.
    n_sets
        Number of sets; all possible ones come back, in order, where fewer exist.
    rng
        Random stream.
    without
        One set that is left out.

    Returns
    -------
    (R, size) int64
        Sets in rows, members ascending.
    """
    left_out = np.sort(np.asarray(without, dtype=np.int64))
    possible = math.comb(n_items, size) - (left_out.size == size)
    if possible <= 4 * n_sets:
        every = np.array(list(combinations(range(n_items), size)), dtype=np.int64)
        every = every.reshape(-1, size)
        if left_out.size == size:
            every = every[(every != left_out).any(axis=1)]
        if possible <= n_sets:
            return every
        return every[np.sort(rng.choice(possible, size=n_sets, replace=False))]
    found = np.empty((0, size), dtype=np.int64)
    while len(found) < n_sets:
        batch = max(1, min(n_sets - len(found) + 16, _CHUNK // n_items))
        keys = rng.random((batch, n_items))
        drawn = np.sort(np.argpartition(keys, size - 1, axis=1)[:, :size], axis=1)
        if left_out.size == size:
            drawn = drawn[(drawn != left_out).any(axis=1)]
        both = np.concatenate([found, drawn])
        first = np.unique(both, axis=0, return_index=True)[1]
        found = both[np.sort(first)]
    return found[:n_sets]


def pseudogene_sets(
    ntc_guides: Sequence[str], guides_per_unit: int = 6, n_ntc_units: int = 5000, seed: int = 0
) -> list[tuple[str, ...]]:
    """Pseudo-genes: sets of NTC guides; a guide may be in several sets, and once in each.

    Parameters
    ----------
    ntc_guides
        Names of the NTC guides; their order does not matter.
    guides_per_unit
        Guides per set.
    n_ntc_units
        Number of sets; all sets are different, so fewer come back where fewer exist.
    seed
        Seed.

    Returns
    -------
    list of tuples of guide names

    Raises
    ------
    InputError
        Fewer NTC guides than `guides_per_unit`.
    """
    names = sorted(set(ntc_guides))
    check_unit_size(len(names), guides_per_unit)
    rng = generator(seed, "ntc_units", str(len(names)), str(guides_per_unit))
    sets = distinct_sets(len(names), guides_per_unit, n_ntc_units, rng)
    return [tuple(names[i] for i in row) for row in sets.tolist()]


def check_unit_size(n_guides: int, guides_per_unit: int) -> None:
    """Raise an InputError where there are fewer NTC guides than a unit needs."""
    if guides_per_unit < 1:
        raise OptionError(f"guides_per_unit={guides_per_unit} must be at least 1")
    if n_guides < guides_per_unit:
        raise InputError(
            f"guides_per_unit={guides_per_unit} needs as many NTC guides, there are {n_guides}; "
            f"choose guides_per_unit <= {n_guides}"
        )


def disjoint_layers(units: Sequence[Sequence[str]]) -> np.ndarray:
    """Units sorted into layers, each of units that share no guide.

    A unit goes to the first layer where none of its guides occurs. Units that share guides are not
    independent, so only those of one layer count as so many.

    Parameters
    ----------
    units
        Guides of each unit.

    Returns
    -------
    (units,) int64
        Layers from 0.
    """
    layers: list[set[str]] = []
    of_unit = np.empty(len(units), dtype=np.int64)
    for i, unit in enumerate(units):
        guides = set(unit)
        free = (j for j, used in enumerate(layers) if used.isdisjoint(guides))
        j = next(free, len(layers))
        if j == len(layers):
            layers.append(set())
        layers[j] |= guides
        of_unit[i] = j
    return of_unit


@dataclass(frozen=True)
class NTCSplit:
    """NTC guides and units for a cross-fit.

    Attributes
    ----------
    split
        "by guide": no guide of a unit of B occurs in a unit of A. "by pseudo-gene": they share
        guides, because there are too few of them.
    guides_A, guides_B
        NTC guides behind the null and behind the held-out units.
    units_A, units_B
        The units, as tuples of guide names.
    """

    split: str
    guides_A: tuple[str, ...]
    guides_B: tuple[str, ...]
    units_A: list[tuple[str, ...]]
    units_B: list[tuple[str, ...]]


def split_ntc_units(
    ntc_guides: Sequence[str],
    guides_per_unit: int = 6,
    n_ntc_units: int = 5000,
    frac_A: float = 0.5,
    seed: int = 0,
    n_holdout_units: int | None = None,
) -> NTCSplit:
    """Split the NTC into A, which defines the null, and B, which is held out.

    Units that overlap in guides resemble each other more than a new target resembles either, so a
    held-out unit that shares guides with the null looks calibrated when it is not. The guides
    themselves are split wherever both parts can fill a unit (and A can fill more than one).

    Parameters
    ----------
    ntc_guides
        Names of the NTC guides.
    guides_per_unit
        Guides per unit.
    n_ntc_units
        Number of units of A and B together; all different sets where fewer exist.
    frac_A
        Share of guides (or units) that goes to A.
    seed
        Seed.
    n_holdout_units
        At most so many units of B; None: (1 - frac_A) * n_ntc_units.

    Returns
    -------
    NTCSplit
    """
    names = sorted(set(ntc_guides))
    check_unit_size(len(names), guides_per_unit)
    rng = generator(seed, "ntc_split", str(len(names)), str(guides_per_unit))
    n_a = round(frac_A * len(names))
    n_a = min(max(n_a, guides_per_unit + 1), len(names) - guides_per_unit)
    wanted_b = n_ntc_units - round(frac_A * n_ntc_units)
    if n_holdout_units is not None:
        wanted_b = min(wanted_b, n_holdout_units)
    wanted_a = max(1, round(frac_A * n_ntc_units))
    wanted_b = max(1, wanted_b)
    if n_a > guides_per_unit:
        order = [names[i] for i in rng.permutation(len(names))]
        part_a, part_b = sorted(order[:n_a]), sorted(order[n_a:])
        sets_a = distinct_sets(len(part_a), guides_per_unit, wanted_a, rng)
        sets_b = distinct_sets(len(part_b), guides_per_unit, wanted_b, rng)
        how = "by guide"
    else:
        part_a = part_b = names
        sets = distinct_sets(len(names), guides_per_unit, n_ntc_units, rng)
        sets = sets[rng.permutation(len(sets))]
        cut = min(max(1, round(frac_A * len(sets))), max(1, len(sets) - 1))
        sets_a, sets_b = sets[:cut], sets[cut : cut + wanted_b]
        how = "by pseudo-gene"
    return NTCSplit(
        split=how,
        guides_A=tuple(part_a),
        guides_B=tuple(part_b),
        units_A=[tuple(part_a[i] for i in row) for row in sets_a.tolist()],
        units_B=[tuple(part_b[i] for i in row) for row in sets_b.tolist()],
    )
