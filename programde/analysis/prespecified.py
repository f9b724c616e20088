"""Prespecified tests: some pairs of target and program, with a false discovery rate of their own.

Who names a few pairs before the screen is seen may ask for the false discovery rate among these
alone: fewer tests, and so more power. All tests stay in the table with their own q-values beside.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from programde.analysis.tables import adjust_p


def with_pairs(
    results: pd.DataFrame, pairs: Sequence[Sequence[str]], adjust: str = "bh"
) -> pd.DataFrame:
    """The table with `prespecified` and `q_prespecified` after its q-values.

    Parameters
    ----------
    results
        Tidy results, with `target`, `program` and `p_value`; where guides were tested one by one,
        every guide of the target belongs to the pair.
    pairs
        Target and program of each pair; empty: the table as it is.
    adjust
        ``"bh"`` or ``"storey"``.

    Returns
    -------
    DataFrame
        `q_prespecified` is over the prespecified tests (of all conditions), NaN elsewhere.
    """
    if not len(pairs):
        return results
    wanted = {(str(target), str(program)) for target, program in pairs}
    among = np.array(
        [pair in wanted for pair in zip(results["target"], results["program"], strict=True)]
    )
    q = np.full(len(results), np.nan)
    q[among] = adjust_p(results["p_value"].to_numpy()[among], adjust)
    place = max(
        list(results.columns).index(c) for c in ("q_value", "q_value_within") if c in results
    )
    table = results.copy()
    table.insert(place + 1, "prespecified", among)
    table.insert(place + 2, "q_prespecified", q)
    return table
