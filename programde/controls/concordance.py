"""Do the guides of a target agree? Sign agreement, heterogeneity, and hits carried by one guide.

From effects b_j and standard errors s_j of a target's guides, each tested alone, with weights
w_j = 1 / s_j^2 and weighted mean m = sum w_j b_j / sum w_j:

    Q = sum_j w_j (b_j - m)^2        chi-squared with J - 1 degrees of freedom if the guides agree
    I^2 = max(0, (Q - (J - 1)) / Q)  share of the variation that is not sampling error

Sources: W. G. Cochran, Biometrics 1954, 10:101; J. P. T. Higgins and S. G. Thompson, Statistics in
Medicine 2002, 21:1539.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy import special

from programde.errors import InputError, some

COLUMNS = [
    "target",
    "program",
    "n_guides",
    "n_same_sign",
    "sign_agreement",
    "effect",
    "effect_se",
    "z",
    "heterogeneity_q",
    "heterogeneity_p",
    "i_squared",
    "leading_guide",
    "z_without_leading",
]


def guide_concordance(
    effects: pd.DataFrame, standard_errors: pd.DataFrame, guide_to_target: Mapping[str, str]
) -> pd.DataFrame:
    """Agreement of the guides of each target, program by program.

    Parameters
    ----------
    effects : (n_guides, K) DataFrame
        Effect of each guide alone, guides in rows, programs in columns.
    standard_errors : (n_guides, K) DataFrame
        Their standard errors, same rows and columns.
    guide_to_target
        Target of each guide; guides without one take no part.

    Returns
    -------
    DataFrame
        One row per target and program, targets in order of first appearance:

        * ``n_guides`` guides with a finite effect and a positive standard error,
        * ``n_same_sign``, ``sign_agreement`` number and share of them with the sign of the mean,
        * ``effect``, ``effect_se``, ``z`` inverse-variance-weighted mean, its error, their ratio,
        * ``heterogeneity_q``, ``heterogeneity_p``, ``i_squared`` NaN for fewer than two guides,
        * ``leading_guide`` the guide whose removal moves z most towards or past 0, and
          ``z_without_leading`` what then is left: near 0 where one guide carries the hit.

    Raises
    ------
    InputError
        If the two tables do not have the same rows and columns, or a guide occurs twice.
    """
    _check(effects, standard_errors)
    rows_of: dict[str, list[int]] = {}
    for row, guide in enumerate(effects.index):
        target = guide_to_target.get(guide)
        if target is not None:
            rows_of.setdefault(str(target), []).append(row)
    b_all = effects.to_numpy(dtype=np.float64)
    s_all = standard_errors.to_numpy(dtype=np.float64)
    names = np.asarray(effects.index, dtype=object)
    parts = []
    for target, rows in rows_of.items():
        part = _agreement(b_all[rows], s_all[rows], names[rows])
        part.insert(0, "program", list(effects.columns))
        part.insert(0, "target", target)
        parts.append(part)
    if not parts:
        return pd.DataFrame(columns=COLUMNS)
    return pd.concat(parts, ignore_index=True)[COLUMNS]


def _check(effects: pd.DataFrame, standard_errors: pd.DataFrame) -> None:
    if not effects.index.equals(standard_errors.index):
        raise InputError(
            f"effects ({len(effects)} guides) and standard_errors ({len(standard_errors)} guides) "
            "must have the same guides in the same order; reindex one to the other"
        )
    if not effects.columns.equals(standard_errors.columns):
        raise InputError(
            "effects and standard_errors must have the same programs in the same order"
        )
    twice = effects.index[effects.index.duplicated()]
    if len(twice):
        raise InputError(f"guides that occur twice: {some(twice)}; give each guide one row")


def _agreement(b: np.ndarray, s: np.ndarray, guides: np.ndarray) -> pd.DataFrame:
    """The columns of `guide_concordance` from "n_guides" on, for one target: b, s (J, K)."""
    usable = np.isfinite(b) & np.isfinite(s) & (s > 0)
    w = np.divide(1.0, s * s, out=np.zeros_like(b), where=usable)
    b = np.where(usable, b, 0.0)
    n, total, score = usable.sum(axis=0), w.sum(axis=0), (w * b).sum(axis=0)
    any_guide, several = n > 0, n > 1
    mean = np.divide(score, total, out=np.full(n.size, np.nan), where=any_guide)
    z = np.divide(score, np.sqrt(total), out=np.full(n.size, np.nan), where=any_guide)
    same = (usable & (np.sign(b) == np.sign(mean))).sum(axis=0)
    q = (w * (b - np.where(any_guide, mean, 0.0)) ** 2).sum(axis=0)
    excess = np.divide(q - (n - 1), q, out=np.zeros(n.size), where=q > 0)
    # z of the other guides, in the direction of the mean: smallest for the leading guide
    left_score, left_total = score - w * b, total - w
    left = np.divide(
        left_score,
        np.sqrt(np.maximum(left_total, 0.0)),
        out=np.zeros_like(b),
        where=(left_total > 1e-12 * total),
    )
    towards = np.where(usable, left * np.sign(np.where(any_guide, mean, 0.0)), np.inf)
    leading = towards.argmin(axis=0)
    without = left[leading, np.arange(n.size)]
    return pd.DataFrame(
        {
            "n_guides": n,
            "n_same_sign": same,
            "sign_agreement": np.divide(same, n, out=np.full(n.size, np.nan), where=any_guide),
            "effect": mean,
            "effect_se": np.divide(
                1.0, np.sqrt(total), out=np.full(n.size, np.nan), where=any_guide
            ),
            "z": z,
            "heterogeneity_q": np.where(several, q, np.nan),
            "heterogeneity_p": np.where(several, special.chdtrc(np.maximum(n - 1, 1), q), np.nan),
            "i_squared": np.where(several, np.maximum(excess, 0.0), np.nan),
            "leading_guide": np.where(any_guide, guides[leading], ""),
            "z_without_leading": np.where(several, without, np.nan),
        }
    )
