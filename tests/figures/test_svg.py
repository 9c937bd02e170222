"""SVGs that are smaller and show the same."""

import io
import re

import numpy as np
import pytest

from largestep.figures.labels import axis_label, readable
from largestep.figures.style import figure, looks
from largestep.figures.svg import compact


def absolute(path):
    """Return the points that a path of M, l and z passes through."""
    points, here = [], np.zeros(2)
    for command, numbers in re.findall(r"([Mlz])([^Mlz]*)", path):
        if command == "z":
            continue
        there = np.array([float(x) for x in re.findall(r"-?\d*\.?\d+", numbers)])
        here = there if command == "M" else here + there
        points.append(here)
    return np.array(points)


def test_a_line_passes_where_it_did_to_a_tenth_of_a_point(rng):
    points = np.cumsum(rng.normal(size=(400, 2)), axis=0)
    long = "M " + "\nL ".join(f"{x:.6f} {y:.6f}" for x, y in points)
    short = re.search(r' d="([^"]*)"', compact(f'<path d="{long}"/>'))[1]
    found = absolute(short)
    assert len(short) < len(long) / 2
    # Points on a straight line may go, none may be added.
    apart = np.abs(points[:, None] - found[None]).max(axis=-1)
    assert apart.min(axis=0).max() <= 0.0501
    np.testing.assert_allclose(found[-1], points[-1], atol=0.0501)


def test_curves_and_glyphs_stay():
    curve = '<path d="M 0 0.123456 C 1 2 3 4 5 6 "/>'
    assert "C 1 2 3 4 5 6" in compact(curve)
    glyph = '<defs><path id="DejaVuSans-30" d="M 2034.123456 4250"/></defs>'
    assert compact(glyph) == glyph.replace("DejaVuSans-", "D")


def test_marks_keep_a_style_of_their_own_only():
    mark = '<path id="m1" d="M0 0" style="stroke: #000000"/>'
    same, other = (
        f'<use xlink:href="#m1" x="1" style="stroke: #{c}"/>' for c in ("000000", "ff0000")
    )
    assert compact(mark + same + other) == mark + '<use xlink:href="#m1" x="1"/>' + other


def test_a_figure_is_the_same_each_time_and_names_no_time():
    def drawn():
        drawing, (ax,) = figure(1, 1, size=(2, 2))
        ax.plot([0, 1, 2], [1, 0, 2])
        file = io.StringIO()
        drawing.savefig(file, format="svg", metadata={"Date": None})
        return compact(file.getvalue())

    assert "<metadata>" not in drawn()
    assert "<svg" in drawn()


def test_no_two_schedules_look_alike_without_colour():
    found = looks(["small", "10%", "30%", "50%", "LossStabilization"])
    signs = [(str(look.dashes), look.marker) for look in found.values()]
    assert len(set(signs)) == len(signs)


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("0.282, /1.5 at 50%", "0.282 until 50 %, then ÷1.5"),
        ("0.04 ↗ 0.18, /5 at 50%", "0.04 ↗ 0.18 until 50 %, then ÷5"),
        ("<b>$x$</b>", "<b>$x$</b>"),
    ],
)
def test_labels_read_as_words(label, words):
    assert readable(label) == words


def test_axis_labels_are_short():
    assert axis_label("training loss") == "training loss"
    assert max(map(len, axis_label("a quantity with quite a long name indeed").split("\n"))) < 28
