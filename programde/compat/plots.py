"""The QQ plot of controls as the original draws it: on a figure that ``plt.show()`` shows."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec

from matplotlib.axes import Axes

from programde.report import ntc_plots

P = ParamSpec("P")


def _on_pyplot(draw: Callable[P, Axes]) -> Callable[P, Axes]:
    """`draw`, with a new figure of pyplot's where no axes are given.

    Figures of this package are otherwise their own, so that nothing stays open in long runs.
    """

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Axes:
        options: dict[str, Any] = dict(kwargs)
        figure = None
        if options.get("ax") is None:
            import matplotlib.pyplot as plt

            figure = plt.figure(figsize=(5.6, 5.4), layout="constrained")
            options["ax"] = figure.add_subplot()
        try:
            return draw(*args, **options)  # type: ignore[arg-type]
        except BaseException:
            if figure is not None:
                plt.close(figure)
            raise

    return drawn


qq_plot_ntc_pvals = _on_pyplot(ntc_plots.qq_plot_ntc_pvals)
