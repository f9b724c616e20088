"""What one screen's p-values say, as counts that add up over screens."""

from __future__ import annotations

from typing import Any

import numpy as np

from programde.calibration.fdr import benjamini_hochberg

LEVELS = (0.05, 0.01, 1e-3, 1e-4)
FDR = 0.1
#: Classes of targets by treated cells: name -> (from, to).
CLASSES = {"10-14": (10, 15), "15-49": (15, 50), "50+": (50, 10**9)}


def count(p: np.ndarray, truth: np.ndarray, sizes: np.ndarray) -> dict[str, Any]:
    """Counts of one screen under one setting.

    Parameters
    ----------
    p : (G, K) float64
        NaN where there is no p-value.
    truth : (G, K) float64
        As `Simulated.truth`.
    sizes : (G,)
        Treated cells of the targets.

    Returns
    -------
    dict
        By class of size: null tests, how many of them are at or below each of `LEVELS`, real
        effects, how many of them are found at Benjamini-Hochberg q <= `FDR`, and how many are found
        where exactly so large a share of all found is false (`fair`): the power of the ranking
        that the p-values give, inflated or not. In all: false ones at q <= `FDR`, both as number
        and as share of what is found.
    """
    tested = ~np.isnan(p)
    null, real = (truth == 0) & tested, ~np.isnan(truth) & (truth != 0)
    called = benjamini_hochberg(p, include=null | real) <= FDR  # NaN is never called
    fair = p <= fair_threshold(p[null], p[real & tested])
    out: dict[str, Any] = {"classes": {}}
    for name, (low, high) in CLASSES.items():
        own = ((sizes >= low) & (sizes < high))[:, None]
        out["classes"][name] = {
            "null": int((null & own).sum()),
            "below": [int((p[null & own] <= level).sum()) for level in LEVELS],
            "real": int((real & own).sum()),
            "found": int((called & real & own).sum()),
            "fair": int((fair & real & own).sum()),
        }
    false, true = int((called & null).sum()), int((called & real).sum())
    out["false"], out["share_false"] = false, false / max(false + true, 1)
    return out


def fair_threshold(null: np.ndarray, real: np.ndarray) -> float:
    """The largest p at or below which the share of null p-values is at most `FDR`."""
    p = np.concatenate([null, real])
    order = np.argsort(p, kind="stable")
    false = np.cumsum(order < null.size)
    last = np.append(np.diff(p[order]) > 0, True) if p.size else np.zeros(0, dtype=bool)
    good = np.flatnonzero(last & (false <= FDR * np.arange(1, p.size + 1)))
    return float(p[order][good[-1]]) if good.size else -1.0
