"""Ticks as plain marks and words: where matplotlib puts them, and nothing is left of them."""

import re

import numpy as np
import pandas as pd
import pytest

from programde import pl
from programde.report.style import figure_of, new_figure, panels, styled
from programde.report.ticks import light_ticks, names_at, unnamed
from programde.report.vector import svg_bytes

from .fake import make_results

_TEXT = re.compile(
    rb'<!-- (.*?) -->\s*<g (?:style="[^"]*" )?transform="translate\(([-\d.]+) ([-\d.]+)\)'
    rb"( rotate\([-\d.]+\))?"
)


def words_of(picture):
    """Every word of a picture: (text, rotation) -> places in points."""
    found = {}
    for word, x, y, turned in _TEXT.findall(svg_bytes(picture)):
        found.setdefault((word, turned), []).append((float(x), float(y)))
    return {key: sorted(places) for key, places in found.items()}


@styled
def assert_same_words(picture):
    figure = figure_of(picture)
    before = words_of(picture)
    with light_ticks(figure):
        light = words_of(picture)
        assert not any(axis.get_visible() for ax in figure.axes for axis in (ax.xaxis, ax.yaxis))
    assert light.keys() == before.keys()
    for key, places in before.items():  # labels are measured at another resolution
        np.testing.assert_allclose(light[key], places, atol=0.3)
    assert words_of(picture) == before


@styled
def lines(**how):
    (ax,) = panels(5, 4)
    ax.plot([1, 10, 100], [0, 0.5, -0.2])
    ax.set(xlabel="along", ylabel="up", **how)
    return ax


@styled
def named(**look):
    (ax,) = panels(5, 4, left=1.2, below=1.2)
    ax.imshow(np.arange(6).reshape(2, 3), aspect="auto")
    names_at(ax.xaxis, range(3), ["one", "a longer name", "$3"], labelrotation=90, length=0)
    names_at(ax.yaxis, range(2), ["above", "below"], **look)
    ax.set_ylabel("rows")
    return ax


def right():
    ax = named(length=0)
    ax.yaxis.tick_right()
    ax.yaxis.set_label_position("right")
    return ax


def falling():
    ax = lines()
    ax.set_xlim(120, -5)
    unnamed(ax.yaxis)
    return ax


@pytest.mark.slow
@pytest.mark.brief
@pytest.mark.parametrize(
    "draw",
    [
        lines,
        lambda: lines(xscale="log"),
        lambda: lines(yscale="symlog"),
        named,
        right,
        falling,
        lambda: pl.heatmap(make_results(8, 5)[0]),
        lambda: pl.inputs(
            pd.Series({"A": 40, "B": 4}),
            np.array([1, 1, 2]),
            pd.Series({"p0": 0.2}),
        ),
    ],
)
def test_words_stand_where_matplotlib_puts_them(draw):
    assert_same_words(draw())


def test_names_are_ticks_for_whoever_asks():
    ax = named()
    assert [label.get_text() for label in ax.get_yticklabels()] == ["above", "below"]
    assert list(ax.get_xticks()) == [0, 1, 2]
    assert ax.get_xticklabels()[0].get_rotation() == 90


def test_marks_stand_on_their_axis_in_view_alone():
    ax = lines(xlim=(0, 50))
    with light_ticks(figure_of(ax)):
        places = [line.get_xdata() for line in ax.lines[1:] if len(line.get_xdata()) == 6]
    np.testing.assert_allclose(places[0], [0, 10, 20, 30, 40, 50])


@pytest.mark.parametrize("what", ["a grid", "a power of ten beside", "a label of its own place"])
def test_an_axis_with_more_than_that_stays(what):
    ax = lines()
    if what == "a grid":
        ax.grid(True, axis="y")
    elif what == "a power of ten beside":
        ax.plot([1], [3e9])
    else:
        ax.yaxis.set_label_coords(-0.2, 0.5)
    before = words_of(ax)
    with light_ticks(figure_of(ax)):
        assert ax.yaxis.get_visible()
        assert not ax.xaxis.get_visible()
        assert words_of(ax).keys() == before.keys()


@styled
def test_a_figure_that_finds_its_layout_stays():
    figure = new_figure(4, 3)
    ax = figure.subplots()
    ax.plot([0, 1])
    with light_ticks(figure):
        assert ax.xaxis.get_visible()
        assert ax.yaxis.get_visible()


def test_what_fails_within_leaves_the_figure_as_it_was():
    ax = lines()
    children = len(figure_of(ax).get_children()), len(ax.get_children())
    with pytest.raises(ZeroDivisionError), light_ticks(figure_of(ax)):
        raise ZeroDivisionError
    assert ax.xaxis.get_visible()
    assert (len(figure_of(ax).get_children()), len(ax.get_children())) == children
