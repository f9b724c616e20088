"""Ticks of a finished picture, drawn as what they are: a row of marks and some words.

matplotlib makes five objects of each tick and measures all of them twice. A picture that is written
once, by us, needs neither: its marks become one line, its words texts, and the axis itself is left
out while the picture is written. Where an axis has what is not known here, it stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import markers, rcParams
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator
from matplotlib.transforms import ScaledTranslation

from programde.report.style import figure_of

_SETTINGS: Any = rcParams  # its type lists every name
#: Words of an axis that are measured: the longest ones.
_MEASURED = 4
#: Below lines, as ticks are (`axes.axisbelow`).
_ZORDER = 0.5


def names_at(axis: Axis, places: Iterable[float], names: Sequence[str], **look: Any) -> None:
    """Name places of an axis; unlike `set_ticks` this makes no tick before one is asked for."""
    axis.set_major_locator(FixedLocator(list(places)))
    axis.set_major_formatter(FixedFormatter(list(names)))
    if look:
        axis.set_tick_params(**look)


def unnamed(axis: Axis) -> None:
    """No ticks on an axis."""
    axis.set_major_locator(NullLocator())


@contextmanager
def light_ticks(figure: Figure) -> Iterator[None]:
    """Within this the figure's ticks are plain marks and words, where they can be.

    A figure whose layout is yet to be found stays as it is: that measures ticks.
    """
    replaced: list[tuple[Axis, list[Artist]]] = []
    try:
        if figure.get_layout_engine() is None:
            for ax in figure.axes:
                locator = ax.get_axes_locator()
                ax.apply_aspect(locator(ax, None) if locator is not None else None)  # type: ignore[arg-type]
                axes: tuple[Axis, Axis] = (ax.xaxis, ax.yaxis)
                for axis in axes:
                    made = _plain(ax, axis)
                    if made is not None:
                        axis.set_visible(False)
                        replaced.append((axis, made))
        yield
    finally:
        for axis, made in replaced:
            axis.set_visible(True)
            for artist in made:
                artist.remove()


@dataclass(frozen=True)
class _Look:
    """Marks and words of an axis's major or minor ticks."""

    length: float
    width: float
    pad: float
    color: Any
    labelsize: Any
    labelcolor: Any
    rotation: float

    @classmethod
    def of(cls, axis: Axis, which: str, given: dict[str, Any]) -> _Look:
        name = f"{_name(axis)}tick"
        color = given.get("color", _SETTINGS[f"{name}.color"])
        labelcolor = given.get("labelcolor", _SETTINGS[f"{name}.labelcolor"])
        rotation = given.get("rotation", given.get("labelrotation", 0))  # by version
        return cls(
            given.get("length", _SETTINGS[f"{name}.{which}.size"]),
            given.get("width", _SETTINGS[f"{name}.{which}.width"]),
            given.get("pad", _SETTINGS[f"{name}.{which}.pad"]),
            color,
            given.get("labelsize", _SETTINGS[f"{name}.labelsize"]),
            color if labelcolor == "inherit" else labelcolor,
            rotation if isinstance(rotation, (int, float)) else rotation[1],
        )


def _name(axis: Axis) -> str:
    return str(axis.axis_name)  # type: ignore[attr-defined]


_MARKS: dict[tuple[str, int], Any] = {
    ("x", 1): markers.TICKDOWN,
    ("x", 2): markers.TICKUP,
    ("y", 1): markers.TICKLEFT,
    ("y", 2): markers.TICKRIGHT,
}
_SIDES = {"x": ("bottom", "top"), "y": ("left", "right")}


def _plain(ax: Axes, axis: Axis) -> list[Artist] | None:
    """What is drawn in the place of an axis; None where it stays."""
    if not (axis.get_visible() and ax.axison and getattr(axis, "_autolabelpos", False)):
        return None
    made: list[Artist] = []
    name = _name(axis)
    depth = dict.fromkeys(_SIDES[name], 0.0)
    labelled = bool(axis.label.get_text()) and axis.label.get_visible()
    try:
        for which in ("major", "minor"):
            given = axis.get_tick_params(which)  # type: ignore[arg-type]
            places, words = _shown(axis, which)
            direction = given.get("direction", _SETTINGS[f"{name}tick.direction"])
            if given.get("gridOn") or direction != "out" or words is None:
                _remove(made)
                return None
            look = _Look.of(axis, which, given)
            for number, side in enumerate(_SIDES[name], 1):
                if given.get(side, number == 1) and places.size and look.length:
                    made.append(_marks(ax, name, number, places, look))
                    depth[side] = max(depth[side], look.length)
                if given.get(f"label{side}", number == 1) and any(words):
                    written = _words(ax, name, number, places, words, look)
                    made += written
                    if labelled and side == axis.get_label_position():
                        reach = look.length + look.pad + _extent(written, name, figure_of(ax))
                        depth[side] = max(depth[side], reach)
        if labelled:
            made.append(_label(ax, axis, depth[axis.get_label_position()]))
    except Exception:
        _remove(made)
        raise
    return made


def _remove(made: list[Artist]) -> None:
    for artist in made:
        artist.remove()


def _shown(axis: Axis, which: str) -> tuple[np.ndarray, list[str] | None]:
    """Places of ticks in view, and their words; None where there is more than words."""
    major = which == "major"
    locator = axis.get_major_locator() if major else axis.get_minor_locator()
    if isinstance(locator, NullLocator):
        return np.empty(0), []
    formatter = axis.get_major_formatter() if major else axis.get_minor_formatter()
    places = np.asarray(axis.get_majorticklocs() if major else axis.get_minorticklocs(), float)
    words = formatter.format_ticks(places)  # type: ignore[arg-type]
    if formatter.get_offset():
        return places, None
    through = axis.get_transform().transform
    with np.errstate(all="ignore"):
        at = np.asarray(through(places)) if places.size else places
    low, high = np.sort(through(np.asarray(axis.get_view_interval(), float)))
    near = 1e-10 * abs(high - low)
    inside = (at >= low - near) & (at <= high + near)
    kept = [word for word, here in zip(words, inside, strict=True) if here]
    return places[inside], kept


def _marks(ax: Axes, name: str, number: int, places: np.ndarray, look: _Look) -> Line2D:
    edge = np.full(places.size, number - 1.0)
    transform = ax.get_xaxis_transform if name == "x" else ax.get_yaxis_transform
    line = Line2D(
        *((places, edge) if name == "x" else (edge, places)),
        linestyle="none",
        marker=_MARKS[name, number],
        markersize=look.length,
        markeredgewidth=look.width,
        color=look.color,
        transform=transform(which=f"tick{number}"),  # type: ignore[arg-type]
        zorder=_ZORDER,
        clip_on=False,
    )
    ax.add_artist(line)
    return line


def _words(
    ax: Axes, name: str, number: int, places: np.ndarray, words: Sequence[str], look: _Look
) -> list[Text]:
    of_side = {
        ("x", 1): ax.get_xaxis_text1_transform,
        ("x", 2): ax.get_xaxis_text2_transform,
        ("y", 1): ax.get_yaxis_text1_transform,
        ("y", 2): ax.get_yaxis_text2_transform,
    }[name, number]
    transform, va, ha = of_side(look.length + look.pad)
    edge = number - 1.0
    figure: Any = figure_of(ax)
    how: dict[str, Any] = {
        "transform": transform,
        "va": va,
        "ha": ha,
        "fontsize": look.labelsize,
        "color": look.labelcolor,
        "rotation": look.rotation,
        "zorder": _ZORDER,
    }
    made = [
        Text(at if name == "x" else edge, edge if name == "x" else at, word, **how)
        for at, word in zip(places.tolist(), words, strict=True)
        if word
    ]
    for text in made:  # the figure's own: an axes would give each a path to clip it by
        figure.add_artist(text)
    return made


def _extent(words: list[Text], name: str, figure: Figure) -> float:
    """How far the longest of some words reach, in points, across their axis."""
    longest = sorted(words, key=lambda text: len(text.get_text()), reverse=True)[:_MEASURED]
    boxes = [text.get_window_extent() for text in longest]
    sizes = [box.height if name == "x" else box.width for box in boxes]
    return max(sizes, default=0.0) * 72 / figure.dpi


def _label(ax: Axes, axis: Axis, depth: float) -> Text:
    """The axis's label, beyond its words."""
    points = depth + axis.labelpad
    side = axis.get_label_position()
    away = -points / 72 if side in ("bottom", "left") else points / 72
    edge = 0.0 if side in ("bottom", "left") else 1.0
    along = axis.label.get_position()[0 if _name(axis) == "x" else 1]
    shift = (0.0, away) if _name(axis) == "x" else (away, 0.0)
    text = Text()
    text.update_from(axis.label)
    text.set_text(axis.label.get_text())
    text.set_rotation_mode(axis.label.get_rotation_mode())
    text.set_position((along, edge) if _name(axis) == "x" else (edge, along))
    text.set_clip_on(False)
    figure: Any = figure_of(ax)
    ax.add_artist(text)
    text.set_transform(ax.transAxes + ScaledTranslation(*shift, figure.dpi_scale_trans))
    return text
