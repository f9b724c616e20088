"""A target against NTC guides when guide effects are normal: Student's t, without a floor.

Guide j has effect b_j with sampling variance 1 / I_j, I_j = d_j / sigma^2, and guides may differ by
more than that: b_j ~ (mu, 1 / I_j + tau^2). With tau^2 estimated from the M NTC guides
(DerSimonian and Laird, Controlled Clinical Trials 1986, 7:177), w_j = 1 / (1 / I_j + tau^2),
b = sum w_j b_j / sum w_j and phi = sum_j w_j (b_j - b)^2 / (M - 1) (Hartung and Knapp, Statistics
in Medicine 2001, 20:3875), a target of own guides with effect beta = sum I_j b_j / sum I_j has

    (beta - b) / sqrt(phi (v + 1 / sum w))  ~  t with M - 1 degrees of freedom,
    v = (sum I_j + tau^2 sum I_j^2) / (sum I_j)^2  over its own guides,

exactly so for guides of the same I_j. phi takes the scale from the NTC guides, so sigma^2 serves
only to tell sampling error from real differences between guides.
"""

from __future__ import annotations

import numpy as np
from scipy import special


def t_form(
    score: np.ndarray, d: np.ndarray, n_ntc: int, overlap: np.ndarray, precision: np.ndarray
) -> np.ndarray:
    """Two-sided p-values of the t form, in each batch and over all of them.

    Parameters
    ----------
    score : (S, P, K)
        Scores of the guides, NTC first, then the target's own.
    d : (S, P)
        Their information, in cells.
    n_ntc
        Number of NTC guides.
    overlap : (S,)
        Variance of the own guides' summed score over that of guides apart (`Sums.overlap`).
    precision : (S, K)
        One over the residual variance; 0 where a program is constant.

    Returns
    -------
    (S + 1, K) float64
        NaN where fewer than two NTC guides have information. Over batches, scores are taken about
        each batch's NTC mean and added with inverse-variance weights, guide by guide.
    """
    total = d[:, :n_ntc].sum(axis=1)
    inverse = np.divide(1.0, total, out=np.zeros_like(total), where=total > 0)
    centre = score[:, :n_ntc].sum(axis=1) * inverse[:, None]
    live = precision * (total > 0)[:, None]
    centred = (score - d[:, :, None] * centre[:, None]) * live[:, None]
    information = d[:, :, None] * live[:, None]
    noise = (overlap * d[:, n_ntc:].sum(axis=1))[:, None] * live
    parts = [*zip(centred, information, noise, strict=True)]
    parts.append((centred.sum(axis=0), information.sum(axis=0), noise.sum(axis=0)))
    return np.stack([_students_t(*part, n_ntc) for part in parts])


def _students_t(
    score: np.ndarray, information: np.ndarray, noise: np.ndarray, n_ntc: int
) -> np.ndarray:
    """P-values (K,) from scores, information (P, K) and the own score's variance `noise` (K,)."""
    own_score, own = score[n_ntc:].sum(axis=0), information[n_ntc:]
    seen = information[:n_ntc] > 0
    weight = np.where(seen, information[:n_ntc], 0.0)
    effect = np.divide(score[:n_ntc], weight, out=np.zeros_like(weight), where=seen)
    freedom = seen.sum(axis=0) - 1
    own_total = own.sum(axis=0)
    good = (freedom > 0) & (own_total > 0)
    answer = np.full(good.size, np.nan)
    if not good.any():
        return answer
    seen, weight, effect, freedom, own, own_total, noise, own_score = (
        x[..., good] for x in (seen, weight, effect, freedom, own, own_total, noise, own_score)
    )
    # DerSimonian and Laird: what the guides scatter beyond sampling error
    total = weight.sum(axis=0)
    mean = (weight * effect).sum(axis=0) / total
    excess = (weight * (effect - mean) ** 2).sum(axis=0) - freedom
    tau2 = np.maximum(excess / (total - (weight**2).sum(axis=0) / total), 0.0)
    weight = weight / (1.0 + weight * tau2)
    total = weight.sum(axis=0)
    mean = (weight * effect).sum(axis=0) / total
    phi = (weight * (effect - mean) ** 2).sum(axis=0) / freedom
    variance = (noise + tau2 * (own**2).sum(axis=0)) / own_total**2 + 1.0 / total
    difference = np.abs(own_score / own_total - mean)
    scale = np.sqrt(phi * variance)
    t = np.divide(difference, scale, out=np.full(scale.size, np.nan), where=scale > 0)
    answer[good] = 2.0 * special.stdtr(freedom, -t)
    return answer
