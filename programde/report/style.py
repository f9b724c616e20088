"""How pictures look: colours, line styles, figures without global state, byte-stable PNG.

Colours are Okabe & Ito's (2008, jfly.uni-koeln.de/color), which stay apart under the common kinds
of colour blindness; every curve also has its own line style and marker, so that it survives
greyscale. Figures are `matplotlib.figure.Figure` objects drawn by Agg: nothing here touches pyplot,
so nothing is opened, leaked or left behind. The user's matplotlibrc is ignored while we draw.
"""

from __future__ import annotations

import functools
import os
import re
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, SubFigure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from programde.report.lettering import FAMILY, shortened

BLACK, GREY, PALE = "#000000", "#767676", "#D9D9D9"
ORANGE, SKY, GREEN, YELLOW = "#E69F00", "#56B4E9", "#009E73", "#F0E442"
BLUE, VERMILLION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"

DPI = 144
_RC: dict[str, Any] = {
    "font.family": FAMILY,
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titley": 1.0,  # as it would be found, after measuring every label twice
    "axes.labelsize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#444444",
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.7,
    "text.usetex": False,
    "path.simplify": True,
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}

# One look per kind of p-value, the same in every picture. The order is that of the legend.
CURVES: dict[str, dict[str, Any]] = {
    "raw": {"color": ORANGE, "linestyle": "-", "marker": "o"},
    "skew_normal": {"color": VERMILLION, "linestyle": (0, (6, 1.5)), "marker": "^"},
    "saddlepoint": {"color": BLUE, "linestyle": (0, (4, 1, 1, 1)), "marker": "s"},
    "ntc_empirical": {"color": GREEN, "linestyle": (0, (8, 2)), "marker": "D"},
    "null": {"color": BLACK, "linestyle": (0, (3, 2)), "marker": ""},
    "null_skew": {"color": PURPLE, "linestyle": (0, (1, 1)), "marker": ""},
    "holdout": {"color": BLUE, "linestyle": "-", "marker": "o"},
    "real": {"color": VERMILLION, "linestyle": (0, (6, 1.5)), "marker": "^"},
}
_SPARE: tuple[dict[str, Any], ...] = (
    {"color": PURPLE, "linestyle": "-", "marker": "v"},
    {"color": SKY, "linestyle": (0, (6, 1.5)), "marker": "P"},
    {"color": BLACK, "linestyle": (0, (1, 1)), "marker": "X"},
    {"color": GREEN, "linestyle": (0, (4, 1, 1, 1)), "marker": "*"},
)
NAMES: dict[str, str] = {
    "skew_normal": "skew-normal",
    "ntc_empirical": "NTC empirical",
    "over_conditions": "over conditions",
    "null": "CRT null",
    "null_skew": "CRT null, skew-normal",
}

#: Bytes of a label within the name of a file, which may have 255.
_LONGEST = 160

#: Of matplotlib's settings those that say where windows open, not how a picture looks.
_ELSEWHERE = ("backend", "backend_fallback", "interactive")

P = ParamSpec("P")
R = TypeVar("R")

_under_our_style: ContextVar[bool] = ContextVar("under_our_style", default=False)


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Run a drawing function under this module's style, whatever the user's defaults are.

    Within another styled function nothing is set again: that takes as long as drawing a line.
    """

    @functools.wraps(draw)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        if _under_our_style.get():
            return draw(*args, **kwargs)
        mark = _under_our_style.set(True)
        try:
            with matplotlib.rc_context(_style()):
                return draw(*args, **kwargs)
        finally:
            _under_our_style.reset(mark)

    return wrapper


@functools.cache
def _style() -> Any:
    """Every setting: matplotlib's own defaults, and ours over them (its type lists all names)."""
    defaults: Any = matplotlib.rcParamsDefault
    return {key: defaults[key] for key in defaults if key not in _ELSEWHERE} | _RC


def curve_styles(
    labels: Iterable[str], looks: Mapping[str, str] | None = None
) -> dict[str, dict[str, Any]]:
    """A style per label: that of its kind (by `looks` or its own name), else the next spare one."""
    spare = iter(_SPARE * 100)
    known = {name: style for key, style in CURVES.items() for name in (key, NAMES.get(key, key))}
    kinds = {label: (looks or {}).get(label, label) for label in labels}
    return {label: known[kind] if kind in known else next(spare) for label, kind in kinds.items()}


def display_name(kind: str) -> str:
    """How a kind of p-value is written for people."""
    return NAMES.get(kind, kind)


def new_figure(width: float, height: float) -> Figure:
    """A figure of `width` x `height` inches with an Agg canvas and room made for its labels."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def panels(
    width: float,
    height: float,
    widths: Sequence[float] = (1.0,),
    *,
    left: float = 0.66,
    right: float = 0.12,
    top: float = 0.34,
    below: float = 0.5,
    gap: float = 0.72,
) -> list[Axes]:
    """Panels side by side in a new figure, with given margins.

    Most of what stands around a panel is known beforehand (a line of numbers, a line of words), and
    the rest is a name: see `inches`. To have matplotlib find the margins takes as long as drawing
    the picture, twice.

    Parameters
    ----------
    width, height
        Of the figure, in inches, as all other lengths.
    widths
        Of the panels, relative to each other.
    left, right, top, below
        Margins of the figure.
    gap
        Between panels.
    """
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    share = (width - left - right - gap * (len(widths) - 1)) / sum(widths)
    made, at = [], left
    for one in widths:
        place = (at / width, below / height, one * share / width, 1 - (top + below) / height)
        made.append(figure.add_axes(place))
        at += one * share + gap
    return made


def axes_or_new(ax: Axes | None, width: float, height: float, below: float = 0.5) -> Axes:
    """`ax`, or the one panel of a new figure."""
    return panels(width, height, below=below)[0] if ax is None else ax


def inches(words: Iterable[str], fontsize: float) -> float:
    """How long the longest of some names is when written; 0 where there is none."""
    longest = sorted(words, key=len, reverse=True)[:3]  # letters differ in width
    font = FontProperties(family=_RC["font.family"], size=fontsize)
    points = [text_to_path.get_text_width_height_descent(w, font, False)[0] for w in longest]
    return max(points, default=0.0) / 72


def figure_of(picture: Axes | Figure) -> Figure:
    """The figure that holds an axes; a figure is returned as it is."""
    figure: Any = picture if isinstance(picture, Figure) else picture.figure
    if isinstance(figure, SubFigure):
        figure = figure.figure
    if not isinstance(figure, Figure):
        raise TypeError("the axes belong to no figure")
    return figure


@styled
def png_bytes(picture: Axes | Figure) -> bytes:
    """The picture as PNG; equal pictures give equal bytes (no date, no version inside).

    Drawn by the canvas itself: `Figure.savefig` goes through everything twice.
    """
    figure = figure_of(picture)
    figure.set_dpi(DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return _png(np.asarray(canvas.buffer_rgba())[..., :3])


def _png(pixels: np.ndarray) -> bytes:
    """Pixels (height, width, 3) uint8 as PNG, rows as they are (filter 0).

    Our pictures are flat colours and thin lines, which deflate packs better without the filters
    that an encoder would try on every row, and in half the time. Format: W3C, Portable Network
    Graphics (Second Edition), sections 5, 9 and 11.
    """
    height, width, _ = pixels.shape
    rows = np.zeros((height, 1 + 3 * width), dtype=np.uint8)
    rows[:, 1:] = pixels.reshape(height, 3 * width)
    chunks = {
        b"IHDR": struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0),
        b"IDAT": zlib.compress(rows.tobytes(), 6),
        b"IEND": b"",
    }
    parts = [b"\x89PNG\r\n\x1a\n"]
    for kind, content in chunks.items():
        parts += [struct.pack(">I", len(content)), kind, content]
        parts.append(struct.pack(">I", zlib.crc32(kind + content)))
    return b"".join(parts)


def save_png(picture: Axes | Figure, path: str | os.PathLike[str]) -> Path:
    """Write the picture as PNG: to a temporary file first, then moved; folders are made.

    Raises
    ------
    OSError
        The folder cannot be written.
    """
    return write_atomically(path, png_bytes(picture))


def file_names(labels: Iterable[Any]) -> dict[Any, str]:
    """Labels as parts of file names, each its own.

    Letters, digits, `.`, `-` and `_` stay, all else becomes `_`; a long label loses its
    middle; where two labels would meet in one name, the later ones get `_2`, `_3`, ...
    """
    names: dict[Any, str] = {}
    taken: set[str] = set()
    for label in labels:
        base = re.sub(r"[^\w.\-]", "_", str(label)).strip(".") or "_"
        if len(base.encode("utf-8", "replace")) > _LONGEST:
            base = shortened(base, _LONGEST // 4).replace("…", "_")
        name, n = base, 1
        while name.casefold() in taken:  # some file systems do not tell A from a
            n += 1
            name = f"{base}_{n}"
        taken.add(name.casefold())
        names[label] = name
    return names


def write_atomically(path: str | os.PathLike[str], content: bytes) -> Path:
    """Write bytes to a temporary file beside `path`, then move it there: never half a file."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, suffix=".tmp")
    try:
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(content)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)  # mkstemp makes files private
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return target
