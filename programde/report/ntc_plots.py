"""The QQ plot of non-targeting controls (NTC) from CRT p-values and null draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from programde.report.checked_tables import as_p_vector
from programde.report.qq import replicate_envelope
from programde.report.qq_plots import qq_panel
from programde.report.style import BLUE, styled

from ..errors import InputError, nearest

Replicates = Mapping[Any, pd.DataFrame] | Sequence[pd.DataFrame]


@styled
def qq_plot_ntc_pvals(
    pvals_raw_df: pd.DataFrame,
    guide2gene: Mapping[str, str],
    ntc_genes: str | Sequence[str],
    *,
    pvals_skew_df: pd.DataFrame | None = None,
    null_pvals: np.ndarray | None = None,
    null_stats: np.ndarray | None = None,
    ntc_group_pvals_ens: Replicates | None = None,
    ntc_group_pvals_skew_ens: Replicates | None = None,
    show_ntc_ensemble_band: bool = False,
    show_all_pvals: bool = False,
    show_null_skew: bool = False,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """QQ plot of negative-control p-values: raw and skew-normal, against uniform and the CRT null.

    Every curve has expected quantiles from its own number of p-values. The 95 % band is that of
    the raw NTC curve, for as many *independent* p-values as the curve holds. It is a pointwise
    band and too narrow in two ways: programs of one group share cells, so their p-values move
    together; and p-values pooled over partitions of the same guides repeat each other. A calibrated
    curve can therefore leave it; `calibration_metrics` gives intervals that know of both.

    Parameters
    ----------
    pvals_raw_df : DataFrame, genes x programs
        Observed raw CRT p-values.
    guide2gene
        Guide -> gene; the control labels are looked up in its values.
    ntc_genes
        One or several control labels. Those that do not exist are ignored as long as one does.
    pvals_skew_df : DataFrame, genes x programs, optional
        Skew-normal p-values, drawn as a second NTC curve.
    null_pvals : array, optional
        Leave-one-out CRT-null p-values of the same units as the NTC curve; the dashed curve.
    null_stats : (B,) or (B, K), optional
        Null statistics, from which `null_pvals` are computed (two-sided) where not given.
    ntc_group_pvals_ens, ntc_group_pvals_skew_ens : {replicate: DataFrame groups x programs}
        P-values of grouped NTC guides, pooled over all replicates; in place of the rows of the
        NTC labels. With both raw groups and `pvals_skew_df`, the skew groups are needed too.
    show_ntc_ensemble_band
        Median and interquartile range of the QQ curves of the single replicates.
    show_all_pvals
        All p-values of `pvals_raw_df` as grey points.
    show_null_skew
        A second null curve: p-values of `null_stats` under a skew-normal fitted to them.
    title, ax
        Title, and where to draw (default: a new figure that pyplot does not manage).

    Raises
    ------
    InputError
        No control label exists (the labels that do are listed), no NTC p-value is left, or an
        input that an option needs is missing.
    """
    labels = _control_labels(guide2gene, ntc_genes)
    if null_pvals is None and null_stats is None:
        raise InputError("the null curve needs null_pvals or null_stats; pass one of them")
    if show_null_skew and null_stats is None:
        raise InputError("show_null_skew=True needs null_stats; pass the null statistics")
    compare = pvals_skew_df is not None or ntc_group_pvals_skew_ens is not None
    if compare and ntc_group_pvals_ens is not None and ntc_group_pvals_skew_ens is None:
        raise InputError(
            "ntc_group_pvals_ens comes with pvals_skew_df but without ntc_group_pvals_skew_ens; "
            "pass the grouped skew-normal p-values, so that like is compared with like"
        )
    name = "NTC groups" if ntc_group_pvals_ens is not None else "NTC"
    curves = {f"{name}, raw": _pooled(pvals_raw_df, ntc_group_pvals_ens, labels)}
    looks = {f"{name}, raw": "raw"}
    if compare:
        curves[f"{name}, skew-normal"] = _pooled(pvals_skew_df, ntc_group_pvals_skew_ens, labels)
        looks[f"{name}, skew-normal"] = "skew_normal"
    if null_pvals is None:
        null_pvals = leave_one_out(np.asarray(null_stats, dtype=np.float64))
    curves["CRT null"] = as_p_vector(null_pvals, "null_pvals")
    if show_null_skew:
        fitted = skew_normal_null(np.asarray(null_stats, dtype=np.float64))
        curves["CRT null, skew-normal"] = fitted
    scatter = {"all observed": as_p_vector(pvals_raw_df, "pvals_raw_df")}
    ax = qq_panel(
        curves,
        band_for=f"{name}, raw",
        looks=looks,
        scatter=scatter if show_all_pvals else None,
        title=title or "QQ plot of non-targeting controls",
        ax=ax,
    )
    if show_ntc_ensemble_band and ntc_group_pvals_ens is not None:
        _draw_replicates(ax, _replicates(ntc_group_pvals_ens))
    return ax


def leave_one_out(null_stats: np.ndarray) -> np.ndarray:
    """Two-sided p-value of each null draw among the others, ties counted: #{|T_b'| >= |T_b|} / B.

    Parameters
    ----------
    null_stats : (B,) or (B, K)

    Returns
    -------
    np.ndarray of the same shape
        The draw itself stands for the 1 in (1 + #{b' != b: ...}) / B.
    """
    from scipy import stats  # slow to import

    return stats.rankdata(-np.abs(null_stats), method="max", axis=0) / len(null_stats)


def skew_normal_null(null_stats: np.ndarray) -> np.ndarray:
    """Two-sided p-values of null draws under a skew-normal with their own moments.

    Method of moments on the z-scores (Azzalini 1985, Scand. J. Statist. 12:171); a skewness beyond
    0.995, which no skew-normal has, is taken as 0.9 * 0.995. Twice the smaller tail, at most 1.

    Parameters
    ----------
    null_stats : (B,) or (B, K)
    """
    from scipy import stats

    draws = null_stats.reshape(len(null_stats), -1)
    z = (draws - draws.mean(axis=0)) / draws.std(axis=0)
    skewness = (z**3).mean(axis=0)
    skewness = np.where(np.abs(skewness) > 0.995, np.sign(skewness) * 0.9 * 0.995, skewness)
    third = np.abs(2.0 * skewness / (4.0 - np.pi)) ** (2.0 / 3.0)
    delta = np.sign(skewness) * np.sqrt(np.pi / 2.0 * third / (1.0 + third))
    scale = 1.0 / np.sqrt(1.0 - 2.0 * delta**2 / np.pi)
    law = stats.skewnorm(
        delta / np.sqrt(1.0 - delta**2), -scale * delta * np.sqrt(2.0 / np.pi), scale
    )
    p = np.clip(2.0 * np.minimum(law.cdf(z), law.sf(z)), 0.0, 1.0)
    return p.reshape(null_stats.shape)


def _draw_replicates(ax: Axes, replicates: list[pd.DataFrame]) -> None:
    x, median, lower, upper = replicate_envelope(replicates)
    n = len(replicates)
    limits = ax.get_xlim(), ax.get_ylim()
    label = f"median and IQR of {n} partitions"
    ax.fill_between(x, lower, upper, color=BLUE, alpha=0.22, linewidth=0, zorder=2, label=label)
    ax.plot(x, median, color=BLUE, linewidth=1.0, linestyle=(0, (1, 1)), zorder=2.5)
    ax.set_xlim(limits[0])
    ax.set_ylim(limits[1])
    ax.legend(loc="upper left", handlelength=2.6, borderaxespad=0.4, labelspacing=0.35)


def _control_labels(guide2gene: Mapping[str, str], ntc_genes: str | Sequence[str]) -> list[str]:
    wanted = [ntc_genes] if isinstance(ntc_genes, str) else [str(label) for label in ntc_genes]
    known = dict.fromkeys(str(gene) for gene in guide2gene.values())
    found = [label for label in wanted if label in known]
    if not found:
        raise InputError(f"ntc_genes={wanted} matches no target{nearest(wanted[:1], known)}")
    return found


def _replicates(ensemble: Replicates) -> list[pd.DataFrame]:
    return list(ensemble.values()) if isinstance(ensemble, Mapping) else list(ensemble)


def _pooled(
    table: pd.DataFrame | None, ensemble: Replicates | None, labels: Sequence[str]
) -> np.ndarray:
    if ensemble is not None:
        parts = [as_p_vector(part, "NTC groups") for part in _replicates(ensemble)]
        p = np.concatenate(parts) if parts else np.empty(0)
    else:
        assert table is not None
        p = as_p_vector(table[table.index.isin(labels)], "NTC rows")
    if p.size == 0:
        where = "the NTC groups" if ensemble is not None else f"rows {list(labels)} of the table"
        raise InputError(f"{where} hold no p-value; pass grouped NTC p-values or other labels")
    return p
