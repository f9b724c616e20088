"""The pictures of the report, one by one: ``from programde import pl``.

Each takes plain tables and returns matplotlib's Axes, or a Figure where it has several panels.
Nothing is shown or saved: ``pl.volcano(results).figure.savefig("volcano.pdf")``. Names are written
letter by letter, whatever they hold; long ones lose their middle.
"""

from __future__ import annotations

from programde.report.contrasts import contrast_scatter as condition_scatter
from programde.report.effect_plots import effect_heatmap as heatmap
from programde.report.effect_plots import volcano
from programde.report.hit_plots import forest, violin
from programde.report.hit_plots import positive_controls_plot as positive_controls
from programde.report.power_plots import power_figure as power
from programde.report.qq_plots import qq_panel as qq
from programde.report.qq_plots import qq_small_multiples as qq_grid
from programde.report.similarity import program_tree
from programde.report.similarity import similarity_figure as target_similarity
from programde.report.summary_plots import input_figure as inputs
from programde.report.summary_plots import rates_figure as rates
from programde.report.summary_plots import truth_figure as truth

__all__ = [
    "condition_scatter",
    "forest",
    "heatmap",
    "inputs",
    "positive_controls",
    "power",
    "program_tree",
    "qq",
    "qq_grid",
    "rates",
    "target_similarity",
    "truth",
    "violin",
    "volcano",
]
