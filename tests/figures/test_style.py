import pytest

from largestep.figures.style import figure, legend_above


@pytest.mark.parametrize(("curves", "rows"), [(3, 1), (12, 2), (40, 6)])
def test_a_legend_has_as_many_rows_as_it_needs(curves, rows):
    drawing, (ax,) = figure(1, 1, size=(11, 4))
    for k in range(curves):
        ax.plot([0, 1], [k, k], label=f"large {k}")
    legend_above(drawing, ax)
    drawing.draw_without_rendering()
    (legend,) = drawing.legends
    heights = {round(text.get_window_extent().y0) for text in legend.get_texts()}
    assert len(heights) == rows
    assert legend.get_window_extent().width <= drawing.bbox.width
