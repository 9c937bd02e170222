import numpy as np
import xarray as xr

from largestep.figures import curves
from largestep.figures.style import figure


def quantity(lost_at):
    """Return four seeds of which one is lost at each of these steps."""
    step = np.arange(10)
    values = np.ones((1, 4, 10))
    for seed, at in enumerate(lost_at):
        values[0, seed, at:] = np.nan
    return xr.DataArray(
        values,
        dims=("schedule", "seed", "step"),
        coords={"schedule": ["0.1"], "seed": range(4), "step": step},
        name="loss",
    )


def drawn(lost_at):
    _, (ax,) = figure(1, 1, size=(3, 3))
    curves.bands(ax, quantity(lost_at))
    return ax


def test_a_line_fades_where_fewer_than_half_are_left():
    ax = drawn([3, 5, 7])
    solid, faded = ax.lines
    assert np.isfinite(solid.get_ydata()).tolist() == [True] * 7 + [False] * 3
    assert np.isfinite(faded.get_ydata()).tolist() == [False] * 6 + [True] * 4
    assert faded.get_alpha() < 1
    assert [text.get_text() for text in ax.texts] == ["n = 1"]


def test_a_line_of_all_seeds_says_nothing():
    ax = drawn([])
    assert len(ax.lines) == 1
    assert not ax.texts


def test_a_line_that_has_lost_one_says_how_many_are_left():
    ax = drawn([4])
    assert len(ax.lines) == 1
    assert [text.get_text() for text in ax.texts] == ["n = 3"]
