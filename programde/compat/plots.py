"""The QQ plot of controls as the original draws it: on a figure that ``plt.show()`` shows.

Drawn is `programde.report.ntc_plots.qq_plot_ntc_pvals`; what a caller asks of looks is changed
afterwards, where it differs from the defaults.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection, PolyCollection

from programde.compat.propensity import ignored
from programde.errors import InputError
from programde.report import ntc_plots, qq

Replicates = ntc_plots.Replicates

_LABELS = {
    "label_ntc_raw": ("NTC (raw)", ("NTC groups, raw", "NTC, raw")),
    "label_skew": ("NTC (skew)", ("NTC groups, skew-normal", "NTC, skew-normal")),
    "label_null": ("null", ("CRT null (",)),
    "label_null_skew": ("null (skew)", ("CRT null, skew-normal",)),
    "label_all": ("All observed", ("all observed",)),
}
_COLORS = {
    "color_ntc_raw": ("#1f77b4", "label_ntc_raw"),
    "color_skew": ("#ff7f0e", "label_skew"),
    "color_null": ("#7f7f7f", "label_null"),
    "color_null_skew": ("#2ca02c", "label_null_skew"),
    "color_all": ("#9467bd", "label_all"),
}


def qq_plot_ntc_pvals(
    pvals_raw_df: pd.DataFrame,
    guide2gene: Mapping[str, str],
    ntc_genes: str | Sequence[str],
    *,
    pvals_skew_df: pd.DataFrame | None = None,
    null_pvals: np.ndarray | None = None,
    null_stats: np.ndarray | None = None,
    null_two_sided: bool = True,
    show_null_skew: bool = False,
    null_skew_samples: int | None = None,
    null_skew_seed: int = 0,
    expected_grid_raw: np.ndarray | None = None,
    expected_grid_all: np.ndarray | None = None,
    ntc_group_pvals_ens: Replicates | None = None,
    ntc_group_pvals_skew_ens: Replicates | None = None,
    show_ntc_ensemble_band: bool = False,
    ntc_band_quantiles: tuple[float, float] | None = None,
    ntc_band_alpha: float = 0.15,
    ax: Axes | None = None,
    title: str | None = None,
    label_ntc_raw: str = "NTC (raw)",
    label_skew: str = "NTC (skew)",
    label_null: str = "null",
    label_null_skew: str = "null (skew)",
    label_all: str = "All observed",
    color_ntc_raw: str = "#1f77b4",
    color_skew: str = "#ff7f0e",
    color_null: str = "#7f7f7f",
    color_null_skew: str = "#2ca02c",
    color_all: str = "#9467bd",
    all_marker: str = ".",
    all_marker_size: float = 12.0,
    all_alpha: float = 0.6,
    show_ref_line: bool = True,
    show_conf_band: bool = True,
    conf_alpha: float = 0.05,
    conf_color: str = "#d9d9d9",
    show_all_pvals: bool = True,
) -> Axes:
    """QQ plot of negative-control p-values: raw and skew-normal, against uniform and the CRT null.

    Parameters
    ----------
    pvals_raw_df, guide2gene, ntc_genes, pvals_skew_df, null_pvals, null_stats
        See `programde.report.ntc_plots.qq_plot_ntc_pvals`.
    null_two_sided
        Whether null p-values made from `null_stats` are two-sided; False: right-sided.
    show_null_skew
        See `programde.report.ntc_plots.qq_plot_ntc_pvals`.
    null_skew_samples, null_skew_seed
        So many of the null statistics, drawn at random, in the skew-normal null curve; None: all.
    expected_grid_raw, expected_grid_all
        Each curve has expected quantiles of its own number of p-values; others are ignored.
    ntc_group_pvals_ens, ntc_group_pvals_skew_ens, show_ntc_ensemble_band
        See `programde.report.ntc_plots.qq_plot_ntc_pvals`.
    ntc_band_quantiles, ntc_band_alpha
        Quantiles over partitions that the band shows (None: quartiles), and its opacity.
    ax
        Where to draw; default: a new figure of pyplot's.
    title
        Title.
    label_ntc_raw, label_skew, label_null, label_null_skew, label_all
        Words of the legend; at their defaults they are those of this package's pictures.
    color_ntc_raw, color_skew, color_null, color_null_skew, color_all
        Colours of the curves, likewise.
    all_marker, all_marker_size, all_alpha
        Looks of the points of all p-values, likewise.
    show_ref_line, show_conf_band, conf_alpha, conf_color
        The diagonal; the pointwise band of uniform p-values, its level 1 - conf_alpha and colour.
    show_all_pvals
        All p-values of `pvals_raw_df` as points.

    Returns
    -------
    Axes
        Of matplotlib.

    Raises
    ------
    InputError
        No control label exists, no NTC p-value is left, or an input that an option needs is
        missing.

    Examples
    --------
    >>> import pandas as pd, programde as pde
    >>> p = pd.DataFrame({"p0": [0.2, 0.7], "p1": [0.5, 0.9]}, index=["A", "NTC"])
    >>> genes = {"g1": "A", "c1": "NTC"}
    >>> ax = pde.qq_plot_ntc_pvals(p, genes, "NTC", null_pvals=p.to_numpy(), title="controls")
    >>> ax.get_title(loc="left")
    'controls'
    """
    given = dict(locals())
    for name, grid in (
        ("expected_grid_raw", expected_grid_raw),
        ("expected_grid_all", expected_grid_all),
    ):
        if grid is not None:
            _check_grid(name, grid)
    stats = None if null_stats is None else np.asarray(null_stats, dtype=np.float64)
    if stats is not None and null_pvals is None and not null_two_sided:
        from programde.calibration.empirical import leave_one_out_p

        null_pvals = leave_one_out_p(stats, "right")
    if stats is not None and show_null_skew and null_skew_samples is not None:
        if null_pvals is None:
            null_pvals = ntc_plots.leave_one_out(stats)
        rng = np.random.default_rng(null_skew_seed)
        chosen = rng.choice(len(stats), min(int(null_skew_samples), len(stats)), replace=False)
        stats = stats[np.sort(chosen)]
    figure = None
    if ax is None:
        import matplotlib.pyplot as plt

        figure = plt.figure(figsize=(5.6, 5.4), layout="constrained")
        ax = figure.add_subplot()
    try:
        ntc_plots.qq_plot_ntc_pvals(
            pvals_raw_df,
            guide2gene,
            ntc_genes,
            pvals_skew_df=pvals_skew_df,
            null_pvals=null_pvals,
            null_stats=stats,
            ntc_group_pvals_ens=ntc_group_pvals_ens,
            ntc_group_pvals_skew_ens=ntc_group_pvals_skew_ens,
            show_ntc_ensemble_band=show_ntc_ensemble_band and ntc_band_quantiles is None,
            show_all_pvals=show_all_pvals,
            show_null_skew=show_null_skew,
            title=title,
            ax=ax,
        )
        if show_ntc_ensemble_band and ntc_band_quantiles and ntc_group_pvals_ens is not None:
            _band_over_partitions(ax, ntc_group_pvals_ens, ntc_band_quantiles)
        _dress(ax, given)
    except BaseException:
        if figure is not None:
            import matplotlib.pyplot as plt

            plt.close(figure)
        raise
    return ax


def _check_grid(name: str, grid: np.ndarray) -> None:
    """Say so where a grid is not the expected quantiles of its own number of p-values."""
    values = np.sort(np.asarray(grid, dtype=np.float64).ravel())
    if not np.allclose(values, qq.expected_quantiles(values.size)):
        ignored(name, f"{values.size} values", "a curve's own number of p-values sets them")


def _band_over_partitions(ax: Axes, ensemble: Replicates, quantiles: tuple[float, float]) -> None:
    tables = list(ensemble.values()) if isinstance(ensemble, Mapping) else list(ensemble)
    curves = [np.asarray(table, dtype=np.float64).ravel() for table in tables]
    curves = [curve[np.isfinite(curve)] for curve in curves]
    low, high = (float(q) for q in quantiles)
    if not 0 <= low < high <= 1:
        raise InputError(f"ntc_band_quantiles={quantiles} must be two rising numbers in 0 to 1")
    grid = qq.qq_expected_grid(int(np.median([curve.size for curve in curves])))
    heights = np.stack([qq.on_grid(curve, grid) for curve in curves])
    seen = ~np.isnan(heights).all(axis=0)
    bottom, top = np.nanquantile(heights[:, seen], [low, high], axis=0)
    limits = ax.get_xlim(), ax.get_ylim()
    label = f"{low:.0%} to {high:.0%} of {len(curves)} partitions"
    x = -np.log10(grid[seen])
    ax.fill_between(x, bottom, top, color="#1f77b4", alpha=0.22, linewidth=0, zorder=2, label=label)
    ax.set(xlim=limits[0], ylim=limits[1])


def _dress(ax: Axes, given: Mapping[str, Any]) -> None:
    """Words and looks that differ from the defaults; a new legend where any do."""
    for key, (usual, names) in _LABELS.items():
        for artist in _artists(ax, names):
            count = str(artist.get_label()).split(" (", 1)[-1]
            if given[key] != usual:
                artist.set_label(f"{given[key]} ({count}")
            artist.set_gid(key)
    for key, (usual, owner) in _COLORS.items():
        if given[key] != usual:
            artists: list[Any] = [*ax.lines, *ax.collections]
            for artist in artists:
                if artist.get_gid() == owner:
                    artist.set_color(given[key])
    if (given["all_marker"], given["all_marker_size"], given["all_alpha"]) != (".", 12.0, 0.6):
        _dress_points(ax, given)
    if not given["show_ref_line"]:
        ax.lines[0].remove()
    for band in [c for c in ax.collections if str(c.get_label()).startswith("95 % band")]:
        _dress_band(ax, band, given)
    if given["ntc_band_alpha"] != 0.15:
        for band in ax.collections:
            if "partitions" in str(band.get_label()):
                band.set_alpha(given["ntc_band_alpha"])
    if ax.get_legend() is not None:
        ax.legend(loc="upper left", handlelength=2.6, borderaxespad=0.4, labelspacing=0.35)


def _artists(ax: Axes, names: tuple[str, ...]) -> list[Any]:
    return [a for a in [*ax.lines, *ax.collections] if str(a.get_label()).startswith(names)]


def _dress_points(ax: Axes, given: Mapping[str, Any]) -> None:
    clouds = [c for c in ax.collections if isinstance(c, PathCollection) and c.get_zorder() == 1.5]
    for cloud in clouds:
        points = np.asarray(cloud.get_offsets())
        ax.scatter(
            points[:, 0],
            points[:, 1],
            marker=given["all_marker"],
            s=given["all_marker_size"],
            alpha=given["all_alpha"],
            color=given["color_all"],
            linewidths=0,
            zorder=1.5,
        )
        cloud.remove()


def _dress_band(ax: Axes, band: PolyCollection | Any, given: Mapping[str, Any]) -> None:
    if given["show_conf_band"] and given["conf_alpha"] == 0.05 and given["conf_color"] == "#d9d9d9":
        return
    words = str(band.get_label())
    band.remove()
    if not given["show_conf_band"]:
        return
    m = int(words.split("band, ")[1].split(" ")[0].replace(",", ""))
    level = 1 - float(given["conf_alpha"])
    limits = ax.get_xlim(), ax.get_ylim()
    label = words.replace("95 %", f"{100 * level:g} %")
    ax.fill_between(
        *qq.beta_band(m, level), color=given["conf_color"], linewidth=0, zorder=0.5, label=label
    )
    ax.set(xlim=limits[0], ylim=limits[1])
