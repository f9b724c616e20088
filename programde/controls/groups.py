"""Groups of non-targeting (NTC) guides that look like real targets.

A real target is the union of several guides, so a single NTC guide is no fair control for it: it
treats fewer cells. Control units are therefore groups of `group_size` NTC guides. The NTC guides
are partitioned into such groups (no guide twice in a partition), and each group follows the
guide-frequency signature of a real target: the bins of how often that target's guides are seen.
Several partitions (an ensemble) use the guides in several combinations.

The frequency of a guide is the fraction of cells in which it is present, not its counts.

Within a partition the guides are handed to the places of the signatures by the assignment of
least total distance between bins (Kuhn, Naval Research Logistics Quarterly 1955, 2:83), ties
broken at random, so no group is left with what the others did not want.

A group's name is a hash of its sorted guide names: the same guides drawn in two partitions are
one unit, computed once.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import sparse

from programde.errors import InputError, OptionError, ProgramDEWarning
from programde.screen.control_labels import resolved
from programde.screen.screen import Screen, Unit
from programde.streams import generator

Signature = tuple[int, ...]


class GroupInputs(NamedTuple):
    """What the grouping needs.

    Attributes
    ----------
    ntc_guides
        Names of the NTC guides that are seen, in column order.
    frequency
        Guide name -> fraction of cells that hold it.
    bins
        Guide name -> frequency bin.
    signatures
        One signature of `group_size` bins per real target, in order of first appearance.
    """

    ntc_guides: list[str]
    frequency: dict[str, float]
    bins: dict[str, int]
    signatures: list[Signature]


def group_unit_name(guides: Iterable[str]) -> str:
    """The canonical name of a group of guides: the same for the same set, in any order.

    Examples
    --------
    >>> group_unit_name(["g2", "g1"]) == group_unit_name(["g1", "g2"])
    True
    """
    digest = hashlib.blake2b(digest_size=8, person=b"ntc-group")
    for guide in sorted({str(g) for g in guides}):
        raw = guide.encode("utf-8", "surrogatepass")
        digest.update(len(raw).to_bytes(4, "little") + raw)
    return f"ntc:{digest.hexdigest()}"


def ntc_columns(
    guide_names: Sequence[str], guide_to_target: Mapping[str, str], ntc_label: str | Iterable[str]
) -> list[int]:
    """Columns of the guides whose target is one of the NTC labels.

    Parameters
    ----------
    guide_names
        Names of the guides, in column order.
    guide_to_target
        Target of each guide.
    ntc_label
        One label or several, also patterns (``NTC_*``); labels that no guide has are ignored.

    Raises
    ------
    InputError
        Where no guide has any of the labels; the message lists the labels that exist.
    """
    labels = set(resolved(list(dict.fromkeys(guide_to_target.values())), ntc_label))
    columns = [c for c, g in enumerate(guide_names) if guide_to_target.get(g) in labels]
    if not columns:
        targets = sorted({str(guide_to_target[g]) for g in guide_names if g in guide_to_target})
        shown = ", ".join(targets[:20]) + (f", ... ({len(targets)})" if len(targets) > 20 else "")
        raise InputError(
            f"no guide has an NTC label among {sorted(labels)}; "
            f"labels that exist: {shown or 'none'}; give one of them as the NTC label"
        )
    return columns


def guide_frequencies(guides: sparse.spmatrix | np.ndarray) -> np.ndarray:
    """Fraction of cells in which each guide is present; stored zeros and counts do not matter.

    Parameters
    ----------
    guides : (N, n_guides)
        Guide matrix; nonzero means present.

    Returns
    -------
    (n_guides,) float64
    """
    csc = sparse.csc_matrix(guides)
    present = np.add.reduceat(
        np.append(csc.data != 0, False).astype(np.int64), np.minimum(csc.indptr[:-1], csc.nnz)
    )
    present[np.diff(csc.indptr) == 0] = 0  # reduceat repeats an entry for an empty column
    return present / max(csc.shape[0], 1)


def frequency_bins(frequency: np.ndarray, n_bins: int) -> np.ndarray:
    """Quantile bins of guide frequencies, numbered without gaps; equal values share a bin.

    Parameters
    ----------
    frequency : (n_guides,)
    n_bins
        Number of bins asked for; fewer come back where values tie or guides are few.

    Returns
    -------
    (n_guides,) int64
    """
    if n_bins < 1:
        raise OptionError(f"n_bins={n_bins} must be at least 1")
    inner = np.quantile(frequency, np.linspace(0, 1, n_bins + 1)[1:-1])
    raw = np.searchsorted(inner, frequency, side="right")
    return np.unique(raw, return_inverse=True)[1].astype(np.int64)


def resized_signature(bins: Sequence[int], group_size: int) -> Signature:
    """The bins of a target's guides, thinned or repeated evenly to `group_size` places, sorted."""
    ordered = np.sort(np.asarray(bins))
    places = (np.arange(group_size) + 0.5) / group_size * ordered.size
    return tuple(int(b) for b in ordered[places.astype(np.int64)])


def group_inputs(
    guides: sparse.spmatrix | np.ndarray,
    guide_names: Sequence[str],
    guide_to_target: Mapping[str, str],
    ntc_label: str | Iterable[str],
    group_size: int = 6,
    n_bins: int = 20,
) -> GroupInputs:
    """What the grouping needs, from plain arrays.

    Parameters
    ----------
    guides : (N, n_guides)
        Guide matrix; nonzero means present.
    guide_names
        Names of the guides, in column order.
    guide_to_target
        Target of each guide; guides without one take no part.
    ntc_label
        Label or labels that mark NTC guides.
    group_size
        Number of guides per group.
    n_bins
        Number of quantile bins of guide frequency, over all guides seen in at least one cell.

    Raises
    ------
    InputError
        No NTC guide, or no real target, is seen in any cell.
    """
    if group_size < 1:
        raise OptionError(f"group_size={group_size} must be at least 1")
    frequency = guide_frequencies(guides)
    is_ntc = np.zeros(len(guide_names), dtype=bool)
    is_ntc[ntc_columns(guide_names, guide_to_target, ntc_label)] = True
    has_target = np.array([g in guide_to_target for g in guide_names], dtype=bool)
    unseen = is_ntc & (frequency == 0)
    if unseen.any():
        names = [guide_names[c] for c in np.flatnonzero(unseen).tolist()]
        warnings.warn(
            f"{len(names)} NTC guides are in no cell and were left out of the groups: "
            f"{', '.join(names[:5])}{', ...' if len(names) > 5 else ''}",
            ProgramDEWarning,
            stacklevel=3,
        )
    used = np.flatnonzero(has_target & (frequency > 0)).tolist()
    bins = frequency_bins(frequency[used], n_bins) if used else np.empty(0, dtype=np.int64)
    guide_to_bin = {guide_names[c]: int(b) for c, b in zip(used, bins, strict=True)}
    of_target: dict[str, list[int]] = {}
    for column in (c for c in used if not is_ntc[c]):
        guide = guide_names[column]
        of_target.setdefault(guide_to_target[guide], []).append(guide_to_bin[guide])
    ntc_guides = [guide_names[c] for c in used if is_ntc[c]]
    if not ntc_guides or not of_target:
        what = "real target" if ntc_guides else "NTC guide"
        raise InputError(f"no {what} is seen in any cell, so NTC groups cannot be matched to it")
    guide_freq = {g: float(f) for g, f in zip(guide_names, frequency, strict=True)}
    signatures = [resized_signature(b, group_size) for b in of_target.values()]
    return GroupInputs(ntc_guides, guide_freq, guide_to_bin, signatures)


def _sizes(n_guides: int, group_size: int, max_groups: int | None, drop_remainder: bool) -> list:
    """Sizes of the groups of one partition; says so where a group cannot be filled."""
    if group_size < 1:
        raise OptionError(f"group_size={group_size} must be at least 1")
    if max_groups is not None and max_groups < 1:
        raise OptionError(f"max_groups={max_groups} must be at least 1, or None for no limit")
    full, rest = divmod(n_guides, group_size)
    if full == 0 and drop_remainder:
        raise InputError(
            f"{n_guides} NTC guides cannot fill one group of group_size={group_size}; "
            f"choose group_size <= {n_guides}, or drop_remainder=False for a smaller group"
        )
    if full == 0:
        warnings.warn(
            f"{n_guides} NTC guides cannot fill one group of group_size={group_size}: "
            f"each partition is a single group of {n_guides}",
            ProgramDEWarning,
            stacklevel=4,
        )
    sizes = [group_size] * full + ([rest] if rest and not drop_remainder else [])
    return sizes[:max_groups]


def _partition(
    guides: list[str], bins: np.ndarray, signatures: Sequence[Signature], sizes: list[int], rng
) -> dict[str, list[str]]:
    """One partition: signatures drawn, guides assigned to their places at least total distance."""
    from scipy.optimize import linear_sum_assignment  # slow to import

    rounds = -(-len(sizes) // len(signatures))  # every signature is used before any is used again
    drawn = np.concatenate([rng.permutation(len(signatures)) for _ in range(rounds)])
    group_of = np.repeat(np.arange(len(sizes)), sizes)
    wanted = np.concatenate(
        [
            resized_signature(signatures[which], size)
            for which, size in zip(drawn[: len(sizes)], sizes, strict=True)
        ]
    )
    # noise below any difference between two totals decides ties, and nothing else
    noise = rng.random((wanted.size, len(guides))) / (2 * wanted.size)
    slots, chosen = linear_sum_assignment(np.abs(wanted[:, None] - bins[None, :]) + noise)
    groups = [[guides[c] for c in chosen[group_of[slots] == g]] for g in range(len(sizes))]
    return {group_unit_name(group): sorted(group) for group in groups}


def partition_guides(
    given: GroupInputs,
    n_partitions: int,
    seed: int,
    group_size: int,
    max_groups: int | None = None,
    drop_remainder: bool = True,
) -> list[dict[str, list[str]]]:
    """Several partitions of the NTC guides into groups that follow real targets' signatures.

    Parameters
    ----------
    given
        From `group_inputs`. Guides of frequency 0 are left out.
    n_partitions
        Number of partitions.
    seed
        Seed; partition r depends on (seed, r) alone.
    group_size
        Number of guides per group.
    max_groups
        At most so many groups per partition; None for all.
    drop_remainder
        Leave out the guides that do not fill a last group; else they form a smaller one.

    Returns
    -------
    list of {group name: [guides]}
        No guide occurs twice within a partition. Names are canonical (`group_unit_name`): equal
        groups of two partitions have the same name.

    Raises
    ------
    InputError
        Too few NTC guides to fill one group, or no signature.
    OptionError
        A size or number below 1.
    """
    if n_partitions < 1:
        raise OptionError(f"n_partitions={n_partitions} must be at least 1")
    if not given.signatures:
        raise InputError("there is no signature: no real target to match NTC groups to")
    guides = sorted({str(g) for g in given.ntc_guides if given.frequency.get(g, 0) > 0})
    missing = [g for g in guides if g not in given.bins]
    if missing:
        raise InputError(f"{len(missing)} NTC guides have no bin, the first {missing[0]!r}")
    sizes = _sizes(len(guides), group_size, max_groups, drop_remainder)
    bins = np.array([given.bins[g] for g in guides], dtype=np.float64)
    return [
        _partition(guides, bins, given.signatures, sizes, generator(seed, "ntc_groups", str(r)))
        for r in range(n_partitions)
    ]


def default_group_size(screen: Screen, ntc_labels: str | Iterable[str], min_groups: int = 2) -> int:
    """Median number of guides of real targets, small enough for `min_groups` groups where possible.

    A smaller group tells as much about guides that differ: the variance of a group's mean effect
    is (spread between guides + sampling error of one) / guides, so their ratio is that of one
    guide. Few groups on the other hand tell next to nothing.
    """
    labels = set(resolved(list(screen.target_columns()), ntc_labels))
    n_ntc = len(ntc_columns(screen.guide_names, screen.guide_to_target, labels))
    sizes = [len(c) for target, c in screen.target_columns().items() if target not in labels]
    median = int(np.median(sizes)) if sizes else 1
    return max(1, min(median, n_ntc // min_groups))


def group_ntc_guides(
    screen: Screen,
    ntc_labels: str | Iterable[str],
    group_size: int | None = None,
    n_partitions: int = 10,
    n_bins: int = 20,
    seed: int = 0,
    max_groups: int | None = None,
    drop_remainder: bool = True,
) -> list[dict[str, list[str]]]:
    """`partition_guides` for a `Screen`; `group_size` None: `default_group_size`."""
    size = default_group_size(screen, ntc_labels) if group_size is None else group_size
    given = group_inputs(
        screen.guides, screen.guide_names, screen.guide_to_target, ntc_labels, size, n_bins
    )
    return partition_guides(given, n_partitions, seed, size, max_groups, drop_remainder)


def group_units(screen: Screen, partitions: Iterable[Mapping[str, Sequence[str]]]) -> list[Unit]:
    """The distinct groups of several partitions as units, in order of first appearance."""
    units: dict[str, Unit] = {}
    for partition in partitions:
        for guides in partition.values():
            name = group_unit_name(guides)
            if name not in units:
                units[name] = screen.unit(name, sorted(set(guides)))
    return list(units.values())
