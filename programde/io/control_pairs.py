"""Positive controls named by hand: target, program, and which way it should go."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from programde.errors import InputError, OptionError, nearest, some
from programde.io.pairs import COLUMNS
from programde.io.text_tables import PathLike, column, separator, table_errors

#: What may be written for a direction: the program rises, it falls, either will do.
SIGNS = {
    **dict.fromkeys(("raises", "up", "+", "+1", "1", "1.0"), 1),
    **dict.fromkeys(("lowers", "down", "-", "−", "-1", "-1.0"), -1),
    **dict.fromkeys(("", "0", "0.0", "either"), 0),
}
FORM = "TARGET:PROGRAM or TARGET:PROGRAM:raises (lowers, either)"

#: Target, program, and 1 (the program rises when the target is perturbed), -1 (it falls) or 0.
PositiveControl = tuple[str, str, int]


def read_positive_controls(path: PathLike) -> list[PositiveControl]:
    """Positive controls from a text table with columns `target`, `program` and, optionally, `sign`.

    Parameters
    ----------
    path
        ``.csv``, or tab-separated; further columns are ignored. Names are text as they stand; a
        sign is one of ``raises, up, +, 1``, of ``lowers, down, -, -1``, or empty.

    Raises
    ------
    InputError
        No such file, a column that is missing, an empty name, an unknown sign, or no row.
    """
    with table_errors(path) as file:
        table = pd.read_csv(
            file, sep=separator(file), dtype=str, keep_default_na=False, encoding="utf-8-sig"
        )
        targets, programs = (
            [text.strip() for text in column(table, name, "the table of positive controls")]
            for name in COLUMNS
        )
        signs = [s.strip() for s in table["sign"]] if "sign" in table else [""] * len(table)
        if wrong := [s for s in signs if s.lower() not in SIGNS]:
            raise InputError(f"sign {wrong[0]!r} is not known: write raises, lowers or nothing")
        lines = zip(targets, programs, signs, strict=True)
        rows = [(target, program, SIGNS[sign.lower()]) for target, program, sign in lines]
        empty = [str(at + 2) for at, row in enumerate(rows) if not (row[0] and row[1])]
        if empty:
            raise InputError(f"no target or no program in line(s) {some(empty)}")
        if not rows:
            raise InputError("names no positive control; give rows of target and program")
    return rows


def written_positive_controls(entries: Sequence[str]) -> list[PositiveControl]:
    """Positive controls from entries such as ``STAT1:program_2:lowers``.

    A target ends at the first colon; names that hold one go into a table.

    Raises
    ------
    OptionError
        An entry of another form.

    Examples
    --------
    >>> written_positive_controls(["STAT1:program_2:lowers", "IRF1:program_2"])
    [('STAT1', 'program_2', -1), ('IRF1', 'program_2', 0)]
    """
    made = []
    for entry in entries:
        target, _, rest = entry.partition(":")
        program, colon, sign = rest.rpartition(":")
        if not colon or sign.strip().lower() not in SIGNS:
            program, sign = rest, ""
        if not target.strip() or not program.strip():
            raise OptionError(f"{entry!r} is no positive control: write {FORM}")
        made.append((target.strip(), program.strip(), SIGNS[sign.strip().lower()]))
    return made


def check_positive_controls(
    given: Sequence[Sequence[object]], targets: Sequence[str], programs: Sequence[str]
) -> list[PositiveControl]:
    """The positive controls, each once, in the order given.

    Parameters
    ----------
    given
        Target, program and sign of each.
    targets, programs
        Those that exist.

    Raises
    ------
    InputError
        A target or program that does not exist (the nearest is named), or two signs for one pair.
    """
    known = {"target": set(map(str, targets)), "program": set(map(str, programs))}
    for place, kind in enumerate(known):
        lost = [str(row[place]) for row in given if str(row[place]) not in known[kind]]
        if lost := list(dict.fromkeys(lost)):
            raise InputError(
                f"data.positive_controls names {len(lost)} {kind}(s) that the screen does not "
                f"have: {some([repr(name) for name in lost])}"
                f"{nearest(lost[0], sorted(known[kind]))}"
            )
    found: dict[tuple[str, str], int] = {}
    for target, program, sign in given:
        pair = (str(target), str(program))
        if found.setdefault(pair, int(str(sign))) != int(str(sign)):
            raise InputError(f"data.positive_controls gives {pair[0]!r} on {pair[1]!r} two signs")
    return [(target, program, sign) for (target, program), sign in found.items()]
