"""Pictures one by one: ``pde.pl.volcano(adata)``, of an AnnData that ``pde.tl.test`` has analysed.

Each of `qq`, `volcano`, `heatmap`, `hit` and `power` takes such an AnnData and returns matplotlib's
Axes; in a notebook it shows the picture too, unless it was drawn into somebody's Axes (``ax=``).
All but `hit` take plain tables as well, as the others do, and then return Axes, or a Figure where
they have several panels. Nothing is saved: ``pl.volcano(adata).figure.savefig("volcano.pdf")``.
Names are written letter by letter, whatever they hold; long ones lose their middle.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from programde import get
from programde.errors import InputError, ProgramDEWarning, nearest
from programde.progress import in_notebook
from programde.report import control_groups, effect_plots, power_plots, qq_plots
from programde.report.contrasts import contrast_scatter as condition_scatter
from programde.report.hit_plots import forest, violin
from programde.report.hit_plots import positive_controls_plot as positive_controls
from programde.report.power import Missed, Power
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
    "hit",
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


def qq(data: Any, *, key: str = get.KEY, **options: Any) -> Axes:
    """P-values of groups of control guides against chance, all tests of targets in grey.

    Parameters
    ----------
    data
        An AnnData with results; or label -> p-values, see `report.qq_plots.qq_panel`.
    key
        Where in `uns` the results are.
    **options
        Of `report.qq_plots.qq_panel`: `ax`, `title`, ...

    Returns
    -------
    Axes
        Of matplotlib.

    Examples
    --------
    >>> import programde as pde
    >>> adata = pde.make_sceptre_style_synth(N=800, K=5, n_target_genes=10, seed=0)
    >>> table = pde.tl.test(adata, usage_key="usage", n_resamples=0)
    >>> pde.pl.qq(adata, title="controls").get_title(loc="left")
    'controls'
    """
    if not hasattr(data, "uns"):
        return qq_plots.qq_panel(data, **options)
    asked = get.settings(data, key)["calibration"]
    used = "raw" if asked == "none" else str(asked)
    tables = control_groups.tables_by_kind(get.controls(data, key))
    table = tables[used]
    one = control_groups.tests_of_one_partition(table)
    told = {"scatter": {"targets": get.results(data, key)["p_value"]}, "band_m": one}
    return _shown(qq_plots.qq_panel({used: table}, **{**told, **options}), options)


def volcano(data: Any, *, key: str = get.KEY, **options: Any) -> Axes:
    """Effect against evidence, a point per target x program.

    Parameters
    ----------
    data
        An AnnData with results, or their table.
    key
        Where in `uns` the results are.
    **options
        Of `report.effect_plots.volcano`: `level`, `n_labels`, `ax`, `title`, ...

    Returns
    -------
    Axes
        Of matplotlib.

    Examples
    --------
    >>> import programde as pde
    >>> adata = pde.make_sceptre_style_synth(N=800, K=5, n_target_genes=10, seed=0)
    >>> table = pde.tl.test(adata, usage_key="usage", n_resamples=0)
    >>> pde.pl.volcano(adata, title="all tests").get_title(loc="left")
    'all tests'
    """
    drawn = effect_plots.volcano(_table(data, key), **options)
    return _shown(drawn, options) if hasattr(data, "uns") else drawn


def heatmap(data: Any, *, key: str = get.KEY, **options: Any) -> Axes | Figure:
    """Evidence of targets x programs, signed; hits are marked.

    Parameters
    ----------
    data
        An AnnData with results: its Axes come back; or their table: the Figure.
    key
        Where in `uns` the results are.
    **options
        Of `report.effect_plots.effect_heatmap`: `level`, `max_targets`, `max_programs`, `title`.

    Returns
    -------
    Axes or Figure
        Of matplotlib, as said at `data`.

    Examples
    --------
    >>> import programde as pde
    >>> adata = pde.make_sceptre_style_synth(N=800, K=5, n_target_genes=10, seed=0)
    >>> table = pde.tl.test(adata, usage_key="usage", n_resamples=0)
    >>> len(pde.pl.heatmap(adata).get_yticks())
    10
    """
    figure = effect_plots.effect_heatmap(_table(data, key), **options)
    return _shown(figure.axes[0], options) if hasattr(data, "uns") else figure


def hit(adata: Any, target: str, program: str, *, key: str = get.KEY, **options: Any) -> Axes:
    """Usages of one program in the cells of one target and in its control cells.

    Parameters
    ----------
    adata
        An AnnData with results; its cells are read again as `tl.test` read them.
    target, program
        Which test.
    key
        Where in `uns` the results are.
    **options
        Of `report.hit_plots.violin`: `ax`, `title`, `labels`.

    Returns
    -------
    Axes
        Of matplotlib.

    Raises
    ------
    InputError
        There is no such test.

    Examples
    --------
    >>> import programde as pde
    >>> adata = pde.make_sceptre_style_synth(N=800, K=5, n_target_genes=10, seed=0)
    >>> table = pde.tl.test(adata, usage_key="usage", n_resamples=0)
    >>> first = table.sort_values("p_value").iloc[0]
    >>> pde.pl.hit(adata, first["target"], first["program"]).get_ylabel()
    'usage of the program'
    """
    from programde.analysis.hit_cells import hit_cells
    from programde.crt.control_group import choose_control

    table = get.results(adata, key)
    chosen = table[(table["target"] == target) & (table["program"] == program)]
    for name, value in (("target", target), ("program", program)):
        if value not in set(table[name]):
            raise InputError(f"{name}={value!r} was not tested{nearest(value, set(table[name]))}")
    settings = get.settings(adata, key)
    screen = _screen(adata, settings)
    control = choose_control(screen, settings["control"], list(settings["ntc_labels"]))
    rows = chosen.iloc[:1].assign(condition="")
    cells = hit_cells(screen, rows, control)[0]
    said = {"title": f"{target} on {program}"} | options
    return _shown(violin(cells.treated, cells.control, **said), options)


def power(data: Any, *more: Any, key: str = get.KEY, **options: Any) -> Axes | Figure:
    """Which share of known effects is found, by their size.

    Parameters
    ----------
    data
        An AnnData that ``tl.test(..., power=True)`` has analysed: the Axes come back; or what
        `report.power_plots.power_figure` takes: the Figure.
    *more
        What else that takes.
    key
        Where in `uns` the results are.
    **options
        Of `report.power_plots.power_figure`.

    Returns
    -------
    Axes or Figure
        Of matplotlib, as said at `data`.

    Raises
    ------
    InputError
        No power is kept, or too little to draw.

    Examples
    --------
    >>> import programde as pde
    >>> adata = pde.make_sceptre_style_synth(N=800, K=3, n_target_genes=10, seed=0)
    >>> table = pde.tl.test(adata, usage_key="usage", n_resamples=0, n_partitions=0, power=True)
    >>> pde.pl.power(adata).get_ylabel()
    'found'
    """
    if not hasattr(data, "uns"):
        return power_plots.power_figure(data, *more, **options)
    about = get.kept(data, key).get("power")
    if about is None:
        raise InputError(f"uns[{key!r}] has no 'power': pde.tl.test(..., power=True) makes it")
    known = Missed(
        about["table"],
        n_treated=int(about["n_treated"]),
        effective_size=float(about["effective_size"]),
        smallest_p=float(about["smallest_p"]),
    )
    measured = Power(about["table"], known.smallest_p)
    if measured.why_not:
        raise InputError(measured.why_not)
    figure = power_plots.power_figure(measured, known.share, known.n_treated, known.planned())
    return _shown(figure.axes[0], options)


def _shown(axes: Axes, options: Mapping[str, Any]) -> Axes:
    """In a notebook the picture is shown, as those of pyplot are; these are none of pyplot's."""
    figure = axes.figure
    if in_notebook() and options.get("ax") is None and isinstance(figure, Figure):
        from IPython.display import Image, display  # part of every notebook

        picture = io.BytesIO()
        figure.savefig(picture, format="png", dpi=100)
        display(Image(data=picture.getvalue()))
    return axes


def _table(data: Any, key: str) -> pd.DataFrame:
    """The results of an AnnData; a table as it is."""
    return get.results(data, key) if hasattr(data, "uns") else data


def _screen(adata: Any, settings: dict[str, Any]) -> Any:
    """The screen as `tl.test` read it."""
    import inspect

    from programde.io.anndata import screen_from_anndata

    known = inspect.signature(screen_from_anndata).parameters
    given = {name: value for name, value in settings.items() if name in known}
    plain: dict[str, Any] = {name: list(value) if hasattr(value, "shape") and value.shape else value
             for name, value in given.items()}  # fmt: skip
    with warnings.catch_warnings():  # what reading changes was told by tl.test
        warnings.simplefilter("ignore", ProgramDEWarning)
        return screen_from_anndata(adata, **plain)
