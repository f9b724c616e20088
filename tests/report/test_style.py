"""Pictures: equal bytes on every drawing, no global state, nothing half-written."""

import subprocess
import sys
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes

from programde.report.qq_plots import qq_panel
from programde.report.style import (
    CURVES,
    curve_styles,
    new_figure,
    png_bytes,
    save_png,
    styled,
    write_atomically,
)
from programde.report.vector import picture_bytes, save_picture, svg_bytes, svg_size

P = np.random.default_rng(0).uniform(size=300)


@pytest.mark.slow
@pytest.mark.brief
def test_png_is_byte_stable_and_tells_no_version():
    first, again = png_bytes(qq_panel({"raw": P})), png_bytes(qq_panel({"raw": P}))
    assert first == again
    assert first.startswith(b"\x89PNG")
    assert b"atplotlib" not in first
    assert png_bytes(qq_panel({"raw": P**2})) != first


def test_bytes_do_not_depend_on_the_users_defaults():
    plain = png_bytes(qq_panel({"raw": P}))
    with matplotlib.rc_context({"font.size": 20, "axes.grid": True, "lines.linewidth": 9}):
        assert png_bytes(qq_panel({"raw": P})) == plain
        assert matplotlib.rcParams["font.size"] == 20
    assert matplotlib.rcParams["font.size"] != 9.5


@pytest.mark.slow
def test_pyplot_is_never_imported():
    code = "import sys; import programde.report.run_page; print('matplotlib.pyplot' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.slow
@pytest.mark.brief
def test_svg_is_byte_stable_small_and_taken_where_there_are_few_points():
    few = {"raw": P[:50]}
    first = svg_bytes(qq_panel(few))
    assert first == svg_bytes(qq_panel(few))
    taken = picture_bytes(qq_panel(few))  # ticks are drawn more cheaply, see test_ticks
    assert taken == picture_bytes(qq_panel(few))
    assert first.startswith(b"<svg")
    assert taken.startswith(b"<svg")
    assert b"Matplotlib" not in first  # which would tell its version
    ElementTree.fromstring(first)
    figure = qq_panel(few).figure
    assert svg_size(first) == tuple(round(96 * inch) for inch in figure.get_size_inches())
    ax = new_figure(3, 2).add_subplot()
    ax.scatter(np.arange(5000), np.arange(5000))
    assert picture_bytes(ax).startswith(b"\x89PNG")


def test_a_picture_gets_its_ending(tmp_path):
    assert save_picture(qq_panel({"raw": P[:50]}), tmp_path / "a.b").name == "a.b.svg"


def test_save_png_makes_folders_and_leaves_no_temporary_file(tmp_path):
    path = save_png(qq_panel({"raw": P}), tmp_path / "a" / "b" / "qq.png")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert [f.name for f in path.parent.iterdir()] == ["qq.png"]


def test_a_failed_write_keeps_the_old_file(tmp_path):
    path = write_atomically(tmp_path / "x.bin", b"old")
    with pytest.raises(TypeError):
        write_atomically(path, "text is no bytes")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert [f.name for f in tmp_path.iterdir()] == ["x.bin"]


def test_known_kinds_keep_their_look_and_others_differ():
    styles = curve_styles(["mine", "saddlepoint", "yours", "skew-normal"])
    assert styles["saddlepoint"] == CURVES["saddlepoint"]
    assert styles["skew-normal"] == CURVES["skew_normal"]
    assert styles["mine"] != styles["yours"]
    looks = [tuple(map(str, style.values())) for style in CURVES.values()]
    kinds = ["raw", "skew_normal", "saddlepoint", "ntc_empirical", "null", "null_skew"]
    assert len({looks[list(CURVES).index(kind)][1:] for kind in kinds}) == len(kinds)


def test_curve_colours_differ_in_greyscale_or_line():
    """No two kinds share line style and marker, so none relies on colour alone."""
    kinds = ["raw", "skew_normal", "saddlepoint", "ntc_empirical", "null", "null_skew"]
    assert len({(str(CURVES[k]["linestyle"]), CURVES[k]["marker"]) for k in kinds}) == len(kinds)


def test_styled_returns_what_the_function_returns():
    @styled
    def draw() -> Axes:
        return new_figure(2, 2).add_subplot()

    assert isinstance(draw(), Axes)
