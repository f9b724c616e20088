"""Usages that stay on disk: checked, and their floor found, while they pass by.

The same checks, words and numbers as `composition` has for usages in memory. A quantile is exact: a
sample of rows, taken on the first pass, tells between which two values it must lie, and a second
pass counts what is below and keeps what lies between.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from programde.errors import InputError, check_choice, some, tell
from programde.screen.composition import (
    SUM_TOLERANCE,
    Floor,
    floor_and_close,
    floor_below,
    program_name_list,
    transformed,
)
from programde.screen.matrix_rows import ChosenRows, Rows, Source, slices
from programde.threads import in_order

#: Rows that are kept of the first pass, to tell where a quantile lies.
SAMPLE = 20_000
#: Standard errors of a quantile of the sample within which the true one is looked for.
WITHIN = 8.0
NAMED = 6


@dataclass(frozen=True)
class Made:
    """What is made of stored rows: divided by their sums, floored, on a scale.

    Attributes
    ----------
    divide
        Whether rows are to be divided by their sums.
    eps
        The floor; 0 for none.
    transform
        See `composition.transformed`; None: the usages themselves.
    """

    divide: bool
    eps: float = 0.0
    transform: str | None = None

    def __call__(self, raw: np.ndarray) -> np.ndarray:
        values = np.asarray(raw, dtype=np.float64)
        if self.divide:
            values = values / values.sum(axis=1)[:, None]
        if self.eps > 0:
            values = floor_and_close(values, self.eps)
        return values if self.transform is None else transformed(values, self.transform)


@dataclass(frozen=True)
class StoredUsage:
    """Usages that were checked.

    Attributes
    ----------
    source
        Their rows, those of dropped cells left out.
    program_names
        Names of the K programs.
    keep : (N,) bool
        False for cells that were dropped because all their usages are 0.
    divide
        Whether rows are to be divided by their sums.
    largest, share_of_zeros, n_positive
        Of all entries of the kept rows.
    sample : (m, K) float64
        Some of the kept rows, checked.
    notes
        What was changed.
    """

    source: Source
    program_names: list[str]
    keep: np.ndarray
    divide: bool
    largest: float
    share_of_zeros: float
    n_positive: int
    sample: np.ndarray
    notes: list[str] = field(default_factory=list)

    def checked(self, raw: np.ndarray) -> np.ndarray:
        """Stored rows as float64 whose rows sum to 1; program scores as they are."""
        return Made(self.divide)(raw)

    def rows(self) -> Rows:
        """The checked usages."""
        return Rows(self.source, Made(self.divide), len(self.program_names), "usages")


def check_stored_usage(
    source: Source,
    n_programs: int,
    program_names: Sequence[object] | None,
    cell_names: Sequence[str],
    on_empty: str = "error",
    what: str = "usage",
    scores: bool = False,
) -> StoredUsage:
    """As `composition.check_usage`, in one pass over the rows.

    Parameters
    ----------
    source : N rows of K numbers
        The usages.
    n_programs
        K.
    program_names, cell_names, on_empty, what, scores
        See `composition.check_usage`.

    Raises
    ------
    InputError
        K < 2, NaN, infinite or negative usages, empty cells, names that disagree.
    """
    check_choice("on_empty", on_empty, ("error", "drop"))
    names = program_name_list(program_names, n_programs, what, 1 if scores else 2)
    n = source.n_rows
    if n == 0:
        raise InputError(f"{what} has no cells")
    wrong = {"NaN or infinite": _Wrong(), "negative": _Wrong()}
    totals = np.empty(n)
    largest = [0.0, 0.0]
    zeros = 0
    step = max(1, n // SAMPLE)
    sample = []
    for low, raw in _blocks(source):
        values = np.asarray(raw, dtype=np.float64)
        sums = values.sum(axis=1)
        if not np.isfinite(sums).all() or (not scores and float(raw.min()) < 0):
            wrong["NaN or infinite"].add(low, ~np.isfinite(values))
            if not scores:
                wrong["negative"].add(low, values < 0)
        if any(w.rows for w in wrong.values()):
            continue
        totals[low : low + len(values)] = sums
        zeros += values.size - int(np.count_nonzero(raw))
        zeros -= int((sums <= 0).sum()) * n_programs
        top = float(raw.max())
        largest[0] = max(largest[0], top)
        if not scores and (np.abs(sums - 1) > SUM_TOLERANCE).any():
            inside = values[sums > 0].max(axis=1) / sums[sums > 0]
            top = float(inside.max(initial=0.0))
        largest[1] = max(largest[1], top)
        sample.append(values[-low % step :: step].copy())
    for label, found in wrong.items():
        if found.rows:
            cure = "; signed program scores are taken with transform=none"
            raise InputError(
                f"{what}: {found.entries} {label} value(s) in {found.rows} cell(s): "
                f"{_named(found.first, found.rows, cell_names)}{cure * (label == 'negative')}"
            )
    rows = np.concatenate(sample)
    if scores:
        keep = np.ones(n, dtype=bool)
        return StoredUsage(source, names, keep, False, largest[0], 0.0, 0, rows)
    notes: list[str] = []
    keep = totals > 0
    if not keep.all():
        empty = np.flatnonzero(~keep)
        who = f"{empty.size} of {n} cell(s): {_named(empty[:NAMED], empty.size, cell_names)}"
        if on_empty == "error":
            raise InputError(
                f"{what}: all usages are 0 in {who}; leave them out, or set on_empty='drop'"
            )
        if not keep.any():
            raise InputError(f"{what}: all usages are 0 in every cell")
        tell(f"{what}: dropped cells whose usages are all 0: {who}", notes)
        source, totals = ChosenRows(source, np.flatnonzero(keep)), totals[keep]
        rows = rows[rows.sum(axis=1) > 0]
    off = int((np.abs(totals - 1) > SUM_TOLERANCE).sum())
    if off:
        tell(
            f"{what}: {off} of {totals.size} rows did not sum to 1 (sums from "
            f"{totals.min():.6g} to {totals.max():.6g}); all rows were divided by their sums",
            notes,
        )
    entries = totals.size * n_programs
    out = StoredUsage(
        source, names, keep, off > 0, largest[int(off > 0)], zeros / entries, entries - zeros,
        rows, notes,
    )  # fmt: skip
    out.sample[:] = out.checked(out.sample)
    return out


class _Wrong:
    """Entries that must not be: how many, in how many rows, and the first of these."""

    def __init__(self) -> None:
        self.entries = self.rows = 0
        self.first: list[int] = []

    def add(self, low: int, bad: np.ndarray) -> None:
        rows = np.flatnonzero(bad.any(axis=1))
        if rows.size:
            self.entries += int(bad.sum())
            self.rows += rows.size
            self.first = [*self.first, *(rows[:NAMED] + low).tolist()][:NAMED]


def _named(first: Sequence[int] | np.ndarray, count: int, cell_names: Sequence[str]) -> str:
    """The first of some cells by name, and how many there are."""
    text = some([cell_names[int(i)] for i in first[:5]])
    return text if count <= 5 else f"{text}, ... ({count} in all)"


def _blocks(source: Source) -> Iterator[tuple[int, np.ndarray]]:
    parts = slices(source.n_rows)
    yield from in_order(lambda part: (part.start, source.take(part)), parts)


def stored_floor(usage: StoredUsage, floor: Floor) -> tuple[float, str | None]:
    """As `composition.floor_value`, of usages on disk.

    Raises
    ------
    InputError
        The floor is not below the largest usage.
    """
    if floor.kind == "none":
        return 0.0, None
    note = None
    if floor.kind == "fixed":
        eps = float(floor.eps)  # type: ignore[arg-type]
    elif floor.kind == "share":
        eps = floor.share_of_mean / len(usage.program_names)
    else:
        eps = 0.0
        if floor.kind == "quantile":
            eps = _quantile(usage, floor.eps_quantile, positive=False)
        if not eps > 0:
            eps = _quantile(usage, floor.eps_quantile, positive=True) * floor.eps_scale
            if floor.kind == "quantile":
                note = (
                    f"the {floor.eps_quantile:g} quantile of the usages is 0 "
                    f"({usage.share_of_zeros:.1%} of them are exact zeros); the floor used is "
                    f"{eps:.6g}, the same quantile of the positive usages"
                )
    floor_below(eps, usage.largest)
    if note:
        tell(note)
    return eps, note


def _quantile(usage: StoredUsage, level: float, positive: bool) -> float:
    """The quantile of all, or of the positive, entries, interpolated as numpy does."""
    n_all = usage.source.n_rows * len(usage.program_names)
    n = usage.n_positive if positive else n_all
    if n == 0:
        return 0.0
    at = (n - 1) * level
    rank = int(np.floor(at))
    if not positive and rank + 1 < n_all - usage.n_positive:
        return 0.0
    low, high = _order_statistics(usage, [rank, min(rank + 1, n - 1)], n, positive)
    share, step = at - rank, high - low
    # as numpy interpolates, from the nearer end
    return float(high - step * (1 - share) if share >= 0.5 else low + step * share)


def _order_statistics(
    usage: StoredUsage, ranks: Sequence[int], n: int, positive: bool
) -> list[float]:
    """The entries of the given ranks, from 0, among the n entries."""
    sample = np.sort(usage.sample[usage.sample > 0] if positive else usage.sample.ravel())
    m, width = sample.size, WITHIN
    while True:
        share = np.array([ranks[0], ranks[-1]]) / max(n - 1, 1)
        margin = width * np.sqrt(m * share * (1 - share)) + 2 * width
        lo, hi = (share * (m - 1) + margin * [-1, 1]).round().astype(np.int64)
        low = sample[lo] if 0 <= lo < m else -np.inf
        high = sample[hi] if 0 <= hi < m else np.inf
        below, at_low, between, at_high = _pass(usage, low, high, positive)
        ends = [below, below + at_low, below + at_low + between.size]
        if ranks[0] >= below and ranks[-1] < ends[2] + at_high:
            inner = np.sort(between)
            return [
                float(low if r < ends[1] else inner[r - ends[1]] if r < ends[2] else high)
                for r in ranks
            ]
        width *= 4


def _pass(
    usage: StoredUsage, low: float, high: float, positive: bool
) -> tuple[int, int, np.ndarray, int]:
    """How many entries lie below `low`, how many are `low`, those between, how many are `high`.

    Where both are the same they are `low`.
    """
    below = at_low = at_high = 0
    between: list[np.ndarray] = []

    def counted(part: slice) -> tuple[int, int, np.ndarray, int]:
        raw = usage.source.take(part)
        if usage.divide:
            raw = usage.checked(raw)
        # compared as float64, whatever they are stored in
        values = raw[raw <= np.float64(high)].astype(np.float64)
        if positive:
            values = values[values > 0]
        n_below, n_low = int((values < low).sum()), int((values == low).sum())
        values = values[values > low]
        return n_below, n_low, values[values < high], int((values == high).sum())

    for n_below, n_low, inside, n_high in in_order(counted, slices(usage.source.n_rows)):
        below, at_low, at_high = below + n_below, at_low + n_low, at_high + n_high
        between.append(inside)
    return below, at_low, np.concatenate(between), at_high


def usage_rows(usage: StoredUsage, eps: float, transform: str) -> tuple[Rows, Rows, Rows | None]:
    """Usages, what is tested, and usages without a floor (None where there is none), as rows."""
    source, width = usage.source, len(usage.program_names)
    closed = Rows(source, Made(usage.divide, eps), width, "usages")
    tested = Rows(source, Made(usage.divide, eps, transform), width, "outcomes")
    return closed, tested, usage.rows() if eps > 0 else None
