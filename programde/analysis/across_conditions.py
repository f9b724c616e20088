"""Evidence combined over conditions, with its direction.

A target that shifts a program a little in each of several conditions may pass no threshold in any.
Signed, weighted Stouffer combination of the calibrated p-values,

    z = sum_c w_c z_c / sqrt(sum_c w_c^2),   z_c = sign_c * Phi^-1(1 - p_c / 2),   w_c = sqrt(n1_c),

so that opposite shifts cancel instead of adding up as they would in Fisher's method. The weights
are the square roots of the treated cells, to which an effect's information is proportional. The
cells of different conditions are different cells, so the p-values are independent under the null
of the randomization test. An effect that a guide has of its own, off its target, is shared by all
conditions and adds up; so control groups are combined in the same way, and shown beside targets.
Source: S. A. Stouffer et al., The American Soldier, 1949; weights: D. V. Zaykin, Journal of
Evolutionary Biology 2011, 24:1836.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from programde.analysis.tables import adjust_p
from programde.calibration.combine import stouffer
from programde.errors import InputError

#: Columns that may say what was tested.
LEVELS = ("guide", "target", "group")


def across_conditions(results: pd.DataFrame, adjust: str = "bh") -> pd.DataFrame:
    """One row per target and program, over all conditions.

    Parameters
    ----------
    results
        The tidy results table with its column `condition`; p-values two-sided. What was tested
        stands in its column `guide`, `target` or `group`, the first of them that is there.
    adjust
        ``"bh"`` or ``"storey"``.

    Returns
    -------
    DataFrame
        target (guide and target, where guides were tested one by one; or group), program,
        n_conditions (in which the test could be done), n_up, n_down, z, p_value,
        q_value.

    Raises
    ------
    InputError
        If the table has no condition.
    """
    if "condition" not in results.columns:
        raise InputError("the results have no column 'condition'; set analysis.by_condition=true")
    level = next(name for name in LEVELS if name in results.columns)
    keys = [level, "program"]
    units = list(dict.fromkeys(results[level]))
    programs = list(dict.fromkeys(results["program"]))
    index = pd.MultiIndex.from_product([units, programs], names=keys)

    def stacked(values: pd.Series) -> np.ndarray:
        frame = results[[*keys, "condition"]].assign(value=values)
        return frame.pivot(index=keys, columns="condition", values="value").loc[index].to_numpy()

    p = stacked(results["p_value"])
    centre = results["null_mean"].fillna(0.0)
    sign = np.sign(stacked(results["effect"] - centre))
    weight = np.sqrt(stacked(results["n_treated"]).astype(np.float64))
    tested = np.isfinite(p)
    combined, z = stouffer(p, sign, np.where(tested, weight, 0.0), axis=1)
    table = pd.DataFrame(
        {
            level: index.get_level_values(0),
            "program": index.get_level_values(1),
            "n_conditions": tested.sum(axis=1),
            "n_up": (tested & (sign > 0)).sum(axis=1),
            "n_down": (tested & (sign < 0)).sum(axis=1),
            "z": z,
            "p_value": combined,
            "q_value": adjust_p(combined, adjust),
        }
    )
    if level == "guide":
        target_of = results.drop_duplicates("guide").set_index("guide")["target"]
        table.insert(1, "target", table["guide"].map(target_of))
    return table


def all_conditions(results: pd.DataFrame, side: str = "both", adjust: str = "bh") -> pd.DataFrame:
    """`across_conditions` where there are some; its header alone where none, or one-sided ones."""
    if "condition" in results and side == "both":
        return across_conditions(results, adjust)
    return across_conditions(results.iloc[:0].assign(condition=""), adjust)
