"""A table of pairs of target and program."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from programde.errors import InputError, nearest, some
from programde.io.text_tables import PathLike, column, separator, table_errors

COLUMNS = ("target", "program")


def read_pairs(path: PathLike) -> list[list[str]]:
    """Pairs of target and program, from the columns `target` and `program` of a text table.

    Parameters
    ----------
    path
        ``.csv``, or tab-separated; further columns are ignored. Names are text as they stand.

    Raises
    ------
    InputError
        No such file, a column that is missing, an empty entry, or no row.
    """
    with table_errors(path) as file:
        table = pd.read_csv(
            file, sep=separator(file), dtype=str, keep_default_na=False, encoding="utf-8-sig"
        )
        names = [column(table, name, "the table of pairs") for name in COLUMNS]
        pairs = [[t.strip(), p.strip()] for t, p in zip(*names, strict=True)]
        empty = [str(row + 2) for row, pair in enumerate(pairs) if not all(pair)]
        if empty:
            raise InputError(f"no target or no program in line(s) {some(empty)}")
        if not pairs:
            raise InputError("names no pair; give rows of target and program")
    return pairs


def check_pairs(
    pairs: Sequence[Sequence[str]], targets: Sequence[str], programs: Sequence[str]
) -> list[tuple[str, str]]:
    """The pairs, each once, in the order given.

    Parameters
    ----------
    pairs
        Target and program of each pair.
    targets, programs
        Those that exist.

    Raises
    ------
    InputError
        A target or program that does not exist; the nearest is named.
    """
    known = {"target": set(map(str, targets)), "program": set(map(str, programs))}
    for place, kind in enumerate(known):
        lost = list(dict.fromkeys(str(p[place]) for p in pairs if str(p[place]) not in known[kind]))
        if lost:
            raise InputError(
                f"pairs name {len(lost)} {kind}(s) that the screen does not have: "
                f"{some([repr(name) for name in lost])}{nearest(lost[0], sorted(known[kind]))}"
            )
    return list(dict.fromkeys((str(target), str(program)) for target, program in pairs))
