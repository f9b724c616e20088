"""A test's event as a linear inequality in the treatment indicator."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Linearised:
    """{T_k >= t_k} as {sum_i x_i a_ik >= threshold_k}, a_ik = summand_ik - tau_k weights_i.

    With `basis` and `curvature` the event is, exactly,
    {sum_i x_i a_ik + curvature_k (||basis'(x - Ex)||^2 - its mean) >= threshold_k}.

    Attributes
    ----------
    tau : (K,) float64
    weights : (n,) float64
    threshold : (K,) float64
    basis : (n, p) float64 or None
    curvature : (K,) float64 or None
    """

    tau: np.ndarray
    weights: np.ndarray
    threshold: np.ndarray
    basis: np.ndarray | None = None
    curvature: np.ndarray | None = None
