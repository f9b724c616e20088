"""All pictures in one place: `from programde.report import plots`.

Each answers one question. Functions that draw one panel return its Axes, the others a Figure;
`save_png` and `png_bytes` take either.
"""

from __future__ import annotations

from programde.report.effect_plots import effect_heatmap, volcano
from programde.report.ntc_plots import file_names, make_ntc_empirical_qq_plots, qq_plot_ntc_pvals
from programde.report.qq_plots import qq_panel, qq_small_multiples
from programde.report.style import png_bytes, save_png
from programde.report.summary_plots import input_figure, rates_figure, truth_figure

__all__ = [
    "effect_heatmap",
    "file_names",
    "input_figure",
    "make_ntc_empirical_qq_plots",
    "png_bytes",
    "qq_panel",
    "qq_plot_ntc_pvals",
    "qq_small_multiples",
    "rates_figure",
    "save_png",
    "truth_figure",
    "volcano",
]
