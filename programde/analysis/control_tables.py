"""P-values of non-targeting guides as a long table: their groups, and held-out units of them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from programde.analysis.across_conditions import across_conditions
from programde.analysis.calibrate import Calibrated, calibrate, raw_p
from programde.analysis.ntc_null import NTCNull
from programde.analysis.tables import ntc_table, results_table
from programde.controls.crossfit import CrossFit
from programde.crt.results import CRTResult

#: Kind of the p-values of control groups that are combined over conditions.
OVER_CONDITIONS = "over_conditions"
#: Column of the signs of effects.
SIGN = "sign"


def group_p_values(groups: CRTResult, side: str = "both") -> dict[str, np.ndarray]:
    """P-values (G, K) of control groups, of every kind that is at hand.

    Parameters
    ----------
    groups
        Tests of the groups.
    side
        ``"both"``, ``"left"`` or ``"right"``.

    Returns
    -------
    dict
        ``raw`` and ``skew_normal`` where draws were made, ``saddlepoint`` where the result has
        exact tails.
    """
    kinds: dict[str, np.ndarray] = {}
    if groups.null.n_draws > 0:
        kinds["raw"] = raw_p(groups, side)
        kinds["skew_normal"] = calibrate(groups, "skew_normal", side).p_value
    if groups.tails is not None:
        kinds["saddlepoint"] = calibrate(groups, "saddlepoint", side).p_value
    return kinds


def effect_signs(groups: CRTResult) -> np.ndarray:
    """On which side of its null law each effect (G, K) lies: 1 on the right, -1 on the left."""
    exact = groups.tails is not None
    left, right = (
        calibrate(groups, "saddlepoint", side).p_value if exact else raw_p(groups, side)
        for side in ("left", "right")
    )
    return np.asarray(np.sign(left - right))


def control_table(
    controls: NTCNull, method: str, side: str = "both", held_out: CrossFit | None = None
) -> pd.DataFrame:
    """All control p-values of an analysis.

    Parameters
    ----------
    controls
        Tests of groups of non-targeting guides.
    method
        The calibration of the targets.
    side
        ``"both"``, ``"left"`` or ``"right"``.
    held_out
        Where targets are compared with non-targeting guides: the same for held-out ones.

    Returns
    -------
    DataFrame
        As `ntc_table`, a column per kind of p-value; of two-sided tests also `sign`, 1 where the
        effect lies on the right of its null law and -1 on the left. Where the analysis went by
        condition and is two-sided, also groups combined over conditions, as targets are, in the
        column `over_conditions`. Held-out units stand in the column of the calibration; `partition`
        is then their layer: units of one layer share no guide.
    """
    kinds = group_p_values(controls.result, side)
    if side == "both":
        kinds |= {SIGN: effect_signs(controls.result)}
    parts = [ntc_table(kinds, controls.result, controls.partitions)]
    used = kinds.get("raw" if method == "none" else method)
    if used is not None and side == "both" and any(controls.result.condition):
        parts += _over_conditions(controls, used)
    if held_out is not None:
        parts.append(_held_out(held_out, method))
    return pd.concat(parts, ignore_index=True)


def _over_conditions(controls: NTCNull, p_value: np.ndarray) -> list[pd.DataFrame]:
    """Groups combined over conditions, a table per partition."""
    unnamed = np.full(p_value.shape, "", dtype=object)
    groups = results_table(controls.result, Calibrated("", p_value, unnamed), level="group")
    across = across_conditions(groups).rename(columns={"p_value": OVER_CONDITIONS})
    across = across[["group", "program", OVER_CONDITIONS]].assign(condition="")
    return [
        across[across["group"].isin(partition.values())].assign(partition=number)
        for number, partition in enumerate(controls.partitions)
    ]


def _held_out(crossfit: CrossFit, method: str) -> pd.DataFrame:
    tables = crossfit["meta"]
    wide = tables["pvals_holdout"]
    rows = pd.DataFrame(
        {
            "group": np.repeat(wide.index.to_numpy(dtype=object), wide.shape[1]),
            "program": np.tile(wide.columns.to_numpy(dtype=object), len(wide)),
            method: wide.to_numpy().ravel(),
        }
    )
    # sets that share guides are no independent evidence: those of one layer share none
    rows["partition"] = rows["group"].map(tables["layer_holdout"])
    return rows.assign(condition="")
