"""Cell Ranger's calls of guides, ``protospacer_calls_per_cell.csv``.

One row per cell that holds a guide: ``cell_barcode, num_features, feature_call, num_umis``, where
guides and their UMI counts are separated by ``|``. The guides are calls, made by Cell Ranger; the
counts matter only where another threshold is asked for. A cell without a guide has no row.

Source of the form: 10x Genomics, "Cell Ranger: CRISPR Guide Capture Outputs".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from scipy import sparse

from programde.errors import InputError, some, tell

CELL, GUIDES, UMIS = "cell_barcode", "feature_call", "num_umis"
NUMBER = "num_features"
SEPARATOR = "|"


def is_calls_table(table: pd.DataFrame, cell_column: str, guide_column: str) -> bool:
    """Whether a table has Cell Ranger's columns and not those that are asked for."""
    ours = {CELL, GUIDES} <= set(table.columns)
    return ours and not {cell_column, guide_column} <= set(table.columns)


def long_form(table: pd.DataFrame) -> pd.DataFrame:
    """A row per cell and guide: ``cell``, ``guide`` and, as ``value``, its UMI count.

    Raises
    ------
    InputError
        A cell with more guides than counts, or the other way round, or with another number of
        guides than the table says: its row is not whole.
    """
    cells = table[CELL].tolist()
    guides = [_parts(value) for value in table[GUIDES]]
    counts: list[list[Any]] = [[1] * len(held) for held in guides]
    if UMIS in table:
        counts = [_parts(value) for value in table[UMIS]]
    odd = [cell for cell, g, n in zip(cells, guides, counts, strict=True) if len(g) != len(n)]
    if odd:
        raise InputError(
            f"protospacer calls: {len(odd)} cell(s) have another number of guides than of UMI "
            f"counts: {some(odd)}"
        )
    if NUMBER in table:
        told = [str(number).strip() for number in table[NUMBER]]
        odd = [c for c, held, n in zip(cells, guides, told, strict=True) if str(len(held)) != n]
        if odd:
            raise InputError(
                f"protospacer calls: {len(odd)} cell(s) list another number of guides than "
                f"{NUMBER} says: {some(odd)}; is the file whole?"
            )
    return pd.DataFrame(
        {
            "cell": [cell for cell, held in zip(cells, guides, strict=True) for _ in held],
            "guide": [guide for held in guides for guide in held],
            "value": [count for held in counts for count in held],
        },
        dtype=object,
    )


def with_uncalled(
    values: sparse.csr_matrix, cells: list[str], wanted: Sequence[object], notes: list[str]
) -> tuple[sparse.csr_matrix, list[str]]:
    """The matrix with an empty row for each wanted cell that has no call.

    Raises
    ------
    InputError
        No cell of a whole lane (the number behind the barcode) has a call: that lane's file is
        not part of the table, and its cells are no cells without guides.
    """
    known = set(cells)
    absent = [str(cell) for cell in wanted if str(cell) not in known]
    if not absent or len(absent) == len(wanted):
        return values, cells
    called = {_lane(cell) for cell in cells}
    lost = sorted({_lane(cell) for cell in absent} - called)
    if lost:
        raise InputError(
            f"protospacer calls: no cell of lane {some(lost)} has a call, while there are cells "
            f"like {absent[0]}: give the calls of all lanes in one table"
        )
    tell(
        f"protospacer calls: {len(absent)} of {len(wanted)} cells have no row, and so no guide "
        f"(first: {absent[0]})",
        notes,
    )
    empty = sparse.csr_matrix((len(absent), values.shape[1]), dtype=values.dtype)
    return sparse.vstack([values, empty], format="csr"), [*cells, *absent]


def _parts(value: object) -> list[str]:
    """Entries of a field that ``|`` separates."""
    return [part.strip() for part in str(value).split(SEPARATOR)]


def _lane(barcode: str) -> str:
    """What stands behind the last hyphen, Cell Ranger's number of the lane."""
    return barcode.rpartition("-")[2] if "-" in barcode else ""
