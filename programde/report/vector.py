"""Pictures as SVG, where that is small: lines and letters stay sharp at any size.

Letters are outlines, so that a picture looks the same where its font is not installed. Equal
pictures give equal bytes: no date, no version, and names of shared parts that follow from what they
hold.
"""

from __future__ import annotations

import io
import os
import re
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from programde.report.style import figure_of, png_bytes, styled, write_atomically
from programde.report.ticks import light_ticks

#: More points than this make an SVG larger than the pixels.
MOST_POINTS = 600
#: A larger SVG gives way to pixels.
MOST_BYTES = 160_000
_SALT: Any = {"svg.hashsalt": "programde", "svg.fonttype": "path"}
_NOTHING = {"Date": None, "Creator": None, "Format": None, "Type": None}
_SIZE = re.compile(rb'<svg [^>]*?height="([\d.]+)pt"[^>]*?width="([\d.]+)pt"', re.DOTALL)
_SIZE_OTHER = re.compile(rb'<svg [^>]*?width="([\d.]+)pt"[^>]*?height="([\d.]+)pt"', re.DOTALL)
_PIXELS_PER_POINT = 96 / 72


def n_points(picture: Axes | Figure) -> int:
    """Points of all scatters and lines of a picture, that is about what an SVG of it lists."""
    total = 0
    for ax in figure_of(picture).axes:
        for line in ax.lines:
            total += len(np.asarray(line.get_xdata())) // 4
        for points in ax.collections:
            total += len(np.asarray(points.get_offsets()))
    return total


@styled
def svg_bytes(picture: Axes | Figure) -> bytes:
    """The picture as SVG; equal pictures give equal bytes."""
    canvas = FigureCanvasSVG(figure_of(picture))
    written = io.BytesIO()
    with matplotlib.rc_context(_SALT):
        canvas.print_svg(written, metadata=_NOTHING)
    text = written.getvalue()
    return text[text.index(b"<svg") :]  # without the declaration, which names a place elsewhere


@styled
def picture_bytes(picture: Axes | Figure) -> bytes:
    """The picture as SVG where that is small, else as PNG; its ticks as `ticks` says."""
    with light_ticks(figure_of(picture)):
        if n_points(picture) <= MOST_POINTS:
            made = svg_bytes(picture)
            if len(made) <= MOST_BYTES:
                return made
        return png_bytes(picture)


def is_svg(content: bytes) -> bool:
    """Whether a picture's bytes are SVG."""
    return content.startswith(b"<svg")


def svg_size(content: bytes) -> tuple[int, int]:
    """Width and height of an SVG, in pixels of a page; 0 where it does not say."""
    if found := _SIZE.search(content[:2000]):
        height, width = found.groups()
    elif found := _SIZE_OTHER.search(content[:2000]):
        width, height = found.groups()
    else:
        return 0, 0
    return round(float(width) * _PIXELS_PER_POINT), round(float(height) * _PIXELS_PER_POINT)


def save_picture(picture: Axes | Figure, path: str | os.PathLike[str]) -> Path:
    """Write a picture beside others of its run: its path, with the ending that it got.

    Parameters
    ----------
    path
        Without an ending: ``.svg`` where that is small, ``.png`` else.

    Raises
    ------
    OSError
        The folder cannot be written.
    """
    content = picture_bytes(picture)
    base = Path(path)
    ending = "svg" if is_svg(content) else "png"
    return write_atomically(base.with_name(f"{base.name}.{ending}"), content)
