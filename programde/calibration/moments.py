"""The skew-normal law with exact null moments: a check beside exact tails that costs nothing."""

from __future__ import annotations

import numpy as np

from programde.calibration.skew_normal import skew_normal_from_moments
from programde.tails.log_tails import LogTails


def moment_skew_normal(tails: LogTails, side: str = "both") -> np.ndarray:
    """P-values of the skew-normal law with the exact null moments of each test's linearised sum.

    Parameters
    ----------
    tails
        Of any shape; moments and thresholds are read.
    side
        "both", "left" or "right".

    Returns
    -------
    float64, of the shape of `tails`
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        skewness = tails.third / tails.variance**1.5
        sd = np.sqrt(tails.variance)
    return skew_normal_from_moments(tails.mean, sd, skewness, tails.threshold, side)
